"""Encoding of queries and documents by a model or an exported encoder. The functions import torch for a model only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tardif.encoder.onnx.encoder import LightEncoder

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Token vectors of texts, packed [tokens, dim], and the number of rows of each text.
Encoded = tuple[NDArray[np.float32], list[int]]


def encode_queries(model: MultiVectorEncoder | LightEncoder, texts: Sequence[str]) -> Encoded:
    """Encode queries: packed vectors ``[tokens, dim]``, float32, and the number of rows of each query."""
    if isinstance(model, LightEncoder):
        return model.encode_queries(texts)
    from tardif.encoder.encoding import encode_texts

    return encode_texts(model, texts, "query")


def encode_query_parts(
    model: MultiVectorEncoder, texts: Sequence[str], take: Callable[[NDArray[np.float32], list[int]], object]
) -> list[int]:
    """Encode queries a sub-batch at a time: those of :func:`tardif.encoder.encoding.encode_parts`."""
    from tardif.encoder.encoding import encode_parts

    return encode_parts(model, texts, "query", take)


def encode_documents(model: MultiVectorEncoder | LightEncoder, texts: Sequence[str]) -> Encoded:
    """Encode documents: packed vectors ``[tokens, dim]``, float32, and the number of rows of each document."""
    if isinstance(model, LightEncoder):
        return model.encode_documents(texts)
    from tardif.encoder.encoding import encode_texts

    return encode_texts(model, texts, "document")
