"""What a hit shows of itself: the words that earned its score, and the passage of the text that earned most of it.

>>> import numpy as np
>>> from tardif.explanation import Explanation, Token
>>> text = "Bread rises. The moon makes tides."
>>> tokens = [Token(text[a:b], a, b) for a, b in [(0, 5), (6, 11), (13, 16), (17, 21), (22, 27), (28, 33)]]
>>> similarities = np.array([[0.1, 0.1, 0.2, 0.3, 0.2, 0.9]], dtype=np.float32)
>>> found = Explanation("tides", text, [Token("tides", 0, 5)], tokens, [], 0.9, similarities)
>>> passage(found, characters=25)
Passage(text='... The moon makes tides.', start=13, end=34, marks=(Mark(start=19, end=24, weight=0.868),))
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tardif.display import Short
from tardif.explanation import Explanation
from tardif.search.word_matches import Word, WordMatches, word_matches
from tardif.text.clusters import is_boundary, last_boundary, next_boundary
from tardif.text.sentences import sentences
from tardif.types import Hit, Mark

# About three lines of a terminal.
CHARACTERS = 240
_CUT = "..."
_SPACE = re.compile(r"\s+")
# A window that begins or ends inside of a sentence counts this share of what it earned.
_INSIDE = 0.85
# A window of whole sentences fills at least this share of the characters.
_LEAST = 0.5
# Characters in which the space before a word is sought, so that "(word" and "self-word" are not cut.
_ATTACHED = 24


@dataclass(frozen=True, slots=True, repr=False)
class Passage(Short):
    """A passage of a document.

    Attributes:
        text: the passage on one line, with ``...`` where it was cut.
        start: the place of its first character in the document's text (title and text as the model reads it).
        end: the place after its last character.
        marks: the words in it that earned the score; their places are in ``text``.
    """

    text: str
    start: int
    end: int
    marks: tuple[Mark, ...] = ()


def marks(explanation: Explanation) -> tuple[Mark, ...]:
    """Return the words of a document that earned its score, in the order of the text.

    A word earned something if it is markedly more similar to a word of the query than the document's other words are.
    Its weight says by how much, from 0 to 1. What matches its like in any text, such as function words, punctuation,
    markers and the query's expansion, is not marked. Neighbours in a script without spaces are one mark.

    Returns:
        Marks with places in ``explanation.document``; none where nothing matched well, or where the tokenizer gives no
        places.
    """
    return _marks(explanation.document, word_matches(explanation))


def passage(explanation: Explanation, characters: int = CHARACTERS, *, start: int = 0) -> Passage:
    """Return the passage of a document that earned most of its score, with its marks.

    It begins and ends with a sentence where that costs little. Otherwise it is cut between words, or, in scripts
    without spaces, between characters. White space becomes one space.

    Args:
        explanation: of the score.
        characters: the most characters of the passage, without the ``...`` where it is cut.
        start: the place in the document before which it does not begin, such as the end of the title.

    Returns:
        The passage; the beginning of the text where nothing matched.
    """
    return _passage(explanation.document, word_matches(explanation), characters, start)


def explained_hit(hit: Hit, explanation: Explanation) -> Hit:
    """Return a hit with its snippet, and the words in it and in the title that earned the score.

    Args:
        hit: the hit of a search.
        explanation: of its title and text (``Document.content``).
    """
    text, found = explanation.document, word_matches(explanation)
    # Title and text are joined by a space, and white space at the beginning is left out.
    left_out = len(joined := f"{hit.title} {hit.text}") - len(joined.lstrip())
    end = max(len(hit.title) - left_out, 0)
    in_title = (mark for mark in _marks(text, found) if mark.end <= end)
    titled = tuple(Mark(mark.start + left_out, mark.end + left_out, mark.weight) for mark in in_title)
    shown = _passage(text, found, CHARACTERS, end)
    return replace(hit, snippet=shown.text, matches=shown.marks, title_matches=titled)


def _passage(text: str, found: WordMatches, characters: int, start: int) -> Passage:
    space = _SPACE.match(text, start)
    start = next_boundary(text, space.end() if space else start)
    first, last = _best_window(text, found, max(characters, 1), start)
    before = f"{_CUT} " if text[start:first].strip() else ""
    after = f" {_CUT}" if text[last:].strip() else ""
    shown = shown_marks(text, _marks(text, found), first, last, len(before))
    return Passage(f"{before}{one_line(text[first:last])}{after}", first, last, shown)


def one_line(text: str) -> str:
    """Return a text with one space for each stretch of white space."""
    return _SPACE.sub(" ", text)


def shown_marks(text: str, found: Iterable[Mark], first: int, last: int, shift: int = 0) -> tuple[Mark, ...]:
    """Return marks with their places in ``one_line(text[first:last])``.

    Args:
        text: the text with the marks.
        found: the marks, with places in ``text``.
        first: the place of the first character that is shown. It is no space.
        last: the place after the last one.
        shift: how many characters stand before it.
    """
    inside = [(max(mark.start, first), min(mark.end, last), mark.weight) for mark in found]
    return tuple(
        Mark(shift + len(one_line(text[first:start])), shift + len(one_line(text[first:end])), weight)
        for start, end, weight in inside
        if start < end
    )


def _marks(text: str, found: WordMatches) -> tuple[Mark, ...]:
    weights = found.earned.max(axis=0, initial=0)  # [words]
    marked: list[Mark] = []
    for word, weight in zip(found.words, weights.tolist(), strict=True):
        if not weight:
            continue
        new = Mark(word.start, word.end, round(weight, 3))
        if marked and marked[-1].end == new.start:  # neighbours without a space
            old = marked.pop()
            new = Mark(old.start, new.end, max(old.weight, new.weight))
        marked.append(new)
    return tuple(marked)


@dataclass(frozen=True, slots=True)
class _Window:
    """A passage that may be shown; whole sentences count a little more."""

    start: int
    end: int
    share: float


def _best_window(text: str, found: WordMatches, characters: int, floor: int) -> tuple[int, int]:
    """The window whose words earned most from the query: as MaxSim, each query word counts with its best match."""
    starts, ends = [word.start for word in found.words], [word.end for word in found.words]
    # Traces decide between windows that earned the same.
    matrices = (found.earned, found.traces)
    best, chosen = (0.0, 0.0), None
    for window in _windows(text, found.words, characters, floor):
        inside = slice(bisect_left(starts, window.start), bisect_right(ends, window.end))
        earned, traces = (window.share * _sum_of_best(matrix[:, inside]) for matrix in matrices)
        if chosen is None or (round(earned, 4), round(traces, 4)) > best:
            best, chosen = (round(earned, 4), round(traces, 4)), window
    return (floor, floor) if chosen is None else (chosen.start, chosen.end)


def _sum_of_best(matches: NDArray[np.float32]) -> float:
    return float(matches.max(axis=1, initial=0).sum())


def _windows(text: str, words: Sequence[Word], characters: int, floor: int) -> Iterator[_Window]:
    """Every window that may be shown, in the order of the text."""
    # Nothing beyond the last token can earn anything. Something is shown even of a text without tokens.
    reach = max(words[-1].end if words else 0, floor) + characters
    stop = len(text[: last_boundary(text, min(reach, len(text)))].rstrip())
    spans = [(max(first, floor), last) for first, last in sentences(text[:stop]) if last > floor]
    spans = [span for span in spans if all(is_boundary(text, place) for place in span)]
    for place, (first, last) in enumerate(spans):
        inner = [] if last - first <= characters else _word_starts(text, words, first, last)
        for start in [first, *inner]:
            end = _end(text, words, start, characters, stop)
            share = 1.0 if start == first else _INSIDE
            yield _Window(start, end, share * (1.0 if end == stop else _INSIDE))
            whole = [b for _, b in spans[place:] if b <= end]
            if whole and whole[-1] - start >= characters * _LEAST:
                yield _Window(start, whole[-1], share)


def _word_starts(text: str, words: Sequence[Word], first: int, last: int) -> list[int]:
    """Where a passage may begin inside of a long sentence: before each word, with what is attached to it."""
    found = set()
    for word in words:
        if first < word.start < last:
            nearest = range(word.start, max(word.start - _ATTACHED, first), -1)
            start = next((place for place in nearest if text[place - 1].isspace()), word.start)
            found.add(start if is_boundary(text, start) else word.start)
    return sorted(found)


def _end(text: str, words: Sequence[Word], start: int, characters: int, stop: int) -> int:
    """Where a passage from ``start`` ends: before white space, else before a word, else between two characters."""
    limit = start + characters
    if limit >= stop:
        return stop
    least = start + characters // 2
    for place in range(limit, least, -1):
        if text[place].isspace() and not text[place - 1].isspace() and is_boundary(text, place):
            return place
    for word in words:
        if least < word.start < limit < word.end:
            return word.start
    return max(last_boundary(text, limit), next_boundary(text, start + 1))
