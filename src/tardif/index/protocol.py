"""What an index is: documents with token vectors, searched by MaxSim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tardif.index.filters import Filter
from tardif.checks import called
from tardif.errors import DataError
from tardif.types import Document

Vectors = NDArray[np.float32]
"""Packed token vectors ``[tokens of all texts, dim]``."""

RECALL = 0.99
"""The expected share of an exact search's hits that a search finds by default."""


class Index(Protocol):
    """Documents with their token vectors."""

    def __len__(self) -> int:
        """How many documents there are, each counted once however many pieces it has."""

    @property
    def prunes(self) -> bool:
        """Whether a search that need not be exact leaves documents out, having estimated them."""

    def close(self) -> None:
        """Let go of what is open."""

    def moment(self) -> AbstractContextManager[None]:
        """Within this block this thread reads the index as it is now, whatever others write meanwhile."""

    def add(self, documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int], *, source: str = "") -> int:
        """Add documents with their packed vectors, ``lengths[i]`` rows of document ``i``. All of them are there when
        it returns.

        A document that was cut is given with all of its pieces. One whose id is there is replaced, with all of its
        pieces. Returns how many documents were replaced.

        Args:
            documents: whole documents and pieces.
            vectors: packed, of all of them.
            lengths: rows of each.
            source: the file or folder that they came from.

        Raises:
            DataError: an id stands twice, or is that of another document's piece; pieces of a document are missing; or
                vectors are not finite numbers or of another width.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents with all of their pieces; ids that are not there are passed over. Returns how many were
        there.

        Raises:
            DataError: an id is that of a piece: then nothing is deleted.
        """

    def delete_where(self, where: Filter) -> int:
        """Delete the documents that a filter lets through, one that was cut where it does so with all of its pieces.
        Returns how many they were."""

    def has(self, where: Filter) -> bool:
        """Whether a filter lets any document, or piece of one, through."""

    def keys(self) -> list[str]:
        """The keys of all documents' metadata, sorted. Every document is read."""

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents and pieces by their ids; for the id of a document that was cut, all of its pieces in their order.
        An id that is not there is not in the result."""

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """The documents that rows are, or are pieces of, by the rows' own ids; an id that is not there is not in the
        result."""

    def sources(self) -> dict[str, str]:
        """The ids of all documents, in the order of adding, with the file or folder that each came from."""

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """Note that documents came from this file or folder."""

    def search(
        self,
        vectors: Vectors,
        lengths: Sequence[int],
        k: int,
        *,
        exact: bool = False,
        recall: float = RECALL,
        where: Filter | None = None,
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, MaxSim), best first; equal scores by id, the highest
        first. A piece is a hit of its own.

        Args:
            vectors: packed query vectors.
            lengths: rows of each query; one without a row finds nothing.
            k: how many; documents without a token vector are never hits.
            exact: score every document.
            recall: else, the expected share of an exact search's hits.
            where: only documents that it lets through; they are chosen before any is scored.

        Raises:
            DataError: vectors are not finite numbers or of another width.
        """

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """MaxSim of one query with documents and pieces by their own ids, in their order; the least float for one
        without a token.

        Raises:
            DataError: a document is not in the index, or the vectors are of another width.
        """

    def search_words(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """The ``k`` best documents of a query by BM25 as (id, score), best first.

        Raises:
            SettingError: the documents cannot be searched by words.
        """


def check_fit(documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int]) -> None:
    """Raise if documents cannot be stored with these vectors: the one gate of every index. What the fields of a
    :class:`Document` hold was checked when it was made.

    Raises:
        DataError: one is no document, an id stands twice, or the rows do not fit.
    """
    for document in documents:
        if not isinstance(document, Document):
            raise DataError(f"An index holds Documents, not {called(document)}.")
    check_pieces(documents)
    if len(lengths) != len(documents) or sum(lengths) != len(vectors) or min(lengths, default=0) < 0:
        raise DataError(f"{len(vectors)} vectors in {len(lengths)} parts do not fit {len(documents)} documents.")


def check_pieces(documents: Iterable[Document]) -> None:
    """Raise if ids are not unique, or a document's pieces are not all there.

    Raises:
        DataError: so it is.
    """
    rows: set[str] = set()
    owners: dict[str, str] = {}
    pieces: dict[str, list[int]] = {}
    for document in documents:
        owner = document.whole_id
        for name in (document.id, owner):
            if owners.setdefault(name, owner) != owner:
                raise _shared(name, owners[name], owner)
        if document.id in rows:
            raise _shared(document.id, document.id, document.id)
        rows.add(document.id)
        if document.piece is not None:
            pieces.setdefault(owner, [document.piece.of]).append(document.piece.number)
    for identity, (of, *numbers) in pieces.items():
        if identity in rows or sorted(numbers) != list(range(1, of + 1)):
            raise DataError(
                f"The document {identity!r:.200} has {of} pieces: give all of them together, and no whole one."
            )


def check_free(documents: Iterable[Document], there: Mapping[str, str]) -> None:
    """Raise if documents cannot be stored beside others.

    Args:
        documents: to be stored; what they replace is not there any more.
        there: names that others have, of documents and of pieces, with the documents that these belong to.

    Raises:
        DataError: so it is.
    """
    if not there:
        return
    for document in documents:
        for name in (document.id, document.whole_id):
            if name in there:
                raise _shared(name, there[name], document.whole_id)


def _shared(name: str, *owners: str) -> DataError:
    """What to raise where two documents, or pieces of them, have one id."""
    if set(owners) == {name}:
        return DataError(f"Two documents have the same id ({name!r:.200}): ids must be unique.")
    one, other = ("a document" if owner == name else f"a piece of {owner!r:.200}" for owner in owners)
    return DataError(
        f"The id {name!r:.200} is that of {one} and of {other}: give one of them another id, or keep documents "
        "whole (--chunk none, Python: chunk=None)."
    )


def check_whole(pieces: Mapping[str, str]) -> None:
    """Raise if there are any pieces (with their documents) among the ids of documents to be deleted.

    Raises:
        DataError: so it is.
    """
    for identity, document in pieces.items():
        raise DataError(
            f"{identity!r:.200} is a piece of the document {document!r:.200}, which is deleted as a whole: give its id."
        )
