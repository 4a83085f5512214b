"""Judgements with their places, which every format is read as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from tardif.display import Short
from tardif.types import Document, Query

Role = Literal["positive", "negative", "labelled", "clicked"]


@dataclass(frozen=True, slots=True, repr=False)
class Judgement(Short):
    """One query with one document, as a source gives it.

    Attributes:
        query: the query's text, or None where the source gives only its id (its texts come from
            :meth:`Source.queries`).
        document: the document's text, or None likewise.
        role: ``positive`` or ``negative`` where the format decides; ``labelled`` where ``label`` does; ``clicked``
            where ``clicks`` do.
        place: the line or row in the source, counted from 1, for errors and reports.
        query_id: the query's id, if the source has one.
        document_id: the document's id, if the source has one.
        label: the label as the source has it.
        score: a teacher's score of the pair.
        group: the value of the field to split by, if one was asked for.
        clicks: the number of clicks on the document.
        shown: the number of times it was shown, if the source has it.
    """

    query: str | None
    document: str | None
    role: Role
    place: int
    query_id: str | None = None
    document_id: str | None = None
    label: str | float | None = None
    score: float | None = None
    group: str | None = None
    clicks: float | None = None
    shown: float | None = None


@runtime_checkable
class Source(Protocol):
    """A format opened for reading. Every method streams, and may be called once.

    ``name`` is the path, or ``data`` for Python values. ``shape`` is one line on how the source is read; it is complete
    after the last judgement.
    """

    @property
    def name(self) -> str:
        """The name for messages."""

    @property
    def shape(self) -> str:
        """How the source is read."""

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The source's own corpus with places, empty where it has none."""

    def queries(self) -> Iterator[tuple[int, Query]]:
        """The source's own list of queries with places, empty where it has none."""

    def judgements(self) -> Iterator[Judgement]:
        """The judgements, in the source's order."""
