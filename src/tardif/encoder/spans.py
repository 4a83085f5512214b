"""The places of a text's tokens: where each token with a vector stands in the text, and which tokens make a word.

Tokenizers give places of their own kind: they count the prompt in front of the text, include the space before a word,
give one character to several tokens (the bytes of a letter), or a whole character to a token that is only a space. Here
they become places in the text itself. Neither torch nor transformers is imported.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tardif.explanation import Token
from tardif.text.scripts import is_unspaced

# What vocabularies write for a space: SentencePiece, and byte-level BPE (a space, a line end, a tab).
_SPACES = "▁ĠĊĉ"
_JOINER = "\u200d"  # joins two emoji to one
# Places of the first character and after the last one.
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text as a model reads it.

    Attributes:
        tokens: those with a vector, in the vectors' order.
        unread: how many of the text's characters are beyond the model's length.
        has_places: whether the tokenizer says where its tokens stand.
    """

    tokens: tuple[Token, ...]
    unread: int = 0
    has_places: bool = True


def read_text(encoding: Any, text: str, prompt: str, scored: Sequence[int], filler: str = "") -> ReadText:
    """Return a text as a model reads it.

    Args:
        encoding: of the library ``tokenizers``: of the prompt and the text, truncated as the model does.
        text: the text without the prompt.
        prompt: the text in front.
        scored: the places of the tokens with a vector; those beyond the encoding are the query's expansion.
        filler: the name of the expansion's token.
    """
    spans = _spans(encoding, text, len(prompt))
    ends = [span[1] for span in spans if span is not None]
    words = _words(text, spans)
    tokens = []
    for place in scored:
        if place >= len(spans):
            tokens.append(Token(filler))
        elif (span := spans[place]) is None:
            tokens.append(Token(_name(encoding.tokens[place], prompt, encoding.offsets[place])))
        else:
            tokens.append(Token(text[span[0] : span[1]], *span, words[place]))
    unread = 0
    if encoding.overflowing:
        starts = [span[0] for span in spans if span is not None]
        unread = min(starts, default=0) + len(text) - max(ends, default=0)
    return ReadText(_renumbered(tokens), unread)


def as_unicode(text: str) -> str:
    """Return a text that tokenizers can read, of the same length: lone surrogates become question marks.

    >>> as_unicode("half \\ud83d")
    'half ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def without_places(pieces: Iterable[str]) -> ReadText:
    """Return a text of which only the pieces are known: its tokenizer does not say where they stand."""
    return ReadText(tuple(Token(piece.strip(_SPACES + " ") or piece) for piece in pieces), has_places=False)


def _name(piece: str, prompt: str, offsets: tuple[int, int]) -> str:
    """What a reader sees of a token that is not in the text: a part of the prompt, or the token's name."""
    begin, end = offsets
    in_prompt = prompt[begin:end].strip() if end <= len(prompt) else ""
    return in_prompt or piece.strip(_SPACES + " ") or " "


def _spans(encoding: Any, text: str, before: int) -> list[_Span | None]:
    """The place of each token in the text; None for markers, and for tokens that are only a space before a word."""
    read = zip(encoding.tokens, encoding.offsets, strict=True)
    return _with_marks(text, [_span(text, piece, offsets, before) for piece, offsets in read])


def _span(text: str, piece: str, offsets: _Span, before: int) -> _Span | None:
    begin, end = max(offsets[0] - before, 0), offsets[1] - before
    while begin < end - 1 and text[begin].isspace():
        begin += 1
    if begin >= end:
        return None
    own = text[begin:end]
    # SentencePiece writes the space before a word as a token, and gives it the word's first character.
    is_space = not piece.strip(_SPACES) and not own.isspace() and own != piece
    return None if is_space else (begin, end)


def _with_marks(text: str, spans: Sequence[_Span | None]) -> list[_Span | None]:
    """Add the combining marks after a token that no token covers: a normalisation joined them to the letter, or dropped
    them."""
    starts = {span[0] for span in spans if span is not None}

    def extended(begin: int, end: int) -> _Span:
        while end < len(text) and end not in starts and unicodedata.category(text[end])[0] == "M":
            end += 1
        return begin, end

    return [span and extended(*span) for span in spans]


def _words(text: str, spans: Sequence[_Span | None]) -> list[int | None]:
    """The number of each token's word; None for a token that is in no word.

    Tokens that touch are one word if letters or digits touch. In a script without spaces each token is a word.
    """
    found: list[int | None] = []
    number, end = -1, 0
    for span in spans:
        if span is None or not text[span[0] : span[1]].strip():
            found.append(None)
            continue
        begin = span[0]
        if number < 0 or not (begin < end or (begin == end and _join(text[begin - 1], text[begin]))):
            number += 1
        found.append(number)
        end = max(end, span[1])
    return found


def _join(before: str, after: str) -> bool:
    """Whether two characters that touch are in one word."""
    if _JOINER in (before, after) or unicodedata.category(after)[0] == "M":
        return True
    return _is_letter(before) and _is_letter(after) and not is_unspaced(before + after)


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def _renumbered(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Number the words of these tokens from 0: tokens without a vector are left out."""
    numbers: dict[int, int] = {}
    for token in tokens:
        if token.word is not None:
            numbers.setdefault(token.word, len(numbers))
    return tuple(token if token.word is None else replace(token, word=numbers[token.word]) for token in tokens)
