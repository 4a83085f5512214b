"""Weights between where a training began and where it is.

Fine-tuning on little data learns the task and forgets some of what the base knew. Weights part of the way back keep
most of the first and regain the second: better on held-out queries, and on other domains, than either end (WiSE-FT,
Wortsman et al., CVPR 2022). It costs nothing: no step is slower, and the model is no larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

# An adapter's product of two matrices begins at 0 because the second is 0: so much of the second is so much of it.
_KEPT = "lora_A"


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights that training changes."""
    return {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad and _KEPT not in name
    }


@contextmanager
def blended(model: nn.Module, start: Mapping[str, Tensor], share: float) -> Iterator[None]:
    """Within it, every weight is ``share`` of its ``start`` and the rest of its own; afterwards it is as before."""
    if not share:
        yield
        return
    weights = {name: weight for name, weight in model.named_parameters() if name in start}
    own = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.lerp_(start[name].to(weight), share)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(own[name])
