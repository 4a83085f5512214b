"""A segment: the token vectors of some documents in one file that never changes, memory-mapped.

magic       8 bytes, TARDIF-S, and the header's checksum (XXH3), 8 bytes
header      JSON to byte 4,096: version, bits, scale, codebook, documents, tokens, and for each table its dtype,
            shape, place and checksum
tables      each begins at a multiple of 64 bytes
  numbers          int64 [documents]      the document's number in the store
  starts           int64 [documents + 1]  its first row
  checks           uint64 [documents]     checksum (XXH3) of everything that is stored of its rows
  codes            [tokens, ...]          its rows, with ``steps`` (8 bits) or ``nearest`` (4 and 2 bits)
  posting_starts   int64 [centroids + 1]  only with a codebook: each centroid's first posting
  postings         uint16 or uint32       the documents with a token nearest to it, by their rows in ``numbers``

Small tables are verified when the file is opened, a document's rows when they are first read. The header's checksum
covers those of the tables, and a living segment's name ends with it, so a file with other content has another name.
Kernels read starts, postings and nearest centroids without bounds checks; here these are verified to be in bounds,
whatever the file says. :mod:`tardif.index.segment_writer` writes segments.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.codes import BITS, Codebook, TiledQuery, decode, scan, width_of

MAGIC = b"TARDIF-S"
VERSION = 1
SUFFIX = ".segment"  # of a living segment's name: living_name()
HEADER = 4096  # bytes
ALIGN = 64  # of tables: a cache line
# Documents of a segment that is searched by centroids: their postings then take two bytes each.
MOST_DOCUMENTS = 1 << 16

_ROWS = ("codes", "steps", "nearest")
_DTYPES = frozenset(np.dtype(kind).str for kind in ("i8", "u8", "i2", "i1", "u1", "u2", "u4"))


@dataclass(frozen=True)
class SegmentKind:
    """How a segment's rows are coded.

    Attributes:
        bits: of each component.
        width: components of a row.
        scale: the length that is 1.0 in fixed point.
        codebook: the name of the codebook that the rows were assigned with; None for a segment that is scanned.
        centroids: how many centroids the codebook has.
    """

    bits: int
    width: int
    scale: float
    codebook: str | None = None
    centroids: int = 0


def living_name(identity: str, serial: int, path: Path) -> str:
    """Return the name under which a finished segment lives: no other content, in any index, ever has it.

    Args:
        identity: the first digits of the index's identity.
        serial: the number of the segment: names sort in the order of making.
        path: the finished file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        checksum = file.read(16)[8:]
    return f"{identity}-{serial:012d}-{checksum.hex()}{SUFFIX}"


def serial_of(name: str) -> int:
    """Return the serial in a living segment's name.

    >>> serial_of("0123456789ab-000000000007-89abcdef01234567.segment")
    7
    """
    return int(name.split("-")[1])


def row_tables(bits: int, width: int) -> dict[str, tuple[Any, ...]]:
    """Return the tables that hold rows: dtype, and the shape of one row."""
    if bits == 16:
        return {"codes": (np.int16, width)}
    if bits == 8:
        return {"codes": (np.int8, width), "steps": (np.uint32,)}
    return {"codes": (np.uint8, width * bits // 8), "nearest": (np.uint16,)}


def rows_checksum(arrays: Mapping[str, NDArray[Any]], begin: int, end: int) -> int:
    """Return the checksum of everything that is stored of the rows ``begin`` to ``end``."""
    digest = xxhash.xxh3_64()
    for name in _ROWS:
        if name in arrays:
            digest.update(np.ascontiguousarray(arrays[name][begin:end]).data)
    return digest.intdigest()


class Segment:
    """A segment opened for reading."""

    def __init__(self, path: Path, codebooks: Callable[[str], Codebook] | None = None) -> None:
        """Map a file, and verify its small tables.

        Args:
            path: the file.
            codebooks: returns a codebook by its name; None if rows are not read.

        Raises:
            FileNotFoundError: the file is missing: perhaps a compaction has just replaced it.
            FolderError: it is damaged, or was written by a newer version.
        """
        self.path = path
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise self.damaged("it is no file")
        if found.st_size < HEADER:
            raise self.damaged("it is cut short")
        # Mapped, not read: the system's page cache holds what searches touch, shared by all processes, and an index may
        # be larger than memory.
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
        """Raise unless the tables, with their types and shapes, are those of a segment with these bits."""
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
            # The codebook may be missing here: the table itself tells the number of centroids.
            centroids = len(self.tables["posting_starts"])
            kind = np.uint16 if documents <= MOST_DOCUMENTS else np.uint32
            wanted |= {"posting_starts": (np.int64, centroids), "postings": (kind, len(self.tables["postings"]))}
        for name in wanted.keys() | self.tables.keys():
            kind, *shape = wanted[name]
            if self.tables[name].dtype != kind or self.tables[name].shape != tuple(shape):
                raise ValueError(f"the table {name}")

    def _check_bounds(self) -> None:
        """Raise unless every row, document and posting that a table refers to exists."""
        numbers, starts, tokens = self.numbers, self.starts, len(self.tables["codes"])
        if len(numbers) and (numbers[0] < 0 or (np.diff(numbers) <= 0).any()):
            raise self.damaged("its documents' numbers do not ascend")
        if starts[0] != 0 or starts[-1] != tokens or (np.diff(starts) < 0).any():
            raise self.damaged("its documents lie beyond its rows")
        if not self.has_postings:
            return
        # Every posting is compared once here, and none in the kernel's inner loop.
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
        """The number of components of a vector."""
        return int(self.tables["codes"].shape[-1]) * (8 // self.bits if self.bits < 8 else 1)

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return int(self.starts[-1])

    @property
    def has_postings(self) -> bool:
        """Whether the segment can be searched by centroids."""
        return "postings" in self.tables

    def _header(self) -> dict[str, Any]:
        raw = self._bytes
        if raw[:8].tobytes() != MAGIC:
            raise self.damaged("it does not begin as a segment does")
        text = raw[16:HEADER].tobytes()
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
        # The dtypes are listed: an object dtype from a damaged file would make NumPy read pointers from it.
        if about["dtype"] not in _DTYPES:
            raise ValueError(f"the type of {name}")
        dtype, shape, begin = np.dtype(about["dtype"]), tuple(int(n) for n in about["shape"]), int(about["place"])
        size = math.prod(shape) * dtype.itemsize
        if min(shape) < 0 or begin < HEADER or begin % ALIGN or begin + size > len(self._bytes):
            raise self.damaged("it is cut short")
        raw = self._bytes[begin : begin + size]
        if about["check"] is not None and xxhash.xxh3_64_hexdigest(raw.data) != about["check"]:
            raise self.damaged(f"the checksum of its {name} is wrong")
        table: NDArray[Any] = raw.view(dtype).reshape(shape)
        return table

    def damaged(self, why: str) -> FolderError:
        """Return the error for a file that is not what was written."""
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent.parent}.")

    def check(self, rows: NDArray[np.int64]) -> None:
        """Verify documents that were not read before.

        Raises:
            FolderError: a document is not what was written.
        """
        bad = self.damaged_rows(rows[~self._checked[rows]])
        if len(bad):
            raise self.damaged(f"the checksum of document {int(self.numbers[bad[0]])} is wrong")

    def damaged_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the documents with vectors that are not what was written."""
        bad = []
        for row in rows.tolist():
            begin, end = int(self.starts[row]), int(self.starts[row + 1])
            is_intact = rows_checksum(self.arrays, begin, end) == int(self.tables["checks"][row])
            if is_intact and self._is_bounded(begin, end):
                self._checked[row] = True  # by any thread: a row that two threads verify at once is verified twice
            else:
                bad.append(row)
        return np.array(bad, dtype=np.int64)

    def _is_bounded(self, begin: int, end: int) -> bool:
        """Whether the codebook has the centroids that the rows refer to."""
        if "nearest" not in self.arrays or self.codebook is None or begin == end:
            return True
        return int(self.arrays["nearest"][begin:end].max()) < len(self.codebook.centroids)

    def scan(self, query: TiledQuery, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return exact integer scores of documents; :data:`tardif.index.codes.NO_SCORE` for one without a token."""
        self.check(rows)
        return scan(query, self.arrays, self.bits, self.codebook, self.starts, rows)

    def vectors(self, row: int) -> NDArray[np.int16]:
        """Return a document's vectors as stored, in fixed point: int16 ``[rows, width]``."""
        self.check(np.array([row]))
        return decode(self.arrays, self.bits, self.codebook, int(self.starts[row]), int(self.starts[row + 1]))

    def rows(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """Return everything that is stored of the documents ``first`` to ``last``, for a copy."""
        self.check(np.arange(first, last))
        return {name: array[self.starts[first] : self.starts[last]] for name, array in self.arrays.items()}


def check_segment(segment: Segment, bits: int, dim: int, codebook: str | None) -> Segment:
    """Return a segment if it can be searched together with the others of its index.

    Args:
        segment: opened.
        bits: of the index; scanned segments have 16 in place of 4 and 2.
        dim: the number of components of the index's vectors.
        codebook: the name of the index's codebook.

    Raises:
        FolderError: its bits, its width or its codebook is not the index's.
    """
    scanned = segment.bits == 16 and bits < 8 and not segment.has_postings
    if (segment.bits != bits and not scanned) or segment.width != width_of(dim):
        raise segment.damaged("its vectors are not of this index's kind")
    if segment.has_postings and segment.codebook_name != codebook:
        raise segment.damaged("its codebook is not the index's")
    return segment
