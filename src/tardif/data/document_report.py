"""The report of reading a corpus: the documents by kind, and what was skipped, cut or remarkable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tardif.display import Short
from tardif.escaping import json_text
from tardif.folders import write_output

_SHOWN = 3  # names listed before "and N more"

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


@dataclass(repr=False)
class DocumentReport(Short):
    """The report of reading a corpus, filled while reading.

    ``lines`` is for people, ``records`` for a file of JSON lines.

    Attributes:
        read: the number of documents of each kind.
        notes: notes on files and rows.
        tables: a line for each table that needed a choice to be read.
        lost: a sentence on documents that the model does not read whole.

    >>> report = DocumentReport()
    >>> report.read["text"] += 2
    >>> report.skip("logo.png", "of a kind that is not read")
    >>> report.lines()
    ['documents read: 2 (2 text)', '1 skipped, of a kind that is not read: logo.png']
    """

    read: Counter[str] = field(default_factory=Counter)
    notes: list[Note] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    lost: str = ""

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
        for note in self.notes:
            if note.action != "cut":
                groups.setdefault((note.action, note.reason), []).append(note.place)
        # Skipped files come first: they are what a reader must act on.
        for (action, reason), places in sorted(groups.items(), reverse=True):
            lines.append(f"{len(places)} {'skipped, ' if action == 'skipped' else ''}{reason}: {listed(places)}")
        return [*lines, self.lost] if self.lost else lines

    def records(self) -> Iterator[dict[str, Any]]:
        """The notes as values of JSON."""
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
