"""Containment: the documents that contain given texts, word for word or nearly so.

Only normalised words count: punctuation, quotation marks, case and spacing do not matter
(:func:`tardif.text.normal.words_in_order`). The texts are kept in memory as numbers of words, and the documents are
streamed. A few runs of words of each text, the rarest among the texts, serve as anchors. A rolling hash finds them in
the documents (:mod:`tardif.text.rolling`). Each candidate is then compared word for word: no find is chance.

How long must a text be to show where it comes from? Decontamination of training data takes a run of 8 words (PaLM) or
13 (GPT-3) for a copy. Shorter texts occur in unrelated documents, so they count only if exactly one document contains
them. Single words and texts of fewer than 8 letters never count: "Yes", "42", "Paris".
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from tardif.text.anchors import AnchoredTexts, Batch
from tardif.text.normal import words_in_order
from tardif.text.rolling import Hashes, Places, Rolling
from tardif.text.wording import matched

# The share of a text's words from which a document nearly contains it.
NEAR = 0.9
# A text of at least this many words and letters is found in every document. Han, kana and Hangul count twice.
SURE_WORDS, SURE_LETTERS = 8, 32
# A text of at least this length is found if exactly one document contains it. A shorter one is never found.
LEAST_WORDS, LEAST_LETTERS = 2, 8
# A text in more distinct documents than this is boilerplate, and is found in none.
MOST = 100
_ANCHORS = 8  # anchors of a text that is searched approximately
# A document that has this much less of a text's pairs of words than the best one does not contain the text.
_BEHIND = 0.1
_FEW = 300  # hashes up to which comparing all pairs is faster than np.isin
_FIRST_KANA = "\u3040"  # kana, Han and Hangul come after it

_Compare = Callable[[AnchoredTexts, Batch, Rolling, "Sequence[_Finds]", int], None]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a text in a document.

    Attributes:
        text: the text's id.
        document: the document's id.
        share: the share of the text's words that the document has there in their order.
        exact: whether the text occurs word for word.
        start: the document's first word (:func:`tardif.text.normal.words_in_order`) that is the text's.
        end: the word after its last.
    """

    text: str
    document: str
    share: float
    exact: bool
    start: int
    end: int


@dataclass(slots=True)
class Containment:
    """The result of a search for texts in documents.

    Attributes:
        found: for the id of each text that was found, its occurrences, by the documents' ids.
        short: the ids of texts that are too short, or short and in several documents.
        common: the ids of texts in more distinct documents than allowed.
    """

    found: dict[str, list[Occurrence]] = field(default_factory=dict)
    short: set[str] = field(default_factory=set)
    common: set[str] = field(default_factory=set)


def contained(
    texts: Iterable[tuple[str, str]],
    documents: Iterable[tuple[str, str]],
    *,
    near: float | None = NEAR,
    most: int = MOST,
    every: bool = False,
) -> Containment:
    """Find the documents that contain the texts.

    A text that occurs word for word in some document is not searched approximately. Otherwise it is found where a
    passage of about its length has ``near`` of its words in their order, misspelt words included. A different number
    makes a different text. So do replaced words (one in twenty may be), if several distinct documents have them: those
    documents come from one template.

    To find the documents that are part of a text, swap the arguments.

    Args:
        texts: ids and texts to look for, each id once. They are kept in memory, at 4 bytes a word.
        documents: ids and texts to look in, one at a time. They are read twice, so give a list or another iterable that
            can be read again; with ``near=None`` they are read once.
        near: the least share of a text's words. None finds only exact occurrences.
        most: a text in more distinct documents than this is common, and found in none.
        every: return every exact occurrence in a document, instead of the first.

    Raises:
        TypeError: the documents are an iterator, which can be read only once, and ``near`` is not None.

    Returns:
        The occurrences. They do not depend on the order of the texts and documents.

    >>> held = contained([("answer", "Press the RED button for ten seconds \u2013 then let go.")],
    ...                  [("manual", "To reset: press the *red* button for ten seconds, then let go. Wait.")])
    >>> [(found.document, found.exact, found.start, found.end) for found in held.found["answer"]]
    [('manual', True, 2, 12)]
    """
    if near is not None and isinstance(documents, Iterator):
        raise TypeError("documents are read twice: give a list, or near=None")
    result = Containment()
    groups = _groups(texts, result)
    finds = [_Finds(text) for text in groups]
    _look(finds, documents, 1, most, functools.partial(_exactly, every=every))
    if near is not None:
        rest = [find for find in finds if not find.rows and is_sure(find.words)]
        _look(rest, documents, _ANCHORS, most, functools.partial(_nearly, near=near))
    for find, names in zip(finds, groups.values(), strict=True):
        rows, distinct = find.accepted()
        if distinct > most:
            result.common.update(names)
        elif distinct > 1 and not is_sure(find.words):
            result.short.update(names)
        elif rows:
            for name in names:
                found = (replace(row.at, text=name) for row in rows)
                result.found[name] = sorted(found, key=lambda one: (one.document, one.start))
    return result


def measure(words: Sequence[str]) -> tuple[int, int]:
    """Count words and letters. Characters that are a syllable or a word count twice."""
    letters = sum(2 * len(w) if w[0] >= _FIRST_KANA else len(w) for w in words)
    return len(words), letters


def is_sure(words: Sequence[str]) -> bool:
    """Return whether a text of these words is long enough to be found in every document."""
    count, letters = measure(words)
    return count >= SURE_WORDS and letters >= SURE_LETTERS


def _groups(texts: Iterable[tuple[str, str]], result: Containment) -> dict[tuple[str, ...], list[str]]:
    """Return the ids of the texts by their words. Texts that are too short go into the result."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for identity, text in texts:
        words = tuple(map(sys.intern, words_in_order(text)))
        count, letters = measure(words)
        if count < LEAST_WORDS or letters < LEAST_LETTERS:
            result.short.add(identity)
        else:
            groups.setdefault(words, []).append(identity)
    return groups


@dataclass(frozen=True, slots=True)
class _Find:
    """An occurrence, with what decides whether it is accepted.

    Attributes:
        at: the occurrence.
        replaced: the number of replaced words.
        alike: the share of the text's pairs of words that the document has there.
        content: a hash of the document's words, equal for copies of a document.
    """

    at: Occurrence
    replaced: int
    alike: float
    content: int


@dataclass(slots=True)
class _Finds:
    """The occurrences of one text that have been found so far."""

    words: tuple[str, ...]
    rows: list[_Find] = field(default_factory=list)
    best: float = 0.0

    def add(self, row: _Find, most: int) -> None:
        """Add an occurrence. If there are far more than can be returned, only the nearest are kept."""
        self.rows.append(row)
        self.best = max(self.best, row.alike)
        if len(self.rows) > 20 * max(most, 100):
            self.rows = sorted(self.rows, key=lambda row: (-row.alike, row.at.document))[: 10 * max(most, 100)]

    def accepted(self) -> tuple[list[_Find], int]:
        """Return the accepted occurrences, and the number of distinct documents with them.

        Of approximate occurrences, only those count that are about as near as the nearest. Replaced words in one
        document are an editor's; in several distinct documents they are a template's.
        """
        rows = [row for row in self.rows if row.alike >= self.best - _BEHIND]
        if len({row.content for row in rows}) > 1:
            rows = [row for row in rows if not row.replaced]
        return rows, len({row.content for row in rows})


def _look(
    finds: Sequence[_Finds], documents: Iterable[tuple[str, str]], anchors: int, most: int, compare: _Compare
) -> None:
    """Find the texts' anchors in the documents, and compare the texts there."""
    if not finds:
        return
    anchored = AnchoredTexts([find.words for find in finds], anchors=anchors)
    for batch in anchored.batches(documents):
        rolling = Rolling(batch.numbers)
        compare(anchored, batch, rolling, finds, most)


def _exactly(
    anchored: AnchoredTexts, batch: Batch, rolling: Rolling, finds: Sequence[_Finds], most: int, *, every: bool
) -> None:
    """Add the exact occurrences in a batch."""
    hits = anchored.hits(batch, rolling)
    ends = hits.begins + anchored.lengths[hits.texts]
    inside = np.flatnonzero((hits.begins >= batch.starts[hits.homes]) & (ends <= batch.ends[hits.homes]))
    texts, homes, begins = hits.texts[inside], hits.homes[inside], hits.begins[inside]
    alike = rolling.between(begins, ends[inside]) == anchored.hashes[texts]
    for text, home, begin in _places(texts[alike], homes[alike], begins[alike], every=every):
        find, count = finds[text], len(finds[text].words)
        if np.array_equal(batch.numbers[begin : begin + count], anchored.row(text)):
            start = begin - int(batch.starts[home])
            at = Occurrence("", batch.names[home], 1.0, exact=True, start=start, end=start + count)
            find.add(_Find(at, 0, 1.0, _hash(batch, home)), most)


def _places(texts: Places, homes: Places, begins: Places, *, every: bool) -> list[tuple[int, int, int]]:
    """Return the first place of each text in each document, or every place: (text, document, first word)."""
    order = np.lexsort((begins, homes, texts))
    rows = np.stack([texts, homes, begins], axis=1)[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = every | (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    return [(int(text), int(home), int(begin)) for text, home, begin in rows[first].tolist()]


def _nearly(
    anchored: AnchoredTexts, batch: Batch, rolling: Rolling, finds: Sequence[_Finds], most: int, *, near: float
) -> None:
    """Add the approximate occurrences in a batch, where a quarter of a text's anchors are about in place."""
    hits, pairs = anchored.hits(batch, rolling), rolling.runs(2)
    rows = np.stack([hits.texts, hits.homes, hits.begins, hits.anchors], axis=1)
    rows = rows[np.lexsort(rows.T[::-1])]
    for (text, home), group in groupby(rows.tolist(), key=lambda row: (row[0], row[1])):
        find, count = finds[text], len(finds[text].words)
        slack = count // 5 + 2
        begin = _crowded([(row[2], row[3]) for row in group], slack, max(int(anchored.counts[text]) // 4, 1))
        if begin is None:
            continue
        start = int(batch.starts[home])
        first, last = max(begin - slack, start), min(begin + count + 2 * slack, int(batch.ends[home]))
        alike = _share_among(anchored.pairs(text), pairs[first : last - 1])
        if alike < max(1 - _broken(count, near), find.best - _BEHIND):
            continue
        match = matched(find.words, batch.words[first:last], near)
        if match is not None:
            begin, end = first - start + match.start, first - start + match.end
            at = Occurrence("", batch.names[home], match.share, exact=False, start=begin, end=end)
            find.add(_Find(at, match.replaced, alike, _hash(batch, home)), most)


def _hash(batch: Batch, home: int) -> int:
    """Hash a document's words, which tells copies of a document from distinct ones."""
    return hash(tuple(batch.words[int(batch.starts[home]) : int(batch.ends[home])]))


def _share_among(own: Hashes, others: Hashes) -> float:
    """Return the share of the hashes that are among the others."""
    if len(own) > _FEW:
        return float(np.isin(own, others).mean())
    return float((own[:, None] == others[None, :]).any(axis=1).mean())  # [own, 1] == [1, others], faster on few


def _broken(count: int, near: float) -> float:
    """Return the share of a text's pairs of words that may differ: two for each different word, and some extra."""
    return (2 * math.ceil((1 - near) * count) + count / 20) / (count - 1)


def _crowded(begins: Sequence[tuple[int, int]], slack: int, least: int) -> int | None:
    """Return where most distinct anchors place the text's beginning, within ``slack`` words; None below ``least``."""
    best: tuple[int, int] | None = None
    left = 0
    for right in range(len(begins)):
        while begins[right][0] - begins[left][0] > slack:
            left += 1
        votes = len({anchor for _, anchor in begins[left : right + 1]})
        if votes >= least and (best is None or votes > best[0]):
            best = votes, begins[left][0]
    return None if best is None else best[1]
