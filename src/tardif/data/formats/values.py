"""The value of one cell: a text, a list of texts, a label, a score or an id; anything else is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from tardif.checks import called, exact, id_fault, is_missing, is_number, plain_text, text_fault, whole
from tardif.data.formats.column_names import label_word
from tardif.data.formats.json_files import json_value
from tardif.errors import DataError


class Cell:
    """A value and its place; a missing value (:func:`tardif.checks.is_missing`) is None, a Decimal an int or a float.

    >>> Cell(17.0, "id", "rows.csv", 3).identity()
    '17'
    """

    # No dataclass: millions of cells are made, and a frozen dataclass costs four times as much.
    __slots__ = ("column", "line", "path", "value")

    def __init__(self, value: Any, column: str, path: str | Path, line: int) -> None:
        self.value: Any = None if is_missing(value) else exact(value)
        self.column, self.path, self.line = column, path, line

    def refuse(self, what: str) -> DataError:
        """An error that points at this cell."""
        return DataError(f"column {self.column} {what}", self.path, self.line)

    def text(self) -> str:
        """The value as a text, which may be empty.

        Raises:
            DataError: it is missing, no text, or cannot be stored as UTF-8.
        """
        if self.value is None:
            raise self.refuse("must be text, and is missing: give one, or take the row out.")
        if fault := text_fault(self.value):
            raise self.refuse(f"{fault}.")
        return plain_text(self.value)

    def words(self) -> str:
        """The value as the text of a document or of a listed query: a missing one is empty, a number is written out.

        So a table means the same in every format: in CSV nothing is missing, and everything is text.

        Raises:
            DataError: it is neither text nor number, or cannot be stored as UTF-8.
        """
        value = self.value
        if value is None:
            return ""
        if isinstance(value, str) or not is_number(value):
            return self.text()
        try:
            return str(whole(value))
        except ValueError:  # Python refuses to write out thousands of digits
            raise self.refuse("must be text, and is a number too long to be one.") from None

    @property
    def is_number(self) -> bool:
        """Whether the value is a number that can be an id: a whole one, also as a frame with gaps holds it (17.0)."""
        value = whole(self.value)
        return not isinstance(value, bool) and isinstance(value, Integral)

    def items(self) -> list[Cell]:
        """The cells of a list; this cell if the value is no list."""
        values = as_list(self.value)
        return [self] if values is None else [Cell(value, self.column, self.path, self.line) for value in values]

    def parsed(self) -> Cell:
        """The cell with its JSON list parsed; this cell if its text is no list.

        Raises:
            DataError: the text has brackets around it and is no JSON.
        """
        text = self.value.strip() if isinstance(self.value, str) else ""
        if not (text.startswith("[") and text.endswith("]")):
            return self
        try:
            value = json_value(text)
        except (ValueError, RecursionError):
            raise self.refuse('looks like a list and is not JSON: write ["one", "two"].') from None
        return Cell(value, self.column, self.path, self.line)

    def label(self) -> str | float:
        """The value as a label, as it is in the source.

        Raises:
            DataError: it is missing, not finite, or neither text nor number.
        """
        value = self.value
        # By name, so that NumPy is not imported for rows of plain Python values.
        if type(value).__name__ in ("bool", "bool_"):  # NumPy's is no number
            return bool(value)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise self.refuse(f"is {'missing' if value is None else 'empty'}: give a label, or take the row out.")
        if not isinstance(value, str):
            return self._number("label")
        if value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
            raise self.refuse(f"is {value!r}: a label must be finite.")
        return self.text()

    def score(self) -> float:
        """The value as a teacher's score.

        Raises:
            DataError: it is missing, no number, or not finite.
        """
        value = self.value
        if value is None:
            raise self.refuse("is missing: give a score, or take the row out.")
        if isinstance(value, str):
            try:
                # float() also takes underscores and the digits of other scripts, which no program writes as a score.
                value = float(value if value.isascii() and "_" not in value else "")
            except ValueError:
                raise self.refuse(f"must be a number, and is {self.value[:40]!r}.") from None
        elif isinstance(value, bool):
            raise self.refuse("must be a number, and is true or false.")
        return float(Cell(value, self.column, self.path, self.line)._number("score"))

    def identity(self) -> str | None:
        """The value as an id, or None if it is missing.

        Raises:
            DataError: it is empty, or neither text nor a whole number.
        """
        if self.value is None:
            return None
        value = whole(self.value)
        if fault := id_fault(value):
            raise self.refuse(f"{fault}: give an id, or leave the column out.")
        return plain_text(value)

    def clicks(self) -> float:
        """The value as a number of clicks: a whole number, true or false, or a word such as ``click`` or ``no``.

        Raises:
            DataError: it is missing or no number of clicks.
        """
        value = self.value
        if type(value).__name__ in ("bool", "bool_"):  # NumPy's too
            return float(bool(value))
        if isinstance(value, str) and (said := label_word(value)) is not None:
            return float(said)
        return self.count()

    def count(self) -> float:
        """The value as a count: a whole number, 0 or more.

        Raises:
            DataError: it is missing or no count.
        """
        found = self.score()
        if found < 0 or not found.is_integer():
            raise self.refuse(f"must be a whole number, 0 or more, and is {found:g}.")
        return found

    def group(self) -> str:
        """The value as a text to group by.

        Raises:
            DataError: it is missing, a list or an object.
        """
        if isinstance(self.value, str) and self.value:
            return self.text()
        if isinstance(self.value, str | None) or not isinstance(self.value, Real):
            what = "empty" if self.value == "" else called(self.value)
            raise self.refuse(f"is to group by, so it must be text or a number, and is {what}.")
        try:
            return str(self.value)
        except ValueError:  # Python refuses to write out thousands of digits
            raise self.refuse("is a number too long to group by.") from None

    def _number(self, what: str) -> float:
        value = self.value
        if not isinstance(value, int | float | Real):
            raise self.refuse(f"must be a {what}: text or a number, and is {called(value)}.")
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise self.refuse(f"holds a number that is not finite: a {what} must be.")
        if isinstance(value, int | float):
            return value
        return int(value) if isinstance(value, Integral) else float(value)


def as_list(value: Any) -> Sequence[Any] | None:
    """The items of a list, tuple, array or series; None for any other value.

    >>> as_list(("a", "b")), as_list("ab")
    (('a', 'b'), None)
    """
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str | bytes | dict) or value is None:
        return None
    # NumPy and pandas, polars, Arrow: each names the same method differently.
    for name in ("tolist", "to_list", "to_pylist"):
        if callable(convert := getattr(value, name, None)):
            found = convert()
            return found if isinstance(found, list) else None
    return None
