"""An ONNX file, judged before a runtime opens it: its tensors lie in it, not in files that it names.

Read from the wire format of protobuf, so that a search need not import the ``onnx`` package. Field numbers
are those of onnx.proto, which never change.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

# The messages that can hold tensors, by the fields through which they are reached; "tensor" is what is looked for.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL, _LOCATION = 13, 14
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
    """The fields of a message: numbers as numbers, what has a length by its begin and end, the rest as None."""
    while place < end:
        key, place = _number(data, place, end)
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
            raise ValueError("it is no ONNX file")
        if size > end - place:
            raise ValueError("it is cut off")
        yield number, (place, place + size) if wire == 2 else None
        place += size


def _number(data: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    found = 0
    for shift in range(0, 70, 7):
        if place >= end:
            raise ValueError("it is cut off")
        byte = data[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, place
    raise ValueError("it is no ONNX file")
