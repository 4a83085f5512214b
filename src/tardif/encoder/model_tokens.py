"""The tokens that a model's vectors belong to, with their places in the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tardif.encoder.onnx.encoder import LightEncoder, Task
from tardif.encoder.spans import ReadText, as_unicode, read_text, without_places
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


class EncodedText(NamedTuple):
    """A text with its token vectors ``[tokens, dim]``, and the tokens that they belong to, in the same order."""

    text: str
    vectors: NDArray[np.float32]
    read: ReadText


def encode_and_read(model: MultiVectorEncoder | LightEncoder, texts: Sequence[str], task: Task) -> list[EncodedText]:
    """Encode texts together, and say which of their tokens each vector belongs to.

    Args:
        model: a late-interaction model, or an exported encoder.
        texts: the texts; equal ones are encoded once. Lone surrogates are read as question marks.
        task: ``query`` or ``document``.

    Raises:
        ModelError: the model pools its tokens itself.
    """
    _check_unpooled(model)
    encode = encode_queries if task == "query" else encode_documents
    return with_tokens(model, texts, *encode(model, list(texts)), task)


def with_tokens(
    model: MultiVectorEncoder | LightEncoder,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    lengths: Sequence[int],
    task: Task,
) -> list[EncodedText]:
    """Say which tokens of texts that were encoded each vector belongs to; they are not encoded again.

    Args:
        model: encoded them.
        texts: the texts.
        vectors: packed ``[tokens, dim]``.
        lengths: the number of rows of each text.
        task: ``query`` or ``document``.

    Raises:
        ModelError: the model pools its tokens itself.
    """
    _check_unpooled(model)
    parts = np.split(vectors, np.cumsum(lengths)[:-1]) if lengths else []
    return list(map(EncodedText, texts, parts, read_texts(model, texts, task)))


def _check_unpooled(model: MultiVectorEncoder | LightEncoder) -> None:
    if isinstance(model, LightEncoder):
        return
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

    if any(isinstance(module, BaseTokenPooling) and getattr(module, "pool_factor", 2.0) > 1 for module in model):
        raise ModelError(
            "The model pools its tokens itself, and does not say which ones: only a model without token pooling can be "
            "explained."
        )


def read_texts(model: MultiVectorEncoder | LightEncoder, texts: Sequence[str], task: Task) -> list[ReadText]:
    """Return each text's tokens with a vector, without encoding it."""
    if isinstance(model, LightEncoder):
        return [model.read(text, task) for text in texts]
    from tardif.encoder.encoding import text_tokens

    distinct = list(dict.fromkeys(map(as_unicode, texts)))
    tokens = text_tokens(model, distinct, task)
    read = {text: _read(model, text, task, *own) for text, own in zip(distinct, tokens, strict=True)}
    return [read[as_unicode(text)] for text in texts]


def _read(model: MultiVectorEncoder, text: str, task: str, ids: list[int], scored: list[int]) -> ReadText:
    transformer: Any = model[0]
    tokenizer, prompt = transformer.tokenizer, model.prompts.get(task) or ""
    filler = _filler(transformer)
    if getattr(tokenizer, "is_fast", False):
        # Cut to as many tokens as the model has read, so it is cut as the model cuts.
        encoding = tokenizer(prompt + text, truncation=True, max_length=max(len(ids), 1)).encodings[0]
        if encoding.ids == ids:
            return read_text(encoding, text, prompt, scored, filler)
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return without_places(pieces[place] if place < len(pieces) else filler for place in scored)


def _filler(transformer: Any) -> str:
    """The name of the token that fills up a query; "" if none does."""
    own, tokenizer = transformer.query_expansion, transformer.tokenizer
    if own is None:
        return ""
    return str(own["token"] or tokenizer.mask_token or tokenizer.eos_token or "")
