"""Documents as Qdrant's points: one point for each document or piece, with its token vectors as one multivector.

What a reader of the collection wants is at the top of the payload; what Tardif computes is under ``tardif``:

id, document, title, text   the row's own id, and that of the whole document
metadata, piece, source     as a hit shows them; ``piece`` only of a piece
tardif.stored               metadata and piece as JSON text: Qdrant's JSON turns integers beyond 64 bits into floats
tardif.hash                 of the content, so that what is unchanged is not encoded again
tardif.order                the order of adding
tardif.of                   the number of rows of the whole document
tardif.keys                 the keys of the metadata
tardif.groups               of pooled tokens: the vector that each is part of
tardif.facts ...            what filters test (:mod:`tardif.index.qdrant.filter_facts`)
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import xxhash
from numpy.typing import NDArray

from tardif.index.document_columns import columns_of
from tardif.index.protocol import Vectors
from tardif.index.qdrant.filter_facts import facts_of, nearest
from tardif.types import Document, Piece

Payload: TypeAlias = dict[str, Any]

# The fact of whole documents and of first pieces: there are as many as documents.
HEAD = "head"
# Of version 5 UUIDs: the same id gives the same point, on every machine.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://tardif/document")


@dataclass(frozen=True, eq=False)
class Point:
    """A point to store. Without a token vector, it has no multivector, and no search finds it."""

    id: str
    payload: Payload
    vectors: Vectors | None


@dataclass(frozen=True, eq=False)
class Record:
    """A point as Qdrant gave it back: the asked fields of its payload, its vectors if they were asked for, and its
    score in a search."""

    id: str
    payload: Payload = field(default_factory=dict)
    vectors: Vectors | None = None
    score: float = 0.0


def point_id(identity: str) -> str:
    """Return the UUID of a document's or piece's point.

    >>> point_id("article-1") == point_id("article-1") != point_id("article-2")
    True
    """
    return str(uuid.uuid5(_NAMESPACE, identity))


def content_hash(document: Document) -> str:
    """Return a hash of everything that an index gives back of a document or piece."""
    content = [document.id, document.title, document.text, *columns_of(document)]
    return xxhash.xxh3_128_hexdigest(json.dumps(content).encode())


def payload_of(document: Document, groups: NDArray[Any] | None, source: str, order: int) -> Payload:
    """Return the payload of a document or piece.

    Args:
        document: as the index keeps it (:func:`tardif.index.document_columns.as_kept`).
        groups: the vector that each of its tokens is part of; None where each has one.
        source: the file or folder that it came from.
        order: its place in the order of adding.
    """
    metadata, whole, place = columns_of(document)
    piece, facts = document.piece, facts_of(document)
    if piece is None or piece.number == 1:
        facts["facts"].append(HEAD)
    own = {
        "stored": json.dumps([metadata, place]),
        "hash": content_hash(document),
        "order": order,
        "of": 1 if piece is None else piece.of,
        "keys": list(document.metadata),
        **({} if groups is None else {"groups": groups.tolist()}),
        **facts,
    }
    return {
        "id": document.id,
        "document": whole,
        "title": document.title,
        "text": document.text,
        "metadata": _holdable(document.metadata),
        **({} if place is None else {"piece": json.loads(place)}),
        "source": source,
        "tardif": own,
    }


# The fields from which a document is made.
DOCUMENT_FIELDS = ("id", "document", "title", "text", "tardif.stored")


def document_of(payload: Payload) -> Document:
    """Return the document or piece of a payload with :data:`DOCUMENT_FIELDS`."""
    metadata, place = json.loads(payload["tardif"]["stored"])
    piece = None if place is None else Piece.from_json({"document": payload["document"], **json.loads(place)})
    return Document(payload["id"], payload["text"], payload["title"], json.loads(metadata), piece)


def _holdable(value: Any) -> Any:
    """Metadata as Qdrant's JSON holds them: an integer beyond 64 bits is the nearest double."""
    if isinstance(value, dict):
        return {key: _holdable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_holdable(inner) for inner in value]
    is_beyond = isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63
    return nearest(value) if is_beyond else value
