"""What mining asks of a searcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Searcher(Protocol):
    """Anything that searches can mine."""

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, score), best first; equal scores by id, the highest first."""
        ...


class Scorer(Searcher, Protocol):
    """A searcher that can also say what it thinks of given documents."""

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The scores of given documents (ids) of each query.

        On a scale where a ratio of two scores of one query means something; 0 where nothing matches.

        Raises:
            DataError: a document is not in the corpus.
        """
        ...
