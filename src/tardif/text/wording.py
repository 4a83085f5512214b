"""Comparison of a text with a passage word by word: the words they share in order, and the words that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

# The share of letters that a misspelt word, or words written together or apart, have in common with the right ones.
_MISSPELT = 0.7
# One word in this many may be replaced by another, and one in any text.
_REPLACED = 20
# The share of extra words between the text's own, such as footnote marks, labels and links.
_BETWEEN = 0.2


@dataclass(frozen=True, slots=True)
class Wording:
    """A passage with nearly the words of a text.

    Attributes:
        share: the share of the text's words that the passage has in their order.
        start: the passage's first word that is the text's.
        end: the word after its last.
        replaced: the number of the text's words that are replaced by other words.
    """

    share: float
    start: int
    end: int
    replaced: int


def matched(text: Sequence[str], passage: Sequence[str], near: float) -> Wording | None:
    """Compare a text with a passage, which may begin before the text and end after it.

    Args:
        text: the text's words, at least two.
        passage: the passage's words.
        near: the least share of the text's words that the passage must have, misspelt words included.

    Returns:
        None if the passage has fewer words of the text, another number in place of a number, more than one word in
        twenty replaced, or too many extra words.

    >>> matched("press the red button".split(), "please press the red button now".split(), near=0.9)
    Wording(share=1.0, start=1, end=5, replaced=0)
    """
    blocks = _blocks(text, passage)
    if not blocks:
        return None
    equal = sum(size for _, _, size in blocks)
    misspelt = replaced = between = 0
    for own, other in _gaps(text, passage, blocks):
        for a, a_end, b, b_end in _parts(own, other):
            ours, theirs = own[a:a_end], other[b:b_end]
            if ours == theirs:
                equal += len(ours)
            elif _other_number(ours, theirs):
                return None
            elif ours and theirs and _is_misspelt(ours, theirs):
                misspelt += len(ours)
            elif ours and theirs:
                replaced += len(ours)
            else:
                between += len(theirs)
    count = len(text)
    if equal + misspelt < near * count or replaced > max(count // _REPLACED, 1) or between > _BETWEEN * count:
        return None
    first, last = blocks[0], blocks[-1]
    start = max(first[1] - first[0], 0)
    end = min(last[1] + count - last[0], len(passage))
    return Wording(equal / count, start, end, replaced)


def _blocks(text: Sequence[str], passage: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return the runs of words that both have, in order: (place in the text, place in the passage, words).

    Pairs of words are compared, because they rarely occur twice: the time then grows little faster than the texts.
    """
    pairs = SequenceMatcher(None, list(pairwise(text)), list(pairwise(passage)), autojunk=False)
    blocks: list[tuple[int, int, int]] = []
    done = passed = 0
    for block in pairs.get_matching_blocks()[:-1]:
        skip = max(done - block.a, passed - block.b, 0)
        size = block.size + 1 - skip
        if size > 0:
            blocks.append((block.a + skip, block.b + skip, size))
            done, passed = block.a + skip + size, block.b + skip + size
    return blocks


def _gaps(
    text: Sequence[str], passage: Sequence[str], blocks: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield the words of the text before, between and after the runs, each with the passage's words in that place."""
    head, place, _ = blocks[0]
    yield text[:head], passage[max(place - head, 0) : place]
    for (a, b, size), (next_a, next_b, _) in pairwise(blocks):
        yield text[a + size : next_a], passage[b + size : next_b]
    last, place, size = blocks[-1]
    tail = text[last + size :]
    yield tail, passage[place + size : place + size + len(tail)]


def _parts(own: Sequence[str], other: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the bounds of the parts of a gap that are equal, or that replace each other."""
    if own and other:
        for _, *bounds in SequenceMatcher(None, own, other, autojunk=False).get_opcodes():
            yield bounds[0], bounds[1], bounds[2], bounds[3]
    elif own or other:
        yield 0, len(own), 0, len(other)


def _other_number(own: Sequence[str], other: Sequence[str]) -> bool:
    ours = {word for word in own if any(map(str.isdigit, word))}
    theirs = {word for word in other if any(map(str.isdigit, word))}
    return bool(ours - theirs and theirs - ours)


def _is_misspelt(own: Sequence[str], other: Sequence[str]) -> bool:
    letters = SequenceMatcher(None, "".join(own), "".join(other), autojunk=False)
    return letters.real_quick_ratio() >= _MISSPELT and letters.ratio() >= _MISSPELT
