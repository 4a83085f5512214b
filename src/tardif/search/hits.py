"""Ranked hits for queries: MaxSim with or without BM25, and one hit per document where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tardif.checks import check_hits, is_number, shown
from tardif.display import Hits
from tardif.errors import SettingError
from tardif.index.filters import Filter, parse_filter
from tardif.index.protocol import Index, Vectors
from tardif.ranking import DEPTH, Ranking, best_first, blend, check_share
from tardif.types import Document, Hit

# An expression, a dict (tardif.index.filters) or a parsed filter; with None, every document passes.
Where = str | Mapping[Any, Any] | Filter | None

# Queries encoded and searched together: it bounds memory, and progress advances after each block.
_QUERIES = 32
# How much deeper a grouped search looks when pieces of few documents fill the ranking.
_DEEPER = 4


@dataclass(frozen=True)
class SearchOptions:
    """The checked options of a search; :meth:`tardif.search.retriever.Retriever.search` explains them.

    ``word_share`` is None until a retriever fills in that of its index.
    """

    k: int
    where: Filter | None
    exact: bool
    recall: float
    hybrid: bool
    word_share: float | None
    group: bool

    @classmethod
    def of(
        cls, k: int, where: Where, exact: bool, recall: float, hybrid: bool, word_share: float | None, group: bool
    ) -> SearchOptions:
        """Check options as a user gave them.

        Raises:
            SettingError: one cannot be used.
        """
        if not is_number(recall) or not 0 < recall <= 1:
            raise SettingError(f"recall={shown(recall)}: give a share above 0, at most 1.")
        chosen = None if where is None else parse_filter(where)
        share = None if word_share is None else check_share(word_share)
        if share is not None and not hybrid:
            raise SettingError(
                f"word_share={shown(word_share)}: it is of a hybrid search: ask for one (hybrid), or leave it out."
            )
        return cls(check_hits(k), chosen, exact, float(recall), hybrid, share, bool(group))


def rank_queries(
    index: Index,
    encode: Callable[[Sequence[str]], tuple[Vectors, list[int]]],
    queries: Sequence[str],
    options: SearchOptions,
    advance: Callable[[int], None] | None = None,
) -> list[Ranking]:
    """Return the ranking of each query: ids of documents or pieces with scores, best first.

    Grouped rankings hold the best piece of each document, under the piece's id.

    Args:
        index: to be searched.
        encode: queries to packed vectors ``[tokens, dim]`` and the number of rows of each.
        queries: their texts.
        options: how.
        advance: called with the number of queries done, for progress.
    """
    found: list[Ranking] = []
    for begin in range(0, len(queries), _QUERIES):
        block = queries[begin : begin + _QUERIES]
        vectors, lengths = encode(block)
        rank = _rank_grouped if options.group else _rank
        found += rank(index, block, np.split(vectors, np.cumsum(lengths)[:-1]), options)
        if advance is not None:
            advance(len(block))
    return found


def _rank(index: Index, queries: Sequence[str], vectors: Sequence[Vectors], options: SearchOptions) -> list[Ranking]:
    """The ranking of each query. Fusion needs a ranking of at least ``DEPTH`` from either side."""
    # Fusion takes MaxSim's score at rank DEPTH as its zero.
    k = max(options.k, DEPTH) if options.hybrid else options.k
    # [tokens of all queries, dim] is scored in one call: the index reads each segment once.
    lengths = [len(rows) for rows in vectors]
    found = index.search(
        np.concatenate(vectors), lengths, k, exact=options.exact, recall=options.recall, where=options.where
    )
    if not options.hybrid:
        return list(found)
    words = [index.search_words(query, k, where=options.where) for query in queries]
    assert options.word_share is not None  # the retriever has filled in its own
    return [blend(*rankings, options.k, options.word_share) for rankings in zip(found, words, strict=True)]


def _rank_grouped(
    index: Index, queries: Sequence[str], vectors: Sequence[Vectors], options: SearchOptions
) -> list[Ranking]:
    """The best piece of each document. Pieces of one document crowd out others, so queries with too few documents are
    searched again, deeper, until they have enough or nothing is left."""
    found: list[Ranking] = [[] for _ in queries]
    waiting, depth = list(range(len(queries))), options.k
    while waiting:
        ranked = _rank(index, [queries[i] for i in waiting], [vectors[i] for i in waiting], replace(options, k=depth))
        owners = owners_of(index, ranked)
        unfinished = []
        for i, hits in zip(waiting, ranked, strict=True):
            found[i] = best_of_each(hits, owners, options.k)
            # A ranking shorter than was asked for holds everything that can be found.
            if len(found[i]) < options.k and len(hits) == depth:
                unfinished.append(i)
        waiting, depth = unfinished, depth * _DEEPER
    return found


def owners_of(index: Index, rankings: Sequence[Ranking]) -> dict[str, str]:
    """Return the id of the whole document for each id in rankings."""
    return index.wholes(sorted({identity for hits in rankings for identity, _ in hits}))


def best_of_each(ranked: Ranking, owners: Mapping[str, str], k: int) -> list[tuple[str, float]]:
    """Return the best piece of each of the first ``k`` documents of a ranking.

    Equal scores are ordered by the documents' ids, as they would be if no document were cut.

    >>> best_of_each([("a#2", 3.0), ("a#1", 2.0), ("b#1", 1.0)], {"a#1": "a", "a#2": "a", "b#1": "b"}, k=2)
    [('a#2', 3.0), ('b#1', 1.0)]
    """
    first: dict[str, tuple[str, float]] = {}
    for hit in ranked:
        first.setdefault(owners[hit[0]], hit)
    best = best_first(((owner, score) for owner, (_, score) in first.items()), k)
    return [first[owner] for owner, _ in best]


def hits_of(
    ranking: Ranking,
    documents: Mapping[str, Document],
    positions: Mapping[str, int] | None = None,
    *,
    group: bool = False,
) -> list[Hit]:
    """Return a ranking as hits with texts and metadata.

    Args:
        ranking: ids with scores, best first.
        documents: by the ids of the ranking.
        positions: the place of each id in what was given to be reranked.
        group: give each hit its document's id in place of the piece's.
    """
    places = positions or {}
    return Hits(
        hit_of(rank, documents[name], score, places.get(name), group=group)
        for rank, (name, score) in enumerate(ranking, start=1)
    )


def hit_of(rank: int, document: Document, score: float, position: int | None = None, *, group: bool = False) -> Hit:
    """Return one hit; :func:`hits_of` explains the arguments."""
    identity = document.whole_id if group else document.id
    return Hit(rank, identity, score, document.text, document.title, document.metadata, position, document.piece)
