"""Documents with vectors for index tests, and MaxSim by its definition over what an index has stored."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from tardif.index.codes import ONE, QUERY_ONE, scale_of, to_fixed
from tardif.types import Document, Piece

DIM = 12


@cache
def _centres(dim: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((20, dim))


def vectors_of(seed: int, tokens: int, dim: int = DIM) -> np.ndarray:
    """Unit vectors [tokens, dim] around a few directions, as token vectors lie."""
    draw = np.random.default_rng(seed)
    rows = _centres(dim)[draw.integers(20, size=tokens)] + 0.5 * draw.standard_normal((tokens, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(count: int, *, seed: int = 0, least: int = 1) -> tuple[list[Document], np.ndarray, list[int]]:
    """Documents with packed vectors and lengths."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(least, 9, size=count).tolist()
    documents = [Document(f"d{seed}-{n}", f"text {n}", metadata={"n": n, "even": n % 2 == 0}) for n in range(count)]
    parts = [vectors_of(1000 * seed + n, length) for n, length in enumerate(lengths)]
    return documents, np.concatenate([np.zeros((0, DIM), np.float32), *parts]), lengths


def stored(index) -> dict[str, tuple[np.ndarray, float]]:
    """The fixed-point vectors of a disk index's living documents, and the scale of each."""
    view, found = index.view(), {}
    for segment, living in zip(view.segments, view.alive, strict=True):
        for row in np.flatnonzero(living).tolist():
            found[int(segment.numbers[row])] = (segment.vectors(row), segment.scale)
    names = index.store.ids(list(found))
    assert names.keys() == found.keys()
    return {names[number]: of for number, of in found.items()}


def by_definition(documents, query: np.ndarray, k: int) -> list[tuple[str, float]]:
    """The hits among stored documents: every token of the query with every row, in integers of any size."""
    scale = scale_of(query)
    fixed = to_fixed(query, scale, QUERY_ONE).astype(object)
    scores = {}
    for identity, (rows, of) in documents.items():
        if len(rows) and len(query):
            total = sum((rows.astype(object) @ token).max() for token in fixed)
            factor = of * (scale / QUERY_ONE / ONE)
            step = 2.0 ** (math.floor(math.log2(factor)) - 3)  # scores lie on this grid
            scores[identity] = round(total * (factor / step)) * step
    return sorted(scores.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)[:k]


def cut(
    identity: str, pieces: int, *, seed: int, metadata=None, text: str = ""
) -> tuple[list[Document], np.ndarray, list[int]]:
    """A document in so many pieces, with packed vectors and lengths."""
    documents = [
        Document(
            f"{identity}#{n}",
            text or f"piece {n} of {identity}",
            metadata=metadata or {},
            piece=Piece(identity, n, pieces, 10 * n - 10, 10 * n, ("Top", f"Section {n}"), n),
        )
        for n in range(1, pieces + 1)
    ]
    _, vectors, lengths = some(pieces, seed=seed)
    return documents, vectors, lengths
