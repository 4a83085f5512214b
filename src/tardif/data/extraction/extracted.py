"""The text of a document file, or the reason why there is none; and calls of the libraries that read such files."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tardif.checks import storable
from tardif.errors import DataError, first_line
from tardif.types import Outline

# The library for each kind of file: Excel's comes with the extra ``excel``, the others with ``documents``.
LIBRARIES = {
    "HTML": "trafilatura",
    "PDF": "pypdf",
    "Word": "docx",
    "reStructuredText": "docutils",
    "Excel": "python_calamine",
}


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file.

    Attributes:
        text: the text, empty if the file has none.
        title: the file's own title.
        metadata: facts about the file, such as its number of pages.
        notes: for the report: how the file was read.
        outline: where pages or sections begin in the text.
    """

    text: str
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outline: Outline | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that gives no document.

    Attributes:
        reason: the reason in a few words, by which files are counted.
        detail: a sentence with the way out.
    """

    reason: str
    detail: str


def library(kind: str, module: str = "") -> Any:
    """Import the library that reads a kind of document, or a module of it.

    Raises:
        DataError: the library is not installed or cannot be imported; the message has the command to install it.
    """
    name = LIBRARIES[kind]
    try:
        return importlib.import_module(f"{name}.{module}" if module else name)
    except ImportError as error:
        why = "is not installed" if getattr(error, "name", None) == name else f"does not load ({first_line(error)})"
        extra = "excel" if kind == "Excel" else "documents"
        raise DataError(f"Reading {kind} needs {name}, which {why}: pip install 'tardif[{extra}]'.") from error


def sound(text: str, notes: list[str]) -> str:
    """Replace lone surrogates, which no file can store. Fonts and entities without a mapping produce some."""
    if storable(text):
        return text
    notes.append("characters that are no Unicode were replaced")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def hushed(*names: str) -> Iterator[None]:
    """Keep the warnings of libraries off stderr: results and exceptions tell all that matters."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
