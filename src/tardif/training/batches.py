"""Batches of example numbers become token ids: each distinct text once, sorted by length, in sub-batches.

The loss's columns are kept apart from the texts: ``columns`` says which encoded document stands in
each column, so sharing an encoding never changes what the loss sees.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tardif.data.text import normalise
from tardif.data.training_set import TrainingSet

# Characters per token, roughly, for cutting sub-batches before anything is tokenised.
_CHARACTERS_PER_TOKEN = 4.0

Preprocess = Callable[..., dict[str, Any]]


class Collator:
    """Turns rows ``{"example": number}`` into what the objective reads.

    Args:
        data: the training set; texts are looked up in it.
        preprocess: the model's own tokenisation, so that training sees the ids that encoding sees.
        prompts: the model's prompts by task (the markers).
        negatives_per_example: hard negatives drawn per example and epoch.
        mask_known_positives: mark other known positives of a query, and copies, as ignored columns.
        tokens: token budget of a sub-batch of documents.
        document_length: the cap of a document, for the budget.
        seed: of the draws.
    """

    # sentence-transformers' trainer reads this name from its collators.
    valid_label_columns: Sequence[str] = ()

    def __init__(
        self,
        data: TrainingSet,
        preprocess: Preprocess,
        prompts: dict[str, str | None],
        *,
        negatives_per_example: int = 1,
        mask_known_positives: bool = True,
        tokens: int = 2048,
        document_length: int = 256,
        seed: int = 0,
    ) -> None:
        self.data = data
        self.preprocess = preprocess
        self.prompts = prompts
        self.negatives_per_example = negatives_per_example
        self.mask_known_positives = mask_known_positives
        self.tokens = tokens
        self.document_length = document_length
        self.seed = seed
        self.epoch = 0

    def negatives(self, number: int) -> list[str]:
        """The hard negatives that an example uses in this epoch."""
        mined = self.data.examples[number].negative_ids
        draw = random.Random(f"{self.seed}\x00{self.epoch}\x00{number}")
        return draw.sample(mined, min(self.negatives_per_example, len(mined)))

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Any]:
        """One batch: sub-batches of token ids, and the maps from queries and columns to their rows."""
        examples = [self.data.examples[row["example"]] for row in rows]
        # One column per use of a document: all positives first, then each example's hard negatives.
        columns = [example.positive_id for example in examples]
        for row in rows:
            columns += self.negatives(row["example"])
        query_ids = [example.query_id for example in examples]
        queries, query_rows = _distinct([self.data.queries[query] for query in query_ids])
        documents, document_rows = _distinct([self.data.documents[identity].content for identity in columns])
        return {
            "queries": [self._features(queries, "query")],
            "documents": [self._features(block, "document") for block in self._blocks(documents)],
            "query_rows": torch.tensor(query_rows),  # [Q] -> encoded query
            "columns": torch.tensor(document_rows),  # [C] -> encoded document
            "positives": torch.arange(len(rows)),  # [Q] -> column
            "ignored": self._ignored(query_ids, columns),  # [Q, C]
        }

    def _features(self, texts: Sequence[str], task: str) -> dict[str, Any]:
        return self.preprocess(list(texts), prompt=self.prompts.get(task), task=task)

    def _blocks(self, documents: Sequence[str]) -> list[list[str]]:
        """Cut length-sorted texts into sub-batches of about ``tokens`` tokens, padding counted."""
        blocks: list[list[str]] = []
        widest = 0.0
        for text in documents:
            width = min(len(text) / _CHARACTERS_PER_TOKEN + 3, self.document_length)
            if blocks and (len(blocks[-1]) + 1) * max(widest, width) <= self.tokens:
                blocks[-1].append(text)
                widest = max(widest, width)
            else:
                blocks.append([text])
                widest = width
        return blocks

    def _ignored(self, query_ids: Sequence[str], columns: Sequence[str]) -> torch.Tensor:
        ignored = torch.zeros(len(query_ids), len(columns), dtype=torch.bool)
        if not self.mask_known_positives:
            return ignored
        texts = [normalise(self.data.documents[identity].content) for identity in columns]
        for row, query in enumerate(query_ids):
            known = {normalise(self.data.documents[identity].content) for identity in self.data.positives(query)}
            for column, text in enumerate(texts):
                ignored[row, column] = column != row and text in known
        return ignored


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The distinct texts, shortest first, and for each given text its place among them."""
    ordered = sorted(set(texts), key=lambda text: (len(text), text))
    place = {text: number for number, text in enumerate(ordered)}
    return ordered, [place[text] for text in texts]
