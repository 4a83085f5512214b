"""Weights between where a training began and where it is.

Fine-tuning on little data learns the task and forgets some of what the base knew. Weights part of the way back keep
most of the first and regain the second: better on held-out queries, and on other domains, than either end (WiSE-FT,
Wortsman et al., CVPR 2022). It costs no step any time, and the model is no larger. The weights that a run began with
lie on the disk, with its checkpoints, not in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tardif.errors import FolderError
from tardif.training.checkpoints import WEIGHTS, write_whole
from tardif.training.whole import damage

if TYPE_CHECKING:
    from torch import nn

SHARE = 0.5
"""How much of the start is kept, where nothing is said."""

MADE_SHARE = 0.7
"""The same over queries that were made from the documents: they teach less of what people ask, and more to forget."""

# An adapter's product of two matrices begins at 0 because the second is 0: so much of the second is so much of it.
_KEPT = "lora_A"


def share_of_start(share: float | None, made: bool) -> float:
    """How much of the start is kept, where ``share`` does not say it: more if most queries were made from documents."""
    if share is not None:
        return share
    return MADE_SHARE if made else SHARE


def save_start(model: nn.Module, folder: Path) -> None:
    """Write the weights that training changes, as they are, for :func:`averaged`.

    Raises:
        FolderError: they could not be written.
    """
    weights = {
        name: weight.detach().contiguous()
        for name, weight in model.named_parameters()
        if weight.requires_grad and _KEPT not in name
    }
    write_whole(folder, lambda aside: save_file(weights, aside / WEIGHTS))


@contextmanager
def averaged(model: nn.Module, start: Path, share: float) -> Iterator[None]:
    """Within it, every weight is ``share`` of what :func:`save_start` wrote and the rest of its own; afterwards it is
    its own, bit by bit.

    Raises:
        FolderError: what was written is not there as it was.
    """
    if not share:
        yield
        return
    if problem := damage(start):
        raise FolderError(f"{start} is damaged ({problem}): start again with --overwrite (in Python overwrite=True).")
    own = {}
    with torch.no_grad(), safe_open(start / WEIGHTS, "pt") as file:
        began = set(file.keys())
        for name, weight in model.named_parameters():
            if name in began:
                own[name] = weight.detach().clone()
                first = file.get_tensor(name).to(weight)
                if share == 1:  # the start itself, whatever the weights have come to
                    weight.copy_(first)
                else:
                    weight.lerp_(first, share)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in own:
                    weight.copy_(own[name])
