"""The decision at the end of a run: which model is published, whether it is better, and what the user must know.

The held-out queries decide. The untrained model is a candidate too, and a trained model that is not shown to be better
is published with a warning only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tardif.evaluation import verdict
from tardif.evaluation.measures import means
from tardif.evaluation.paired import format_p
from tardif.evaluation.verdict import BETTER, DECIDES, SAME, WORSE, Comparison, Values, compare_values
from tardif.training.result import TrainingResult

RAW, STEP_0, BM25, TRAINED = "raw", "step 0", "bm25", "trained"
# Beside ``results.json``: a line for each held-out query, with its measures by system.
VALUES = "held_out.jsonl"


@dataclass(frozen=True)
class Decision:
    """Which model is published, and how it compares.

    Attributes:
        kept: the step of the published model; 0 is the untrained recipe.
        after: the measures of the published model.
        comparison: the best trained checkpoint compared with the stronger untrained system.
        beside_bm25: the published model compared with BM25.
        reason: why nothing was measured.
        warnings: what the user must know.
    """

    kept: int
    after: Mapping[str, float] = field(default_factory=dict)
    comparison: Comparison | None = None
    beside_bm25: Comparison | None = None
    reason: str = ""
    warnings: Sequence[str] = ()


def write_values(folder: Path, systems: Mapping[str, Values]) -> None:
    """Write each query's measures into a model's folder, to show which queries were won and lost."""
    # Queries outermost, one a line: the file can be read with any tool, and diffed by query.
    queries = next(iter(next(iter(systems.values())).values()))
    text = ""
    for query in queries:
        measured = {system: {name: by[query] for name, by in found.items()} for system, found in systems.items()}
        text += json.dumps({"query_id": query, **measured}) + "\n"
    (folder / VALUES).write_text(text, encoding="utf-8")


def read_values(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Read what :func:`write_values` wrote: system -> measure -> query id -> value."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with (folder / VALUES).open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            query = line.pop("query_id")
            for system, measures in line.items():
                for name, value in measures.items():
                    found.setdefault(system, {}).setdefault(name, {})[query] = value
    return found


def stronger(untrained: Mapping[str, Values]) -> str:
    """Return the untrained system with the higher nDCG@10: what ``before`` means everywhere."""
    return max((RAW, STEP_0), key=lambda name: means(untrained[name])[DECIDES])


def decide(
    untrained: Mapping[str, Values],
    trained: Values,
    step: int,
    *,
    keep_untrained: bool,
    reason: str = "",
    advice: str = "",
) -> Decision:
    """Choose the model to publish, and compare it.

    Args:
        untrained: each query's measures with ``raw``, ``step 0`` and ``bm25``; empty if nothing was measured.
        trained: the same with the best trained checkpoint; empty if it was never measured.
        step: of that checkpoint.
        keep_untrained: publish the untrained recipe if the trained checkpoint is worse.
        reason: why nothing was measured, if nothing was.
        advice: what to do about that, or about too few queries.
    """
    if not untrained or not trained:
        # More held-out queries would not have helped a run that ended too soon.
        reason, advice = (reason, advice) if reason else ("the run ended before its first evaluation", "")
        warning = f"Whether the model is better than the untrained base is not known: {reason}.{advice}"
        return Decision(step, reason=reason, warnings=[warning])
    before = stronger(untrained)
    comparison = compare_values(trained, untrained[before], before)
    gained = means(trained)[DECIDES] > means(untrained[STEP_0])[DECIDES]
    if min(untrained[before][DECIDES].values()) == 1:
        advice = (
            f" The untrained base finds the answers of all of them first ({DECIDES} 1), so no gain can be seen: "
            "hold out harder queries, or more documents to find them among (--documents, in Python documents=)."
        )
    # Compared with step 0 alone: only step 0 could be published instead; the raw vectors are no model.
    falls_back = keep_untrained and compare_values(trained, untrained[STEP_0], STEP_0).verdict == WORSE
    published = untrained[STEP_0] if falls_back else trained
    beside_bm25 = compare_values(published, untrained[BM25], BM25)
    warnings = [_not_better(comparison, falls_back, gained, advice)] if comparison.verdict != BETTER else []
    if beside_bm25.deciding.difference < 0:
        warnings.append(_bm25_is_ahead(beside_bm25, means(published), means(untrained[BM25])))
    return Decision(0 if falls_back else step, means(published), comparison, beside_bm25, "", warnings)


def _not_better(comparison: Comparison, falls_back: bool, gained: bool, advice: str) -> str:
    """The warning about a model that is not shown to be better."""
    kept = "untrained model (step 0) is published instead" if falls_back else "trained model is published all the same"
    if comparison.verdict == WORSE and gained:  # then the stronger untrained system is the raw vectors
        return (
            f"The trained model is better than what it began as (step 0) and worse than the base's raw token vectors: "
            f"{DECIDES} {comparison.deciding}. The {kept}."
        )
    if comparison.verdict == WORSE:
        return f"Training made it worse: {DECIDES} {comparison.deciding}. The {kept}."
    if comparison.verdict == SAME:
        return f"Training made {comparison.words()}: {DECIDES} {comparison.deciding}. The {kept}."
    assert comparison.verdict == verdict.FEW
    return f"Whether training helped is not known: {comparison.words()}. The {kept}.{advice}"


def _bm25_is_ahead(comparison: Comparison, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    found = comparison.deciding
    return (
        f"BM25 is ahead of the model on these queries: {DECIDES} {theirs[DECIDES]:.4f}, the model {ours[DECIDES]:.4f} "
        f"(p {format_p(found.p)}). Search with both: tardif index --hybrid, then tardif search --hybrid."
    )


def summary(result: TrainingResult) -> Sequence[str]:
    """Return the lines that report a result to the user."""
    elsewhere = [found.sentence() for found in result.guard]
    comparison = result.comparison
    if comparison is None:
        return elsewhere
    lines = []
    trained = "after" if result.kept else "trained"
    for name, found in comparison.measures.items():
        before, bm25 = result.before[name], result.baselines[BM25][name]
        lines.append(
            f"{name:>8}: before {before:.4f}, {trained} {before + found.difference:.4f}: {found}; BM25 {bm25:.4f}"
        )
        if not result.kept:
            lines.append(f"{'':>8}  published {result.after[name]:.4f} (the untrained model, step 0)")
    chosen = len(result.settings.get("evaluated", ()))
    if chosen > 1:
        lines.append(
            f"(The checkpoint was chosen on these queries, as the best of {chosen}: expect a little less on others.)"
        )
    lines.append(f"Verdict: {comparison.words()}.")
    return [*lines, *elsewhere]
