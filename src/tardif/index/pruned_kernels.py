"""The compiled parts of a pruned search: the best centroids of each query token, and estimates from their postings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tardif.index.kernels import compiled

_LEAST = np.iinfo(np.int32).min


@compiled
def best_rows(found: Any, tokens: int, count: int, rows: Any, values: Any) -> None:
    """Find the ``count`` rows with the largest products of each token, best first, the first of equals.

    It is an insertion sort: nearly all products are below the last one kept, and cost one comparison.

    Args:
        found: from :func:`tardif.index.kernels.products`, int32 ``[rows, tokens or more]``.
        tokens: how many columns are tokens; the others are padding.
        count: how many rows to find, no more than there are.
        rows: int32 ``[tokens, count]``, filled.
        values: int32 of the same shape, filled.
    """
    values[:] = _LEAST
    last = np.full(tokens, _LEAST, np.int32)
    for row in range(found.shape[0]):
        for token in range(tokens):
            value = found[row, token]
            if value > last[token]:
                place = count - 1
                while place > 0 and values[token, place - 1] < value:
                    values[token, place] = values[token, place - 1]
                    rows[token, place] = rows[token, place - 1]
                    place -= 1
                values[token, place] = value
                rows[token, place] = row
                last[token] = values[token, count - 1]


@compiled
def estimate(
    rows: Any, values: Any, floors: Any, posting_starts: Any, postings: Any, totals: Any, seen: Any, touched: Any
) -> int:
    """Estimate documents: for each token, add what the document's best probed centroid gives above the token's floor.

    Args:
        rows, values: from :func:`best_rows`: each token's probed centroids, best first, and their products.
        floors: int32 ``[tokens]``: the most that a centroid that was not probed can give.
        posting_starts, postings: the documents of each centroid.
        totals: int64 ``[documents]``, zeros at first.
        seen: int32 ``[documents]``, zeros at first: the last token, counted from 1, with a centroid of the document.
        touched: int64 ``[documents]``: filled with the documents that were met.

    Returns:
        How many documents were met.
    """
    count = 0
    for token in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            gain = np.int64(values[token, place]) - np.int64(floors[token])
            centroid = rows[token, place]
            for at in range(posting_starts[centroid], posting_starts[centroid + 1]):
                document = postings[at]
                # Centroids come best first: the first that has the document gives the token's best similarity.
                if seen[document] <= token:
                    if seen[document] == 0:
                        touched[count] = document
                        count += 1
                    seen[document] = token + 1
                    totals[document] += gain
    return count


@compiled
def upper_tail(z: float) -> float:
    """Return the probability of the standard normal distribution above ``z``."""
    return math.erfc(z / math.sqrt(2.0)) / 2


@compiled
def needed(z: Any, allowed: float) -> int:
    """Return the first place from which on the upper tails of the values add up to no more than ``allowed``."""
    total, place = 0.0, len(z)
    while place > 0:
        if z[place - 1] != np.inf:
            total += upper_tail(z[place - 1])
        if total > allowed:
            break
        place -= 1
    return place
