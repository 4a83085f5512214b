"""What the page's template shows: sections, verdicts and tables, without any decision left to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tardif.report.numbers import MINUS

GOOD, BAD, OPEN = "win", "loss", "tie"


@dataclass(frozen=True)
class PageTable:
    """A table with its caption. The first cell of a row names it.

    Attributes:
        words: the places of columns that hold words, which are not aligned as numbers.
        ranked: the places of columns of which the highest value is marked.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()
    ranked: Sequence[int] = ()

    @property
    def best(self) -> set[tuple[int, int]]:
        """The places of the highest values, by row and column; equal ones are all marked, if others are lower."""
        found = set()
        for column in self.ranked:
            known = {place: _number(row[column]) for place, row in enumerate(self.rows) if row[column]}
            if len(set(known.values())) > 1:
                found |= {(place, column) for place, number in known.items() if number == max(known.values())}
        return found


def _number(text: str) -> float:
    return float(text.replace(MINUS, "-"))


@dataclass(frozen=True)
class Verdict:
    """A verdict in one sentence.

    Attributes:
        tone: :data:`GOOD`, :data:`BAD` or :data:`OPEN`.
        lead: its first words, such as ``Better``.
        rest: the rest of the sentence.
        facts: figures below it, each with its name.
        tally: queries won, tied and lost.
        warnings: what the reader must know.
        beside: further sentences.
    """

    tone: str
    lead: str
    rest: str
    facts: Sequence[tuple[str, str]] = ()
    tally: tuple[int, int, int] | None = None
    warnings: Sequence[str] = ()
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class PageSection:
    """A section of the page.

    Attributes:
        key: its id in the page.
        title: its heading.
        template: the file that shows it.
        content: what that file shows.
    """

    key: str
    title: str
    template: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PagePart:
    """What is shown of one folder.

    Attributes:
        key: its id in the page.
        name: the folder's name.
        kind: what it is, in words.
        about: short facts: base, device, time.
        verdict: of a training or an evaluation.
        sections: in their order.
        notes: what could not be read.
    """

    key: str
    name: str
    kind: str
    about: Sequence[tuple[str, str]]
    verdict: Verdict | None
    sections: Sequence[PageSection]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """The whole page."""

    title: str
    parts: Sequence[PagePart]
    compared: Sequence[PageSection] = ()
    verdict: Verdict | None = None
    notes: Sequence[str] = ()
