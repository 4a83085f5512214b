"""Documents from files: plain text, Markdown, reStructuredText, HTML, PDF and Word's .docx, alone or in a folder.

The libraries (trafilatura, pypdf, python-docx, docutils) are the extra ``documents`` and are imported when a file needs
them. A file that they cannot read is refused with a reason: it neither crashes the program nor stops the reading of
the folder.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from tardif.checks import storable
from tardif.data.document_report import DocumentReport
from tardif.data.extraction.encodings import decode
from tardif.data.extraction.extracted import LIBRARIES, Extracted, Refused, hushed, library, sound
from tardif.data.extraction.markdown import read_markdown
from tardif.data.extraction.outlines import lines_outline
from tardif.data.extraction.pruning import pruned, seen
from tardif.data.extraction.rst import read_rst
from tardif.data.extraction.word import read_word
from tardif.data.regular import check_regular, open_regular
from tardif.errors import DataError, first_line
from tardif.folders import is_aside, is_made_here
from tardif.types import Document, Outline

# The files that are read as documents, by suffix.
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
# Bytes of a document file: it is in memory as a whole, several times over while it is read.
LARGEST = 256 * 2**20

_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)

# The HTML parser compares each attribute of a tag with all others: 50,000 would take it minutes. Real tags have a few.
_ATTRIBUTES = 200
_LONG_TAG = re.compile(f"<[A-Za-z][^<>]{{{2 * _ATTRIBUTES},}}")
_PAGE_END = "\n\n"  # between two pages of a PDF
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")


def kind_of(path: Path) -> str | None:
    """The kind of document by the file's suffix, or None.

    >>> kind_of(Path("guide.MD"))
    'Markdown'
    """
    return KINDS.get(path.suffix.lower())


def require(kinds: Iterable[str]) -> None:
    """Check before any work that the libraries for some kinds of file are installed.

    Raises:
        MissingExtraError: a library is not installed; the message has the command to install it.
        DataError: a library cannot be imported.
    """
    for kind in sorted(set(kinds) & LIBRARIES.keys()):
        library(kind)


def extract(path: Path) -> Extracted | Refused:
    """Read one document file with a suffix of :data:`KINDS`.

    Raises:
        MissingExtraError: the library for it is not installed.
        DataError: the file is missing or not regular.
    """
    size = check_regular(path).st_size
    if not size:
        return Refused("empty", "holds nothing.")
    if size > LARGEST:
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


def _marked_up(
    file: io.BufferedReader, *, read: Callable[[str], Extracted], kind: str, rest: str
) -> Extracted | Refused:
    """Read a text with markup; ``rest`` names what a file without text may hold."""
    found = _plain(file)
    if isinstance(found, Refused) or not found.text:
        return found
    text = read(found.text)
    if not text.text:
        return Refused("without text", f"its {kind} holds no text, but {rest}.")
    return replace(text, notes=(*found.notes, *text.notes))


def _html(file: io.BufferedReader) -> Extracted | Refused:
    """Read title and main text of a page; all its text where no main text is found."""
    trafilatura = library("HTML")
    raw = file.read()
    # Browsers look for the declaration in the first kilobyte; some pages have a long comment before it.
    declared = _CHARSET.search(raw[:4096])
    decoded = decode(raw, declared[1].decode("ascii") if declared else "")
    if isinstance(decoded, Refused):
        return decoded
    page, note = decoded
    if not page.strip():
        return Extracted("")
    if any(len(_QUOTED.sub("", tag).split()) > _ATTRIBUTES for tag in _LONG_TAG.findall(page)):
        return Refused("damaged", f"its HTML has a tag with more than {_ATTRIBUTES} attributes.")
    # trafilatura parses dates with htmldate, which warns on its own.
    with hushed("trafilatura", "htmldate"):
        # Broad on purpose: a page can make the parsers raise anything.
        try:
            tree = trafilatura.load_html(page)
            given = page if tree is None else pruned(tree)  # a fragment is no tree
            main = trafilatura.bare_extraction(given, include_comments=False, with_metadata=True)
            whole = "" if main is not None and main.text else _all_text(page)
        except Exception as error:
            return Refused("damaged", f"its HTML cannot be read ({first_line(error)}).")
    text, title = (main.text or "", main.title or "") if main is not None else ("", "")
    notes = [note] if note else []
    if not text.strip() and whole.strip():
        text = whole
        notes.append("no main text found: the whole page's text was taken")
    if not text.strip():
        return Refused("without text", "its HTML holds no text.")
    text, title = sound(seen(text), notes).strip(), " ".join(sound(seen(title), notes).split())
    # The text begins with the heading that gave the title. Repeated, its words would only weigh more.
    head, _, rest = text.partition("\n")
    if title and head.strip() == title and rest.strip():
        text = rest.strip()
    return Extracted(text, title, notes=tuple(notes), outline=lines_outline(text, _headings(main)))


def _headings(main: Any) -> list[tuple[int, str]]:
    """Level and words of the headings in a page's main text, in order."""
    body, found = getattr(main, "body", None), []
    for heading in () if body is None else body.iter("head"):
        level = re.fullmatch(r"h([1-6])", str(heading.get("rend", "")))
        found.append((int(level[1]) if level else 1, " ".join(seen("".join(heading.itertext())).split())))
    return found


def _all_text(page: str) -> str:
    """All text of a page or of a fragment. The library rejects a fragment, so that is wrapped in a page."""
    trafilatura = library("HTML")
    for whole in (page, f"<html><body>{page}</body></html>"):
        tree = trafilatura.load_html(whole)
        if tree is not None and (found := trafilatura.html2txt(pruned(tree))):
            return str(found)
    return ""


def _pdf(file: io.BufferedReader) -> Extracted | Refused:
    """Read the text of each page; an empty line is between two pages."""
    pages = _pages(file)
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
        # Broad on purpose: on a damaged file the library raises errors of many classes.
        try:
            reader = pypdf.PdfReader(file)
            # Many files are encrypted with the empty password, only to forbid printing.
            if reader.is_encrypted and not reader.decrypt(""):
                return Refused("encrypted", "needs a password: save it without one.")
            return [page.extract_text() for page in reader.pages]
        except pypdf.errors.DependencyError:
            return Refused("encrypted", "its encryption needs another library: pip install cryptography.")
        except Exception as error:
            return Refused("damaged", f"its PDF cannot be read ({first_line(error)}).")


_READERS: dict[str, Callable[[io.BufferedReader], Extracted | Refused]] = {
    "text": _plain,
    "Markdown": partial(_marked_up, read=read_markdown, kind="Markdown", rest="comments, pictures or layout"),
    "reStructuredText": partial(_marked_up, read=read_rst, kind="reStructuredText", rest="comments or targets"),
    "HTML": _html,
    "PDF": _pdf,
    "Word": read_word,
}


def find_files(folder: Path, report: DocumentReport) -> list[str]:
    """List the paths of all regular files inside a folder, sorted: file systems have different orders.

    Skipped and counted in the report are hidden files and folders; links that lead out of the folder, nowhere, or to a
    folder (a folder inside is read in its own place); names that are not UTF-8, which cannot be ids; sets, models,
    indexes and exports of Tardif's, whose pages and texts are no documents of the user's; and folders inside that
    cannot be listed.

    Raises:
        DataError: the folder itself cannot be listed.
    """
    root, own = folder.resolve(), DocumentReport()
    found: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(root / inside) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not inside:
                raise DataError(f"cannot be listed ({error.strerror}).", folder) from error
            own.skip(inside, "folders that cannot be listed", f"{error.strerror}.")
            continue
        for entry in listed:
            if is_aside(entry.name):  # perhaps what this very call writes, under a name that no two calls share
                continue
            path = f"{inside}/{entry.name}" if inside else entry.name
            if not storable(path):  # Python represents other bytes as lone surrogates
                own.skip(ascii(path)[1:-1], "names that are not UTF-8", "rename it: its name is its id.")
                continue
            reason = _why_not(entry, root)
            if reason:
                own.skip(path, reason)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            else:
                found.append(path)
    for note in sorted(own.notes, key=lambda note: note.file):
        report.notes.append(note)
    return sorted(found)


def stream_files(folder: Path, paths: list[str], report: DocumentReport) -> Iterator[Document]:
    """Read the documents among some paths in a folder; the paths are their ids.

    Raises:
        DataError: a library that a kind needs is missing.
    """
    require(kind for path in paths if (kind := kind_of(Path(path))))
    for path in paths:
        if kind_of(Path(path)) is None:
            suffix = Path(path).suffix.lower()
            report.skip(path, f"{suffix} files" if suffix else "files without a suffix")
            continue
        try:
            found = extract(folder / path)
        except DataError as error:  # since the folder was listed, the file has gone or is no regular one any more
            found = Refused("cannot be read", str(error))
        if isinstance(found, Refused):
            report.skip(path, found.reason, found.detail)
        else:
            yield as_document(path, found, report)


def read_file(path: Path, report: DocumentReport) -> Document:
    """Read a document file that the user named; its name is its id.

    Raises:
        DataError: it cannot be read, holds no text, or its name is not UTF-8.
    """
    if not storable(path.name):
        raise DataError("has a name that is not UTF-8: rename it, its name is its id.", path)
    require([KINDS[path.suffix.lower()]])
    found = extract(path)
    if isinstance(found, Refused):
        raise DataError(f"{found.reason}: {found.detail}", path)
    return as_document(path.name, found, report)


def as_document(path: str, found: Extracted, report: DocumentReport) -> Document:
    """Make a document of a file's text, and count it in the report."""
    report.read[KINDS[Path(path).suffix.lower()]] += 1
    for note in found.notes:
        report.remark(path, note)
    return Document(path, found.text, found.title, {"path": path, **found.metadata}, outline=found.outline)


def _why_not(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry is skipped; empty if it is not."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        target = Path(os.path.realpath(entry.path))  # resolve() raises on links in a ring
        if not target.exists():
            return "links to nothing"
        if not target.is_relative_to(root):
            return "links out of the folder"
        if target.is_dir():
            return "links to a folder inside"
    elif entry.is_dir():
        return "folders that Tardif made" if is_made_here(Path(entry.path)) else ""
    return "" if entry.is_file() else "no regular files"
