"""The text of a Markdown file: without markup, except the marks of headings and the indentation of code.

A CommonMark parser splits the blocks, then parses each line. The syntax of site generators is removed before: front
matter, admonitions (MkDocs's ``!!!``, Docusaurus's ``:::``), tabs, shortcodes, imports. Their text is kept.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from tardif.data.extraction.extracted import Extracted

# Characters that are parsed; a longer file keeps its markup.
PARSED = 2**21

_LOOKS = 50_000_000  # as in rst.py: the parser may search the rest of a block for each sign that may begin markup
_SIGNS = re.compile(r"[\[\]*_`<!~&\\]")
# title: "Tides" in YAML, title = 'Tides' in TOML.
_TITLE = re.compile(r"""^["']?title["']?\s*[:=]\s*(?:"([^"\n]*)"|'([^'\n]*)'|([^\n#>|]*))""", re.MULTILINE)
# Front matter of site generators, between lines of dashes. A Markdown parser would read its last line as a heading.
FRONT = re.compile(r"\A---[ \t\r]*\n(?:[^\n]*\n)*?(?:---|\.\.\.)[ \t\r]*(?:\n|\Z)")
# Hugo's front matter, between lines of +++.
_TOML_FRONT = re.compile(r"\A\+\+\+[ \t\r]*\n(?:[^\n]*\n)*?\+\+\+[ \t\r]*(?:\n|\Z)")

# The fence of a block of code, and its info string.
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
# MkDocs: !!! note "Title", ??? tip, === "Tab"; the content is indented below.
_ADMONITION = re.compile(r"( *)(?:!!!|\?\?\?\+?|===[!+]?) *(?:([\w-]+)(?: +[\w-]+)*)? *(?:\"([^\"]*)\")? *$")
# Docusaurus, VitePress and MyST: :::note[Title], :::{tip} Title, and the closing :::.
_COLONS = re.compile(r" {0,3}:{3,} *(?:\{?[\w-]+\}?)? *(?:\[([^\]]*)\]|([^{}\[]*))(?:\{[^}]*\})? *$")
# GitHub and Obsidian: > [!NOTE]
_ALERT = re.compile(r"( *(?:> ?)+)\[!\w+\][+-]? *")
# Whole lines of layout: imports and exports of MDX, Liquid and Hugo tags, tables of contents, snippets, kramdown
# attributes, MyST targets (name)= and comments %%.
_LAYOUT = re.compile(
    r"\s*(?:import\s[^'\"\n]*['\"][^'\"\n]+['\"];?|export\s+(?:const|default)\s.*|\{%[^\n]*%\}|\{\{[<%][^\n]*[%>]\}\}"
    r"|\[(?:\[_)?TOC(?:_\])?\]|--8<--.*|\{:[^}\n]*\}|\([\w-]+\)=|%% .*)\s*"
)
# Tags of Hugo and Liquid inside a line; the bound keeps the search linear.
_SHORTCODE = re.compile(r"\{\{[<%].{0,500}?[%>]\}\}|\{%.{0,500}?%\}")
# Attributes after a heading or link: {#anchor .class}, {: .class}.
_ATTRIBUTES = re.compile(r"\s*\{:?\s*[.#][\w.#:\s=\"'-]{0,200}\}")
_PERMALINK = re.compile(r"\s*[¶🔗§\u200b]+\s*$")
# Icons of Material for MkDocs: :material-check:
_ICON = re.compile(r":(?:material|octicons|fontawesome|simple)-[\w-]{1,60}:")
_FOOTNOTE = re.compile(r"\[\^[\w-]{1,60}\]:?")
# Links of wikis: [[page|words]] or [[page]].
_WIKI = re.compile(r"\[\[(?:[^\[\]|\n]{1,200}\|)?([^\[\]|\n]{1,200})\]\]")
# The role before a code span: MyST's {ref}`label`, or rst's :ref:`label`, which some write in Markdown too.
_ROLE = re.compile(r"(?:\{[\w:.+-]{1,60}\}|(?<![\w:]):[\w.+-]{1,60}(?::[\w.+-]{1,60})?:)$")
# The target of a role: {ref}`words <label>`.
_TARGET = re.compile(r"\s*<[^<>]*>$")
# MyST's directives with a content that is text.
_PROSE = frozenset({
    "note", "tip", "warning", "important", "caution", "danger", "attention", "hint", "seealso", "admonition",
    "versionadded", "versionchanged", "deprecated", "dropdown", "card", "tab-item", "grid", "tab-set", "margin",
    "sidebar", "epigraph",
})  # fmt: skip
# An option of a directive: :class: wide
_OPTION = re.compile(r"\s*:[\w-]+:.*")


def read_markdown(source: str) -> Extracted:
    """Read the text of a file. The title is that of its front matter; a first heading stays in the text.

    >>> read_markdown("# Tides\\n\\nThe *moon* pulls the [sea](sea.md).").text
    '# Tides\\n\\nThe moon pulls the sea.'
    """
    if len(source) > PARSED:
        return Extracted(source.strip(), notes=("too long to parse as Markdown: its markup is kept",))
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    front = FRONT.match(source) or _TOML_FRONT.match(source)
    title = _TITLE.search(front.group()) if front else None
    converter = MarkdownConverter()
    text = converter.text(source[front.end() if front else 0 :])
    said = " ".join(converter.inline("".join(filter(None, title.groups()))).split()) if title else ""
    if said and " ".join(text.partition("\n")[0].lstrip("# ").split()) == said:
        said = ""
    return Extracted(text, said) if text or not said else Extracted(said)


class MarkdownConverter:
    """Converts Markdown to text, block by block."""

    def __init__(self) -> None:
        from markdown_it import MarkdownIt

        self._parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        self._blocks_parser = MarkdownIt("commonmark").enable("table")
        # Blocks are parsed first and their lines later, each with the bound of _LOOKS.
        self._blocks_parser.core.ruler.disable("inline")
        self._links: dict[str, Any] = {}  # definitions of links, which any line may use

    def text(self, source: str) -> str:
        """The text of some Markdown, blocks apart by empty lines."""
        tokens = self.blocks("\n".join(_without_layout(source.split("\n"))))
        return "\n\n".join(block for block in self._walk(tokens) if block.strip()).strip("\n")

    def blocks(self, source: str) -> Sequence[Any]:
        """The tokens of CommonMark's blocks, with the text of each line not yet parsed."""
        tokens: Sequence[Any] = self._blocks_parser.parse(source, self._links)
        return tokens

    def _walk(self, tokens: Sequence[Any]) -> Iterator[str]:
        """The blocks of a text: headings, paragraphs, items, rows and code."""
        lists: list[int | None] = []  # of each enclosing list: its next number, None if it has bullets
        mark, heading = "", 0
        cells: list[str] | None = None
        for token in tokens:
            kind = token.type
            if kind.endswith("list_open"):
                lists.append(int(token.attrGet("start") or 1) if kind[0] == "o" else None)
            elif kind.endswith("list_close"):
                lists.pop()
            elif kind == "list_item_open":
                mark = "- " if lists[-1] is None else f"{lists[-1]}. "
                lists[-1] = None if lists[-1] is None else lists[-1] + 1
            elif kind == "heading_open":
                heading = int(token.tag[1:])
            elif kind == "tr_open":
                cells = []
            elif kind == "tr_close":
                yield " | ".join(filter(None, cells or ()))
                cells = None
            elif kind == "inline" and cells is not None:
                cells.append(" ".join(self.inline(token.content).split()))
            elif kind == "inline" and heading:
                yield self._heading(heading, token.content)
                heading = 0
            elif block := self._block(token, len(lists)):
                yield _inset(mark + block, len(lists), bool(mark))
                mark = ""

    def _heading(self, level: int, content: str) -> str:
        said = _PERMALINK.sub("", _ATTRIBUTES.sub("", " ".join(self.inline(content).split())))
        return f"{'#' * level} {said}" if said else ""

    def _block(self, token: Any, lists: int) -> str:
        """The text of a paragraph, of code or of HTML."""
        if token.type == "inline":
            return self.inline(token.content)
        if token.type in ("fence", "code_block"):
            return self._code(token, lists)
        return _without_tags(token.content) if token.type == "html_block" else ""

    def _code(self, token: Any, lists: int) -> str:
        """A block of code, indented; a MyST directive in a fence is text if its content is."""
        name = re.match(r"\{([\w:.+-]+)\}\s*(.*)", token.info)
        if name and name[1] in _PROSE:
            kept = [line for line in token.content.split("\n") if not _OPTION.fullmatch(line)]
            return "\n\n".join(filter(None, (self.inline(name[2]), self.text("\n".join(kept)))))
        if name is None or "code" in name[1] or name[1] in ("doctest", "math", "prompt", "parsed-literal"):
            return textwrap.indent(token.content.rstrip("\n"), "    ")
        return ""

    def inline(self, text: str) -> str:
        """The text of a paragraph without markup."""
        if not _SIGNS.search(text) and "{" not in text and ":" not in text:
            return _PERMALINK.sub("", text)
        if len(text) * len(_SIGNS.findall(text)) > _LOOKS:
            return text
        tokens: list[Any] = []
        self._parser.inline.parse(text, self._parser, self._links, tokens)
        return _tidy("".join(_text_of(tokens))).strip()


def _text_of(tokens: Sequence[Any]) -> Iterator[str]:
    """The text of inline tokens. A picture in a link is a badge and has none."""
    linked = 0
    role = False
    for place, token in enumerate(tokens):
        kind = token.type
        if kind in ("link_open", "link_close"):
            linked += 1 if kind == "link_open" else -1
        elif kind == "image":
            if not linked:
                yield "".join(_text_of(token.children or ()))
        elif kind in ("softbreak", "hardbreak"):
            yield "\n"
        elif kind == "html_inline":
            yield "\n" if token.content.lower().startswith("<br") else ""
        elif kind == "code_inline":
            yield _TARGET.sub("", token.content.lstrip("~!")) if role else token.content
            role = False
        elif kind in ("text", "text_special"):
            said = str(token.content)
            if place + 1 < len(tokens) and tokens[place + 1].type == "code_inline":
                bare = _ROLE.sub("", said)
                role, said = bare != said, bare
            yield said


def _tidy(text: str) -> str:
    text = _FOOTNOTE.sub("", _ICON.sub("", _SHORTCODE.sub("", text)))
    lines = [_ATTRIBUTES.sub("", line).strip() for line in _WIKI.sub(r"\1", text).split("\n")]
    return _PERMALINK.sub("", "\n".join(lines))


def _without_tags(source: str) -> str:
    """The text of a block of HTML."""
    source = re.sub(r"<!--.*?(?:-->|\Z)", "", source, flags=re.DOTALL)
    source = re.sub(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", "", source, flags=re.DOTALL | re.IGNORECASE)
    lines = (" ".join(line.split()) for line in html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", "", source)).split("\n"))
    return "\n".join(filter(None, lines))


def _inset(text: str, lists: int, is_item: bool) -> str:
    """A block of a list, indented by the depth of the list; its first line has the item's mark."""
    if not lists:
        return text
    indent = "  " * (lists - 1)
    first, end, rest = text.partition("\n")
    return indent + ("" if is_item else "  ") + first + end + textwrap.indent(rest, indent + "  ")


def _without_layout(lines: Sequence[str]) -> Iterator[str]:
    """Remove the syntax of site generators from the lines outside code."""
    fence, inside = "", ""
    for line in lines:
        if inside and line.strip() and not line.startswith(inside):
            inside = inside[4:] if line.startswith(inside[4:]) else ""
        bare = line.removeprefix(inside)
        found = _FENCE.match(bare)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
            yield bare
            continue
        if found:
            fence = found[1]
            yield bare
        elif (opening := _ADMONITION.match(bare)) and (opening[2] or opening[3]):
            inside += opening[1] + "    "
            yield from ("", opening[3] or "", "")
        elif colons := _COLONS.match(bare):
            yield from ("", (colons[1] or colons[2] or "").strip(), "")
        elif _LAYOUT.fullmatch(bare):
            yield ""
        else:
            yield _ALERT.sub(r"\1", bare)
