"""Compaction: choose segments that are better merged into one, and write the merged segment."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import Codebook, assign, encode
from tardif.index.segment import MOST_DOCUMENTS, Segment, SegmentKind
from tardif.index.segment_writer import SegmentWriter, pairs_of
from tardif.index.snapshot import View
from tardif.index.workers import Workers

# Token vectors that are scanned whole. Above this number, some milliseconds of scanning, a search by centroids pays.
PLAIN_TOKENS = 100_000
# Segments without and with centroids up to which a write merges none.
MOST_PLAIN, MOST_CODED = 8, 8
# A segment is rewritten when less than this share of its documents lives.
THIN = 0.7
# Documents written at a time.
_BLOCK = 512
# Vectors that one thread compares with the centroids at a time.
_ASSIGNED = 2048


def victims(view: View) -> list[int]:
    """Return the segments of a view to merge into one; none if all can stay.

    First those without centroids, once they are many or hold many tokens, or as soon as others are coded in fewer bits;
    then one that lost many of its documents;
    then the smallest with centroids, once there are many.
    """
    plain = [i for i, segment in enumerate(view.segments) if not segment.has_postings]
    tokens = sum(view.segments[i].tokens for i in plain)
    has_fewer_bits = any(segment.has_postings and segment.bits < 8 for segment in view.segments)
    if len(plain) > MOST_PLAIN or tokens >= PLAIN_TOKENS or (tokens and has_fewer_bits):
        return plain
    thin = [i for i, living in enumerate(view.alive) if living.sum() < THIN * len(living)]
    if thin:
        return thin[:1]
    # The smallest ones: merging them costs least and removes as many files.
    coded = sorted((len(s), i) for i, s in enumerate(view.segments) if s.has_postings)
    # Two at least: one segment merged with none would be chosen again for ever.
    chosen = [i for _, i in coded[: max(MOST_CODED // 2, 2)]]
    small = sum(len(view.segments[i]) for i in chosen) <= MOST_DOCUMENTS
    return sorted(chosen) if len(coded) > MOST_CODED and small else []


def write_vectors(
    path: Path,
    numbers: NDArray[np.int64],
    lengths: NDArray[np.int64],
    vectors: NDArray[np.int16],
    *,
    bits: int,
    scale: float,
    book: tuple[str, Codebook] | None,
    workers: Workers,
) -> None:
    """Write fixed-point vectors as a segment.

    Args:
        path: a new file.
        numbers: of the documents, ascending.
        lengths: the number of rows of each.
        vectors: ``[rows, width]``.
        bits: of the codes. Without a codebook 16 are used in place of 4 and 2.
        scale: the length that is 1.0 in fixed point.
        book: the codebook's name and the codebook, for a segment that is searched by centroids; None for one that is
            scanned.
        workers: compare vectors with centroids.

    Raises:
        OSError: the file cannot be written.
    """
    name, codebook = book or (None, None)
    # 4 and 2 bits need a codebook; without one, the few vectors are kept exactly.
    bits = bits if codebook is not None or bits >= 8 else 16
    kind = SegmentKind(bits, vectors.shape[1], scale, name, 0 if codebook is None else len(codebook.centroids))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    with SegmentWriter(path, numbers, lengths, kind) as writer:
        for begin in range(0, len(numbers), _BLOCK):
            end = min(begin + _BLOCK, len(numbers))
            rows = vectors[starts[begin] : starts[end]]
            if codebook is None:
                writer.append(encode(rows, bits, None, None))
                continue
            parts = np.array_split(rows, max(1, len(rows) // _ASSIGNED))
            nearest = np.concatenate(workers.map(lambda part: assign(part, codebook.centroids), parts))
            writer.append(encode(rows, bits, codebook, nearest), pairs_of(nearest, lengths[begin:end]))
        writer.finish()


def merge(
    view: View,
    chosen: Sequence[int],
    path: Path,
    *,
    bits: int,
    codes: Callable[[NDArray[np.int16]], bool],
    book: Callable[[NDArray[np.int16]], tuple[str, Codebook]],
    workers: Workers,
) -> tuple[int, int] | None:
    """Write the living documents of some segments as one segment. Segments of one codebook are copied, not coded again.

    Args:
        view: what the index holds.
        chosen: places of the segments in the view.
        path: a new file.
        bits: of the index.
        codes: whether even few vectors are coded.
        book: returns the index's codebook, learned from the given vectors if there is none.
        workers: compare vectors with centroids.

    Returns:
        How many documents and tokens the file holds; None if no document lives.

    Raises:
        OSError: the file cannot be written.
        FolderError: a segment is damaged.
    """
    segments = [view.segments[i] for i in chosen]
    living = [np.flatnonzero(view.alive[i]) for i in chosen]
    places = np.repeat(np.arange(len(segments)), [len(rows) for rows in living])
    rows = np.concatenate(living)
    if not len(rows):
        return None
    numbers = np.concatenate([segment.numbers[own] for segment, own in zip(segments, living, strict=True)])
    # Numbers ascend in a segment. Those of two segments may overlap: a writer reserves its numbers before it is done.
    order = np.argsort(numbers)
    numbers, places, rows = numbers[order], places[order], rows[order]
    if len({(s.bits, s.scale, s.codebook_name) for s in segments}) == 1 and segments[0].has_postings:
        return len(numbers), _copy(segments, places, rows, numbers, path)
    vectors, lengths, scale = _decoded(segments, places, rows)
    coded = len(vectors) >= PLAIN_TOKENS or any(segment.has_postings for segment in segments) or codes(vectors)
    named = book(vectors) if coded else None
    write_vectors(path, numbers, lengths, vectors, bits=bits, scale=scale, book=named, workers=workers)
    return len(numbers), len(vectors)


def _copy(
    segments: Sequence[Segment],
    places: NDArray[np.int64],
    rows: NDArray[np.int64],
    numbers: NDArray[np.int64],
    path: Path,
) -> int:
    """Copy documents of segments with one codebook, without decoding them. Returns how many tokens they have.

    Args:
        segments: the segments.
        places: the segment of each document.
        rows: its row there.
        numbers: its number, ascending.
        path: a new file.
    """
    first = segments[0]
    assert first.codebook is not None
    starts = [segment.starts for segment in segments]
    lengths = np.array([starts[p][r + 1] - starts[p][r] for p, r in zip(places, rows, strict=True)], dtype=np.int64)
    kind = SegmentKind(first.bits, first.width, first.scale, first.codebook_name, len(first.codebook.centroids))
    with SegmentWriter(path, numbers, lengths, kind) as writer:
        for begin in range(0, len(rows), _BLOCK):
            block = zip(places[begin : begin + _BLOCK].tolist(), rows[begin : begin + _BLOCK].tolist(), strict=True)
            # Documents that follow each other in one segment are copied together: place and row minus rank are equal.
            runs = itertools.groupby(enumerate(block), key=lambda one: (one[1][0], one[1][1] - one[0]))
            ranges = [(place, [row for _, (_, row) in run]) for (place, _), run in runs]
            parts = [segments[place].rows(own[0], own[-1] + 1) for place, own in ranges]
            writer.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        for place, segment in enumerate(segments):
            at = np.flatnonzero(places == place)
            # -1: a document that is dropped, or that another segment holds.
            new = np.full(len(segment), -1, dtype=np.int64)
            new[rows[at]] = at
            writer.add_postings(segment.tables["posting_starts"], segment.tables["postings"], new)
        writer.finish()
    return int(lengths.sum())


def _decoded(
    segments: Sequence[Segment], places: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int16], NDArray[np.int64], float]:
    """The fixed-point vectors of documents, the number of rows of each, and the vectors' common scale."""
    # To the larger scale: shorter vectors fit into it, longer ones would be clipped by the smaller.
    scale = max(segment.scale for segment in segments)
    found: list[NDArray[np.int16]] = []
    for place, row in zip(places.tolist(), rows.tolist(), strict=True):
        segment = segments[place]
        vectors = segment.vectors(row)
        if segment.scale != scale:
            vectors = np.rint(vectors * (segment.scale / scale)).astype(np.int16)
        found.append(vectors)
    return np.concatenate(found), np.array([len(vectors) for vectors in found], dtype=np.int64), scale
