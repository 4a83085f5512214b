"""The training set: documents, queries, judgements, examples; in memory and as a folder on disk.

documents.parquet   id, title, text, metadata (JSON)
queries.parquet     id, text, split (train | validation)
qrels.parquet       query_id, document_id, relevance
examples.parquet    query_id, positive_id, negative_ids (list)
manifest.json       format, version, counts, settings, report
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif._version import __version__
from tardif.data.json_metadata import as_stored
from tardif.display import ShortDict, ShortList, brief_repr, table
from tardif.errors import FolderError
from tardif.folders import read_json, staged, write_json
from tardif.types import Document, Example

FORMAT = "tardif-training-set"
VERSION = 1
TRAIN, VALIDATION, TEST = "train", "validation", "test"
UNCLEAR = "unclear.parquet"
"""The table of :attr:`TrainingSet.unclear`; a set without any has none."""


@dataclass(frozen=True, repr=False)
class TrainingSet:
    """Everything that training needs, immutable.

    Attributes:
        documents: the corpus by id.
        queries: query texts by id.
        qrels: judgements by query id; relevance 1 and above is relevant.
        split: ``train``, ``validation`` or ``test`` for each query id.
        examples: one per (training query, positive), with its hard negatives.
        settings: what it was made with.
        report: what was read as what, dropped, filled up: lines for a reader.
        made: how many of the queries were made from the documents by rules, not asked by anybody.
        unclear: by query id, documents that are neither relevant nor not: clicked, and too seldom; or other pieces of
            a document that was judged as a whole. None is mined.
        parts: of a mixed set (:mod:`tardif.data.mixing`), how many of the examples in turn come from
            each set, and how often an epoch uses them.
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

    def __post_init__(self) -> None:
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
        """How much there is, as a person wants to see it."""
        sides = Counter(self.split.values())
        negatives = sum(len(example.negative_ids) for example in self.examples)
        sizes = {"documents": len(self.documents), **{f"{side} queries": count for side, count in sides.items()}}
        return {**sizes, "examples": len(self.examples), "hard negatives": negatives}

    @property
    def is_mostly_made(self) -> bool:
        """Whether most of what is trained on was made from the documents: then training goes more gently."""
        return 2 * self.made > len(self.examples)

    def query_ids(self, split: str) -> list[str]:
        """The ids of one split's queries."""
        return [query for query in self.queries if self.split.get(query) == split]

    def positives(self, query_id: str) -> list[str]:
        """The ids of the documents relevant to a query."""
        return [document for document, relevance in self.qrels.get(query_id, {}).items() if relevance > 0]

    def counts(self) -> dict[str, int]:
        """How many of each there are."""
        return {
            "documents": len(self.documents),
            "training queries": len(self.query_ids(TRAIN)),
            "validation queries": len(self.query_ids(VALIDATION)),
            "examples": len(self.examples),
            "hard negatives": sum(len(example.negative_ids) for example in self.examples),
        }

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the set as a folder, whole or not at all. The same set gives the same bytes.

        Raises:
            FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        documents, text = self.documents.values(), pa.string()
        tables = {
            "documents": {
                "id": pa.array([d.id for d in documents], text),
                "title": pa.array([d.title for d in documents], text),
                "text": pa.array([d.text for d in documents], text),
                "metadata": pa.array([metadata_json(d.metadata) for d in documents], text),
            },
            "queries": {
                "id": pa.array(list(self.queries), text),
                "text": pa.array(list(self.queries.values()), text),
                "split": pa.array([self.split[query] for query in self.queries], text),
            },
            "qrels": _qrels_table(self.qrels),
        }
        if self.unclear:
            pairs = [(query, document) for query, found in self.unclear.items() for document in found]
            ids = zip(("query_id", "document_id"), zip(*pairs, strict=True), strict=True)
            tables["unclear"] = {name: pa.array(values, text) for name, values in ids}
        folder = Path(folder)
        with staged(folder, overwrite=overwrite) as aside:
            counts = {"examples": len(self.examples)}
            for name, columns in tables.items():
                pq.write_table(pa.table(columns), aside / f"{name}.parquet", compression="zstd")
                counts[name] = len(columns[next(iter(columns))])
            write_examples(aside, self.examples)
            more: dict[str, Any] = {"settings": self.settings, "sources": []}
            more |= {"made": self.made} if self.made else {}
            more |= {"parts": [list(part) for part in self.parts]} if self.parts else {}
            write_manifest(aside, counts, {}, self.report, **more)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> TrainingSet:
        """Read a folder that :meth:`save` wrote.

        Raises:
            FolderError: it is no training set, is damaged, or was written by a newer version.
        """
        import pyarrow as pa

        folder = Path(folder)
        manifest = read_json(folder / "manifest.json", what="a prepared training set")
        if not is_training_set(folder):
            raise FolderError(f"{folder} is not a prepared training set.")
        try:
            if manifest["version"] > VERSION:
                raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
            return cls.read(folder, manifest)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise FolderError(f"{folder} is damaged ({error}): prepare it again.") from error

    @classmethod
    def read(cls, folder: Path, manifest: Mapping[str, Any]) -> TrainingSet:
        """Read the tables of a folder, whose manifest need not be written yet."""
        import pyarrow.parquet as pq

        tables = {
            name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("documents", "queries", "qrels")
        }
        unclear: dict[str, list[str]] = {}
        for row in pq.read_table(place).to_pylist() if (place := folder / UNCLEAR).exists() else ():
            unclear.setdefault(row["query_id"], []).append(row["document_id"])
        qrels: dict[str, dict[str, int]] = {}
        for row in tables["qrels"]:
            qrels.setdefault(row["query_id"], {})[row["document_id"]] = row["relevance"]
        return cls(
            documents={
                row["id"]: Document(row["id"], row["text"], row["title"], json.loads(row["metadata"]))
                for row in tables["documents"]
            },
            queries={row["id"]: row["text"] for row in tables["queries"]},
            qrels=qrels,
            split={row["id"]: row["split"] for row in tables["queries"]},
            examples=read_examples(folder),
            settings=manifest["settings"],
            report=manifest.get("report", []),
            made=manifest.get("made", 0),
            unclear=unclear,
            parts=tuple((count, weight) for count, weight in manifest.get("parts", [])),
        )


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """Write the table of examples into a folder that is not published yet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    columns = {
        "query_id": pa.array([e.query_id for e in examples], text),
        "positive_id": pa.array([e.positive_id for e in examples], text),
        "negative_ids": pa.array([list(e.negative_ids) for e in examples], pa.list_(text)),
        "scores": pa.array([list(e.scores) for e in examples], pa.list_(pa.float64())),
    }
    pq.write_table(pa.table(columns), folder / "examples.parquet", compression="zstd")


def read_examples(folder: Path) -> list[Example]:
    """Read the table that :func:`write_examples` wrote."""
    import pyarrow.parquet as pq

    return [
        Example(row["query_id"], row["positive_id"], tuple(row["negative_ids"]), tuple(row["scores"]))
        for row in pq.read_table(folder / "examples.parquet").to_pylist()
    ]


def write_manifest(
    folder: Path, counts: Mapping[str, int], rules: Mapping[str, int], report: Sequence[str], **more: Any
) -> None:
    """Write the manifest, which makes a folder of tables a training set: last."""
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
    """Whether a folder is one that :meth:`TrainingSet.save` wrote, of any version."""
    try:
        manifest = read_json(Path(folder) / "manifest.json", what="a prepared training set")
    except FolderError:
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """The text of a set's ``metadata`` column; the same metadata gives the same text."""
    return json.dumps(as_stored(metadata), ensure_ascii=False, sort_keys=True)


def _qrels_table(qrels: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    import pyarrow as pa

    rows = [(q, d, relevance) for q, judged in qrels.items() for d, relevance in judged.items()]
    return {
        "query_id": pa.array([row[0] for row in rows], pa.string()),
        "document_id": pa.array([row[1] for row in rows], pa.string()),
        "relevance": pa.array([row[2] for row in rows], pa.int32()),
    }
