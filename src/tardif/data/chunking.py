"""Split long documents into pieces that the base reads as a whole, counted in the base's own tokens.

semantic-text-splitter cuts at headings, paragraphs, sentences or words: at the largest unit that fits. This module
makes each piece a document: it repeats the title and adds an id and the place of the piece
(:class:`tardif.types.Piece`).

By default files of text are split, because nobody chose their length, and rows stay whole.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Protocol

from tardif.data.document_report import DocumentReport
from tardif.data.extraction.extract import find_files, kind_of
from tardif.data.extraction.outlines import Places, markdown_outline
from tardif.data.formats.corpora import find_file
from tardif.data.formats.trec_text import document_files, holds_documents
from tardif.data.regular import is_folder, user_path
from tardif.errors import ModelError, SettingError, first_line, is_failure
from tardif.text.normal import words_in_order
from tardif.types import Document, Piece

# The smallest piece. In a smaller one a title, or one character of some scripts, would leave no room.
MIN_TOKENS = 32
# The key in a training set's metadata with the place of a piece in its document.
PIECE = "tardif_piece"

_MARKER = 1  # the document marker; the tokenizer itself adds start and end
_WINDOW = 200_000  # characters split at a time: the splitter's time grows faster than the text
# The splitter's time is quadratic in a stretch without the end of a line or sentence: for each piece it looks for words
# in all the rest, which takes long in scripts without spaces. Such a text is split a few pieces at a time.
_STRETCH, _PIECES = 4_000, 32
_STRETCH_ENDS = re.compile(r"[\n.!?\u0964\u3002\uff01\uff0e\uff1f]")
# Headings in .docx and .rst are marked as in Markdown when they are read.
_MARKDOWN = (".md", ".markdown", ".docx", ".rst")


class Tokenized(Protocol):
    """The attributes of :class:`tardif.encoder.base.Base` that a chunker needs."""

    @property
    def name(self) -> str:
        """The name by which the user gave it."""

    @property
    def transformer(self) -> Path:
        """The folder of its tokenizer."""

    @property
    def max_tokens(self) -> int:
        """The number of tokens that it reads."""


class Chunker:
    """Splits documents that are longer than a number of the base's tokens.

    Args:
        base: the base with the tokenizer that counts.
        tokens: the most tokens of a piece, with title, start, marker and end.
        overlap: the most tokens that a piece repeats of the one before; a tenth of ``tokens`` by default. It begins at
            a cut of the text, so it is often less.

    Raises:
        SettingError: ``tokens`` or ``overlap`` is out of range.
        ModelError: the base's tokenizer cannot be loaded.
    """

    def __init__(self, base: Tokenized, tokens: int, overlap: int | None = None) -> None:
        _check(base, tokens, overlap)
        self.tokens = int(tokens)
        # A tenth of a piece is repeated in the next one, so that a sentence at the seam is whole in one of them.
        self.overlap = self.tokens // 10 if overlap is None else int(overlap)
        self._tokenizer = load_tokenizer(base)
        self._room = self.tokens - int(self._tokenizer.num_special_tokens_to_add(False)) - _MARKER

    def chunk(self, document: Document) -> list[Document]:
        """Return the document itself if it fits, else its pieces in order.

        Every character of the text except white space is in some piece. Pieces have the ids ``ID#1``, ``ID#2`` and so
        on, the title and metadata of the document, and their place in it. A title that would fill more than half of a
        piece is not repeated: it becomes the beginning of the text.
        """
        if self._size(document.content) <= self._room:
            return [document]
        title, text, before = document.title, document.text, 0
        is_markdown = str(document.metadata.get("path", document.id)).lower().endswith(_MARKDOWN)
        # A long title would fill every piece: then it becomes the beginning of the text, and is in the first one.
        if title and self._size(title) > self._room // 2:
            title, text, before = "", f"{title}\n\n{text}", len(title) + 2
        pieces = list(self._split(title, text, markdown=is_markdown))
        if len(pieces) < 2 and title == document.title:
            # Without the white space around it, the text fits.
            return [replace(document, text=text.strip())]
        outline = document.outline or (markdown_outline(document.text) if is_markdown else None)
        places, found = Places(outline), []
        for number, (said, start, piece) in enumerate(pieces, start=1):
            # Positions count from the text without the title that was put in front of it.
            begin, end = max(start - before, 0), max(start + len(piece) - before, 0)
            part = Piece(document.id, number, len(pieces), begin, end, places.headings(begin), places.page(begin))
            found.append(Document(f"{document.id}#{number}", piece, said, document.metadata, part))
        return found

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _size(self, text: str) -> int:
        """The tokens of a text. Of a text that is far too long only the beginning is counted: that decides already."""
        head = text[: 16 * self.tokens]
        if len(head) < len(text) and (many := self._count(head)) > 2 * self.tokens:
            return many
        return self._count(text)

    def _split(self, title: str, text: str, *, markdown: bool) -> Iterator[tuple[str, int, str]]:
        """Each piece as its title, the position of its first character in the text, and its own text."""
        lead = f"{title} " if title else ""
        splitter = self._splitter(lead, markdown=markdown)
        start = 0
        while start < len(text):
            window = self._window(text, start)
            found = splitter.chunk_indices(window)
            end = start + len(window)
            if end < len(text) and len(found) > 1 and found[-1][0] > 0:
                # The last piece was cut by the end of the window: it is split again, with the text after it.
                end = start + found.pop()[0]
            for offset, piece in found:
                yield from self._held(title, start + offset, piece)
            start = end

    def _window(self, text: str, start: int) -> str:
        """The part of the text from ``start`` that is split at a time."""
        window = text[start : start + _WINDOW]
        longest = max(map(len, _STRETCH_ENDS.split(window)))
        return window if longest <= _STRETCH else window[: max(2 * _STRETCH, _PIECES * self.tokens)]

    def _splitter(self, lead: str, *, markdown: bool) -> Any:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        taken = self._count(lead)
        overlap = taken + min(self.overlap, (self._room - taken) // 2)
        make = MarkdownSplitter if markdown else TextSplitter
        # Title and piece are counted together: a tokenizer may split the first word of a text differently.
        return make.from_callback(lambda piece: self._size(lead + piece), self._room, overlap if self.overlap else 0)

    def _held(self, title: str, start: int, piece: str) -> Iterator[tuple[str, int, str]]:
        """A piece, or its halves if it is too long after all: the tokens do not always grow with the text."""
        if self._count(f"{title} {piece}".strip()) <= self._room:
            yield title, start, piece
        elif len(piece) > 1:
            middle = len(piece) // 2
            for begin, half in ((start, piece[:middle]), (start + middle, piece[middle:])):
                if half.strip():
                    yield from self._held(title, begin + len(half) - len(half.lstrip()), half.strip())
        else:
            yield "", start, piece


def marked(piece: Document) -> Document:
    """A piece with its place in its metadata, for training sets, which store no other field of it."""
    return piece if piece.piece is None else replace(piece, metadata={**piece.metadata, PIECE: piece.piece.as_json()})


def placing(pieces: list[Document]) -> Callable[[str], str]:
    """Find the piece to which a judgement of the whole document moves.

    It is the piece that shares most words with the query, the first of equals. The weight of a word is
    ``log(1 + pieces / pieces with the word)``, as an inverse document frequency.

    Returns:
        A function from a query to the id of its piece. The pieces are read once, for all queries of the document.

    >>> placing([Document("a#1", "Tides rise."), Document("a#2", "The moon pulls.")])("which moon?")
    'a#2'
    """
    known = [set(words_in_order(piece.text)) for piece in pieces]

    def place(query: str) -> str:
        wanted = set(words_in_order(query))
        shared = [wanted & words for words in known]
        spread = Counter(word for words in shared for word in words)
        # fsum is exact, so the order of a set has no effect on the sum.
        # Words in few pieces count more, as in BM25's idf: they tell the pieces apart.
        weights = [math.fsum(math.log1p(len(pieces) / spread[word]) for word in words) for words in shared]
        return pieces[weights.index(max(weights))].id

    return place


def _check(base: Tokenized, tokens: Any, overlap: Any) -> None:
    if isinstance(tokens, bool) or not isinstance(tokens, Integral) or int(tokens) < MIN_TOKENS:
        raise SettingError(f"chunk={tokens!r}: give a whole number of tokens, {MIN_TOKENS} or more, or none.")
    tokens = int(tokens)
    if tokens > base.max_tokens:
        raise SettingError(f"chunk={tokens}: the base {base.name} reads at most {base.max_tokens} tokens.")
    whole = overlap is None or (isinstance(overlap, Integral) and not isinstance(overlap, bool))
    if not whole or not 0 <= int(overlap or 0) <= tokens // 2:
        raise SettingError(f"overlap={overlap!r}: give a whole number of tokens, at most half of the {tokens}.")


def load_tokenizer(base: Tokenized) -> Any:
    """Load the base's ``tokenizers.Tokenizer``, or transformers' own if it has none.

    Raises:
        ModelError: it cannot be loaded.
    """
    path = base.transformer / "tokenizer.json"
    try:
        if path.is_file():
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(path))
        else:
            from transformers import AutoTokenizer

            slow = AutoTokenizer.from_pretrained(str(base.transformer))
            if not getattr(slow, "is_fast", False):
                return slow
            tokenizer = slow.backend_tokenizer
    except BaseException as error:  # tokenizers raises a plain Exception for a broken file, or panics
        if not is_failure(error):
            raise
        raise ModelError(f"The tokenizer of the base {base.name} cannot be loaded: {first_line(error)}") from error
    # A saved tokenizer may truncate at the length of its training, and the whole text must be counted.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


CHUNK_TOKENS = 256  # of a piece with chunk="auto"
Chunk = int | Literal["auto"] | None


def cutter(documents: Any, chunk: Chunk, base: Callable[[], Tokenized]) -> Callable[[Document], list[Document]] | None:
    """The function that splits the documents of a corpus, or None if they stay whole. Arguments are those of
    :func:`piece_tokens`.

    Raises:
        SettingError: ``chunk`` is out of range.
    """
    tokens = piece_tokens(documents, chunk, base)
    return None if tokens is None else Chunker(base(), tokens).chunk


def piece_tokens(documents: Any, chunk: Chunk, base: Callable[[], Tokenized]) -> int | None:
    """The most tokens of a piece of the documents of a corpus, or None if they stay whole.

    Args:
        documents: the corpus as the user gave it; None for a corpus inside another source.
        chunk: the most tokens of a piece. ``auto`` is :data:`CHUNK_TOKENS` for files of text, Markdown, HTML and PDF,
            and leaves rows whole; None leaves everything whole.
        base: returns the base that counts tokens; called only if something is split.
    """
    if chunk is None or (chunk == "auto" and not _is_running_text(documents)):
        return None
    return min(CHUNK_TOKENS, base().max_tokens) if chunk == "auto" else chunk


def _is_running_text(documents: Any) -> bool:
    if not isinstance(documents, str | Path):
        return False
    path = user_path(documents)
    if not os.path.lexists(path):  # whoever reads it says what is wrong: it may be a text in the place of a path
        return False
    if is_folder(path):
        if find_file(path, "corpus.jsonl") is not None or document_files(path):  # rows, packed or not
            return False
        return any(kind_of(Path(file)) for file in find_files(path, DocumentReport()))
    return kind_of(path) is not None and not holds_documents(path)
