"""A report on what was mined: counts, rules, scores, and the negatives that look most like answers."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tardif.display import Short
from tardif.mining.blocks import MINED, OWN, RANDOM, Choice, ScoredDocument
from tardif.mining.selection import RULES, Selection
from tardif.text.normal import keyed_sample, normalise
from tardif.types import Document

SHOWN = 20
# Equal questions have the same suspects, so more are kept than are shown.
_SUSPECTS = 10 * SHOWN
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 40
_LINE = 160


@dataclass(frozen=True, repr=False)
class MiningReport(Short):
    """The counts and examples of one mining: the negatives taken, and those dropped by each rule.

    Attributes:
        settings: the selection, the miner and the teacher by name.
        queries: how many were mined for.
        counts: negatives by origin: ``own``, ``mined``, ``random``.
        filled: queries that random documents fill up because the window ran out.
        short: queries that got fewer negatives than asked for.
        unjudged: queries that the ratio could not judge, because none of their positives scores above 0.
        considered: hits in the window.
        dropped: how many of them each rule dropped.
        scores: ``searcher`` and ``teacher`` to ``positives``, ``mined`` and ``random`` to a histogram
            (shared edges) and quantiles.
        suspicious: the kept negatives with the highest score relative to their positive, each once for equal queries.
        examples: a seeded sample of queries with their choices.
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
        selection = self.settings["selection"]
        filling = "" if selection["random_share"] else " to fill up"
        lines = [
            f"hard negatives for {self.queries} queries: {self.counts[MINED]} mined from ranks "
            f"{selection['first']}-{selection['last']}, {self.counts[OWN]} of the data's own, "
            f"{self.counts[RANDOM]} random{filling}"
        ]
        lines += [
            f"  {rule:<9} {count:>9,}  {self._share(count):>6.1%} of the hits dropped: {RULES[rule]}"
            for rule, count in self.dropped.items()
            if count
        ]
        if self.filled:
            lines.append(f"{self.filled} queries were filled up at random: the window left too few")
        if self.unjudged:
            lines.append(
                f"{self.unjudged} queries could not be filtered by score: the searcher finds none of their positives"
            )
        if self.short:
            has_rules = selection["max_uses"] is not None or self.settings.get("teacher")
            why = "the corpus is too small" + (" for the rules" if has_rules else "")
            lines.append(f"{self.short} queries got fewer negatives than asked for: {why}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """The whole report, as ``mining.json`` holds it."""
        shares = {rule: round(self._share(count), 6) for rule, count in self.dropped.items()}
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
                {"rule": rule, "what": what, "dropped": self.dropped[rule], "share": shares[rule]}
                for rule, what in RULES.items()
            ],
            "scores": dict(self.scores),
            "suspicious": list(self.suspicious),
            "examples": list(self.examples),
        }

    def _share(self, count: int) -> float:
        return count / max(self.considered, 1)


class Reporter:
    """Gathers the report, choice by choice. Of most choices only the scores are kept.

    Args:
        queries: the ids of all the queries.
        seed: of the sample of examples.
        selection: the rules.
        scaled: the teacher's scores as they are compared; None without a teacher.
    """

    def __init__(self, queries: Sequence[str], seed: int, selection: Selection, scaled: Any = None) -> None:
        self._shown = set(keyed_sample(seed, queries, SHOWN))
        self._selection = selection
        self._scaled = scaled
        self._counts = Counter[str]()
        self._dropped = Counter[str]()
        self._totals = {"queries": len(queries)} | dict.fromkeys(("filled", "short", "unjudged", "considered"), 0)
        # Arrays take eight bytes a score: a million queries have tens of millions of them.
        self._scores = {
            by: {what: array("d") for what in ("positives", MINED, RANDOM)} for by in ("searcher", "teacher")
        }
        self._suspicious: list[tuple[float, Choice, ScoredDocument]] = []
        self._examples: list[Choice] = []

    def add(self, choices: Iterable[Choice]) -> None:
        """Take in the choices of some queries."""
        suspicious = list(self._suspicious)
        for choice in choices:
            origins = Counter(negative.origin for negative in choice.negatives)
            self._counts.update(origins)
            self._dropped.update(choice.dropped)
            self._totals["considered"] += choice.considered
            self._totals["filled"] += origins[RANDOM] > choice.as_asked
            self._totals["short"] += choice.short
            self._totals["unjudged"] += choice.reference is None
            for document in (*choice.positives, *choice.negatives):
                self._add_scores(document)
            suspicious += [
                (ratio, choice, n) for n in choice.negatives if (ratio := self._suspicion(choice, n)) is not None
            ]
            if choice.query in self._shown:
                self._examples.append(choice)
        # Equal ratios are ordered by ids, so that the report does not depend on the order of the blocks.
        self._suspicious = heapq.nsmallest(_SUSPECTS, suspicious, key=lambda row: (-row[0], row[1].query, row[2].id))

    def _add_scores(self, document: ScoredDocument) -> None:
        if document.origin == OWN:
            return
        what = document.origin if document.origin in (MINED, RANDOM) else "positives"
        for by, score in (("searcher", document.score), ("teacher", document.teacher)):
            if score is not None:
                self._scores[by][what].append(score)

    def _suspicion(self, choice: Choice, negative: ScoredDocument) -> float | None:
        """A kept negative's score as a share of its positive's; the teacher's scores if there are any."""
        if negative.origin == OWN:
            return None
        taught = [positive.teacher for positive in choice.positives if positive.teacher is not None]
        # The teacher has read query and document together, so its scores tell more than the searcher's.
        if self._scaled is not None and taught and negative.teacher is not None:
            lowest, own = min(self._scaled(taught)), self._scaled([negative.teacher])[0]
            return float(own / lowest) if lowest > 0 else None
        if choice.reference is None or negative.score is None:
            return None
        return negative.score / choice.reference

    def finish(
        self, documents: Mapping[str, Document], queries: Mapping[str, str], settings: Mapping[str, Any]
    ) -> MiningReport:
        """The whole report, with the texts that it shows."""

        def show(document: ScoredDocument) -> dict[str, Any]:
            text = " ".join(documents[document.id].content.split())
            cut = text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
            return {**asdict(document), "text": cut}

        def shown(choice: Choice, negatives: Sequence[ScoredDocument]) -> dict[str, Any]:
            return {
                "query_id": choice.query,
                "query": " ".join(queries[choice.query].split())[:_LINE],
                "positives": [show(positive) for positive in choice.positives[:3]],
                "negatives": [show(negative) for negative in negatives],
            }

        # Equal questions share their suspects: each is shown once.
        suspects: dict[tuple[str, str], dict[str, Any]] = {}
        for ratio, choice, negative in self._suspicious:
            if len(suspects) < SHOWN:
                key = (normalise(queries[choice.query]), negative.id)
                suspects.setdefault(key, {"ratio": ratio, **shown(choice, [negative])})
        return MiningReport(
            **self._totals,
            settings={**settings, "selection": self._selection.as_json()},
            counts={origin: self._counts[origin] for origin in (OWN, MINED, RANDOM)},
            dropped={rule: self._dropped[rule] for rule in RULES},
            scores={by: _distributions(values) for by, values in self._scores.items() if any(values.values())},
            suspicious=list(suspects.values()),
            examples=[shown(choice, choice.negatives) for choice in self._examples],
        )


def _distributions(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Histograms with shared edges, and quantiles, of each kind of score."""
    arrays = {what: np.asarray(values, dtype=np.float64) for what, values in scores.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=_BINS)
    found: dict[str, Any] = {"edges": edges.tolist()}
    for what, values in arrays.items():
        quantiles = np.quantile(values, _QUANTILES).tolist() if len(values) else []
        found[what] = {
            "count": len(values),
            "histogram": np.histogram(values, bins=edges)[0].tolist(),
            "quantiles": dict(zip(map(str, _QUANTILES), quantiles, strict=False)),
        }
    return found
