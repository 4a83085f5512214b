"""Search that scores few documents: candidates by centroids, then exact scores until enough are surely found.

Each query token probes its best centroids (PLAID: Santhanam et al., CIKM 2022); what they give a document, and
for tokens that met nothing of it the best that an unprobed centroid could give, is its estimate. Documents are
scored exactly in the order of their estimates. How exact scores follow estimates is fitted to the query's own
scores so far, so that the expected number of hits among what was not scored is known, and the search goes on
until it is no more than the recall asked for allows: in scored documents, then in probed centroids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import TiledQuery
from tardif.index.segment import Segment

_PROBES = 8
_FIRST = 64
# Documents spread over the lower estimates, for the fit: the best alone say little of the rest.
_SPREAD = 32
_GROWTH, _STRIDE = 0.25, 4
# Scores from which a fit may say that a scan of everything is no dearer.
_TRUSTED = 400
# Spread of the errors below which the fit is not believed, as a share of the best score.
_LEAST_ERROR = 0.002
# Kurtosis above the normal one's that some hundred normal errors have by chance.
_CHANCE = 0.3


@dataclass
class ScoredRows:
    """What a search scored: (segment, row) of each document, and its score."""

    segments: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


class Estimates:
    """The documents that a query's probes met, over several segments."""

    def __init__(self, query: TiledQuery, segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]]) -> None:
        """Compare the query with the centroids, which all segments share."""
        from tardif.index import kernels

        assert segments[0].codebook is not None
        self._query, self._segments, self._alive = query, segments, alive
        centroids = segments[0].codebook.centroids
        width = -(-query.tokens // kernels.LANES) * kernels.LANES
        self._found = np.empty((len(centroids), width), dtype=np.int32)
        kernels.products(query.tiles, query.tokens, centroids, self._found)
        self.total = int(sum(living.sum() for living in alive))

    def probe(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], float]:
        """Probe so many centroids with each token.

        Returns:
            Segment, row and estimate of each living document met, best estimate first, and the estimate of all others.
        """
        from tardif.index import kernels

        tokens = self._query.tokens
        count = min(count, len(self._found) - 1)
        rows = np.empty((tokens, count + 1), dtype=np.int32)
        values = np.empty((tokens, count + 1), dtype=np.int32)
        kernels.best_rows(self._found, tokens, count + 1, rows, values)
        floors = np.ascontiguousarray(values[:, count])
        probed = (np.ascontiguousarray(rows[:, :count]), np.ascontiguousarray(values[:, :count]), floors)
        least = int(floors.sum(dtype=np.int64))
        parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        for number, (segment, living) in enumerate(zip(self._segments, self._alive, strict=True)):
            totals = np.zeros(len(segment), dtype=np.int64)
            touched = np.empty(len(segment), dtype=np.int64)
            seen = np.zeros(len(segment), dtype=np.int32)
            tables = segment.tables
            met = kernels.estimate(*probed, tables["posting_starts"], tables["postings"], totals, seen, touched)
            found = touched[:met][living[touched[:met]]]
            scale = segment.scale * self._query.scale
            parts.append((np.full(len(found), number), found, (totals[found] + least) * scale))
        segments, documents, estimates = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = _best_first(estimates)
        scale = max(segment.scale for segment in self._segments) * self._query.scale
        return segments[order], documents[order], estimates[order], least * scale


def _best_first(estimates: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of falling estimates, by sorting whole numbers: on every machine the same, and ten times as fast as by
    several keys. The place stands in the lowest bits, so estimates that differ only there are in their own order."""
    bits = max(len(estimates) - 1, 1).bit_length()
    # As whole numbers floats are in order, but for the negative ones, which are in reverse.
    keys = (-estimates).view(np.int64)
    keys ^= (keys >> 63) & np.int64(2**63 - 1)
    keys = (keys >> bits << bits) | np.arange(len(estimates))
    keys.sort()
    return keys & ((1 << bits) - 1)


def search_pruned(
    query: TiledQuery, segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], k: int, recall: float
) -> ScoredRows | None:
    """Documents among which, as far as can be told, are ``recall`` of the ``k`` best.

    Args:
        query: the query, with a token at least.
        segments: with postings, and one codebook.
        alive: for each, which of its documents may be found.
        k: hits wanted.
        recall: expected share of the ``k`` best of an exact search.

    Returns:
        What was scored; None where a scan of everything is no dearer.
    """
    estimates, allowed = Estimates(query, segments, alive), (1 - recall) * k
    known: dict[tuple[int, int], float] = {}
    probes = _PROBES
    while True:
        places, rows, values, others = estimates.probe(probes)
        if len(rows) < 2 * k or estimates.total < 4 * _FIRST:
            if probes * 4 > 256 or estimates.total < 4 * _FIRST:
                return None
            probes *= 4
            continue
        scores = np.full(len(rows), np.nan)
        if known:
            scores[:] = [known.get(key, np.nan) for key in zip(places.tolist(), rows.tolist(), strict=True)]
        done = max(_FIRST, 2 * k)
        spread = np.unique(np.geomspace(done, max(len(rows) - 1, done), _SPREAD).astype(np.int64))
        first = np.union1d(np.arange(done), spread)
        _score(query, segments, places, rows, scores, first[first < len(rows)])
        while True:
            needed, unmet = _needed(values, scores, others, estimates.total - len(rows), k, allowed)
            if needed <= done or done >= len(rows):
                break
            if needed > estimates.total // 3 and done >= _TRUSTED:
                return None
            # A fit to few scores is not believed far beyond them.
            done = min(max(needed, int(done * (1 + _GROWTH)) + 1), int(_STRIDE * done))
            _score(query, segments, places, rows, scores, np.arange(min(done, len(rows))))
        if unmet <= allowed or probes >= 256:
            kept = ~np.isnan(scores)
            return ScoredRows(places[kept], rows[kept], scores[kept])
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
            scores[order] = segment.scan(query, rows[order]) * (segment.scale * query.scale)


def _needed(
    estimates: NDArray[np.float64], scores: NDArray[np.float64], others: float, count: int, k: int, allowed: float
) -> tuple[int, float]:
    """How many candidates, from the best estimate on, have to be scored for no more of the ``k`` best to be expected
    among the rest than is allowed; and how many are expected among ``count`` documents that were not met.

    Exact scores are taken for a line in the estimates with normal errors; where some errors are larger than normal ones
    are, which their kurtosis tells, all are taken for larger (by as much as the expansion of Cornish and Fisher, 1938,
    moves a quantile 2.6 standard deviations out).
    """
    from tardif.index import kernels

    known = ~np.isnan(scores)
    x, y = estimates[known], scores[known]
    least = np.partition(y, len(y) - k)[len(y) - k]
    centre = x - x.mean()
    variance = float(centre @ centre)
    slope = float(centre @ (y - y.mean())) / variance if variance > 0 else 1.0
    slope = max(slope, 0.0)
    at = y.mean() - slope * x.mean()
    errors = y - (slope * x + at)
    squares = errors * errors
    total = float(squares.sum())
    error = max(math.sqrt(total / max(len(y) - 2, 1)), _LEAST_ERROR * abs(float(y.max())))
    excess = float(squares @ squares) * len(y) / total**2 - 3 if total > 0 else 0.0
    error *= 1 + max(excess - _CHANCE, 0.0) / 6
    z = (least - slope * estimates - at) / error
    z[known] = np.inf  # nothing is missed among what is scored
    beyond = (least - slope * others - at) / error
    return kernels.needed(z, allowed), count * kernels.upper_tail(beyond)
