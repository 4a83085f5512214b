"""The field's words as immutable values: document, query, example, hit, qrels, run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tardif.checks import called, id_fault, plain_text, text_fault
from tardif.display import Short
from tardif.errors import DataError

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Judgements: query id -> document id -> relevance (1 and above: relevant; 0 and below: not)."""

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""A system's answers: query id -> document id -> score (higher is better)."""


def _hold(record: Document | Query, kind: str, *texts: str) -> None:
    """Refuse fields that cannot be stored, and make plain texts of the others: a number's digits, NumPy's texts."""
    for name in ("id", *texts):
        value = getattr(record, name)
        if fault := id_fault(value) if name == "id" else text_fault(value):
            raise DataError(f"The {kind}'s {name} {fault}.")
        if type(value) is not str:
            object.__setattr__(record, name, plain_text(value))


@dataclass(frozen=True, slots=True, repr=False)
class Piece(Short):
    """Which part of a long document a piece is: what a reader needs to cite it.

    Attributes:
        document: the id of the document that was cut.
        number: of the piece, from 1.
        of: how many pieces the document has.
        start: its first character in the document's text.
        end: the character after its last. White space around a piece belongs to none.
        headings: the section that it begins in: the headings that lead there, the outermost first.
        page: the page that it begins on, from 1; None where there are no pages.
    """

    document: str
    number: int
    of: int
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The piece as the command contract prints it."""
        return {"document": self.document, **self.place()}

    def place(self) -> dict[str, Any]:
        """All but the document's id: what filters ask as ``@piece``."""
        return {
            "number": self.number,
            "of": self.of,
            "start": self.start,
            "end": self.end,
            "headings": list(self.headings),
            "page": self.page,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Outline(Short):
    """Where the parts of a text begin, as the reader of its file has found them.

    Attributes:
        headings: of each heading its first character, its level (1 is the outermost) and its words, in their order.
        pages: of each page with text its first character and its number, in their order.
    """

    headings: tuple[tuple[int, int, str], ...] = ()
    pages: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Document(Short):
    """One text of the corpus, or a piece of one that was cut.

    ``title`` and ``text`` are what the model reads, joined by a space as BEIR does
    (:attr:`content`); ``metadata`` travels with the document and is never read by the model.

    Whatever cannot be stored and read back is refused here, so that no index or set ever meets it.

    Args:
        id: a text, not empty; a whole number is taken as its digits.
        text: what is read.
        title: what is read before it.
        metadata: a mapping, of JSON's types when it is stored (:func:`tardif.data.json_metadata.as_stored`).
        piece: which part it is of the document that it was cut from; None for a whole document.
        outline: where its pages and sections begin, which cutting reads; it is not stored.

    Raises:
        DataError: a field is of another type, or UTF-8 cannot hold it.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    piece: Piece | None = None
    outline: Outline | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _hold(self, "document", "text", "title")
        if type(self.metadata) is not dict and not isinstance(self.metadata, Mapping):
            raise DataError(f"The document's metadata must be a dict, not {called(self.metadata)}: leave it out.")

    @property
    def whole_id(self) -> str:
        """The id of the document that this is a piece of, or its own."""
        return self.id if self.piece is None else self.piece.document

    @property
    def content(self) -> str:
        """Title and text as one string: what every searcher and model reads."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class Query(Short):
    """One information need.

    Raises:
        DataError: as for :class:`Document`.
    """

    id: str
    text: str

    def __post_init__(self) -> None:
        _hold(self, "query", "text")


@dataclass(frozen=True, slots=True, repr=False)
class Example(Short):
    """What one training step learns from: a query, one positive, and its hard negatives (ids).

    ``scores`` are a teacher's, of the positive and then of each negative; empty without a teacher.
    """

    query_id: str
    positive_id: str
    negative_ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Hit(Short):
    """One document, or piece of one, found for a query. ``rank`` counts from 1; ``score`` is MaxSim.

    ``document_id`` is the piece's own id where a document was cut (``page.md#2``), and the document's where hits are
    grouped; ``piece`` says either time which part is shown. It is None for a whole document.

    ``position`` is the document's place, counted from 0, in what was given to be reranked; None for a search's hit.
    """

    rank: int
    document_id: str
    score: float
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    position: int | None = None
    piece: Piece | None = None

    def as_json(self) -> dict[str, Any]:
        """The hit as the command contract prints it."""
        return {
            "rank": self.rank,
            "document_id": self.document_id,
            "score": self.score,
            "title": self.title,
            "text": self.text,
            "metadata": dict(self.metadata),
            **({} if self.position is None else {"position": self.position}),
            "piece": None if self.piece is None else self.piece.as_json(),
        }
