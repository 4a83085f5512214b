"""The parts of a document: title, sections under headings, sentences, passages, docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tardif.data.markup import without_markup
from tardif.text.normal import normalise
from tardif.text.sentences import count_words, sentences
from tardif.types import Document

Span = tuple[int, int]

# The forms of headings in Markdown and reStructuredText.
_MARKDOWN_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"([=\-~^*+#])\1{2,}\s*$")
_NUMBERING = re.compile(r"(?:§\s*)?(?:\d+(?:\.\d+)*[.)]?|[IVX]+\.)\s+")
# A line with its end. Unlike str.splitlines, form feeds and U+2028 end no line.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
# Not ast: a file may hold another version of Python, or only part of a module.
_DOCSTRING = re.compile(r'("""|\'\'\')(.+?)\1', re.DOTALL)
# One search that rules out all of _MARKUP: most sentences have none of it.
_ANY_MARKUP = re.compile(r"[*_`\\\]¶🔗{]")
_PYTHON = re.compile(r"^\s*(?:def|class|async def|import|from) \w", re.MULTILINE)
_MARKUP = (
    (re.compile(r"(?<![\w:]):[\w.+-]{1,60}(?::[\w.+-]{1,60})?:`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # rst's roles
    (re.compile(r"\{[\w:.+-]{1,60}\}`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # MyST's
    (re.compile(r"\s*\{:?\s*[#.][^{}\n]{0,200}\}|\[\^[\w-]{1,60}\]:?|[¶🔗]"), ""),  # what sites add
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # images
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),  # links keep their words
    (re.compile(r"(\*\*|__|\*|``?)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!])"), r"\1"),
)
_PLAIN_HEADING_WORDS = 10
# The label of a part of an abstract, in capitals.
_LABEL = re.compile(r"(?=[A-Z &/]{6})[A-Z]{2,}(?:[ &/]+[A-Z]{2,})*:?\s+(?=[A-Z][a-z])")
# Question marks: Latin, East Asian, Arabic, Greek and Armenian.
_QUESTION = ("?", "？", "؟", "\u037e", "՞")


@dataclass(frozen=True, slots=True)
class ArticleSection:
    """A heading, and the place of the text under it (up to the next heading of any level)."""

    heading: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ArticlePassage:
    """Consecutive sentences, as many as a model reads at once, and their span of text."""

    start: int
    end: int
    sentences: tuple[Span, ...]


class Article:
    """One document of the corpus with its parts, each found when it is first asked for.

    Args:
        document: the document. If it has no title, a heading at the very beginning of its text is its title.
        passage_words: the approximate length of passages in words.

    Attributes:
        common: the sentences that several other documents have too; set when they are known.

    >>> article = Article(Document("a", "# Salt\\n\\nSalt is old. Who makes it? Sailors do."), 100)
    >>> article.title, [article.query(span) for span in article.sentences]
    ('Salt', ['Salt is old', 'Who makes it?', 'Sailors do'])
    """

    def __init__(self, document: Document, passage_words: int) -> None:
        self.document = document
        self.text = document.text
        self.common: frozenset[Span] = frozenset()
        self._passage_words = passage_words

    @cached_property
    def _headings(self) -> list[tuple[str, int, int]]:
        return list(headings(self.text)) if "\n" in self.text and not self.docstrings else []

    @cached_property
    def title(self) -> str:
        """The title as a query: on one line, without markup or full stop."""
        if self.document.title.strip():
            return plain(self.document.title)
        first = self._headings[0] if self._headings else None
        return first[0] if first and not self.text[: first[1]].strip() else ""

    @cached_property
    def title_key(self) -> str:
        """The title as it is compared."""
        return normalise(self.title)

    @cached_property
    def sections(self) -> list[ArticleSection]:
        """The sections, without the one under the title."""
        edges = [*(start for _, start, _ in self._headings[1:]), len(self.text)]
        return [
            ArticleSection(heading, end, edge)
            for (heading, _, end), edge in zip(self._headings, edges, strict=False)
            if normalise(heading) != self.title_key
        ]

    @cached_property
    def sentences(self) -> list[Span]:
        """The sentences outside headings and code blocks; none in Python code, which only has docstrings."""
        if self.docstrings:
            return []
        edges = [0, *(edge for _, start, end in self._headings for edge in (start, end)), len(self.text)]
        found = []
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            found += [(start + first, start + last) for first, last in sentences(self.text[start:end])]
        code = _code(self.text)
        return [span for span in found if not any(span[0] < last and first < span[1] for first, last in code)]

    @cached_property
    def passages(self) -> list[ArticlePassage]:
        """The text in passages; a short text is one passage."""
        groups: list[list[Span]] = []
        words = self._passage_words
        for start, end in self.sentences:
            length = count_words(self.text[start:end])
            if words + length > self._passage_words:
                groups.append([])
                words = 0
            groups[-1].append((start, end))
            words += length
        if len(groups) > 1 and words < self._passage_words // 4:  # a rest too short for a passage of its own
            last = groups.pop()
            groups[-1] += last
        if len(groups) == 1:
            return [ArticlePassage(0, len(self.text), tuple(groups[0]))]
        return [ArticlePassage(group[0][0], group[-1][1], tuple(group)) for group in groups]

    def passage(self, start: int, end: int) -> ArticlePassage:
        """The first passage of a part of the text."""
        taken: list[Span] = []
        words = 0
        for first, last in self.sentences:
            if first >= start and last <= end:
                words += count_words(self.text[first:last])
                if taken and words > self._passage_words:
                    break
                taken.append((first, last))
        return ArticlePassage(start, taken[-1][1] if taken else start, tuple(taken))

    def is_own(self, spans: Sequence[Span]) -> bool:
        """Whether at least half of the text of some sentences is in no other document."""
        own = sum(end - start for start, end in spans if (start, end) not in self.common)
        return 2 * own >= sum(end - start for start, end in spans) > 0

    def without(self, passage: ArticlePassage, removed: Sequence[Span]) -> str:
        """A passage's text without some of its sentences."""
        pieces = []
        begin = passage.start
        for start, end in removed:
            pieces.append(self.text[begin:start])
            begin = end
        pieces.append(self.text[begin : passage.end])
        return " ".join(piece.strip() for piece in pieces if piece.strip())

    @cached_property
    def docstrings(self) -> list[tuple[str, str]]:
        """Every docstring in Python code as (summary line, the rest)."""
        if ('"""' not in self.text and "'''" not in self.text) or not _PYTHON.search(self.text):
            return []
        found = []
        for match in _DOCSTRING.finditer(self.text):
            summary, _, rest = inspect.cleandoc(match.group(2)).partition("\n\n")
            if rest.strip():
                found.append((plain(summary), rest.strip()))
        return found

    @cached_property
    def lead(self) -> Span | None:
        """The first sentence that is not a question, if another one follows."""
        return next((span for span in self.sentences[:-1] if not self.is_question(span)), None)

    def is_question(self, span: Span) -> bool:
        """Whether a sentence is a question."""
        return self.text[span[0] : span[1]].rstrip("\"'»”’)*_").endswith(_QUESTION)

    def questions(self) -> list[tuple[Span, ArticlePassage]]:
        """Every question with the text up to the next one, as on a page of questions and answers."""
        asked = [span for span in self.sentences if self.is_question(span)]
        edges = [*(start for start, _ in asked[1:]), len(self.text)]
        return [(span, self.passage(span[1], edge)) for span, edge in zip(asked, edges, strict=False)]

    def query(self, span: Span) -> str:
        """A sentence as a query: plain, and without the label of a structured abstract ("RESULTS We ...")."""
        query = plain(self.text[slice(*span)])
        label = _LABEL.match(query)
        return query[label.end() :] if label else query


def plain(text: str) -> str:
    """Text as a person would type it: one line, without markup, numbering and the last full stop.

    >>> plain("**Bold** move, see [the guide](https://host).")
    'Bold move, see the guide'
    """
    text = without_markup(text)
    if _ANY_MARKUP.search(text):
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text.strip(" *_`#=|").rstrip(".。।:;,").strip()


def headings(text: str) -> list[tuple[str, int, int]]:
    """Headings as (words, start, end): Markdown's, underlined ones, and short lines between blank ones.

    >>> headings("Harvest\\n=======\\n\\nPans fill in spring.")
    [('Harvest', 0, 16)]
    """
    lines = _LINE.findall(text)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    fenced = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        if fenced or not line.strip():
            continue
        until = _heading_end(lines, number)
        if until:
            match = _MARKDOWN_HEADING.match(line.rstrip("\n\r"))
            words = plain(_NUMBERING.sub("", plain(match[2] if match else line), count=1))
            if words:
                found.append((words, starts[number], starts[until]))
    return found


def _heading_end(lines: Sequence[str], number: int) -> int:
    """The number of the first line after the heading that begins here; 0 if no heading does."""
    line = lines[number].rstrip("\n\r")
    if _MARKDOWN_HEADING.match(line):
        return number + 1
    if line.startswith((" ", "\t")) or _UNDERLINE.match(line):
        return 0
    before = lines[number - 1].strip() if number else ""
    after = lines[number + 1].strip() if number + 1 < len(lines) else ""
    if not before and _UNDERLINE.match(after) and len(after) * 2 >= len(line.strip()):
        return number + 2
    if before and not _UNDERLINE.match(before):
        return 0
    following = next((line for line in lines[number + 2 : number + 5] if line.strip()), "")
    return number + 1 if not after and _is_plain_heading(line.strip(), following) else 0


def _is_plain_heading(line: str, following: str) -> bool:
    """Whether a line is short, begins in upper case, has no final punctuation but a question mark, and precedes a
    longer paragraph.
    """
    if line[-1] in ".,;:!。！،؛।\"'`)}]" or not line[0].isalnum() or line[0].islower():
        return False
    return count_words(line) <= _PLAIN_HEADING_WORDS and count_words(following) > max(8, count_words(line))


def _code(text: str) -> list[Span]:
    """The places of fenced code blocks."""
    if "```" not in text and "~~~" not in text:
        return []
    edges, place = [], 0
    for line in _LINE.findall(text):
        if _FENCE.match(line):
            edges.append(place)
        place += len(line)
    if len(edges) % 2:  # an unclosed fence reaches to the end
        edges.append(len(text))
    return [(start, end + 3) for start, end in zip(edges[::2], edges[1::2], strict=True)]
