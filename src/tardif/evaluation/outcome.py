"""The outcome of a run on judged queries: the values of its measures, and what a report shows of its rankings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from tardif.evaluation.measure_names import MEASURES
from tardif.evaluation.measures import per_query
from tardif.evaluation.verdict import Values
from tardif.ranking import best_first
from tardif.types import Qrels, Run

# Hits of a query that a report shows of each system.
SHOWN_HITS = 5
# Relevant documents of a query whose ranks are kept: some collections judge hundreds.
_RELEVANT = 5


class FirstHits(TypedDict):
    """What is kept of one query's ranking; JSON holds it as it is.

    ``hits`` are the first ones, each an id and a score. ``ranks`` are those of the most relevant documents, None for
    one that was not found.
    """

    hits: list[tuple[str, float]]
    ranks: dict[str, int | None]


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        values: measure -> query id -> value.
        first: query id -> the first hits.
        run: all hits, where whoever made this kept them.
    """

    values: Values
    first: Mapping[str, FirstHits] = field(default_factory=dict)
    run: Run | None = field(default=None, repr=False, compare=False)


def outcome(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> Outcome:
    """Measure a run, and keep of each ranking what a report shows.

    >>> found = outcome({"q": {"a": 1, "z": 1}}, {"q": {"b": 2.0, "a": 1.0}}, ["RR@10"])
    >>> found.values["RR@10"], found.first["q"]["hits"], found.first["q"]["ranks"]
    ({'q': 0.5}, [('b', 2.0), ('a', 1.0)], {'a': 2, 'z': None})
    """
    return Outcome(per_query(qrels, run, measures), first_hits(qrels, run))


def first_hits(qrels: Qrels, run: Run) -> dict[str, FirstHits]:
    """Return what is kept of each judged query's ranking."""
    found: dict[str, FirstHits] = {}
    for query, judged in qrels.items():
        ranked = best_first(run.get(query, {}).items())
        ranks = {identity: rank for rank, (identity, _) in enumerate(ranked, start=1) if judged.get(identity, 0) > 0}
        relevant = sorted((i for i, relevance in judged.items() if relevance > 0), key=lambda i: (-judged[i], i))
        found[query] = {
            "hits": [(identity, float(score)) for identity, score in ranked[:SHOWN_HITS]],
            "ranks": {identity: ranks.get(identity) for identity in relevant[:_RELEVANT]},
        }
    return found
