"""Queries held out for validation: seeded, and never a text on both sides."""

from __future__ import annotations

from collections.abc import Mapping

from tardif.data.text import keyed_order, normalise
from tardif.data.training_set import TRAIN, VALIDATION

MAX_VALIDATION = 500


def split_queries(
    queries: Mapping[str, str], *, fraction: float = 0.1, seed: int = 0, held_out: set[str] | None = None
) -> dict[str, str]:
    """Assign each query to ``train`` or ``validation``.

    Queries with the same normalised text go to the same side. Which, a keyed hash of the text
    decides, so it does not depend on the order of the input or on the process.

    Args:
        queries: texts by id.
        fraction: share of the distinct texts to hold out, at most :data:`MAX_VALIDATION` texts: more
            costs evaluation time and narrows the error little. 0 holds out none.
        seed: key of the hash.
        held_out: ids already held out by the user; then nothing else is, and a training query with
            the text of one of them goes to validation too.
    """
    groups: dict[str, list[str]] = {}
    for query, text in queries.items():
        groups.setdefault(normalise(text), []).append(query)
    if held_out:
        chosen = {normalise(queries[query]) for query in held_out}
    else:
        count = min(round(len(groups) * fraction), MAX_VALIDATION, len(groups) - 1)
        chosen = set(sorted(groups, key=lambda text: keyed_order(seed, text))[: max(count, 0)])
    return {query: VALIDATION if text in chosen else TRAIN for text, members in groups.items() for query in members}
