"""What mining did, for a reader: scores, rules, and the negatives that most look like answers.

It is data and one page for a browser: what was drawn, what each rule dropped, and what to look at. The page holds all
it shows and asks for nothing else: no script, no font, no picture from elsewhere.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from tardif.display import Short
from tardif.escaping import visible
from tardif.mining.blocks import MINED, OWN, RANDOM, Choice, ScoredDocument
from tardif.mining.selection import RULES, Selection
from tardif.text.normal import keyed_sample, normalise
from tardif.types import Document

SHOWN = 20
# Suspects that are kept to show so many different ones of: equal questions have the same.
_SUSPECTS = 10 * SHOWN
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 40
_LINE = 160


@dataclass(frozen=True, repr=False)
class MiningReport(Short):
    """What was mined, from what, and what was dropped.

    Attributes:
        settings: the selection, the miner and the teacher by name.
        queries: how many were mined for.
        counts: negatives by origin: ``own``, ``mined``, ``random``.
        filled: queries for which random documents fill up where the window ran out.
        short: queries that got fewer negatives than asked.
        unjudged: queries no positive of which could judge by ratio: none scores above 0.
        considered: hits in the window.
        dropped: how many of them each rule dropped.
        scores: ``searcher`` and ``teacher`` to ``positives``, ``mined`` and ``random`` to a histogram
            (shared edges) and quantiles.
        suspicious: the kept negatives that score highest in proportion to their positive, each once for equal queries.
        examples: a seeded sample of queries with what was chosen.
    """

    settings: Mapping[str, Any]
    queries: int
    counts: Mapping[str, int]
    filled: int
    short: int
    unjudged: int
    considered: int
    dropped: Mapping[str, int]
    scores: Mapping[str, Any] = field(default_factory=dict)
    suspicious: Sequence[Mapping[str, Any]] = ()
    examples: Sequence[Mapping[str, Any]] = ()

    def lines(self) -> list[str]:
        """A short table for a terminal."""
        if self.settings.get("miner") == "none":
            return [f"hard negatives: none mined, {self.counts[OWN]} of the data's own kept"]
        first, last = self.settings["selection"]["first"], self.settings["selection"]["last"]
        filling = "" if self.settings["selection"]["random_share"] else " to fill up"
        lines = [
            f"hard negatives for {self.queries} queries: {self.counts[MINED]} mined from ranks {first}-{last}, "
            f"{self.counts[OWN]} of the data's own, {self.counts[RANDOM]} random{filling}"
        ]
        lines += [
            f"  {rule:<9} {count:>9,}  {count / max(self.considered, 1):>6.1%} of the hits dropped: {RULES[rule]}"
            for rule, count in self.dropped.items()
            if count
        ]
        if self.filled:
            lines.append(f"{self.filled} queries were filled up at random: the window left too few")
        if self.unjudged:
            lines.append(
                f"{self.unjudged} queries could not be filtered by score: the searcher finds no positive of theirs"
            )
        if self.short:
            selection = self.settings["selection"]
            small = selection["max_uses"] is None and not self.settings.get("teacher")
            why = "the corpus is too small" if small else "the corpus is too small for the rules"
            lines.append(f"{self.short} queries got fewer negatives than asked: {why}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Everything, as ``mining.json`` holds it."""
        share = {rule: round(count / max(self.considered, 1), 6) for rule, count in self.dropped.items()}
        return {
            "settings": dict(self.settings),
            "queries": {
                "mined for": self.queries,
                "filled at random": self.filled,
                "fewer than asked": self.short,
                "not judged by score": self.unjudged,
            },
            "negatives": dict(self.counts),
            "considered": self.considered,
            "rules": [
                {"rule": rule, "what": what, "dropped": self.dropped[rule], "share": share[rule]}
                for rule, what in RULES.items()
            ],
            "scores": dict(self.scores),
            "suspicious": list(self.suspicious),
            "examples": list(self.examples),
        }


class Reporter:
    """Gathers the report, choice by choice; what it keeps of each is its scores.

    Args:
        queries: the ids of all the queries.
        seed: of the sample of examples.
        selection: the rules.
        scaled: the teacher's scores as they are compared; None without a teacher.
    """

    def __init__(self, queries: Iterable[str], seed: int, selection: Selection, scaled: Any = None) -> None:
        queries = list(queries)
        self._queries = len(queries)
        self._shown = set(keyed_sample(seed, queries, SHOWN))
        self._selection = selection
        self._scaled = scaled
        self._counts = Counter[str]()
        self._dropped = Counter[str]()
        self._filled = self._short = self._unjudged = self._considered = 0
        self._scores = {
            by: {what: array("d") for what in ("positives", MINED, RANDOM)} for by in ("searcher", "teacher")
        }
        self._suspicious: list[tuple[float, Choice, ScoredDocument]] = []
        self._examples: list[Choice] = []

    def add(self, choices: Iterable[Choice]) -> None:
        """Take in what was chosen for some queries."""
        suspicious: list[tuple[float, Choice, ScoredDocument]] = []
        for choice in choices:
            self._counts.update(negative.origin for negative in choice.negatives)
            self._dropped.update(choice.dropped)
            self._considered += choice.considered
            drawn = sum(negative.origin == RANDOM for negative in choice.negatives)
            self._filled += drawn > choice.as_asked
            self._short += choice.short
            self._unjudged += choice.reference is None
            for scored in (*choice.positives, *choice.negatives):
                self._add_scores(scored)
            suspicious += [
                (ratio, choice, n) for n in choice.negatives if (ratio := self._suspicion(choice, n)) is not None
            ]
            if choice.query in self._shown:
                self._examples.append(choice)
        self._suspicious = heapq.nsmallest(
            _SUSPECTS, [*self._suspicious, *suspicious], key=lambda row: (-row[0], row[1].query, row[2].id)
        )

    def _add_scores(self, scored: ScoredDocument) -> None:
        what = scored.origin if scored.origin in (MINED, RANDOM) else "positives"
        if scored.origin == OWN:
            return
        for by, score in (("searcher", scored.score), ("teacher", scored.teacher)):
            if score is not None:
                self._scores[by][what].append(score)

    def _suspicion(self, choice: Choice, negative: ScoredDocument) -> float | None:
        """A kept negative's score in proportion to its positive's; the teacher's where there is one."""
        if negative.origin == OWN:
            return None
        taught = [positive.teacher for positive in choice.positives if positive.teacher is not None]
        if self._scaled is not None and taught and negative.teacher is not None:
            lowest, own = min(self._scaled(taught)), self._scaled([negative.teacher])[0]
            return float(own / lowest) if lowest > 0 else None
        if choice.reference is None or negative.score is None:
            return None
        return negative.score / choice.reference

    def finish(
        self, documents: Mapping[str, Document], queries: Mapping[str, str], settings: Mapping[str, Any]
    ) -> MiningReport:
        """The whole report, with the texts of what it shows."""

        def show(scored: ScoredDocument) -> dict[str, Any]:
            text = " ".join(documents[scored.id].content.split())
            cut = text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
            return {"id": scored.id, "origin": scored.origin, "score": scored.score, "teacher": scored.teacher} | {
                "text": cut
            }

        def shown(choice: Choice, negatives: Sequence[ScoredDocument]) -> dict[str, Any]:
            return {
                "query_id": choice.query,
                "query": " ".join(queries[choice.query].split())[:_LINE],
                "positives": [show(positive) for positive in choice.positives[:3]],
                "negatives": [show(negative) for negative in negatives],
            }

        suspects: dict[tuple[str, str], tuple[float, Choice, ScoredDocument]] = {}
        for suspect in self._suspicious:
            suspects.setdefault((normalise(queries[suspect[1].query]), suspect[2].id), suspect)

        return MiningReport(
            settings={**settings, "selection": self._selection.as_json()},
            queries=self._queries,
            counts={origin: self._counts[origin] for origin in (OWN, MINED, RANDOM)},
            filled=self._filled,
            short=self._short,
            unjudged=self._unjudged,
            considered=self._considered,
            dropped={rule: self._dropped[rule] for rule in RULES},
            scores={by: _distributions(values) for by, values in self._scores.items() if any(values.values())},
            suspicious=[
                {"ratio": ratio, **shown(choice, [negative])}
                for ratio, choice, negative in list(suspects.values())[:SHOWN]
            ],
            examples=[shown(choice, choice.negatives) for choice in self._examples],
        )


def _distributions(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Histograms with shared edges, and quantiles, of each kind of score."""
    arrays = {what: np.asarray(values, dtype=np.float64) for what, values in scores.items()}
    everything = np.concatenate(list(arrays.values()))
    edges = np.histogram_bin_edges(everything, bins=_BINS)
    return {
        "edges": edges.tolist(),
        **{
            what: {
                "count": len(values),
                "histogram": np.histogram(values, bins=edges)[0].tolist(),
                "quantiles": dict(
                    zip(map(str, _QUANTILES), np.quantile(values, _QUANTILES).tolist(), strict=True)
                    if len(values)
                    else ()
                ),
            }
            for what, values in arrays.items()
        },
    }


WIDTH, HEIGHT = 640, 64
"""Of one histogram, in units of its own: a screen stretches it to its width and draws it 64 pixels high."""

_KINDS = {"positives": "positives", "mined": "mined negatives", "random": "random documents"}
_SCALES = {"searcher": "The miner's scores", "teacher": "The teacher's scores"}


def page(report: Mapping[str, Any], lines: Sequence[str] = ()) -> str:
    """HTML of a report.

    Args:
        report: as :meth:`tardif.mining.report.MiningReport.as_json` gives it, and ``mining.json`` holds it.
        lines: the report's short table for a terminal.

    Returns:
        The whole document; the same report gives the same text.
    """
    environment = Environment(
        loader=PackageLoader("tardif.mining", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Texts and ids come from anywhere: what would reorder or hide a part of the page is seen as an escape.
        finalize=_seen,
    )
    scales = [
        {"title": _SCALES[by], "rows": _histograms(scores), "ticks": _ticks(scores["edges"])}
        for by, scores in report["scores"].items()
    ]
    return environment.get_template("page.html").render(report, lines=lines, scales=scales, width=WIDTH, height=HEIGHT)


def _seen(value: Any) -> Any:
    """A text as the page shows it; markup is the page's own."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value, keep="\n\t") if is_text else value


def _histograms(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each kind that has scores: its name, count and median, and its bars as (x, width, height)."""
    low, high = scores["edges"][0], scores["edges"][-1]
    step = WIDTH / (len(scores["edges"]) - 1)
    rows = []
    for kind, name in _KINDS.items():
        found = scores[kind]
        if not found["count"]:
            continue
        most = max(found["histogram"])
        rows.append(
            {
                "kind": kind,
                "name": name,
                "count": found["count"],
                "median": found["quantiles"]["0.5"],
                "middle": WIDTH * (found["quantiles"]["0.5"] - low) / (high - low),
                "bars": [
                    (step * place, step, HEIGHT * count / most)
                    for place, count in enumerate(found["histogram"])
                    if count
                ],
            }
        )
    return rows


def _ticks(edges: Sequence[float]) -> list[float]:
    """Five values along the axis, as far from each other."""
    low, high = edges[0], edges[-1]
    return [low + (high - low) * part / 4 for part in range(5)]
