"""One document file becomes its text: plain text, Markdown, HTML (trafilatura) and PDF (pypdf).

The two libraries are the extra ``documents`` and are imported when a file needs them. They meet whatever
the web and office programs write; what they cannot read is refused with a reason, and never a crash.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from tardif.checks import storable
from tardif.data.formats.files import bare_lines
from tardif.data.outlines import lines_outline
from tardif.data.regular import check_regular, open_regular
from tardif.errors import DataError
from tardif.types import Outline

KINDS = {
    ".txt": "text",
    ".md": "Markdown",
    ".markdown": "Markdown",
    ".html": "HTML",
    ".htm": "HTML",
    ".pdf": "PDF",
}
"""What is read as a document, by suffix."""

LARGEST = 256 * 2**20
"""Bytes of a document file: it is held in memory whole, several times over while it is read."""

_LIBRARIES = {"HTML": "trafilatura", "PDF": "pypdf"}
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)

# The parser compares each attribute of a tag with all others: 50,000 would take it minutes. Pages have a few.
_ATTRIBUTES = 200
_LONG_TAG = re.compile(f"<[A-Za-z][^<>]{{{2 * _ATTRIBUTES},}}")
# Between two pages of a PDF.
_PAGE_END = "\n\n"
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")


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


def kind_of(path: Path) -> str | None:
    """The kind of document a file is by its suffix, or None."""
    return KINDS.get(path.suffix.lower())


def require(kinds: Iterable[str]) -> None:
    """Check that what reading these kinds needs is installed, before any work.

    Raises:
        DataError: a library is missing, or cannot be imported; says how to install it.
    """
    for kind in sorted(set(kinds) & _LIBRARIES.keys()):
        _library(kind)


def extract(path: Path) -> Extracted | Refused:
    """Read one document file whose suffix is in :data:`KINDS`.

    Raises:
        DataError: the file is no regular one or cannot be opened, is not UTF-8 (says the line), or its kind's
            library is missing.
    """
    if check_regular(path).st_size > LARGEST:
        return Refused("too large", f"has more than {LARGEST >> 20} MiB: cut it, or make rows of it.")
    readers: dict[str, Callable[[Path], Extracted | Refused]] = {"HTML": _html, "PDF": _pdf}
    found = readers.get(KINDS[path.suffix.lower()], _plain)(path)
    if isinstance(found, Extracted) and not found.text:
        return Refused("empty", "holds nothing but white space.")
    return found


def _plain(path: Path) -> Extracted:
    return Extracted("\n".join(line for _, line in bare_lines(path)).strip())


def _html(path: Path) -> Extracted | Refused:
    """Title and main text; where no main text is found, all the text there is."""
    trafilatura = _library("HTML")
    page = _decode(path)
    if not page.strip():
        return Extracted("")
    if any(len(_QUOTED.sub("", tag).split()) > _ATTRIBUTES for tag in _LONG_TAG.findall(page)):
        return Refused("damaged", f"its HTML has a tag with more than {_ATTRIBUTES} attributes.")
    with _hushed("trafilatura", "htmldate"):
        # Broad on purpose: whatever a page on the web makes the parsers raise is the page's fault.
        try:
            main = trafilatura.bare_extraction(page, include_comments=False, with_metadata=True)
            whole = "" if main is not None and main.text else _all_text(page)
        except Exception as error:
            return Refused("damaged", f"its HTML cannot be read ({_first_line(error)}).")
    text, title = (main.text or "", main.title or "") if main is not None else ("", "")
    notes = []
    if not text.strip():
        text = whole
        if not text.strip():
            return Refused("without text", "its HTML holds no text.")
        notes.append("no main text found: the whole page's text was taken")
    text, title = _sound(text, notes).strip(), " ".join(_sound(title, notes).split())
    # The heading that gave the title opens the text again; said twice it would only weigh more.
    head, _, rest = text.partition("\n")
    if title and head.strip() == title and rest.strip():
        text = rest.strip()
    return Extracted(text, title, notes=tuple(notes), outline=lines_outline(text, _headings(main)))


def _headings(main: Any) -> list[tuple[int, str]]:
    """Level and words of the headings in a page's main text, in their order."""
    body, found = getattr(main, "body", None), []
    for heading in () if body is None else body.iter("head"):
        level = re.fullmatch(r"h([1-6])", str(heading.get("rend", "")))
        found.append((int(level[1]) if level else 1, " ".join("".join(heading.itertext()).split())))
    return found


def _all_text(page: str) -> str:
    """All the text of a page, or of a fragment of one (which the library takes for no HTML)."""
    html2txt = _library("HTML").html2txt
    return html2txt(page) or html2txt(f"<html><body>{page}</body></html>") or ""


def _decode(path: Path) -> str:
    """A page's characters: UTF-8, else what the page itself declares."""
    try:
        with open_regular(path) as file:
            raw = file.read()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", path) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        declared = _CHARSET.search(raw[:4096])
        if declared and declared[1].lower() not in (b"utf-8", b"utf8"):
            try:
                return raw.decode(declared[1].decode("ascii"))
            except (UnicodeDecodeError, LookupError):
                pass  # the declaration is wrong too: refused below
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError("is not UTF-8, nor what it declares to be: save it as UTF-8.", path, line) from None


def _pdf(path: Path) -> Extracted | Refused:
    """The text of each page, pages apart by an empty line."""
    try:
        with open_regular(path) as file:
            pages = _pages(file) if os.fstat(file.fileno()).st_size else []
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", path) from error
    if isinstance(pages, Refused):
        return pages
    if not pages:
        return Refused("empty", "holds no page.")
    notes: list[str] = []
    numbered = [(number, _sound(page, notes).strip()) for number, page in enumerate(pages, start=1)]
    numbered = [(number, page) for number, page in numbered if page]
    if not numbered:
        return Refused("without text", f"its {len(pages)} pages hold no text (a scan?): run OCR on it first.")
    starts = accumulate((len(page) + len(_PAGE_END) for _, page in numbered), initial=0)
    outline = Outline(pages=tuple(zip(starts, (number for number, _ in numbered), strict=False)))
    text = _PAGE_END.join(page for _, page in numbered)
    return Extracted(text, metadata={"pages": len(pages)}, notes=tuple(dict.fromkeys(notes)), outline=outline)


def _pages(file: BinaryIO) -> list[str] | Refused:
    pypdf = _library("PDF")
    with _hushed("pypdf"):
        # Broad on purpose: on a damaged file the library raises errors of every kind.
        try:
            reader = pypdf.PdfReader(file)
            # Many files are "encrypted" with no password, only to forbid printing.
            if reader.is_encrypted and not reader.decrypt(""):
                return Refused("encrypted", "needs a password: save it without one.")
            return [page.extract_text() for page in reader.pages]
        except pypdf.errors.DependencyError:
            return Refused("encrypted", "its encryption needs a library more: pip install cryptography.")
        except Exception as error:
            return Refused("damaged", f"its PDF cannot be read ({_first_line(error)}).")


def _library(kind: str) -> Any:
    name = _LIBRARIES[kind]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        why = "is not installed" if getattr(error, "name", None) == name else f"does not load ({_first_line(error)})"
        raise DataError(f"Reading {kind} needs {name}, which {why}: pip install 'tardif[documents]'.") from error


def _sound(text: str, notes: list[str]) -> str:
    """The text without half characters, which no file can hold; fonts and entities without a mapping give some."""
    if storable(text):
        return text
    notes.append("characters that are no Unicode were replaced")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def _hushed(*names: str) -> Iterator[None]:
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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
