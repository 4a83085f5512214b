"""Near-duplicate texts, by MinHash (Broder 1997; datasketch) and sorted neighbourhoods (Hernandez 1995).

4,000 variations of a template form eight million pairs, and nobody reads pairs. A split needs the groups of
near-duplicates, and a report needs one partner for each text. So a link joins two near-duplicates, and texts of one
group are not compared again. There are fewer links than texts, and work and memory grow linearly:

- A text keeps a sketch and at most 1,024 numbers, however long it is.
- It is compared with at most the 32 texts before it in alphabetical order in each bucket, where a template's next
  variation is.
- After 16 unsuccessful comparisons it is compared no more. Texts that were not compared with all are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.text.normal import normalise, text_id

# The number of texts above which callers leave the search out, with a note. It takes a quarter of a millisecond a text.
LIMIT = 50_000
# The Jaccard similarity from which two texts are near-duplicates.
SIMILARITY = 0.9
# The number of texts before it in alphabetical order that a text is compared with in each bucket.
NEIGHBOURS = 32

_PERMUTATIONS = 64
# Texts of at least 30 words are compared by runs of 3 words. Shorter ones have too few, and are compared by runs of 5
# characters.
_LONG, _WORDS, _CHARACTERS = 30, 3, 5
# The runs that are kept of a text: those with the smallest hashes. For longer texts the similarity is an estimate,
# within 0.01.
_KEPT = 1_024
# A sketch's estimate is within 0.04 of the similarity two times in three. Pairs that it puts 0.1 too low are skipped.
_SLACK = 0.1
# The probability with which two texts at the threshold must share a bucket.
_RECALL = 0.98
# Unsuccessful comparisons after which a text is compared no more.
_IN_VAIN = 16
# The characters of a text that its alphabetical order looks at.
_PREFIX = 200
_PAIRS = 1 << 17  # pairs that are estimated at a time: their sketches are 64 MB

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Near:
    """The near-duplicates among some texts.

    Attributes:
        links: sorted pairs of ids (smaller, larger) of near-duplicates. They form trees: texts that links connect are
            one group, and a group has one link less than texts.
        unsure: the number of texts with more look-alikes than they were compared with.
    """

    links: list[tuple[str, str]] = field(default_factory=list)
    unsure: int = 0

    @property
    def partners(self) -> dict[str, str]:
        """For each near-duplicate, the smallest id that it has a link with; sorted by id."""
        found: dict[str, str] = {}
        for one, other in self.links:
            found[one] = min(found.get(one, other), other)
            found[other] = min(found.get(other, one), one)
        return dict(sorted(found.items()))

    @property
    def groups(self) -> int:
        """The number of groups of near-duplicates."""
        return len(self.partners) - len(self.links)  # each tree has one link less than texts


def near_duplicates(
    texts: Iterable[tuple[str, str]], *, similarity: float = SIMILARITY, advance: Callable[[int], None] | None = None
) -> Near:
    """Find the texts whose normal forms are nearly, but not exactly, the same.

    Candidates come from MinHash buckets. They are checked by the Jaccard similarity of their sets of shingles (runs of
    words, or of characters in short texts), so none is linked by chance. A pair at the very threshold may be missed.
    The result does not depend on the order of the texts.

    Args:
        texts: ids and texts, read once. Texts with equal normal forms count once, under the smallest id.
        similarity: the Jaccard similarity from which two texts are near-duplicates.
        advance: called with the number of texts done, for progress.

    >>> text = "press the red button for ten seconds and then let it go"
    >>> near_duplicates([("a", text), ("b", text + "."), ("c", "a lamp")]).links
    [('a', 'b')]
    """
    sketched = _Sketches()
    for identity, text in texts:
        sketched.add(identity, text)
        if advance is not None:
            advance(1)
    return _Search(sketched, similarity).run()


class _Sketches:
    """The sketches and shingles of the distinct texts."""

    def __init__(self) -> None:
        from datasketch import MinHash

        self.ids: list[str] = []
        self.shingles: list[NDArray[np.uint32]] = []
        self.sketches: list[NDArray[np.uint32]] = []
        self._prefixes: list[str] = []
        self._seen: dict[str, int] = {}
        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int)  # the runs are hashed already

    def add(self, identity: str, text: str) -> None:
        flat = normalise(text)
        if not flat:
            return
        number = self._seen.setdefault(text_id("", flat), len(self.ids))
        if number < len(self.ids):
            self.ids[number] = min(self.ids[number], identity)
            return
        found = _shingles(flat)
        sketch = self._empty.copy()
        sketch.update_batch(found.tolist())
        self.ids.append(identity)
        self._prefixes.append(flat[:_PREFIX])
        self.shingles.append(found[:_KEPT])
        self.sketches.append(sketch.hashvalues.astype(np.uint32))

    def order(self) -> list[int]:
        """Return the numbers of the texts in alphabetical order."""
        return sorted(range(len(self.ids)), key=lambda number: (self._prefixes[number], self.ids[number]))


class _Search:
    """Links the texts, from close neighbours in a bucket to distant ones."""

    def __init__(self, texts: _Sketches, similarity: float) -> None:
        order = texts.order()
        self._ids = [texts.ids[number] for number in order]
        self._shingles = [texts.shingles[number] for number in order]
        self._sketches = np.array([texts.sketches[number] for number in order]).reshape(-1, _PERMUTATIONS)
        self._similarity = similarity
        self._root = list(range(len(order)))  # union-find: a text of the same group, or the text itself
        self._in_vain = np.zeros(len(order), dtype=np.int64)
        self._differ = np.zeros(0, dtype=np.int64)  # pairs that were compared without success, each as one number
        self._buckets = [self._bucket(rows) for rows in self._bands()]
        self._largest = max(int(np.bincount(bucket, minlength=1).max()) for _, bucket in self._buckets)

    def run(self) -> Near:
        found: list[tuple[str, str]] = []
        for distance in range(1, min(NEIGHBOURS + 1, self._largest)):
            differ: list[int] = []
            for one, other in self._candidates(distance):
                if self._in_vain[one] == _IN_VAIN or self._find(one) == self._find(other):
                    continue
                if self._are_near(one, other):
                    self._root[self._find(one)] = self._find(other)
                    pair = sorted((self._ids[one], self._ids[other]))
                    found.append((pair[0], pair[1]))
                else:
                    self._in_vain[one] += 1
                    differ.append(one * len(self._ids) + other)
            self._differ = np.union1d(self._differ, np.array(differ, dtype=np.int64))
        return Near(sorted(found), self._unsure())

    def _bands(self) -> list[NDArray[np.uint32]]:
        """Return the parts of the sketches that make buckets: as long as the recall allows, as long ones cost less."""
        # With bands of r values, two texts of similarity s share a bucket with probability 1 - (1 - s^r)^(64 / r).
        recalls = ((rows, 1 - (1 - self._similarity**rows) ** (_PERMUTATIONS // rows)) for rows in (16, 8, 4, 2))
        rows = next((rows for rows, recall in recalls if recall >= _RECALL), 1)
        return [self._sketches[:, begin : begin + rows] for begin in range(0, _PERMUTATIONS, rows)]

    def _bucket(self, rows: NDArray[np.uint32]) -> tuple[Numbers, Numbers]:
        """Return the texts by bucket, in their order, and the bucket of each."""
        bucket = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.argsort(bucket, kind="stable")
        return order, bucket[order]

    def _candidates(self, distance: int) -> list[list[int]]:
        """Return the pairs at this distance in a bucket that are of different groups and have similar sketches."""
        roots = self._roots()
        pairs = []
        for order, bucket in self._buckets:
            same = np.flatnonzero(bucket[distance:] == bucket[:-distance])
            one, other = order[same + distance], order[same]
            apart = (roots[one] != roots[other]) & (self._in_vain[one] < _IN_VAIN)
            pairs.append(one[apart] * len(roots) + other[apart])
        open_ones = np.setdiff1d(np.concatenate(pairs), self._differ)
        different = np.stack(np.divmod(open_ones, max(len(roots), 1)), axis=1)
        least = (self._similarity - _SLACK) * _PERMUTATIONS
        kept: list[list[int]] = []
        for begin in range(0, len(different), _PAIRS):
            part = different[begin : begin + _PAIRS]
            shared = (self._sketches[part[:, 0]] == self._sketches[part[:, 1]]).sum(axis=1)
            kept += part[shared >= least].tolist()
        return kept

    def _are_near(self, one: int, other: int) -> bool:
        mine, theirs = self._shingles[one], self._shingles[other]
        shared = np.intersect1d(mine, theirs, assume_unique=True)
        count, total = len(shared), len(mine) + len(theirs) - len(shared)
        if max(len(mine), len(theirs)) == _KEPT:  # bottom-k: the smallest hashes of both are the smallest of the union
            last = np.union1d(mine, theirs)[_KEPT - 1]
            count, total = int(np.searchsorted(shared, last, side="right")), _KEPT
        return count >= self._similarity * total

    def _find(self, number: int) -> int:
        root = self._root
        while root[number] != number:
            root[number] = number = root[root[number]]
        return number

    def _roots(self) -> Numbers:
        return np.array([self._find(number) for number in range(len(self._root))], dtype=np.int64)

    def _unsure(self) -> int:
        """Count the texts that were not compared with all texts of other groups in their buckets."""
        roots = self._roots()
        unsure = self._in_vain == _IN_VAIN
        for order, bucket in self._buckets:
            begins = np.flatnonzero(np.diff(bucket, prepend=-1))
            sizes = np.diff(begins, append=len(bucket))
            for begin, size in zip(begins[sizes > NEIGHBOURS + 1], sizes[sizes > NEIGHBOURS + 1], strict=True):
                inside = order[begin : begin + size]
                unsure[inside] |= len(np.unique(roots[inside])) > 1
        return int(unsure.sum())


def _shingles(text: str) -> NDArray[np.uint32]:
    """Return the distinct hashes of a text's runs of words or characters, in ascending order."""
    words = text.split()
    if len(words) >= _LONG:
        import xxhash

        length = _WORDS
        hashes = (xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) for word in words)
        numbers = np.fromiter(hashes, dtype=np.uint64, count=len(words))
    else:
        length = _CHARACTERS
        numbers = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(numbers, min(length, len(numbers)))
    return np.unique(_mixed(runs))


def _mixed(runs: NDArray[np.uint64]) -> Any:
    """Hash each row: its numbers pass one after the other through the mixing function of splitmix64."""
    mixed = np.full(len(runs), runs.shape[1], dtype=np.uint64)
    for column in runs.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
    return (mixed >> np.uint64(32)).astype(np.uint32)
