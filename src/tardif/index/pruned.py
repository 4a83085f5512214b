"""Pruned search: estimate documents by centroids, then score the best estimates exactly until the recall is reached.

1. Each query token probes its best centroids (PLAID: Santhanam et al., CIKM 2022). A document's estimate is the sum of
   what they give it; a token that met none of the document's centroids adds the most that an unprobed one could give.
2. Documents are scored exactly in the order of their estimates.
3. A line with normal errors is fitted to the query's own exact scores over their estimates. It gives the expected
   number of hits among the documents that were not scored yet.
4. The search scores more documents, then probes more centroids, until that number is no more than the wanted recall
   allows. If a scan of everything would be no dearer, it gives up, and everything is scanned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import TiledQuery
from tardif.index.segment import Segment
from tardif.index.token_matches import to_scores

# Centroids that each token probes at first, and at most.
_PROBES, _MOST_PROBES = 8, 256
# Documents scored first: this many, or 2k if that is more.
_FIRST = 64
# Documents scored besides, spread over the lower estimates: a line fitted to the best alone says little about the rest.
_SPREAD = 32
# A round scores at least a quarter more documents, so that rounds stay few, and at most four times as many: a fit to
# few scores is not believed far beyond them.
_GROWTH, _STRIDE = 0.25, 4
# Scores after which a fit may conclude that a scan of everything is no dearer: when it asks for a third of them all.
_TRUSTED, _MOST_SHARE = 400, 3
# The least standard error of the fit, as a share of the best score: a perfect fit by chance is not believed.
_LEAST_ERROR = 0.002
# Excess kurtosis that some hundred normal errors have by chance.
_CHANCE = 0.3


# The documents that a search scored: segment, row and score of each.
ScoredRows = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class Estimates:
    """Estimates of the documents that a query's probes meet, over several segments."""

    def __init__(self, query: TiledQuery, segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]]) -> None:
        """Compute the query's products with the centroids, which all segments share."""
        from tardif.index import kernels

        assert segments[0].codebook is not None
        self._query, self._segments, self._alive = query, segments, alive
        centroids = segments[0].codebook.centroids
        width = -(-query.tokens // kernels.LANES) * kernels.LANES
        self._found = np.empty((len(centroids), width), dtype=np.int32)
        kernels.products(query.tiles, query.tokens, centroids, self._found)
        self.total = int(sum(living.sum() for living in alive))

    def probe(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], float]:
        """Probe ``count`` centroids with each token.

        Returns:
            Segment, row and estimate of each living document that was met, best estimate first; and the estimate that
            all others share.
        """
        from tardif.index import pruned_kernels

        tokens = self._query.tokens
        count = min(count, len(self._found) - 1)
        # One more than probed: the best centroid that is not probed bounds what the others could give.
        rows = np.empty((tokens, count + 1), dtype=np.int32)
        values = np.empty((tokens, count + 1), dtype=np.int32)
        pruned_kernels.best_rows(self._found, tokens, count + 1, rows, values)
        floors = np.ascontiguousarray(values[:, count])
        probed = (np.ascontiguousarray(rows[:, :count]), np.ascontiguousarray(values[:, :count]), floors)
        least = int(floors.sum(dtype=np.int64))
        parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        for number, (segment, living) in enumerate(zip(self._segments, self._alive, strict=True)):
            totals = np.zeros(len(segment), dtype=np.int64)
            touched = np.empty(len(segment), dtype=np.int64)
            seen = np.zeros(len(segment), dtype=np.int32)
            tables = segment.tables
            met = pruned_kernels.estimate(*probed, tables["posting_starts"], tables["postings"], totals, seen, touched)
            found = touched[:met][living[touched[:met]]]
            scale = segment.scale * self._query.scale
            parts.append((np.full(len(found), number), found, (totals[found] + least) * scale))
        segments, documents, estimates = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = _best_first(estimates)
        scale = max(segment.scale for segment in self._segments) * self._query.scale
        return segments[order], documents[order], estimates[order], least * scale


def _best_first(estimates: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of falling estimates, from sorting integers: the same on every machine, and ten times as fast as a sort
    by several keys. The lowest bits hold the place, so estimates that differ only in these stay in their own order."""
    bits = max(len(estimates) - 1, 1).bit_length()
    # The bits of positive floats sort like integers, those of negative ones in reverse: these are flipped.
    keys = (-estimates).view(np.int64)
    keys ^= (keys >> 63) & np.int64(2**63 - 1)
    # Place in the low bits: equal estimates keep their order, and the sort returns the places with the keys.
    keys = (keys >> bits << bits) | np.arange(len(estimates))
    keys.sort()
    return keys & ((1 << bits) - 1)


def search_pruned(
    query: TiledQuery, segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], k: int, recall: float
) -> ScoredRows | None:
    """Score documents that are expected to include ``recall`` of the ``k`` best.

    Args:
        query: the query, with at least one token.
        segments: with postings, and one codebook.
        alive: for each segment, which of its documents can be found.
        k: the number of hits.
        recall: the expected share of an exact search's hits.

    Returns:
        The scored documents; None if a scan of everything is no dearer.
    """
    estimates, allowed = Estimates(query, segments, alive), (1 - recall) * k
    known: dict[tuple[int, int], float] = {}
    probes = _PROBES
    while True:
        places, rows, values, others = estimates.probe(probes)
        # Too few documents met to choose k from: probe more centroids, or scan everything.
        if len(rows) < 2 * k or estimates.total < 4 * _FIRST:
            if probes * 4 > _MOST_PROBES or estimates.total < 4 * _FIRST:
                return None
            probes *= 4
            continue
        scores = np.full(len(rows), np.nan)
        if known:
            scores[:] = [known.get(key, np.nan) for key in zip(places.tolist(), rows.tolist(), strict=True)]
        done = max(_FIRST, 2 * k)
        # Geometric steps: few samples among many low estimates, more near the best.
        spread = np.unique(np.geomspace(done, max(len(rows) - 1, done), _SPREAD).astype(np.int64))
        first = np.union1d(np.arange(done), spread)
        _score(query, segments, places, rows, scores, first[first < len(rows)])
        while True:
            needed, unmet = _needed(values, scores, others, estimates.total - len(rows), k, allowed)
            if needed <= done or done >= len(rows):
                break
            if needed > estimates.total // _MOST_SHARE and done >= _TRUSTED:
                return None
            done = min(max(needed, int(done * (1 + _GROWTH)) + 1), int(_STRIDE * done))
            _score(query, segments, places, rows, scores, np.arange(min(done, len(rows))))
        if unmet <= allowed or probes >= _MOST_PROBES:
            kept = ~np.isnan(scores)
            return places[kept], rows[kept], scores[kept]
        # Scores are kept when more centroids are probed: the same documents come again, with better estimates.
        known = dict(zip(zip(places.tolist(), rows.tolist(), strict=True), scores.tolist(), strict=True))
        probes *= 2


def _score(
    query: TiledQuery,
    segments: Sequence[Segment],
    places: NDArray[np.int64],
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    wanted: NDArray[np.int64],
) -> None:
    """Score the wanted candidates that have no score yet."""
    new = wanted[np.isnan(scores[wanted])]
    for number, segment in enumerate(segments):
        here = new[places[new] == number]
        if len(here):
            order = here[np.argsort(rows[here])]  # in the file's order
            scores[order] = to_scores(segment.scan(query, rows[order]), segment.scale * query.scale)


def _needed(
    estimates: NDArray[np.float64], scores: NDArray[np.float64], others: float, count: int, k: int, allowed: float
) -> tuple[int, float]:
    """How many candidates, from the best estimate on, must be scored so that no more than ``allowed`` of the ``k`` best
    are expected among the rest; and how many are expected among the ``count`` documents that were not met.

    Exact scores are modelled as a line in the estimates with normal errors. If the errors' kurtosis shows that some are
    larger than normal ones, all are assumed larger, by as much as the expansion of Cornish and Fisher (1938) moves a
    quantile 2.6 standard deviations out.
    """
    from tardif.index import pruned_kernels

    known = ~np.isnan(scores)
    x, y = estimates[known], scores[known]
    least = np.partition(y, len(y) - k)[len(y) - k]
    centre = x - x.mean()
    variance = float(centre @ centre)
    slope = float(centre @ (y - y.mean())) / variance if variance > 0 else 1.0
    slope = max(slope, 0.0)  # better estimates never mean lower scores
    at = y.mean() - slope * x.mean()
    errors = y - (slope * x + at)
    squares = errors * errors
    total = float(squares.sum())
    error = max(math.sqrt(total / max(len(y) - 2, 1)), _LEAST_ERROR * abs(float(y.max())))
    excess = float(squares @ squares) * len(y) / total**2 - 3 if total > 0 else 0.0
    error *= 1 + max(excess - _CHANCE, 0.0) / 6
    # How many standard errors an unscored document's score must exceed its line to be among the k best so far.
    z = (least - slope * estimates - at) / error
    z[known] = np.inf  # a scored document cannot be missed
    beyond = (least - slope * others - at) / error
    return pruned_kernels.needed(z, allowed), count * pruned_kernels.upper_tail(beyond)
