"""The report of reading a corpus: the documents by kind, and what was skipped, cut or remarkable."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from tardif.display import Short
from tardif.escaping import json_text
from tardif.folders import write_output

_SHOWN = 3  # names listed before "and N more"
# Notes in memory, some 3 MB; and bytes of the others that are read at a time.
_HELD, _BYTES = 10_000, 1 << 20

# The remark on rows with markup, by the action of the rule.
MARKUP = {
    "keep": "texts with HTML tags, entities or the like (--on markup=clean takes them out, in training and here alike)",
    "clean": "texts whose HTML tags, entities or the like were taken out",
}


@dataclass(frozen=True, slots=True, repr=False)
class Note(Short):
    """A note on one file, folder, row or document.

    Attributes:
        action: ``skipped``: it gives no document. ``read``: it gives one, with a remark. ``cut``: the model does not
            read it to its end.
        reason: the reason; notes are counted by it.
        detail: more on the reason, with the way out.
        file: the file, or the file of the row, by its path inside the source.
        line: the line of a row in a table, or its number elsewhere; 0 for a whole file.
        document: the id of the document.
    """

    action: Literal["skipped", "read", "cut"]
    reason: str
    detail: str = ""
    file: str = ""
    line: int = 0
    document: str = ""

    @property
    def place(self) -> str:
        """The document, file or row, for a reader."""
        if self.document:
            return self.document
        return f"{self.file}, line {self.line}" if self.file and self.line else self.file or f"row {self.line}"

    def as_json(self) -> dict[str, Any]:
        """The note without empty fields."""
        return {name: value for name, value in asdict(self).items() if value}


class Notes(Collection[Note]):
    """Notes in their order. The first ones are in memory, the others in a temporary file without a name: a corpus may
    have a note on every row.

    >>> notes = Notes()
    >>> notes.append(Note("skipped", "empty", file="a.txt"))
    >>> [note.file for note in notes], len(notes)
    (['a.txt'], 1)
    """

    def __init__(self) -> None:
        self._held: list[Note] = []
        self._file: IO[bytes] | None = None
        self._count = 0

    def append(self, note: Note) -> None:
        """Add a note at the end."""
        self._count += 1
        if len(self._held) < _HELD:
            self._held.append(note)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is read later
            weakref.finalize(self, self._file.close)
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(note.as_json()).encode() + b"\n")

    def __len__(self) -> int:
        return self._count

    def __contains__(self, note: object) -> bool:
        return any(note == other for other in self)

    def __iter__(self) -> Iterator[Note]:
        yield from self._held
        if self._file is None:
            return
        place = 0
        while True:
            # Its own place, which a note that is added meanwhile does not move.
            self._file.seek(place)
            lines = self._file.readlines(_BYTES)
            if not lines:
                return
            place = self._file.tell()
            for line in lines:
                yield Note(**json.loads(line))


@dataclass(repr=False)
class DocumentReport(Short):
    """The report of reading a corpus, filled while reading.

    ``lines`` is for people, ``records`` for a file of JSON lines.

    Attributes:
        read: the number of documents of each kind.
        notes: notes on files and rows.
        tables: a line for each table that needed a choice to be read.
        lost: a sentence on documents that the model does not read whole.
        columns: of rows that are read as queries with documents and have a column of ids that is not used: role to
            column, with which the same rows are read as documents with these ids.

    >>> report = DocumentReport()
    >>> report.read["text"] += 2
    >>> report.skip("logo.png", "of a kind that is not read")
    >>> report.lines()
    ['documents read: 2 (2 text)', '1 skipped, of a kind that is not read: logo.png']
    """

    read: Counter[str] = field(default_factory=Counter)
    notes: Notes = field(default_factory=Notes)
    tables: list[str] = field(default_factory=list)
    lost: str = ""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def skip(self, path: str, reason: str, detail: str = "", *, line: int = 0) -> None:
        """Count a file or row that gives no document of its own."""
        self.notes.append(Note("skipped", reason, detail, path, line))

    def remark(self, path: str, reason: str, *, line: int = 0, document: str = "", detail: str = "") -> None:
        """Note a remark on a file or row that was read."""
        self.notes.append(Note("read", reason, detail, path, line, document))

    def mark(self, path: str, line: int, found: str, action: str) -> None:
        """Note the markup in a row."""
        self.remark(path, MARKUP[action], line=line, detail=found)

    def cut(self, document: str, detail: str) -> None:
        """Note a document that the model does not read to its end."""
        self.notes.append(Note("cut", "longer than the model reads", detail, document=document))

    @property
    def skipped(self) -> Counter[str]:
        """The number of skipped files and rows by reason."""
        return Counter(note.reason for note in self.notes if note.action == "skipped")

    def lines(self) -> list[str]:
        """The report for people: the documents read, then a line for each reason."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.read.items()) if count)
        lines = [f"documents read: {self.read.total()}" + (f" ({kinds})" if kinds else "")]
        lines += self.tables
        groups: dict[tuple[str, str], list[str]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for note in self.notes:
            if note.action != "cut":
                counts[note.action, note.reason] += 1
                places = groups.setdefault((note.action, note.reason), [])
                if len(places) < _SHOWN:
                    places.append(note.place)
        # Skipped files come first: they are what a reader must act on.
        for (action, reason), places in sorted(groups.items(), reverse=True):
            count = counts[action, reason]
            lines.append(f"{count} {'skipped, ' if action == 'skipped' else ''}{reason}: {listed(places, count)}")
        return [*lines, self.lost] if self.lost else lines

    def records(self) -> Iterator[dict[str, Any]]:
        """The notes as values of JSON."""
        return (note.as_json() for note in self.notes)

    def write(self, path: Path) -> None:
        """Write :meth:`records` as JSON lines, whole or not at all.

        Raises:
            FolderError: it cannot be written.
        """
        write_output(path, (json_text(record) + "\n" for record in self.records()))


def listed(names: list[str], count: int | None = None) -> str:
    """The first few of some names, and how many there are more; ``count`` in all."""
    more = (len(names) if count is None else count) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
