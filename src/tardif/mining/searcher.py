"""What a miner asks of a searcher: to rank the corpus, and, where it can, to score given documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Searcher(Protocol):
    """Anything that searches can mine."""

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, score), best first; ties by id."""
        ...


class Scorer(Searcher, Protocol):
    """A searcher that can also say what it thinks of given documents."""

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """Scores of the documents (ids) of each query.

        They are on a scale where a ratio of two scores of one query means something; 0 where nothing
        matches.
        """
        ...
