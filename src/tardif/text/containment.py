"""Which texts stand inside which documents: found over normalised words, word for word or nearly so.

Punctuation, quotation marks, case and spacing make no difference (:func:`tardif.text.normal.words_in_order`). The texts
are held in memory as numbers of words; the documents stream by. Of every text a few runs of words are taken as anchors,
those that the fewest of the texts share. A rolling hash over the documents finds them (:mod:`tardif.text.rolling`);
every place so found is then compared word for word, so nothing is found by chance.

How much text tells where it comes from? A run of eight words is what decontamination of training data takes for a
copy (PaLM 8, GPT-3 13). A shorter text stands in documents that have nothing to do with it, so it counts only where
one document alone holds it; a single word, or one of fewer than eight letters, never does: "Yes", "42", "Paris".
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from tardif.text.anchors import AnchoredTexts, Batch
from tardif.text.normal import words_in_order
from tardif.text.rolling import Hashes, Places, Rolling
from tardif.text.wording import matched

NEAR = 0.9
"""The share of a text's words from which a document nearly holds it."""

SURE_WORDS, SURE_LETTERS = 8, 32
"""A text of so many words and letters (characters of Han, kana and Hangul count twice) is found in every document."""

LEAST_WORDS, LEAST_LETTERS = 2, 8
"""A text of so many is found where one document alone holds it; a shorter one never is."""

MOST = 100
"""A text that more different documents hold tells none of them: boilerplate."""

_ANCHORS = 8  # runs of words by which a passage is found that nearly holds a text
_BEHIND = 0.1  # a document that has so much less of a text's pairs of words than another does not hold the text
_FEW = 300
_KANA_AND_ON = "\u3040"  # kana, Han and Hangul

_Compare = Callable[[AnchoredTexts, Batch, Rolling, "Sequence[_Finds]", int], None]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A document that holds a text.

    Attributes:
        text: the text's id.
        document: the document's id.
        share: of the text's words, how many the document has there, in their order.
        exact: whether the text stands there word for word.
        start: the first of the document's words (:func:`tardif.text.normal.words_in_order`) that is the text's.
        end: the word after the last.
    """

    text: str
    document: str
    share: float
    exact: bool
    start: int
    end: int


@dataclass(slots=True)
class Containment:
    """What was found, and what tells nothing.

    Attributes:
        found: for each text (id) that some document holds: those documents, in the order of their ids.
        short: texts that are too short to be looked for, or short and in several documents.
        common: texts that more different documents hold than can be meant.
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
    """Find the documents that hold the texts.

    A text that stands word for word in a document is not looked for in others that nearly hold it. Else it is found
    where ``near`` of its words stand in their order within a passage of about its length; misspelt ones count. A number
    in another's place makes another text. So does another word in the place of the text's own (one in twenty
    may be another), if several different documents have it so: those were written by one template.

    To ask which documents are part of a text, give the documents as the texts, and the texts as the documents.

    Args:
        texts: ids and texts to look for, each id once; held in memory, at 4 bytes a word.
        documents: ids and texts to look in. They are read twice, one at a time: a list, or whatever can be iterated
            over again; once where ``near`` is None.
        near: the least share of a text's words; None finds only what stands word for word.
        most: a text that more different documents hold is common, and found in none.
        every: tell every place at which a text stands in a document word for word; else a document is told once.

    Raises:
        TypeError: the documents are an iterator, which can be read only once, and ``near`` is not None.

    Returns:
        The same for the same texts and documents, whatever their order.

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
        rows, holders = find.told()
        if holders > most:
            result.common.update(names)
        elif holders > 1 and not is_sure(find.words):
            result.short.update(names)
        elif rows:
            for name in names:
                found = (Occurrence(name, row.document, row.share, row.exact, row.start, row.end) for row in rows)
                result.found[name] = sorted(found, key=lambda one: (one.document, one.start))
    return result


def measure(words: Sequence[str]) -> tuple[int, int]:
    """How many words and letters there are; characters that stand for a syllable or a word count twice."""
    letters = sum(2 * len(w) if w[0] >= _KANA_AND_ON else len(w) for w in words)
    return len(words), letters


def is_sure(words: Sequence[str]) -> bool:
    """Whether a text of these words is found in every document that holds it."""
    count, letters = measure(words)
    return count >= SURE_WORDS and letters >= SURE_LETTERS


def _groups(texts: Iterable[tuple[str, str]], result: Containment) -> dict[tuple[str, ...], list[str]]:
    """The ids of the texts by their words; what is too short goes into the result at once."""
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
    """A document that holds a text; ``alike`` is the share of its pairs of words, ``holder`` the document's hash."""

    document: str
    share: float
    exact: bool
    start: int
    end: int
    replaced: int
    alike: float
    holder: int


@dataclass(slots=True)
class _Finds:
    """What has been found of one text: at most one row for each document that is looked at."""

    words: tuple[str, ...]
    rows: list[_Find] = field(default_factory=list)
    best: float = 0.0

    def add(self, row: _Find, most: int) -> None:
        """Add a document; of far more than can be told, the nearest are kept."""
        self.rows.append(row)
        self.best = max(self.best, row.alike)
        if len(self.rows) > 20 * max(most, 100):
            self.rows = sorted(self.rows, key=lambda row: (-row.alike, row.document))[: 10 * max(most, 100)]

    def told(self) -> tuple[list[_Find], int]:
        """What can be told, and how many different documents that is.

        Of documents that nearly hold it, those count that are about as near as the nearest. Other words in the text's
        place are an editor's in one of them, a template's in several.
        """
        rows = [row for row in self.rows if row.alike >= self.best - _BEHIND]
        if len({row.holder for row in rows}) > 1:
            rows = [row for row in rows if not row.replaced]
        return rows, len({row.holder for row in rows})


def _look(
    finds: Sequence[_Finds], documents: Iterable[tuple[str, str]], anchors: int, most: int, compare: _Compare
) -> None:
    """Look for texts in documents, and compare them where their anchors stand."""
    if not finds:
        return
    anchored = AnchoredTexts([find.words for find in finds], anchors=anchors)
    for batch in anchored.batches(documents):
        rolling = Rolling(batch.numbers)
        compare(anchored, batch, rolling, finds, most)


def _exactly(
    anchored: AnchoredTexts, batch: Batch, rolling: Rolling, finds: Sequence[_Finds], most: int, *, every: bool
) -> None:
    """Find the texts that stand in the batch word for word."""
    hits = anchored.hits(batch, rolling)
    ends = hits.begins + anchored.lengths[hits.texts]
    inside = np.flatnonzero((hits.begins >= batch.starts[hits.homes]) & (ends <= batch.ends[hits.homes]))
    texts, homes, begins = hits.texts[inside], hits.homes[inside], hits.begins[inside]
    alike = rolling.between(begins, ends[inside]) == anchored.hashes[texts]
    for text, home, begin in _places(texts[alike], homes[alike], begins[alike], every=every):
        find, count = finds[text], len(finds[text].words)
        if np.array_equal(batch.numbers[begin : begin + count], anchored.row(text)):
            start = begin - int(batch.starts[home])
            row = batch.names[home], 1.0, True, start, start + count, 0, 1.0, _hash(batch, home)
            find.add(_Find(*row), most)


def _places(texts: Places, homes: Places, begins: Places, *, every: bool) -> list[tuple[int, int, int]]:
    """The first place of each text in each document, or every: (text, document, first word)."""
    order = np.lexsort((begins, homes, texts))
    rows = np.stack([texts, homes, begins], axis=1)[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = every | (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    return [(int(text), int(home), int(begin)) for text, home, begin in rows[first].tolist()]


def _nearly(
    anchored: AnchoredTexts, batch: Batch, rolling: Rolling, finds: Sequence[_Finds], most: int, *, near: float
) -> None:
    """Find the texts that nearly stand in the batch: where a quarter of their anchors are about where they belong."""
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
            row = batch.names[home], match.share, False, begin, end, match.replaced, alike, _hash(batch, home)
            find.add(_Find(*row), most)


def _hash(batch: Batch, home: int) -> int:
    """Of a document's words, to tell copies of a document from different ones."""
    return hash(tuple(batch.words[int(batch.starts[home]) : int(batch.ends[home])]))


def _share_among(own: Hashes, others: Hashes) -> float:
    """The share of the hashes that are among others."""
    if len(own) > _FEW:
        return float(np.isin(own, others).mean())
    return float((own[:, None] == others[None, :]).any(axis=1).mean())  # much faster on few


def _broken(count: int, near: float) -> float:
    """The share of a text's pairs of words that may be broken: two by each word that differs, some by words between."""
    return (2 * math.ceil((1 - near) * count) + count / 20) / (count - 1)


def _crowded(begins: Sequence[tuple[int, int]], slack: int, least: int) -> int | None:
    """Where the most different anchors say that the text begins, within ``slack`` words; None: fewer than ``least``."""
    best: tuple[int, int] | None = None
    left = 0
    for right in range(len(begins)):
        while begins[right][0] - begins[left][0] > slack:
            left += 1
        votes = len({anchor for _, anchor in begins[left : right + 1]})
        if votes >= least and (best is None or votes > best[0]):
            best = votes, begins[left][0]
    return None if best is None else best[1]
