"""The pull towards the base: in some steps the model that training began with scores the batch, too.

Fine-tuning forgets: a model trained on health questions gets worse on questions about anything else. Weight averaging
(:mod:`tardif.training.averaging`) walks back along one line. A second term of the loss keeps the model off the paths
that forget: the Kullback-Leibler divergence of its distribution over the batch's documents from the base's (Learning
without Forgetting, Li and Hoiem, ECCV 2016; here the old task is ranking, and needs no data of its own). A query counts
by the probability that the base gives its positive: what the base has wrong need not be kept, and a base that ranks
badly pulls little. Once the contrastive loss is near zero, the pull is also what still has a direction, where Adam
would otherwise amplify noise.

The base scores one batch in four, with four times the weight: the same gradient on the mean, for a twelfth more time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tardif.encoder.encoding import Block, Encoded
from tardif.encoder.packing import enable
from tardif.encoder.precision import computing
from tardif.training.averaging import averaged
from tardif.training.gradcache import encode_all

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The default weight of the pull, where the loss is contrastive (docs/choosing.md has the evidence).
PULL = 1.0
# One step in so many has a pull. The first has none: there the model still is the base.
EVERY = 4


class FrozenBase:
    """The model that training began with, beside the one that is trained. It takes the memory of its weights.

    Args:
        model: the model with the weights that training began with. It is copied.
        precision: what it computes in, which is the trained model's: their difference is to be what training changed.
    """

    def __init__(self, model: MultiVectorEncoder, precision: str = "fp32") -> None:
        # Without a copy of the tokenizer: nothing tokenises here, and copied word by word it takes longer than weights.
        known = {id(model.tokenizer): model.tokenizer}
        self._model = copy.deepcopy(model, known).eval().requires_grad_(False)
        # It gets the trained model's sub-batches: a copy made before these were packed would attend across texts.
        enable(self._model)
        self._precision = precision

    @classmethod
    def of_run(cls, model: MultiVectorEncoder, start: Path, precision: str) -> FrozenBase:
        """Return the base of a model at any step, with the weights that training saved in ``start``.

        Raises:
            FolderError: these are damaged.
        """
        with averaged(model, start, 1.0):
            return cls(model, precision)

    @torch.no_grad()
    def encode(self, blocks: Sequence[Block]) -> list[Encoded]:
        """Encode sub-batches as the base does."""
        # The trainer puts only the model that it trains into its precision, not whatever runs meanwhile.
        with computing(self._precision, self._model.device.type):
            return encode_all(self._model, blocks)


def is_pulled(step: int) -> bool:
    """Return whether step ``step`` (the first is 0) has the pull: by its number alone, so that a resumed run agrees."""
    return step % EVERY == EVERY - 1
