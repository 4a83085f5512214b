"""The two protocols of searchers that mining uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Searcher(Protocol):
    """Ranks a corpus; anything with this method can mine."""

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, score), best first; equal scores by id, the highest first."""
        ...


class Scorer(Searcher, Protocol):
    """A searcher that can also score given documents."""

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The scores of given documents (ids) for each query.

        A ratio of two scores of one query must mean something; the score is 0 if nothing matches.

        Raises:
            DataError: a document is not in the corpus.
        """
        ...
