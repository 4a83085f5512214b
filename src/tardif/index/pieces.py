"""Documents and the pieces that long ones are cut into: grouped, split into blocks, compared, and their ids checked.

A document that was cut is stored as one row per piece (``page.md#2``), and is added, replaced and deleted as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tardif.batching import batched
from tardif.checks import called
from tardif.errors import DataError
from tardif.index.document_columns import as_kept
from tardif.index.protocol import Index, Vectors
from tardif.types import Document


def by_whole(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Group documents and pieces by the id of the whole document, in their order.

    >>> from tardif.types import Piece
    >>> pieces = [Document(f"a#{n}", "text", piece=Piece("a", n, 2, 0, 4)) for n in (1, 2)]
    >>> {whole: len(rows) for whole, rows in by_whole([*pieces, Document("b", "text")]).items()}
    {'a': 2, 'b': 1}
    """
    found: dict[str, list[Document]] = {}
    for document in documents:
        found.setdefault(document.whole_id, []).append(document)
    return found


def blocks_of(wholes: Mapping[str, Sequence[Document]], size: int) -> Iterator[list[Document]]:
    """Split grouped documents into blocks of about ``size`` rows. All pieces of a document are in one block.

    >>> wholes = by_whole(Document(identity, "text") for identity in "abc")
    >>> [[document.id for document in block] for block in blocks_of(wholes, 2)]
    [['a', 'b'], ['c']]
    """
    for block in batched(wholes.values(), size, len):
        yield [document for pieces in block for document in pieces]


def differing(index: Index, documents: Sequence[Document]) -> list[Document]:
    """Return the documents that an index does not hold with the same title, text, metadata and cuts.

    All pieces of a document that differs are returned.
    """
    wholes = by_whole(documents)
    there = by_whole(index.get([*wholes, *(document.id for document in documents)]).values())
    return [
        document
        for identity, pieces in wholes.items()
        # Compared with what the index would store: metadata may change its form there.
        if {piece.id: piece for piece in there.get(identity, ())} != {piece.id: as_kept(piece) for piece in pieces}
        for document in pieces
    ]


def check_fit(documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int]) -> None:
    """Raise if documents cannot be stored with these vectors. Every index calls it first.

    The fields of a :class:`Document` were checked when it was made.

    Raises:
        DataError: a value is not a Document, ids or pieces do not pass :func:`check_pieces`, or the rows do not fit.
    """
    for document in documents:
        if not isinstance(document, Document):
            raise DataError(f"An index holds Documents, not {called(document)}.")
    check_pieces(documents)
    if len(lengths) != len(documents) or sum(lengths) != len(vectors) or min(lengths, default=0) < 0:
        raise DataError(f"{len(vectors)} vectors in {len(lengths)} parts do not fit {len(documents)} documents.")


def check_pieces(documents: Iterable[Document]) -> None:
    """Raise unless ids are unique and every document that was cut has all of its pieces.

    Raises:
        DataError: two documents or pieces have the same id, or pieces are missing.
    """
    rows: set[str] = set()
    owners: dict[str, str] = {}
    pieces: dict[str, list[int]] = {}
    for document in documents:
        owner = document.whole_id
        for name in (document.id, owner):
            if owners.setdefault(name, owner) != owner:
                raise shared_id(name, owners[name], owner)
        if document.id in rows:
            raise shared_id(document.id, document.id, document.id)
        rows.add(document.id)
        if document.piece is not None:
            pieces.setdefault(owner, [document.piece.of]).append(document.piece.number)
    for identity, (of, *numbers) in pieces.items():
        if identity in rows or sorted(numbers) != list(range(1, of + 1)):
            raise incomplete(identity, of)


def check_free(documents: Iterable[Document], there: Mapping[str, str]) -> None:
    """Raise if an id of new documents or pieces is already used by another document.

    Args:
        documents: to be stored. What they replace must be removed first.
        there: ids in use, of documents and of pieces, each with the id of its document.

    Raises:
        DataError: an id is in use.
    """
    if not there:
        return
    for document in documents:
        for name in (document.id, document.whole_id):
            if name in there:
                raise shared_id(name, there[name], document.whole_id)


def incomplete(identity: str, of: int) -> DataError:
    """Return the error for a document that lacks some of its pieces, or is given whole beside them."""
    return DataError(f"The document {identity!r:.200} has {of} pieces: give all together, and no whole one.")


def shared_id(name: str, *owners: str) -> DataError:
    """Return the error for one id of two documents, or of pieces of two documents."""
    if set(owners) == {name}:
        return DataError(f"Two documents have the same id ({name!r:.200}): ids must be unique.")
    one, other = ("a document" if owner == name else f"a piece of {owner!r:.200}" for owner in owners)
    return DataError(
        f"The id {name!r:.200} is that of {one} and of {other}: give one of them another id, or keep documents "
        "whole (--chunk none, Python: chunk=None)."
    )


def check_deletable(pieces: Mapping[str, str]) -> None:
    """Raise if there is a piece among ids to delete: a document is deleted as a whole.

    Args:
        pieces: the pieces among the ids, each with the id of its document.

    Raises:
        DataError: there is one.
    """
    for identity, document in pieces.items():
        raise DataError(
            f"{identity!r:.200} is a piece of the document {document!r:.200}, which is deleted as a whole: give its id."
        )
