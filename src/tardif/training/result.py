"""The result of a training run, and the ``results.json`` that records it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.display import brief_repr, figures_table, short
from tardif.evaluation.elsewhere import Elsewhere
from tardif.evaluation.measure_names import MEASURES
from tardif.evaluation.verdict import UNMEASURED, Comparison


class Measured(dict[str, float]):
    """Measures by name. If nothing was measured it is empty, thus false, and each of our measures is nan.

    A script that prints the gain at its end must not fail because nothing was measured. nan is formatted like a number,
    and compares as neither better nor worse.

    >>> f"{Measured({'nDCG@10': 0.5})['nDCG@10']:.2f} {Measured()['nDCG@10']:.2f}"
    '0.50 nan'

    Args:
        figures: measure -> value.
        reason: why there are none.
    """

    def __init__(self, figures: Mapping[str, float] | None = None, reason: str = "") -> None:
        super().__init__(figures or {})
        self.reason = "" if self else reason

    def __missing__(self, name: str) -> float:
        if not self and name in MEASURES:
            return math.nan
        raise KeyError(name)

    def __repr__(self) -> str:
        return dict.__repr__(self) if self else f"{{}} (not measured: {self.reason})"

    def as_json(self) -> dict[str, float | None]:
        """Return the figures as ``results.json`` has them: null if nothing was measured."""
        # JSON has no NaN.
        return dict(self) if self else dict.fromkeys(MEASURES)


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """The result of a run.

    Attributes:
        path: the checkpoint's folder; ``sentence_transformers.MultiVectorEncoder(path)`` opens it.
        before: measures of the stronger of the two untrained systems on the held-out queries.
        after: measures of the published model on the same queries. If nothing was measured, both are empty, each
            measure is nan, and :attr:`reason` says why.
        baselines: measures of other systems on the same queries, by name: ``bm25``, ``raw``, ``step 0``.
        settings: all settings of the run, and the steps and choices it made.
        seconds: how long each part took.
        interrupted: the run was interrupted; the best checkpoint so far is published.
        failure: the error of a run that failed after its first checkpoint.
        kept: the step of the published model; 0 is the untrained recipe.
        comparison: the best trained checkpoint compared with ``before``, query by query; None if not measured.
        beside_bm25: the published model compared with BM25, query by query.
        guard: what the published model gained or lost on foreign queries, set by set.
        reason: why nothing was measured.
        warnings: what the user must know before using the model, as printed at the end.
    """

    path: Path
    before: Mapping[str, float] = field(default_factory=Measured)
    after: Mapping[str, float] = field(default_factory=Measured)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
    failure: str = ""
    kept: int = 0
    comparison: Comparison | None = None
    beside_bm25: Comparison | None = None
    guard: Sequence[Elsewhere] = ()
    reason: str = ""
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            object.__setattr__(self, name, Measured(getattr(self, name), self.reason))

    @property
    def verdict(self) -> str:
        """``better``, ``no real difference``, ``worse``, ``too few to tell`` or ``not measured``."""
        return self.comparison.verdict if self.comparison else UNMEASURED

    def __repr__(self) -> str:
        figures = [f"{name} {self.before[name]:.4f} -> {value:.4f}" for name, value in self.after.items()]
        state = ["interrupted"] * self.interrupted + [f"failure={short(self.failure)}"] * bool(self.failure)
        untrained = ["the untrained model is kept"] * bool(self.comparison and not self.kept)
        return brief_repr(self, short(str(self.path)), *figures, self._verdict_words(), *untrained, *state)

    def _repr_html_(self) -> str:
        systems = {"before": self.before, "after": self.after, **self.baselines}
        return figures_table(systems, f"{self.path.name}: {self.failure or self._verdict_words()}")

    def _verdict_words(self) -> str:
        return self.comparison.words() if self.comparison else f"{UNMEASURED}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """Return the result as ``results.json`` has it. Without the path: the folder may be moved."""
        return {
            "before": Measured(self.before).as_json(),
            "after": Measured(self.after).as_json(),
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "verdict": self.verdict,
            "kept": self.kept,
            "comparison": self.comparison.as_json() if self.comparison else None,
            "beside_bm25": self.beside_bm25.as_json() if self.beside_bm25 else None,
            "guard": [found.as_json() for found in self.guard],
            **({"reason": self.reason} if self.reason else {}),
            "warnings": list(self.warnings),
            "settings": dict(self.settings),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "interrupted": self.interrupted,
            **({"failure": self.failure} if self.failure else {}),
        }

    @classmethod
    def from_json(cls, path: Path, read: Mapping[str, Any]) -> TrainingResult:
        """Read what :meth:`as_json` returned, of the model at ``path``."""
        fields = {name: value for name, value in read.items() if name != "verdict"}
        for name in ("comparison", "beside_bm25"):
            fields[name] = Comparison.from_json(read[name]) if read.get(name) else None
        fields["guard"] = [Elsewhere.from_json(found) for found in read.get("guard", ())]
        for name in ("before", "after"):
            fields[name] = {} if None in read.get(name, {}).values() else read.get(name, {})
        return cls(path=path, **fields)
