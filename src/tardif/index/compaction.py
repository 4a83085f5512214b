"""Segments that are better one: which they are, and the one that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import Codebook, assign, encode
from tardif.index.segment import MOST_DOCUMENTS, Segment, SegmentWriter, pairs_of
from tardif.index.snapshot import View, Workers

PLAIN_TOKENS = 100_000
"""Token vectors that are scanned whole, some milliseconds long, before it pays to search them by centroids."""

MOST_PLAIN, MOST_CODED = 8, 8
"""Segments of either kind up to which a write leaves them as they are."""

THIN = 0.7
"""A segment of which less than this share lives is written anew."""

# Documents written at a time.
_BLOCK = 512


def victims(view: View) -> list[int]:
    """The segments of a view that are better one: the plain ones once they are many or large, then those that lost
    many of their documents, then the smallest of many."""
    plain = [i for i, segment in enumerate(view.segments) if not segment.has_postings]
    if len(plain) > MOST_PLAIN or sum(view.segments[i].tokens for i in plain) >= PLAIN_TOKENS:
        return plain
    thin = [i for i, living in enumerate(view.alive) if living.sum() < THIN * len(living)]
    if thin:
        return thin[:1]
    coded = sorted((len(s), i) for i, s in enumerate(view.segments) if s.has_postings)
    # One segment merged with none would stay as many, and be chosen again for ever.
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
) -> Path:
    """Write fixed-point vectors as a segment: with a codebook searched by centroids, else scanned.

    Args:
        path: a new file.
        numbers: of the documents, ascending.
        lengths: rows of each.
        vectors: ``[rows, width]``.
        bits: of the codes; without a codebook 16 in place of 4 and 2.
        scale: the length that is 1.0.
        book: the codebook and its name.
        workers: that compare vectors with centroids.

    Raises:
        OSError: the file cannot be written.
    """
    name, codebook = book or (None, None)
    bits = bits if codebook is not None or bits >= 8 else 16
    count = 0 if codebook is None else len(codebook.centroids)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    width = vectors.shape[1]
    with SegmentWriter(
        path, numbers, lengths, bits=bits, width=width, scale=scale, codebook=name, centroids=count
    ) as writer:
        for begin in range(0, len(numbers), _BLOCK):
            end = min(begin + _BLOCK, len(numbers))
            rows = vectors[starts[begin] : starts[end]]
            if codebook is None:
                writer.append(encode(rows, bits, None, None))
                continue
            nearest = _assigned(rows, codebook, workers)
            writer.append(encode(rows, bits, codebook, nearest), pairs_of(nearest, lengths[begin:end]))
        return writer.finish()


def _assigned(rows: NDArray[np.int16], codebook: Codebook, workers: Workers) -> NDArray[np.int64]:
    parts = np.array_split(rows, max(1, len(rows) // 2048))
    return np.concatenate(workers.map(lambda part: assign(part, codebook.centroids), parts))


def merge(
    view: View,
    chosen: Sequence[int],
    path: Path,
    *,
    bits: int,
    book: Callable[[NDArray[np.int16]], tuple[str, Codebook]],
    workers: Workers,
) -> tuple[Path, int, int] | None:
    """Write the living documents of some segments as one. What is coded by one codebook is copied as it is.

    Args:
        view: what the index holds.
        chosen: places of the segments in the view.
        path: a new file.
        bits: of the index.
        book: gives the index's codebook, learnt from these vectors where there is none.
        workers: that compare vectors with centroids.

    Returns:
        The file with its documents and tokens; None where nothing lives.

    Raises:
        OSError: the file cannot be written.
        FolderError: a segment is damaged.
    """
    segments = [view.segments[i] for i in chosen]
    living = [np.flatnonzero(view.alive[i]) for i in chosen]
    if not sum(len(rows) for rows in living):
        return None
    first = segments[0]
    alike = {(s.bits, s.scale, s.codebook_name) for s in segments}
    if len(alike) == 1 and first.has_postings:
        return _copied(segments, living, path)
    numbers, lengths, vectors, scale = _decoded(segments, living)
    coded = len(vectors) >= PLAIN_TOKENS or any(segment.has_postings for segment in segments)
    named = book(vectors) if coded else None
    write_vectors(path, numbers, lengths, vectors, bits=bits, scale=scale, book=named, workers=workers)
    return path, len(numbers), len(vectors)


def _copied(segments: Sequence[Segment], living: Sequence[NDArray[np.int64]], path: Path) -> tuple[Path, int, int]:
    """Segments of one codebook as one, without decoding. Numbers ascend from segment to segment or are sorted."""
    order = sorted(
        (int(segment.numbers[row]), place, row)
        for place, (segment, rows) in enumerate(zip(segments, living, strict=True))
        for row in rows.tolist()
    )
    numbers = np.array([number for number, _, _ in order], dtype=np.int64)
    lengths = np.array([segments[p].starts[r + 1] - segments[p].starts[r] for _, p, r in order], dtype=np.int64)
    first = segments[0]
    assert first.codebook is not None
    width = first.codebook.centroids.shape[1]
    with SegmentWriter(
        path,
        numbers,
        lengths,
        bits=first.bits,
        width=width,
        scale=first.scale,
        codebook=first.codebook_name,
        centroids=len(first.codebook.centroids),
    ) as writer:
        for block in _blocks(order):
            parts = [segments[place].rows(begin, end) for place, begin, end in _stretches(block)]
            writer.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        for place, segment in enumerate(segments):
            new = np.full(len(segment), -1, dtype=np.int64)
            mine = [(row, at) for at, (_, p, row) in enumerate(order) if p == place]
            if mine:
                rows, at = np.array(mine, dtype=np.int64).T
                new[rows] = at
            writer.add_pairs(segment.pairs(), new)
        return writer.finish(), len(numbers), int(lengths.sum())


def _blocks(order: Sequence[tuple[int, int, int]]) -> Iterator[Sequence[tuple[int, int, int]]]:
    for begin in range(0, len(order), _BLOCK):
        yield order[begin : begin + _BLOCK]


def _stretches(block: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Rows that follow each other in one segment, as (segment, first, last + 1)."""
    begin: tuple[int, int] | None = None
    end = 0
    for _, place, row in block:
        if begin is not None and begin[0] == place and row == end:
            end += 1
            continue
        if begin is not None:
            yield *begin, end
        begin, end = (place, row), row + 1
    if begin is not None:
        yield *begin, end


def _decoded(
    segments: Sequence[Segment], living: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16], float]:
    """Numbers, lengths and fixed-point vectors of what lives, in the order of the numbers, and their scale."""
    scale = max(segment.scale for segment in segments)
    found: list[tuple[int, NDArray[np.int16]]] = []
    for segment, rows in zip(segments, living, strict=True):
        for row in rows.tolist():
            vectors = segment.vectors(row)
            if segment.scale != scale:
                vectors = np.rint(vectors * (segment.scale / scale)).astype(np.int16)
            found.append((int(segment.numbers[row]), vectors))
    found.sort(key=lambda one: one[0])
    numbers = np.array([number for number, _ in found], dtype=np.int64)
    lengths = np.array([len(vectors) for _, vectors in found], dtype=np.int64)
    return numbers, lengths, np.concatenate([vectors for _, vectors in found]), scale
