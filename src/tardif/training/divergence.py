"""Detection of a training that diverges: a loss or gradient that is not finite, or a gradient that explodes."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

# Clipping holds single large gradients; this many in a row, this far above the usual norm, are not noise.
EXPLODING_FACTOR, EXPLODING_STEPS = 100.0, 5
# Near a loss of zero the usual norm is tiny and any norm is far above it: below this, nothing explodes.
_LEAST_NORM = 10.0
# The usual norm is the median of the last steps, once there are enough of them.
_WINDOW, _LEAST_HISTORY = 100, 10


@dataclass
class Divergence:
    """Checks loss and gradient norm, step by step, before the weights change.

    >>> import math
    >>> Divergence().check(loss=math.nan, norm=1.0)
    'the loss is nan'
    >>> Divergence().check(loss=0.7, norm=1.0)
    ''

    Args:
        infinite_norms: infinite gradient norms in a row that are allowed. Mixed precision in fp16 searches the scale of
            its loss with such steps and skips them; elsewhere 0.
    """

    infinite_norms: int = 0
    norms: list[float] = field(default_factory=list)
    infinite: int = 0
    exploding: int = 0

    def check(self, loss: float, norm: float) -> str:
        """Describe what is wrong with a step, or return an empty string."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        # An infinite norm alone may be the search of fp16's scale: it is forgiven `infinite_norms` times in a row.
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
            # Large norms stay out of the history: they would raise the usual norm that they are compared with.
            self.exploding = 0
            self.norms = [*self.norms[1 - _WINDOW :], norm]
        return ""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"norms": self.norms, "infinite": self.infinite, "exploding": self.exploding}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        vars(self).update(state)
