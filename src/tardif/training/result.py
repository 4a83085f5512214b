"""What a training run gives back, and the ``results.json`` that records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.showing import called, figures_table, short


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """A finished run.

    Attributes:
        path: the checkpoint's folder; ``sentence_transformers.MultiVectorEncoder(path)`` opens it.
        before: measures of the stronger of the two untrained systems on the held-out queries.
        after: measures of the checkpoint on the same; both are empty without held-out queries.
        baselines: measures of other systems on the same, by name: ``bm25``, ``raw``, ``step 0``.
        settings: everything that the run was made with, and the steps it made.
        seconds: how long each part took.
        interrupted: whether it was broken off; the best checkpoint so far is kept.
        failure: what it failed with, where it did after a checkpoint had been kept.
    """

    path: Path
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
    failure: str = ""

    def __repr__(self) -> str:
        figures = (f"{name} {self.before[name]:.4f} -> {value:.4f}" for name, value in self.after.items())
        state = ["interrupted"] * self.interrupted + [f"failure={short(self.failure)}"] * bool(self.failure)
        return called(self, short(str(self.path)), *figures, *state)

    def _repr_html_(self) -> str:
        systems = {"before": self.before, "after": self.after, **self.baselines}
        return figures_table(systems, f"{self.path.name}: {self.failure or 'trained'}")

    def as_json(self) -> dict[str, Any]:
        """The result as ``results.json`` holds it. No path: the folder may be moved."""
        return {
            "before": dict(self.before),
            "after": dict(self.after),
            "baselines": {name: dict(values) for name, values in self.baselines.items()},
            "settings": dict(self.settings),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "interrupted": self.interrupted,
            **({"failure": self.failure} if self.failure else {}),
        }
