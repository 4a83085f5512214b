"""A corpus into an index: encoded some thousand documents at a time, and gone on with after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError
from tardif.index.codebooks import centroid_count
from tardif.index.disk import DiskIndex
from tardif.index.protocol import Index, check_pieces
from tardif.text.normal import keyed_order
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
    source: str = "",
) -> None:
    """Have an index hold these documents and no others.

    The first block is a sample of the whole corpus, so that the centroids learnt from it suit all of it; the
    others follow in the given order, a document with all of its pieces. What the index holds already, word for word, is
    not encoded again.

    Args:
        index: empty, or what an interrupted call left.
        documents: the corpus, with unique ids; pieces of a document stand together.
        encode: texts to vectors.
        advance: called with the number of documents (or pieces) done, for progress.
        resumed: called with the number of those that were there.
        source: the file or folder that they came from.

    Raises:
        DataError: the corpus is empty, an id stands twice, or vectors are not finite numbers.
        FolderError: the folder cannot be written.
    """
    if not documents:
        raise DataError("The corpus is empty: there is nothing to index.")
    check_pieces(documents)
    size = max(BLOCK, centroid_count(len(documents) * _GUESS) // 2)
    wholes = by_whole(documents)
    order = dict(zip(wholes, range(len(wholes)), strict=True))
    first: list[str] = []
    held = 0
    for identity in sorted(wholes, key=lambda identity: keyed_order(0, identity)):
        if held < size:
            first.append(identity)
            held += len(wholes[identity])
    others = wholes.keys() - set(first)
    sample = [document for identity in sorted(first, key=order.__getitem__) for document in wholes[identity]]
    rest = {identity: pieces for identity, pieces in wholes.items() if identity in others}
    for number, block in enumerate([sample, *blocks_of(rest, BLOCK)]):
        missing = differing(index, block)
        if resumed is not None and len(missing) < len(block):
            resumed(len(block) - len(missing))
        if missing:
            vectors, lengths = encoded(missing, encode, advance)
            if number == 0:
                index.expect(len(vectors) // len(missing) * len(documents))
            index.add(missing, vectors, lengths, source=source)
    index.delete([identity for identity in index.ids() if identity not in wholes])
    index.wait()


def by_whole(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Whole documents and pieces by the document's id, in their order."""
    found: dict[str, list[Document]] = {}
    for document in documents:
        found.setdefault(document.whole_id, []).append(document)
    return found


def blocks_of(wholes: Mapping[str, Sequence[Document]], size: int) -> Iterator[list[Document]]:
    """Documents and pieces some at a time; all pieces of a document are in one block, which is then as large as it has
    to be.

    Args:
        wholes: by the document's id.
        size: of a block, about.
    """
    block: list[Document] = []
    for pieces in wholes.values():
        if block and len(block) + len(pieces) > size:
            yield block
            block = []
        block.extend(pieces)
    if block:
        yield block


def differing(index: Index, documents: Sequence[Document]) -> list[Document]:
    """The documents, with all of their pieces, that the index does not hold as they are: title, text, metadata, and how
    they are cut."""
    from tardif.index.document_columns import as_kept

    wholes = by_whole(documents)
    there = by_whole(index.get([*wholes, *(document.id for document in documents)]).values())
    return [
        document
        for identity, pieces in wholes.items()
        if {piece.id: piece for piece in there.get(identity, ())} != {piece.id: as_kept(piece) for piece in pieces}
        for document in pieces
    ]


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
