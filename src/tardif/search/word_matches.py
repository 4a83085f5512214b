"""How much each word of a document earned from each word of a query.

Every query token matches something, so a match alone says little. Function words, punctuation and markers match their
like in any text. A word of the document earned a match if it is markedly more similar to the query's word than the
document's other words are. So a similarity counts by how far it lies above that of the others.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile

import numpy as np
from numpy.typing import NDArray

from tardif.explanation import Explanation, Token
from tardif.text.clusters import last_boundary, next_boundary
from tardif.text.function_words import function_words
from tardif.text.scripts import MARKS, UNSPACED

# A number with its separators, a word with its apostrophes; or, outside of words, anything else that is shown.
_NUMBER = r"\d+(?:[.,]\d+)+"
_WORD = re.compile(f"{_NUMBER}(?![\\w{MARKS}])|[\\w{MARKS}]+(?:['’][\\w{MARKS}]+)*")
_UNSPACED_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")
_SYMBOL = re.compile(r"[^\w\s\x00-\x7f]")

# The others' similarity is the larger of two: that of this share of the document's words, and of the word form at this
# rank. Function words are a third of a text, so a match among them is no more than theirs. Measured by eye on scifact
# (all-MiniLM-L6-v2, raw and trained): the matches of "is", "of" and "the" fall below the threshold, those of "blood"
# with "plasma" and of "kills" with "death" stay above it.
_SHARE, _RANK = 0.85, 5
# Words that begin alike are forms of one word, and no rivals: pregnant, pregnancy.
_STEM = 5
# The share of what lies between the others' similarity and 1 that a match must reach to have earned something.
_EARNED = 0.3
# Other words that would have earned nearly as much as the best are shown too, down to this share of it.
_NEARLY = 0.5


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text with its tokens: whole in scripts with spaces, a token's characters in the others."""

    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WordMatches:
    """What each word of the document earned.

    Attributes:
        words: the document's, in the order of the text.
        earned: from each word of the query ``[query words, document words]``, 0 to 1: how much of the room between the
            other words' similarity and 1 it reaches; 0 for words far behind the best.
        traces: the same of every word above the others, however little.
    """

    words: Sequence[Word]
    earned: NDArray[np.float32]
    traces: NDArray[np.float32]


def words_of(text: str, tokens: Sequence[Token]) -> list[Word]:
    """Return the words of a text that have a token with a vector, in order.

    >>> tokens = [Token("fly", 4, 7), Token("wheel", 7, 12), Token(",", 12, 13)]
    >>> words_of("The flywheel, then", tokens)
    [Word(start=4, end=12, tokens=(0, 1))]
    """
    places = sorted(
        (token.start, token.end, number)
        for number, token in enumerate(tokens)
        if token.start is not None and token.end is not None and token.start < token.end
    )
    runs = _runs(text, max((end for _, end, _ in places), default=0))
    ends = [run[1] for run in runs]
    found: list[Word] = []
    for start, end, number in places:
        for first, last in _spans(text, islice(runs, bisect_right(ends, start), None), start, end):
            new = Word(first, last, (number,))
            # Pieces of one word, or the bytes of one character.
            found.append(_joined(found.pop(), new) if found and first < found[-1].end else new)
    return found


def _joined(one: Word, other: Word) -> Word:
    return Word(min(one.start, other.start), max(one.end, other.end), one.tokens + other.tokens)


def _runs(text: str, until: int) -> list[tuple[int, int, bool]]:
    """The words that begin before ``until``: start, end, and whether they are of a script without spaces."""
    words = takewhile(lambda word: word.start() < until, _WORD.finditer(text))
    runs = (run for word in words for run in _UNSPACED_RUN.finditer(text, *word.span()))
    return [(*run.span(), _IS_UNSPACED.match(run[0]) is not None) for run in runs]


def _spans(text: str, runs: Iterable[tuple[int, int, bool]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """What a token covers: whole words, its own characters in a script without spaces, or its symbol."""
    is_word = False
    for first, last, is_unspaced in runs:
        if first >= end:
            break
        is_word = True
        span = (max(first, start), min(last, end)) if is_unspaced else (first, last)
        yield last_boundary(text, span[0]), next_boundary(text, span[1])
    if not is_word and _SYMBOL.search(text, start, end):
        yield last_boundary(text, start), next_boundary(text, end)


def word_matches(explanation: Explanation) -> WordMatches:
    """Return what each word of an explanation's document earned from each word of its query.

    Tokens that are not in the text (markers, the query's expansion), punctuation and function words take no part. A
    query of function words alone is matched by them.
    """
    words = words_of(explanation.document, explanation.document_tokens)
    asked = words_of(explanation.query, explanation.query_tokens)
    forms = [explanation.document[word.start : word.end].casefold() for word in words]
    questions = [explanation.query[word.start : word.end].casefold() for word in asked]
    known = function_words([*forms, *questions])
    if known.issuperset(questions):
        known = frozenset()
    kept = [place for place, form in enumerate(forms) if form not in known]
    chosen = [word for word, form in zip(asked, questions, strict=True) if form not in known]
    traces = np.zeros((len(chosen), len(words)), dtype=np.float32)
    if kept and chosen:
        similar = _similarities(explanation.similarities, chosen, words)  # [chosen, words]
        stems = {stem: number for number, stem in enumerate(dict.fromkeys(form[:_STEM] for form in forms))}
        families = np.array([stems[form[:_STEM]] for form in forms])
        for place, row in enumerate(similar):
            traces[place, kept] = _above(row, families)[kept]
    return WordMatches(words, _leading(traces), traces)


def _similarities(tokens: NDArray[np.float32], asked: Sequence[Word], words: Sequence[Word]) -> NDArray[np.float32]:
    """Of words, from those of tokens: the mean over the query word's tokens of the best in the document's word."""
    columns = [token for word in words for token in word.tokens]
    starts = [0, *accumulate(len(word.tokens) for word in words)][:-1]
    best = np.maximum.reduceat(tokens[:, columns], starts, axis=1)  # [query tokens, words]
    return np.stack([best[list(word.tokens)].mean(axis=0) for word in asked])


def _above(row: NDArray[np.float32], families: NDArray[np.intp]) -> NDArray[np.float32]:
    """How far each word of the document lies above the others, as a share of the room up to 1.

    Args:
        row: a query word's similarity with each word ``[words]``.
        families: the number of the form that each word belongs to ``[words]``.
    """
    others = families != families[row.argmax()]
    level = 0.0
    if others.any():
        best = np.full(families.max() + 1, -np.inf, dtype=np.float32)
        np.maximum.at(best, families[others], row[others])
        ranked = np.sort(best[np.isfinite(best)])[::-1]
        level = max(float(np.quantile(row[others], _SHARE)), float(ranked[min(_RANK, len(ranked)) - 1]))
    return ((row - level) / max(1 - level, 1e-3)).clip(0, 1).astype(np.float32)


def _leading(traces: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same without what is too little, and without words far behind the best."""
    if not traces.size:
        return traces
    best = traces.max(axis=1, keepdims=True)
    return np.where((best >= _EARNED) & (traces >= _NEARLY * best), traces, 0).astype(np.float32)
