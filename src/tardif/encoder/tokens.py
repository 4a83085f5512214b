"""Token ids of texts, cached from epoch to epoch, in sub-batches with little or no padding.

If the encoder takes packed batches (:mod:`tardif.encoder.packing`), there is no padding at all. Otherwise texts of
nearly the same length are padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tardif.encoder.blanks import Blanks, blanks_of
from tardif.encoder.packing import enable, first_position, pack

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The key of a sub-batch with blank texts (tardif.encoder.blanks): whether each text is blank.
BLANK = "blank_texts"
# At most this many ids are cached (200 MB). Which ones does not matter, because every text is read equally often.
CACHED_TOKENS = 50_000_000


@dataclass(eq=False)
class Tokens:
    """Turns texts into sub-batches of token ids.

    Attributes:
        preprocess: the model's own tokenisation, so that training and encoding see the same ids.
        prompts: the model's prompts by task (the markers).
        budget: tokens per sub-batch.
        padding_id: the id that pads a sub-batch; None packs it instead.
        first_position: the position of a text's first token in a packed sub-batch.
        expansion: the least number of tokens of a query. The model's own tokenisation adds the missing ones.
        document_length: the most tokens of a document; None for as many as the model's tokenisation gives.
        blanks: finds blank texts; None if there are none.
        cached: at most this many ids are kept for the next time that a text is asked for.
    """

    preprocess: Callable[..., dict[str, Any]]
    prompts: dict[str, str | None]
    budget: int
    padding_id: int | None = None
    first_position: int = 0
    expansion: int = 0
    document_length: int | None = None
    blanks: Blanks | None = None
    cached: int = CACHED_TOKENS

    def __post_init__(self) -> None:
        self._kept: dict[tuple[str, str], NDArray[np.int32]] = {}
        self._room = self.cached

    def ids(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        """Return the token ids of each text."""
        fresh = [text for text in dict.fromkeys(texts) if (task, text) not in self._kept]
        made = dict(zip(fresh, self._tokenise(fresh, task), strict=True)) if fresh else {}
        for text, ids in made.items():
            if self._room >= len(ids):
                self._kept[task, text] = ids
                self._room -= len(ids)
        return [self._kept[task, text] if text not in made else made[text] for text in texts]

    def blocks(
        self, texts: Sequence[str], task: str, most: Sequence[int] | None = None
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """Return sub-batches of the distinct texts, shortest first, and the place of each text among them.

        Texts of similar length share a sub-batch: padding is small, and a packed batch has few distinct lengths.
        ``most`` has the most tokens of each text, where they are fewer than the model reads.
        """
        distinct = list(dict.fromkeys(texts))
        least = self.expansion if task == "query" else 0
        ids = dict(zip(distinct, self.ids(distinct, task), strict=True))
        for text, length in zip(texts, most or (), strict=most is not None):
            ids[text] = _cut(ids[text], length)
        # Sorted by text too: equal lengths come in the same order in every run.
        ordered = sorted(distinct, key=lambda text: (len(ids[text]), text))
        is_padded = bool(least) or self.padding_id is not None
        parts: list[list[str]] = []
        filled = 0
        for text in ordered:
            length = max(len(ids[text]), least)
            # Texts come by length, so a padded sub-batch is as wide as its last text.
            filled = (len(parts[-1]) + 1) * length if parts and is_padded else filled + length
            if not parts or filled > self.budget:
                parts.append([])
                filled = length
            parts[-1].append(text)
        place = {text: number for number, text in enumerate(ordered)}
        blocks = []
        for part in parts:
            own = [torch.from_numpy(ids[text]) for text in part]
            # Expanded queries are tokenised again: the library fills them up.
            features = self._preprocess(part, task) if least else self._features(own)
            blocks.append({**features, **self._blank(part, [ids[text] for text in part], task)})
        return blocks, [place[text] for text in texts]

    def _blank(self, texts: Sequence[str], ids: Sequence[NDArray[np.int32]], task: str) -> dict[str, list[bool]]:
        """Return which texts of a sub-batch are blank, or nothing if none is."""
        if self.blanks is None:
            return {}
        found = [self.blanks.holds(text, own, task) for text, own in zip(texts, ids, strict=True)]
        return {BLANK: found} if any(found) else {}

    def _preprocess(self, texts: Sequence[str], task: str) -> dict[str, Any]:
        return self.preprocess(list(texts), prompt=self.prompts.get(task), task=task)

    def _tokenise(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        found = self._preprocess(texts, task)
        masks = found["attention_mask"].bool()  # [n, tokens]
        # int32 in the cache is half of torch's int64.
        ids = [row[mask].numpy().astype(np.int32) for row, mask in zip(found["input_ids"], masks, strict=True)]
        most = self.document_length if task == "document" else None
        return ids if most is None else [_cut(text, most) for text in ids]

    def _features(self, texts: Sequence[Tensor]) -> dict[str, Any]:
        if self.padding_id is None:
            return pack(texts, self.first_position)
        rows = [ids.long() for ids in texts]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.padding_id)  # [n, tokens]
        mask = pad_sequence([torch.ones_like(ids) for ids in rows], batch_first=True)  # [n, tokens]
        return {"input_ids": padded, "attention_mask": mask, "modality": "text"}


def _cut(ids: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """Return the first ids and the last one, the end token."""
    return ids if len(ids) <= most else np.concatenate([ids[: most - 1], ids[-1:]])


def tokens_for(
    model: MultiVectorEncoder, budget: int, document_length: int | None = None, *, cached: int = CACHED_TOKENS
) -> Tokens:
    """Return the :class:`Tokens` of a model, packed if its encoder supports it.

    Args:
        model: the model to train or encode with. It is prepared for packed batches.
        budget: tokens per sub-batch.
        document_length: tokens of a document, if fewer than the model reads.
        cached: at most this many ids are kept for the next time that a text is asked for.
    """
    transformer: Any = model[0]
    packed, expansion = enable(model), transformer.query_expansion
    return Tokens(
        preprocess=model.preprocess,
        prompts=dict(model.prompts),
        budget=budget,
        padding_id=None if packed else transformer.tokenizer.pad_token_id or 0,
        first_position=first_position(model),
        expansion=expansion["length"] if expansion else 0,
        document_length=document_length,
        blanks=blanks_of(model),
        cached=cached,
    )
