"""Copies and near-copies of a text, which must never be negatives of a query that the text answers.

A rewrite of a text (words left out, sentences in another order, synonyms put in) keeps most of its
words. Two texts are compared as sets of words, each weighted by how rare it is in the corpus: the
weighted Jaccard similarity (Ioffe, ICDM 2010). Runs of words (shingles, Broder 1997) find exact
copies but miss rewrites: if a text loses every fifth word, half of its runs of three are broken. Words
without weights confuse texts of one template ("Harbour 3 was built by ...", "Harbour 4 was built by ...");
with weights their rare words tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import numpy as np
from numpy.typing import NDArray

from tardif.text.normal import normalise
from tardif.text.scripts import UNSPACED, is_unspaced
from tardif.types import Document

# A word's place in a table is its hash: of the 100 or so different words of a text, fewer than one in 1,000 shares its
# place with another.
_PLACES = 1 << 18
# The weights come from a sample of this many texts: a word that is in none of them is rare in any case.
_SAMPLE = 20_000
# Texts whose words are kept in memory; about a kilobyte each.
_KEPT = 200_000

# The share of a text's weight from which another text may contain it: nine in ten of its words, but not the rarest.
_MAY = 0.7
# The share of a candidate's weight that is in the original, from which the candidate is an excerpt of it.
_EXCERPT = 0.95

# Scripts written without spaces are compared by pairs of characters.
_WORDS = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+")
_ASCII_WORDS = re.compile(r"\w+", re.ASCII)


def same_texts(documents: Mapping[str, Document]) -> dict[str, tuple[str, ...]]:
    """For every document with a normalised text that occurs more than once: the ids of all its copies.

    >>> same_texts({"a": Document("a", "The sea"), "b": Document("b", "the  sea"), "c": Document("c", "salt")})
    {'a': ('a', 'b'), 'b': ('a', 'b')}
    """
    import xxhash

    # Texts are compared by hashes of 128 bits, or every text of the corpus would be in memory.
    digests = bytearray()
    for document in documents.values():
        digests += xxhash.xxh3_128_digest(normalise(document.content).encode("utf-8", "surrogatepass"))
    _, text, count = np.unique(np.frombuffer(digests, dtype="V16"), return_inverse=True, return_counts=True)
    groups: dict[int, list[str]] = {}
    repeated = count[text] > 1
    for identity, number in zip(compress(documents, repeated), text[repeated].tolist(), strict=True):
        groups.setdefault(number, []).append(identity)
    return {identity: tuple(group) for group in groups.values() for identity in group}


@dataclass(frozen=True, slots=True)
class Alike:
    """The candidates that are like some originals, as masks ``[candidates]``.

    Attributes:
        near: which are near-copies.
        holding: which may contain an original. The order of their words, which is not looked at here, decides.
        parts: which may be part of one.
        originals: the originals that these masks are about.
    """

    near: NDArray[np.bool_]
    holding: NDArray[np.bool_]
    parts: NDArray[np.bool_]
    originals: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Words:
    """A document's words as places of the table, their weight, and the weight of those of the text alone."""

    places: NDArray[np.intp]
    weight: float
    body: float

    @classmethod
    def of(cls, places: NDArray[np.intp], title: NDArray[np.intp], weights: NDArray[np.float32]) -> _Words:
        weight = float(weights[places].sum(dtype=np.float64))
        return cls(places, weight, weight - float(weights[title].sum(dtype=np.float64)))


class NearCopies:
    """Finds near-copies of documents among candidates, and what may contain them or be part of them.

    An excerpt with at least a third of the original's weight counts as a near-copy too.

    Args:
        documents: the corpus by id.
        similarity: weighted Jaccard similarity, above 0 and up to 1, from which a text is a near-copy; None: none is.
    """

    def __init__(self, documents: Mapping[str, Document], similarity: float | None) -> None:
        self._documents = documents
        self._similarity = similarity or np.inf
        self._kept: dict[str, _Words] = {}
        self._weights = self._weigh()
        self._marks = np.zeros(_PLACES, dtype=np.float32)

    def compare(self, originals: Iterable[str], candidates: Sequence[str]) -> Alike:
        """Compare candidates (ids) with originals (ids)."""
        near, holding, parts = np.zeros((3, len(candidates)), dtype=np.bool_)
        concerned: list[str] = []
        found = Alike(near, holding, parts, concerned)
        known = [self._words(identity) for identity in candidates]
        some = np.flatnonzero([len(words.places) for words in known])
        if not len(some):
            return found
        # All candidates' words side by side: one pass per original sums the shared weight of each candidate.
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
            self._marks[own.places] = 0  # only these: clearing the whole table for each original would take longer
            # shared / (theirs + weight - shared) >= similarity; 1e-6 allows for sums in float32.
            alike = shared >= self._similarity * (theirs + weight - shared) - 1e-6 * weight
            excerpts = (shared >= _EXCERPT * theirs) & (theirs >= weight / 3)
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
        sample = {identity: _places(self._documents[identity]) for identity in islice(self._documents, 0, None, step)}
        for places, _ in sample.values():
            counts[places] += 1
        # A logarithm for each count, not for each place: most of a million places have no word.
        used, each = np.flatnonzero(counts), np.arange(counts.max(initial=0) + 1)
        by_count = np.log1p((len(sample) - each + 0.5) / (each + 0.5)).astype(np.float32)
        weights = np.full(_PLACES, by_count[0])
        weights[used] = by_count[counts[used]]
        for identity, found in sample.items():
            self._kept[identity] = _Words.of(*found, weights)
        return weights

    def _words(self, identity: str) -> _Words:
        known = self._kept.get(identity)
        if known is None:
            known = _Words.of(*_places(self._documents[identity]), self._weights)
            if len(self._kept) >= _KEPT:  # a cache: forgetting costs time only
                self._kept.clear()
            self._kept[identity] = known
        return known


def _places(document: Document) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The places of a document's words, and of those that are in its title alone, if it has a text too."""
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
    """The distinct words of a text; pairs of characters in scripts without spaces.

    >>> sorted(words("The sea, the SALT")), sorted(words("海水盐"))
    (['salt', 'sea', 'the'], ['水盐', '海水'])
    """
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
