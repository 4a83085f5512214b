"""JSON lines and JSON arrays, streamed; an object that names a field twice is refused, as no reader keeps both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tardif.data.formats.files import LONGEST, text_blocks, text_lines
from tardif.errors import DataError

_SPACE = " \t\r\n"
_SPACES = re.compile(f"[{_SPACE}]*")


def json_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Any]]:
    """The values of a JSON lines file, in UTF-8 unless another encoding is named or marked; a blank line is none.

    Raises:
        DataError: a line is not one JSON value, or an object names a field twice.
    """
    decode = _DECODER.decode
    for number, line in text_lines(path, any_end=True, encoding=encoding):
        try:
            value = decode(line)
        except (ValueError, RecursionError) as error:
            if not line.strip(_SPACE):
                continue
            raise DataError(f"malformed JSON ({_reason(error)}): each line must be one value.", path, number) from None
        yield number, value


def json_objects(path: Path, encoding: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON lines file.

    Raises:
        DataError: as :func:`json_lines`, or a value is no object.
    """
    for number, value in json_lines(path, encoding):
        if type(value) is not dict:
            raise DataError(
                f"each line must be one JSON object with named fields, not {_called(value)} "
                "(ColBERT's triples are read with their folder).",
                path,
                number,
            )
        yield number, value


def json_array(path: Path, encoding: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file that is one JSON array, numbered from 1 as its elements.

    Raises:
        DataError: the file is not one array of objects, or ends within.
    """
    for number, value in json_elements(path, encoding):
        if type(value) is not dict:
            raise DataError(f"element {number} must be a JSON object, not {_called(value)}.", path, number)
        yield number, value


def json_elements(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Any]]:
    """The values of a file that is one JSON array, numbered from 1.

    Raises:
        DataError: the file is not one array, or ends within.
    """
    text = _Text(text_blocks(path, encoding=encoding))
    if text.peek() != "[":
        raise DataError("is no JSON array.", path, 1)
    text.skip()
    number, ends = 0, text.peek() == "]"
    while not ends:
        number += 1
        try:
            value = text.value()
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"malformed JSON in element {number} ({_reason(error)}): the file must be one array of objects.",
                path,
                number,
            ) from None
        yield number, value
        follows = text.peek()
        if follows not in (",", "]"):
            what = "the file ends" if not follows else f"{follows!r} stands"
            raise DataError(f"{what} after element {number} where ',' or ']' must: is it cut short?", path, number)
        ends = follows == "]"
        if not ends:
            text.skip()
    text.skip()
    if text.peek():
        raise DataError("there is more after the array's closing ']'.", path, max(number, 1))


def first_character(path: Path, encoding: str | None = None) -> str:
    """The first character of a file that is no white space; empty if there is none."""
    return _Text(text_blocks(path, encoding=encoding)).peek()


class _Text:
    """A place in a text that comes in blocks."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            self._at = _SPACES.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(0):
                return ""

    def skip(self) -> None:
        """Go past the character that :meth:`peek` gave."""
        self._at += 1

    def value(self) -> Any:
        """The JSON value that begins here."""
        self.peek()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except ValueError as error:
                # The value may go on in the next block: twice the text each time, so that the cost stays linear.
                size = len(self._text) - self._at
                if isinstance(error, _FieldTwiceError) or size > LONGEST or not self._more(size):
                    raise

    def _more(self, at_least: int) -> bool:
        parts, size = [self._text[self._at :]], 0
        while size <= at_least and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            size += len(block)
        self._text, self._at = "".join(parts), 0
        return size > 0


class _FieldTwiceError(ValueError):
    """An object names a field twice: JSON's readers would keep the last and lose the first."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _FieldTwiceError("an object names a field twice")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_value(text: str) -> Any:
    """The value of a JSON text; raises ValueError where it is none, or an object names a field twice."""
    return _DECODER.decode(text)


def _reason(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]


def _called(value: Any) -> str:
    names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
