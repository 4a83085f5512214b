"""The plan of a run: its number of steps and the size of its validation task, decided before the first step.

The size of the validation task comes from an estimate of the operations, not from the clock: the same settings give the
same task. Only a budget of minutes needs timing. The plan is recorded, so that a resumed run has the same steps.
"""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tardif.data.synthetic import without_variants
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.encoder.recipe import DOCUMENT_CAP
from tardif.mining.late import DEPTH, WHOLE
from tardif.training.settings import TrainingSettings
from tardif.types import Example

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Forward, backward by the weights, and backward by the activations cost about the same.
_TRAINING_COST = 3.0
# With fewer documents a difference of measures is mostly chance, whatever the share of time.
LEAST_DOCUMENTS = 100
# (examples, epochs): up to this many examples, this many passes over them; one pass over more.
# On 539 examples of scifact 4 epochs gave .810 and 8 gave .821, at a rate of 5e-5; a rate of 1e-4 gives .827 in 4
# (nDCG@10, halfway back to the base: docs/choosing.md).
EPOCHS = ((1_000, 4), (10_000, 2))
CHARACTERS_PER_TOKEN = 4.0
# What a step costs beyond the forward and backward passes that are timed: optimizer, loading, noise.
_STEP_OVERHEAD = 1.1


@dataclass(frozen=True)
class Size:
    """A quantity of the documents and of the queries: their numbers, or their mean tokens."""

    documents: float
    queries: float


@dataclass(frozen=True)
class Work:
    """Estimates of what is computed, in operations. Only their ratios are used.

    Attributes:
        parameters: weights that every token is multiplied with.
        tokens: mean tokens of a document and of a query.
        dim: width of the token vectors.
        trained: tokens of a document that a training step reads; None for all.
    """

    parameters: int
    tokens: Size
    dim: int
    trained: float | None = None

    def forward(self, texts: Size) -> float:
        """Estimate encoding texts and scoring every query with every document."""
        return self._scored(texts, texts.documents)

    def mining(self, texts: Size) -> float:
        """Estimate a refresh: every query is scored with its candidates, as in
        :class:`~tardif.mining.late.LateSearcher`."""
        is_small = self.dim * self.tokens.queries * (texts.documents * self.tokens.documents) <= WHOLE
        return self._scored(texts, texts.documents if is_small else min(DEPTH, texts.documents))

    def _scored(self, texts: Size, candidates: float) -> float:
        """Encoding texts, and scoring every query with this many documents."""
        documents, queries = texts.documents * self.tokens.documents, texts.queries * self.tokens.queries
        scored = candidates * self.tokens.documents
        # A multiplication and an addition for each weight of each token, and for each component of each pair of tokens.
        return 2 * self.parameters * (documents + queries) + 2 * self.dim * scored * queries

    def step(self, batch: Size, accumulation: int) -> float:
        """Estimate a training step of ``accumulation`` batches."""
        read = self if self.trained is None else replace(self, tokens=Size(self.trained, self.tokens.queries))
        return _TRAINING_COST * accumulation * read.forward(batch)


@dataclass(frozen=True)
class Plan:
    """The steps of a run, and the size of its validation task.

    Attributes:
        steps: optimizer steps.
        per_epoch: of these in one pass over the examples.
        documents: the most that an evaluation searches.
        refresh_every: steps between two refreshes of the hard negatives; None for no refreshes.
    """

    steps: int
    per_epoch: int
    documents: int
    refresh_every: int | None = None


def make_plan(
    examples: Sequence[Example],
    settings: TrainingSettings,
    held_out: Size,
    work: Work,
    timed_batch: float | None = None,
    drawn: int | None = None,
    mined: Size | None = None,
    made: bool = False,
) -> Plan:
    """Decide a run's steps and the size of its validation task.

    Args:
        examples: the training examples.
        settings: how to train.
        held_out: the held-out queries, and the documents that they could be searched in.
        work: the cost of encoding and scoring.
        timed_batch: the seconds of one batch, for a budget of minutes.
        drawn: the number of examples in an epoch; by default each once.
        mined: the queries of a refresh, and the documents that it searches.
        made: most of the queries were made from the documents.
    """
    accumulation = accumulated(settings)
    count = drawn or len(examples)
    # Rounded up twice: the last batch of an epoch may be short, and so may its last accumulation.
    per_epoch = math.ceil(math.ceil(count / settings.batch_size) / accumulation)
    steps = settings.max_steps or max(round(per_epoch * (settings.epochs or epochs_for(count, made))), 1)
    size = min(settings.batch_size, len(examples))
    negatives = sum(min(len(e.negative_ids), settings.negatives_per_example) for e in examples) / len(examples)
    step = work.step(Size(size * (1 + negatives), size), accumulation)

    def evaluations(documents: int) -> float:
        """The cost of all evaluations over this many documents, in steps."""
        documents = min(documents, int(held_out.documents))
        return settings.evaluations * work.forward(Size(documents, min(held_out.queries, documents))) / step

    every = settings.refresh_steps if settings.refresh is None else max(round(per_epoch * settings.refresh), 1)

    def refreshes(count: int) -> float:
        """The cost of all refreshes in this many steps, in steps; the last step has none."""
        return 0.0 if every is None or mined is None else (count - 1) // every * work.mining(mined) / step

    def documents(count: int) -> int:
        """The documents that evaluations may search, in a run of this many steps."""
        most = settings.validation_documents
        if settings.evaluation_share is None or most <= LEAST_DOCUMENTS:
            return most
        larger = range(LEAST_DOCUMENTS + 1, most + 1)
        return LEAST_DOCUMENTS + bisect.bisect_right(larger, settings.evaluation_share * count, key=evaluations)

    if settings.minutes is not None and timed_batch is not None:
        room = 60 * settings.minutes / (_STEP_OVERHEAD * timed_batch * accumulation)  # in steps

        def cost(count: int) -> float:
            return count + evaluations(documents(count)) + refreshes(count)

        # The most steps that fit in the budget, evaluations and refreshes included; the cost grows with the steps.
        steps = max(bisect.bisect_right(range(1, steps + 1), room, key=cost), 1)
    return Plan(steps, per_epoch, documents(steps), every)


def plan_run(model: MultiVectorEncoder, data: TrainingSet, settings: TrainingSettings, timed: float | None) -> Plan:
    """Plan a run of a model on a training set; ``timed`` are the seconds of one batch, for a budget of minutes."""
    from tardif.data.judged import searchable
    from tardif.training.batches import order_of

    training_queries = data.query_ids(TRAIN)
    return make_plan(
        data.examples,
        settings,
        Size(len(searchable(data)), len(data.query_ids(VALIDATION))),
        _work_of(model, data, settings),
        timed,
        order_of(data, settings).count,
        Size(len(without_variants(data.documents)), len(training_queries)),
        data.is_mostly_made,
    )


def _work_of(model: MultiVectorEncoder, data: TrainingSet, settings: TrainingSettings) -> Work:
    """Estimate what a document and a query cost, from their characters."""
    from torch import nn

    from tardif.encoder.model import transformer_of

    transformer: Any = transformer_of(model)
    contents = array("d", (len(document.content) / CHARACTERS_PER_TOKEN for document in data.documents.values()))
    expansion: dict[str, Any] = getattr(transformer, "query_expansion", None) or {}
    least = expansion.get("length") or 0  # expanded queries are filled up to it
    queries = [max(len(text) / CHARACTERS_PER_TOKEN, least) for text in data.queries.values()]
    tokens = Size(_mean_cut(contents, transformer.document_length or DOCUMENT_CAP), sum(queries) / len(queries))
    most = settings.training_length
    # Embeddings are looked up, not multiplied.
    embedded = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Embedding))
    return Work(
        parameters=sum(weight.numel() for weight in model.parameters()) - embedded,
        tokens=tokens,
        dim=model.get_embedding_dimension() or 0,
        trained=None if most is None else min(tokens.documents, _mean_cut(contents, most)),
    )


def _mean_cut(lengths: Sequence[float], most: int) -> float:
    """The mean of lengths, each cut at ``most``."""
    return sum(min(length, most) for length in lengths) / len(lengths)


def epochs_for(examples: int, made: bool = False) -> int:
    """Return the default number of epochs: one for queries that were made from the documents.

    >>> epochs_for(500), epochs_for(5_000), epochs_for(50_000), epochs_for(500, made=True)
    (4, 2, 1, 1)
    """
    return 1 if made else next((epochs for most, epochs in EPOCHS if examples <= most), 1)


def accumulated(settings: TrainingSettings) -> int:
    """Return the batches per optimizer step."""
    return int(settings.other.get("gradient_accumulation_steps", 1))
