"""TREC and BEIR collections, and the base of all collections in a folder: a corpus, queries, and judgements by id.

A BEIR folder holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv`` (Thakur et al., NeurIPS 2021).

Judgements are lines of TREC qrels, of BEIR's ``qrels/SPLIT.tsv``, or of TREC runs. A hit of a run that nobody judged is
a negative.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tardif.data.formats.column_names import DOCUMENT_COLUMNS, QUERY_COLUMNS, known_role
from tardif.data.formats.corpora import find_file, read_corpus, read_groups, read_queries
from tardif.data.formats.files import bare_lines, check_file
from tardif.data.formats.table_rows import COLLECTION_TABLES
from tardif.data.records import Judgement
from tardif.data.regular import is_folder, user_path
from tardif.errors import DataError
from tardif.types import Document, Query

PARTS = ("qrels", "queries", "corpus", "run")
# The end of the tag of a run whose ids are percent-encoded, because one of them holds white space.
ENCODED = "-percent-encoded"
# The ids that replace those of queries and of documents.
IdMaps = tuple[Mapping[str, str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class TrecFiles:
    """The files of a TREC collection."""

    name: str
    qrels: Path
    queries: Path
    corpus: Path
    run: Path | None = None


def named_files(parts: Mapping[str, Any]) -> TrecFiles:
    """The files of a collection as the user names them.

    Raises:
        DataError: a part is unknown, missing, or no file.
    """
    for part, path in parts.items():
        if part not in PARTS or not isinstance(path, str | Path):
            raise DataError(
                f"a dict names the files of a TREC collection ({', '.join(PARTS)}), and {part!r} is not one of them: "
                "give rows as a list of dicts."
            )
    for part in PARTS[:3]:
        if part not in parts:
            raise DataError(f"the TREC collection has no {part}: name the files of {', '.join(PARTS[:3])}.")
    found = {part: user_path(path) for part, path in parts.items()}
    for part, path in found.items():
        if part != "corpus" or not is_folder(path):
            check_file(path)
    return TrecFiles(str(found["qrels"]), **found)


def find_files(folder: Path, split: str) -> TrecFiles | None:
    """Find the files of a collection in a folder, first those of the split; None if one is missing."""
    qrels = find_file(folder, *(f"{stem}{end}" for stem in (f"qrels.{split}", "qrels") for end in (".txt", ".tsv", "")))
    queries = find_file(folder, *_tables(f"queries.{split}", "queries"))
    corpus = find_file(folder, *_tables("corpus", "collection"))
    if qrels is None or queries is None or corpus is None:
        return None
    # Every system names its runs as it likes.
    ends = (".txt", ".trec", ".run", ".tsv", "")
    run = find_file(folder, *(f"{stem}{end}" for stem in (f"run.{split}", "run") for end in ends))
    return TrecFiles(str(folder), qrels, queries, corpus, run)


def open_trec(
    files: TrecFiles,
    group_by: str | None = None,
    *,
    held_out: bool = False,
    runs: bool = True,
    id_maps: IdMaps = ({}, {}),
    encoding: str | None = None,
) -> CollectionSource:
    """Open a TREC collection.

    Args:
        files: its files.
        group_by: a field of its queries or documents.
        held_out: another source has the corpus.
        runs: whether hits of its run are negatives.
        id_maps: the ids that replace those of queries and of documents.
        encoding: of documents and topics in TREC's markup.
    """
    files = files if runs else replace(files, run=None)
    from_run = "" if files.run is None else f", negatives from {files.run.name} (hits that are not judged)"
    passed: Counter[str] = Counter()
    return CollectionSource(
        files.name,
        f"TREC collection: documents from {files.corpus.name}, queries from {files.queries.name}, "
        f"labels from {files.qrels.name}{from_run}",
        lambda: _judged(files, passed),
        files.qrels,
        files.queries,
        None if held_out else files.corpus,
        group_by,
        (files.queries, files.corpus),
        id_maps,
        passed,
        encoding,
    )


def open_qrels(path: Path) -> CollectionSource:
    """Open a file of TREC qrels alone: the texts come from elsewhere."""
    only = TrecFiles(str(path), path, path, path)
    return CollectionSource(str(path), "TREC qrels", lambda: _judged(only, Counter()), path, None, None)


def find_held_out(folder: Path, corpus: Path, split: str) -> list[TrecFiles]:
    """Find the files of a folder's validation splits, such as ``qrels.dev.tsv`` with ``queries.dev.tsv``."""
    found = []
    for name in VALIDATION_SPLITS:
        qrels = find_file(folder, *(f"qrels.{name}{end}" for end in (".txt", ".tsv")))
        queries = find_file(folder, *_tables(f"queries.{name}"))
        if name != split and qrels and queries:
            found.append(TrecFiles(str(qrels), qrels, queries, corpus))
    return found


def _judged(files: TrecFiles, passed: Counter[str]) -> Iterator[Judgement]:
    """The judgements of the qrels, then the hits of the run that the qrels do not judge."""
    judged: dict[str, set[str]] = {}
    for line, query, document, relevance in read_trec_qrels(files.qrels):
        if files.run is not None:
            judged.setdefault(query, set()).add(document)
        yield Judgement(None, None, "labelled", line, query, document, relevance)
    if files.run is None:
        return
    for line, query, document, *_ in read_ranked_run(files.run):
        if query not in judged:
            passed["hits of queries without judgement"] += 1
        elif document in judged[query]:
            passed["hits that are judged"] += 1
        else:
            yield Judgement(None, None, "negative", line, query, document)


def _tables(*stems: str) -> list[str]:
    return [f"{stem}{suffix}" for stem in stems for suffix in COLLECTION_TABLES]


# The names of splits for validation, the preferred first.
VALIDATION_SPLITS = ("dev", "validation", "valid", "val")


@dataclass
class CollectionSource:
    """A corpus file, a file of queries, and judgements by id.

    Attributes:
        name: the collection, for messages.
        shape: the files and their use, for the report; complete after the last judgement.
        judged: streams the judgements.
        judged_in: the file of judgements, for messages.
        query_file: None if another source has the queries.
        corpus_file: None if another source has the documents.
        group_by: a field of the queries, or else of the documents, by which judgements are grouped.
        groups_in: the files of queries and documents that may have the field.
        id_maps: the ids that replace those of queries and of documents.
        passed: counts of lines that ``judged`` does not use, for the report.
        encoding: of documents and topics in TREC's markup.
    """

    name: str
    shape: str
    judged: Callable[[], Iterator[Judgement]]
    judged_in: Path
    query_file: Path | None
    corpus_file: Path | None
    group_by: str | None = None
    groups_in: tuple[Path, ...] = ()
    id_maps: IdMaps = ({}, {})
    passed: Counter[str] = field(default_factory=Counter)
    encoding: str | None = None

    def __post_init__(self) -> None:
        self.shape += f"; group from {self.group_by}" if self.group_by else ""

    @property
    def files(self) -> dict[str, str]:
        """The file of each part that this source reads."""
        parts = {"documents": self.corpus_file, "queries": self.query_file, "judgements": self.judged_in}
        return {part: str(path) for part, path in parts.items() if path is not None}

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The corpus, by line."""
        ids = self.id_maps[1]
        for line, found in () if self.corpus_file is None else read_corpus(self.corpus_file, self.encoding):
            yield line, replace(found, id=ids.get(found.id, found.id)) if ids else found

    def queries(self) -> Iterator[tuple[int, Query]]:
        """The list of queries, by line, with those that have no judgement."""
        ids = self.id_maps[0]
        for line, found in () if self.query_file is None else read_queries(self.query_file, self.encoding):
            yield line, replace(found, id=ids.get(found.id, found.id)) if ids else found

    def judgements(self) -> Iterator[Judgement]:
        """The judgements, by line of their file.

        Raises:
            DataError: there is no judgement, a line is malformed, or the field to group by is missing.
        """
        group = self._grouper()
        count = 0
        for judgement in self.judged():
            count += 1
            found = judgement if group is None else group(judgement)
            yield self._renamed(found) if any(self.id_maps) else found
        if not count:
            raise DataError("is empty: it holds no judgement.", self.judged_in)
        passed = "".join(f"; not used: {times} {what}" for what, times in self.passed.items())
        self.shape += f"{passed} ({count} judgements)"

    def _renamed(self, judgement: Judgement) -> Judgement:
        query, document = judgement.query_id or "", judgement.document_id or ""
        queries, documents = self.id_maps
        return replace(judgement, query_id=queries.get(query, query), document_id=documents.get(document, document))

    def _grouper(self) -> Callable[[Judgement], Judgement] | None:
        """A function that adds the group to a judgement; the field is searched in the queries, then in the corpus."""
        field = self.group_by
        if field is None:
            return None
        by_query = read_groups(self.groups_in[0], field, QUERY_COLUMNS["query_id"])
        # Queries may be grouped by a field of their own, or by one of their documents.
        by_document = {} if by_query else read_groups(self.groups_in[1], field, DOCUMENT_COLUMNS["id"])
        if not by_query and not by_document:
            names = " and ".join(path.name for path in self.groups_in)
            raise DataError(f"there is no field {field} to group by in {names}.", self.name)

        def grouped(judgement: Judgement) -> Judgement:
            key = judgement.query_id if by_query else judgement.document_id
            group = (by_query or by_document).get(key or "")
            if group is None:
                raise DataError(f"the id {key!r} has no {field} to group by.", self.name, judgement.place)
            return replace(judgement, group=group)

        return grouped


# The number of a line, its query id, document id and relevance.
Judged = tuple[int, str, str, int]

# int() would also take underscores, white space and the digits of other scripts.
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
# Ids may contain other white space of Unicode, at which str.split() would cut.
_SPACE = re.compile(r"[ \t]+")


def read_beir_qrels(path: Path) -> Iterator[Judged]:
    """Read lines of query id, document id and relevance, separated by tabs; the first may be a header.

    Raises:
        DataError: a line is malformed.
    """
    for line, text in bare_lines(path, any_end=True):
        if not text.strip(" \t"):
            continue
        cells = text.split("\t")
        if len(cells) != 3 or not _WHOLE.fullmatch(cells[2].strip()) or not cells[0] or not cells[1]:
            if line == 1 and len(cells) == 3 and known_role(cells[2]) == "label":
                continue
            raise DataError("malformed line: it must be query-id, corpus-id and a whole score, with tabs.", path, line)
        yield line, cells[0], cells[1], int(cells[2])


def read_trec_qrels(path: Path) -> Iterator[Judged]:
    """Read lines of query id, iteration, document id and relevance, separated by white space.

    Raises:
        DataError: a line is malformed.
    """
    for line, cells in _cells(path):
        if len(cells) != 4 or not _WHOLE.fullmatch(cells[3]):
            raise DataError(
                "malformed line: TREC qrels have query id, iteration, document id and a whole relevance.", path, line
            )
        yield line, cells[0], cells[2], int(cells[3])


def read_ranked_run(path: Path) -> Iterator[tuple[int, str, str, int | None, float]]:
    """Read a TREC run: line number, query id, document id, rank (None if it is no number) and score.

    Ids that were written in an encoded form (:data:`ENCODED`) are decoded.

    Raises:
        DataError: a line is not ``query-id Q0 document-id rank score tag``.
    """
    for line, cells in _cells(path):
        try:
            score = float(cells[4]) if len(cells) == 6 and cells[4].isascii() else math.nan
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DataError(
                "malformed line: a TREC run has query id, Q0, document id, rank, score and tag.", path, line
            )
        query, document = map(unquote, cells[0:3:2]) if cells[5].endswith(ENCODED) else cells[0:3:2]
        yield line, query, document, int(cells[3]) if _WHOLE.fullmatch(cells[3]) else None, score


def encode_id(identity: str) -> str:
    """Percent-encode what a TREC file cannot hold, white space; and ``%``, so that the id can be decoded.

    >>> encode_id("100% new.txt")
    '100%25%20new.txt'
    """
    return "".join(quote(letter) if letter.isspace() or letter == "%" else letter for letter in identity)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in bare_lines(path, any_end=True):
        if bare := text.strip(" \t"):
            yield line, _SPACE.split(bare)


def is_beir(folder: Path) -> bool:
    """Whether a folder has the layout of BEIR."""
    files = find_file(folder, "corpus.jsonl") and find_file(folder, "queries.jsonl")
    return files is not None and (folder / "qrels").is_dir()


def splits(folder: Path) -> list[str]:
    """The names of the splits that have judgements."""
    return sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))


def open_beir(folder: Path, split: str, group_by: str | None = None, *, held_out: bool = False) -> CollectionSource:
    """Open one split of a BEIR folder.

    Args:
        folder: the folder.
        split: the name of one of its splits.
        group_by: a field of its queries or documents.
        held_out: read the judgements alone; another source has the corpus and the queries.

    Raises:
        DataError: the folder has no such split.
    """
    qrels = folder / "qrels" / f"{split}.tsv"
    queries, corpus = find_file(folder, "queries.jsonl"), find_file(folder, "corpus.jsonl")
    if queries is None or corpus is None:
        raise DataError("has no corpus.jsonl or queries.jsonl: a BEIR folder has both, and qrels/.", folder)
    if not qrels.exists():
        have = ", ".join(splits(folder)) or "none"
        raise DataError(f"has no qrels/{split}.tsv (it has: {have}): name one of its splits.", folder)

    def judged() -> Iterator[Judgement]:
        for line, query, document, relevance in read_beir_qrels(qrels):
            yield Judgement(None, None, "labelled", line, query, document, relevance)

    return CollectionSource(
        str(qrels if held_out else folder),
        f"BEIR folder: documents from {corpus.name}, queries from {queries.name}, labels from qrels/{qrels.name}",
        judged,
        qrels,
        None if held_out else queries,
        None if held_out else corpus,
        group_by,
        (queries, corpus),
    )
