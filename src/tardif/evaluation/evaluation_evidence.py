"""The evidence of an evaluation, for its report: kept while systems are measured, and written at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tardif.data.judged import JudgedSet
from tardif.data.regular import user_path
from tardif.errors import is_failure, reason
from tardif.evaluation.environment import environment
from tardif.evaluation.evidence import EVALUATION, Evidence, RunFacts, SetValues, write_evidence
from tardif.evaluation.figures import Figures
from tardif.evaluation.outcome import FirstHits, first_hits
from tardif.evaluation.showing import EXPLAINED, LINE, Explain, Judgements, Shown, Side, biggest_shown, cut, show
from tardif.evaluation.systems import System
from tardif.evaluation.verdict import DECIDES
from tardif.progress import Console
from tardif.types import Run


@dataclass(frozen=True)
class EvaluationEvidence:
    """Keeps the first hits of every system on every data set, and writes the evidence.

    Attributes:
        folder: of the evaluation.
        sets: what is measured on.
        systems: what is measured.
        device: torch's name of the device.
        command: the command line, or the Python call, that repeats it.
        console: where to warn.
    """

    folder: Path
    sets: Sequence[JudgedSet]
    systems: Sequence[System]
    device: str
    command: str
    console: Console
    first: dict[tuple[str, str], Mapping[str, FirstHits]] = field(default_factory=dict)

    def save(self, figures: Figures, run: Run, console: Console) -> None:
        """Keep the first hits of a run."""
        qrels = next(judged.qrels for judged in self.sets if judged.name == figures.data)
        self.first[figures.name, figures.data] = first_hits(qrels, run)

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
        sides = [
            Side(item.name, item.values[measure], self.first.get((item.name, judged.name), {}), self._explainer(item))
            for item in rivals
        ]
        return show(Judgements(judged.name, judged.queries, judged.qrels, documents.get, measure), sides[0], sides[1])

    def _explainer(self, figures: Figures) -> Explain | None:
        """Explain the hits of a model by its weights, and those of an index by its vectors; others cannot."""
        system = next((one for one in self.systems if one.name == figures.name), None)
        if system is None or figures.untrained:
            return None
        if system.kind == "model" and system.home is not None:
            from tardif.encoder.model import open_model
            from tardif.search.explain import document_explainer

            return document_explainer(open_model(str(system.home), device=self.device))
        if system.kind == "index" and not system.name.startswith("hybrid:"):
            from tardif.search.retriever import Retriever

            retriever = Retriever(user_path(system.name), device=None if self.device == "cpu" else self.device)
            return lambda query, document: retriever.explain(query, document.id)
        return None
