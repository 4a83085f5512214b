"""Texts that are nearly the same: MinHash and locality-sensitive hashing (Broder 1997; datasketch)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tardif.data.text import normalise

# Above this many texts the search is switched off, and said so: it takes about a millisecond a text.
LIMIT = 50_000
SIMILARITY = 0.9
_PERMUTATIONS = 64
# A long text is compared by runs of words; a short one has too few of them, and by runs of characters.
_LONG, _WORDS, _CHARACTERS = 30, 3, 5


def near_duplicates(
    texts: Iterable[tuple[str, str]], *, similarity: float = SIMILARITY, advance: Callable[[int], None] | None = None
) -> list[tuple[str, str]]:
    """Pairs of ids whose normalised texts are nearly, but not exactly, the same.

    Candidates come from MinHash buckets and are checked by the exact Jaccard similarity of their
    sets of shingles (runs of words, in short texts of characters), so none is reported by chance; a
    pair at the very threshold may be missed.

    Args:
        texts: ids and texts. Equal normalised texts count once, under the smallest id.
        similarity: Jaccard similarity from which two texts are nearly the same.
        advance: called with the number of texts done, for progress.

    Returns:
        Sorted pairs (smaller id, larger id).
    """
    import xxhash
    from datasketch import MinHash, MinHashLSH

    shingles: dict[str, frozenset[bytes]] = {}
    seen: dict[str, str] = {}
    for identity, text in sorted(texts):
        flat = normalise(text)
        if flat and seen.setdefault(flat, identity) == identity:
            shingles[identity] = _shingles(flat)
    buckets = MinHashLSH(threshold=similarity, num_perm=_PERMUTATIONS)
    found: set[tuple[str, str]] = set()
    for identity, parts in shingles.items():
        sketch = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=xxhash.xxh32_intdigest)
        sketch.update_batch(sorted(parts))
        for other in buckets.query(sketch):
            mine, theirs = parts, shingles[other]
            if len(mine & theirs) >= similarity * len(mine | theirs):
                found.add((min(identity, other), max(identity, other)))
        buckets.insert(identity, sketch)
        if advance is not None:
            advance(1)
    return sorted(found)


def _shingles(text: str) -> frozenset[bytes]:
    words = text.split()
    if len(words) >= _LONG:
        return frozenset(" ".join(words[i : i + _WORDS]).encode() for i in range(len(words) - _WORDS + 1))
    return frozenset(text[i : i + _CHARACTERS].encode() for i in range(max(len(text) - _CHARACTERS, 0) + 1))
