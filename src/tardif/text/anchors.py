"""Search for many texts in a stream of documents, by rare runs of their words (anchors)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tardif.text.normal import words_in_order
from tardif.text.rolling import Hashes, Numbers, Places, Rolling

# The words of an anchor, and of an anchor in a text of two or three words.
RUN, SHORT_RUN = 4, 2
_BATCH = 400_000  # words of documents that are searched at a time


@dataclass(frozen=True, slots=True)
class AnchorHits:
    """The anchors found in a batch of documents, as parallel arrays.

    Attributes:
        texts: the number of the anchor's text.
        homes: the place in the batch of the document with the anchor.
        begins: the batch's word that the text would begin with.
        anchors: the number of the anchor.
    """

    texts: Places
    homes: Places
    begins: Places
    anchors: Places


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents as one sequence of words, with a gap after each document.

    Attributes:
        names: the documents' ids.
        starts: each document's first word.
        ends: the gap after each document's last word.
        words: the words; an empty one in the gaps.
        numbers: the words' numbers among the texts; 0 in gaps, and for words that no text has.
    """

    names: Sequence[str]
    starts: Places
    ends: Places
    words: Sequence[str]
    numbers: Numbers


class AnchoredTexts:
    """The texts to look for, each with its anchors.

    Args:
        texts: the words of each text: at least two, and no two texts equal.
        anchors: the most anchors of a text. They are evenly spread over it, and rare among the texts.

    Attributes:
        lengths: the number of words of each text.
        hashes: the hash of each text's words.
        counts: the number of anchors of each text.
    """

    def __init__(self, texts: Sequence[Sequence[str]], *, anchors: int) -> None:
        self._texts = texts
        self._numbers: dict[str, int] = {}
        number = self._numbers
        gap = np.zeros(1, np.int32)  # no word's number, so no anchor spans two texts
        rows = [np.array([number.setdefault(word, len(number) + 1) for word in words], np.int32) for words in texts]
        self._flat: Numbers = np.concatenate([part for row in rows for part in (row, gap)] or [gap])
        self.lengths = np.array([len(row) for row in rows], dtype=np.int64)
        self._starts = np.cumsum(self.lengths + 1) - (self.lengths + 1)
        rolling = Rolling(self._flat)
        self.hashes = rolling.between(self._starts, self._starts + self.lengths)
        self._pairs = rolling.runs(2)
        self._anchors = [self._choose(rolling, size, anchors) for size in (SHORT_RUN, RUN)]
        self.counts = np.bincount(np.concatenate([found.texts for found in self._anchors]), minlength=len(texts))

    def row(self, text: int) -> Numbers:
        """Return the numbers of one text's words."""
        found: Numbers = self._flat[self._starts[text] : self._starts[text] + self.lengths[text]]
        return found

    def pairs(self, text: int) -> Hashes:
        """Return the hashes of one text's pairs of words."""
        found: Hashes = self._pairs[self._starts[text] : self._starts[text] + self.lengths[text] - 1]
        return found

    def batches(self, documents: Iterable[tuple[str, str]]) -> Iterator[Batch]:
        """Yield documents, given as (id, text), in batches."""
        names: list[str] = []
        ends: list[int] = []
        words: list[str] = []
        for identity, text in documents:
            words += words_in_order(text)
            names.append(identity)
            ends.append(len(words))
            words.append("")
            if len(words) >= _BATCH:
                yield _batch(names, ends, words, self._numbers)
                names, ends, words = [], [], []
        if names:
            yield _batch(names, ends, words, self._numbers)

    def hits(self, batch: Batch, rolling: Rolling) -> AnchorHits:
        """Return the anchors that are in a batch; ``rolling`` has the batch's hashes."""
        texts, places, begins, numbers = [], [], [], []
        before = 0
        for anchors in self._anchors:
            found, which = anchors.among(rolling)
            texts.append(anchors.texts[which])
            places.append(found)
            begins.append(found - anchors.offsets[which])
            numbers.append(which + before)
            before += len(anchors.texts)
        homes = np.searchsorted(batch.starts, np.concatenate(places), side="right") - 1
        return AnchorHits(np.concatenate(texts), homes, np.concatenate(begins), np.concatenate(numbers))

    def _choose(self, rolling: Rolling, size: int, most: int) -> _AnchorTable:
        runs = rolling.runs(size)
        _, which, times = np.unique(runs, return_inverse=True, return_counts=True)
        often = times[which]
        texts: list[int] = []
        places: list[int] = []
        for text in np.flatnonzero((self.lengths < RUN) == (size == SHORT_RUN)).tolist():
            start, room = int(self._starts[text]), int(self.lengths[text]) - size + 1
            stretches = min(most, room)
            bounds = [start + room * number // stretches for number in range(stretches + 1)]
            places += [begin + int(often[begin:end].argmin()) for begin, end in pairwise(bounds)]
            texts += [text] * stretches
        owners, found = np.array(texts, dtype=np.int64), np.array(places, dtype=np.int64)
        return _AnchorTable(size, runs[found], owners, found - self._starts[owners])


class _AnchorTable:
    """A table of anchors of ``size`` words: the hash of each, the number of its text, and its place in the text."""

    def __init__(self, size: int, hashes: Hashes, texts: Places, offsets: Places) -> None:
        order = np.argsort(hashes, kind="stable")
        self.size, self.texts, self.offsets = size, texts[order], offsets[order]
        self._hashes, self._times = np.unique(hashes, return_counts=True)
        self._first = np.cumsum(self._times) - self._times
        # Most runs of a document are not anchors. A table of the hashes' first bits excludes them at once.
        bits = min(max((16 * len(self._hashes)).bit_length(), 10), 26)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, dtype=np.bool_)
        self._table[self._hashes >> self._shift] = True

    def among(self, rolling: Rolling) -> tuple[Places, Places]:
        """Return the anchors in a sequence: the first word of each, and its number."""
        if not len(self._hashes):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        runs = rolling.runs(self.size)
        places = np.flatnonzero(self._table[runs >> self._shift])
        at = np.minimum(np.searchsorted(self._hashes, runs[places]), len(self._hashes) - 1)
        real = self._hashes[at] == runs[places]
        places, at = places[real], at[real]
        times = self._times[at]
        inside = np.arange(int(times.sum())) - np.repeat(np.cumsum(times) - times, times)
        return np.repeat(places, times), np.repeat(self._first[at], times) + inside


def _batch(names: list[str], ends: list[int], words: list[str], numbers: Mapping[str, int]) -> Batch:
    stops = np.array(ends, dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1] + 1])
    known = np.fromiter((numbers.get(word, 0) for word in words), dtype=np.int32, count=len(words))
    return Batch(names, starts, stops, words, known)
