"""A folder of documents: what is read of it, in which order, and a report of what is not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tardif.checks import storable
from tardif.data.extraction import KINDS, Extracted, Refused, extract, kind_of, require
from tardif.errors import DataError
from tardif.showing import Short
from tardif.types import Document

_SHOWN = 3


@dataclass(frozen=True, slots=True, repr=False)
class FileNote(Short):
    """What the report says of one file (or folder), by its path inside the source."""

    path: str
    action: Literal["skipped", "read"]
    reason: str
    detail: str = ""


@dataclass(repr=False)
class DocumentReport(Short):
    """What became documents, by kind, and every file that did not, or not quite. Filled while reading.

    ``lines`` is for people, ``records`` for a ``report.jsonl``.
    """

    read: Counter[str] = field(default_factory=Counter)
    notes: list[FileNote] = field(default_factory=list)

    def skip(self, path: str, reason: str, detail: str = "") -> None:
        """Count a file that gives no document."""
        self.notes.append(FileNote(path, "skipped", reason, detail))

    def remark(self, path: str, reason: str) -> None:
        """Note something of a file that was read."""
        self.notes.append(FileNote(path, "read", reason))

    @property
    def skipped(self) -> Counter[str]:
        """How many files were skipped, by reason."""
        return Counter(note.reason for note in self.notes if note.action == "skipped")

    def lines(self) -> list[str]:
        """The report for people: what was read as what, then a line for each reason."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.read.items()))
        lines = [f"documents read: {self.read.total()}" + (f" ({kinds})" if kinds else "")]
        groups: dict[tuple[str, str], list[str]] = {}
        for note in self.notes:
            groups.setdefault((note.action, note.reason), []).append(note.path)
        for (action, reason), paths in sorted(groups.items(), reverse=True):
            shown = ", ".join(paths[:_SHOWN]) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
            lines.append(f"{len(paths)} {'skipped, ' if action == 'skipped' else ''}{reason}: {shown}")
        return lines

    def records(self) -> Iterator[dict[str, str]]:
        """A row for each file that was skipped or is worth a remark."""
        return (asdict(note) for note in self.notes)


def find_files(folder: Path, report: DocumentReport) -> list[str]:
    """The paths inside ``folder`` of every regular file, in an order that no file system decides.

    Hidden files and folders are left alone, and so is a link that leads out of the folder, nowhere, or to
    a folder (one inside is read in its own place). All are counted.

    Raises:
        DataError: a folder cannot be listed, or a name is not UTF-8 and so cannot be an id.
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
            raise DataError(f"cannot be listed ({error.strerror}).", folder / inside) from error
        for entry in listed:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not storable(path):  # Python holds other bytes as lone surrogates
                raise DataError(f"holds a name that is not UTF-8 ({path!a}): rename it.", folder)
            reason = _why_not(entry, root)
            if reason:
                report.skip(path, reason)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                found.append(path)
    report.notes.sort(key=lambda note: note.path)
    return sorted(found)


def stream_files(folder: Path, paths: list[str], report: DocumentReport) -> Iterator[Document]:
    """Read the documents among ``paths``; their ids are those paths.

    Raises:
        DataError: a text is not UTF-8, or a library that a kind needs is missing.
    """
    require(kind for path in paths if (kind := kind_of(Path(path))))
    for path in paths:
        if kind_of(Path(path)) is None:
            suffix = Path(path).suffix.lower()
            report.skip(path, f"{suffix} files" if suffix else "files without a suffix")
            continue
        found = extract(folder / path)
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
