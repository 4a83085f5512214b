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

Small tables are checked when the file is opened, a document's rows when they are first read. The header's checksum
covers those of the tables, and a living segment's name ends with it: a file of other content has another name. What
kernels read without looking (starts, postings, nearest centroids) is bounded by what is there, whatever the file says.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.codes import BITS, Codebook, TiledQuery, decode, scan, width_of

MAGIC = b"TARDIF-S"
SUFFIX = ".segment"
"""Of a living segment's name, which ends with the header's checksum: see :func:`living_name`."""
VERSION = 1
MOST_DOCUMENTS = 1 << 16
"""Documents of a segment whose postings take two bytes each."""

_HEADER = 4096
_ALIGN = 64
# A pair of centroid and document is one integer: documents below this many bits.
_SHIFT = 40
_DOCUMENT = (1 << _SHIFT) - 1
_ROWS = ("codes", "steps", "nearest")
_DTYPES = frozenset(np.dtype(kind).str for kind in ("i8", "u8", "i2", "i1", "u1", "u2", "u4"))


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


def living_name(identity: str, serial: int, path: Path) -> str:
    """The name of a finished segment that is to live: no other content, in this index or another, ever has it.

    Args:
        identity: the first digits of the index's identity.
        serial: of the segment: names are in the order of making.
        path: the finished file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        checksum = file.read(16)[8:]
    return f"{identity}-{serial:012d}-{checksum.hex()}{SUFFIX}"


def serial_of(name: str) -> int:
    """The serial in a living segment's name."""
    return int(name.split("-")[1])


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


def _check(arrays: Mapping[str, NDArray[Any]], begin: int, end: int) -> int:
    digest = xxhash.xxh3_64()
    for name in _ROWS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name][begin:end]).data)
    return digest.intdigest()


class Segment:
    """A segment opened for reading."""

    def __init__(self, path: Path, codebooks: Callable[[str], Codebook] | None = None) -> None:
        """Map a file, and check its small tables.

        Args:
            path: the file.
            codebooks: gives a codebook by its name; without, rows are not read.

        Raises:
            FileNotFoundError: it is not there: perhaps a compaction has just replaced it.
            FolderError: it is damaged, or of a newer version.
        """
        self.path = path
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise self.damaged("it is no file")
        if found.st_size < _HEADER:
            raise self.damaged("it is cut short")
        self._bytes: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        header = self._header()
        try:
            self.bits, self.scale = int(header["bits"]), float(header["scale"])
            self.codebook_name: str | None = header["codebook"]
            self.tables = {name: self._table(name, about) for name, about in header["tables"].items()}
            self._check_shape(header)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise self.damaged(f"its header makes no sense: {error!r:.100}") from error
        named = self.codebook_name
        self.codebook = None if named is None or codebooks is None else codebooks(named)
        self.numbers, self.starts = self.tables["numbers"], self.tables["starts"]
        self.arrays = {name: self.tables[name] for name in _ROWS if name in self.tables}
        self._check_bounds()
        self._checked = np.zeros(len(self.numbers), dtype=bool)

    def _check_shape(self, header: Mapping[str, Any]) -> None:
        """Raise unless the tables are those that a segment of these bits has, of their types and shapes."""
        documents, tokens = int(header["documents"]), int(header["tokens"])
        wanted: dict[str, tuple[Any, ...]] = {
            "numbers": (np.int64, documents),
            "starts": (np.int64, documents + 1),
            "checks": (np.uint64, documents),
        }
        if self.bits not in BITS or not 0 < self.scale < float("inf"):
            raise ValueError("bits or scale")
        wanted |= {name: (kind, tokens, *shape) for name, (kind, *shape) in row_tables(self.bits, self.width).items()}
        if self.codebook_name is not None:
            # Without the codebook the number of centroids is what the table says.
            centroids = len(self.tables["posting_starts"])
            kind = np.uint16 if documents <= MOST_DOCUMENTS else np.uint32
            wanted |= {"posting_starts": (np.int64, centroids), "postings": (kind, len(self.tables["postings"]))}
        for name in wanted.keys() | self.tables.keys():
            kind, *shape = wanted[name]
            if self.tables[name].dtype != kind or self.tables[name].shape != tuple(shape):
                raise ValueError(f"the table {name}")

    def _check_bounds(self) -> None:
        """Raise unless every place that a table names is there."""
        numbers, starts, tokens = self.numbers, self.starts, len(self.tables["codes"])
        if len(numbers) and (numbers[0] < 0 or (np.diff(numbers) <= 0).any()):
            raise self.damaged("its documents' numbers do not ascend")
        if starts[0] != 0 or starts[-1] != tokens or (np.diff(starts) < 0).any():
            raise self.damaged("its documents lie beyond its rows")
        if not self.has_postings:
            return
        begins, postings = self.tables["posting_starts"], self.tables["postings"]
        if not len(begins) or begins[0] != 0 or begins[-1] != len(postings) or (np.diff(begins) < 0).any():
            raise self.damaged("its centroids' postings lie beyond their table")
        if len(postings) and int(postings.max()) >= len(numbers):
            raise self.damaged("its postings name documents that it has not")
        if self.codebook is None:
            return
        if self.codebook.centroids.shape != (len(begins) - 1, self.width):
            raise self.damaged("its codebook is another one's")
        if self.bits < 8 and self.bits not in self.codebook.values:
            raise self.damaged("its codebook has no residuals of its bits")

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def width(self) -> int:
        """Components of a vector."""
        return int(self.tables["codes"].shape[-1]) * (8 // self.bits if self.bits < 8 else 1)

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
            raise self.damaged("it does not begin as a segment does")
        text = raw[16:_HEADER].tobytes()
        checksum = xxhash.xxh3_64_digest(text)
        if checksum != raw[8:16].tobytes():
            raise self.damaged("its header's checksum is wrong")
        named = self.path.stem.rpartition("-")[2]
        if self.path.suffix == SUFFIX and named != checksum.hex():
            raise self.damaged("its content is not what its name says: it is another segment")
        try:
            header: dict[str, Any] = json.loads(text)
            is_newer = int(header["version"]) > VERSION
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self.damaged("its header cannot be read") from error
        if is_newer:
            raise FolderError(f"{self.path} was written by a newer Tardif: upgrade to read it.")
        return header

    def _table(self, name: str, about: Mapping[str, Any]) -> NDArray[Any]:
        if about["dtype"] not in _DTYPES:
            raise ValueError(f"the type of {name}")
        dtype, shape, begin = np.dtype(about["dtype"]), tuple(int(n) for n in about["shape"]), int(about["place"])
        size = math.prod(shape) * dtype.itemsize
        if min(shape) < 0 or begin < _HEADER or begin % _ALIGN or begin + size > len(self._bytes):
            raise self.damaged("it is cut short")
        raw = self._bytes[begin : begin + size]
        if about["check"] is not None and xxhash.xxh3_64_hexdigest(raw.data) != about["check"]:
            raise self.damaged(f"the checksum of its {name} is wrong")
        table: NDArray[Any] = raw.view(dtype).reshape(shape)
        return table

    def damaged(self, why: str) -> FolderError:
        """What to raise where the file is not what was written."""
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent.parent}.")

    def check(self, rows: NDArray[np.int64]) -> None:
        """Check documents that were not read before.

        Raises:
            FolderError: what is stored of one is not what was written.
        """
        bad = self.damaged_rows(rows[~self._checked[rows]])
        if len(bad):
            raise self.damaged(f"the checksum of document {int(self.numbers[bad[0]])} is wrong")

    def damaged_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows of documents whose vectors are not what was written."""
        bad = []
        for row in rows.tolist():
            begin, end = int(self.starts[row]), int(self.starts[row + 1])
            if _check(self.arrays, begin, end) == int(self.tables["checks"][row]) and self._is_bounded(begin, end):
                self._checked[row] = True
            else:
                bad.append(row)
        return np.array(bad, dtype=np.int64)

    def _is_bounded(self, begin: int, end: int) -> bool:
        """Whether the rows name centroids that the codebook has."""
        if "nearest" not in self.arrays or self.codebook is None or begin == end:
            return True
        return int(self.arrays["nearest"][begin:end].max()) < len(self.codebook.centroids)

    def scan(self, query: TiledQuery, rows: NDArray[np.int64]) -> NDArray[np.int64]:
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


def check_segment(segment: Segment, bits: int, dim: int, codebook: str | None) -> Segment:
    """Return a segment whose rows can be scored with those of an index's others.

    Args:
        segment: opened.
        bits: of the index; segments that are scanned have 16 in place of 4 and 2.
        dim: components of the index's vectors.
        codebook: the name of the index's codebook.

    Raises:
        FolderError: they cannot.
    """
    scanned = segment.bits == 16 and bits < 8 and not segment.has_postings
    if (segment.bits != bits and not scanned) or segment.width != width_of(dim):
        raise segment.damaged("its vectors are not of this index's kind")
    if segment.has_postings and segment.codebook_name != codebook:
        raise segment.damaged("its codebook is not the index's")
    return segment
