"""Token vectors as an index stores them: fixed point, in 16, 8, 4 or 2 bits per component.

16  the vector itself, each component times 32,767: as exact as half precision for unit vectors
8   int8 codes, and one step per vector in units of 1/256 of fixed point's unit
4   the nearest of an index's centroids, and one of 16 residuals for each component
2   the same with 4 residuals (ColBERTv2: Santhanam et al., NAACL 2022)

Stored codes decode to exactly one fixed-point vector, so an index's scores are integers, and a search can be compared
bit by bit with the plain formula. 8 bits cost .0006 nDCG@10 on scifact, within noise (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError, SettingError

# 1.0 in fixed point, for documents; and for queries, half of it, so that no inner product of a query's vector with a
# decoded one overflows 32 bits. Decoded vectors may be longer than 1: see kernels.py.
ONE, QUERY_ONE = 32_767, 16_383
# The integer score of a document without a token vector: less than any sum of products.
NO_SCORE = np.iinfo(np.int64).min

BITS = (16, 8, 4, 2)
NOT_FINITE = "A token vector holds NaN or infinity: the model is damaged, or its half precision overflows."

# The stored arrays of some documents' tokens, by name: codes, and steps (8 bits) or nearest (4 and 2 bits).
Arrays = Mapping[str, NDArray[Any]]

# Rounds of k-means and vectors per centroid: more rounds and vectors cost time in proportion and hardly move centroids.
_ROUNDS, _PER_CENTROID = 6, 32
# Rounds of Lloyd's method for the residuals' levels: cheap, since residuals are sorted once.
_LEVEL_ROUNDS = 20
# Vectors with residuals that the levels are learned from: it bounds memory.
_SAMPLE = 4096


@dataclass(frozen=True, eq=False)
class Codebook:
    """The centroids of an index's token vectors, and the residual of each code.

    Attributes:
        centroids: int16 ``[centroids, width]``, unit vectors.
        cuts: by bits, int32 ``[2**bits - 1]``: the boundaries between neighbouring residuals.
        values: by bits, int16 ``[2**bits]``: the residuals.
    """

    centroids: NDArray[np.int16]
    cuts: Mapping[int, NDArray[np.int32]] = field(default_factory=dict)
    values: Mapping[int, NDArray[np.int16]] = field(default_factory=dict)

    def table(self, bits: int) -> NDArray[Any]:
        """Return the components of each byte's codes, side by side in one unsigned integer: ``[256]``."""
        per_byte = 8 // bits
        levels = np.arange(256)[:, None] >> (bits * np.arange(per_byte)) & (2**bits - 1)  # [256, components]
        words: NDArray[Any] = np.ascontiguousarray(self.values[bits][levels]).view(f"uint{16 * per_byte}")
        return words[:, 0]


def width_of(dim: int) -> int:
    """Return how many components are stored of a vector: padded with zeros to whole bytes of 2-bit codes.

    >>> width_of(126), width_of(128)
    (128, 128)
    """
    return -(-dim // 4) * 4


def to_fixed(vectors: NDArray[np.float32], scale: float = 1.0, one: int = ONE) -> NDArray[np.int16]:
    """Return vectors ``[rows, dim]`` in fixed point, int16 ``[rows, width]``.

    >>> to_fixed(np.array([[1.0, -0.5]], dtype=np.float32)).tolist()
    [[32767, -16384, 0, 0]]

    Args:
        vectors: none longer than ``scale``, which is 1 for unit vectors.
        scale: the length that becomes 1.0.
        one: the integer for 1.0.

    Raises:
        DataError: a component is not a finite number.
    """
    from tardif.index import kernels

    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    fixed = np.zeros((len(vectors), width_of(vectors.shape[1])), dtype=np.int16)
    # Clipped to 1, an infinity would give scores that look right.
    if not kernels.fix(vectors, one / scale, one, fixed):
        raise DataError(NOT_FINITE)
    return fixed


def scale_of(vectors: NDArray[np.float32]) -> float:
    """Return 1 if all vectors are unit vectors or shorter, else the length of the longest."""
    longest = float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0)))
    # Rounding in float16 makes unit vectors this much longer; to_fixed() clips them.
    return 1.0 if longest <= 1.001 else longest


def train(vectors: NDArray[np.int16], count: int, *, seed: int = 0) -> Codebook:
    """Learn centroids from a sample by spherical k-means, and the residuals of 4 and 2 bits by Lloyd's method.

    Args:
        vectors: fixed point ``[rows, width]``; 32 per centroid are used.
        count: the number of centroids; no more than rows.
        seed: for the first centroids.

    Returns:
        The codebook. The same sample and seed give the same one in every process.
    """
    from tardif.index import kernels

    random = np.random.default_rng(seed)
    # The sample keeps the vectors' order: memory is read from front to back.
    vectors = vectors[np.sort(random.permutation(len(vectors))[: count * _PER_CENTROID])]
    count = min(count, len(vectors))
    centroids = _unit(vectors[np.sort(random.permutation(len(vectors))[:count])].astype(np.float64))
    for _ in range(_ROUNDS):
        nearest = assign(vectors, centroids)
        # Sums of integers: the same in any order, so the same codebook in any process.
        sums = np.zeros(centroids.shape, dtype=np.int64)
        counts = np.zeros(count, dtype=np.int64)
        kernels.add_up(vectors, nearest, sums, counts)
        # A centroid without vectors starts again at a random vector.
        empty = np.flatnonzero(counts == 0)
        sums[empty] = vectors[random.integers(len(vectors), size=len(empty))]
        centroids = _unit(sums.astype(np.float64))
    nearest = assign(vectors, centroids)
    sample = random.permutation(len(vectors))[:_SAMPLE]
    residuals = (vectors[sample].astype(np.int32) - centroids[nearest[sample]]).reshape(-1)
    (cuts_4, values_4), (cuts_2, values_2) = (_levels(residuals, bits) for bits in (4, 2))
    return Codebook(centroids, {4: cuts_4, 2: cuts_2}, {4: values_4, 2: values_2})


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.int16]:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    fixed: NDArray[np.int16] = np.rint(vectors * (ONE / np.maximum(lengths, 1e-9))[:, None]).astype(np.int16)
    return fixed


def _levels(residuals: NDArray[np.int32], bits: int) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Cuts and values with a small mean squared error (Lloyd's method in one dimension)."""
    # With sorted residuals and their cumulative sums, a level's mean is the difference of two sums.
    ordered = np.sort(residuals)
    sums = np.concatenate([[0], np.cumsum(ordered, dtype=np.int64)])
    # Quantiles as the first cuts: each level begins with as many residuals as any other.
    cuts = np.quantile(ordered, np.arange(1, 2**bits) / 2**bits).astype(np.int32)
    for _ in range(_LEVEL_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(ordered, cuts, side="right"), [len(ordered)]])
        # A level without residuals would divide by 0.
        counts = np.maximum(np.diff(ends), 1)
        values = np.diff(sums[ends]) / counts
        cuts = np.rint((values[:-1] + values[1:]) / 2).astype(np.int32)
    return cuts, np.rint(values).clip(-ONE, ONE).astype(np.int16)


def assign(vectors: NDArray[np.int16], centroids: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the centroid with the largest inner product for each vector, int64 ``[vectors]``."""
    from tardif.index import kernels

    found = np.empty(len(vectors), dtype=np.int64)
    kernels.nearest_rows(vectors, centroids, found)
    return found


def encode(
    vectors: NDArray[np.int16], bits: int, codebook: Codebook | None, nearest: NDArray[np.int64] | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays that are stored of fixed-point vectors ``[rows, width]``.

    Args:
        vectors: the vectors.
        bits: of :data:`BITS`; 4 and 2 need a codebook and each vector's centroid.
        codebook: the index's.
        nearest: from :func:`assign`.
    """
    if bits == 16:
        return {"codes": np.ascontiguousarray(vectors)}
    from tardif.index import kernels

    if bits == 8:
        small, steps = np.empty(vectors.shape, dtype=np.int8), np.empty(len(vectors), dtype=np.uint32)
        kernels.pack_8(vectors, small, steps)
        return {"codes": small, "steps": steps}
    assert codebook is not None and nearest is not None
    codes = np.empty((len(vectors), vectors.shape[1] * bits // 8), dtype=np.uint8)
    kernels.pack_residual(vectors, nearest, codebook.centroids, codebook.cuts[bits], codes)
    return {"codes": codes, "nearest": nearest.astype(np.uint16)}


def decode(arrays: Arrays, bits: int, codebook: Codebook | None, begin: int, end: int) -> NDArray[np.int16]:
    """Return the fixed-point vectors of the stored rows ``begin`` to ``end``, int16 ``[rows, width]``."""
    codes = arrays["codes"]
    if bits == 16:
        return np.array(codes[begin:end])
    from tardif.index import kernels

    if bits == 8:
        out = np.empty((end - begin, codes.shape[1]), dtype=np.int16)
        kernels.unpack_8(codes, arrays["steps"], begin, end, out)
        return out
    assert codebook is not None
    out = np.empty((end - begin, codebook.centroids.shape[1]), dtype=np.int16)
    kernels.unpack_residual(codes, arrays["nearest"], codebook.centroids, codebook.table(bits), begin, end, out)
    return out


@dataclass(frozen=True, eq=False)
class TiledQuery:
    """A query in the layout that kernels read.

    Attributes:
        tiles: from :func:`tardif.index.kernels.tiled`.
        tokens: the number of token vectors.
        scale: the factor from an integer score to MaxSim, for documents of scale 1.
    """

    tiles: NDArray[np.int16]
    tokens: int
    scale: float

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> TiledQuery:
        """Return the query of float vectors ``[tokens, dim]``.

        Raises:
            DataError: a component is not a finite number.
        """
        from tardif.index import kernels

        fixed, scale = fixed_query(vectors)
        return cls(kernels.tiled(fixed), len(vectors), scale)


def fixed_query(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Return a query's vectors in fixed point, ``[tokens, dim] -> [tokens, width]``, and the factor from an integer
    score to MaxSim, for documents of scale 1.

    Raises:
        DataError: a component is not a finite number.
    """
    # For vectors that are not finite, to_fixed() raises.
    scale = scale_of(vectors) if np.isfinite(vectors).all() else 1.0
    # MaxSim sums one product for each query token, so one factor brings the whole score back to floats.
    return to_fixed(vectors, scale, QUERY_ONE), scale / QUERY_ONE / ONE


def scan(
    query: TiledQuery,
    arrays: Arrays,
    bits: int,
    codebook: Codebook | None,
    starts: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return MaxSim of a query with the wanted documents, exact over what is stored.

    Args:
        query: the query.
        arrays: the stored arrays of a segment.
        bits: of each component.
        codebook: the index's, for 4 and 2 bits.
        starts: ``[documents + 1]``, each document's first row.
        wanted: which documents.

    Returns:
        Integer scores; :data:`NO_SCORE` for a document without a token.
    """
    from tardif.index import kernels

    scores = np.full(len(wanted), NO_SCORE)
    if not query.tokens or not len(wanted):
        return scores
    asked = (query.tiles, query.tokens, arrays["codes"])
    if bits == 16:
        kernels.scan_16(*asked, starts, wanted, scores)
    elif bits == 8:
        kernels.scan_8(*asked, arrays["steps"], starts, wanted, scores)
    else:
        assert codebook is not None
        table = codebook.table(bits)
        kernels.scan_residual(*asked, arrays["nearest"], codebook.centroids, table, starts, wanted, scores)
    return scores


def check_bits(bits: int) -> int:
    """Return ``bits`` if vectors can be stored in this number of bits.

    Raises:
        SettingError: they cannot.
    """
    if bits not in BITS:
        raise SettingError(f"bits={bits!r}: token vectors are stored in 16, 8, 4 or 2 bits.")
    return BITS[BITS.index(bits)]  # Python's own 8: JSON cannot hold NumPy's
