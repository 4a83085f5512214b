"""What an index is: documents with token vectors, searched by MaxSim."""

from __future__ import annotations

from collections.abc import Sequence
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
        """How many documents there are."""

    @property
    def prunes(self) -> bool:
        """Whether a search that need not be exact leaves documents out, having estimated them."""

    def close(self) -> None:
        """Let go of what is open."""

    def moment(self) -> AbstractContextManager[None]:
        """Within this block this thread reads the index as it is now, whatever others write meanwhile."""

    def add(self, documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int]) -> int:
        """Add documents with their packed vectors, ``lengths[i]`` rows of document ``i``; ids that are there are
        replaced. All of them are there when it returns. Returns how many were replaced.

        Raises:
            DataError: an id stands twice, or vectors are not finite numbers or of another width.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents; ids that are not there are passed over. Returns how many were there."""

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; an id that is not there is not in the result."""

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
        """The ``k`` best documents of each query as (id, MaxSim), best first; equal scores by id.

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
        """MaxSim of one query with given documents, in their order; the least float for one without a token.

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
    if len({document.id for document in documents}) != len(documents):
        raise DataError("Two documents have the same id: ids must be unique.")
    if len(lengths) != len(documents) or sum(lengths) != len(vectors) or min(lengths, default=0) < 0:
        raise DataError(f"{len(vectors)} vectors in {len(lengths)} parts do not fit {len(documents)} documents.")
