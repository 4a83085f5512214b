"""JSON lines and JSON arrays, streamed. An object with a field twice is refused, since any reader would lose one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tardif.checks import called
from tardif.data.formats.files import LONGEST, kind_of, text_blocks, text_lines
from tardif.errors import DataError

_SPACE = " \t\r\n"
# JSON's white space only: str.strip() would also skip characters that JSON refuses.
_SPACES = re.compile(f"[{_SPACE}]*")


def json_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Any]]:
    """Stream the values of a JSON lines file with their line numbers; blank lines are skipped.

    Args:
        path: the file.
        encoding: of the file; by default that of its byte order mark, else UTF-8.

    Raises:
        DataError: a line is not one JSON value, or an object has a field twice.
    """
    # A local name saves two look-ups for each of millions of lines.
    decode = _DECODER.decode
    for number, line in text_lines(path, any_end=True, encoding=encoding):
        try:
            value = decode(line)
        except (ValueError, RecursionError) as error:
            if not line.strip(_SPACE):
                continue
            raise DataError(f"malformed JSON ({_reason(error)}): each line must be one value.", path, number) from None
        yield number, value


def is_json_array(path: Path, encoding: str | None = None) -> bool:
    """Whether a file of JSON is one array; it is JSON lines otherwise, whatever its suffix."""
    return kind_of(path) == ".json" and _Text(text_blocks(path, encoding=encoding)).peek() == "["


def json_objects(path: Path, encoding: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream the objects of a JSON lines file, or of a file that is one array, numbered from 1.

    Raises:
        DataError: as for :func:`json_lines` and :func:`json_elements`, or a value is no object.
    """
    is_array = is_json_array(path, encoding)
    for number, value in (json_elements if is_array else json_lines)(path, encoding):
        if type(value) is not dict:
            rule = f"element {number} must be a JSON object, not {called(value)}"
            if not is_array:
                rule = f"each line must be one JSON object with named fields, not {called(value)}"
                rule += " (ColBERT's triples are read with their folder)"
            raise DataError(f"{rule}.", path, number)
        yield number, value


def json_elements(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Any]]:
    """Stream the values of a file that is one JSON array, numbered from 1.

    Raises:
        DataError: the file is not one array, or ends inside it.
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
            what = f"is {follows!r}" if follows else "the file ends"
            raise DataError(f"after element {number} must be ',' or ']', and {what}: is it cut short?", path, number)
        ends = follows == "]"
        if not ends:
            text.skip()
    text.skip()
    if text.peek():
        raise DataError("there is more after the array's closing ']'.", path, max(number, 1))


class _Text:
    """A position in a text that is read in blocks."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character after white space; empty at the end."""
        while True:
            self._at = _SPACES.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(0):
                return ""

    def skip(self) -> None:
        """Skip the character that :meth:`peek` returned."""
        self._at += 1

    def value(self) -> Any:
        """The JSON value at this position."""
        self.peek()
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            except ValueError as error:
                # The value may continue in the next block. The text doubles each time, so the cost stays linear.
                size = len(self._text) - self._at
                # A field that is named twice is wrong however the text goes on; a cut value may become right.
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
    """An object has a field twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The hook sees the pairs before a dict drops one of two equal names.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _FieldTwiceError("an object names a field twice")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_value(text: str) -> Any:
    """The value of a JSON text; raises ValueError if it is no JSON, or an object has a field twice.

    >>> json_value('["a", 1]')
    ['a', 1]
    """
    return _DECODER.decode(text)


def _reason(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
