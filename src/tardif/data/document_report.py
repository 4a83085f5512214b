"""What became of a corpus: what was read as what, and everything that was not, or not quite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tardif.display import Short
from tardif.escaping import json_text
from tardif.folders import write_output

_SHOWN = 3

MARKUP = {
    "keep": "texts with HTML tags, entities or the like (--on markup=clean takes them out, in training and here alike)",
    "clean": "texts whose HTML tags, entities or the like were taken out",
}
"""What is said of rows with markup, by what is done with it."""


@dataclass(frozen=True, slots=True, repr=False)
class Note(Short):
    """What the report says of one file, folder, row or document.

    Attributes:
        action: ``skipped``: it is no document; ``read``: it is one, and something is to be said of it; ``cut``: the
            model does not read it to its end.
        reason: what notes are counted by.
        detail: more of it, with the way out.
        file: the file, by its path inside the source; of a row, that it stands in.
        line: of a row: its line in a table, its number elsewhere; 0 for a whole file.
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
        """What it is of, as a person is shown it."""
        if self.document:
            return self.document
        return f"{self.file}, line {self.line}" if self.file and self.line else self.file or f"row {self.line}"

    def as_json(self) -> dict[str, Any]:
        """The note without what it does not say."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(repr=False)
class DocumentReport(Short):
    """What became documents, by kind, and every file and row that did not, or not quite. Filled while reading.

    ``lines`` is for people, ``records`` for a file of JSON lines.

    Attributes:
        read: how many documents of each kind were read.
        notes: on each file and row of which there is something to say.
        tables: how each table was read that was not plainly read, a line for each.
        lost: of documents that the model does not read whole, a sentence.
    """

    read: Counter[str] = field(default_factory=Counter)
    notes: list[Note] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    lost: str = ""

    def skip(self, path: str, reason: str, detail: str = "") -> None:
        """Count a file that gives no document."""
        self.notes.append(Note("skipped", reason, detail, path))

    def skip_row(self, path: str, line: int, reason: str, detail: str = "") -> None:
        """Count a row that gives no document of its own."""
        self.notes.append(Note("skipped", reason, detail, path, line))

    def remark(self, path: str, reason: str, *, line: int = 0, document: str = "", detail: str = "") -> None:
        """Note something of a file, or of a row, that was read."""
        self.notes.append(Note("read", reason, detail, path, line, document))

    def mark(self, path: str, line: int, found: str, action: str) -> None:
        """Note the markup in a row."""
        self.remark(path, MARKUP[action], line=line, detail=found)

    def cut(self, document: str, detail: str) -> None:
        """Note a document that the model does not read to its end."""
        self.notes.append(Note("cut", "longer than the model reads", detail, document=document))

    @property
    def skipped(self) -> Counter[str]:
        """How many files and rows were skipped, by reason."""
        return Counter(note.reason for note in self.notes if note.action == "skipped")

    def lines(self) -> list[str]:
        """The report for people: what was read as what, then a line for each reason."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.read.items()) if count)
        lines = [f"documents read: {self.read.total()}" + (f" ({kinds})" if kinds else "")]
        lines += self.tables
        groups: dict[tuple[str, str], list[str]] = {}
        for note in self.notes:
            if note.action != "cut":
                groups.setdefault((note.action, note.reason), []).append(note.place)
        for (action, reason), places in sorted(groups.items(), reverse=True):
            lines.append(f"{len(places)} {'skipped, ' if action == 'skipped' else ''}{reason}: {listed(places)}")
        return [*lines, self.lost] if self.lost else lines

    def records(self) -> Iterator[dict[str, Any]]:
        """A row for each file, row and document that was skipped or cut, or is worth a remark."""
        return (note.as_json() for note in self.notes)

    def write(self, path: Path) -> None:
        """Write :meth:`records` as JSON lines, whole or not at all.

        Raises:
            FolderError: it cannot be written.
        """
        write_output(path, "".join(json_text(record) + "\n" for record in self.records()))


def listed(names: list[str]) -> str:
    """The first few of some names, and how many there are more."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
