"""One document file becomes its text: plain text, Markdown, reStructuredText, HTML, PDF and Word's .docx.

The libraries (trafilatura, pypdf, python-docx, docutils) are the extra ``documents`` and are imported when a file needs
them. They meet whatever the web and office programs write; what they cannot read is refused with a reason, and never
a crash.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from tardif.data.encodings import decode
from tardif.data.extracted import LIBRARIES, Extracted, Refused, hushed, library, sound
from tardif.data.markdown_files import read_markdown
from tardif.data.outlines import lines_outline
from tardif.data.pruning import pruned, seen
from tardif.data.regular import check_regular, open_regular
from tardif.data.rst_files import read_rst
from tardif.data.word_files import read_word
from tardif.errors import first_line
from tardif.types import Outline

KINDS = {
    ".txt": "text",
    ".md": "Markdown",
    ".markdown": "Markdown",
    ".rst": "reStructuredText",
    ".html": "HTML",
    ".htm": "HTML",
    ".pdf": "PDF",
    ".docx": "Word",
}
"""What is read as a document, by suffix."""

LARGEST = 256 * 2**20
"""Bytes of a document file: it is held in memory whole, several times over while it is read."""

_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)

# The parser compares each attribute of a tag with all others: 50,000 would take it minutes. Pages have a few.
_ATTRIBUTES = 200
_LONG_TAG = re.compile(f"<[A-Za-z][^<>]{{{2 * _ATTRIBUTES},}}")
# Between two pages of a PDF.
_PAGE_END = "\n\n"
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")


def kind_of(path: Path) -> str | None:
    """The kind of document a file is by its suffix, or None."""
    return KINDS.get(path.suffix.lower())


def require(kinds: Iterable[str]) -> None:
    """Check that what reading these kinds needs is installed, before any work.

    Raises:
        DataError: a library is missing, or cannot be imported; says how to install it.
    """
    for kind in sorted(set(kinds) & LIBRARIES.keys()):
        library(kind)


def extract(path: Path) -> Extracted | Refused:
    """Read one document file whose suffix is in :data:`KINDS`.

    Raises:
        DataError: the file is missing or no regular one, or its kind's library is missing.
    """
    if check_regular(path).st_size > LARGEST:
        return Refused("too large", f"has more than {LARGEST >> 20} MiB: cut it, or make rows of it.")
    try:
        with open_regular(path) as file:
            found = _READERS[KINDS[path.suffix.lower()]](file)
    except OSError as error:
        return Refused("cannot be opened", f"cannot be read ({error.strerror or error}).")
    if isinstance(found, Extracted) and not found.text:
        return Refused("empty", "holds nothing but white space.")
    return found


def _plain(file: io.BufferedReader) -> Extracted | Refused:
    found = decode(file.read())
    if isinstance(found, Refused):
        return found
    text, note = found
    return Extracted(text.replace("\r\n", "\n").strip(), notes=(note,) if note else ())


def _markdown(file: io.BufferedReader) -> Extracted | Refused:
    found = _plain(file)
    if isinstance(found, Refused) or not found.text:
        return found
    read = read_markdown(found.text)
    if not read.text:
        return Refused("without text", "its Markdown holds no text, but comments, pictures or layout.")
    return Extracted(read.text, read.title, notes=(*found.notes, *read.notes))


def _rst(file: io.BufferedReader) -> Extracted | Refused:
    found = _plain(file)
    if isinstance(found, Refused) or not found.text:
        return found
    read = read_rst(found.text)
    if not read.text:
        return Refused("without text", "its reStructuredText holds no text, but comments or targets.")
    return Extracted(read.text, read.title, notes=(*found.notes, *read.notes))


def _html(file: io.BufferedReader) -> Extracted | Refused:
    """Title and main text; where no main text is found, all the text there is."""
    trafilatura = library("HTML")
    raw = file.read()
    declared = _CHARSET.search(raw[:4096])
    decoded = decode(raw, declared[1].decode("ascii") if declared else "")
    if isinstance(decoded, Refused):
        return decoded
    page, note = decoded
    if not page.strip():
        return Extracted("")
    if any(len(_QUOTED.sub("", tag).split()) > _ATTRIBUTES for tag in _LONG_TAG.findall(page)):
        return Refused("damaged", f"its HTML has a tag with more than {_ATTRIBUTES} attributes.")
    with hushed("trafilatura", "htmldate"):
        # Broad on purpose: whatever a page on the web makes the parsers raise is the page's fault.
        try:
            tree = trafilatura.load_html(page)
            given = page if tree is None else pruned(tree)  # a fragment is no tree
            main = trafilatura.bare_extraction(given, include_comments=False, with_metadata=True)
            whole = "" if main is not None and main.text else _all_text(page)
        except Exception as error:
            return Refused("damaged", f"its HTML cannot be read ({first_line(error)}).")
    text, title = (main.text or "", main.title or "") if main is not None else ("", "")
    notes = [note] if note else []
    if not text.strip():
        text = whole
        if not text.strip():
            return Refused("without text", "its HTML holds no text.")
        notes.append("no main text found: the whole page's text was taken")
    text, title = sound(seen(text), notes).strip(), " ".join(sound(seen(title), notes).split())
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
        found.append((int(level[1]) if level else 1, " ".join(seen("".join(heading.itertext())).split())))
    return found


def _all_text(page: str) -> str:
    """All the text of a page, or of a fragment of one (which the library takes for no HTML)."""
    trafilatura = library("HTML")
    for whole in (page, f"<html><body>{page}</body></html>"):
        tree = trafilatura.load_html(whole)
        if tree is not None and (found := trafilatura.html2txt(pruned(tree))):
            return str(found)
    return ""


def _pdf(file: io.BufferedReader) -> Extracted | Refused:
    """The text of each page, pages apart by an empty line."""
    pages = _pages(file) if os.fstat(file.fileno()).st_size else []
    if isinstance(pages, Refused):
        return pages
    if not pages:
        return Refused("empty", "holds no page.")
    notes: list[str] = []
    numbered = [(number, sound(page, notes).strip()) for number, page in enumerate(pages, start=1)]
    numbered = [(number, page) for number, page in numbered if page]
    if not numbered:
        return Refused("without text", f"its {len(pages)} pages hold no text (a scan?): run OCR on it first.")
    starts = accumulate((len(page) + len(_PAGE_END) for _, page in numbered), initial=0)
    outline = Outline(pages=tuple(zip(starts, (number for number, _ in numbered), strict=False)))
    text = _PAGE_END.join(page for _, page in numbered)
    return Extracted(text, metadata={"pages": len(pages)}, notes=tuple(dict.fromkeys(notes)), outline=outline)


def _pages(file: BinaryIO) -> list[str] | Refused:
    pypdf = library("PDF")
    with hushed("pypdf"):
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
            return Refused("damaged", f"its PDF cannot be read ({first_line(error)}).")


def _word(file: io.BufferedReader) -> Extracted | Refused:
    return read_word(file) if os.fstat(file.fileno()).st_size else Extracted("")


_READERS: dict[str, Callable[[io.BufferedReader], Extracted | Refused]] = {
    "text": _plain,
    "Markdown": _markdown,
    "reStructuredText": _rst,
    "HTML": _html,
    "PDF": _pdf,
    "Word": _word,
}
