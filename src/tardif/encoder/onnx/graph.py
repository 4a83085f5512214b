"""A check that an ONNX file keeps all its tensors itself, before a runtime opens it.

A graph may name other files for its tensors, and a runtime would read whatever files those are. The check reads
protobuf's wire format, so that a search does not import the ``onnx`` package. The field numbers are onnx.proto's, which
never change.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

# The messages that can contain tensors, and the fields that lead to them. "tensor" is the goal.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# A tensor's fields: a list of external data, and where its data are (0: in this file).
_EXTERNAL, _LOCATION = 13, 14
# Subgraphs of loops and branches nest a few deep; a crafted file could nest until Python's stack ends.
_DEEPEST = 64


def check_graph(path: Path) -> None:
    """Raise a ValueError if an ONNX file is damaged, or keeps a tensor in another file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check(data, (0, len(data)), "model", 0)


def _check(data: mmap.mmap, message: tuple[int, int], kind: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for number, value in _fields(data, *message):
        if kind == "tensor":
            if number == _EXTERNAL or (number == _LOCATION and value):
                raise ValueError("it keeps weights in another file")
        elif number in _FIELDS[kind] and isinstance(value, tuple):
            _check(data, value, _FIELDS[kind][number], depth + 1)


def _fields(data: mmap.mmap, place: int, end: int) -> Iterator[tuple[int, int | tuple[int, int] | None]]:
    """Yield the fields of a message: integers as values, fields with a length as (begin, end), others as None."""
    while place < end:
        key, place = _number(data, place, end)
        # Protobuf: the low three bits of a key are the wire type, the rest is the field's number.
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _number(data, place, end)
            yield number, value
            continue
        if wire == 2:
            size, place = _number(data, place, end)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("it is not an ONNX file")
        if size > end - place:
            raise ValueError("it is cut off")
        yield number, (place, place + size) if wire == 2 else None
        place += size


def _number(data: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    """Read a varint, and return it with the place after it."""
    found = 0
    # 64 bits come in at most ten groups of seven.
    for shift in range(0, 70, 7):
        if place >= end:
            raise ValueError("it is cut off")
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, place
    raise ValueError("it is not an ONNX file")
