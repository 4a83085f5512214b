"""What the tools of the MCP server answer: typed, bounded in size, and with the way to what was left out.

An agent pays for every character that it reads. So an answer holds the passage of a document that earned the score, not
a whole book, and says where the rest is. Bounds hold whatever an index holds: long texts, ids, titles or metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from tardif.explanation import Explanation, Match, Token
from tardif.search.snippet import passage
from tardif.types import Document, Hit, Piece

# Characters of one answer's texts and of its metadata, over all hits; less than half of what agents' clients take.
TEXTS, METADATA = 24_000, 8_000
# Characters of an id, a title, a heading. A document with a longer id is left out: a part of an id is of no use.
MOST_ID, _MOST_TITLE, _MOST_HEADING = 500, 200, 100
_MOST_MATCHES = 40
# Of the passage of an explained document.
_PASSAGE = 600
# Of list_indexes: fields of an index, values of a field, characters of each.
_MOST_FIELDS, _MOST_VALUES, _MOST_VALUE = 50, 10, 60


class PieceOf(BaseModel):
    """Where a piece is in the document that it was cut from."""

    document: str = Field(description="Id of the whole document. get_document reads it.")
    number: int = Field(description="Number of this piece, from 1.")
    of: int = Field(description="How many pieces the document has. Their ids are DOCUMENT#1, DOCUMENT#2, ...")
    headings: list[str] = Field([], description="Headings of its section, the outermost first.")
    page: int | None = Field(None, description="Page that it begins on.")


class Excerpt(BaseModel):
    """A document, or a part of its text."""

    document_id: str
    title: str = ""
    text: str = Field(description="Characters start to end of the document's text, as they are.")
    start: int = Field(description="Place of the first character of text in the document's text, from 0.")
    end: int = Field(description="Place after the last character of text.")
    characters: int = Field(description="Characters of the document's whole text.")
    metadata: dict[str, Any] = {}
    left_out: list[str] = Field([], description="Keys of metadata with values too long to show here.")
    piece: PieceOf | None = Field(None, description="Set if the document is a piece of a longer one.")


class FoundDocument(Excerpt):
    """A hit: its whole text, or the passage of it that earned most of the score."""

    rank: int
    score: float = Field(description="Higher is better. Compare scores of one search only.")


class SearchAnswer(BaseModel):
    """The hits of a search."""

    index: str
    hits: list[FoundDocument] = Field(description="Best first.")
    note: str = Field("", description="What was cut and how to read it, or why nothing was found.")


class DocumentAnswer(Excerpt):
    """A part of a document's text."""

    index: str
    next_offset: int | None = Field(None, description="The offset that reads on; left out at the end of the text.")


class MatchedWord(BaseModel):
    """What a word of the query matched."""

    query: str
    document: str = Field(description="The word of the document that it matched best, or the words.")
    score: float = Field(description="Its part of the score: the sum over the tokens of the query's word.")


class ExplainAnswer(BaseModel):
    """A score taken apart."""

    index: str
    document_id: str
    score: float = Field(description="The sum of the scores of matches, and of other.")
    passage: str = Field(description="The passage of the document that earned most of the score.")
    matches: list[MatchedWord] = Field(description="The strongest first.")
    other: float = Field(description="What all else earned: the model's markers, and words that are not shown.")
    note: str = ""


class FieldOfIndex(BaseModel):
    """A key of the documents' metadata."""

    name: str = Field(description="As a filter writes it.")
    types: list[str]
    values: list[Any] | None = Field(None, description="Its values, the most frequent first, if they are few.")
    range: list[Any] | None = Field(None, description="Its least and its greatest value, where they have an order.")


class IndexSummary(BaseModel):
    """An index that can be searched."""

    name: str
    documents: int
    hybrid: bool = Field(description="Whether a search may ask for hybrid.")
    fields: list[FieldOfIndex] = Field(description="The metadata that filters can ask for.")
    fields_left_out: int = Field(0, description="How many more fields there are.")


class IndexesAnswer(BaseModel):
    """All indexes."""

    indexes: list[IndexSummary]


def found_document(hit: Hit, explanation: Explanation | None, characters: int, metadata: int) -> FoundDocument:
    """Return a hit as an answer shows it.

    Args:
        hit: with its whole text.
        explanation: of its score, which says where the best passage is; None shows the beginning.
        characters: of its text.
        metadata: characters of its metadata.
    """
    start, end = _best_place(hit, explanation, characters)
    shown = _excerpt(Document(hit.document_id, hit.text, hit.title, hit.metadata, hit.piece), start, end, metadata)
    return FoundDocument(rank=hit.rank, score=hit.score, **shown)


def document_answer(index: str, document: Document, offset: int, characters: int) -> DocumentAnswer:
    """Return a part of a document as an answer shows it."""
    end = min(offset + characters, len(document.text))
    shown = _excerpt(document, offset, end, METADATA)
    return DocumentAnswer(index=index, next_offset=end if end < len(document.text) else None, **shown)


def explain_answer(index: str, explanation: Explanation) -> ExplainAnswer:
    """Return an explanation as an answer shows it."""
    # Matches by the word of the query. Markers and its expansion are not in the text: nobody asked for them.
    by_word: dict[tuple[int, int], list[Match]] = {}
    for match in explanation.matches:
        token = explanation.query_tokens[match.query_token]
        if token.start is not None and token.end is not None:
            place = _place(explanation.query_tokens, token) or (token.start, token.end)
            by_word.setdefault(place, []).append(match)
    words = [
        MatchedWord(
            query=_cut(explanation.query[start:end], _MOST_HEADING),
            document=_cut(_matched(explanation, matches), _MOST_HEADING),
            score=sum(match.similarity for match in matches),
        )
        for (start, end), matches in by_word.items()
    ]
    strongest = sorted(words, key=lambda word: -word.score)[:_MOST_MATCHES]
    return ExplainAnswer(
        index=index,
        document_id=explanation.document_id,
        score=explanation.score,
        passage=passage(explanation, _PASSAGE).text,
        matches=strongest,
        other=explanation.score - sum(word.score for word in strongest),
        note=explanation.note,
    )


def index_summary(facts: Mapping[str, Any]) -> IndexSummary:
    """Return the facts of an index (:meth:`tardif.serving.served_index.ServedIndex.describe`) as an answer shows
    them."""
    named = [field for field in facts["fields"] if len(field["name"]) <= _MOST_HEADING]
    shown = named[:_MOST_FIELDS]
    return IndexSummary(
        name=facts["name"],
        documents=facts["documents"],
        hybrid=facts["hybrid"],
        fields=[
            FieldOfIndex(
                name=field["name"],
                types=field["types"],
                values=_short_values(field["values"]),
                range=field.get("range"),
            )
            for field in shown
        ],
        fields_left_out=len(facts["fields"]) - len(shown),
    )


def _short_values(values: Sequence[Any] | None) -> list[Any] | None:
    if values is None:
        return None
    return [value for value in values if len(str(value)) <= _MOST_VALUE][:_MOST_VALUES]


def _best_place(hit: Hit, explanation: Explanation | None, characters: int) -> tuple[int, int]:
    """Where the best passage of a hit's text begins and ends."""
    if len(hit.text) <= characters:
        return 0, len(hit.text)
    # The model reads title and text, joined by a space; white space at the beginning is left out.
    joined = f"{hit.title} {hit.text}"
    left_out = len(joined) - len(joined.lstrip())
    # Another process may have replaced the document since.
    if explanation is None or explanation.document != joined.strip():
        return 0, characters
    best = passage(explanation, characters, start=max(len(hit.title) - left_out, 0))
    shift = left_out - len(hit.title) - 1
    return max(best.start + shift, 0), min(best.end + shift, len(hit.text))


def _excerpt(document: Document, start: int, end: int, most: int) -> dict[str, Any]:
    metadata, left_out = _short_metadata(document.metadata, most)
    return {
        "document_id": document.id,
        "title": _cut(document.title, _MOST_TITLE),
        "text": document.text[start:end],
        "start": start,
        "end": end,
        "characters": len(document.text),
        "metadata": metadata,
        "left_out": left_out,
        "piece": None if document.piece is None else _piece(document.piece),
    }


def _piece(piece: Piece) -> PieceOf:
    headings = [_cut(heading, _MOST_HEADING) for heading in piece.headings[:8]]
    return PieceOf(document=piece.document, number=piece.number, of=piece.of, headings=headings, page=piece.page)


def _short_metadata(metadata: Mapping[str, Any], most: int) -> tuple[dict[str, Any], list[str]]:
    """The metadata that fit, and the keys of the others, as far as they fit."""
    shown: dict[str, Any] = {}
    left_out: list[str] = []
    for key, value in metadata.items():
        size = len(key) + len(json.dumps(value, ensure_ascii=False))
        if size <= most:
            shown[key] = value
            most -= size
        elif len(key) <= min(most, _MOST_HEADING):
            left_out.append(key)
            most -= len(key)
    return shown, left_out


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _matched(explanation: Explanation, matches: Sequence[Match]) -> str:
    """The words of the document that matches stand for."""
    tokens = explanation.document_tokens
    found = dict.fromkeys(tokens[number] for match in matches for number in match.document_tokens)
    places = ((token, _place(tokens, token)) for token in found)
    words = (token.text if place is None else explanation.document[slice(*place)] for token, place in places)
    return ", ".join(dict.fromkeys(words))


def _place(tokens: Sequence[Token], token: Token) -> tuple[int, int] | None:
    """Where the word of a token is in its text; None for a token that is not in it."""
    own = [token] if token.word is None else [other for other in tokens if other.word == token.word]
    places = [(part.start, part.end) for part in own if part.start is not None and part.end is not None]
    return (min(places)[0], max(end for _, end in places)) if places else None
