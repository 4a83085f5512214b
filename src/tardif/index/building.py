"""A corpus into an index: encoded some thousand documents at a time, and gone on with after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tardif.data.text import keyed_order
from tardif.errors import DataError
from tardif.index.codebooks import centroid_count
from tardif.index.disk import DiskIndex
from tardif.types import Document

Encode = Callable[[Sequence[str]], tuple[NDArray[np.float32], list[int]]]
"""Texts to packed token vectors ``[tokens, dim]`` and the rows of each."""

BLOCK = 2048
"""Documents encoded and written together: a kill costs at most so many."""

# Tokens that a document is taken to have before any is encoded.
_GUESS = 100
# Texts encoded at a time: progress shows after each.
_PART = 128


def fill(
    index: DiskIndex,
    documents: Sequence[Document],
    encode: Encode,
    *,
    advance: Callable[[int], None] | None = None,
    resumed: Callable[[int], None] | None = None,
) -> None:
    """Have an index hold these documents and no others.

    The first block is a sample of the whole corpus, so that the centroids learnt from it suit all of it; the
    others follow in the given order. What the index holds already, word for word, is not encoded again.

    Args:
        index: empty, or what an interrupted call left.
        documents: the corpus, with unique ids.
        encode: texts to vectors.
        advance: called with the number of documents done, for progress.
        resumed: called with the number of documents that were there.

    Raises:
        DataError: the corpus is empty, an id stands twice, or vectors are not finite numbers.
        FolderError: the folder cannot be written.
    """
    if not documents:
        raise DataError("The corpus is empty: there is nothing to index.")
    if len({document.id for document in documents}) != len(documents):
        raise DataError("Two documents have the same id: ids must be unique.")
    size = max(BLOCK, centroid_count(len(documents) * _GUESS) // 2)
    by_key = sorted(range(len(documents)), key=lambda place: keyed_order(0, documents[place].id))
    first = sorted(by_key[:size])
    others = sorted(by_key[size:])
    blocks = [first, *(others[begin : begin + BLOCK] for begin in range(0, len(others), BLOCK))]
    for number, places in enumerate(blocks):
        block = [documents[place] for place in places]
        missing = _missing(index, block)
        if resumed is not None and len(missing) < len(block):
            resumed(len(block) - len(missing))
        if missing:
            vectors, lengths = encoded(missing, encode, advance)
            if number == 0:
                index.expect(len(vectors) // len(missing) * len(documents))
            index.add(missing, vectors, lengths)
    wanted = {document.id for document in documents}
    index.delete([identity for identity in index.ids() if identity not in wanted])
    index.wait()


def _missing(index: DiskIndex, documents: Sequence[Document]) -> list[Document]:
    """Those that the index does not hold as they are."""
    from tardif.index.metadata import as_stored

    there = index.get([document.id for document in documents])

    def same(document: Document) -> bool:
        known = there.get(document.id)
        alike = known is not None and (known.title, known.text) == (document.title, document.text)
        return alike and known is not None and known.metadata == as_stored(document.metadata)

    return [document for document in documents if not same(document)]


def encoded(
    documents: Sequence[Document], encode: Encode, advance: Callable[[int], None] | None = None
) -> tuple[NDArray[np.float32], list[int]]:
    """A block's packed vectors ``[tokens, dim]`` and the rows of each document.

    The longest documents are encoded first, so that the time left is not promised too short.

    Args:
        documents: the block.
        encode: texts to vectors.
        advance: called with the number of documents done, for progress.
    """
    order = sorted(range(len(documents)), key=lambda place: -len(documents[place].content))
    found: list[NDArray[np.float32]] = [np.zeros((0, 0), dtype=np.float32)] * len(documents)
    for begin in range(0, len(order), _PART):
        part = order[begin : begin + _PART]
        vectors, lengths = encode([documents[place].content for place in part])
        for place, rows in zip(part, np.split(vectors, np.cumsum(lengths)[:-1]), strict=True):
            found[place] = rows
        if advance is not None:
            advance(len(part))
    return np.concatenate(found), [len(rows) for rows in found]
