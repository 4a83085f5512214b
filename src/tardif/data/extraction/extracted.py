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
from tardif.extras import EXTRAS, need
from tardif.libraries import set_levels
from tardif.types import Outline

# The extra and the package that read each kind of file.
LIBRARIES = {
    "HTML": ("documents", "trafilatura"),
    "PDF": ("documents", "pypdf"),
    "Word": ("documents", "python-docx"),
    "reStructuredText": ("documents", "docutils"),
    "Excel": ("excel", "python-calamine"),
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
        MissingExtraError: the library is not installed; the message has the command to install it.
        DataError: it cannot be imported.
    """
    extra, package = LIBRARIES[kind]
    need(extra, f"Reading {kind}", [package])
    name = EXTRAS[extra][package]
    try:
        return importlib.import_module(f"{name}.{module}" if module else name)
    except ImportError as error:
        raise DataError(
            f"Reading {kind} needs {package}, which does not load ({first_line(error)}): remove it and install it "
            f"again, pip install 'tardif[{extra}]'."
        ) from error


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
    set_levels(loggers, [logging.CRITICAL + 1] * len(loggers))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_levels(loggers, before)
