"""Token vectors of queries and of documents; torch is imported by the call, not with the module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

Encoded = tuple[NDArray[np.float32], list[int]]
"""Token vectors of texts, packed ``[tokens, dim]``, and how many each text has."""


def encode_queries(model: MultiVectorEncoder, texts: Sequence[str]) -> Encoded:
    """Token vectors of queries: packed ``[tokens, dim]`` float32, and the rows of each."""
    from tardif.encoder.encoding import encode_texts

    return encode_texts(model, texts, "query")


def encode_documents(model: MultiVectorEncoder, texts: Sequence[str]) -> Encoded:
    """Token vectors of documents: packed ``[tokens, dim]`` float32, and the rows of each."""
    from tardif.encoder.encoding import encode_texts

    return encode_texts(model, texts, "document")
