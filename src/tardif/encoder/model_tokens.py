"""The tokens that a model's vectors belong to, with their places in the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.encoder.onnx.encoder import LightEncoder, Task
from tardif.encoder.spans import ReadText, as_unicode, read_text, without_places

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def encode_and_read(
    model: MultiVectorEncoder | LightEncoder, text: str, task: Task
) -> tuple[NDArray[np.float32], ReadText]:
    """Encode one text, and say which of its tokens each vector belongs to.

    Args:
        model: a late-interaction model, or an exported encoder.
        text: the text. Lone surrogates are read as question marks.
        task: ``query`` or ``document``.

    Returns:
        The token vectors ``[tokens, dim]``, and the tokens in the same order.

    Raises:
        ModelError: the model changes the number of its tokens itself.
    """
    if isinstance(model, LightEncoder):
        encode = model.encode_queries if task == "query" else model.encode_documents
        return encode([text])[0], model.read(text, task)
    from tardif.encoder.encoding import encode_one

    text = as_unicode(text)
    found = encode_one(model, text, task)
    return found.vectors, _read(model, text, task, found.ids, found.scored)


def read_document(model: MultiVectorEncoder | LightEncoder, text: str) -> ReadText:
    """Return a document's tokens with a vector, without encoding it."""
    if isinstance(model, LightEncoder):
        return model.read(text, "document")
    from tardif.encoder.encoding import document_tokens

    text = as_unicode(text)
    return _read(model, text, "document", *document_tokens(model, text))


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
