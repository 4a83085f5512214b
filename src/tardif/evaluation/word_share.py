"""BM25's share of a hybrid search, learnt on the held-out queries of a training.

How much exact words add differs from collection to collection: much where queries name things by codes and rare terms,
nothing where they paraphrase. The held-out queries know, and their rankings by MaxSim and by BM25 are there already.
"""

from __future__ import annotations

from math import sqrt
from statistics import mean, stdev

from tardif.evaluation.measures import per_query
from tardif.evaluation.verdict import DECIDES
from tardif.ranking import DEPTH, best_first, blend
from tardif.types import Qrels, Run

# A twentieth more or less changes no figure that 50 queries could show. More than half is BM25 with help.
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
# On fewer queries the choice would be chance.
LEAST_QUERIES = 50
# More queries would tell no more, and each share fuses all of them.
_MOST_QUERIES = 1000
# Gains that differ by less are equal: sums of floats come in other orders elsewhere.
_EQUAL = 1e-9
# Hits that are measured: more than nDCG@10 reads.
_HITS = 20


def best_word_share(qrels: Qrels, found: Run, words: Run) -> float | None:
    """Return BM25's share with the highest mean nDCG@10 of the fused rankings, among those that gain more than their
    standard error; 0 if none does, so that a hybrid search is not worse than a plain one by chance.

    >>> qrels = {f"q{n}": {"a": 1} for n in range(60)}
    >>> found = {query: {"b": 9.0, "a": 8.5, "c": 2.0} for query in qrels}
    >>> best_word_share(qrels, found, {query: {"a": 5.0} for query in qrels})
    0.1
    >>> best_word_share(qrels, found, {query: {"c": 5.0} for query in qrels})
    0.0

    Args:
        qrels: the judgements of the held-out queries.
        found: their rankings by MaxSim.
        words: their rankings by BM25, over the same documents.

    Returns:
        A share from 0 to 0.5; None if there are fewer than 50 queries.
    """
    if len(qrels) < LEAST_QUERIES:
        return None
    asked = sorted(qrels)[:_MOST_QUERIES]
    late, lexical = ([best_first(run.get(query, {}).items(), DEPTH) for query in asked] for run in (found, words))
    rankings = list(zip(asked, late, lexical, strict=True))

    def values(share: float) -> list[float]:
        fused = {query: dict(blend(ours, theirs, _HITS, share)) for query, ours, theirs in rankings}
        measured = per_query({query: qrels[query] for query in asked}, fused, [DECIDES])[DECIDES]
        return [measured[query] for query in asked]

    plain, best, most = values(0.0), 0.0, 0.0
    for share in SHARES:
        gains = [value - before for value, before in zip(values(share), plain, strict=True)]
        gain = mean(gains)
        if gain > max(most, stdev(gains) / sqrt(len(gains))) + _EQUAL:
            best, most = share, gain
    return best
