"""The files of a TREC collection in a folder, under the names that people give them.

Judgements are in files with ``qrel`` in their names, queries in files with ``topic`` or ``quer``, documents in a file
or folder with ``corpus``, ``collection``, ``docs`` or ``documents``, or in TREC's markup under any name. A split in the
names (``qrels.dev.tsv``, ``msmarco-test2019-queries.tsv``) chooses among several files.
"""

from __future__ import annotations

import os
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
_SPACE, _WHOLE = re.compile(r"[ \t]+"), re.compile(r"[+-]?[0-9]{1,9}")
_BARE = ("", ".txt", ".qrels", ".qrel", ".trec")
_THEMSELVES = (
    "Give the file of judgements in place of the folder, with --queries QUERIES --documents DOCUMENTS (in Python "
    "queries=, documents=)"
)
_NOT_DATA = (".md", ".py", ".sh", ".pdf", ".html")


def is_qrels(path: Path) -> bool:
    """Whether a file is TREC qrels: its first line has four cells, the last a whole number."""
    if kind_of(path) in (".csv", ".json", ".jsonl", ".parquet"):
        return False
    try:
        lines = (text.strip(" \t") for _, text in bare_lines(path, any_end=True))
        first = _SPACE.split(next(filter(None, lines), ""))
    except DataError:
        return False
    return len(first) == 4 and bool(_WHOLE.fullmatch(first[3]))


def find_parts(folder: Path, split: str) -> tuple[Path, Path, Path] | None:
    """The files of a split's judgements and queries, and the file or folder of documents; None if a part is missing.

    Raises:
        DataError: several files could be one part, or there are judgements, but none of the split.
    """
    files = _listed(folder)
    named = [path for path in files if "qrel" in path.relative_to(folder).as_posix().lower()]
    # Where none is sound, the reader says what is wrong with the first line.
    judged = [path for path in named if is_qrels(path)] or [path for path in named if kind_of(path) in _BARE]
    if not judged:  # before the documents are looked for, of which a folder may hold very many
        return None
    others = [path for path in files if path not in judged]
    queries = [path for path in others if _is_named(path.name, _QUERIES)]
    corpus = _corpus(folder, [path for path in others if path not in queries])
    if not queries and corpus is None:
        return None
    if not queries or corpus is None:
        what, words = ("queries", "topics or queries") if not queries else ("documents", "corpus, collection or docs")
        raise DataError(
            f"has judgements ({judged[0].name}), but no {what}: no file or folder inside has {words} in its name "
            f"(links out of the folder are not followed). {_THEMSELVES}.",
            folder,
        )
    qrels = _of_split(judged, split, folder, "judgements")
    # Queries need no split of their own: one list may serve all.
    return qrels, _of_split(queries, split, folder, "queries"), corpus


def _listed(folder: Path) -> list[Path]:
    """The files of a folder and of the folders of judgements or queries in it."""
    found = _inside(folder)
    for place in [path for path in found if is_folder(path) and _is_named(path.name, ("qrel", *_QUERIES))]:
        found += _inside(place)
    return sorted(path for path in found if path.is_file() and kind_of(path) not in _NOT_DATA)


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, without hidden names and links out of it."""
    home = folder.resolve()
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and Path(os.path.realpath(path)).is_relative_to(home)
    )


def _is_named(name: str, words: Iterable[str]) -> bool:
    return any(word in name.lower() for word in words)


def _corpus(folder: Path, files: Sequence[Path]) -> Path | None:
    """The documents: a file or folder of that name, else the whole folder if it holds TREC's documents."""
    named = [path for path in files if path.parent == folder and _is_named(path.name, _CORPUS)]
    named += [path for path in _inside(folder) if is_folder(path) and _is_named(path.name, _CORPUS)]
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
        f"has several files of {what} ({names}). {_THEMSELVES}.",
        folder,
    )
