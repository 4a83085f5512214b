"""RAGatouille's helpers for data: cut documents into passages, and make training triplets of pairs."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tardif.checks import called
from tardif.data.export import export
from tardif.data.training_set import TrainingSet
from tardif.extras import need
from tardif.text.normal import text_id
from tardif.text.scripts import UNSPACED

Passage: TypeAlias = dict[str, str]
"""A passage of a document: ``{"document_id": ..., "content": ...}``."""

Preprocessing: TypeAlias = Callable[[list[Any], list[str]], list[Any]]

DataType: TypeAlias = Literal["pairs", "triplets", "labeled_pairs"]

# An estimate that needs no model: a word and a sign of punctuation are a token each, and so is every character of
# scripts without spaces; long words are several word pieces.
_TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w){{1,7}}|[^\w\s]")

# RAGatouille keeps every row it can use: a text that looks like an id is a text, a query without a relevant document
# is left out. Each is counted and reported.
_RANDOM: dict[str, Any] = {"random_share": 1.0, "window": (1, 1)}
_RULES = {"id-as-text": "keep", "no-positive": "drop", "empty": "drop"}


def llama_index_sentence_splitter(
    documents: list[str], document_ids: list[str], chunk_size: int = 256
) -> list[Passage]:
    """Cut documents into passages of whole sentences.

    It needs no llama-index: passages end where sentences or paragraphs do and repeat up to a quarter of the one before,
    64 tokens at most, as RAGatouille's do; the exact places differ. Tokens are estimated, since no model is known here.
    :meth:`RAGPretrainedModel.index` cuts by its model's own tokens instead.

    Args:
        documents: texts.
        document_ids: an id for each.
        chunk_size: the most tokens of a passage.

    >>> llama_index_sentence_splitter(["One sentence. Another one."], ["a"], chunk_size=4)
    [{'document_id': 'a', 'content': 'One sentence.'}, {'document_id': 'a', 'content': 'Another one.'}]
    """
    need("train", "Cutting documents", ["semantic-text-splitter"])
    from semantic_text_splitter import TextSplitter

    # As in RAGatouille: a quarter of a passage, 64 tokens at most, is repeated in the next one.
    overlap = min(chunk_size // 4, 64)
    splitter = TextSplitter.from_callback(lambda text: len(_TOKEN.findall(text)), chunk_size, overlap)
    return [
        {"document_id": identity, "content": content}
        for identity, document in zip(document_ids, documents, strict=True)
        for content in splitter.chunks(document)
    ]


def document_ids_of(documents: Sequence[str]) -> list[str]:
    """Ids made of the texts themselves, so that a second run gives the same; copies are numbered.

    >>> document_ids_of(["one", "two", "one"])
    ['d-cceb220a8032cc39ae6a', 'd-ab905d9172408241f306', 'd-cceb220a8032cc39ae6a-2']
    """
    seen: Counter[str] = Counter()
    found = []
    for document in documents:
        identity = text_id("d-", document)
        seen[identity] += 1
        found.append(identity if seen[identity] == 1 else f"{identity}-{seen[identity]}")
    return found


class CorpusProcessor:
    """Cuts a corpus into passages and preprocesses them.

    Args:
        document_splitter_fn: called with documents, ids and keywords such as ``chunk_size``; None keeps them whole.
        preprocessing_fn: a function of (documents, ids), or several that run one after the other.

    >>> CorpusProcessor().process_corpus(["A short document."], ["a"], chunk_size=256)
    [{'document_id': 'a', 'content': 'A short document.'}]
    """

    def __init__(
        self,
        document_splitter_fn: Callable[..., list[Any]] | None = llama_index_sentence_splitter,
        preprocessing_fn: Preprocessing | list[Preprocessing] | None = None,
    ) -> None:
        self.document_splitter_fn = document_splitter_fn
        self.preprocessing_fn = preprocessing_fn

    def process_corpus(
        self, documents: list[str], document_ids: list[str] | None = None, **splitter_kwargs: Any
    ) -> list[Any]:
        """Cut and preprocess documents; without a splitter they stay as they are.

        Ids that are not given are made of the texts, not drawn at random.
        """
        ids = document_ids_of(documents) if document_ids is None else document_ids
        found: list[Any] = list(documents)
        if self.document_splitter_fn is not None:
            found = self.document_splitter_fn(documents, ids, **splitter_kwargs)
        steps = self.preprocessing_fn or []
        for step in steps if isinstance(steps, list) else [steps]:
            found = step(found, ids)
        return found


class TrainingDataProcessor:
    """Makes training triplets of raw pairs, labelled pairs or triplets, and writes them as ColBERT's files.

    Attributes:
        query_map: the number of each query's text.
        passage_map: the number of each document's text.
        training_triplets: ``[query, positive, negative]`` in those numbers.
        data: the same as Tardif's training set, with hard negatives.

    Args:
        collection: the documents' texts.
        queries: the queries' texts.
        negative_miner: an object with ``mine_hard_negatives(query)``, which returns texts. None: BM25 mines.
        prepare: makes a training set of rows; by default :func:`tardif.preparation.prepare` without held-out queries.
    """

    def __init__(
        self,
        collection: Iterable[str],
        queries: Iterable[str],
        negative_miner: Any = None,
        *,
        prepare: Callable[..., TrainingSet] | None = None,
    ) -> None:
        self.collection, self.queries, self.negative_miner = collection, queries, negative_miner
        # Numbers are places: ColBERT's files name queries and passages by their line.
        self.query_map = {query: number for number, query in enumerate(queries)}
        self.passage_map = {passage: number for number, passage in enumerate(collection)}
        self.training_triplets: list[list[int]] = []
        self.data: TrainingSet | None = None
        self._prepare = _prepare_all if prepare is None else prepare

    def process_raw_data(
        self,
        raw_data: Sequence[Sequence[Any]],
        data_type: DataType,
        data_dir: str | Path,
        export: bool = True,
        mine_hard_negatives: bool = True,
        num_new_negatives: int = 10,
        positive_label: int | str = 1,
        negative_label: int | str = 0,
        hard_negative_minimum_rank: int = 10,
    ) -> None:
        """Make :attr:`training_triplets`, and write them to ``data_dir`` where ``export`` is true.

        Args:
            raw_data: (query, positive), (query, document, label) or (query, positive, negative); a document is a text,
                a list of texts, or a dict with ``content``.
            data_type: which of the three.
            data_dir: the folder for the files.
            export: write them.
            mine_hard_negatives: mine negatives; else draw them at random.
            num_new_negatives: how many for each query; 0 for none.
            positive_label: the label of relevant documents.
            negative_label: the label of the others.
            hard_negative_minimum_rank: the best-ranked documents of a query that are never its negatives.

        Raises:
            ValueError: a label is neither of the two, or the data cannot be read.
        """
        process: Any = {  # their signatures differ, as RAGatouille's do
            "pairs": self._process_raw_pairs,
            "labeled_pairs": self._process_raw_labeled_pairs,
            "triplets": self._process_raw_triplets,
        }[data_type]
        # RAGatouille counts ranks from 0, Tardif from 1; its window is a hundred ranks wide.
        window = (hard_negative_minimum_rank + 1, hard_negative_minimum_rank + 100)
        self._options: dict[str, Any] = {"negatives": num_new_negatives, "window": window, "miner": "lexical"}
        if num_new_negatives < 1:
            self._options = {"miner": "none"}
        elif not mine_hard_negatives:
            self._options |= _RANDOM
        process(raw_data, positive_label=positive_label, negative_label=negative_label)
        if export:
            self.export_training_data(data_dir)

    def _process_raw_pairs(self, raw_data: Sequence[Sequence[Any]], **_: Any) -> None:
        self._process((query, text, 1) for query, positive in raw_data for text in texts_of(positive))

    def _process_raw_labeled_pairs(
        self, raw_data: Sequence[Sequence[Any]], positive_label: int | str, negative_label: int | str
    ) -> None:
        if positive_label == negative_label:
            raise ValueError(f"positive_label and negative_label are both {positive_label!r}: give two labels.")
        for number, (_, _, label) in enumerate(raw_data, start=1):
            if label not in (positive_label, negative_label):
                raise ValueError(
                    f"raw_data, row {number}: the label {label!r} is neither positive_label nor negative_label."
                )
        self._process(
            (query, text, int(label == positive_label))
            for query, passage, label in raw_data
            for text in texts_of(passage)
        )

    def _process_raw_triplets(self, raw_data: Sequence[Sequence[Any]], **_: Any) -> None:
        self._process(
            (query, text, label)
            for query, positive, negative in raw_data
            for label, texts in ((1, texts_of(positive)), (0, texts_of(negative)))
            for text in texts
        )

    def _process(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """Make the training set of (query, text, relevance), and the triplets of its examples."""
        # Each row once, in the order of the first: dict keys keep it.
        known = list(dict.fromkeys(rows))
        if self.negative_miner is not None and self._options["miner"] != "none":
            # A miner of the user's finds texts; they become judged negatives, and nothing else is mined.
            known += self._mined(known)
            self._options = {"miner": "none"}
        self.data = data = self._prepare(known, list(self.passage_map), **self._options)
        if self._options.get("window", (1, 1)) != (1, 1) and not any(example.negative_ids for example in data.examples):
            # As RAGatouille does: a collection smaller than the first rank leaves nothing to mine.
            warnings.warn("No hard negative was found: negatives are drawn at random.", UserWarning, stacklevel=4)
            self._options |= _RANDOM
            self.data = data = self._prepare(known, list(self.passage_map), **self._options)
        # A training set may hold a text without the white space around it.
        queries = {query.strip(): number for query, number in self.query_map.items()}
        passages = {passage.strip(): number for passage, number in self.passage_map.items()}
        numbers = {name: passages[document.content.strip()] for name, document in data.documents.items()}
        self.training_triplets = [
            [queries[data.queries[example.query_id].strip()], numbers[example.positive_id], numbers[negative]]
            for example in data.examples
            for negative in example.negative_ids
        ]

    def _mined(self, rows: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
        """Rows of the negatives that the given miner finds, without those that are judged already."""
        judged = {(query, text) for query, text, _ in rows}
        count = self._options["negatives"]
        found = []
        for query in dict.fromkeys(query for query, _, _ in rows):
            texts = [text for text in self.negative_miner.mine_hard_negatives(query) if (query, text) not in judged]
            found += [(query, text, 0) for text in texts[:count]]
        return found

    def export_training_data(self, path: str | Path) -> None:
        """Write ``queries.train.colbert.tsv``, ``corpus.train.colbert.tsv`` and ``triples.train.colbert.jsonl``.

        The same data give the same bytes. Other files of the folder stay as they are.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        if self.data is None:  # nothing was processed yet: the maps alone
            return
        # A directory on the same file system, so that each file is replaced by a rename.
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            export(self.data, Path(aside) / "set", "ragatouille")
            for file in sorted((Path(aside) / "set").iterdir()):
                file.replace(folder / file.name)


def texts_of(document: Any) -> list[str]:
    """The texts of a document as RAGatouille's raw data have it: a text, a dict with ``content``, or a list of them.

    Raises:
        ValueError: it is something else.

    >>> texts_of({"document_id": "a", "content": "A passage."})
    ['A passage.']
    """
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict) and isinstance(document.get("content"), str):
        return [document["content"]]
    if isinstance(document, list | tuple):
        return [text for part in document for text in texts_of(part)]
    raise ValueError(
        f"raw_data: a document is {called(document)}: give a text, a dict with content, or a list of them. Rows with a "
        "label need pairs_with_labels=True."
    )


def _prepare_all(rows: Sequence[tuple[str, str, int]], documents: list[str], **options: Any) -> TrainingSet:
    """A training set of every row, none held out."""
    from tardif.preparation import prepare

    return prepare([rows], documents, validation=0.0, **with_rules(options))


def with_rules(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a preparation that takes raw data as RAGatouille does."""
    return {"on": _RULES, **options}
