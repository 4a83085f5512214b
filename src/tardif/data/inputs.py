"""The parts of the user's input: rows, lists of queries, corpora.

A source may bring all three: a dict or a folder of rows of ids, with a table of queries and one of documents, as the
data sets of PyLate do, and those of NanoBEIR and BEIR on the Hugging Face hub.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.data.formats.corpora import find_file
from tardif.data.formats.frames import open_parquet
from tardif.data.formats.table_rows import COLLECTION_TABLES
from tardif.data.formats.trec import VALIDATION_SPLITS
from tardif.data.records import Source
from tardif.data.regular import is_folder, noting_opened, user_path
from tardif.errors import DataError

QUERIES, DOCUMENTS = ("queries",), ("documents", "corpus")
# Where a data set of the hub has its judgements, beside the folders corpus and queries.
_JUDGED = ("qrels", "default", "data")


@dataclass(frozen=True, slots=True)
class SourceTables:
    """The tables of one source: its rows, their queries and documents, rows that are held out, and a remark."""

    rows: Any
    queries: Any = None
    documents: Any = None
    held_out: list[Any] = field(default_factory=list)
    note: str = ""


def source_tables(source: Any, split: str) -> SourceTables | None:
    """The tables of a dict or folder that names them; None for any other source.

    Args:
        source: a dict of ``train`` (or the split's name) with ``queries``, ``documents`` or both, each anything that
            is read as such; or a folder with files, or folders of Parquet files, of these names; or a folder as
            NanoBEIR's on the hub, of the folders ``corpus``, ``queries`` and ``qrels``.
        split: the name of the rows.

    Raises:
        DataError: the dict has a table of another name, or the folder has no judgements of the split.

    >>> source_tables({"train": [("q1", "d1")], "documents": {"d1": "a text"}}, "train").documents
    {'d1': 'a text'}
    """
    found: Mapping[Any, Any]
    if isinstance(source, str | Path):
        folder = user_path(source)
        # A text that is no path at all is refused by its reader, with a better message.
        is_there = os.path.lexists(folder) and is_folder(folder)
        if is_there and (tables := _of_hub(folder, split)) is not None:
            return tables
        found = _in_folder(folder, split) if is_there else {}
    elif (
        not isinstance(source, Mapping) or split not in source or not any(map(source.__contains__, QUERIES + DOCUMENTS))
    ):
        return None
    else:
        found = source
        known = (split, *QUERIES, *DOCUMENTS, *VALIDATION_SPLITS)
        # A misspelt name would drop a whole table in silence.
        for name in source:
            if name not in known and name not in ("train", "test"):
                raise DataError(f"the dict has a part {name!r:.60}, and the parts are: {', '.join(known)}.")
    if not found:
        return None
    documents = next((found[name] for name in DOCUMENTS if name in found), None)
    held_out = [found[name] for name in VALIDATION_SPLITS if name in found and name != split]
    return SourceTables(found[split], found.get("queries"), documents, held_out)


def _in_folder(folder: Path, split: str) -> dict[str, Path]:
    """The tables of a folder by name; empty where it has no rows or no queries."""
    names = (split, *QUERIES, *DOCUMENTS, *VALIDATION_SPLITS)
    found = {name: place for name in names if (place := _table(folder, name))}
    # Shards of the rows lie beside the tables of queries and documents in PyLate's data sets.
    if split not in found and any(folder.glob(f"{split}-*.parquet")):
        found[split] = folder
    return found if split in found and "queries" in found else {}


def _of_hub(folder: Path, split: str) -> SourceTables | None:
    """The tables of a data set of the hub: folders of Parquet files; None for any other folder."""
    queries, corpus = _parquet(folder / "queries"), _parquet(folder / "corpus")
    judged = next((folder / name for name in _JUDGED if _parquet(folder / name)), None)
    if queries is None or corpus is None or judged is None:
        return None
    shards: dict[str, list[Path]] = {}
    for path in sorted(judged.glob("*.parquet")):
        shards.setdefault(path.stem.partition("-")[0], []).append(path)
    # All that NanoBEIR has is named train, and none of it is for training.
    used = "train" if split == "test" and list(shards) == ["train"] else split
    if used not in shards:
        raise DataError(f"has no split {split} (it has: {', '.join(shards)}): name one of its splits.", judged)
    held_out = [_rows(shards[name], judged) for name in VALIDATION_SPLITS if name in shards and name != used]
    note = "" if used == split else f"{folder.name}: its only split, {used}, is measured"
    return SourceTables(_rows(shards[used], judged), queries, corpus, held_out, note)


def _rows(shards: list[Path], folder: Path) -> Any:
    """The judgements of some Parquet files."""
    return shards[0] if len(shards) == 1 else [row for _, row in open_parquet(shards, folder).records()]


def _parquet(folder: Path) -> Path | None:
    """The Parquet file of a folder, or the folder if it has several; None if it has none."""
    found = sorted(folder.glob("*.parquet"))
    return found[0] if len(found) == 1 else folder if found else None


def _table(folder: Path, name: str) -> Path | None:
    """A file of that name, or a folder of Parquet files."""
    if (file := find_file(folder, *(f"{name}{suffix}" for suffix in COLLECTION_TABLES))) is not None:
        return file
    return folder / name if any((folder / name).glob("*.parquet")) else None


@dataclass(frozen=True, slots=True)
class Input:
    """Everything that is read.

    Attributes:
        sources: the sources as the user gave them.
        rows: the rows of each source.
        queries: lists of queries.
        documents: corpora.
        held_out: rows that a source holds out.
        own_held_out: rows that the user holds out; they may have other columns.
        notes: remarks on how the sources were read.
        opened: the files that were opened so far.
    """

    sources: list[Any]
    rows: list[Any]
    queries: list[Any]
    documents: list[Any]
    held_out: list[Any]
    own_held_out: Any
    notes: list[str] = field(default_factory=list)
    opened: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, sources: Sequence[Any], documents: Any, queries: Any, held_out: Any, split: str) -> Input:
        """Sort what the user gave: a source may bring queries and documents beside its rows."""
        opened: set[Path] = set()
        with noting_opened(opened):
            tables = [
                (None if isinstance(source, Source) else source_tables(source, split)) or SourceTables(source)
                for source in sources
            ]
        return cls(
            [*sources, documents, *([] if queries is None else [queries])],
            [found.rows for found in tables],
            [found for found in (*(found.queries for found in tables), queries) if found is not None],
            [found for found in (*(found.documents for found in tables), documents) if found is not None],
            [rows for found in tables for rows in found.held_out],
            held_out,
            [found.note for found in tables if found.note],
            opened,
        )
