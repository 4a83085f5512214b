"""When a training has gone wrong: the loss or the gradient is no number, or the gradient explodes."""

from __future__ import annotations

import math
import statistics

# Clipping holds single large gradients; this many in a row, this far above the usual, is no noise.
EXPLODING_FACTOR, EXPLODING_STEPS = 100.0, 5
# Near a loss of zero the usual norm is tiny and anything is far above it: under this, nothing explodes.
_LEAST_NORM = 10.0
_WINDOW, _LEAST_HISTORY = 100, 10


class Divergence:
    """Watches loss and gradient norm, step by step, before the weights are changed.

    Args:
        infinite_norms: gradients in a row that may be no number: a few where mixed precision in 16 bits
            searches its scale (it skips those steps), else none.
    """

    def __init__(self, *, infinite_norms: int = 0) -> None:
        self.infinite_norms = infinite_norms
        self.norms: list[float] = []
        self.infinite = self.exploding = 0

    def check(self, loss: float, norm: float) -> str:
        """What is wrong with a step, or an empty string."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            self.infinite += 1
            return f"the gradient's norm is {norm}" if self.infinite > self.infinite_norms else ""
        self.infinite = 0
        usual = statistics.median(self.norms) if len(self.norms) >= _LEAST_HISTORY else math.inf
        if norm > max(EXPLODING_FACTOR * usual, _LEAST_NORM):
            self.exploding += 1
            if self.exploding >= EXPLODING_STEPS:
                return f"the gradient's norm is {norm:.3g} after {usual:.3g}, {self.exploding} steps in a row"
        else:
            self.exploding = 0
            self.norms = [*self.norms[1 - _WINDOW :], norm]
        return ""

    def state(self) -> dict[str, object]:
        """What a checkpoint holds of it."""
        return {"norms": self.norms, "infinite": self.infinite, "exploding": self.exploding}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what :meth:`state` gave."""
        self.__dict__.update(state)
