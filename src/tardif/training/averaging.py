"""Weight averaging: a model's weights averaged with those that its training began with.

Fine-tuning on little data learns the task and forgets some of what the base knew. Averaged weights keep most of the
first and regain the second: they do better on held-out queries, and on other domains, than either end (WiSE-FT,
Wortsman et al., CVPR 2022). Steps take no longer, and the model is no larger. The weights that a run began with are on
the disk with its checkpoints, not in memory.
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
from tardif.training.whole import START_AGAIN, damage

if TYPE_CHECKING:
    from torch import nn

# The default share of the start in the average.
# 327 queries of scifact, nDCG@10: the end of training .801, halfway back .827, at 0.7 .796 (docs/choosing.md).
SHARE = 0.5
# The same for queries that were made from the documents: they teach less of what people ask, and more to forget.
# scifact .740 at 0.5 and .738 at 0.7, medquad .896 and .900, in one seed (docs/choosing.md).
MADE_SHARE = 0.7
# An adapter is a product B A that begins at 0 because B is 0. Averaging B alone scales the product; A is left as it is.
_KEPT = "lora_A"


def share_of_start(share: float | None, made: bool) -> float:
    """Return ``share``, or the default: more of the start if most queries were made from documents.

    >>> share_of_start(None, made=False), share_of_start(0.2, made=True)
    (0.5, 0.2)
    """
    if share is not None:
        return share
    return MADE_SHARE if made else SHARE


def save_start(model: nn.Module, folder: Path) -> None:
    """Write the weights that training will change, for :func:`averaged`.

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
    """Average the weights with those that :func:`save_start` wrote, which count ``share``; restore them bit by bit at
    the end of the block.

    Raises:
        FolderError: what :func:`save_start` wrote is damaged.
    """
    if not share:
        yield
        return
    if problem := damage(start):
        raise FolderError(f"{start} is damaged ({problem}): {START_AGAIN}.")
    own = {}
    with torch.no_grad(), safe_open(start / WEIGHTS, "pt") as file:
        began = set(file.keys())
        for name, weight in model.named_parameters():
            if name in began:
                # A clone in memory, not weight - share * start: floating point would not give the same bits back.
                own[name] = weight.detach().clone()
                first = file.get_tensor(name).to(weight)
                if share == 1:  # exactly the start, also where a weight is no number: lerp would keep the NaN
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
