"""Copies and near-copies of a text: what must never be a negative of a query that the text answers.

A rewrite of a text (words left out, sentences in another order, synonyms put in) keeps most of its
words. Two texts are compared as sets of words, each weighed by how rare it is in the corpus: the
weighted Jaccard similarity (Ioffe, ICDM 2010). Runs of words (shingles, Broder 1997), which find
texts that are copied as they stand, miss the rewrites: of a text that lost every fifth word,
half the runs of three are broken. Plain words without weights take every two texts of a template
("Harbour 3 was built by ...", "Harbour 4 was built by ...") for the same; the weights see that
their rare words differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardif.text.normal import normalise
from tardif.text.scripts import UNSPACED, is_unspaced
from tardif.types import Document

# Words stand for places of a table, by hash: of the 100 or so different words of a text, fewer than
# one in 1,000 shares its place with another.
_PLACES = 1 << 18
# The weights are those of a sample: a word that is in none of so many texts is rare anyhow.
_SAMPLE = 20_000
# Texts whose words are kept in memory; about a kilobyte each.
_KEPT = 200_000

# The share of a text's weight from which another may hold it: of its words nine in ten, the rarest not among them.
_MAY = 0.7

# Scripts written without spaces are compared by pairs of characters.
_WORDS = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+")
_ASCII_WORDS = re.compile(r"\w+", re.ASCII)


def same_texts(documents: Mapping[str, Document]) -> dict[str, tuple[str, ...]]:
    """For every document whose normalised text stands more than once: the ids of all its copies."""
    groups: dict[str, list[str]] = {}
    for identity, document in documents.items():
        groups.setdefault(normalise(document.content), []).append(identity)
    return {identity: tuple(group) for group in groups.values() if len(group) > 1 for identity in group}


@dataclass(frozen=True, slots=True)
class Alike:
    """What candidates are to some originals.

    Attributes:
        near: which are near-copies: ``[candidates]``.
        holding: which may contain an original: ``[candidates]``. Only their order of words tells.
        parts: which may be part of one: ``[candidates]``.
        originals: of which ones.
    """

    near: NDArray[np.bool_]
    holding: NDArray[np.bool_]
    parts: NDArray[np.bool_]
    originals: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Words:
    """A document's words as places of the table, their weight, and the weight of the text's without the title's."""

    places: NDArray[np.intp]
    weight: float
    body: float

    @classmethod
    def of(cls, places: NDArray[np.intp], title: NDArray[np.intp], weights: NDArray[np.float32]) -> _Words:
        weight = float(weights[places].sum(dtype=np.float64))
        return cls(places, weight, weight - float(weights[title].sum(dtype=np.float64)))


class NearCopies:
    """Finds near-copies of documents among candidates, and what may contain them or be part of them.

    Args:
        documents: the corpus by id.
        similarity: weighted Jaccard similarity, above 0 and up to 1, from which a text is a near-copy; None: none is.
        excerpt: the share of a candidate's weight that stands in the original, from which the
            candidate is an excerpt of it, if it is not less than a third of the original's weight.
    """

    def __init__(self, documents: Mapping[str, Document], similarity: float | None, *, excerpt: float = 0.95) -> None:
        self._documents = documents
        self._similarity = similarity or np.inf
        self._excerpt = excerpt
        self._kept: dict[str, _Words] = {}
        self._weights = self._weigh()
        self._marks = np.zeros(_PLACES, dtype=np.float32)

    def among(self, originals: Iterable[str], candidates: Sequence[str]) -> NDArray[np.bool_]:
        """Which of the candidates (ids) are near-copies of one of the originals (ids): ``[candidates]``."""
        return self.compare(originals, candidates).near

    def compare(self, originals: Iterable[str], candidates: Sequence[str]) -> Alike:
        """What the candidates (ids) are to the originals (ids)."""
        near, holding, parts = np.zeros((3, len(candidates)), dtype=np.bool_)
        concerned: list[str] = []
        found = Alike(near, holding, parts, concerned)
        known = [self._words(identity) for identity in candidates]
        some = np.flatnonzero([len(words.places) for words in known])
        if not len(some):
            return found
        places = np.concatenate([known[number].places for number in some])
        lengths = np.array([len(known[number].places) for number in some])
        starts = np.cumsum(lengths) - lengths
        theirs = np.array([known[number].weight for number in some])
        bodies = np.array([known[number].body for number in some])
        for original in originals:
            own = self._words(original)
            weight = own.weight
            self._marks[own.places] = self._weights[own.places]
            shared = np.add.reduceat(self._marks.take(places), starts, dtype=np.float64)
            self._marks[own.places] = 0
            alike = shared >= self._similarity * (theirs + weight - shared) - 1e-6 * weight
            excerpts = (shared >= self._excerpt * theirs) & (theirs >= weight / 3)
            if self._similarity < np.inf:
                near[some] |= (alike | excerpts) & (weight > 0)
            holds, within = shared >= _MAY * own.body, (shared >= _MAY * bodies) & (theirs > 0)
            if weight > 0 and (holds.any() or within.any()):
                holding[some] |= holds
                parts[some] |= within
                concerned.append(original)
        return found

    def _weigh(self) -> NDArray[np.float32]:
        """Each place's weight: the inverse document frequency of BM25, which is above 0."""
        step = max(len(self._documents) // _SAMPLE, 1)
        counts = np.zeros(_PLACES, dtype=np.int32)
        sample: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        looked_at = 0
        for number, identity in enumerate(self._documents):
            if number % step == 0:
                found = _places(self._documents[identity])
                counts[found[0]] += 1
                looked_at += 1
                sample[identity] = found
        weights: NDArray[np.float32] = np.log1p((looked_at - counts + 0.5) / (counts + 0.5)).astype(np.float32)
        for identity, found in sample.items():
            self._kept[identity] = _Words.of(*found, weights)
        return weights

    def _words(self, identity: str) -> _Words:
        """A document's words."""
        known = self._kept.get(identity)
        if known is None:
            known = _Words.of(*_places(self._documents[identity]), self._weights)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[identity] = known
        return known


def _places(document: Document) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of a document's words, and of those that its title alone has, if it has a text besides."""
    if not (document.title and document.text):
        found = _hashed(words(document.content))
        return found, found[:0]
    title, text = words(document.title), words(document.text)
    return _hashed(title | text), _hashed(title - text)


def _hashed(found: Iterable[str]) -> NDArray[np.intp]:
    import xxhash

    hashed = {xxhash.xxh32_intdigest(word.encode("utf-8", "surrogatepass")) % _PLACES for word in found}
    return np.sort(np.fromiter(hashed, dtype=np.intp, count=len(hashed)))


def words(text: str) -> set[str]:
    """The different words of a text, pairs of characters where its script has no spaces."""
    flat = normalise(text)
    if flat.isascii():
        return set(_ASCII_WORDS.findall(flat))
    found: set[str] = set()
    for run in _WORDS.findall(flat):
        if is_unspaced(run):
            found.update(run[n : n + 2] for n in range(max(len(run) - 1, 1)))
        else:
            found.add(run)
    return found
