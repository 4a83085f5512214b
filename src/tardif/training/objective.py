"""Where encoder and loss meet: the one module that sentence-transformers' trainer calls a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tardif.losses import contrastive
from tardif.scoring import TokenVectors, maxsim

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


class ContrastiveObjective(nn.Module):
    """Encodes a batch's sub-batches, scores every query with every column, applies the loss.

    ``model`` must keep its name: the trainer puts the distributed wrapper in its place.
    """

    def __init__(self, model: MultiVectorEncoder, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.model: Any = model
        self.temperature = temperature
        self.last = float("nan")

    def forward(self, batch: Mapping[str, Any], labels: Tensor | None = None) -> Tensor:
        """The mean loss of a batch as :class:`~tardif.training.batches.Collator` makes it."""
        queries = self.encode(batch["queries"], "query")
        documents = self.encode(batch["documents"], "document")
        scores = maxsim(queries, documents)  # [distinct queries, distinct documents]
        scores = scores[batch["query_rows"]][:, batch["columns"]]  # [Q, C]
        loss = contrastive(scores, batch["positives"], temperature=self.temperature, ignored=batch["ignored"])
        self.last = float(loss.detach())
        return loss

    def encode(self, blocks: Sequence[Mapping[str, Any]], task: str) -> TokenVectors:
        """The packed token vectors of all sub-batches, in order."""
        vectors: list[Tensor] = []
        lengths: list[int] = []
        for block in blocks:
            out = self.model(dict(block), task=task)
            mask = out["attention_mask"].bool()  # [n, tokens]
            vectors.append(out["token_embeddings"][mask])  # [n, tokens, dim] -> [kept tokens, dim]
            lengths += mask.sum(dim=1).tolist()
        return TokenVectors(torch.cat(vectors), lengths)
