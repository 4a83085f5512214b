"""A folder of documents: what is read of it, and in which order. Nothing in it stops the reading of the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tardif.checks import storable
from tardif.data.document_report import DocumentReport
from tardif.data.extracted import Extracted, Refused
from tardif.data.extraction import KINDS, extract, kind_of, require
from tardif.errors import DataError
from tardif.types import Document


def find_files(folder: Path, report: DocumentReport) -> list[str]:
    """The paths inside ``folder`` of every regular file, in an order that no file system decides.

    Hidden files and folders are left alone, and so is a link that leads out of the folder, nowhere, or to
    a folder (one inside is read in its own place); so is what has a name that is not UTF-8, which can be no id, and a
    folder inside that cannot be listed. All are counted.

    Raises:
        DataError: the folder itself cannot be listed.
    """
    root = folder.resolve()
    found: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(root / inside) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not inside:
                raise DataError(f"cannot be listed ({error.strerror}).", folder) from error
            report.skip(inside, "folders that cannot be listed", f"{error.strerror}.")
            continue
        for entry in listed:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not storable(path):  # Python holds other bytes as lone surrogates
                report.skip(ascii(path)[1:-1], "names that are not UTF-8", "rename it: its name is its id.")
                continue
            reason = _why_not(entry, root)
            if reason:
                report.skip(path, reason)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                found.append(path)
    report.notes.sort(key=lambda note: note.file)
    return sorted(found)


def stream_files(folder: Path, paths: list[str], report: DocumentReport) -> Iterator[Document]:
    """Read the documents among ``paths``; their ids are those paths.

    Raises:
        DataError: a library that a kind needs is missing.
    """
    require(kind for path in paths if (kind := kind_of(Path(path))))
    for path in paths:
        if kind_of(Path(path)) is None:
            suffix = Path(path).suffix.lower()
            report.skip(path, f"{suffix} files" if suffix else "files without a suffix")
            continue
        try:
            found = extract(folder / path)
        except DataError as error:  # gone, or no regular file any more, since the folder was listed
            found = Refused("cannot be read", str(error))
        if isinstance(found, Refused):
            report.skip(path, found.reason, found.detail)
        else:
            yield as_document(path, found, report)


def read_file(path: Path, report: DocumentReport) -> Document:
    """Read a document file that was named itself: its id is its name.

    Raises:
        DataError: it cannot be read, or holds no text.
    """
    require([KINDS[path.suffix.lower()]])
    found = extract(path)
    if isinstance(found, Refused):
        raise DataError(f"{found.reason}: {found.detail}", path)
    return as_document(path.name, found, report)


def as_document(path: str, found: Extracted, report: DocumentReport) -> Document:
    """What a file says as a document, counted."""
    report.read[KINDS[Path(path).suffix.lower()]] += 1
    for note in found.notes:
        report.remark(path, note)
    return Document(path, found.text, found.title, {"path": path, **found.metadata}, outline=found.outline)


def _why_not(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry is left alone; empty if it is not."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))  # resolve() raises on links in a ring
        if not target.exists():
            return "links to nothing"
        if not target.is_relative_to(root):
            return "links out of the folder"
        if target.is_dir():
            return "links to a folder inside"
    elif entry.is_dir():
        return ""
    return "" if entry.is_file() else "no regular files"
