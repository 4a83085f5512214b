"""Query by query: where a system is better than another, and both rankings of the biggest wins and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tardif.evaluation.evidence import ShownHit, ShownQuery, ShownRanking
from tardif.report.charts.query_values import Sides, scatter, sorted_differences
from tardif.report.numbers import figure, signed, value
from tardif.report.page_parts import PageSection
from tardif.report.sources import ReportSource
from tardif.report.texts import cut, marked

_MOST = 20  # wins, and losses


def queries(source: ReportSource, sides: Sides | None, key: str, names: Mapping[str, str]) -> PageSection | None:
    """Show the values of all queries, and the rankings of some.

    Args:
        source: what was read.
        sides: each query's value with two systems, if known.
        key: the section's id.
        names: names of systems in the data -> in the report.
    """
    shown = source.evidence.queries if source.evidence else ()
    if sides is None and not shown:
        return None
    wins = sorted((one for one in shown if one.difference > 0), key=lambda one: -one.difference)[:_MOST]
    losses = sorted((one for one in shown if one.difference < 0), key=lambda one: one.difference)[:_MOST]
    charts = [] if sides is None else [scatter(f"{key}-scatter", sides), sorted_differences(f"{key}-sorted", sides)]
    groups = [
        (title, _about(title), [_query(one, names) for one in found])
        for title, found in (("Biggest gains", wins), ("Biggest losses", losses))
        if found
    ]
    about = [f"{sides.told()}, by {sides.measure}."] if sides else []
    return PageSection(key, "Query by query", "queries.html", {"about": about, "charts": charts, "groups": groups})


def _about(title: str) -> str:
    where = "gained" if "gains" in title else "lost"
    return f"The queries that {where} most, with the first hits of both systems. Marked words earned the score."


def _query(one: ShownQuery, names: Mapping[str, str]) -> dict[str, Any]:
    # The system that is judged stands right, as later does.
    rankings = [_ranking(ranking, one.measure, names) for ranking in one.rankings[:2]][::-1]
    return {
        "query": cut(one.query, 300),
        "id": cut(one.query_id, 80),
        "data": cut(one.data, 60),
        "difference": signed(one.difference),
        "tone": "win" if one.difference > 0 else "loss",
        "measure": one.measure,
        "rankings": rankings,
        "missed": [
            {"id": cut(found.document_id, 80), "text": cut(found.text, 400), "ranks": _ranks(found.ranks, names)}
            for found in one.relevant[:5]
        ],
    }


def _ranks(ranks: Mapping[str, int | None], names: Mapping[str, str]) -> str:
    return ", ".join(
        f"{names.get(name, name)}: " + (f"rank {rank:,}" if rank else "not found") for name, rank in ranks.items()
    )


def _ranking(ranking: ShownRanking, measure: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "system": cut(names.get(ranking.system, ranking.system), 60),
        "measure": measure,
        "value": value(ranking.value),
        "hits": [_hit(hit) for hit in ranking.hits],
    }


def _hit(hit: ShownHit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "id": cut(hit.document_id, 80),
        "title": cut(hit.title, 120),
        "score": figure(float(hit.score)),
        "relevant": hit.relevance is not None and hit.relevance > 0,
        "judged": hit.relevance is not None,
        "text": marked(hit.text, hit.marks),
    }


__all__: Sequence[str] = ["queries"]
