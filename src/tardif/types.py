"""Immutable values of retrieval: document, query, training example, hit, qrels, run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from tardif.checks import called, id_fault, plain_text, text_fault
from tardif.display import Short
from tardif.errors import DataError

# Judgements: query id -> document id -> relevance (1 and above: relevant; 0 and below: not).
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
# A system's answers: query id -> document id -> score (higher is better).
Run: TypeAlias = Mapping[str, Mapping[str, float]]


def _hold(record: Document | Query, kind: str, *texts: str) -> None:
    """Refuse fields that cannot be stored; turn whole numbers and NumPy texts into plain ``str``."""
    for name in ("id", *texts):
        value = getattr(record, name)
        if fault := id_fault(value) if name == "id" else text_fault(value):
            raise DataError(f"The {kind}'s {name} {fault}.")
        if type(value) is not str:
            # The dataclass is frozen, and this is still its __init__.
            object.__setattr__(record, name, plain_text(value))


@dataclass(frozen=True, slots=True, repr=False)
class Piece(Short):
    """The place of a piece in the long document that it was cut from, so that a reader can cite it.

    Attributes:
        document: the id of the document that was cut.
        number: the piece's number, from 1.
        of: the number of the document's pieces.
        start: the place of its first character in the document's text.
        end: the place after its last character. White space between pieces belongs to none.
        headings: the headings of the section that it begins in, the outermost first.
        page: the page that it begins on, from 1; None if the document has no pages.

    >>> Piece("manual.pdf", 2, 9, 1200, 2400, ("Setup", "Network"), page=3).place()["headings"]
    ['Setup', 'Network']
    """

    document: str
    number: int
    of: int
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the piece as ``--json`` prints it."""
        return {"document": self.document, **self.place()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Piece:
        """Return the piece that :meth:`as_json` wrote."""
        return cls(**{**fields, "headings": tuple(fields["headings"])})

    def place(self) -> dict[str, Any]:
        """Return all but the document's id. Filters ask for these values by ``@piece``."""
        found = {**asdict(self), "headings": list(self.headings)}
        del found["document"]
        return found


@dataclass(frozen=True, slots=True, repr=False)
class Outline(Short):
    """The places where a text's sections and pages begin, as the reader of its file found them.

    Attributes:
        headings: for each heading the place of its first character, its level (1 is the outermost) and its words.
        pages: for each page with text the place of its first character, and its number.
    """

    headings: tuple[tuple[int, int, str], ...] = ()
    pages: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Document(Short):
    """One text of the corpus, or a piece of a long one.

    Models and searchers read the title and the text, joined by a space as BEIR does (:attr:`content`). The metadata
    travel with the document; no model reads them. A value that could not be stored and read back is refused here, so
    that no index ever meets it.

    Args:
        id: a text that is not empty. A whole number becomes its digits.
        text: the text.
        title: the title, read before the text.
        metadata: a mapping; of JSON's types when it is stored (:func:`tardif.data.json_metadata.as_stored`).
        piece: the place in the document that this was cut from; None for a whole document.
        outline: the places of sections and pages, which cutting uses. It is not stored.

    Raises:
        DataError: a field has the wrong type, or UTF-8 cannot hold it.

    >>> document = Document(7, "Press the red button.", title="Manual", metadata={"year": 2024})
    >>> document.id, document.content
    ('7', 'Manual Press the red button.')
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
        """The id of the document that this was cut from, or its own id."""
        return self.id if self.piece is None else self.piece.document

    @property
    def content(self) -> str:
        """Title and text as one string, which every searcher and model reads."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class Query(Short):
    """One information need.

    Raises:
        DataError: as for :class:`Document`.

    >>> Query("q1", "how do I reset it?")
    Query(id='q1', text='how do I reset it?')
    """

    id: str
    text: str

    def __post_init__(self) -> None:
        _hold(self, "query", "text")


@dataclass(frozen=True, slots=True, repr=False)
class Example(Short):
    """A training example: the ids of a query, one positive and its hard negatives.

    ``scores`` are a teacher's: first the positive's, then each negative's. They are empty without a teacher.

    >>> Example("q1", "d3", ("d7", "d9")).negative_ids
    ('d7', 'd9')
    """

    query_id: str
    positive_id: str
    negative_ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Mark(Short):
    """A word of a text that earned a part of the score.

    Attributes:
        start: the place of its first character in the text.
        end: the place after its last character.
        weight: how clearly it stands out from the text's other words, from 0 to 1.

    >>> Mark(4, 10, 0.8)
    Mark(start=4, end=10, weight=0.8)
    """

    start: int
    end: int
    weight: float

    def as_json(self, text: str) -> dict[str, Any]:
        """Return the mark as ``--json`` prints it.

        Args:
            text: the text that it marks.
        """
        return {"text": text[self.start : self.end], "start": self.start, "end": self.end, "weight": self.weight}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Mark:
        """Return the mark that :meth:`as_json` wrote."""
        return cls(fields["start"], fields["end"], fields["weight"])


@dataclass(frozen=True, slots=True, repr=False)
class Hit(Short):
    """A document, or a piece of one, found for a query.

    Attributes:
        rank: from 1.
        document_id: the id. For a piece it is the piece's own (``page.md#2``); where hits are grouped by document it
            is the document's.
        score: MaxSim, or the blended score of a hybrid search.
        text: the text that was found.
        title: its title.
        metadata: the document's metadata.
        position: the place, from 0, among the documents given to be reranked; None in a search's hit.
        piece: the part of the document that was found; None for a whole document.
        snippet: the passage of the text that earned most of the score; None if the search did not explain its hits.
        matches: the words of the snippet that earned the score.
        title_matches: those of the title.

    >>> hit = Hit(1, "page.md#2", 21.5, "Press the red button.")
    >>> hit.as_json()["document_id"]
    'page.md#2'
    """

    rank: int
    document_id: str
    score: float
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    position: int | None = None
    piece: Piece | None = None
    snippet: str | None = None
    matches: tuple[Mark, ...] = ()
    title_matches: tuple[Mark, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the hit as ``--json`` prints it: with its snippet only if the search explained its hits."""
        return {
            "rank": self.rank,
            "document_id": self.document_id,
            "score": self.score,
            "title": self.title,
            "text": self.text,
            "metadata": dict(self.metadata),
            **({} if self.position is None else {"position": self.position}),
            "piece": None if self.piece is None else self.piece.as_json(),
            **({} if self.snippet is None else self._explained(self.snippet)),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Hit:
        """Return the hit that :meth:`as_json` wrote.

        >>> hit = Hit(1, "a", 2.5, "Press the red button.", snippet="... red button.", matches=(Mark(4, 7, 0.5),))
        >>> Hit.from_json(hit.as_json()) == hit
        True
        """
        piece = fields.get("piece")
        return cls(
            rank=fields["rank"],
            document_id=fields["document_id"],
            score=fields["score"],
            text=fields["text"],
            title=fields.get("title") or "",
            metadata=fields.get("metadata") or {},
            position=fields.get("position"),
            piece=None if piece is None else Piece.from_json(piece),
            snippet=fields.get("snippet"),
            matches=tuple(map(Mark.from_json, fields.get("matches") or ())),
            title_matches=tuple(map(Mark.from_json, fields.get("title_matches") or ())),
        )

    def _explained(self, snippet: str) -> dict[str, Any]:
        return {
            "snippet": snippet,
            "matches": [mark.as_json(snippet) for mark in self.matches],
            "title_matches": [mark.as_json(self.title) for mark in self.title_matches],
        }
