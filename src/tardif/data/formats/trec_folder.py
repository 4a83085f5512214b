"""The files of a TREC collection in a folder, under the names that people give them.

Judgements are in files with ``qrel`` in their names, queries in files with ``topic`` or ``quer``, documents in a file
or folder with ``corpus``, ``collection``, ``docs`` or ``documents``, or in TREC's markup under any name. A split in the
names (``qrels.dev.tsv``, ``msmarco-test2019-queries.tsv``) chooses among several files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tardif.data.formats.files import bare_lines, kind_of
from tardif.data.formats.table_rows import TABLES
from tardif.data.formats.trec_text import document_files, holds_documents
from tardif.data.regular import is_folder
from tardif.errors import DataError

_SPLITS = ("train", "dev", "validation", "valid", "val", "test")
# Not "latest" or "value": a split is a word of a name, or follows doc as in MS MARCO's.
_SPLIT = re.compile(rf"(?:^|[^a-z]|doc|passage)({'|'.join(_SPLITS)})(?![a-z])", re.IGNORECASE)
_QUERIES, _CORPUS = ("topic", "quer"), ("corpus", "collection", "docs", "documents")
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_NOT_DATA = (".md", ".py", ".sh", ".pdf", ".html")


def is_qrels(path: Path) -> bool:
    """Whether a file is TREC qrels: its first line has four cells, the last a whole number."""
    if kind_of(path) in (".csv", ".json", ".jsonl", ".parquet"):
        return False
    try:
        first = next((text.split() for _, text in bare_lines(path, any_end=True) if text.strip()), [])
    except DataError:
        return False
    return len(first) == 4 and bool(_WHOLE.fullmatch(first[3]))


def find_parts(folder: Path, split: str) -> tuple[Path, Path, Path] | None:
    """The files of a split's judgements and queries, and the file or folder of documents; None if a part is missing.

    Raises:
        DataError: several files could be one part, or there are judgements, but none of the split.
    """
    files = _listed(folder)
    judged = [path for path in files if "qrel" in path.relative_to(folder).as_posix().lower() and is_qrels(path)]
    others = [path for path in files if path not in judged]
    queries = [path for path in others if _is_named(path.name, _QUERIES)]
    corpus = _corpus(folder, [path for path in others if path not in queries])
    if not judged or not queries or corpus is None:
        return None
    qrels = _of_split(judged, split, folder, "judgements")
    # Queries need no split of their own: one list may serve all.
    return qrels, _of_split(queries, split, folder, "queries"), corpus


def _listed(folder: Path) -> list[Path]:
    """The files of a folder and of the folders of judgements or queries in it, without links out of it."""
    inside = [path for path in folder.iterdir() if is_folder(path) and _is_named(path.name, ("qrel", *_QUERIES))]
    found = (path for place in (folder, *inside) for path in place.iterdir() if path.is_file())
    home = folder.resolve()
    return sorted(
        path
        for path in found
        if not path.name.startswith(".") and kind_of(path) not in _NOT_DATA and path.resolve().is_relative_to(home)
    )


def _is_named(name: str, words: Iterable[str]) -> bool:
    return any(word in name.lower() for word in words)


def _corpus(folder: Path, files: Sequence[Path]) -> Path | None:
    """The documents: a file or folder of that name, else the whole folder if it holds TREC's documents."""
    named = [path for path in files if path.parent == folder and _is_named(path.name, _CORPUS)]
    named += [path for path in sorted(folder.iterdir()) if is_folder(path) and _is_named(path.name, _CORPUS)]
    found = [path for path in named if (kind_of(path) in TABLES and not is_folder(path)) or _has_documents(path)]
    if len(found) > 1:
        raise _several(found, folder, "documents")
    return found[0] if found else folder if document_files(folder) else None


def _has_documents(path: Path) -> bool:
    return bool(document_files(path)) if is_folder(path) else holds_documents(path)


def _of_split(files: Sequence[Path], split: str, folder: Path, what: str) -> Path:
    """The file of a split: one with it in its name, else one without any split."""
    own = [path for path in files if _named_split(path) == split] or [p for p in files if f".{split}." in p.name]
    found = own or [path for path in files if not _named_split(path)]
    if not found:
        have = ", ".join(f"{_named_split(path)} ({path.name})" for path in files)
        raise DataError(f"has no {what} of the split {split} (it has: {have}): name one of its splits.", folder)
    if len(found) > 1:
        raise _several(found, folder, what)
    return found[0]


def _named_split(path: Path) -> str:
    found = _SPLIT.search(path.name)
    return found[1].lower() if found else ""


def _several(files: Sequence[Path], folder: Path, what: str) -> DataError:
    names = ", ".join(path.relative_to(folder).as_posix() for path in files[:5])
    return DataError(
        f"has several files of {what} ({names}): give the files themselves, --data QRELS --queries QUERIES --documents "
        "DOCUMENTS (in Python read_judged(qrels, documents=..., queries=...)).",
        folder,
    )
