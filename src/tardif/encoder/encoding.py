"""Encoding of texts as packed token vectors: each distinct text once, with almost no padding.

Tokenisation is the model's own, and the vectors equal those of its ``encode_query`` and ``encode_document`` up to
rounding. The one difference: blank texts (:mod:`tardif.encoder.blanks`) have no vectors here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardif.checks import check_list
from tardif.encoder.malloc import kept_memory
from tardif.encoder.packing import LENGTHS, lengths_of
from tardif.encoder.spans import as_unicode
from tardif.encoder.tokens import BLANK, tokens_for
from tardif.errors import SettingError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Tokens of a sub-batch: on a CPU what suits its caches, on a GPU what keeps it busy.
# 4,096 tokens were best of 1,024 to 8,192 on a CPU: a sub-batch costs a dense gradient of the embeddings
# (benchmarks/RESULTS.md, "Where the time goes").
SUB_BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 16384}


class Block(NamedTuple):
    """A sub-batch: its token ids, and the task, ``query`` or ``document``."""

    features: Mapping[str, Any]
    task: str


class Encoded(NamedTuple):
    """The token vectors of a sub-batch, packed ``[tokens, dim]``, and the number of each text's."""

    vectors: Tensor
    lengths: list[int]


def encode(model: Any, block: Block) -> Encoded:
    """Encode one sub-batch."""
    packed = block.features.get(LENGTHS)
    embeddings, mask = _forward(model, block)
    vectors = embeddings[mask]  # [n, tokens, dim] -> [kept tokens, dim]
    return Encoded(vectors, mask.sum(dim=1).tolist() if packed is None else lengths_of(mask, packed))


def _forward(model: Any, block: Block) -> tuple[Tensor, Tensor]:
    """The embeddings of a sub-batch ``[n, tokens, dim]``, and which of them are token vectors ``[n, tokens]``; n is 1
    for a packed one."""
    features = dict(block.features)
    blank, packed = features.pop(BLANK, None), features.get(LENGTHS)
    out = model(features, task=block.task)
    mask = out["attention_mask"].bool()  # [n, tokens], or [1, tokens of all texts] if packed
    if blank is not None:
        dropped = torch.tensor(blank, device=mask.device)  # [texts]
        # A blank text loses all its vectors: [texts] -> [tokens of all texts] if packed, else [texts] -> [texts, 1].
        of_tokens = dropped.repeat_interleave(torch.tensor(packed, device=mask.device)) if packed else dropped
        mask = mask & ~(of_tokens.unsqueeze(0) if packed else of_tokens.unsqueeze(1))
    return out["token_embeddings"], mask


def encode_texts(model: MultiVectorEncoder, texts: Sequence[str], task: str) -> tuple[NDArray[np.float32], list[int]]:
    """Encode texts for search.

    Args:
        model: the model. Its training mode does not change.
        texts: any number of texts that fits into memory with their vectors. Lone surrogates are read as question marks.
        task: ``query`` or ``document``.

    Returns:
        Packed vectors ``[tokens, dim]``, and the number of rows of each text, 0 for a blank one.

    Raises:
        SettingError: ``texts`` is a single text.
    """
    texts = [as_unicode(text) for text in check_list(texts, "texts", SettingError)]
    if not texts:
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32), []
    found: list[NDArray[np.float32]] = []
    places = encode_parts(model, texts, task, lambda vectors, lengths: found.extend(_split(vectors, lengths)))
    ordered = [found[place] for place in places]
    return np.concatenate(ordered), [len(vectors) for vectors in ordered]


@torch.inference_mode()
def encode_parts(
    model: MultiVectorEncoder,
    texts: Sequence[str],
    task: str,
    take: Callable[[NDArray[np.float32], list[int]], object],
) -> list[int]:
    """Encode the distinct texts for search, a sub-batch at a time, so that the caller may keep them out of memory.

    Args:
        model: the model. Its training mode does not change.
        texts: the texts.
        task: ``query`` or ``document``.
        take: gets the packed vectors ``[tokens, dim]`` of each sub-batch, and the number of rows of each of its texts.

    Returns:
        The place of each text among the distinct ones, in the order in which ``take`` got them.
    """
    training = model.training
    # Dropout off, whatever mode the caller's model is in.
    model.eval()
    try:
        blocks, places = tokens_for(model, SUB_BATCH_TOKENS[model.device.type]).blocks(texts, task)
        with kept_memory() if len(blocks) > 1 else nullcontext():
            for features in blocks:
                encoded = encode(model, Block(to_device(features, model.device), task))
                # float() before NumPy, which has no bfloat16.
                take(encoded.vectors.float().cpu().numpy(), encoded.lengths)  # [tokens of the sub-batch, dim]
    finally:
        if training:
            model.train()
    return places


def _split(vectors: NDArray[np.float32], lengths: Sequence[int]) -> list[NDArray[np.float32]]:
    return np.split(vectors, np.cumsum(lengths)[:-1])


class TextTokens(NamedTuple):
    """The ids of all tokens of a text, without a query's expansion; and the places of those with a vector, those of the
    expansion after them."""

    ids: list[int]
    scored: list[int]


def text_tokens(model: MultiVectorEncoder, texts: Sequence[str], task: str) -> list[TextTokens]:
    """Return which tokens of each text have a vector, in the order of the texts; the encoder is not run."""
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    tokens = tokens_for(model, SUB_BATCH_TOKENS["cpu"])
    masks = [module for module in model if isinstance(module, MultiVectorMask)]

    def read(text: str) -> TextTokens:
        (features,), _ = tokens.blocks([text], task)
        own = features["attention_mask"][0].bool()  # [tokens]
        # Those of an expansion may be attended to, and are not the text's.
        if (added := features.get("query_expansion_positions")) is not None:
            own = own & ~added[0].bool()
        ids: list[int] = features["input_ids"][0][own].tolist()
        if BLANK in features:
            return TextTokens(ids, [])
        for mask in masks:
            features = mask(features, task=task)
        return TextTokens(ids, torch.nonzero(features["attention_mask"][0])[:, 0].tolist())

    return [read(text) for text in texts]


def to_device(value: Any, device: torch.device | str) -> Any:
    """Return a batch, or any part of one, with its tensors on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [to_device(item, device) for item in value]
    return value
