"""Everything that an index stores, in the order of adding, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import ONE
from tardif.index.disk import DiskIndex
from tardif.index.rows import StoredRow, damaged_of
from tardif.index.snapshot import View
from tardif.index.token_groups import labels_of
from tardif.types import Document


@dataclass(frozen=True, eq=False)
class StoredBlock:
    """Some rows of an index.

    Attributes:
        documents: documents and pieces.
        vectors: their token vectors, one after another: float32 ``[tokens, dim]``.
        lengths: the number of each one's token vectors.
        groups: of pooled tokens: for each one, the vector that each of its tokens is part of; None where each token has
            its own.
        sources: the file or folder that each one came from.
    """

    documents: list[Document]
    vectors: NDArray[np.float32]
    lengths: list[int]
    groups: list[NDArray[np.int64] | None]
    sources: list[str]


def stored_blocks(index: DiskIndex, tokens: int) -> Iterator[StoredBlock]:
    """Yield all rows of an index in the order of adding, each verified by its checksum.

    The vectors are those that a search computes with: stored fixed-point numbers, as float32. ``round(component *
    32767)`` gives the stored number of unit vectors again. Memory holds one block. The index is seen as it was when the
    first block was taken; others may write meanwhile.

    Args:
        index: the index.
        tokens: the most token vectors of a block. A longer document is a block of its own.

    Raises:
        FolderError: a text or a vector is not what was written.

    >>> from tempfile import mkdtemp
    >>> with DiskIndex.create(mkdtemp(), model={}, bits=16, threads=1) as index:
    ...     _ = index.add([Document("a", "first"), Document("b", "second")], np.eye(2, 4, dtype=np.float32), [1, 1])
    ...     [(block.documents[0].id, block.vectors.tolist()) for block in stored_blocks(index, tokens=1)]
    [('a', [[1.0, 0.0, 0.0, 0.0]]), ('b', [[0.0, 1.0, 0.0, 0.0]])]
    """
    with index.moment():
        view, dim = index.view(), index.store.number("dim")
        places = _places(view)
        rows: list[StoredRow] = []
        found: list[NDArray[np.float32]] = []
        count = taken = 0
        for row in index.store.all_rows():
            if taken == len(places) or places[taken][0] != row.number:
                raise index.store.damaged(f"the document {row.id!r:.200} has no vectors")
            _, place, at = places[taken].tolist()
            vectors = _vectors(view, place, at, dim)
            if rows and count + len(vectors) > tokens:
                yield _block(index, rows, found, dim)
                rows, found, count = [], [], 0
            rows.append(row)
            found.append(vectors)
            count, taken = count + len(vectors), taken + 1
        if taken < len(places):
            raise index.store.damaged("a document of its segments is missing")
        if rows:
            yield _block(index, rows, found, dim)


def _places(view: View) -> NDArray[np.int64]:
    """The number, segment and row of everything that can be found, by number: int64 ``[rows, 3]``."""
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for place, (segment, alive) in enumerate(zip(view.segments, view.alive, strict=True)):
        rows = np.flatnonzero(alive)
        parts.append(np.stack([segment.numbers[rows], np.full(len(rows), place), rows], axis=1))
    places = np.concatenate(parts)
    ordered: NDArray[np.int64] = places[np.argsort(places[:, 0], kind="stable")]
    return ordered


def _vectors(view: View, place: int, row: int, dim: int) -> NDArray[np.float32]:
    segment = view.segments[place]
    # In float64 first: each number is rounded once. Stored vectors are padded with zeros.
    vectors: NDArray[np.float32] = (segment.vectors(row)[:, :dim] * (segment.scale / ONE)).astype(np.float32)
    return vectors


def _block(index: DiskIndex, rows: list[StoredRow], found: list[NDArray[np.float32]], dim: int) -> StoredBlock:
    if bad := damaged_of(rows):
        raise index.store.damaged(f"the checksum of the document {bad[0].id!r:.200} is wrong")
    vectors = np.concatenate([np.zeros((0, dim), dtype=np.float32), *found])
    return StoredBlock(
        [row.to_document() for row in rows],
        vectors,
        [len(each) for each in found],
        [labels_of(row.tokens, len(each)) for row, each in zip(rows, found, strict=True)],
        [row.source for row in rows],
    )
