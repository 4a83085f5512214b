"""95 % intervals of the means of systems, by the bootstrap over queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tardif.evaluation.paired import student_tail
from tardif.evaluation.verdict import Values

_DRAWS = 2000
_HELD = 4_000_000  # drawn queries held at a time

Interval = tuple[float, float]


def intervals(systems: Mapping[str, Values], *, seed: int = 0) -> dict[tuple[str, str], Interval]:
    """The intervals of each system's mean by each measure; all of them are drawn from the same queries.

    These are percentiles of the means of queries drawn with replacement, as far apart as Student's t is wider than the
    normal distribution (Hesterberg, The American Statistician 2015). With fewer than two queries there is none.

    >>> values = {"a": {"RR": {"q1": 0.0, "q2": 1.0, "q3": 0.5, "q4": 0.5}}}
    >>> low, high = intervals(values)["a", "RR"]
    >>> 0 <= low < 0.5 < high <= 1
    True

    Args:
        systems: system -> measure -> query id -> value, every one with the same queries.
        seed: of the draws.
    """
    keys = [(system, measure) for system, measures in systems.items() for measure in measures]
    if not keys:
        return {}
    queries = sorted(systems[keys[0][0]][keys[0][1]])
    if len(queries) < 2:
        return {}
    values = np.array([[systems[system][measure][query] for query in queries] for system, measure in keys])
    tail = student_tail(len(queries))
    low, high = np.quantile(_means(values, seed), [tail, 1 - tail], axis=0)
    return {key: (float(low[place]), float(high[place])) for place, key in enumerate(keys)}


def _means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The mean of each row of ``values`` [keys, queries] in each draw: [draws, keys]."""
    random, count = np.random.default_rng(seed), values.shape[1]
    block = max(1, min(_DRAWS, _HELD // count))
    found = []
    for start in range(0, _DRAWS, block):
        size = min(block, _DRAWS - start)
        drawn = random.integers(0, count, (size, count))
        # How often each query is drawn: one product with the values then gives the means of all systems.
        places = (drawn + np.arange(size)[:, None] * count).ravel()
        weights = np.bincount(places, minlength=size * count).reshape(size, count)
        found.append(weights @ values.T / count)
    return np.concatenate(found)
