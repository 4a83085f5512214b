"""Rankings by a score of every query with every document, a block of documents at a time.

The blocks decide the arithmetic: encoded alike and scored alike, they give the same bits in any order and in any
process. So processes share the blocks among them, an interrupted ranking keeps those it has, and the hits are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tardif.encoder.token_vectors import encode_documents, encode_query_parts
from tardif.errors import DataError, FolderError, reason
from tardif.ranking import TopK
from tardif.scoring import maxsim_arrays
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

# Documents encoded and scored at a time: it bounds memory, and progress shows after each block.
BLOCK = 128
# Token vectors of queries scored at a time, some 2,000 queries: with a block of documents, 32 MB of similarities.
_QUERY_TOKENS = 1 << 15
# Queries of a dense model scored at a time: with a block of documents, 32 MB of cosines.
_DENSE_QUERIES = 1 << 14
# Bytes of query vectors that are kept in memory; more go to a file.
_IN_MEMORY = 1 << 28


class BlockScorer(Protocol):
    """Scores the queries of a ranking with any documents."""

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the scores of some documents, ``[queries, documents]``, for a block of queries after the other, each
        with the number of its first query. A NaN is no hit."""
        ...


class Corpus:
    """The documents of a ranking, each distinct text once, in blocks.

    Args:
        documents: the documents.
        block: the distinct texts of a block; None for :data:`BLOCK`.
        longest_first: order the texts by descending length: a block is then padded little, and memory is largest at
            the start, where it is noticed. Else their order is that of the documents.

    Attributes:
        ids: all ids in ascending order.
        texts: the distinct texts.
        owners: the places in ``ids`` of the documents that have each text.

    Raises:
        DataError: two documents have the same id.
    """

    def __init__(self, documents: Sequence[Document], *, block: int | None = None, longest_first: bool = True) -> None:
        self.ids = sorted(document.id for document in documents)
        place = {identity: number for number, identity in enumerate(self.ids)}
        if len(place) < len(self.ids):
            raise DataError("Two documents of the corpus have the same id: ids must be unique.")
        owners: dict[str, list[int]] = {}
        for document in documents:
            owners.setdefault(document.content, []).append(place[document.id])
        self.texts = sorted(owners, key=lambda text: (-len(text), text)) if longest_first else list(owners)
        self.owners = [owners[text] for text in self.texts]
        self._block = block or BLOCK

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return -(-len(self.texts) // self._block)

    def size(self, block: int) -> int:
        """Return the number of documents in a block."""
        return sum(map(len, self._owners(block)))

    def add(self, best: TopK, score: BlockScorer, block: int) -> None:
        """Score a block, and add its hits to the best ones."""
        owners = self._owners(block)
        places = np.array([place for own in owners for place in own], dtype=np.int64)
        counts = [len(own) for own in owners]
        for first, scores in score(self.texts[block * self._block : (block + 1) * self._block]):
            # Documents with the same text have the same score: [queries, texts] -> [queries, documents].
            best.add(scores if len(places) == len(counts) else np.repeat(scores, counts, axis=1), places, first)

    def _owners(self, block: int) -> Sequence[Sequence[int]]:
        return self.owners[block * self._block : (block + 1) * self._block]


def rank_blocks(
    corpus: Corpus,
    score: BlockScorer,
    best: TopK,
    blocks: Iterable[int] | None = None,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Add the hits in some blocks of a corpus, by default in all, to the best ones.

    Args:
        corpus: the documents.
        score: the scorer.
        best: takes the hits.
        blocks: their numbers.
        advance: called with the number of documents done, for progress.
    """
    for block in range(corpus.blocks) if blocks is None else blocks:
        corpus.add(best, score, block)
        if advance is not None:
            advance(corpus.size(block))


class LateScorer:
    """Exact MaxSim of queries, which are encoded once, with documents. No text without a token is a hit or has one.

    Args:
        model: the model, as it is now.
        queries: texts.
    """

    def __init__(self, model: MultiVectorEncoder, queries: Sequence[str]) -> None:
        self._model = model
        self._vectors = QueryVectors(model, queries)

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield ``[queries, documents]`` for one block of queries after the other."""
        vectors, lengths = encode_documents(self._model, texts)
        for first, q_vectors, q_lengths in self._vectors.blocks():
            scores = maxsim_arrays(q_vectors, q_lengths, vectors, lengths)
            scores[:, np.equal(lengths, 0)] = np.nan
            scores[np.equal(q_lengths, 0)] = np.nan
            yield first, scores


class DenseScorer:
    """Cosines of one vector per text. Queries are encoded once.

    Args:
        model: the model.
        queries: texts.
    """

    def __init__(self, model: SentenceTransformer, queries: Sequence[str]) -> None:
        self._model = model
        # Both sides have unit length, so a product is a cosine: [queries, dim].
        self._vectors = model.encode_query(list(queries), normalize_embeddings=True, show_progress_bar=False)

    def __call__(self, texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield ``[queries, documents]`` for one block of queries after the other."""
        vectors = self._model.encode_document(list(texts), normalize_embeddings=True, show_progress_bar=False)
        for first in range(0, len(self._vectors), _DENSE_QUERIES):
            # [queries, dim] @ [dim, documents]
            yield first, np.asarray(self._vectors[first : first + _DENSE_QUERIES] @ vectors.T, dtype=np.float32)


class QueryVectors:
    """The token vectors of queries, in memory if they are few, else in a temporary file without a name.

    Args:
        model: encodes them.
        queries: texts; the vectors of equal ones are kept once.

    Raises:
        FolderError: the file cannot be written.
    """

    def __init__(self, model: MultiVectorEncoder, queries: Sequence[str]) -> None:
        self._file: IO[bytes] | None = None
        self._parts: list[NDArray[np.float32]] = []
        found: list[int] = []

        def take(vectors: NDArray[np.float32], lengths: Sequence[int]) -> None:
            self._parts.append(vectors)
            found.extend(lengths)
            if self._file is not None or sum(part.nbytes for part in self._parts) > _IN_MEMORY:
                self._spill()

        places = encode_query_parts(model, queries, take)
        lengths = np.array(found, dtype=np.int64)
        self._lengths, self._starts = lengths[places], (np.cumsum(lengths) - lengths)[places]  # [queries] both
        self._rows = self._mapped(model.get_embedding_dimension() or 0)  # [tokens of the distinct queries, dim]

    def _spill(self) -> None:
        """Write what is in memory to the file."""
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115  open as long as this object
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            raise FolderError(
                f"The vectors of the queries do not fit into {tempfile.gettempdir()} ({reason(error)}): make room "
                "there, or name another folder in TMPDIR."
            ) from error
        self._width = self._parts[-1].shape[1]
        self._parts.clear()

    def _mapped(self, dim: int) -> NDArray[np.float32]:
        if self._file is None:
            rows = np.concatenate(self._parts) if self._parts else np.zeros((0, dim), dtype=np.float32)
            self._parts.clear()
            return rows
        with self._file as file:  # what is mapped stays after the file is closed
            file.flush()
            return np.memmap(file, dtype=np.float32, mode="r").reshape(-1, self._width)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32], list[int]]]:
        """Yield queries, a block after the other: the number of the first, their packed vectors ``[tokens, dim]``, and
        the number of rows of each."""
        first, ends = 0, np.cumsum(self._lengths)
        while first < len(self._lengths):
            before = int(ends[first] - self._lengths[first])
            # At least one query, and as many as have no more than the tokens of a block together.
            last = max(int(np.searchsorted(ends, before + _QUERY_TOKENS, side="right")), first + 1)
            own = range(first, last)
            parts = [self._rows[self._starts[query] : self._starts[query] + self._lengths[query]] for query in own]
            yield first, np.concatenate(parts), self._lengths[first:last].tolist()
            first = last
