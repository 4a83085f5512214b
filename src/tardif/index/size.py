"""The size of an index, predicted from its documents, tokens, width and bits: arithmetic, nothing is read.

The vectors are exact: an index has a fixed number of bytes for each. Texts and postings depend on the documents; here
they are those of usual ones.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from tardif.errors import SettingError
from tardif.index.codebooks import centroid_count
from tardif.index.codes import check_bits, width_of
from tardif.index.segment import HEADER, MOST_DOCUMENTS, row_tables

# A document's tokens share centroids: so many postings there are for each vector (benchmarks/RESULTS.md: 1.1 bytes for
# documents of 212 tokens; shorter documents have more).
_POSTINGS_PER_VECTOR, _POSTING_BYTES = 0.6, 2
# In each segment: the document's number, its first row, its checksum.
_TABLE_BYTES = 24
# In the database: the other columns of a document's row, and its id in two of SQLite's indexes.
_ROW_BYTES, _KEY_BYTES = 75, 50
_PAGE = 4096
# Far beyond any index; numbers up to here fit into every computation.
_MOST = 10**15
# A row that is longer has pages of its own, of which the last is half full.
_LONGEST_ROW = _PAGE - 35


@dataclass(frozen=True)
class CorpusShape:
    """What an index is to hold.

    >>> CorpusShape(documents=1000, tokens=120, dim=128, pool=2).vectors
    60000

    Args:
        documents: whole ones, or pieces where they are cut.
        tokens: of a document, on average.
        dim: components of a token vector.
        bits: of each stored component: 16, 8, 4 or 2.
        pool: how many tokens of a document become one vector.
        text_bytes: of a document's id, title, text and metadata, on average.

    Raises:
        SettingError: one of them cannot be.
    """

    documents: int
    tokens: float
    dim: int
    bits: int = 8
    pool: float = 1.0
    text_bytes: float = 500.0

    def __post_init__(self) -> None:
        check_bits(self.bits)
        for name in ("documents", "tokens", "dim"):
            if not 1 <= getattr(self, name) <= _MOST:
                raise SettingError(f"{name}={getattr(self, name)!r:.20}: give a number from 1 to {_MOST:.0e}.")
        if self.documents * self.tokens > _MOST:
            raise SettingError(
                f"{self.documents:.6g} documents of {self.tokens:.6g} tokens are too many to plan: give fewer, with "
                f"{_MOST:.0e} tokens at most."
            )
        if not 1 <= self.pool < math.inf:
            raise SettingError(f"pool={self.pool!r}: give the number of tokens that become one vector, 1 or more.")

    @property
    def vectors(self) -> int:
        """The number of vectors that are stored."""
        return round(self.documents * self.tokens / self.pool)


@dataclass(frozen=True)
class IndexSize:
    """The bytes of an index.

    Attributes:
        vectors: the codes of the token vectors.
        postings: for each centroid, the documents with a token near it.
        tables: of segments: numbers, places and checksums of documents.
        centroids: the codebook.
        texts: the database: ids, titles, texts and metadata.
    """

    vectors: int
    postings: int
    tables: int
    centroids: int
    texts: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    @property
    def searched(self) -> int:
        """What a search reads of: all but the texts. It should fit into memory."""
        return self.total - self.texts


def vector_bytes(dim: int, bits: int) -> int:
    """Return the bytes of one stored token vector.

    >>> [vector_bytes(128, bits) for bits in (16, 8, 4, 2)]
    [256, 132, 66, 34]
    """
    tables = row_tables(check_bits(bits), width_of(dim)).values()
    return sum(math.prod(shape) * np.dtype(kind).itemsize for kind, *shape in tables)


def index_size(corpus: CorpusShape) -> IndexSize:
    """Return the size of an index that holds a corpus.

    >>> size = index_size(CorpusShape(documents=1_000_000, tokens=120, dim=128))
    >>> size.vectors, f"{size.total / 1e9:.1f} GB"
    (15840000000, '16.7 GB')
    """
    vectors, centroids = corpus.vectors, centroid_count(corpus.vectors)
    segments = math.ceil(corpus.documents / MOST_DOCUMENTS)
    row = corpus.text_bytes + _ROW_BYTES
    # The space at a page's end is too small for the next row: half a row, on average.
    stored = row / (1 - row / (2 * _PAGE)) if row < _LONGEST_ROW else row + _PAGE / 2
    return IndexSize(
        vectors=vectors * vector_bytes(corpus.dim, corpus.bits),
        postings=round(vectors * _POSTINGS_PER_VECTOR * _POSTING_BYTES),
        tables=corpus.documents * _TABLE_BYTES + segments * (HEADER + 8 * (centroids + 1)),
        centroids=centroids * width_of(corpus.dim) * 2,
        texts=round(corpus.documents * (stored + _KEY_BYTES)),
    )
