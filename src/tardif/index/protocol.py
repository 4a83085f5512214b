"""The protocol of an index: documents with token vectors, searched by MaxSim.

Every engine (on disk, in memory) implements :class:`Index` and passes one contract suite, tests/index/test_contract.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tardif.index.token_groups import Groups
from tardif.index.token_matches import TokenMatches
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter

# Packed token vectors: [tokens of all texts, dim].
Vectors = NDArray[np.float32]

# The share of an exact search's hits that a pruned search is expected to find. With 10,000 to 43,000 documents .99
# costs a twentieth to a sixth of an exact search, .95 a little less (benchmarks/RESULTS.md, bare queries).
RECALL = 0.99


class Index(Protocol):
    """Documents with their token vectors."""

    def __len__(self) -> int:
        """The number of documents; a document that was cut counts once."""

    @property
    def prunes(self) -> bool:
        """Whether a search without ``exact`` leaves documents unscored."""

    def close(self) -> None:
        """Release open files and threads."""

    def moment(self) -> AbstractContextManager[None]:
        """Within this block, calls of this thread read the index in one state, whatever others write meanwhile."""

    def add(
        self,
        documents: Sequence[Document],
        vectors: Vectors,
        lengths: Sequence[int],
        groups: Groups | None = None,
        *,
        source: str = "",
    ) -> int:
        """Add documents with their vectors; a search finds them as soon as this returns.

        A document with an id that exists replaces the old one with all of its pieces. A document that was cut must be
        given with all of its pieces.

        Args:
            documents: whole documents and pieces.
            vectors: packed ``[sum(lengths), dim]``, in the documents' order.
            lengths: the number of rows of each document or piece.
            groups: of pooled tokens: for each document, the number of the vector that each of its tokens is part of;
                None where each token has a vector of its own.
            source: the file or folder that the documents came from.

        Returns:
            How many documents were replaced.

        Raises:
            DataError: two documents have the same id, an id is that of another document's piece, pieces are missing,
                vectors are not finite numbers or of another width, or groups do not fit the vectors.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents with all of their pieces, and return how many existed. Unknown ids are ignored.

        Raises:
            DataError: an id is that of a piece; nothing is deleted then.
        """

    def delete_where(self, where: Filter) -> int:
        """Delete the documents that pass a filter, and return how many there were. A document that was cut is deleted
        if all of its pieces pass."""

    def has(self, where: Filter) -> bool:
        """Whether any document or piece passes a filter."""

    def keys(self) -> list[str]:
        """The keys of all documents' metadata, sorted. It reads every document."""

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return documents and pieces by their ids. The id of a document that was cut gives all of its pieces, in their
        order. Unknown ids are left out."""

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the id of the whole document for each id of a document or piece. Unknown ids are left out."""

    def sources(self) -> dict[str, str]:
        """The ids of all documents, in the order of adding, each with the file or folder that it came from."""

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """Record ``source`` as the file or folder that documents came from."""

    def note(self, name: str, value: str | None = None) -> str | None:
        """Return a fact that the index keeps for its builder; set it first if a value is given."""

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
        """Return the ``k`` best rows (documents or pieces) of each query as (id, MaxSim), best first.

        Equal scores are ordered by id, the highest first. A document without a token vector is never a hit.

        Args:
            vectors: packed query vectors ``[sum(lengths), dim]``.
            lengths: the number of rows of each query; a query without rows finds nothing.
            k: the number of hits.
            exact: score every document.
            recall: without ``exact``, the expected share of an exact search's hits.
            where: only documents that pass this filter; it is applied before any document is scored.

        Raises:
            DataError: vectors are not finite numbers or of another width.
        """

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """Return MaxSim of one query with documents or pieces, in the order of ``ids``; the lowest float for one
        without a token vector.

        Raises:
            DataError: an id is not in the index, or the vectors are of another width.
        """

    def matches(self, vectors: Vectors, ids: Sequence[str]) -> list[TokenMatches]:
        """Return how one query's tokens match documents or pieces, in the order of ``ids``. The similarities sum to the
        document's score in :meth:`search` and :meth:`score`, to the last bit.

        Raises:
            DataError: as for :meth:`score`.
        """

    def search_words(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """Return the ``k`` best rows of a query by BM25 as (id, score), best first.

        Raises:
            SettingError: the index holds no words.
        """
