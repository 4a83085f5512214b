"""The files of an index's segments: written in the format of :mod:`tardif.index.segment`, published by a rename, and
removed when nothing refers to them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.folders import sync
from tardif.index import segment
from tardif.index.codebooks import IDENTITY
from tardif.index.segment import ALIGN, HEADER, SUFFIX, SegmentKind
from tardif.locks import hold, is_held

# The suffix of a file that is being written, or was when its process was killed.
_ASIDE = ".partial"

# A pair of centroid and document is one integer, so that pairs sort fast: the document in the lowest 40 bits.
_SHIFT = 40
_DOCUMENT = (1 << _SHIFT) - 1


class SegmentWriter:
    """Writes a segment, some documents at a time. The same contents give the same bytes."""

    def __init__(self, path: Path, numbers: NDArray[np.int64], lengths: NDArray[np.int64], kind: SegmentKind) -> None:
        """Begin a file.

        Args:
            path: a new file; it is renamed when the segment is published.
            numbers: of the documents, ascending.
            lengths: the number of rows of each.
            kind: how the rows are coded.

        Raises:
            OSError: the file cannot be written.
        """
        self._path, self._numbers, self._centroids = path, numbers.astype(np.int64), kind.centroids
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        tokens = int(self._starts[-1])
        self._about = {"version": segment.VERSION, "bits": kind.bits, "scale": kind.scale, "codebook": kind.codebook}
        self._about |= {"documents": len(numbers), "tokens": tokens}
        self._checks: list[int] = []
        self._pairs: list[NDArray[np.int64]] = []
        self._described: dict[str, dict[str, Any]] = {}
        self._end = HEADER
        # The tables of rows have their places from the beginning, so that rows can be written as they come.
        for name, (dtype, *shape) in segment.row_tables(kind.bits, kind.width).items():
            self._describe(name, np.dtype(dtype), (tokens, *shape), None)
        self._file = path.open("wb")

    def _describe(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], check: str | None) -> None:
        self._described[name] = {"dtype": dtype.str, "shape": list(shape), "place": self._end, "check": check}
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._end += -(-size // ALIGN) * ALIGN

    def append(self, arrays: Mapping[str, NDArray[Any]], pairs: NDArray[np.int64] | None = None) -> None:
        """Write the rows of the next documents.

        Args:
            arrays: of :func:`tardif.index.codes.encode`.
            pairs: of :func:`pairs_of`, for rows that are assigned to centroids.

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
        self._checks += [segment.rows_checksum(arrays, begin, end) for begin, end in itertools.pairwise(starts - done)]
        if pairs is not None:
            self._pairs.append(pairs + first)

    def add_postings(self, starts: NDArray[np.int64], postings: NDArray[Any], places: NDArray[np.int64]) -> None:
        """Add another segment's postings.

        Args:
            starts: its table ``posting_starts``.
            postings: its table ``postings``.
            places: for each of its documents, the document's place in this segment; -1 for one that is left out.
        """
        centroids = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        at = places[postings]
        self._pairs.append((centroids[at >= 0] << _SHIFT) + at[at >= 0])

    def finish(self) -> None:
        """Write the small tables and the header; everything is on disk when this returns.

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
        # The header last: a file without one is no segment, whatever else was written before the process was killed.
        self._file.truncate(self._end)
        header = json.dumps({**self._about, "tables": self._described}).encode().ljust(HEADER - 16)
        assert len(header) == HEADER - 16
        self._file.seek(0)
        self._file.write(segment.MAGIC + xxhash.xxh3_64_digest(header) + header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _postings(self) -> dict[str, NDArray[Any]]:
        """The inverted lists: for each centroid, the documents with a token nearest to it."""
        pairs = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *self._pairs]))
        begins = np.searchsorted(pairs, np.arange(self._centroids + 1) << _SHIFT)
        kind = np.uint16 if len(self._numbers) <= segment.MOST_DOCUMENTS else np.uint32
        return {"posting_starts": begins.astype(np.int64), "postings": (pairs & _DOCUMENT).astype(kind)}

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        """Remove the file if the block raised."""
        self._file.close()
        if kind is not None:
            self._path.unlink(missing_ok=True)


def pairs_of(nearest: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pairs (centroid, document) of rows, each as one integer, ascending, without duplicates.

    Args:
        nearest: the centroid of each row, ``[rows]``.
        lengths: the number of rows of each document; documents count from 0.

    >>> [(int(pair) >> 40, int(pair) & 0xFF) for pair in pairs_of(np.array([7, 7, 3]), np.array([2, 1]))]
    [(3, 1), (7, 0)]
    """
    document = np.repeat(np.arange(len(lengths)), lengths)
    return np.unique((nearest.astype(np.int64) << _SHIFT) + document)


class SegmentFiles:
    """The folder of an index's segments.

    Args:
        folder: ``segments`` in the index's folder.
        identity: of the index: its segments' names begin with it.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self._prefix = folder, identity[:IDENTITY]

    def scratch(self) -> Path:
        """Return a new name that :meth:`sweep` removes."""
        return self._folder / f"{os.urandom(6).hex()}{_ASIDE}"

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """Give the path of a new file. It is removed when the block ends, unless it was published.

        It is locked meanwhile, so that another process does not sweep it.
        """
        path = self.scratch()
        with hold(path):
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def publish(self, aside: Path, serial: int) -> str:
        """Give a finished file its name as a living segment, and return the name."""
        name = segment.living_name(self._prefix, serial, aside)
        aside.replace(self._folder / name)
        sync(self._folder)
        return name

    def sweep(self, living: set[str]) -> None:
        """Remove the files that are no living segments: left by a compaction or a killed process.

        Call it at the beginning of a transaction: the files that the transaction itself replaces must stay until it is
        committed. If another index was just put in this one's place, its files are left alone.
        """
        for found in self._folder.iterdir():
            # A lock without its file, which was never made or is gone: is_held() removes it.
            is_lock = found.name.endswith(f"{_ASIDE}.lock")
            path = found.with_name(found.name[1 : -len(".lock")]) if is_lock else found
            is_ours = path.suffix == SUFFIX and path.name.startswith(f"{self._prefix}-")
            if (is_ours and path.name not in living) or (path.suffix == _ASIDE and not is_held(path)):
                with contextlib.suppress(OSError):  # on Windows, while another process has it open
                    path.unlink()
