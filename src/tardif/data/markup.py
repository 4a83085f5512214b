"""HTML and other remains of export programs in the cells of a table: counted, shown, and removed on request.

Only certain cases count: HTML's tags and entities, Excel's ``_x000D_``, a line end written as ``\\n``, invisible
characters. ``List<String>``, ``a && b`` and anything in backticks is text. Training and index use the same cleaning, so
that the texts to search are like those of the training.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.entities import name2codepoint
from pathlib import Path

from tardif.errors import DataError
from tardif.text.normal import text_id
from tardif.types import Document


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Tags between blocks: each becomes a line end.
_BLOCKS = _words(
    "p br hr div ul ol li table thead tbody tfoot tr h1 h2 h3 h4 h5 h6 blockquote pre section article header footer "
    "dl dt dd figure figcaption form html head body"
)
# Tags that count without attributes and without an end tag.
_ALONE = _words("br hr p li img tr td th wbr")
# Tags inside a line: they leave nothing behind.
_INLINE = _words(
    "a abbr b big cite code del em font i img ins kbd mark q s samp small span strike strong sub sup td th tt u var "
    "wbr center label iframe script style nav main o:p"
)
# The longest names first, which saves backtracking.
_NAMES = "|".join(sorted(_BLOCKS | _INLINE, key=lambda name: (-len(name), name)))
# Named entities of Latin letters, punctuation and symbols. Not ``&not;``: it is a word of code and logic.
_LETTERS = "|".join(
    sorted(
        name for name, code in name2codepoint.items() if (code <= 0xFF or 0x2000 <= code <= 0x2122) and name != "not"
    )
)

_CAPITAL, _SMALL = "(?-i:[A-ZÀ-ÖØ-Þ])", "(?-i:[a-zß-öø-ÿ])"

# gone: comments, scripts and styles, removed with their content. written: a line end as the two characters ``\n``,
# which counts only between sentences or words, as paths (``C:\new``) and code hold it too. unseen: invisible ones.
_PATTERN = re.compile(
    rf"""(?P<gone><!--|<(?:script|style)\b[^<>]*>|<!doctype\b[^<>]*>)
    |(?P<tag><(?P<end>/?)(?P<name>{_NAMES})(?P<rest>(?:\s[^<>]*|\s*/)?)>)
    |(?P<entity>&(?:amp;)*(?:\#\d{{2,7}}|\#x[0-9a-f]{{2,6}}|{_LETTERS}|apos);|&nbsp(?![\w;]))
    |(?P<escape>_x00[01][0-9a-f]_)
    |(?P<written>(?<!["'])(?:\\r\\n|\\n(?=\\n)|(?<=\\n)\\n|(?<=[.!?:;,)])\\n(?={_CAPITAL}|[\d\s•*-]|$)
        |(?<={_SMALL})\\n(?={_CAPITAL}))(?!["']))
    |(?P<unseen>[\u00ad\u200b\u2060\ufeff\ue000-\uf8ff])""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# Code in backticks is text. The bounds keep the search linear.
_CODE = re.compile(r"```.{0,99999}?```|``[^`].{0,9999}?``|`[^`\n]+`", re.DOTALL)
_NOT_ASCII = re.compile("[\u00ad\u200b\u2060\ufeff\ue000-\uf8ff]")
_PASSES = 5  # cleaning may uncover escaped HTML, up to this many times
_SHOWN = 40  # characters of an example

# Begin and end of markup, and its replacement: a line end for a tag between blocks.
_Span = tuple[int, int, str]


def markup_in(text: str) -> str:
    """The first markup in a text; empty if there is none.

    >>> markup_in("Tides<br>rise"), markup_in("List<String>")
    ('<br>', '')
    """
    if not _may_hold(text):
        return ""
    begin, end, _ = next(_spans(text), (0, 0, ""))
    return text[begin:end][:_SHOWN]


def without_markup(text: str) -> str:
    """The text without its markup; a text without any stays as it is.

    >>> without_markup("<p>Tides &amp; moon</p>")
    'Tides & moon'
    """
    for _ in range(_PASSES):
        if not _may_hold(text) or not (spans := list(_spans(text))):
            break
        text = _replaced(text, spans)
    return text


def treated(text: str, action: str, path: str | Path, place: int, note: Callable[[str], None]) -> str:
    """Note the markup in a text of a row, and remove it if the action is ``clean``.

    Args:
        text: the text.
        action: ``keep``, ``clean`` or ``refuse``.
        path: the file, for messages.
        place: the line or row, for messages.
        note: called with an example of the markup, if there is any.

    Raises:
        DataError: there is markup, and the action is ``refuse``.
    """
    found = markup_in(text)
    if not found:
        return text
    if action == "refuse":
        raise DataError(
            f"a text holds markup ({found!r}): correct it, or choose markup=clean or markup=keep (--on).", path, place
        )
    note(found)
    return without_markup(text) if action == "clean" else text


def clean_document(document: Document, clean: Callable[[str], str]) -> Document:
    """Apply ``clean`` to the title and text of a document. An id made from the old text is made from the new one."""
    title, text = clean(document.title), clean(document.text)
    if title == document.title and text == document.text:
        return document
    made = {text_id("d-", given) for given in (document.content, document.text)}
    identity = text_id("d-", f"{title} {text}".strip()) if document.id in made else document.id
    return replace(document, id=identity, title=title, text=text)


def _may_hold(text: str) -> bool:
    if "&" in text or "<" in text or "\\" in text or "_x00" in text:
        return True
    return not text.isascii() and _NOT_ASCII.search(text) is not None


def _spans(text: str) -> Iterator[_Span]:
    code = [found.span() for found in _CODE.finditer(text)] if "`" in text else []
    at, past = 0, 0  # past: the end of an element that is removed with its content
    ends = _Ends(text)
    for found in _PATTERN.finditer(text):
        begin, end = found.span()
        while at < len(code) and code[at][1] <= begin:
            at += 1
        if begin < past or (at < len(code) and code[at][0] <= begin):
            continue
        if found["gone"]:
            past = end = ends.after(found)
            if end:
                yield begin, end, ""
        elif found["tag"] is None:
            yield begin, end, _instead(found)
        elif _is_tag(found, text, ends):
            name = found["name"].lower()
            yield begin, end, "\n" if name in _BLOCKS else " " if name in ("td", "th", "wbr", "img") else ""


class _Ends:
    """The ends of comments and elements in a text, each searched for once, to keep the time linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._closed: dict[str, bool] = {}

    def closes(self, name: str) -> bool:
        """Whether the end tag of an element is anywhere in the text."""
        if name not in self._closed:
            self._closed[name] = f"</{name}" in self._text
        return self._closed[name]

    def after(self, found: re.Match[str]) -> int:
        """The end of a comment, script or style that begins here; 0 if it has none."""
        opening = found["gone"].lower()
        if opening.startswith("<!d"):
            return found.end()
        mark = "-->" if opening == "<!--" else "</script" if opening.startswith("<sc") else "</style"
        if self._closed.get(mark) is False:
            return 0
        at = self._text.find(mark, found.end())
        if at < 0 and mark != "-->":
            at = self._text.find(mark.upper(), found.end())
        end = self._text.find(">", at) + 1 if at >= 0 else 0
        if not end:
            self._closed[mark] = False
        return end


def _instead(found: re.Match[str]) -> str:
    """The replacement of markup that is no tag."""
    if found["entity"]:
        signs = found["entity"]
        while (once := html.unescape(signs)) != signs:
            signs = once
        return " " if signs == "\xa0" else signs
    if found["escape"]:
        return {"_x000d_": "\n", "_x000a_": "\n", "_x0009_": "\t"}.get(found["escape"].lower(), "")
    return "\n" if found["written"] else ""


def _is_tag(found: re.Match[str], text: str, ends: _Ends) -> bool:
    """Whether a match is a tag, and not the parameter of a type such as ``List<Label>`` or ``vector<b>``."""
    name = found["name"]
    if not (name.islower() or name.isupper()):
        return False
    if "=" in found["rest"] or found["end"]:
        return True
    after_word = found.start() > 0 and (text[found.start() - 1].isalnum() or text[found.start() - 1] == "_")
    if name.lower() in _ALONE and not (after_word and name == "P"):
        return True
    return ends.closes(name)


def _replaced(text: str, spans: list[_Span]) -> str:
    """Replace the markup of a text, and remove the white space around inserted line ends."""
    parts: list[str] = []
    begin = 0
    for start, end, instead in spans:
        parts += [text[begin:start], instead]
        begin = end
    parts.append(text[begin:])
    kept: list[str] = []
    for number, part in enumerate(parts):
        if number % 2 and part == "\n":
            while kept and not kept[-1].strip():
                kept.pop()
            kept[-1:] = [kept[-1].rstrip(), "\n"] if kept else []
        elif said := part.lstrip() if kept and kept[-1] == "\n" else part:
            kept.append(said)
    return "".join(kept).strip()
