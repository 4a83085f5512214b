"""A segment: the token vectors of some documents in one file that never changes, memory-mapped.

magic       8 bytes, TARDIF-S, and the header's checksum (XXH3), 8 bytes
header      JSON to byte 4,096: version, bits, scale, codebook, documents, tokens, and of each table its dtype,
            shape, place and checksum
tables      each begins at a multiple of 64 bytes
  numbers          int64 [documents]      the document's number in the store
  starts           int64 [documents + 1]  its first row
  checks           uint64 [documents]     checksum (XXH3) of all that is stored of its rows
  codes            [tokens, ...]          its rows, with ``steps`` (8 bits) or ``nearest`` (4 and 2 bits)
  posting_starts   int64 [centroids + 1]  where there is a codebook: each centroid's first posting
  postings         uint16 or uint32       rows of the documents with a token nearest to it

Small tables are checked when the file is opened, a document's rows when they are first read.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.codes import Codebook, Query, decode, scan

MAGIC = b"TARDIF-S"
VERSION = 1
MOST_DOCUMENTS = 1 << 16
"""Documents of a segment whose postings take two bytes each."""

_HEADER = 4096
_ALIGN = 64
# A pair of centroid and document is one integer: documents below this many bits.
_SHIFT = 40
_DOCUMENT = (1 << _SHIFT) - 1
_ROWS = ("codes", "steps", "nearest")


class SegmentWriter:
    """Writes a segment, some documents at a time. The same contents give the same bytes."""

    def __init__(
        self,
        path: Path,
        numbers: NDArray[np.int64],
        lengths: NDArray[np.int64],
        *,
        bits: int,
        width: int,
        scale: float,
        codebook: str | None = None,
        centroids: int = 0,
    ) -> None:
        """Begin a file.

        Args:
            path: a new file; it is renamed when the segment is to live.
            numbers: of the documents, ascending.
            lengths: rows of each.
            bits: how rows are coded.
            width: components of a row.
            scale: the length that is 1.0 in fixed point.
            codebook: the name of the codebook that rows are assigned to the centroids of.
            centroids: how many it has.

        Raises:
            OSError: the file cannot be written.
        """
        self._path, self._numbers, self._centroids = path, numbers.astype(np.int64), centroids
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        self._about = {"version": VERSION, "bits": bits, "scale": scale, "codebook": codebook}
        self._about |= {"documents": len(numbers), "tokens": int(self._starts[-1])}
        self._checks: list[int] = []
        self._pairs: list[NDArray[np.int64]] = []
        self._described: dict[str, dict[str, Any]] = {}
        self._end = _HEADER
        for name, (dtype, *shape) in row_tables(bits, width).items():
            self._describe(name, np.dtype(dtype), (int(self._starts[-1]), *shape), None)
        self._file = path.open("wb")

    def _describe(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], check: str | None) -> None:
        self._described[name] = {"dtype": dtype.str, "shape": list(shape), "place": self._end, "check": check}
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._end += -(-size // _ALIGN) * _ALIGN

    def append(self, arrays: Mapping[str, NDArray[Any]], pairs: NDArray[np.int64] | None = None) -> None:
        """Write the rows of the next documents.

        Args:
            arrays: of :func:`tardif.index.codes.encode`.
            pairs: of :func:`pairs_of` or :meth:`Segment.pairs`, with a codebook.

        Raises:
            OSError: the file cannot be written.
        """
        first, done = len(self._checks), int(self._starts[len(self._checks)])
        rows = len(arrays["codes"])
        starts = self._starts[first : int(np.searchsorted(self._starts, done + rows, side="right"))]
        for name, array in arrays.items():
            about = self._described[name]
            table = np.ascontiguousarray(array, dtype=about["dtype"])
            self._file.seek(about["place"] + done * (table.nbytes // max(rows, 1)))
            self._file.write(table.data)
        self._checks += [_check(arrays, begin, end) for begin, end in itertools.pairwise(starts - done)]
        if pairs is not None:
            self._pairs.append(pairs + first)

    def add_pairs(self, pairs: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Add postings of documents that stand elsewhere here; place -1 leaves one out."""
        at = places[pairs & _DOCUMENT]
        self._pairs.append((pairs[at >= 0] & ~_DOCUMENT) + at[at >= 0])

    def finish(self) -> Path:
        """Write the small tables and the header; all is on disk when this returns.

        Raises:
            OSError: the file cannot be written.
        """
        tables: dict[str, NDArray[Any]] = {
            "numbers": self._numbers,
            "starts": self._starts,
            "checks": np.array(self._checks, dtype=np.uint64),
        }
        if self._about["codebook"] is not None:
            tables |= self._postings()
        for name, table in tables.items():
            self._describe(name, table.dtype, table.shape, xxhash.xxh3_64_hexdigest(table.data))
            self._file.seek(self._described[name]["place"])
            self._file.write(table.data)
        self._file.truncate(self._end)
        header = json.dumps({**self._about, "tables": self._described}).encode().ljust(_HEADER - 16)
        assert len(header) == _HEADER - 16
        self._file.seek(0)
        self._file.write(MAGIC + xxhash.xxh3_64_digest(header) + header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._path

    def _postings(self) -> dict[str, NDArray[Any]]:
        pairs = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *self._pairs]))
        begins = np.searchsorted(pairs, np.arange(self._centroids + 1) << _SHIFT)
        kind = np.uint16 if len(self._numbers) <= MOST_DOCUMENTS else np.uint32
        postings = (pairs & _DOCUMENT).astype(kind)
        return {"posting_starts": begins.astype(np.int64), "postings": postings}

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        """Remove the file if the block ended badly."""
        self._file.close()
        if kind is not None:
            self._path.unlink(missing_ok=True)


def row_tables(bits: int, width: int) -> dict[str, tuple[Any, ...]]:
    """The tables that hold rows: dtype, and the shape of one row."""
    if bits == 16:
        return {"codes": (np.int16, width)}
    if bits == 8:
        return {"codes": (np.int8, width), "steps": (np.uint32,)}
    return {"codes": (np.uint8, width * bits // 8), "nearest": (np.uint16,)}


def pairs_of(nearest: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(centroid, document) of rows as one number each, ascending, none twice; documents count from 0."""
    document = np.repeat(np.arange(len(lengths)), lengths)
    return np.unique((nearest.astype(np.int64) << _SHIFT) + document)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on disk, where the system can say so."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _check(arrays: Mapping[str, NDArray[Any]], begin: int, end: int) -> int:
    digest = xxhash.xxh3_64()
    for name in _ROWS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name][begin:end]).data)
    return digest.intdigest()


class Segment:
    """A segment opened for reading."""

    def __init__(self, path: Path, codebooks: Callable[[str], Codebook] | None = None) -> None:
        """Map a file and check its small tables.

        Args:
            path: the file.
            codebooks: gives a codebook by its name.

        Raises:
            FileNotFoundError: it is not there: perhaps a compaction has just replaced it.
            FolderError: it is damaged, or of a newer version.
        """
        self.path = path
        size = path.stat().st_size
        if size < _HEADER:
            raise self._damaged("it is cut short")
        self._bytes: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        header = self._header()
        self.bits, self.scale = int(header["bits"]), float(header["scale"])
        self.codebook_name: str | None = header["codebook"]
        named = self.codebook_name
        self.codebook = None if named is None or codebooks is None else codebooks(named)
        self.tables = {name: self._table(name, about) for name, about in header["tables"].items()}
        self.numbers, self.starts = self.tables["numbers"], self.tables["starts"]
        self.arrays = {name: self.tables[name] for name in _ROWS if name in self.tables}
        self._checked = np.zeros(len(self.numbers), dtype=bool)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def tokens(self) -> int:
        """How many token vectors it holds."""
        return int(self.starts[-1])

    @property
    def has_postings(self) -> bool:
        """Whether it can be searched by centroids."""
        return "postings" in self.tables

    def _header(self) -> dict[str, Any]:
        raw = self._bytes
        if raw[:8].tobytes() != MAGIC:
            raise self._damaged("it does not begin as a segment does")
        text = raw[16:_HEADER].tobytes()
        if xxhash.xxh3_64_digest(text) != raw[8:16].tobytes():
            raise self._damaged("its header's checksum is wrong")
        header: dict[str, Any] = json.loads(text)
        if header["version"] > VERSION:
            raise FolderError(f"{self.path} was written by a newer Tardif: upgrade to read it.")
        return header

    def _table(self, name: str, about: Mapping[str, Any]) -> NDArray[Any]:
        dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
        begin = int(about["place"])
        raw = self._bytes[begin : begin + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize]
        if raw.nbytes != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise self._damaged("it is cut short")
        if about["check"] is not None and xxhash.xxh3_64_hexdigest(raw.data) != about["check"]:
            raise self._damaged(f"the checksum of its {name} is wrong")
        table: NDArray[Any] = raw.view(dtype).reshape(shape)
        return table

    def _damaged(self, why: str) -> FolderError:
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent.parent}.")

    def check(self, rows: NDArray[np.int64]) -> None:
        """Check documents that were not read before.

        Raises:
            FolderError: what is stored of one is not what was written.
        """
        bad = self.damaged_rows(rows[~self._checked[rows]])
        if len(bad):
            raise self._damaged(f"the checksum of document {int(self.numbers[bad[0]])} is wrong")

    def damaged_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows of documents whose vectors are not what was written."""
        bad = []
        for row in rows.tolist():
            if _check(self.arrays, self.starts[row], self.starts[row + 1]) == int(self.tables["checks"][row]):
                self._checked[row] = True
            else:
                bad.append(row)
        return np.array(bad, dtype=np.int64)

    def scan(self, query: Query, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact integer scores of documents; the least int64 for one without a token."""
        self.check(rows)
        return scan(query, self.arrays, self.bits, self.codebook, self.starts, rows)

    def vectors(self, row: int) -> NDArray[np.int16]:
        """A document's vectors as stored, in fixed point."""
        self.check(np.array([row]))
        return decode(self.arrays, self.bits, self.codebook, int(self.starts[row]), int(self.starts[row + 1]))

    def rows(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """What is stored of the documents ``first`` to ``last``, for a copy."""
        self.check(np.arange(first, last))
        return {name: array[self.starts[first] : self.starts[last]] for name, array in self.arrays.items()}

    def pairs(self) -> NDArray[np.int64]:
        """(centroid, document) of all rows, as :func:`pairs_of` gives them."""
        counts = np.diff(self.tables["posting_starts"])
        centroids = np.repeat(np.arange(len(counts)), counts)
        return np.asarray((centroids << _SHIFT) + self.tables["postings"])
