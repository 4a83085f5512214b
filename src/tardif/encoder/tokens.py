"""Token ids of documents, kept from epoch to epoch, in sub-batches that waste nothing.

Where the encoder takes packed batches (:mod:`tardif.encoder.packing`) there is no padding at all;
where it does not, texts of nearly the same length are padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardif.encoder.blanks import Blanks, blanks_of
from tardif.encoder.packing import enable, first_position, pack

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

Preprocess = Callable[..., dict[str, Any]]

BLANK = "blank_texts"
"""The key of a sub-batch in which texts are blank (:mod:`tardif.encoder.blanks`): for each text, whether it is."""

CACHED_TOKENS = 50_000_000
"""At most so many ids are kept (200 MB). Which ones does not matter: every text is read equally often."""


class Tokens:
    """Turns texts into sub-batches of token ids.

    Args:
        preprocess: the model's own tokenisation, so that training sees the ids that encoding sees.
        prompts: the model's prompts by task (the markers).
        budget: tokens per sub-batch.
        padding_id: the id that fills a padded sub-batch up; None packs instead.
        first_position: the position of a text's first token in a packed sub-batch.
        expansion: tokens that every query has at least, filled up by the model's own tokenisation.
        document_length: tokens of a document; None: as many as the model's own tokenisation gives.
        blanks: tells blank texts; None: there are none.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        prompts: dict[str, str | None],
        *,
        budget: int,
        padding_id: int | None = None,
        first_position: int = 0,
        expansion: int = 0,
        document_length: int | None = None,
        blanks: Blanks | None = None,
    ) -> None:
        self.preprocess, self.prompts = preprocess, prompts
        self.budget, self.padding_id, self.first_position = budget, padding_id, first_position
        self.expansion = expansion
        self.document_length = document_length
        self.blanks = blanks
        self._kept: dict[tuple[str, str], NDArray[np.int32]] = {}
        self._room = CACHED_TOKENS

    def ids(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        """The token ids of each text."""
        fresh = [text for text in dict.fromkeys(texts) if (task, text) not in self._kept]
        made = dict(zip(fresh, self._tokenise(fresh, task), strict=True)) if fresh else {}
        for text, ids in made.items():
            if self._room >= len(ids):
                self._kept[task, text] = ids
                self._room -= len(ids)
        return [self._kept[task, text] if text not in made else made[text] for text in texts]

    def blocks(self, texts: Sequence[str], task: str) -> tuple[list[dict[str, Any]], list[int]]:
        """Sub-batches of the distinct ones among some texts, shortest first, and each text's place among them."""
        distinct = list(dict.fromkeys(texts))
        least = self.expansion if task == "query" else 0
        ids = dict(zip(distinct, self.ids(distinct, task), strict=True))
        ordered = sorted(distinct, key=lambda text: (len(ids[text]), text))
        is_padded = bool(least) or self.padding_id is not None
        parts: list[list[str]] = []
        filled = 0
        for text in ordered:
            length = max(len(ids[text]), least)
            # Texts come by length, so the last one is as wide as a padded sub-batch.
            filled = (len(parts[-1]) + 1) * length if parts and is_padded else filled + length
            if not parts or filled > self.budget:
                parts.append([])
                filled = length
            parts[-1].append(text)
        place = {text: number for number, text in enumerate(ordered)}
        blocks = []
        for part in parts:
            own = [torch.from_numpy(ids[text]) for text in part]
            features = self._preprocess(part, task) if least else self._features(own)
            blocks.append({**features, **self._blank(part, [ids[text] for text in part], task)})
        return blocks, [place[text] for text in texts]

    def _blank(self, texts: Sequence[str], ids: Sequence[NDArray[np.int32]], task: str) -> dict[str, list[bool]]:
        """Which texts of a sub-batch are blank, where one is."""
        if self.blanks is None:
            return {}
        found = [self.blanks.holds(text, own, task) for text, own in zip(texts, ids, strict=True)]
        return {BLANK: found} if any(found) else {}

    def _preprocess(self, texts: Sequence[str], task: str) -> dict[str, Any]:
        return self.preprocess(list(texts), prompt=self.prompts.get(task), task=task)

    def _tokenise(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        found = self._preprocess(texts, task)
        masks = found["attention_mask"].bool()  # [n, tokens]
        ids = [row[mask].numpy().astype(np.int32) for row, mask in zip(found["input_ids"], masks, strict=True)]
        most = self.document_length if task == "document" else None
        return ids if most is None else [_cut(text, most) for text in ids]

    def _features(self, texts: Sequence[Tensor]) -> dict[str, Any]:
        if self.padding_id is None:
            return pack(texts, self.first_position)
        whole = [ids.long() for ids in texts]
        padded = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True, padding_value=self.padding_id)
        lengths = torch.tensor([len(ids) for ids in texts])
        mask = torch.arange(padded.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)  # [n, tokens]
        return {"input_ids": padded, "attention_mask": mask.long(), "modality": "text"}


def _cut(ids: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """The first ids and the last one, which ends every text."""
    return ids if len(ids) <= most else np.concatenate([ids[: most - 1], ids[-1:]])


def tokens_for(model: MultiVectorEncoder, budget: int, document_length: int | None = None) -> Tokens:
    """The tokens of a model: packed where its encoder can take them so.

    Args:
        model: the model to train or encode with; it is prepared for packed batches.
        budget: tokens per sub-batch.
        document_length: tokens of a document, where they are to be fewer than the model reads.
    """
    transformer: Any = model[0]
    packed, expansion = enable(model), transformer.query_expansion
    return Tokens(
        model.preprocess,
        dict(model.prompts),
        budget=budget,
        padding_id=None if packed else transformer.tokenizer.pad_token_id or 0,
        first_position=first_position(model),
        expansion=expansion["length"] if expansion else 0,
        document_length=document_length,
        blanks=blanks_of(model),
    )
