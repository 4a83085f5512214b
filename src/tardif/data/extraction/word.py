"""The text of a Word file (.docx): paragraphs, headings marked as in Markdown, tables row by row.

python-docx opens the package and knows the styles. Its list of paragraphs lacks those in text boxes, content controls
and tracked insertions, so the tree is walked here. The unpacked size is bounded first: a package of a kilobyte can
unpack to gigabytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from tardif.data.extraction.extracted import Extracted, Refused, hushed, library, sound
from tardif.errors import first_line

# Bytes of all XML of a file, unpacked. A book of a thousand pages has a quarter of that.
LARGEST = 64 * 2**20

_PARTS = 10_000  # of a package: opening each costs time
_BLOCK = 2**20  # bytes unpacked at a time
_PARSED = (".xml", ".rels")

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TEXTS = (_W + "t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t")
# An older form of a picture or text box: it repeats the text of the newer one.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# Deleted and moved text, properties, and the instructions of fields.
_LEFT_OUT = frozenset({_FALLBACK, *(_W + name for name in ("del", "moveFrom", "pPr", "rPr", "sectPr", "instrText"))})
# Elements for single characters.
_CHARACTERS = {_W + "tab": "\t", _W + "br": "\n", _W + "cr": "\n", _W + "noBreakHyphen": "-", _W + "softHyphen": ""}
_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_NOTES = ("/footnotes", "/endnotes")


def read_word(file: io.BufferedReader) -> Extracted | Refused:
    """Read an opened .docx, without headers, footers and comments.

    Raises:
        MissingExtraError: python-docx is not installed.
    """
    docx = library("Word")
    head = file.read(8)
    if head == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":  # OLE: an encrypted file, or the old .doc
        return Refused("encrypted", "needs a password, or is an old .doc: save it as .docx without one.")
    file.seek(0)
    # Broad on purpose: on a damaged file zipfile, lxml and python-docx raise errors of many classes.
    try:
        package = _bounded(file)
        if isinstance(package, Refused):
            return package
        with hushed("docx"):
            return _read(docx.Document(package))
    except Exception as error:
        return Refused("damaged", f"its Word file cannot be read ({first_line(error)}).")


def _bounded(file: io.BufferedReader) -> io.BytesIO | Refused:
    """Copy the XML of a package, unpacked block by block: the sizes that a package declares may be false."""
    found, left = io.BytesIO(), LARGEST
    with zipfile.ZipFile(file) as package, zipfile.ZipFile(found, "w") as kept:
        parts = package.infolist()
        if len(parts) > _PARTS:
            return Refused("too large", f"its package has more than {_PARTS} parts.")
        for part in parts:
            # Bit 0 of a zip entry's flags: the entry is encrypted.
            if part.flag_bits & 1:
                return Refused("encrypted", "needs a password: save it without one.")
            content = bytearray()
            if part.filename.lower().endswith(_PARSED):
                with package.open(part) as packed:
                    while block := packed.read(_BLOCK):
                        content += block
                        left -= len(block)
                        if left < 0:
                            return Refused("too large", f"its text unpacks to more than {LARGEST >> 20} MiB.")
            if b"<!DOCTYPE" in content:  # it would declare entities, and their text would be missing
                return Refused("damaged", "its XML declares a document type, which Word's does not: save it again.")
            kept.writestr(part.filename, bytes(content))
    found.seek(0)
    return found


def _read(document: Any) -> Extracted:
    levels = _levels(document)
    notes: list[str] = []
    title = ""
    lines: list[str] = []
    for level, text in _blocks(document.element, levels):
        if level == 0 and not title and not lines:
            title = " ".join(text.split())
        else:
            lines.append(f"{'#' * max(level, 1)} {' '.join(text.split())}" if level >= 0 else text)
    parse = library("Word", "oxml.parser").parse_xml  # it resolves no entity and fetches nothing
    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.endswith(_NOTES):
            lines += [text for _, text in _blocks(parse(relation.target_part.blob), levels)]
    text = sound("\n\n".join(lines), notes).strip()
    if not text and title:
        text, title = title, ""
    return Extracted(text, sound(title, notes), notes=tuple(notes))


def _levels(document: Any) -> dict[str, int]:
    """The heading level of each style by its id, 0 for a title. Styles inherit from those they are based on."""
    own: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in document.styles.element.iter(_W + "style"):
        identity = style.get(_W + "styleId") or ""
        name = _value(style.find(_W + "name"))
        parents[identity] = _value(style.find(_W + "basedOn"))
        outline = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
        if name.lower() == "title":
            own[identity] = 0
        elif found := _HEADING.fullmatch(name):
            own[identity] = int(found[1])
        elif outline.isascii() and outline.isdecimal() and int(outline) < 9:  # 9 is body text
            own[identity] = int(outline) + 1
    return {style: level for style in parents if (level := _inherited(style, own, parents)) >= 0}


def _inherited(style: str, own: dict[str, int], parents: dict[str, str]) -> int:
    seen: set[str] = set()
    while style and style not in own and style not in seen:  # a damaged file may base two styles on each other
        seen.add(style)
        style = parents.get(style, "")
    return own.get(style, -1)


def _value(element: Any) -> str:
    return "" if element is None else element.get(_W + "val") or ""


def _blocks(root: Any, levels: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Paragraphs in order, each with its heading level (-1: no heading); a table is one block with a line per row."""
    found = (p for p in root.iter(_W + "p") if _LEFT_OUT.isdisjoint(above.tag for above in p.iterancestors()))
    for table, paragraphs in groupby(found, key=lambda paragraph: _outermost(paragraph, _W + "tbl")):
        if table is None:
            for paragraph in paragraphs:
                if text := "".join(_texts(paragraph)).strip():
                    yield levels.get(_value(paragraph.find(f"{_W}pPr/{_W}pStyle")), -1), text
        elif text := "\n".join(_rows(paragraphs)):
            yield -1, text


def _rows(paragraphs: Iterator[Any]) -> Iterator[str]:
    for _, row in groupby(paragraphs, key=lambda paragraph: _outermost(paragraph, _W + "tr")):
        cells = (
            " ".join(" ".join("".join(_texts(paragraph)).split()) for paragraph in cell).strip()
            for _, cell in groupby(row, key=lambda paragraph: _outermost(paragraph, _W + "tc"))
        )
        if line := " | ".join(cell for cell in cells if cell):
            yield line


def _outermost(paragraph: Any, tag: str) -> Any:
    return next(reversed([*paragraph.iterancestors(tag)]), None)


def _texts(element: Any) -> Iterator[str]:
    """The text of a paragraph without that of a text box inside it: the paragraphs of the box are read on their own."""
    for child in element:
        if child.tag in _TEXTS:
            yield child.text or ""
        elif child.tag in _CHARACTERS:
            yield _CHARACTERS[child.tag]
        elif child.tag != _W + "p" and child.tag not in _LEFT_OUT:
            yield from _texts(child)
