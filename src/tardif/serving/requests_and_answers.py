"""The bodies of requests and answers, as pydantic reads them and OpenAPI shows them.

Requests are strict: a text is a text, and an unknown field is an error, because a misspelt ``filter`` would search
everything. Answers are what the command line prints with ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from tardif.errors import DataError, SettingError
from tardif.index.protocol import RECALL
from tardif.serving.limits import ServiceLimits
from tardif.types import Document

Number = StrictInt | StrictFloat


class Asked(BaseModel):
    """The parent of all requests' bodies."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(Asked):
    """What to search for, and how."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [{"required": ["query"]}, {"required": ["queries"]}],
            "examples": [
                {"query": "how do I reset my password?", "k": 3},
                {"query": "reset my password", "filter": "lang = 'en' and year >= 2020", "explain": True},
                {"queries": ["reset my password", "where is my parcel?"], "k": 5},
            ],
        },
    )

    query: StrictStr = Field("", description="One query. Its answer has `hits`.")
    queries: list[StrictStr] = Field([], description="Several queries instead. Their answer has `results`.")
    k: StrictInt = Field(10, ge=1, description="Number of hits.")
    filter: StrictStr | dict[str, Any] | None = Field(
        None, description="Search only documents that pass: an expression, `lang = 'en'`, or its form as an object."
    )
    recall: Number | None = Field(None, description="Expected share of an exact search's hits, above 0, at most 1.")
    exact: StrictBool = Field(False, description="Score every document.")
    hybrid: StrictBool = Field(False, description="Blend with BM25, if the index has words.")
    word_share: Number | None = Field(None, ge=0, le=1, description="BM25's share of the scores of a hybrid search.")
    group: StrictBool = Field(False, description="One hit per document: its best piece.")
    explain: StrictBool = Field(
        False, description="Give each hit its best passage, with the words that earned its score."
    )

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if len({"query", "queries"} & self.model_fields_set) != 1:
            raise ValueError("Give query, or queries.")
        return self

    @property
    def texts(self) -> list[str]:
        """The queries."""
        return self.queries if "queries" in self.model_fields_set else [self.query]

    def options(self) -> dict[str, Any]:
        """Return how to search, as ``ServedIndex.search`` takes it."""
        return {
            "k": self.k,
            "where": self.filter,
            "recall": RECALL if self.recall is None else self.recall,
            "exact": self.exact,
            "hybrid": self.hybrid,
            "word_share": self.word_share,
            "group": self.group,
            "explain": self.explain,
        }


class GivenDocument(Asked):
    """A document."""

    document_id: StrictStr = Field(min_length=1, description="Its id.")
    text: StrictStr
    title: StrictStr = Field("", description="Read before the text.")
    metadata: dict[str, Any] = Field({}, description="For filters, and returned with hits.")

    def document(self) -> Document:
        """Return the document.

        Raises:
            DataError: it cannot be stored.
        """
        return Document(self.document_id, self.text, self.title, self.metadata)


class RerankedDocument(Asked):
    """A document to order. Its id is only for the reader."""

    document_id: StrictStr = Field("", description="Its id; by default its place in the list, from 0.")
    text: StrictStr
    title: StrictStr = ""
    metadata: dict[str, Any] = {}


class RerankRequest(Asked):
    """Documents to order for a query."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "query": "what makes the tides?",
                    "documents": ["The moon does.", {"document_id": "bread", "text": "Bread rises."}],
                    "k": 1,
                }
            ]
        },
    )

    query: StrictStr
    documents: list[StrictStr | RerankedDocument]
    k: StrictInt = Field(10, ge=1, description="Number of hits.")

    def given(self) -> list[Document]:
        """Return the documents, with an id each.

        Raises:
            DataError: one cannot be used.
        """
        found = []
        for place, given in enumerate(self.documents):
            one = RerankedDocument.model_validate({"text": given}) if isinstance(given, str) else given
            found.append(_at(place, one.document_id or str(place), one.text, one.title, one.metadata))
        return found


class ExplainRequest(Asked):
    """A query, and a document of the index or a text, whose score is explained."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [{"required": ["document_id"]}, {"required": ["text"]}],
            "examples": [
                {"query": "reset my password", "document_id": "article-3"},
                {"query": "reset my password", "text": "Open your account and choose Security."},
            ],
        },
    )

    query: StrictStr
    document_id: StrictStr = Field("", description="A document, or piece, of the index.")
    text: StrictStr = Field("", description="Instead: a text, which is encoded now.")
    similarities: StrictBool = Field(False, description="Also give every `similarities`, and `marks`.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len({"document_id", "text"} & self.model_fields_set) != 1:
            raise ValueError("Give document_id, or text.")
        return self

    @property
    def about(self) -> dict[str, str]:
        """What is explained, as ``ServedIndex.explain`` takes it."""
        name = "text" if "text" in self.model_fields_set else "document_id"
        return {name: getattr(self, name)}


class PutRequest(Asked):
    """Documents to add. They replace those with the same ids."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "documents": [
                        {
                            "document_id": "stairs",
                            "text": "Delivery up the stairs is free.",
                            "title": "Delivery",
                            "metadata": {"lang": "en", "year": 2026},
                        }
                    ]
                }
            ]
        },
    )

    documents: list[GivenDocument] = Field(min_length=1)

    def given(self) -> list[Document]:
        """Return the documents.

        Raises:
            DataError: one cannot be stored, or two have the same id.
        """
        seen: set[str] = set()
        for place, one in enumerate(self.documents):
            if one.document_id in seen:
                raise DataError(f"documents: number {place + 1} has an id that another one has: send it once.")
            seen.add(one.document_id)
        return [
            _at(place, one.document_id, one.text, one.title, one.metadata) for place, one in enumerate(self.documents)
        ]


class DeleteRequest(Asked):
    """Ids of documents to delete, with all of their pieces. Unknown ids are ignored."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"document_ids": ["stairs"]}]})

    document_ids: list[StrictStr] = Field(min_length=1)


class FeedbackRequest(Asked):
    """A judgement of a hit."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "reset my password", "document_id": "article-3", "label": 1}]},
    )

    query: StrictStr
    document_id: StrictStr = Field(min_length=1)
    # Not Literal: false equals 0.
    label: StrictInt = Field(ge=0, le=1, description="1: the document answers the query. 0: it does not.")


def _at(place: int, identity: str, text: str, title: str, metadata: Mapping[str, Any]) -> Document:
    try:
        return Document(identity, text, title, metadata)
    except DataError as error:
        raise DataError(f"documents: number {place + 1}: {error}") from error


class Mark(BaseModel):
    """A word that earned a part of the score."""

    text: str
    start: int
    end: int
    weight: float = Field(description="How clearly it stands out, from 0 to 1.")


class Piece(BaseModel):
    """The part of a long document that was found."""

    document: str
    number: int
    of: int
    start: int
    end: int
    headings: list[str]
    page: int | None


class Hit(BaseModel):
    """A document that was found, as the command line prints it."""

    rank: int
    document_id: str
    score: float
    title: str
    text: str
    metadata: dict[str, Any]
    position: int | None = Field(None, description="Of a reranked document: its place in the list, from 0.")
    piece: Piece | None
    snippet: str | None = Field(None, description="With `explain`: the passage that earned most of the score.")
    matches: list[Mark] | None = None
    title_matches: list[Mark] | None = None


class HitList(BaseModel):
    """The hits of one query, best first."""

    query: str
    hits: list[Hit]
    note: str | None = Field(None, description="Why nothing was found.")


class HitLists(BaseModel):
    """The hits of several queries, in their order."""

    results: list[HitList]


class Token(BaseModel):
    """A token with a vector, and its place in the text."""

    text: str
    start: int | None
    end: int | None
    word: int | None


class Match(BaseModel):
    """A token of the query, and the token of the document that is most similar to it."""

    query_token: int
    document_token: int
    similarity: float
    document_tokens: list[int] | None = Field(None, description="Where tokens share a vector: all of them.")


class Explained(BaseModel):
    """A score taken apart: the similarities of the matches sum to it."""

    query: str
    document: str
    document_id: str | None = None
    query_tokens: list[Token]
    document_tokens: list[Token]
    matches: list[Match]
    score: float
    note: str | None = None
    similarities: list[list[float]] | None = Field(None, description="[query tokens, document tokens], if asked for.")
    marks: list[Mark] | None = Field(None, description="The words of the document that earned the score, likewise.")


class Added(BaseModel):
    """How many documents were written. They are on disk, and searches find them."""

    added: int
    replaced: int
    note: str | None = Field(None, description="Which of them are longer than the model reads, if any are.")


class Deleted(BaseModel):
    """How many documents were deleted."""

    deleted: int


class StoredDocument(BaseModel):
    """A document, or piece, of the index."""

    document_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    piece: Piece | None


class MetadataField(BaseModel):
    """A field of the documents' metadata."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="As filters write it.")
    types: list[str]
    values: list[Any] | None = Field(None, description="The values, if they are few, the most frequent first.")


class Description(BaseModel):
    """An index that is served."""

    model_config = ConfigDict(extra="allow")

    name: str
    documents: int
    bits: int
    hybrid: bool = Field(description="Whether a hybrid search is possible.")
    read_only: bool
    model: str
    fields: list[MetadataField]


class IndexList(BaseModel):
    """The indexes that are served."""

    indexes: list[Description]


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["ok"]


# Limits of fields: the keyword of JSON Schema, and the limit. "items/" applies to each element.
_BOUNDS: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = {
    "SearchRequest": {
        "k": (("maximum", "k"),),
        "query": (("maxLength", "query_characters"),),
        "queries": (("maxItems", "queries"), ("items/maxLength", "query_characters")),
        "filter": (("maxLength", "filter_characters"),),
    },
    "RerankRequest": {
        "k": (("maximum", "k"),),
        "query": (("maxLength", "query_characters"),),
        "documents": (("maxItems", "rerank_documents"),),
    },
    "ExplainRequest": {"query": (("maxLength", "query_characters"),)},
    "PutRequest": {"documents": (("maxItems", "documents"),)},
    "DeleteRequest": {"document_ids": (("maxItems", "document_ids"),)},
    "FeedbackRequest": {"query": (("maxLength", "query_characters"),)},
}


def check_limits(asked: Asked, limits: ServiceLimits) -> None:
    """Refuse a request that asks for too much.

    Raises:
        SettingError: it does; the message names the field and the limit.

    >>> check_limits(DeleteRequest(document_ids=["a", "b"]), ServiceLimits(document_ids=1))
    Traceback (most recent call last):
    tardif.errors.SettingError: document_ids: 2, and this service takes at most 1.
    """
    for name, bounds in _BOUNDS[type(asked).__name__].items():
        value = getattr(asked, name)
        for keyword, limit in bounds:
            most, values = getattr(limits, limit), value if keyword.startswith("items/") else [value]
            sizes = [each if keyword == "maximum" else _length(each) for each in values]
            if sizes and max(sizes) > most:
                unit = " characters" if keyword.endswith("maxLength") else ""
                raise SettingError(f"{name}: {max(sizes):,}{unit}, and this service takes at most {most:,}.")
    if isinstance(asked, SearchRequest):
        _check_hits(asked, limits)


def _check_hits(asked: SearchRequest, limits: ServiceLimits) -> None:
    """Refuse a search whose queries and hits are too many together."""
    # One query with as many hits as k allows is always taken, but not explained.
    hits, most = len(asked.texts) * asked.k, limits.explained_hits if asked.explain else max(limits.hits, limits.k)
    if hits > most:
        what = "hits that are explained" if asked.explain else "hits"
        raise SettingError(
            f"k: {asked.k:,} hits of each of {len(asked.texts):,} queries are {hits:,}, and a request may ask this "
            f"service for at most {most:,} {what}: ask for fewer, or in several requests."
        )


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list) else 0


def show_limits(schemas: dict[str, Any], limits: ServiceLimits) -> None:
    """Write the limits into the schemas of OpenAPI.

    Args:
        schemas: by name; they are changed.
        limits: of the service.
    """
    for name, fields in _BOUNDS.items():
        for field, bounds in fields.items():
            shown = schemas[name]["properties"][field]
            places = [shown, *shown.get("anyOf", ())]
            for keyword, limit in bounds:
                items, _, last = keyword.rpartition("/")
                kind = {"maximum": "integer", "maxLength": "string", "maxItems": "array"}[last]
                for place in [place.get("items", {}) for place in places] if items else places:
                    if place.get("type") == kind:
                        place[last] = getattr(limits, limit)
