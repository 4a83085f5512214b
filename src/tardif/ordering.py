"""The one order of hits: of searches, runs and measures alike."""

from __future__ import annotations

from collections.abc import Iterable


def best_first(hits: Iterable[tuple[str, float]], k: int | None = None) -> list[tuple[str, float]]:
    """Hits as (id, score) in the one order that there is, everywhere: by falling score; equal scores by id, the highest
    id first.

    That is trec_eval's order, which the field's figures are made with, and it owes nothing to the order in which
    documents came. Collections often list relevant documents first; with the lowest id first that would count for us.

    Args:
        hits: each id once.
        k: how many to give; None for all.
    """
    ranked = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)
    return ranked if k is None else ranked[: max(k, 0)]
