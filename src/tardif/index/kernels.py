"""MaxSim over fixed-point vectors, compiled for the machine it runs on (numba).

Why fixed point: token vectors are int16 (:mod:`tardif.index.codes`), and int32 addition is associative, so every score
is an exact integer: the same on every machine, in any number of threads, by any path. It is also faster than floating
point: one AVX2 instruction multiplies sixteen pairs of int16 and adds neighbours, where one for fp32 multiplies eight.

Why it cannot overflow: a query's vectors are no longer than 16,383 (QUERY_ONE), and decoded document vectors no longer
than 4 x 32,767 (ONE). By Cauchy-Schwarz every inner product, and every partial sum of one in any order, is at most
2,147,287,044, below 2**31.

Why this blocking: a tile holds 8 to 32 query tokens in the lanes of vector registers, and a document's components are
broadcast to all lanes, two at a time. So rows of documents are read in the order in which they are on disk, no sum
runs across lanes, and the maximum over a document's tokens is taken lane by lane. A matrix product would write all
similarities to memory and read them again for the maxima.

What the compiler makes of it: with AVX2 the inner loop is one ``vpmaddwd`` and one addition for sixteen products, which
LLVM joins to one ``vpdpwssd`` where the processor has VNNI; without AVX2, LLVM uses what there is. Codes of fewer bits
are decoded 24 rows at a time, just before they are multiplied, so that decoded vectors never leave the nearest cache.

What that gives (benchmarks/RESULTS.md; one thread of a Zen 4, 128 dimensions, queries of 32 tokens, in GFLOP/s of the
same work in fp32): 190 to 203 at 16 bits and 186 to 190 at 8 with VNNI; 159 to 167 and 151 to 157 with AVX2 alone. A
large fp32 matrix product reaches 82 to 86 there, and packed fp32 vectors with ``maximum.reduceat`` 14 to 17.

All functions that call each other are in this one file: numba's cache notices a change of a function's own file only,
and would go on using compiled code of an older version of another file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

# Query tokens in one register: int32 sums in 256 bits.
LANES = 8
# Query tokens in a whole tile: four registers of them. Classic ColBERT queries have 32 tokens.
TILE = 32

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_PAIRS = ir.VectorType(_I16, 2 * LANES)
_SUMS = ir.VectorType(_I32, LANES)
_ORDER = ir.VectorType(_I32, LANES)
_BYTES, _WIDE = ir.VectorType(_I8, 2 * LANES), ir.VectorType(_I32, 2 * LANES)
# Document tokens that share one pass over a tile, by the tile's registers. Their product is the number of sums that
# stay in registers: 6 to 9 of the 16 that AVX2 has; the rest hold the query's tokens and the broadcast components. More
# sums hide the latency of the multiply-add; too many would be spilled to memory.
_ROWS = {1: 6, 2: 4, 3: 3, 4: 2}
_LEAST = np.iinfo(np.int32).min
# Rows decoded at a time: 6 KB at 128 dimensions, so they stay in the nearest cache until they are multiplied. A
# multiple of all _ROWS, so that only a document's last block leaves rows for the slower loop of single rows.
_BLOCK = 24


def _has(feature: str) -> bool:
    """Whether compiled code may use a feature of the processor. Numba's environment variables can take it away."""
    config: Any = numba.config
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return config.CPU_NAME != "generic" and bool(binding.get_host_cpu_features().get(feature))


_HAS_AVX2 = _has("avx2")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on first use, without the GIL, and cache the compiled code on disk where possible."""
    try:
        # The GIL is released, so that threads score documents in parallel.
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder for the cache can be written: it is compiled again in every process
        return numba.njit(nogil=True)(function)


def _at(b: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    """The pointer ``offset`` elements further, as a pointer to ``kind``."""
    return b.bitcast(b.gep(pointer, [offset]), kind.as_pointer())


def _everywhere(b: Any, number: Any) -> Any:
    """A 32-bit number broadcast to every lane."""
    undefined = ir.Constant(_SUMS, ir.Undefined)
    one = b.insert_element(undefined, number, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(_ORDER, [0] * LANES))


def _called(b: Any, name: str, kind: Any, *args: Any) -> Any:
    """The result of an LLVM intrinsic: one instruction of the processor."""
    known = b.module.globals.get(name)
    return b.call(known or ir.Function(b.module, ir.FunctionType(kind, [arg.type for arg in args]), name), args)


def _both(b: Any, pointer: Any) -> Any:
    """Two components of a document's token, broadcast to every lane: the pair is loaded as one 32-bit number."""
    return b.bitcast(_everywhere(b, b.load(b.bitcast(pointer, _I32.as_pointer()), align=2)), _PAIRS)


def _multiply_add(b: Any, x: Any, y: Any) -> Any:
    """The sum of the two products in each lane: ``[2 * LANES] x [2 * LANES] -> [LANES]``."""
    if _HAS_AVX2:
        # By its name, and not left to LLVM to recognise in the pattern below.
        return _called(b, "llvm.x86.avx2.pmadd.wd", _SUMS, x, y)
    undefined, sums = ir.Constant(_PAIRS, ir.Undefined), []
    for first in (0, 1):  # the even components, then the odd ones
        order = ir.Constant(_ORDER, list(range(first, 2 * LANES, 2)))
        halves = [b.sext(b.shuffle_vector(side, undefined, order), _SUMS) for side in (x, y)]
        sums.append(b.mul(*halves))
    return b.add(*sums)


def _products(b: Any, query: Any, rows: list[Any], pairs: Any, registers: int) -> list[list[Any]]:
    """Inner products of a tile's query tokens with each row: ``[rows][registers]`` of ``[LANES]``."""
    zero = ir.Constant(_SUMS, [0] * LANES)
    # Stack slots, which LLVM turns into registers: simpler to emit than the loop's phi nodes.
    sums = [[cgutils.alloca_once(b, _SUMS) for _ in range(registers)] for _ in rows]
    for row in sums:
        for place in row:
            b.store(zero, place)
    with cgutils.for_range(b, pairs, intp=_I64) as loop:
        components = [_both(b, b.gep(row, [b.mul(loop.index, _I64(2))])) for row in rows]
        begin = b.mul(loop.index, _I64(registers * 2 * LANES))
        for j in range(registers):
            # One load of query tokens serves all rows of this pass.
            tokens = b.load(_at(b, query, b.add(begin, _I64(j * 2 * LANES)), _PAIRS), align=2)
            for row, component in zip(sums, components, strict=True):
                b.store(b.add(b.load(row[j]), _multiply_add(b, tokens, component)), row[j])
    return [[b.load(place) for place in row] for row in sums]


def _in_turn(b: Any, rows: Any, pairs: Any, count: Any, together: int, some: Callable[[Any, list[Any]], None]) -> None:
    """Emit loops that call ``some`` for all rows at an address: ``together`` rows at once, then the rest one by one.

    ``some`` is given the number of the first row, and a pointer to each row.
    """
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
    """Make the tile of this many registers that keeps the maxima over rows.

    The number of registers is fixed when the code is emitted: the loops over them are unrolled.
    """

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
    """Make the tile of this many registers that keeps the maxima over rows and the row of each, the first of equals."""

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
    """Raise ``best`` to the largest inner product of each query token with ``count`` rows at an address.

    ``tiles`` has the layout of :func:`tiled`: whole tiles of 32 tokens, then a tile of as many registers as the rest of
    the tokens needs.
    """
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
    # In 64 bits: one product fits into 32, a sum of them may not. Lanes beyond the tokens are padding.
    total = np.int64(0)
    for token in range(tokens):
        total += best[token]
    return total


@compiled
def scan_16(tiles: Any, tokens: int, codes: Any, starts: Any, wanted: Any, scores: Any) -> None:
    """Compute MaxSim of a query with the wanted documents, from vectors stored in 16 bits.

    Args:
        tiles: query vectors in the layout of :func:`tiled`.
        tokens: how many of their rows are tokens; the others are padding.
        codes: int16 ``[tokens, dim]``.
        starts: int64 ``[documents + 1]``, the first row of each document.
        wanted: int64, the documents.
        scores: int64, filled: one for each wanted document; that of a document without rows is left as it is.
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
    """Write vectors times a factor, rounded and clipped to ``one``, into the first columns of int16 ``out``.

    Returns:
        Whether all components were finite numbers; others are written as 0.
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
    """Code fixed-point vectors in int8, each with the smallest step by which its largest component is at most 127."""
    for row in range(vectors.shape[0]):
        most = np.int64(0)
        for i in range(vectors.shape[1]):
            most = max(most, abs(np.int64(vectors[row, i])))
        step = max((most * 256 + 126) // 127, 1)  # rounded up, in units of 1/256
        steps[row] = step
        for i in range(vectors.shape[1]):
            codes[row, i] = np.int8(np.rint(vectors[row, i] * 256.0 / step))


def _decode_8(b: Any, codes: Any, steps: Any, out: Any, groups: Any, small: bool) -> None:
    """Emit ``(code * step + 128) >> 8`` for groups of 16 codes. A small step has at most 15 bits."""
    with cgutils.for_range(b, groups, intp=_I64) as loop:
        at = b.mul(loop.index, _I64(2 * LANES))
        given = b.load(_at(b, codes, at, _BYTES), align=1)
        if small and _HAS_AVX2:
            # vpmulhrsw computes (x * y + 2**14) >> 15. With x = code << 7 that is (code * step + 128) >> 8: one
            # instruction for sixteen components, in place of widening, multiplying, adding and narrowing.
            raised = b.shl(b.sext(given, _PAIRS), ir.Constant(_PAIRS, [7] * 2 * LANES))
            found = _called(b, "llvm.x86.avx2.pmul.hr.sw", _PAIRS, raised, b.trunc(steps, _PAIRS))
        else:
            half, bits = (ir.Constant(_WIDE, [number] * 2 * LANES) for number in (128, 8))
            found = b.trunc(b.ashr(b.add(b.mul(b.sext(given, _WIDE), steps), half), bits), _PAIRS)
        b.store(found, _at(b, out, at, _PAIRS), align=2)


def _make_decoder() -> Any:
    """Make the function that decodes groups of 16 codes with their row's step, from one address to another."""

    @intrinsic
    def decode_of(typingctx: Any, codes: Any, step: Any, out: Any, groups: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            codes, step, out, groups = args
            codes, out = b.inttoptr(codes, _I8.as_pointer()), b.inttoptr(out, _I16.as_pointer())
            undefined, first = ir.Constant(_WIDE, ir.Undefined), ir.Constant(_WIDE, [0] * 2 * LANES)
            steps = b.shuffle_vector(b.insert_element(undefined, b.trunc(step, _I32), _I32(0)), undefined, first)
            # Only the step of a vector with nearly all of its length in one component has more than 15 bits.
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
    """Decode the rows ``begin`` to ``end`` into ``out``: each code times its row's step, in fixed point."""
    dim = codes.shape[1]
    whole = dim // (2 * LANES)
    for row in range(begin, end):
        step = np.int32(steps[row])
        _decode(codes.ctypes.data + row * dim, np.int64(step), out.ctypes.data + (row - begin) * dim * 2, whole)
        for i in range(whole * 2 * LANES, dim):
            # Rounded in the middle: 128 is half of 256, the unit of a step.
            out[row - begin, i] = (np.int32(codes[row, i]) * step + 128) >> 8


@compiled
def scan_8(tiles: Any, tokens: int, codes: Any, steps: Any, starts: Any, wanted: Any, scores: Any) -> None:
    """As :func:`scan_16`, from int8 codes with a step per row."""
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
    """Decode the rows ``begin`` to ``end`` into ``out``: a centroid plus the residuals of the codes.

    ``table`` holds the components of each byte's codes, side by side in one unsigned integer.
    """
    whole = out.view(table.dtype)  # one look-up and one store for all components of a byte
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
    """As :func:`scan_16`, from residual codes."""
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
    """Code each component's residual as the number of cuts below it; the first component in the lowest bits."""
    bits = 8 * codes.shape[1] // vectors.shape[1]
    per_byte = 8 // bits
    level = np.empty(vectors.shape[1], np.uint8)
    for row in range(len(vectors)):
        centroid = centroids[nearest[row]]
        level[:] = 0
        # Cuts outside, components inside: the inner loop has no branch, so LLVM can vectorise it.
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
    """Add each vector to the sum of its centroid, and count it there."""
    for row in range(len(vectors)):
        for i in range(vectors.shape[1]):
            sums[nearest[row], i] += vectors[row, i]
        counts[nearest[row]] += 1


@compiled
def products(tiles: Any, tokens: int, rows: Any, out: Any) -> None:
    """Write a query's inner products with every row to int32 ``[rows, tokens padded to whole registers]``."""
    size = rows.shape[1] * 2
    out[:] = _LEAST
    for row in range(rows.shape[0]):
        _maxima(tiles, tokens, rows.ctypes.data + row * size, 1, rows.shape[1] // 2, out[row])


@compiled
def _lay(vectors: Any, begin: int, count: int, tile: Any) -> None:
    """Copy ``count`` vectors, from ``begin`` on, into a tile ``[components / 2, tokens, 2]``."""
    for token in range(count):
        for pair in range(tile.shape[0]):
            tile[pair, token, 0] = vectors[begin + token, 2 * pair]
            tile[pair, token, 1] = vectors[begin + token, 2 * pair + 1]


@compiled
def nearest_rows(vectors: Any, rows: Any, found: Any) -> None:
    """Find the row with the largest inner product for each vector, the first of equals.

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
    """Return query vectors ``[tokens, dim]`` in the layout of tiles: ``[components / 2, tokens, 2]``, one by one.

    Tiles are padded with zeros to whole registers; ``dim`` must be even.

    >>> tiled(np.ones((1, 2), dtype=np.int16)).reshape(1, LANES, 2)[0, :2].tolist()
    [[1, 1], [0, 0]]
    """
    parts = []
    for begin in range(0, len(vectors), TILE):
        count = min(TILE, len(vectors) - begin)
        tile = np.zeros((vectors.shape[1] // 2, -(-count // LANES) * LANES, 2), dtype=np.int16)
        _lay(vectors, begin, count, tile)
        parts.append(tile.reshape(-1))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
