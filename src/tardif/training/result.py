"""What a training run gives back, and the ``results.json`` that records it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.display import brief_repr, figures_table, short
from tardif.evaluation.measures import MEASURES
from tardif.evaluation.verdict import UNMEASURED, Comparison


class Measured(dict[str, float]):
    """Measures by name. Where nothing was measured it is empty, thus false, and each of our measures reads as nan.

    A script that prints the gain at its end must not fail there when there was nothing to measure it on; nan is
    formatted as a number is, and is in no comparison better or worse than anything.

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
        """The figures as ``results.json`` holds them: null where nothing was measured."""
        return dict(self) if self else dict.fromkeys(MEASURES)


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """A finished run.

    Attributes:
        path: the checkpoint's folder; ``sentence_transformers.MultiVectorEncoder(path)`` opens it.
        before: measures of the stronger of the two untrained systems on the held-out queries.
        after: measures of the published model on the same. Both are empty where nothing was measured: a measure of
            them is then nan, and :attr:`reason` says why.
        baselines: measures of other systems on the same, by name: ``bm25``, ``raw``, ``step 0``.
        settings: everything that the run was made with, and the steps it made.
        seconds: how long each part took.
        interrupted: whether it was broken off; the best checkpoint so far is kept.
        failure: what it failed with, where it did after a checkpoint had been kept.
        kept: the step of the published model; 0 is the untrained recipe.
        comparison: the best trained checkpoint beside ``before``, query by query; None: not measured.
        beside_bm25: the published model beside BM25, query by query.
        reason: why nothing was measured.
        warnings: what a person must know before the model is used, as it was said at the end.
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
    reason: str = ""
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            object.__setattr__(self, name, Measured(getattr(self, name), self.reason))

    @property
    def verdict(self) -> str:
        """Of the training: ``better``, ``no real difference``, ``worse``, ``too few to tell`` or ``not measured``."""
        return self.comparison.verdict if self.comparison else UNMEASURED

    def __repr__(self) -> str:
        figures = [f"{name} {self.before[name]:.4f} -> {value:.4f}" for name, value in self.after.items()]
        told = self.comparison.words() if self.comparison else f"{UNMEASURED}: {self.reason}"
        state = ["interrupted"] * self.interrupted + [f"failure={short(self.failure)}"] * bool(self.failure)
        untrained = ["the untrained model is kept"] * bool(self.comparison and not self.kept)
        return brief_repr(self, short(str(self.path)), *figures, told, *untrained, *state)

    def _repr_html_(self) -> str:
        systems = {"before": self.before, "after": self.after, **self.baselines}
        told = self.comparison.words() if self.comparison else f"{UNMEASURED}: {self.reason}"
        return figures_table(systems, f"{self.path.name}: {self.failure or told}")

    def as_json(self) -> dict[str, Any]:
        """The result as ``results.json`` holds it. No path: the folder may be moved."""
        return {
            "before": Measured(self.before).as_json(),
            "after": Measured(self.after).as_json(),
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "verdict": self.verdict,
            "kept": self.kept,
            "comparison": self.comparison.as_json() if self.comparison else None,
            "beside_bm25": self.beside_bm25.as_json() if self.beside_bm25 else None,
            **({"reason": self.reason} if self.reason else {}),
            "warnings": list(self.warnings),
            "settings": dict(self.settings),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "interrupted": self.interrupted,
            **({"failure": self.failure} if self.failure else {}),
        }

    @classmethod
    def from_json(cls, path: Path, read: Mapping[str, Any]) -> TrainingResult:
        """Read what :meth:`as_json` gave of the model at ``path``."""
        fields = {name: value for name, value in read.items() if name != "verdict"}
        for name in ("comparison", "beside_bm25"):
            fields[name] = Comparison.from_json(read[name]) if read.get(name) else None
        for name in ("before", "after"):
            fields[name] = {} if None in read.get(name, {}).values() else read.get(name, {})
        return cls(path=path, **fields)
