"""What an index asks of Qdrant: the embedded shard and the service each answer it in their own way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tardif.errors import FolderError
from tardif.index.protocol import Vectors
from tardif.index.qdrant.conditions import Condition
from tardif.index.qdrant.payload import Payload, Point, Record

# The name of the multivector of a point's token vectors.
TOKENS = "tokens"
# Bits of a stored component.
BITS = (32, 16)
# Payload fields that are looked up, with the type of Qdrant's index on each.
INDEXED = {"document": "keyword", "tardif.facts": "keyword", "tardif.order": "integer"}
# Points that one call reads.
PAGE = 1000

Fields = Sequence[str]


class Engine(Protocol):
    """A collection of points, each with one multivector that is compared by MaxSim of dot products."""

    @property
    def place(self) -> str:
        """Where the collection is, for messages."""

    @property
    def folder(self) -> Path | str:
        """The folder of an embedded shard; the address of a collection."""

    def about(self) -> dict[str, Any] | None:
        """Return what the collection remembers of itself; None if there is no collection."""

    def dim(self) -> int:
        """Return the width of its vectors."""

    def create(self, dim: int, bits: int, about: Mapping[str, Any]) -> None:
        """Create the collection."""

    def remember(self, about: Mapping[str, Any]) -> None:
        """Replace what the collection remembers of itself."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Store points, in place of those with the same ids."""

    def delete(self, where: Condition) -> None:
        """Delete the points that meet a condition."""

    def assign(self, fields: Mapping[str, Any], where: Condition) -> None:
        """Set fields of the payloads of the points that meet a condition."""

    def count(self, where: Condition) -> int:
        """Return how many points meet a condition."""

    def select(self, where: Condition, fields: Fields) -> Iterator[Record]:
        """Yield the points that meet a condition, with some fields of their payload."""

    def last_order(self) -> int:
        """Return the highest place in the order of adding; -1 if there is no point."""

    def vectors(self, ids: Sequence[str], fields: Fields) -> list[Record]:
        """Return points by their ids, with their vectors. Unknown ids are left out."""

    def search(
        self, queries: Sequence[Vectors], limit: int, where: Condition | None, *, exact: bool, fields: Fields
    ) -> list[list[Record]]:
        """Return the best points of each query by MaxSim, the best first."""

    def has_graph(self) -> bool:
        """Whether a search that is not exact walks a graph."""

    def settle(self) -> None:
        """Do what a search profits from, once many points were stored."""

    def close(self) -> None:
        """Release open files and connections."""


def held(engine: Engine, point: Any, fields: Fields) -> Payload:
    """Return the payload of a point that Qdrant gave, with the asked fields.

    Raises:
        FolderError: Tardif did not write it: it has no id of a document.
    """
    found: Payload = point.payload or {}
    if "id" in fields and not isinstance(found.get("id"), str):
        raise FolderError(
            f"{engine.place} holds the point {point.id}, which Tardif did not write: delete it in Qdrant. tardif "
            "doctor names all of them."
        )
    return found
