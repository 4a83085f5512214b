"""The matches of one query's tokens with the vectors of one document, of which the score is the sum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardif.scoring import LOWEST

# Bits of a product of two vectors in fixed point (tardif.index.kernels); a float's product is rounded to as many.
_BITS = 31


@dataclass(frozen=True, eq=False)
class TokenMatches:
    """How one query's tokens match one document's vectors.

    Attributes:
        similarities: of each query token with each vector, ``[query tokens, vectors]``.
        best: the most similar vector of each query token, the first of equal ones: ``[query tokens]``; empty where the
            document has no vector.
        values: the similarity of each, ``[query tokens]``. In any order they sum to the score, to the last bit.
        score: MaxSim; the lowest float where the query or the document has no vector.
        groups: the document's tokens that each vector stands for; None where each stands for one.
    """

    similarities: NDArray[np.float32]
    best: NDArray[np.int64]
    values: NDArray[np.float64]
    score: float
    groups: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(
        cls,
        products: NDArray[np.float64],
        factor: float,
        groups: tuple[tuple[int, ...], ...] | None = None,
        *,
        score: float | None = None,
    ) -> TokenMatches:
        """Return the matches of inner products ``[query tokens, vectors]``.

        Args:
            products: integers of fixed point; of another engine's vectors also others.
            factor: from a product to a similarity.
            groups: as the attribute.
            score: what another engine computed, on the grid of :func:`to_scores`; by default it is computed here.

        >>> found = TokenMatches.of(np.array([[1.0, 2.0], [4.0, -4.0]]), factor=0.25)
        >>> found.best.tolist(), found.values.tolist(), found.score
        ([1, 0], [0.5, 1.0], 1.5)
        """
        similarities = (products * factor).astype(np.float32)
        if not products.size:
            return cls(similarities, np.zeros(0, dtype=np.int64), np.zeros(0), LOWEST, groups)
        best = products.argmax(axis=1)
        most = products[np.arange(len(best)), best]  # [query tokens, vectors] -> [query tokens]
        if score is not None:
            return cls(similarities, best, shares(most, factor, score / factor), score, groups)
        total = math.fsum(most.tolist())
        score = float(to_scores(np.array([total]), factor)[0])
        return cls(similarities, best, shares(most, factor, total), score, groups)

    @classmethod
    def of_stored(
        cls,
        query: NDArray[np.int16],
        stored: NDArray[np.int16],
        factor: float,
        groups: tuple[tuple[int, ...], ...] | None,
    ) -> TokenMatches:
        """Return the matches of vectors in fixed point: ``[query tokens, width]`` and ``[vectors, width]``."""
        # Whole numbers below 2**53 are exact in float64, in any order of addition: these are a kernel's integers.
        products = np.zeros((len(query), len(stored)))
        if products.size:
            products = query.astype(np.float64) @ stored.astype(np.float64).T
        return cls.of(products, factor, groups)

    @classmethod
    def of_vectors(cls, query: NDArray[np.float32], document: NDArray[np.float32]) -> TokenMatches:
        """Return the matches of vectors that no index holds: ``[query tokens, dim]`` and ``[vectors, dim]``."""
        # In float64 a product of float32 numbers is exact.
        products = query.astype(np.float64) @ document.astype(np.float64).T
        largest = float(np.abs(products).max(initial=1.0))
        factor = math.ldexp(1.0, math.frexp(largest)[1] - _BITS)
        return cls.of(products / factor, factor)


def to_scores(found: NDArray[np.int64] | NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return scores of sums of products: the one place where integers become floats.

    Scores lie on a binary grid, at least eight steps to a unit of fixed point. So different integers give different
    scores, and a score is the exact sum of similarities on the same grid (:func:`shares`).

    Args:
        found: sums of products.
        factor: from a product to a similarity.
    """
    step = _step(factor)
    on_grid: NDArray[np.float64] = np.rint(found * (factor / step)) * step
    return on_grid


def shares(parts: NDArray[np.float64], factor: float, total: float) -> NDArray[np.float64]:
    """Return each part as a similarity on the grid of :func:`to_scores`, so that they sum to the whole's score exactly.

    Rounded one by one, they would sum to a step or two more or less. So all are rounded down, and those that lose most
    get a step more. No similarity is off by more than a step, a billionth.

    Args:
        parts: products.
        factor: from a product to a similarity.
        total: the parts' sum.

    >>> found = shares(np.array([1e8, 2e8, 3e8]), 1e-9, 6e8)
    >>> found.sum() == to_scores(np.array([6e8]), 1e-9)[0], found.round(6).tolist()
    (np.True_, [0.1, 0.2, 0.3])
    """
    step = _step(factor)
    exact = parts * (factor / step)
    down = np.floor(exact)
    left = int(np.rint(total * (factor / step)) - down.sum())
    # Once around for all, should rounding leave more than one step for each; then those that lost most.
    each, more = divmod(left, len(parts))
    units = down + each
    units[np.argsort(down - exact, kind="stable")[:more]] += 1
    found: NDArray[np.float64] = units * step
    return found


def _step(factor: float) -> float:
    """The grid's step: the power of two that is a sixteenth to an eighth of a unit's similarity.

    A product has at most 31 bits. With four more, a sum over 2**18 query tokens is exact in a float's 53.
    """
    return math.ldexp(1.0, math.frexp(factor)[1] - 4)
