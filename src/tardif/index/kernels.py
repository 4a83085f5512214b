"""MaxSim over fixed-point vectors, compiled for the machine it runs on (numba).

Token vectors are int16 (:mod:`tardif.index.codes`). Inner products of a query's unit vectors with vectors no
longer than 4 fit into 32 bits whatever the order of adding (Cauchy-Schwarz), so every score is an exact
integer: the same on any machine, in any number of threads, by any path.

The tile that all rests on holds 8 to 32 query tokens in the lanes of registers; a document's components are
broadcast to them two by two. Rows of documents lie on disk as they come, no sum runs across lanes, and the
maximum over a document's tokens is taken lane by lane. With AVX2 a tile is one multiply-add instruction for
sixteen products, which LLVM joins with its addition where the machine has VNNI; without AVX2 LLVM makes of it what
there is. Codes of fewer bits are decoded some rows at a time, just before they are multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 8
"""Query tokens in one register."""

TILE = 32
"""Query tokens in a whole tile."""

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_PAIRS = ir.VectorType(_I16, 2 * LANES)
_SUMS = ir.VectorType(_I32, LANES)
_ORDER = ir.VectorType(_I32, LANES)
_BYTES, _WIDE = ir.VectorType(_I8, 2 * LANES), ir.VectorType(_I32, 2 * LANES)
# Document tokens that share one pass over a tile's registers, by registers of query tokens; 16 registers there are.
_ROWS = {1: 6, 2: 4, 3: 3, 4: 2}
_LEAST = np.iinfo(np.int32).min
# Rows that are decoded at a time: they stay in the nearest cache until they are multiplied. A multiple of _ROWS.
_BLOCK = 24


def _has(feature: str) -> bool:
    """Whether what is compiled may use a feature of the processor; numba's environment variables may take it away."""
    config: Any = numba.config
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return config.CPU_NAME != "generic" and bool(binding.get_host_cpu_features().get(feature))


_HAS_AVX2 = _has("avx2")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use, release the GIL, and keep what was compiled on disk where that is possible."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written
        return numba.njit(nogil=True)(function)


def _at(b: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    """The pointer so many elements on, as a pointer to ``kind``."""
    return b.bitcast(b.gep(pointer, [offset]), kind.as_pointer())


def _everywhere(b: Any, number: Any) -> Any:
    """A 32-bit number in every lane."""
    undefined = ir.Constant(_SUMS, ir.Undefined)
    one = b.insert_element(undefined, number, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(_ORDER, [0] * LANES))


def _called(b: Any, name: str, kind: Any, *args: Any) -> Any:
    """What an instruction gives that LLVM knows by a name."""
    known = b.module.globals.get(name)
    return b.call(known or ir.Function(b.module, ir.FunctionType(kind, [arg.type for arg in args]), name), args)


def _both(b: Any, pointer: Any) -> Any:
    """Two components of a document's token, in every lane."""
    return b.bitcast(_everywhere(b, b.load(b.bitcast(pointer, _I32.as_pointer()), align=2)), _PAIRS)


def _multiply_add(b: Any, x: Any, y: Any) -> Any:
    """Products of the pairs in each lane, added: ``[2 * LANES] x [2 * LANES] -> [LANES]``."""
    if _HAS_AVX2:
        return _called(b, "llvm.x86.avx2.pmadd.wd", _SUMS, x, y)
    undefined, sums = ir.Constant(_PAIRS, ir.Undefined), []
    for first in (0, 1):
        order = ir.Constant(_ORDER, list(range(first, 2 * LANES, 2)))
        halves = [b.sext(b.shuffle_vector(side, undefined, order), _SUMS) for side in (x, y)]
        sums.append(b.mul(*halves))
    return b.add(*sums)


def _products(b: Any, query: Any, rows: list[Any], pairs: Any, registers: int) -> list[list[Any]]:
    """Inner products of a tile's query tokens with each row: ``[rows][registers]`` of ``[LANES]``."""
    zero = ir.Constant(_SUMS, [0] * LANES)
    sums = [[cgutils.alloca_once(b, _SUMS) for _ in range(registers)] for _ in rows]
    for row in sums:
        for place in row:
            b.store(zero, place)
    with cgutils.for_range(b, pairs, intp=_I64) as loop:
        components = [_both(b, b.gep(row, [b.mul(loop.index, _I64(2))])) for row in rows]
        begin = b.mul(loop.index, _I64(registers * 2 * LANES))
        for j in range(registers):
            tokens = b.load(_at(b, query, b.add(begin, _I64(j * 2 * LANES)), _PAIRS), align=2)
            for row, component in zip(sums, components, strict=True):
                b.store(b.add(b.load(row[j]), _multiply_add(b, tokens, component)), row[j])
    return [[b.load(place) for place in row] for row in sums]


def _in_turn(b: Any, rows: Any, pairs: Any, count: Any, together: int, some: Callable[[Any, list[Any]], None]) -> None:
    """Call ``some`` for the rows at an address: with the number of the first, and pointers to so many at once."""
    dim = b.mul(pairs, _I64(2))

    def call(first: Any, number: int) -> None:
        some(first, [b.gep(rows, [b.mul(b.add(first, _I64(i)), dim)]) for i in range(number)])

    whole = b.sdiv(count, _I64(together))
    with cgutils.for_range(b, whole, intp=_I64) as loop:
        call(b.mul(loop.index, _I64(together)), together)
    done = b.mul(whole, _I64(together))
    with cgutils.for_range(b, b.sub(count, done), intp=_I64) as loop:
        call(b.add(done, loop.index), 1)


def _make_best(registers: int) -> Any:
    """The tile of so many registers that keeps the maxima over rows."""

    @intrinsic
    def best_of(typingctx: Any, query: Any, rows: Any, best: Any, pairs: Any, count: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            query, rows, best, pairs, count = args
            query, rows = (b.inttoptr(one, _I16.as_pointer()) for one in (query, rows))
            best = b.inttoptr(best, _I32.as_pointer())

            def some(first: Any, begins: list[Any]) -> None:
                found = _products(b, query, begins, pairs, registers)
                for j in range(registers):
                    place = _at(b, best, _I64(j * LANES), _SUMS)
                    most = b.load(place, align=4)
                    for row in found:
                        most = b.select(b.icmp_signed(">", row[j], most), row[j], most)
                    b.store(most, place, align=4)

            _in_turn(b, rows, pairs, count, _ROWS[registers], some)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return best_of


def _make_nearest(registers: int) -> Any:
    """The tile of so many registers that keeps, with the maxima over rows, the row of each, the first of equals."""

    @intrinsic
    def nearest_of(typingctx: Any, query: Any, rows: Any, best: Any, where: Any, pairs: Any, count: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            query, rows, best, where, pairs, count = args
            query, rows = (b.inttoptr(one, _I16.as_pointer()) for one in (query, rows))
            best, where = (b.inttoptr(one, _I32.as_pointer()) for one in (best, where))

            def some(first: Any, begins: list[Any]) -> None:
                found = _products(b, query, begins, pairs, registers)
                numbers = [_everywhere(b, b.add(b.trunc(first, _I32), _I32(i))) for i in range(len(begins))]
                for j in range(registers):
                    places = [_at(b, kept, _I64(j * LANES), _SUMS) for kept in (best, where)]
                    most, its = (b.load(place, align=4) for place in places)
                    for row, number in zip(found, numbers, strict=True):
                        better = b.icmp_signed(">", row[j], most)
                        most, its = b.select(better, row[j], most), b.select(better, number, its)
                    b.store(most, places[0], align=4)
                    b.store(its, places[1], align=4)

            _in_turn(b, rows, pairs, count, _ROWS[registers], some)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), codegen

    return nearest_of


_best_1, _best_2, _best_3, _best_4 = (_make_best(registers) for registers in (1, 2, 3, 4))
_nearest_4 = _make_nearest(TILE // LANES)


@compiled
def _maxima(tiles: Any, tokens: int, rows: int, count: int, pairs: int, best: Any) -> None:
    """Raise ``best`` to the largest inner product of each query token with ``count`` rows at an address."""
    done, query, size = 0, tiles.ctypes.data, pairs * 4  # bytes of one token
    registers = (tokens + LANES - 1) // LANES
    while registers > 0:
        place = best.ctypes.data + done * 4
        if registers >= 4:
            _best_4(query, rows, place, pairs, count)
        elif registers == 3:
            _best_3(query, rows, place, pairs, count)
        elif registers == 2:
            _best_2(query, rows, place, pairs, count)
        else:
            _best_1(query, rows, place, pairs, count)
        done += TILE
        query += TILE * size
        registers -= 4


@compiled
def _sum(best: Any, tokens: int) -> Any:
    total = np.int64(0)
    for token in range(tokens):
        total += best[token]
    return total


@compiled
def scan_16(tiles: Any, tokens: int, codes: Any, starts: Any, wanted: Any, scores: Any) -> None:
    """MaxSim of a query with the wanted documents, whose vectors are stored as they are.

    Args:
        tiles: :func:`tiled` query vectors.
        tokens: how many of their rows are tokens, none of them filling.
        codes: int16 ``[tokens, dim]``.
        starts: int64 ``[documents + 1]``, the first row of each document.
        wanted: int64, the documents.
        scores: int64, one for each of them; a document without a row keeps what stands there.
    """
    best = np.empty((tokens + LANES - 1) // LANES * LANES, np.int32)
    pairs, width = codes.shape[1] // 2, codes.shape[1] * 2
    for i in range(len(wanted)):
        begin, end = starts[wanted[i]], starts[wanted[i] + 1]
        if end > begin:
            best[:] = _LEAST
            _maxima(tiles, tokens, codes.ctypes.data + begin * width, end - begin, pairs, best)
            scores[i] = _sum(best, tokens)


@compiled
def fix(vectors: Any, factor: float, one: int, out: Any) -> bool:
    """Vectors times a factor, rounded and no larger than ``one``, into the first columns of int16 ``out``.

    Returns:
        Whether all were finite numbers; what is written of others means nothing.
    """
    sound = True
    for row in range(vectors.shape[0]):
        for i in range(vectors.shape[1]):
            value = np.float64(vectors[row, i]) * factor
            finite = np.isfinite(value)
            sound &= finite
            out[row, i] = np.int16(min(max(np.rint(value), -one), one)) if finite else 0
    return sound


@compiled
def pack_8(vectors: Any, codes: Any, steps: Any) -> None:
    """Code fixed-point vectors in int8, with the step of each that its largest component is 127 of at most."""
    for row in range(vectors.shape[0]):
        most = np.int64(0)
        for i in range(vectors.shape[1]):
            most = max(most, abs(np.int64(vectors[row, i])))
        step = max((most * 256 + 126) // 127, 1)
        steps[row] = step
        for i in range(vectors.shape[1]):
            codes[row, i] = np.int8(np.rint(vectors[row, i] * 256.0 / step))


def _decode_8(b: Any, codes: Any, steps: Any, out: Any, groups: Any, small: bool) -> None:
    """``(code * step + 128) >> 8`` for so many groups of 16 codes. A small step has 15 bits."""
    with cgutils.for_range(b, groups, intp=_I64) as loop:
        at = b.mul(loop.index, _I64(2 * LANES))
        given = b.load(_at(b, codes, at, _BYTES), align=1)
        if small and _HAS_AVX2:
            # One instruction multiplies, and rounds the product to what is above its 15 lowest bits.
            raised = b.shl(b.sext(given, _PAIRS), ir.Constant(_PAIRS, [7] * 2 * LANES))
            found = _called(b, "llvm.x86.avx2.pmul.hr.sw", _PAIRS, raised, b.trunc(steps, _PAIRS))
        else:
            half, bits = (ir.Constant(_WIDE, [number] * 2 * LANES) for number in (128, 8))
            found = b.trunc(b.ashr(b.add(b.mul(b.sext(given, _WIDE), steps), half), bits), _PAIRS)
        b.store(found, _at(b, out, at, _PAIRS), align=2)


def _make_decoder() -> Any:
    """What decodes so many groups of 16 codes with their row's step, from one address to another."""

    @intrinsic
    def decode_of(typingctx: Any, codes: Any, step: Any, out: Any, groups: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            codes, step, out, groups = args
            codes, out = b.inttoptr(codes, _I8.as_pointer()), b.inttoptr(out, _I16.as_pointer())
            undefined, first = ir.Constant(_WIDE, ir.Undefined), ir.Constant(_WIDE, [0] * 2 * LANES)
            steps = b.shuffle_vector(b.insert_element(undefined, b.trunc(step, _I32), _I32(0)), undefined, first)
            # Only that of a vector that is nearly one component has more bits.
            with b.if_else(b.icmp_signed("<", step, _I64(1 << 15))) as (small, large):
                with small:
                    _decode_8(b, codes, steps, out, groups, True)
                with large:
                    _decode_8(b, codes, steps, out, groups, False)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), codegen

    return decode_of


_decode = _make_decoder()


@compiled
def unpack_8(codes: Any, steps: Any, begin: int, end: int, out: Any) -> None:
    """The vectors of rows ``begin`` to ``end``: each code times its row's step, in fixed point."""
    dim = codes.shape[1]
    whole = dim // (2 * LANES)
    for row in range(begin, end):
        step = np.int32(steps[row])
        _decode(codes.ctypes.data + row * dim, np.int64(step), out.ctypes.data + (row - begin) * dim * 2, whole)
        for i in range(whole * 2 * LANES, dim):
            out[row - begin, i] = (np.int32(codes[row, i]) * step + 128) >> 8


@compiled
def scan_8(tiles: Any, tokens: int, codes: Any, steps: Any, starts: Any, wanted: Any, scores: Any) -> None:
    """As :func:`scan_16`, for int8 codes with a step for each row."""
    best = np.empty((tokens + LANES - 1) // LANES * LANES, np.int32)
    dim = codes.shape[1]
    rows = np.empty((_BLOCK, dim), np.int16)
    for i in range(len(wanted)):
        first, last = starts[wanted[i]], starts[wanted[i] + 1]
        best[:] = _LEAST
        for begin in range(first, last, _BLOCK):
            end = min(begin + _BLOCK, last)
            unpack_8(codes, steps, begin, end, rows)
            _maxima(tiles, tokens, rows.ctypes.data, end - begin, dim // 2, best)
        if last > first:
            scores[i] = _sum(best, tokens)


@compiled
def unpack_residual(codes: Any, nearest: Any, centroids: Any, table: Any, begin: int, end: int, out: Any) -> None:
    """The vectors of rows ``begin`` to ``end``: a centroid, and the residual that the codes name.

    ``table`` holds for each byte the components that it stands for, side by side in one unsigned integer.
    """
    whole = out.view(table.dtype)
    for row in range(begin, end):
        for byte in range(codes.shape[1]):
            whole[row - begin, byte] = table[codes[row, byte]]
        centroid = centroids[nearest[row]]
        for i in range(out.shape[1]):
            component = np.int32(out[row - begin, i]) + np.int32(centroid[i])
            out[row - begin, i] = min(max(component, -32767), 32767)


@compiled
def scan_residual(
    tiles: Any,
    tokens: int,
    codes: Any,
    nearest: Any,
    centroids: Any,
    table: Any,
    starts: Any,
    wanted: Any,
    scores: Any,
) -> None:
    """As :func:`scan_16`, for residual codes."""
    best = np.empty((tokens + LANES - 1) // LANES * LANES, np.int32)
    dim = centroids.shape[1]
    rows = np.empty((_BLOCK, dim), np.int16)
    for i in range(len(wanted)):
        first, last = starts[wanted[i]], starts[wanted[i] + 1]
        best[:] = _LEAST
        for begin in range(first, last, _BLOCK):
            end = min(begin + _BLOCK, last)
            unpack_residual(codes, nearest, centroids, table, begin, end, rows)
            _maxima(tiles, tokens, rows.ctypes.data, end - begin, dim // 2, best)
        if last > first:
            scores[i] = _sum(best, tokens)


@compiled
def pack_residual(vectors: Any, nearest: Any, centroids: Any, cuts: Any, codes: Any) -> None:
    """Code each component's residual by the number of cuts below it; the first component in the lowest bits."""
    bits = 8 * codes.shape[1] // vectors.shape[1]
    per_byte = 8 // bits
    level = np.empty(vectors.shape[1], np.uint8)
    for row in range(len(vectors)):
        centroid = centroids[nearest[row]]
        level[:] = 0
        for cut in cuts:
            for i in range(vectors.shape[1]):
                level[i] += np.int32(vectors[row, i]) - np.int32(centroid[i]) > cut
        for byte in range(codes.shape[1]):
            value = np.uint8(0)
            for i in range(per_byte):
                value |= level[byte * per_byte + i] << np.uint8(bits * i)
            codes[row, byte] = value


@compiled
def add_up(vectors: Any, nearest: Any, sums: Any, counts: Any) -> None:
    """Sums and numbers of the vectors of each centroid."""
    for row in range(len(vectors)):
        for i in range(vectors.shape[1]):
            sums[nearest[row], i] += vectors[row, i]
        counts[nearest[row]] += 1


@compiled
def best_rows(found: Any, tokens: int, count: int, rows: Any, values: Any) -> None:
    """The ``count`` rows of the largest products of each token, best first, the first of equals.

    Args:
        found: of :func:`products`, int32 ``[rows, tokens or more]``.
        tokens: how many columns count.
        count: how many, not more than there are rows.
        rows: int32 ``[tokens, count]``, filled.
        values: int32 of the same shape, filled.
    """
    values[:] = _LEAST
    last = np.full(tokens, _LEAST, np.int32)
    for row in range(found.shape[0]):
        for token in range(tokens):
            value = found[row, token]
            if value > last[token]:
                place = count - 1
                while place > 0 and values[token, place - 1] < value:
                    values[token, place] = values[token, place - 1]
                    rows[token, place] = rows[token, place - 1]
                    place -= 1
                values[token, place] = value
                rows[token, place] = row
                last[token] = values[token, count - 1]


@compiled
def estimate(
    rows: Any, values: Any, floors: Any, posting_starts: Any, postings: Any, totals: Any, seen: Any, touched: Any
) -> int:
    """Add to each document's total what its best probed centroid gives each token above the token's floor.

    Args:
        rows, values: of :func:`best_rows`: each token's probed centroids, best first.
        floors: int32 ``[tokens]``: at most so much gives a centroid that was not probed.
        posting_starts, postings: the documents of each centroid.
        totals: int64 ``[documents]``, zeros.
        seen: int32 ``[documents]``, zeros: the last token, counted from 1, that met the document.
        touched: int64 ``[documents]``: filled with the documents met.

    Returns:
        How many documents were met.
    """
    count = 0
    for token in range(rows.shape[0]):
        for place in range(rows.shape[1]):
            gain = np.int64(values[token, place]) - np.int64(floors[token])
            centroid = rows[token, place]
            for at in range(posting_starts[centroid], posting_starts[centroid + 1]):
                document = postings[at]
                if seen[document] <= token:
                    if seen[document] == 0:
                        touched[count] = document
                        count += 1
                    seen[document] = token + 1
                    totals[document] += gain
    return count


@compiled
def upper_tail(z: float) -> float:
    """The standard normal distribution's tail above a value."""
    return math.erfc(z / math.sqrt(2.0)) / 2


@compiled
def needed(z: Any, allowed: float) -> int:
    """Where the values begin whose upper tails of the standard normal distribution add up to no more than allowed."""
    total, place = 0.0, len(z)
    while place > 0:
        if z[place - 1] != np.inf:
            total += math.erfc(z[place - 1] / math.sqrt(2.0)) / 2
        if total > allowed:
            break
        place -= 1
    return place


@compiled
def products(tiles: Any, tokens: int, rows: Any, out: Any) -> None:
    """Inner products of a query's tokens with every row, into int32 ``[rows, tokens filled up to lanes]``."""
    size = rows.shape[1] * 2
    out[:] = _LEAST
    for row in range(rows.shape[0]):
        _maxima(tiles, tokens, rows.ctypes.data + row * size, 1, rows.shape[1] // 2, out[row])


@compiled
def _lay(vectors: Any, begin: int, count: int, tile: Any) -> None:
    """Lay ``count`` vectors, from ``begin`` on, into a tile ``[components / 2, tokens, 2]``."""
    for token in range(count):
        for pair in range(tile.shape[0]):
            tile[pair, token, 0] = vectors[begin + token, 2 * pair]
            tile[pair, token, 1] = vectors[begin + token, 2 * pair + 1]


@compiled
def nearest_rows(vectors: Any, rows: Any, found: Any) -> None:
    """The row of the largest inner product for each vector, the first of equals.

    Args:
        vectors: int16 ``[vectors, dim]``.
        rows: int16 ``[rows, dim]``, at least one.
        found: int64 ``[vectors]``, filled.
    """
    pairs = vectors.shape[1] // 2
    tile = np.zeros((pairs, TILE, 2), np.int16)
    best, where = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    for begin in range(0, len(vectors), TILE):
        count = min(TILE, len(vectors) - begin)
        _lay(vectors, begin, count, tile)
        best[:] = _LEAST
        where[:] = 0
        _nearest_4(tile.ctypes.data, rows.ctypes.data, best.ctypes.data, where.ctypes.data, pairs, len(rows))
        found[begin : begin + count] = where[:count]


def tiled(vectors: NDArray[np.int16]) -> NDArray[np.int16]:
    """Query vectors ``[tokens, dim]`` as tiles want them: ``[components / 2, tokens, 2]``, a tile at a time.

    Filled with zeros up to whole registers; ``dim`` must be even.
    """
    parts = []
    for begin in range(0, len(vectors), TILE):
        count = min(TILE, len(vectors) - begin)
        tile = np.zeros((vectors.shape[1] // 2, -(-count // LANES) * LANES, 2), dtype=np.int16)
        _lay(vectors, begin, count, tile)
        parts.append(tile.reshape(-1))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
