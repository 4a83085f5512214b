"""The evidence of a run, for its report: every query's values, the biggest wins and losses, a few pairs explained.

The rankings are those of the evaluations, which kept the first hits. Only the words that matched are computed now: the
texts that are shown are encoded once more, by the model before and by the one after training, each in one go. That is
some hundred documents, whatever the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.encoder.precision import computing
from tardif.errors import is_failure, reason
from tardif.evaluation.environment import environment
from tardif.evaluation.evidence import TRAINING, Evidence, RunFacts, SetValues, read_evidence
from tardif.evaluation.outcome import Outcome
from tardif.evaluation.showing import EXPLAINED, LINE, Explain, Judgements, Shown, Side, biggest_shown, cut, show
from tardif.evaluation.verdict import DECIDES, Values
from tardif.explanation import Explanation
from tardif.training.averaging import averaged
from tardif.training.decision import RAW, TRAINED, stronger
from tardif.training.run_config import RunConfig
from tardif.training.run_state import RunContext
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Opens a model for the time of a block.
Opened = Callable[[], AbstractContextManager["MultiVectorEncoder"]]
# The names of the two systems that a report compares, and of the data that they are measured on.
BEFORE, AFTER, HELD_OUT = "before", "after", "held-out queries"


@dataclass(frozen=True)
class BestModel:
    """The model that is the outcome ``trained``.

    Attributes:
        folder: where it is kept.
        is_open: it is the last one of the run, so that the run's model has its weights, before they are averaged.
    """

    folder: Path
    is_open: bool


def run_evidence(
    config: RunConfig, context: RunContext, outcomes: Mapping[str, Outcome], best: BestModel, *, explained: bool
) -> Evidence:
    """Gather the evidence of a run. What cannot be explained is shown without marks, and the reason is printed.

    Args:
        config: says the command and the data.
        context: what the run worked with. The weights of its model are those of the last step.
        outcomes: by system; ``trained`` is the best checkpoint. Empty if nothing was measured.
        best: that checkpoint.
        explained: say which words matched, which takes some seconds.
    """
    run = RunFacts(
        TRAINING,
        config.path.name,
        environment(context.device, context.group.size),
        config.command,
        context.settings.seed,
    )
    if TRAINED not in outcomes or len(outcomes) == 1:
        return Evidence(run=run)
    shown = _crossed(Path(config.crossed_in)) if config.crossed_in else Shown()
    if context.task is not None:
        try:
            shown = _show(config, context, outcomes, best if explained else None)
        except BaseException as error:
            if not explained or not is_failure(error):
                raise
            context.console.warn(f"The report marks no words: they could not be explained ({reason(error)}).")
            shown = _show(config, context, outcomes, None)
    values = SetValues(HELD_OUT, _queries(config, outcomes), _systems(outcomes))
    return Evidence((values,), shown.queries, shown.explanations, run)


def _systems(outcomes: Mapping[str, Outcome]) -> dict[str, Values]:
    """The values by the names that a report uses: before and after, then the systems that ``before`` is one of."""
    others = {name: found.values for name, found in outcomes.items() if name != TRAINED}
    return {BEFORE: others[stronger(others)], AFTER: outcomes[TRAINED].values, **others}


def _queries(config: RunConfig, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    ids = outcomes[TRAINED].values[DECIDES]
    return {query: cut(config.data.queries.get(query, ""), LINE) for query in ids}


def _show(config: RunConfig, context: RunContext, outcomes: Mapping[str, Outcome], best: BestModel | None) -> Shown:
    """Choose the queries to show. The words that matched are marked if there is the best model."""
    task, documents = context.task, config.data.documents
    assert task is not None
    before = stronger({name: found.values for name, found in outcomes.items() if name != TRAINED})
    judged = Judgements(HELD_OUT, task.queries, task.qrels, documents.get, DECIDES)

    def side(name: str, system: str, opened: Opened) -> Side:
        explain = None if best is None else _explainer(context, opened)
        return Side(name, outcomes[system].values[DECIDES], outcomes[system].first, explain)

    trained = side(AFTER, TRAINED, lambda: _best(config, context, best))
    return show(judged, trained, side(BEFORE, before, lambda: _untrained(context, raw=before == RAW)))


def _explainer(context: RunContext, opened: Opened) -> Explain:
    """Explain by a model that is open for as long as it takes: the two share one set of weights in memory."""
    from tardif.search.explain import explain_texts

    def explain(pairs: Sequence[tuple[str, Document]]) -> list[Explanation]:
        with opened() as model, computing(context.settings.precision, context.device):
            return explain_texts(model, pairs)

    return explain


@contextmanager
def _untrained(context: RunContext, *, raw: bool) -> Iterator[MultiVectorEncoder]:
    """Give the model as it was before training: its weights are put back for the time of the block."""
    from tardif.encoder.model import raw_view

    with averaged(context.model, context.folder.start, 1.0):
        yield raw_view(context.model) if raw else context.model


@contextmanager
def _best(config: RunConfig, context: RunContext, best: BestModel | None) -> Iterator[MultiVectorEncoder]:
    """Give the model that was measured as the best one."""
    from tardif.encoder.model import open_model

    assert best is not None
    if best.is_open:
        with averaged(context.model, context.folder.start, context.settings.base_share or 0.0):
            yield context.model
    else:
        yield open_model(str(best.folder), device=context.device, trust_remote_code=config.trust_remote_code)


def _crossed(folder: Path) -> Shown:
    """What the report of a cross-validation shows: of all folds the biggest wins and losses."""
    found = [evidence for path in sorted(folder.glob("evidence-*")) if (evidence := read_evidence(path)) is not None]
    queries = biggest_shown([query for evidence in found for query in evidence.queries])
    # One pair of each fold in turn: each is explained by another model.
    pairs = [pair for row in zip_longest(*(evidence.explanations for evidence in found)) for pair in row if pair]
    return Shown(queries, tuple(pairs[:EXPLAINED]))
