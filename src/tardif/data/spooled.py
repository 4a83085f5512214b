"""Documents that are on disk for as long as they are used, where they are too many for memory.

They are in a temporary file of Arrow's, which has no name where the system allows it: not even a killed process leaves
one. It is memory-mapped, so the system keeps what is read often and drops the rest. Threads and forked processes may
read it at the same time.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from contextlib import ExitStack, contextmanager
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, overload

from tardif.batching import batched
from tardif.checks import check_stream
from tardif.data.json_metadata import metadata_json
from tardif.display import ShortDict, ShortList, brief_repr
from tardif.errors import DataError, FolderError
from tardif.extras import need
from tardif.ranking import Ids
from tardif.types import Document

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# Documents that take more memory than this are put on disk: some 80,000 short ones, or 20,000 of 1,000 characters.
MEMORY = 32 << 20
# What a document takes in memory besides its texts.
_DOCUMENT = 400
# Documents of a block. It is a multiple of 1,024, so that Parquet's writer makes of blocks the pages that it makes of a
# whole column. Texts of more than 65,536 characters count for more than one.
_ROWS, _TEXT = 1_024, 1 << 16
# What is kept of a document, as the columns of the file.
COLUMNS = ("id", "title", "text", "metadata")


def spooled(documents: Iterable[Document]) -> Sequence[Document]:
    """Return documents to read as often as needed: a list, or on disk where they take more than :data:`MEMORY`.

    Args:
        documents: read once, also from a generator.

    Raises:
        FolderError: the folder for temporary files has no room for them.

    >>> [document.id for document in spooled(Document(f"d{number}", "a text") for number in range(2))]
    ['d0', 'd1']
    """
    listed, weight, rest = ShortList[Document](), 0, iter(documents)
    for document in rest:
        listed.append(document)
        weight += len(document.text) + len(document.title) + _DOCUMENT
        if weight > MEMORY:
            return SpooledDocuments.of(chain(_emptied(listed), rest))
    return listed


def at_hand(documents: Iterable[Document]) -> Sequence[Document]:
    """Return documents to read as often as needed: a list, a tuple and documents on disk as they are, others
    :func:`spooled`.

    Raises:
        DataError: ``documents`` are none, such as a single text.
        FolderError: as for :func:`spooled`.
    """
    if isinstance(documents, list | tuple | SpooledDocuments):
        return documents
    return spooled(check_stream(documents, "documents", DataError))


def _emptied(documents: list[Document]) -> Iterator[Document]:
    """The documents of a list, each of which is let go as it is read."""
    documents.reverse()
    while documents:
        yield documents.pop()


class SpooledDocuments(Sequence[Document]):
    """Documents on disk, in their order. Ids, titles, texts and metadata are kept; no miner and no training reads more.

    Args:
        blocks: their columns, memory-mapped.
        rows: the places of those that are meant; None: all.
    """

    def __init__(self, blocks: Sequence[pa.RecordBatch], rows: NDArray[np.int64] | None = None) -> None:
        self._blocks, self._rows = blocks, rows
        self._values = [block.columns for block in blocks]
        self._starts = list(accumulate((block.num_rows for block in blocks), initial=0))

    @classmethod
    def of(cls, documents: Iterable[Document]) -> SpooledDocuments:
        """Take documents, a block at a time.

        Raises:
            FolderError: the folder for temporary files has no room for them.
        """
        need("train", "A corpus on disk", ["pyarrow"])
        import pyarrow as pa

        schema = _schema()
        with ExitStack() as held:
            with _writable():
                file = held.enter_context(tempfile.TemporaryFile(prefix="tardif-"))
                writer = pa.ipc.new_file(file, schema)
            for block in batched(documents, _ROWS, lambda document: 1 + len(document.text) // _TEXT):
                values = zip(*map(columns_of, block), strict=True)
                batch = pa.record_batch([pa.array(column, pa.string()) for column in values], schema=schema)
                with _writable():
                    writer.write_batch(batch)
            with _writable():
                writer.close()
                file.flush()
            mapped = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        reader = pa.ipc.open_file(mapped)
        return cls([reader.get_batch(number) for number in range(reader.num_record_batches)])

    def __len__(self) -> int:
        return self._starts[-1] if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Document: ...
    @overload
    def __getitem__(self, place: slice) -> list[Document]: ...
    def __getitem__(self, place: int | slice) -> Document | list[Document]:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        row = range(len(self))[place] if self._rows is None else int(self._rows[place])
        number = bisect_right(self._starts, row) - 1
        at = row - self._starts[number]
        return _document(*(column[at].as_py() for column in self._values[number]))

    def __iter__(self) -> Iterator[Document]:
        for values in self._columns(*COLUMNS):
            yield from map(_document, *values)

    def __repr__(self) -> str:
        return brief_repr(self, f"{len(self)} documents")

    def ids(self) -> Iterator[str]:
        """Yield the ids, without reading the texts."""
        for [ids] in self._columns("id"):
            yield from ids

    def where(self, wanted: Callable[[Document], bool]) -> SpooledDocuments:
        """Return those documents that are wanted; the file is the same."""
        import numpy as np

        rows = np.arange(len(self)) if self._rows is None else self._rows
        kept = np.fromiter(map(wanted, self), dtype=np.bool_, count=len(self))
        return self if kept.all() else SpooledDocuments(self._blocks, rows[kept])

    def table(self) -> pa.Table:
        """Return the documents as columns, memory-mapped."""
        import pyarrow as pa

        if self._rows is not None:
            return SpooledDocuments.of(self).table()
        return pa.Table.from_batches(self._blocks, _schema())

    def _columns(self, *names: str) -> Iterator[list[list[str]]]:
        """Some columns of each block, of the rows that are meant."""
        for block, (first, last) in zip(self._blocks, pairwise(self._starts), strict=True):
            part = block.select(names)
            if self._rows is not None:  # ascending
                begin, end = self._rows.searchsorted([first, last])
                part = part.take(self._rows[begin:end] - first)
            yield [column.to_pylist() for column in part.columns]


class SpooledById(Mapping[str, Document]):
    """Documents on disk by their ids, in their order; memory holds 24 bytes for each, and its id.

    Raises:
        DataError: two documents have the same id.
    """

    def __init__(self, documents: SpooledDocuments) -> None:
        self.documents = documents
        self._ids = Ids(documents.ids())

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, identity: str) -> Document:
        row = self._ids.row(identity)
        if row is None:
            raise KeyError(identity)
        return self.documents[row]

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, str) and self._ids.row(identity) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def values(self) -> ValuesView[Document]:
        """The documents; they are read in blocks."""
        return _Values(self)

    def items(self) -> ItemsView[str, Document]:
        """Ids and documents; they are read in blocks."""
        return _Items(self)

    def __repr__(self) -> str:
        return brief_repr(self, f"{len(self)} documents")


class _Values(ValuesView[Document]):
    _mapping: SpooledById

    def __iter__(self) -> Iterator[Document]:
        return iter(self._mapping.documents)


class _Items(ItemsView[str, Document]):
    _mapping: SpooledById

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        return ((document.id, document) for document in self._mapping.documents)


def by_id(documents: Sequence[Document]) -> Mapping[str, Document]:
    """Return documents by their ids: of a list a dict, of those on disk a view.

    Raises:
        DataError: two documents on disk have the same id.
    """
    if isinstance(documents, SpooledDocuments):
        return SpooledById(documents)
    return ShortDict({document.id: document for document in documents})


def where(documents: Mapping[str, Document], wanted: Callable[[Document], bool]) -> Sequence[Document]:
    """Return those documents of a mapping that are wanted: a list, or on disk where the mapping is.

    >>> documents = {"a": Document("a", "one"), "b": Document("b", "")}
    >>> [document.id for document in where(documents, lambda document: document.text != "")]
    ['a']
    """
    if isinstance(documents, SpooledById):
        return documents.documents.where(wanted)
    return ShortList(filter(wanted, documents.values()))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in COLUMNS])


def columns_of(document: Document) -> tuple[str, str, str, str]:
    """Return the values of a document's :data:`COLUMNS`."""
    return document.id, document.title, document.text, metadata_json(document.metadata) if document.metadata else "{}"


def _document(identity: str, title: str, text: str, metadata: str) -> Document:
    return Document(identity, text, title, {} if metadata == "{}" else json.loads(metadata))


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # Arrow's errors of input and output are OSErrors
        raise FolderError(
            f"The corpus could not be written to {tempfile.gettempdir()} ({error}): it needs room for all texts there "
            "(TMPDIR names another folder)."
        ) from error
