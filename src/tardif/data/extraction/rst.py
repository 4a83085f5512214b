"""The text of a reStructuredText file, parsed by docutils: headings marked as in Markdown, without markup.

Nothing is included, fetched or passed through: the report names the directives that would do so (``include``, ``raw``,
``csv-table`` with a file). Roles and directives that docutils does not know, such as Sphinx's, keep their text.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tardif.data.extraction.extracted import Extracted, hushed, library, sound
from tardif.errors import first_line

# Characters that are parsed: docutils takes seconds for each million. A longer file is read as plain text.
PARSED = 2**19

_LONGEST = 10_000  # characters of a line: docutils gives up on longer ones
# docutils may search the rest of a block for each character that may begin markup. This number of searched characters
# takes it some seconds; a hundred pages of prose have a hundredth of it.
_LOOKS = 50_000_000
# Blocks are separated by blank lines; these marks may begin inline markup.
_BLOCKS, _MARKS = re.compile(r"\n[ \t]*\n"), re.compile(r"[*`|_:\[<]")
# Nothing is read from other files, and docutils neither prints nor stops: 5 and 6 are above its severest level.
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 6,
    "line_length_limit": _LONGEST,
    "syntax_highlight": "none",
    "smart_quotes": False,
}
_NO_TEXT = frozenset({"comment", "substitution_definition", "target", "pending", "raw"})
# What may precede the first section without being text of the document.
_UNTITLED = frozenset({*_NO_TEXT, "system_message"})
# .. name:: argument, also as the substitution .. |short| name:: argument
_DIRECTIVE = re.compile(r"\s*\.\.(?: \|[^|\n]+\|)? ?([\w:.+-]+)::[ \t]*(.*)")
_OPTION = re.compile(r"\s*:[\w-]+:(\s.*)?")
# Directives that would read other files, or pass their content through.
_NOT_TAKEN = ("include", "raw", "csv-table", "literalinclude")
# Directives of Sphinx and its extensions with a content that is not parsed.
_CODE = frozenset({
    "code", "code-block", "sourcecode", "parsed-literal", "testcode", "testoutput", "testsetup", "testcleanup",
    "doctest", "prompt", "ipython", "jupyter-execute", "plot", "graphviz", "digraph", "mermaid", "uml",
    "productionlist", "math",
})  # fmt: skip
# Directives with an argument that is no text.
_SETTINGS_ALONE = frozenset({"only", "ifconfig", "highlight", "tabularcolumns", "rst-class", "cssclass", "container"})
# Directives without any text.
_UNREAD = frozenset({"toctree", "tabularcolumns", "highlight"})
_NESTED = 5  # levels of directives inside directives that are parsed
# :ref:`label` of Sphinx, and :ref:`words <label>`.
_ROLE = re.compile(r":[\w:.+-]{1,60}:`([^`]*)`")
_ROLE_TARGET = re.compile(r"(?s)(.*\S)\s+<.*>")
_SUBSTITUTED = 500  # characters of a substitution that are inserted: a long one in many places would fill the memory


def read_rst(source: str) -> Extracted:
    """Read the text of a file. If docutils cannot, the text is the source, with a note.

    Raises:
        MissingExtraError: docutils is not installed.
    """
    notes: list[str] = []
    parse = _parser()
    if _takes_long(source):
        return Extracted(source.strip(), notes=("too long to parse as reStructuredText: read as plain text",))
    # Broad on purpose: markup can make docutils raise anything, and the source is a text all the same.
    try:
        with hushed("docutils"):
            converter = _RstConverter(parse, source, notes)
        text = "\n\n".join(block for block in converter.blocks(converter.root, 0) if block.strip())
    except Exception as error:
        why = f"not parsed as reStructuredText ({first_line(error)}): read as plain text"
        return Extracted(source.strip(), notes=(why,))
    text = sound(text, notes).strip()
    if not text and converter.title:
        return Extracted(converter.title, notes=tuple(notes))
    return Extracted(text, sound(converter.title, notes), notes=tuple(notes))


def _parser() -> Callable[[str], Any]:
    """A parser without docutils' transforms: that of substitutions may never end."""
    frontend, rst, utils = (library("reStructuredText", name) for name in ("frontend", "parsers.rst", "utils"))

    def parse(source: str) -> Any:
        settings = frontend.get_default_settings(rst.Parser)
        for name, value in {**_SETTINGS, "warning_stream": io.StringIO()}.items():
            setattr(settings, name, value)
        document = utils.new_document("text", settings)
        rst.Parser().parse(source, document)
        return document

    return parse


def _takes_long(source: str) -> bool:
    if len(source) > PARSED or max(map(len, source.split("\n"))) > _LONGEST:
        return True
    return sum(len(block) * len(_MARKS.findall(block)) for block in _BLOCKS.split(source)) > _LOOKS


class _RstConverter:
    """Converts a docutils tree to text; keeps the title and notes on what was left out."""

    def __init__(
        self, parse: Callable[[str], Any], source: str, notes: list[str], around: _RstConverter | None = None
    ) -> None:
        document = parse(source)
        self.notes, self._parse = notes, parse
        self._nested: int = 0 if around is None else around._nested + 1
        self.substitutions: dict[str, Any] = {**(around.substitutions if around else {}), **document.substitution_defs}
        # A lone section around everything gives the document its title.
        tops = [child for child in document.children if child.tagname not in _UNTITLED]
        self.root = tops[0] if len(tops) == 1 and tops[0].tagname == "section" else document
        self.title = ""

    def blocks(self, node: Any, depth: int) -> Iterator[str]:
        """The blocks of text under a node; ``depth`` is that of the section it is in."""
        name = node.tagname
        if name in _NO_TEXT:
            return
        if name == "title" and node.parent is self.root:
            self.title = self._heading(node)
        elif name in ("title", "subtitle"):
            yield f"{'#' * min(max(depth, 1), 6)} {self._heading(node)}"
        elif name == "system_message":
            yield from self._unknown_directive(node)
        elif name == "row":
            yield " | ".join(filter(None, (self._flat(cell) for cell in node.children)))
        elif name in ("tgroup", "table"):
            parts = [block for child in node.children for block in self.blocks(child, depth)]
            yield "\n".join(parts)
        elif name == "image":
            yield node.get("alt", "")
        elif name in ("literal_block", "doctest_block", "math_block"):
            yield _code(node.astext())
        elif _is_inline(node):
            yield self._flat(node)
        else:
            for child in node.children:
                yield from self.blocks(child, depth + (child.tagname == "section"))

    def _heading(self, node: Any) -> str:
        return self._flat(node).rstrip("¶🔗 ")

    def _flat(self, node: Any) -> str:
        """The text of a node as one line."""
        return " ".join(_without_roles(self._inline(node)).split())

    def _inline(self, node: Any) -> str:
        if node.tagname == "#text":
            return str(node.astext())
        if node.tagname in _NO_TEXT or node.tagname == "system_message":
            return ""
        if node.tagname == "image":
            return str(node.get("alt", ""))
        if node.tagname == "substitution_reference" and node.get("refname") in self.substitutions:
            return self._substituted(str(self.substitutions[node["refname"]].astext()))
        between = "" if _is_inline(node) else " "
        return between.join(self._inline(child) for child in node.children)

    def _substituted(self, text: str) -> str:
        if len(text) > _SUBSTITUTED:
            self._note(f"substitutions of more than {_SUBSTITUTED} characters were cut")
        return text[:_SUBSTITUTED]

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _unknown_directive(self, message: Any) -> Iterator[str]:
        """The text of a directive that docutils does not know or may not follow: its error message quotes it."""
        for child in message.children:
            if child.tagname != "literal_block":
                continue
            first, _, rest = child.astext().partition("\n")
            found = _DIRECTIVE.match(first)
            if found is None:
                yield _without_roles(child.astext())
            elif found[1] in _NOT_TAKEN:
                self._note(f"without what its {found[1]} directives would take in")
            elif found[1] not in _UNREAD:
                yield self._directive(found[1], found[2], textwrap.dedent(rest))

    def _directive(self, name: str, argument: str, rest: str) -> str:
        """The text of a directive that docutils does not know: its argument, and its content as text or code."""
        lines = rest.split("\n")
        while lines and (not lines[0].strip() or _OPTION.fullmatch(lines[0])):
            lines.pop(0)
        content = "\n".join(lines).strip("\n")
        if name.rpartition(":")[2] in _CODE:
            return _code(content)
        if self._nested < _NESTED and content.strip():
            within = _RstConverter(self._parse, content, self.notes, self)
            content = "\n\n".join(filter(str.strip, within.blocks(within.root, 1)))
            content = f"{within.title}\n\n{content}" if within.title else content
        said = "" if name in _SETTINGS_ALONE else _without_roles(argument).replace("``", "")
        return "\n".join(filter(None, (said, content)))


def _code(text: str) -> str:
    """Code, indented as in Markdown, so that a comment in it is no heading."""
    return textwrap.indent(text.strip("\n"), "    ")


def _without_roles(text: str) -> str:
    return _ROLE.sub(_named, text)


def _named(role: re.Match[str]) -> str:
    """The text of a role, without the target in angle brackets."""
    said = role[1].strip()
    target = _ROLE_TARGET.fullmatch(said)
    return (target[1] if target else said).lstrip("~!").replace("\\", "").strip()


def _is_inline(node: Any) -> bool:
    """Whether a node holds text itself, and no blocks."""
    return any(child.tagname == "#text" for child in node.children) or node.tagname in ("paragraph", "term", "line")
