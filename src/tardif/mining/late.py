"""Late-interaction search for mining: exact MaxSim with a model as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_list
from tardif.data.spooled import at_hand
from tardif.errors import SettingError
from tardif.mining.searcher import Searcher
from tardif.mining.vector_cache import Contents, EncodeBlocks, Remembered, encode_all, fingerprint
from tardif.progress import Console
from tardif.ranking import Ids, TopK, best_first
from tardif.scoring import LOWEST, maxsim_arrays
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Candidates that are scored for each query.
DEPTH = 200

# The whole corpus is scored if that takes at most this many multiplications per query: some tenths of a second on two
# cores. With a query of 32 tokens and documents of 180 these are 5,400 documents of 128 dimensions, or 1,800 of 384.
WHOLE = 4_000_000_000

_QUERY_TOKENS = 32
# Texts per block of the cache: with 256 tokens of 384 dimensions, 100 MB while a block is encoded.
_BLOCK = 256
# Queries scored at a time. A document that is a candidate of several queries is read and multiplied once, which is
# three times as fast as query by query.
_QUERIES = 256


class LateSearcher:
    """Searches a corpus with a late-interaction model.

    Documents are encoded once and kept in half precision, on disk if a cache is given. A score is
    MaxSim divided by the number of the query's token vectors, the mean cosine of the best matches: the
    order is MaxSim's, and a ratio of two scores means something.

    Args:
        model: a late-interaction model; documents are encoded with its present weights.
        documents: the corpus, also from a generator, which is then kept on disk until it is encoded
            (:func:`tardif.data.spooled.spooled`).
        candidates: proposes the documents to score, or a function that makes such a searcher when it is
            first needed. None always scores the whole corpus.
        depth: candidates per query.
        whole: score the whole corpus if that takes at most this many multiplications per query.
        cache: a folder for the corpus's token vectors; an interrupted run resumes from it.
        console: where to show progress.
        over: encodes blocks of documents with the same model elsewhere; by default this process does.

    Attributes:
        scores_all: whether the whole corpus is scored.

    Raises:
        DataError: two documents have the same id.
        FolderError: the cache cannot be written.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        documents: Iterable[Document],
        candidates: Searcher | Callable[[], Searcher] | None = None,
        *,
        depth: int = DEPTH,
        whole: int = WHOLE,
        cache: str | Path | None = None,
        console: Console | None = None,
        over: EncodeBlocks | None = None,
    ) -> None:
        documents = at_hand(documents)
        self._model = model
        self._ids = Ids(document.id for document in documents)
        self._depth = depth
        self._vectors, self._lengths = encode_all(
            Contents(documents),
            lambda texts: self._encode(texts, "document"),
            block=_BLOCK,
            dtype="float16",
            folder=None if cache is None else Path(cache),
            identity="" if cache is None else fingerprint(model, "late", "no vectors of blank texts"),
            console=console,
            what="Encoding documents (late)",
            over=over,
        )
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._query_vectors = Remembered(lambda texts: self._encode(texts, "query"))
        self._candidates = candidates
        small = self._vectors.size * _QUERY_TOKENS <= whole
        self.scores_all = candidates is None or small

    @property
    def notes(self) -> list[str]:
        """What the user should know about the candidates' models."""
        return [] if self.scores_all else list(getattr(self._proposer(), "notes", []))

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, score), best first; equal scores by id, the highest first.

        Documents without a token are never hits, and queries without one have no hits. There are no hits beyond the
        candidates.
        """
        queries = check_list(queries, "queries", SettingError)
        found: list[list[tuple[str, float]]] = []
        for begin in range(0, len(queries), _QUERIES):
            block = queries[begin : begin + _QUERIES]
            found += self._among_all(block, k) if self.scores_all else self._among_candidates(block, k)
        return found

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """The scores of given documents (ids) of each query, as :meth:`search` gives them; 0 without a token.

        Raises:
            DataError: a document is not in the corpus.
        """
        wanted = [self._ids.rows(ids) for ids in documents]
        queries = check_list(queries, "queries", SettingError)
        found: list[list[float]] = []
        for begin in range(0, len(queries), _QUERIES):
            block = self._pairs(queries[begin : begin + _QUERIES], wanted[begin : begin + _QUERIES])
            found += [np.where(scores > LOWEST, scores, 0).tolist() for scores in block]
        return found

    def _proposer(self) -> Searcher:
        if not hasattr(self._candidates, "search"):
            self._candidates = self._candidates()  # type: ignore[misc]
        return self._candidates  # type: ignore[return-value]

    def _encode(self, texts: Sequence[str], task: str) -> tuple[NDArray[np.float32], list[int]]:
        from tardif.encoder.encoding import encode_texts

        return encode_texts(self._model, texts, task)

    def _among_candidates(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        proposed = [[i for i, _ in hits] for hits in self._proposer().search(queries, max(self._depth, k))]
        scores = self._pairs(queries, [self._ids.rows(ids) for ids in proposed])
        scored = [zip(ids, row.tolist(), strict=True) for ids, row in zip(proposed, scores, strict=True)]
        return [best_first([hit for hit in hits if hit[1] > LOWEST], k) for hits in scored]

    def _among_all(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The best hits in the whole corpus, a block of documents at a time."""
        vectors = self._query_vectors(queries)
        lengths = [len(rows) for rows in vectors]
        packed, counts = np.concatenate(vectors), np.maximum(lengths, 1)[:, None]
        best = TopK(len(vectors), k)
        for first in range(0, len(self._ids), _BLOCK):
            d_lengths = self._lengths[first : first + _BLOCK]
            start = int(self._starts[first])
            rows = self._vectors[start : start + int(d_lengths.sum())]
            scores = maxsim_arrays(packed, lengths, rows, d_lengths.tolist())  # [queries, block]
            filled = np.flatnonzero(d_lengths)  # a document without a token is no hit, not even the last one
            best.add((scores / counts)[:, filled].astype(np.float32), self._ids.places[first : first + _BLOCK][filled])
        return [hits if length else [] for hits, length in zip(best.hits(self._ids.ascending), lengths, strict=True)]

    def _pairs(self, queries: Sequence[str], rows: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The scores of each query's documents (positions); LOWEST if query or document has no token."""
        vectors = self._query_vectors(queries)
        scores = [np.full(len(wanted), LOWEST, dtype=np.float32) for wanted in rows]
        places: dict[int, list[tuple[int, int]]] = {}
        for query, wanted in enumerate(rows):
            for place, row in enumerate(wanted):
                places.setdefault(row, []).append((query, place))
        # Document by document, so that one that several queries want is read once; in the order of the file.
        for row in sorted(places):
            length = int(self._lengths[row])
            if not length:
                continue
            document: Any = self._vectors[self._starts[row] : self._starts[row] + length]
            asked = [vectors[query] for query, _ in places[row]]
            lengths = [len(one) for one in asked]
            found = maxsim_arrays(np.concatenate(asked), lengths, document, [length])[:, 0]
            for (query, place), value, count in zip(places[row], found, lengths, strict=True):
                scores[query][place] = value / count if count else LOWEST
        return scores
