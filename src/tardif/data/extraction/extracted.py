"""What a document file gives, or why it gives nothing; and how the libraries that read it are called."""

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

LIBRARIES = {
    "HTML": "trafilatura",
    "PDF": "pypdf",
    "Word": "docx",
    "reStructuredText": "docutils",
    "Excel": "python_calamine",
}
"""What reads a kind of file: Excel's comes with the extra ``excel``, the others with ``documents``."""

_EXTRAS = {"Excel": "excel"}


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a file says. ``notes`` are what a reader of the report should know of how it was read, ``outline`` where its
    pages or sections begin in the text."""

    text: str
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outline: Outline | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that gives no document: a ``reason`` to count by, and the ``detail`` with the way out."""

    reason: str
    detail: str


def library(kind: str, module: str = "") -> Any:
    """The library that reads a kind of document, or a module of it.

    Raises:
        DataError: it is not installed, or cannot be imported; says how to install it.
    """
    name = LIBRARIES[kind]
    try:
        return importlib.import_module(f"{name}.{module}" if module else name)
    except ImportError as error:
        why = "is not installed" if getattr(error, "name", None) == name else f"does not load ({first_line(error)})"
        extra = _EXTRAS.get(kind, "documents")
        raise DataError(f"Reading {kind} needs {name}, which {why}: pip install 'tardif[{extra}]'.") from error


def sound(text: str, notes: list[str]) -> str:
    """The text without half characters, which no file can hold; fonts and entities without a mapping give some."""
    if storable(text):
        return text
    notes.append("characters that are no Unicode were replaced")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def hushed(*names: str) -> Iterator[None]:
    """Keep libraries' own remarks off stderr: what matters of them is in what they give, or raise."""
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
