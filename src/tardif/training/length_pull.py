"""The pull at many lengths: what a text scores by chance stays what it was, however long it is.

Part of a MaxSim score is chance: each query token takes the best of a document's tokens, and of more tokens the best is
better. So scores of documents that do not answer grow with the logarithm of their length, and the base has a balance
between long and short texts. A collection of documents of about one length, or that training reads to one length, says
nothing about that balance, and training moves it unseen. After 184 steps on scifact that was two thirds of what
questions of medquad had lost: short answers had risen above long ones (docs/choosing.md). The pull on batches
(:mod:`tardif.training.base_pull`) cannot see it: a batch has the lengths of the collection, and where a document is far
below the best one, a softmax has almost no gradient.

So where the documents have one length as training reads them, the base and the model also score texts of the corpus in
some steps, brought to many lengths, for the batch's queries, which they answer by chance at most. The squared
difference of the scores, each query's mean taken out, is added to the loss, in place of the pull on batches. Where the
documents have many lengths, training learns a balance from them, and holding the base's costs more than it saves.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from tardif.data.training_set import TrainingSet
from tardif.encoder.encoding import Block, to_device
from tardif.encoder.tokens import Tokens, tokens_for
from tardif.text.normal import keyed_sample
from tardif.training.base_pull import EVERY, PULL
from tardif.training.distributed import processes, rank

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The default weight of the pull where documents have one length (docs/choosing.md has the evidence).
LENGTH_PULL = 2.0
# Up to this standard deviation of the logarithms of their lengths, documents have one length: about a fifth more or
# less. Cut to 128 tokens, scifact has .03, medquad .35, squad .45, tldr .56.
_ONE_LENGTH = 0.2
# So many documents are looked at.
_SAMPLE = 256
# The lengths of texts, in tokens. What is between is cut into parts, evenly in the logarithm, and every step has one
# length of each part: few texts show long and short ones, and a packed sub-batch has few distinct lengths.
LENGTHS = (12, 384)
PARTS = 6
# Texts of a step with the pull, as many of one length as of any other.
TEXTS = 2 * PARTS
# Documents are joined up to so many characters for each token that is asked for, and then cut.
_CHARACTERS = 8


def pulls_of(
    base: float | None, lengths: float | None, terms: Sequence[str], *, made: bool = False, one_length: bool = False
) -> tuple[float, float]:
    """Return the weights of the pull on batches and of that at many lengths: what was given, or the defaults.

    Args:
        base: ``base_pull`` as it was given. Given alone, it is the only pull.
        lengths: ``length_pull`` as it was given.
        terms: the losses. Those that have a teacher need no pull.
        made: whether most queries were made from documents. Then no pull is the default: more of the base is kept
            instead (``base_share``), and with both the model learnt less and kept no more (docs/choosing.md).
        one_length: whether the documents have one length as training reads them: then the default is the pull at many
            lengths, else that on batches.

    >>> pulls_of(None, None, ["contrastive"]), pulls_of(None, None, ["contrastive"], one_length=True)
    ((1.0, 0.0), (0.0, 2.0))
    >>> pulls_of(None, None, ["contrastive"], made=True)
    (0.0, 0.0)
    >>> pulls_of(0.5, None, ["contrastive"], one_length=True), pulls_of(None, None, ["margin"], one_length=True)
    ((0.5, 0.0), (0.0, 0.0))
    """
    pulls = "contrastive" in terms and not made
    if lengths is None:
        lengths = LENGTH_PULL if pulls and one_length and base is None else 0.0
    if base is None:
        base = PULL if pulls and not (one_length and lengths) else 0.0
    return base, lengths


def has_one_length(data: TrainingSet, tokens: Tokens, seed: int) -> bool:
    """Return whether the positives have about one length, cut as training cuts them.

    Args:
        data: the training set; up to 256 of its positives are looked at.
        tokens: training's own: what it tokenises here it keeps for the first batches.
        seed: of the sample.
    """
    positives = dict.fromkeys(example.positive_id for example in data.examples)
    # Drawn by id: of a corpus on disk only the texts of the sample are read.
    texts = [data.documents[identity].content for identity in keyed_sample(seed, positives, _SAMPLE)]
    logarithms = [math.log(len(ids)) for ids in tokens.ids(texts, "document")]
    return statistics.pstdev(logarithms) <= _ONE_LENGTH


def reads_lengths(step: int) -> bool:
    """Return whether step ``step`` (the first is 0) has the pull: by its number alone, so that a resumed run agrees.

    It is none of the steps with the pull on batches: with both, no step takes much longer than the others.
    """
    return step % EVERY == 1


class Drawn(NamedTuple):
    """This process's texts of a step: sub-batches, and the place of each text among the encoded ones."""

    blocks: list[Block]
    places: list[int]


class LengthPull:
    """Draws the texts that base and model both score.

    Args:
        model: the model; the texts are tokenised as its own.
        data: texts are made of its documents.
        budget: tokens of a sub-batch.
        seed: of what is drawn.
    """

    def __init__(self, model: MultiVectorEncoder, data: TrainingSet, budget: int, seed: int = 0) -> None:
        # Texts are made once and asked for once: nothing is cached.
        self._tokens, self._device = tokens_for(model, budget, cached=0), model.device
        self._documents, self._ids, self._seed = data.documents, list(data.documents), seed

    def draw(self, step: int, turn: int = 0) -> Drawn:
        """Draw what this process encodes in the ``turn``-th batch of a step, by seed, step and turn alone."""
        draw = random.Random(f"pull\x00{self._seed}\x00{step}\x00{turn}")
        low, high = map(math.log, LENGTHS)
        of_part = [round(math.exp(low + (high - low) * (part + draw.random()) / PARTS)) for part in range(PARTS)]
        # Every process draws all and takes its part; each has one at least, for its weights take part in every step.
        count = max(TEXTS, processes())
        lengths = [of_part[number * PARTS // count] for number in range(count)]
        own = slice(rank(), None, processes())
        texts = [self._text(length, draw) for length in lengths][own]
        blocks, places = self._tokens.blocks(texts, "document", most=lengths[own])
        return Drawn([Block(to_device(features, self._device), "document") for features in blocks], places)

    def _text(self, length: int, draw: random.Random) -> str:
        """Draw a text of the corpus that has so many tokens or more: documents one after the other."""
        text = ""
        while len(text) < length * _CHARACTERS:
            text += self._documents[draw.choice(self._ids)].content + "\n"
        return text[: length * _CHARACTERS]


def moved_by(scores: Tensor, before: Tensor) -> Tensor:
    """Return how far scores are from the base's, up to a number for each query, as it changes no ranking.

    Args:
        scores: ``[queries, texts]``.
        before: those of the base, ``[queries, texts]``.

    Returns:
        The mean square of the differences, each query's mean difference taken out; a scalar.

    >>> from torch import tensor
    >>> moved_by(tensor([[3.0, 1.0]]), tensor([[2.0, 0.0]])), moved_by(tensor([[3.0, 1.0]]), tensor([[2.0, 2.0]]))
    (tensor(0.), tensor(1.))
    """
    moved = scores - before  # [queries, texts]
    return (moved - moved.mean(dim=1, keepdim=True)).square().mean()
