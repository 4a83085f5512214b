"""TREC's markup: documents (``<DOC>``) and topics (``<top>``, or ``<topic>`` of XML), in files and folders.

It is no XML: tags are left open, and ``&`` and ``<`` stand for themselves. So elements are found by their own tags, in
time linear in the file, and all other tags are taken out of the texts.

A document's id is its ``DOCNO``. Its title is the first of ``TITLE``, ``HEADLINE``, ``HL``, ``HEAD``, ``TTL``, ``TI``
that it has outside its texts. Its text is its lead paragraphs (``LP``, ``LEADPARA``) and ``TEXT`` elements; without any
of these all but the title and the header of a web page (``DOCHDR``).
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tardif.data.document_report import DocumentReport
from tardif.data.extraction.extract import find_files
from tardif.data.formats.files import LONGEST, kind_of, raw_blocks, text_lines
from tardif.data.formats.table_rows import TABLES
from tardif.data.regular import is_folder, noting_opened
from tardif.errors import DataError
from tardif.types import Document

_TITLES = ("TITLE", "HEADLINE", "HL", "HEAD", "TTL", "TI")
_TEXTS, _LEADS = ("TEXT",), ("LP", "LEADPARA")
_NO_TEXT = ("DOCNO", "DOCID", "DOCOLDNO", "DOCHDR", "DOCTYPE", "URL")
# The fields of a topic, the first that has a text is the query.
TOPIC_FIELDS = ("title", "query", "text", "question", "desc", "description", "summary", "narr", "narrative")
_LABELS = re.compile(r"^\s*(?:Number|Topic|Description|Narrative)\s*:", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z!?][^<>]*>")
_FIELD = re.compile(r"<(\w+)(?:\s[^<>]*)?>")
_NUMBER = re.compile(r"\b(?:number|num|id|qid)\s*=\s*[\"']?\s*([^\"'\s>]+)", re.IGNORECASE)
_BLANKS, _LINES = re.compile(r"[ \t\r\f\v]+"), re.compile(r" ?\n[ \n]*")
_DOC_START, _TOPIC_START = (
    re.compile(rb"^[ \t]*<(?:%s)(?:\s[^<>]*)?>" % either, re.IGNORECASE | re.MULTILINE)
    for either in (b"DOC", b"top|topic")
)
_DOCNO = re.compile(rb"<DOCNO>", re.IGNORECASE)
# Files that are something else, whatever they hold.
_OTHERS = (*TABLES, ".md", ".markdown", ".rst", ".html", ".htm", ".pdf", ".docx", ".dtd", ".py")
_COMPRESS = re.compile(r"\.[012]?z", re.IGNORECASE)
_TRIED = 50  # files that are tried before a folder is taken for one of other texts
_MARKS = codecs.BOM_UTF8 + codecs.BOM_UTF16
_HEAD = 2**16  # bytes in which the first document or topic begins
_WAY_OUT = "name the encoding (--encoding latin-1; in Python encoding='latin-1')"

# The line on which an element begins, its opening tag, and what is inside.
Element = tuple[int, str, str]


def holds_documents(path: Path) -> bool:
    """Whether a file holds documents in TREC's markup. Pages, tables and the like hold none.

    Raises:
        DataError: the file cannot be read, or is damaged.
    """
    if kind_of(path) in _OTHERS:
        return False
    head = _head(path)
    return bool(_DOC_START.search(head) and _DOCNO.search(head))


def holds_topics(path: Path) -> bool:
    """Whether a file holds topics in TREC's markup.

    Raises:
        DataError: the file cannot be read, or is damaged.
    """
    return bool(_TOPIC_START.search(_head(path)))


def document_files(folder: Path, report: DocumentReport | None = None) -> list[Path]:
    """The files with TREC's documents in a folder and the folders inside; empty for a folder of other texts.

    Links out of the folder are not followed.

    Args:
        folder: of which TREC's documents must be at least half of the bytes that could be some.
        report: receives what is passed over, if the folder is TREC's.

    Raises:
        DataError: a file is packed in a way that is not read.
    """
    own = DocumentReport()
    found: list[Path] = []
    damaged: list[Path] = []
    sizes = {True: 0, False: 0}
    listed = find_files(folder, own)
    for tried, inside in enumerate(listed):
        path = folder / inside
        try:
            is_trec = holds_documents(path)
        except DataError:
            damaged.append(path)
            continue
        if is_trec:
            found.append(path)
        else:
            own.skip(inside, "files without TREC documents")
        if kind_of(path) not in _OTHERS:
            sizes[is_trec] += path.stat().st_size
        if tried > _TRIED and not found:
            return []
    if not found or sizes[True] < sizes[False]:
        return []
    # A damaged file among documents may hold some: its reader says what is wrong with it.
    found = sorted([*found, *damaged])
    if packed := next((inside for inside in listed if _COMPRESS.fullmatch(Path(inside).suffix)), None):
        raise DataError(
            "is packed by compress, which is not read: unpack it (uncompress, or gzip -d).", folder / packed
        )
    if report is not None:
        for note in own.notes:
            report.notes.append(note)
    return found


def read_trec_documents(
    path: Path, encoding: str | None = None, report: DocumentReport | None = None
) -> Iterator[tuple[int, Document]]:
    """Stream the documents of a file with their lines, or of a folder's files, numbered through them.

    Raises:
        DataError: a document has no DOCNO or no end, two have one DOCNO, or a file is not in its encoding.
    """
    if not is_folder(path):
        yield from _documents(path, encoding, set())
        return
    seen: set[str] = set()
    number = 0
    for file in document_files(path, report):
        for _, document in _documents(file, encoding, seen):
            number += 1
            yield number, document


def read_topics(path: Path, encoding: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Stream the topics of a file with their lines: ``id``, the topic's fields, and ``text``, the first of these.

    Leading zeros of a number are left out, as in TREC's qrels.

    Raises:
        DataError: a topic has no number, no text or no end.
    """
    for line, opening, inside in _elements(path, ("top", "topic"), encoding):
        fields = _fields(inside)
        given = _NUMBER.search(opening)
        identity = fields.pop("num", "") or fields.pop("number", "") or (given[1] if given else "")
        named = next((fields[name] for name in TOPIC_FIELDS if fields.get(name)), "")
        text = named if _FIELD.search(inside) else _plain(inside)
        if not identity:
            raise DataError("the topic has no number: give it a <num>, or the attribute number.", path, line)
        if not text:
            raise DataError(f"the topic {identity!r:.60} has no text: give it a <title>.", path, line)
        yield line, {**fields, "id": identity.lstrip("0") or "0" if identity.isascii() else identity, "text": text}


def _documents(path: Path, encoding: str | None, seen: set[str]) -> Iterator[tuple[int, Document]]:
    for line, _, inside in _elements(path, ("DOC",), encoding):
        found, _ = _taken(inside, ("DOCNO",))
        identity = _plain(found[0]) if found else ""
        if not identity:
            raise DataError("the document has no DOCNO: its judgements name it by that.", path, line)
        if identity in seen:
            raise DataError(f"two documents have the DOCNO {identity!r:.200}: ids must be unique.", path, line)
        seen.add(identity)
        title, text = _title_and_text(inside)
        try:
            yield line, Document(identity, text, title)
        except DataError as error:  # a character that cannot be stored
            raise DataError(error.what, path, line) from None


def _title_and_text(inside: str) -> tuple[str, str]:
    texts, rest = _taken(inside, _TEXTS)
    leads, rest = _taken(rest, _LEADS)
    titles: list[str] = []
    for name in _TITLES:
        titles, without = _taken(rest, (name,))
        if titles:
            rest = without
            break
    if not texts and not leads:
        texts = [_taken(rest, _NO_TEXT)[1]]
    plain = (_plain(text) for text in (*leads, *texts))
    return (" ".join(_plain(titles[0]).split()) if titles else ""), "\n\n".join(filter(None, plain))


def _fields(inside: str) -> dict[str, str]:
    """The fields of a topic by name; the first of a name counts."""
    fields: dict[str, str] = {}
    parts = _FIELD.split(inside)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        fields.setdefault(name.lower(), " ".join(_plain(_LABELS.sub("", text)).split()))
    return fields


def _plain(text: str) -> str:
    """A text without tags and entities; lines stay, other white space becomes one space."""
    bare = html.unescape(_TAG.sub(" ", text))
    return _LINES.sub("\n", _BLANKS.sub(" ", bare)).strip()


def _taken(text: str, names: tuple[str, ...]) -> tuple[list[str], str]:
    """What is inside the elements of some names, and the text without them. One without an end goes to the end."""
    opening, closing = _tags(names)
    found, rest, place = [], [], 0
    while start := opening.search(text, place):
        end = closing.search(text, start.end())
        rest.append(text[place : start.start()])
        found.append(text[start.end() : end.start() if end else len(text)])
        place = end.end() if end else len(text)
    return found, "".join([*rest, text[place:]])


@cache
def _tags(names: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    either = "|".join(names)
    return re.compile(rf"<(?:{either})(?:\s[^<>]*)?>", re.IGNORECASE), re.compile(rf"</(?:{either})\s*>", re.IGNORECASE)


def _elements(path: Path, names: tuple[str, ...], encoding: str | None) -> Iterator[Element]:
    """The elements of some names, one after the other.

    Raises:
        DataError: there is none, one has no end, or is longer than a line may be.
    """
    opening, closing = _tags(names)
    begun, tag, parts, size, count = 0, "", [""], 0, 0
    for number, line in text_lines(path, encoding=encoding, way_out=_WAY_OUT):
        rest = line
        while rest:
            if not begun:
                if (start := opening.search(rest)) is None:
                    break
                begun, tag, parts, size, rest = number, start[0], [], 0, rest[start.end() :]
            elif opening.match(line.lstrip()) and rest is line:
                raise _unclosed(names[0], path, begun)
            end = closing.search(rest)
            parts.append(rest[: end.start()] if end else rest)
            size += len(parts[-1])
            if size > LONGEST:
                raise DataError(
                    f"is longer than {LONGEST >> 20} MiB: does each <{names[0]}> have its end?", path, begun
                )
            if end is None:
                break
            yield begun, tag, "".join(parts)
            begun, count, rest = 0, count + 1, rest[end.end() :]
    if begun:
        raise _unclosed(names[0], path, begun)
    if not count:
        raise DataError(f"holds no <{names[0]}>: give a file in TREC's markup.", path)


def _unclosed(name: str, path: Path, line: int) -> DataError:
    return DataError(f"<{name}> has no </{name}>: the file is damaged or cut short, copy it again.", path, line)


def _head(path: Path) -> bytes:
    """The first bytes of a file; of UTF-16, those of its ASCII characters."""
    with noting_opened(None):  # a folder is searched for such documents, whatever its files are
        head = next(raw_blocks(path), b"")
    return head[:_HEAD].replace(b"\0", b"").lstrip(_MARKS)
