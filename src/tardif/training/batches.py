"""Batches: example numbers in a reproducible order, and their texts as token ids, each distinct text once.

The law: deduplication and sub-batches change speed, not gradients. So the columns of the loss are kept apart from the
texts. ``columns`` names the encoded document of each column, and sharing an encoding never changes what the loss sees.
A column is one use of a document: all positives first, one for each query, then each example's hard negatives.

A batch of Q rows (examples) and C columns is a mapping:

=============  ================  ==============================================================
queries        blocks            sub-batches of token ids, in the order of the encoded queries
documents      blocks            the same of the encoded documents
query_rows     ``[Q]``           the encoded query of each row
columns        ``[C]``           the encoded document of each column
positives      ``[Q]``           the column of each row's positive
owners         ``[C]``           the row that brought the column
column_keys    ``[C]``           a hash of the column's normalised text
known_rows     ``[K]``           a row for each known positive or excluded document of its query
known_keys     ``[K]``           the hashes of their texts
candidates     ``[Q, n]``        each row's own columns, its positive first; -1: empty
teacher        ``[Q, n]``        the teacher's scores of them; NaN: no score
=============  ================  ==============================================================

Known documents are hashes, not columns, because a column may come from another process.

The order of the batches is a pure function of seed and epoch, so that a run can begin at any step. Batches are global:
several processes take a part of each.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import xxhash

from tardif.data.excluded_negatives import LIMIT as MOST_DOCUMENTS
from tardif.data.excluded_negatives import excluded_negatives
from tardif.data.training_set import TrainingSet
from tardif.encoder.tokens import Tokens
from tardif.text.normal import normalise
from tardif.training.settings import TrainingSettings
from tardif.types import Example


class Collator:
    """Turns rows ``{"example": number}`` into the batch that the objective reads.

    Args:
        data: the training set; texts are looked up in it.
        tokens: turns texts into sub-batches.
        settings: ``negatives_per_example`` hard negatives are drawn per example and epoch, by ``seed``. With
            ``mask_known_positives`` a batch lists the texts that are known to answer a query, so that the loss can
            leave them out of its negatives; also those that contain one of these, are part of one, or are the query
            itself (:func:`tardif.data.excluded_negatives.excluded_negatives`).
    """

    # sentence-transformers' trainer reads this name from its collators.
    valid_label_columns: Sequence[str] = ()

    def __init__(self, data: TrainingSet, tokens: Tokens, settings: TrainingSettings) -> None:
        self.data, self.tokens, self.settings = data, tokens, settings
        self.epoch = 0
        # By document, the hash of its text; by query, the hashes of the documents known to answer it. Cached: the texts
        # of a set never change, only its examples' negatives do.
        self._keys: dict[str, int] = {}
        self._known_keys: dict[str, list[int]] = {}
        self._kin = self._kin_keys() if settings.mask_known_positives else {}

    def negatives(self, number: int) -> list[str]:
        """Draw the hard negatives that an example uses in this epoch, by seed, epoch and example alone."""
        mined = self.data.examples[number].negative_ids
        # Seeded with a text: Python hashes it by SHA-512, the same in every process, unlike hash().
        draw = random.Random(f"{self.settings.seed}\x00{self.epoch}\x00{number}")
        return draw.sample(mined, min(self.settings.negatives_per_example, len(mined)))

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Make one batch, as the module describes it.

        A batch without rows, which a process gets when others have the last ones, still has one query and one document
        to encode: its weights must take part in the step's collectives. No column uses them.
        """
        numbers = [row["example"] for row in rows]
        examples = [self.data.examples[number] for number in numbers]
        negatives = [self.negatives(number) for number in numbers]
        positive_ids = [example.positive_id for example in examples]
        # Positives come first, so that row r's positive is column r; then all negatives, row by row.
        column_ids = positive_ids + list(itertools.chain.from_iterable(negatives))
        owners = list(range(len(rows))) + [row for row, drawn in enumerate(negatives) for _ in drawn]
        contents = [self.data.documents[identity].content for identity in column_ids]
        asked = [self.data.queries[example.query_id] for example in examples]
        # A process without rows still encodes something: DistributedDataParallel waits for its gradients.
        stand_in = self.data.examples[0]  # for a batch without rows
        queries, query_rows = self.tokens.blocks(asked or [self.data.queries[stand_in.query_id]], "query")
        documents, document_rows = self.tokens.blocks(
            contents or [self.data.documents[stand_in.positive_id].content], "document"
        )
        known_rows, known_keys = self._known(examples)
        candidates, teacher = _candidates(examples, negatives)
        return {
            "queries": queries,
            "documents": documents,
            "query_rows": _whole_numbers(query_rows[: len(asked)]),
            "columns": _whole_numbers(document_rows[: len(contents)]),
            "positives": torch.arange(len(rows)),
            "owners": _whole_numbers(owners),
            "column_keys": _whole_numbers([self._key(identity) for identity in column_ids]),
            "known_rows": _whole_numbers(known_rows),
            "known_keys": _whole_numbers(known_keys),
            "candidates": candidates,
            "teacher": teacher,
        }

    def _known(self, examples: Sequence[Example]) -> tuple[list[int], list[int]]:
        """Find the texts known to answer each row's query; return rows, and the texts' keys."""
        rows, keys = [], []
        for row, example in enumerate(examples if self.settings.mask_known_positives else ()):
            query = example.query_id
            if (known := self._known_keys.get(query)) is None:
                found = {*map(self._key, self.data.positives(query)), *self._kin.get(query, ())}
                known = self._known_keys[query] = sorted(found)
            own = self._key(example.positive_id)  # a positive may be an excerpt, and qrels name its document
            known = known if own in known else sorted([*known, own])
            rows += [row] * len(known)
            keys += known
        return rows, keys

    def _kin_keys(self) -> dict[str, set[int]]:
        """The keys of each training query's kin; empty for a corpus so large that they seldom meet in a batch."""
        if len(self.data.documents) > MOST_DOCUMENTS:
            return {}
        return {
            query: set(map(self._key, kin)) - set(map(self._key, self.data.qrels[query]))
            for query, kin in excluded_negatives(self.data).items()
        }

    def _key(self, identity: str) -> int:
        """Hash a document's normalised text to a signed 64-bit number, as torch.long is."""
        if (key := self._keys.get(identity)) is None:
            text = normalise(self.data.documents[identity].content)
            digest = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
            # torch.long is signed, and xxh3 is not: the upper half of its range becomes the negative numbers.
            key = self._keys[identity] = digest - (1 << 64) if digest >> 63 else digest
        return key


def _candidates(examples: Sequence[Example], negatives: Sequence[Sequence[str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Find each row's own columns, and the teacher's scores of them: both ``[Q, n]``."""
    width = 1 + max((len(drawn) for drawn in negatives), default=0)
    # -1 and NaN: rows with fewer negatives than the widest have no column there.
    columns = torch.full((len(examples), width), -1)
    teacher = torch.full((len(examples), width), torch.nan)
    first = len(examples)
    for row, (example, drawn) in enumerate(zip(examples, negatives, strict=True)):
        columns[row, : 1 + len(drawn)] = _whole_numbers([row, *range(first, first + len(drawn))])
        first += len(drawn)
        if example.scores:
            # By id: the negatives are drawn in an order of their own.
            scores = dict(zip(example.negative_ids, example.scores[1:], strict=True))
            teacher[row, : 1 + len(drawn)] = torch.tensor([example.scores[0], *(scores[i] for i in drawn)])
    return columns, teacher


def _whole_numbers(values: Sequence[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.long)


class BatchOrder:
    """All examples once per epoch, in a new order each time, in batches; the short last batch is kept.

    It is the ``batch_sampler`` of a data loader: iterating gives this process's part of every batch of an epoch.

    In a mixed set, an epoch uses ``weight x size`` examples of each part, at least one. Each part is used in passes, in
    a new order each, and an epoch begins where the one before ended.

    >>> order = BatchOrder(count=5, batch_size=2, seed=1)
    >>> [len(batch) for batch in order], sorted(number for batch in order for number in batch)
    ([2, 2, 1], [0, 1, 2, 3, 4])

    Args:
        count: the number of examples.
        batch_size: examples per batch, over all processes.
        seed: of the order.
        parts: size and weight of each part of a mixed set, in the order of the examples; one part by default.

    Attributes:
        count: the number of examples in an epoch.
        share: returns a process's part of a global batch, by default the whole. It may be empty: all processes make the
            same steps.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0, parts: Sequence[tuple[int, float]] = ()) -> None:
        self.parts = [(size, max(round(size * weight), 1)) for size, weight in parts]
        self.count = sum(drawn for _, drawn in self.parts) if parts else count
        self.batch_size, self.seed = batch_size, seed
        self.share: Callable[[Sequence[int]], list[int]] = list
        self.epoch = 0
        self._shuffled: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        """Return the batches per epoch, the same on every process."""
        return math.ceil(self.count / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.share, self.batches(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Make this the current epoch, counted from 0."""
        self.epoch = epoch

    def batches(self, epoch: int, start: int = 0) -> Iterator[list[int]]:
        """Yield the example numbers of an epoch's batches, from its batch ``start`` on."""
        numbers = self._order(epoch)
        for begin in range(start * self.batch_size, self.count, self.batch_size):
            yield numbers[begin : begin + self.batch_size]

    def step(self, number: int, accumulation: int = 1) -> list[int]:
        """Return the example numbers of one optimizer step, counted from 0 over all epochs.

        ``accumulation`` batches make a step; the last step of an epoch may have fewer.
        """
        # Accumulation ends with the epoch, as in transformers: the last step of an epoch may have fewer batches.
        epoch, within = divmod(number, math.ceil(len(self) / accumulation))
        size = self.batch_size * accumulation
        return self._order(epoch)[within * size : (within + 1) * size]

    def _order(self, epoch: int) -> list[int]:
        # All examples of an epoch are drawn again from (seed, epoch): a resumed run needs no stored order.
        if self._shuffled[0] != epoch:
            numbers = self._drawn(epoch) if self.parts else list(range(self.count))
            random.Random(f"order\x00{self.seed}\x00{epoch}").shuffle(numbers)
            self._shuffled = (epoch, numbers)
        return self._shuffled[1]

    def _drawn(self, epoch: int) -> list[int]:
        """Draw the examples of an epoch, part by part."""
        numbers: list[int] = []
        first = 0
        for part, (size, drawn) in enumerate(self.parts):
            # An epoch is a window over the endless sequence of passes over the part.
            places = range(epoch * drawn, (epoch + 1) * drawn)
            for turn in range(places.start // size, (places.stop - 1) // size + 1):
                passed = list(range(first, first + size))
                random.Random(f"part\x00{self.seed}\x00{part}\x00{turn}").shuffle(passed)
                numbers += passed[max(places.start - turn * size, 0) : places.stop - turn * size]
            first += size
        return numbers


def order_of(data: TrainingSet, settings: TrainingSettings) -> BatchOrder:
    """Return the order of a training set's batches."""
    return BatchOrder(len(data.examples), settings.batch_size, settings.seed, data.parts)
