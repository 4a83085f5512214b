"""The training set: documents, queries, judgements and examples, as values and as a folder on disk.

documents.parquet   id, title, text, metadata (JSON)
queries.parquet     id, text, split (train | validation | test)
qrels.parquet       query_id, document_id, relevance
examples.parquet    query_id, positive_id, negative_ids (list), scores (list)
unclear.parquet     query_id, document_id; missing where there are none
hygiene.json        what the rules found, with examples; missing where they found nothing
mining.json         how hard negatives were chosen; missing where none were mined
manifest.json       format, version, counts, rules, settings, sources, report
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif._version import __version__
from tardif.data.spooled import COLUMNS, SpooledById, by_id, columns_of, spooled
from tardif.display import ShortDict, ShortList, brief_repr, table
from tardif.errors import FolderError
from tardif.extras import need
from tardif.folders import expanded, read_json, staged, write_json
from tardif.types import Document, Example

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "tardif-training-set"
VERSION = 1
TRAIN, VALIDATION, TEST = "train", "validation", "test"
# What a report shows of how a set was made. No training reads them.
HYGIENE, MINING = "hygiene.json", "mining.json"
# The tables of every set. A set with unclear pairs has another, "unclear".
TABLES = ("documents", "queries", "qrels", "examples")
# The columns of each table.
_COLUMNS: Mapping[str, Sequence[str]] = {
    "documents": COLUMNS,
    "queries": ("id", "text", "split"),
    "qrels": ("query_id", "document_id", "relevance"),
    "examples": ("query_id", "positive_id", "negative_ids", "scores"),
    "unclear": ("query_id", "document_id"),
}
_BATCH = 10_000  # rows of a table turned into Python values at a time


@dataclass(frozen=True, repr=False)
class TrainingSet:
    """Everything that training needs, immutable. Memory holds all of it but the texts of a large corpus.

    Attributes:
        documents: the corpus by id: a dict, or on disk where it is large (:mod:`tardif.data.spooled`).
        queries: query texts by id.
        qrels: judgements by query id; relevance 1 and above is relevant.
        split: ``train``, ``validation`` or ``test`` for each query id.
        examples: one per (training query, positive), with its hard negatives.
        settings: the options it was made with.
        report: lines for a reader: how each source was read, what was dropped, what was added.
        made: the number of queries that rules made from the documents; no user asked them.
        unclear: by query id, documents that are neither relevant nor irrelevant: clicked too seldom, or other pieces
            of a document that was judged as a whole. Mining skips them.
        parts: of a mixed set (:mod:`tardif.data.mixing`), the number of consecutive examples from each set, and how
            often an epoch uses each of them.
        sources: the names of the files and folders that it was made of, without their places.
        evidence: what a report shows of how it was made: the contents of ``hygiene.json`` and ``mining.json``, by their
            names.

    >>> documents = {"d1": Document("d1", "Hold the red button for ten seconds."), "d2": Document("d2", "Pour water.")}
    >>> data = TrainingSet(
    ...     documents, {"q1": "how do I reset it?"}, {"q1": {"d1": 1}}, {"q1": TRAIN}, [Example("q1", "d1", ("d2",))]
    ... )
    >>> data
    TrainingSet(2 documents, 1 train queries, 1 examples, 1 hard negatives)
    >>> data.positives("q1")
    ['d1']
    """

    documents: Mapping[str, Document]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    split: Mapping[str, str]
    examples: Sequence[Example] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    report: Sequence[str] = ()
    made: int = 0
    parts: Sequence[tuple[int, float]] = ()
    unclear: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: Sequence[str] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Dicts with a short repr: a set printed in a notebook must not show a million texts.
        for name in ("documents", "queries", "qrels", "split"):
            if type(value := getattr(self, name)) is dict:
                object.__setattr__(self, name, ShortDict(value))
        if type(self.examples) is list:
            object.__setattr__(self, "examples", ShortList(self.examples))

    def __repr__(self) -> str:
        return brief_repr(self, *(f"{count} {what}" for what, count in self._sizes().items()))

    def _repr_html_(self) -> str:
        return table((), self._sizes().items(), caption="Training set")

    def _sizes(self) -> dict[str, int]:
        """The counts that a person wants to see."""
        sides = Counter(self.split.values())
        negatives = sum(len(example.negative_ids) for example in self.examples)
        sizes = {"documents": len(self.documents), **{f"{side} queries": count for side, count in sides.items()}}
        return {**sizes, "examples": len(self.examples), "hard negatives": negatives}

    @property
    def is_mostly_made(self) -> bool:
        """Whether rules made most of the queries from the documents: training then takes smaller steps."""
        return 2 * self.made > len(self.examples)

    def query_ids(self, split: str) -> list[str]:
        """The ids of one split's queries."""
        return [query for query in self.queries if self.split.get(query) == split]

    def positives(self, query_id: str) -> list[str]:
        """The ids of the documents relevant to a query."""
        return [document for document, relevance in self.qrels.get(query_id, {}).items() if relevance > 0]

    def counts(self) -> dict[str, int]:
        """The number of documents, queries by side, examples and hard negatives."""
        return {
            "documents": len(self.documents),
            "training queries": len(self.query_ids(TRAIN)),
            "validation queries": len(self.query_ids(VALIDATION)),
            "examples": len(self.examples),
            "hard negatives": sum(len(example.negative_ids) for example in self.examples),
        }

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the set as a folder, whole or not at all. The same set gives the same bytes.

        Args:
            folder: where to.
            overwrite: replace a folder that exists.

        Raises:
            FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.
        """
        need("train", "A training set", ["pyarrow"])
        folder = expanded(folder)
        with staged(folder, overwrite=overwrite) as aside:
            counts = self.write_tables(aside)
            write_making(aside, self.evidence)
            more: dict[str, Any] = {"settings": self.settings, "sources": [{"name": name} for name in self.sources]}
            more |= {"made": self.made} if self.made else {}
            more |= {"parts": [list(part) for part in self.parts]} if self.parts else {}
            write_manifest(aside, counts, {}, self.report, **more)
        return folder

    def write_tables(self, folder: Path) -> dict[str, int]:
        """Write the Parquet tables, and no manifest, into a folder; returns the rows of each."""
        tables: dict[str, Mapping[str, Sequence[Any]]] = {
            "queries": {
                "id": list(self.queries),
                "text": list(self.queries.values()),
                "split": [self.split[query] for query in self.queries],
            },
            "qrels": _columns(
                ("query_id", "document_id", "relevance"),
                ((q, d, relevance) for q, judged in self.qrels.items() for d, relevance in judged.items()),
            ),
        }
        if self.unclear:
            pairs = ((query, document) for query, found in self.unclear.items() for document in found)
            tables["unclear"] = _columns(("query_id", "document_id"), pairs)
        counts = {"documents": _write_documents(folder, self.documents)}
        counts |= {name: _write_table(folder, name, columns) for name, columns in tables.items()}
        write_examples(folder, self.examples)
        return {**counts, "examples": len(self.examples)}

    @classmethod
    def load(cls, folder: str | Path) -> TrainingSet:
        """Read a folder that :meth:`save` or ``prepare`` wrote.

        Raises:
            FolderError: it is no training set, is damaged, or was written by a newer version.

        >>> from tardif.preparation import prepare_folder
        >>> folder = prepare_folder(["pairs.jsonl"], None, "set-to-load", validation=0)
        >>> len(TrainingSet.load(folder).examples)
        20
        """
        need("train", "A training set", ["pyarrow"])
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = expanded(folder)
        manifest = read_json(folder / "manifest.json", what="a prepared training set")
        if not _is_manifest(manifest):
            raise FolderError(f"{folder} is not a prepared training set.")
        try:
            # An older reader could miss a table that a newer writer added.
            if manifest["version"] > VERSION:
                raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
            # Sets without unclear pairs have no table of them.
            names = [*TABLES, *(["unclear"] if (folder / "unclear.parquet").exists() else [])]
            return cls.from_tables(
                ((name, pq.ParquetFile(folder / f"{name}.parquet").iter_batches(_BATCH)) for name in names),
                settings=manifest["settings"],
                report=manifest.get("report", []),
                made=manifest.get("made", 0),
                parts=tuple((count, weight) for count, weight in manifest.get("parts", [])),
                sources=tuple(str(found["name"]) for found in manifest.get("sources", [])),
                evidence=_read_making(folder),
            )
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise FolderError(f"{folder} is damaged ({error}): prepare it again.") from error

    @classmethod
    def from_tables(cls, tables: Iterable[tuple[str, Iterable[pa.RecordBatch]]], **fields: Any) -> TrainingSet:
        """Make a set of the rows of its tables.

        Memory holds the values of every table but a large one of documents, and a batch of the table that is read.

        Args:
            tables: the names of :data:`TABLES`, and ``unclear`` where there is one, each with its batches.
            **fields: the other fields: ``settings``, ``report``, ``made``, ``parts``, ``sources``, ``evidence``.
        """
        made: dict[str, Any] = {"unclear": {}}
        for name, batches in tables:
            rows = _rows(batches, *_COLUMNS[name])
            if name == "documents":
                made["documents"] = by_id(spooled(Document(i, t, h, json.loads(m)) for i, h, t, m in rows))
            elif name == "queries":
                made["queries"], made["split"] = {}, {}
                for query, text, side in rows:
                    made["queries"][query], made["split"][query] = text, side
            elif name == "qrels":
                made["qrels"] = {}
                for query, document, relevance in rows:
                    made["qrels"].setdefault(query, {})[document] = relevance
            elif name == "examples":
                made["examples"] = _examples(rows)
            else:
                for query, document in rows:
                    made["unclear"].setdefault(query, []).append(document)
        return cls(**made, **fields)


def write_making(folder: Path, evidence: Mapping[str, Any]) -> None:
    """Write what a report shows of how a set was made into a folder that is not published yet.

    Args:
        folder: where to.
        evidence: :attr:`TrainingSet.evidence`.
    """
    for name in (HYGIENE, MINING):
        if name in evidence:
            # One line: it is long, read by programs alone, and Python indents slowly.
            write_json(folder / name, evidence[name], indent=None)


def _read_making(folder: Path) -> dict[str, Any]:
    """Read what :func:`write_making` wrote. A file that is damaged is left out: no training needs it."""
    found: dict[str, Any] = {}
    for name in (HYGIENE, MINING):
        with suppress(FolderError):
            found[name] = read_json(folder / name, what="a prepared training set")
    return found


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """Write the table of examples into a folder that is not published yet."""
    columns: dict[str, Sequence[Any]] = {
        "query_id": [e.query_id for e in examples],
        "positive_id": [e.positive_id for e in examples],
        "negative_ids": [list(e.negative_ids) for e in examples],
        "scores": [list(e.scores) for e in examples],
    }
    _write_table(folder, "examples", columns)


def read_examples(folder: Path) -> list[Example]:
    """Read the table that :func:`write_examples` wrote."""
    import pyarrow.parquet as pq

    return _examples(_rows(pq.ParquetFile(folder / "examples.parquet").iter_batches(_BATCH), *_COLUMNS["examples"]))


def _examples(rows: Iterable[tuple[Any, ...]]) -> list[Example]:
    return [Example(query, positive, tuple(negatives), tuple(scores)) for query, positive, negatives, scores in rows]


def _columns(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Rows as columns. Without any row every column is empty."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return dict(zip(names, columns, strict=True))


def _rows(batches: Iterable[pa.RecordBatch], *names: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row. Python holds some of a batch's rows at a time."""
    for batch in batches:
        for first in range(0, batch.num_rows, _BATCH):
            part = batch.select(names).slice(first, _BATCH)
            yield from zip(*(column.to_pylist() for column in part.columns), strict=True)


def _write_documents(folder: Path, documents: Mapping[str, Document]) -> int:
    """Write the table of documents; returns its rows."""
    if isinstance(documents, SpooledById):
        return _write(folder, "documents", documents.documents.table())
    rows = map(columns_of, documents.values())
    return _write_table(folder, "documents", _columns(COLUMNS, rows))


def _write_table(folder: Path, name: str, columns: Mapping[str, Sequence[Any]]) -> int:
    """Write one table of a training set; returns its rows."""
    import pyarrow as pa

    # Without the types, a column without values would have none.
    types = {"relevance": pa.int32(), "negative_ids": pa.list_(pa.string()), "scores": pa.list_(pa.float64())}
    table = pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})
    return _write(folder, name, table)


def _write(folder: Path, name: str, table: pa.Table) -> int:
    import pyarrow.parquet as pq

    pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return int(table.num_rows)


def write_manifest(
    folder: Path, counts: Mapping[str, int], rules: Mapping[str, int], report: Sequence[str], **more: Any
) -> None:
    """Write the manifest. It comes last: it makes a folder of tables a training set."""
    write_json(
        folder / "manifest.json",
        {
            "format": FORMAT,
            "version": VERSION,
            "tardif": __version__,
            "counts": dict(sorted(counts.items())),
            "rules": dict(rules),
            **{name: dict(value) if isinstance(value, Mapping) else value for name, value in more.items()},
            "report": list(report),
        },
    )


def is_training_set(folder: str | Path) -> bool:
    """Whether a folder holds a training set, of any version."""
    try:
        return _is_manifest(read_json(expanded(folder) / "manifest.json", what="a prepared training set"))
    except FolderError:
        return False


def _is_manifest(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT
