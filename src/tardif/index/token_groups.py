"""Groups of tokens: which of a document's vectors each of its tokens is part of, where tokens were pooled.

An index keeps them beside the document, two bytes a token, so that a match with a pooled vector can name its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError

# For each document the number of the vector that each of its tokens is part of, from 0: [tokens]. None where each token
# has a vector of its own.
Groups = Sequence[NDArray[np.int64]]

_TWO_BYTES = 1 << 16


def check_groups(groups: Sequence[Any] | None, lengths: Sequence[int]) -> Groups | None:
    """Return groups as arrays, if each document's fit its number of vectors.

    Raises:
        DataError: they do not.
    """
    if groups is None:
        return None
    if len(groups) != len(lengths):
        raise DataError(f"There are {len(lengths)} documents, and groups of tokens of {len(groups)}.")
    found = [np.asarray(labels, dtype=np.int64) for labels in groups]
    for labels, length in zip(found, lengths, strict=True):
        if not np.array_equal(np.unique(labels), np.arange(length)):
            raise DataError(f"The groups of a document's tokens do not fit its {length} vectors: each needs a token.")
    return found


def packed(groups: Groups | None, count: int) -> list[bytes | None]:
    """Return what an index stores of the groups of ``count`` documents.

    >>> packed([np.array([0, 1, 1])], 1)
    [b'\\x00\\x00\\x01\\x00\\x01\\x00']
    """
    if groups is None:
        return [None] * count
    return [np.asarray(labels).astype(_kind(int(np.max(labels, initial=-1)) + 1)).tobytes() for labels in groups]


def unpacked(stored: bytes | None, vectors: int) -> tuple[tuple[int, ...], ...] | None:
    """Return the tokens of each of a document's vectors, ``()`` for vectors that none is part of; None where each token
    has its own.

    >>> unpacked(b"\\x00\\x00\\x01\\x00\\x01\\x00", 2)
    ((0,), (1, 2))
    """
    labels = labels_of(stored, vectors)
    return None if labels is None else tokens_of(labels, vectors)


def labels_of(stored: bytes | None, vectors: int) -> NDArray[np.int64] | None:
    """Return the vector that each token is part of, as :func:`packed` stored it; None where each token has its own."""
    return None if stored is None else np.frombuffer(stored, dtype=_kind(vectors)).astype(np.int64)


def tokens_of(labels: NDArray[np.int64], vectors: int) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of each vector, from the vector of each token."""
    found: list[list[int]] = [[] for _ in range(max(vectors, int(labels.max(initial=-1)) + 1))]
    for token, vector in enumerate(labels.tolist()):
        found[vector].append(token)
    return tuple(map(tuple, found))


def _kind(vectors: int) -> str:
    return "<u2" if vectors <= _TWO_BYTES else "<u4"
