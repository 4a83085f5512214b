"""The evidence of an evaluation, for its report: kept while systems are measured, and written at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tardif.data.judged import JudgedSet
from tardif.errors import TardifError, is_failure, reason
from tardif.evaluation.environment import environment
from tardif.evaluation.evidence import EVALUATION, Evidence, RunFacts, SetValues, write_evidence
from tardif.evaluation.figures import Figures
from tardif.evaluation.outcome import FirstHits, first_hits
from tardif.evaluation.showing import EXPLAINED, LINE, Explain, Judgements, Shown, Side, biggest_shown, cut, show
from tardif.evaluation.systems import System
from tardif.evaluation.verdict import DECIDES
from tardif.explanation import Explanation
from tardif.progress import Console
from tardif.types import Document, Run


@dataclass(frozen=True)
class EvaluationEvidence:
    """Keeps the first hits of every system on every data set, and writes the evidence.

    Attributes:
        folder: of the evaluation.
        sets: what is measured on.
        device: torch's name of the device.
        command: the command line, or the Python call, that repeats it.
        console: where to warn.
        first: the first hits of every system on every data set.
        systems: the systems that found them.
    """

    folder: Path
    sets: Sequence[JudgedSet]
    device: str
    command: str
    console: Console
    first: dict[tuple[str, str], Mapping[str, FirstHits]] = field(default_factory=dict)
    systems: dict[tuple[str, str], System] = field(default_factory=dict)
    # Two are compared, and are the same on every data set.
    _opened: Callable[[System], Explain] = field(default_factory=lambda: lru_cache(maxsize=2)(_opened))

    def save(self, system: System, data: str, run: Run, console: Console) -> None:
        """Keep the first hits of a run."""
        qrels = next(judged.qrels for judged in self.sets if judged.name == data)
        self.first[system.name, data] = first_hits(qrels, run)
        self.systems[system.name, data] = system

    def write(self, found: Sequence[Figures], against: str | None) -> None:
        """Write the evidence: every value, and the queries on which two systems differ most.

        They are the first system, and the one to compare against or, without one, the second. What fails is
        printed: the figures are worth more than a report on them.
        """
        try:
            self._write(found, against)
        except BaseException as error:
            if not is_failure(error):
                raise
            self.console.warn(f"There is no report on this: its evidence could not be gathered ({reason(error)}).")

    def _write(self, found: Sequence[Figures], against: str | None) -> None:
        by_set = {judged.name: [item for item in found if item.data == judged.name] for judged in self.sets}
        shown = [self._show(judged, by_set[judged.name], against) for judged in self.sets]
        values = [
            SetValues(
                judged.name,
                {query: cut(judged.queries.get(query, ""), LINE) for query in judged.qrels},
                {item.name: item.values for item in by_set[judged.name]},
            )
            for judged in self.sets
        ]
        queries = biggest_shown([query for one in shown for query in one.queries])
        pairs = [pair for one in shown for pair in one.explanations][:EXPLAINED]
        run = RunFacts(EVALUATION, self.folder.resolve().name, environment(self.device), self.command)
        write_evidence(self.folder, Evidence(values, queries, pairs, run))

    def _show(self, judged: JudgedSet, found: Sequence[Figures], against: str | None) -> Shown:
        rivals = [item for item in found if item.name != against][:1] + [item for item in found if item.name == against]
        rivals = rivals if len(rivals) == 2 else list(found[:2])
        if len(rivals) < 2:
            return Shown()
        measure = DECIDES if DECIDES in found[0].values else next(iter(found[0].values))
        documents = {document.id: document for document in judged.documents}
        keys = [self._key(item, found) for item in rivals]
        sides = [
            Side(item.name, item.values[measure], self.first.get(key, {}), self._explainer(key))
            for item, key in zip(rivals, keys, strict=True)
        ]
        return show(Judgements(judged.name, judged.queries, judged.qrels, documents.get, measure), sides[0], sides[1])

    def _key(self, figures: Figures, found: Sequence[Figures]) -> tuple[str, str]:
        """The name that a system was measured under: one to compare against may be among the systems under another
        spelling of its name."""
        names = {item.name for item in found}
        others = [key for key in self.systems if key[1] == figures.data and key[0] not in names]
        key = figures.name, figures.data
        return key if key in self.systems or not others else others[0]

    def _explainer(self, key: tuple[str, str]) -> Explain | None:
        """Explain the hits of a model by its weights, and those of an index by its vectors; others cannot."""
        system = self.systems.get(key)
        if system is None or system.explainer is None:
            return None

        def explain(pairs: Sequence[tuple[str, Document]]) -> Sequence[Explanation | None]:
            try:
                return self._opened(system)(pairs)
            except TardifError as error:
                self.console.warn(f"The report marks no words of {system.name}: {error}")
                return [None] * len(pairs)

        return explain


def _opened(system: System) -> Explain:
    assert system.explainer is not None
    return system.explainer()
