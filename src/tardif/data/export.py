"""Training sets in the formats of other tools: ColBERT, RAGatouille, BEIR, Hugging Face datasets.

Each folder is written whole or not at all, and the same set gives the same bytes. The returned :class:`Export` counts
what a format cannot hold.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.data.formats.colbert import ID_MAPS, NAMES, RAGATOUILLE_NAMES
from tardif.data.json_metadata import as_stored
from tardif.data.training_set import TEST, TRAIN, VALIDATION, TrainingSet
from tardif.display import Short
from tardif.errors import DataError, SettingError
from tardif.folders import expanded, mark, staged, write_json
from tardif.types import Example

if TYPE_CHECKING:
    import datasets

HELD_OUT = (VALIDATION, TEST)

# What separates columns and rows of ColBERT's and BEIR's tables, which have no quotes.
_BREAKS = re.compile(r"[\t\r\n]+")
# An example with 32 negatives is 32 texts.
_BATCH = 2000  # examples turned into texts at a time


@dataclass(frozen=True, slots=True, repr=False)
class Export(Short):
    """A written export.

    Attributes:
        folder: the folder.
        counts: the number of queries, documents, examples and so on.
        lost: the number of things that the format cannot hold, by kind.
    """

    folder: Path
    counts: Mapping[str, int]
    lost: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Lines for a reader."""
        written = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        return [f"{self.folder}: {written}", *(f"{number} {what}" for what, number in self.lost.items())]


def export(data: TrainingSet, folder: str | Path, kind: str, *, overwrite: bool = False) -> Export:
    """Write a training set in another format.

    Args:
        data: the set.
        folder: the folder to write.
        kind: one of :data:`KINDS`. ``colbert``: ``queries.tsv``, ``collection.tsv`` and ``triples.jsonl`` with
            numbers for ids, and the ids in ``id-maps.json``. ``ragatouille``: the same under its names. ``beir``: a
            BEIR folder. ``datasets``: Parquet files for ``datasets.load_dataset``, with the columns query, positive,
            negative_1 and so on.
        overwrite: replace a folder that exists.

    Raises:
        SettingError: the kind is not known.
        DataError: the format cannot hold an id.
        FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.

    >>> from tardif.preparation import prepare
    >>> data = prepare([[("how far is the moon?", "384,400 km")]], ["8 minutes"], validation=0)
    >>> export(data, "as-beir", "beir").counts["queries"]
    1
    """
    if kind not in KINDS:
        raise SettingError(f"kind={kind!r} is not known: use {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    folder = expanded(folder)
    with staged(folder, overwrite=overwrite) as aside:
        counts, lost = _WRITERS[kind](data, aside)
        mark(aside, kind)
    return Export(folder, counts, {what: number for what, number in lost.items() if number})


def to_datasets(data: TrainingSet) -> datasets.DatasetDict:
    """Turn a training set into Hugging Face datasets in memory: ``train`` and the held-out splits.

    A row of ``train`` is an example: query, positive, negative_1 and so on (None where it has fewer), and the scores
    of a teacher if there are any. A row of a held-out split is a query with one positive.
    """
    import datasets
    import pyarrow as pa

    return datasets.DatasetDict(
        {
            split: datasets.Dataset(pa.Table.from_batches(batches, schema))
            for split, schema, batches in _tables(data, Counter())
        }
    )


def _write_colbert(data: TrainingSet, folder: Path, names: tuple[str, str, str]) -> tuple[Counter[str], Counter[str]]:
    """Write ColBERT's files. Its ids are whole numbers: the place of each text in its file."""
    queries = [query for split in (TRAIN, *HELD_OUT) for query in data.query_ids(split)]
    query_numbers = {query: number for number, query in enumerate(queries)}
    numbers = {document: number for number, document in enumerate(data.documents)}
    counts, lost = Counter[str](), Counter[str]()

    def line(number: int, *texts: str) -> str:
        kept = [_BREAKS.sub(" ", text) for text in texts]
        lost["texts whose tabs or line ends became spaces"] += sum(map(str.__ne__, kept, texts))
        return "\t".join([str(number), *kept]) + "\n"

    def texts(split: str) -> Iterator[str]:
        return (line(query_numbers[query], data.queries[query]) for query in data.query_ids(split))

    counts["queries"] = _write(folder / names[0], texts(TRAIN))
    documents = enumerate(data.documents.values())
    # The title is a third column, which ColBERT's files may lack.
    rows = (line(number, found.text, *([found.title] if found.title else [])) for number, found in documents)
    counts["documents"] = _write(folder / names[1], rows)
    counts["examples"] = _write(folder / names[2], _triples(data.examples, query_numbers, numbers, lost))
    for split in HELD_OUT:
        if data.query_ids(split):
            counts[f"{split} queries"] = _write(folder / f"queries.{split}.tsv", texts(split))
            rows = (f"{query_numbers[q]}\t0\t{numbers[d]}\t{grade}\n" for q, d, grade in _judged(data, split))
            counts[f"{split} judgements"] = _write(folder / f"qrels.{split}.tsv", rows)
    write_json(folder / ID_MAPS, {"queries": dict(enumerate(queries)), "documents": dict(enumerate(data.documents))})
    return counts, lost


def _triples(
    examples: Iterable[Example], queries: Mapping[str, int], documents: Mapping[str, int], lost: Counter[str]
) -> Iterator[str]:
    for example in examples:
        lost["examples without a negative, which ColBERT cannot train on"] += not example.negative_ids
        hits: list[Any] = [documents[document] for document in (example.positive_id, *example.negative_ids)]
        if example.scores:
            hits = [list(pair) for pair in zip(hits, example.scores, strict=True)]
        yield json.dumps([queries[example.query_id], *hits]) + "\n"


def _write_beir(data: TrainingSet, folder: Path) -> tuple[Counter[str], Counter[str]]:
    counts, lost = Counter[str](), Counter[str]()
    (folder / "qrels").mkdir()
    for split in (TRAIN, *HELD_OUT):
        if data.query_ids(split):
            # BEIR calls the validation split dev.
            name = "dev" if split == VALIDATION else split
            rows = (f"{_tabless(q)}\t{_tabless(d)}\t{relevance}\n" for q, d, relevance in _judged(data, split))
            path = folder / "qrels" / f"{name}.tsv"
            counts[f"{name} judgements"] = _write(path, rows, head="query-id\tcorpus-id\tscore\n")
    documents = (
        {"_id": d.id, "title": d.title, "text": d.text, "metadata": as_stored(d.metadata)}
        for d in data.documents.values()
    )
    counts["documents"] = _write(folder / "corpus.jsonl", map(_json, documents))
    queries = ({"_id": query, "text": text} for query, text in data.queries.items())
    counts["queries"] = _write(folder / "queries.jsonl", map(_json, queries))
    # Judged negatives are in the qrels; mined ones are not.
    lost["hard negatives, for which BEIR has no place"] = sum(
        document not in data.qrels.get(example.query_id, {})
        for example in data.examples
        for document in example.negative_ids
    )
    lost["teacher's scores, for which BEIR has no place"] = sum(len(example.scores) for example in data.examples)
    return counts, lost


def _judged(data: TrainingSet, split: str) -> Iterator[tuple[str, str, int]]:
    """The judgements of a split's queries."""
    for query in data.query_ids(split):
        for document, relevance in data.qrels.get(query, {}).items():
            yield query, document, relevance


def _write_parquet(data: TrainingSet, folder: Path) -> tuple[Counter[str], Counter[str]]:
    import pyarrow.parquet as pq

    counts, lost = Counter[str](), Counter[str]()
    for split, schema, batches in _tables(data, lost):
        with pq.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
                counts[f"{split} rows"] += batch.num_rows
    return counts, lost


def _tables(data: TrainingSet, lost: Counter[str]) -> Iterator[tuple[str, Any, Iterator[Any]]]:
    """The name, schema and record batches of each split."""
    import pyarrow as pa

    # datasets needs one schema for all rows, so the widest example decides.
    text, width = pa.string(), max((len(example.negative_ids) for example in data.examples), default=0)
    columns = [("query", text), ("positive", text)]
    negatives = [(f"negative_{number}", text) for number in range(1, width + 1)]
    scores = [("scores", pa.list_(pa.float64()))] if any(example.scores for example in data.examples) else []
    schema = pa.schema(columns + negatives + scores)
    yield TRAIN, schema, _batches(_example_rows(data, width, lost), schema)
    for split in HELD_OUT:
        if data.query_ids(split):
            schema = pa.schema(columns)
            yield split, schema, _batches(_positive_rows(data, split), schema)


def _example_rows(data: TrainingSet, width: int, lost: Counter[str]) -> Iterator[dict[str, Any]]:
    for example in data.examples:
        lost["rows with fewer negatives than columns (None)"] += len(example.negative_ids) < width
        row = {f"negative_{n}": data.documents[d].content for n, d in enumerate(example.negative_ids, start=1)}
        scores = list(example.scores) or None
        yield {**_pair(data, example.query_id, example.positive_id), **row, "scores": scores}


def _positive_rows(data: TrainingSet, split: str) -> Iterator[dict[str, Any]]:
    for query in data.query_ids(split):
        for document in data.positives(query):
            yield _pair(data, query, document)


def _pair(data: TrainingSet, query: str, document: str) -> dict[str, Any]:
    return {"query": data.queries[query], "positive": data.documents[document].content}


def _batches(rows: Iterator[dict[str, Any]], schema: Any) -> Iterator[Any]:
    import pyarrow as pa

    while part := list(islice(rows, _BATCH)):
        yield pa.RecordBatch.from_pylist(part, schema=schema)  # a missing column is None


_WRITERS: dict[str, Callable[[TrainingSet, Path], tuple[Counter[str], Counter[str]]]] = {
    "colbert": partial(_write_colbert, names=NAMES),
    "ragatouille": partial(_write_colbert, names=RAGATOUILLE_NAMES),
    "beir": _write_beir,
    "datasets": _write_parquet,
}
KINDS = tuple(_WRITERS)


def _write(path: Path, lines: Iterable[str], *, head: str = "") -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head)
        for line in lines:
            file.write(line)
            count += 1
    return count


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _tabless(identity: str) -> str:
    if _BREAKS.search(identity):
        raise DataError(f"the id {identity!r} holds a tab or line end, which BEIR's qrels cannot: change the id.")
    return identity
