"""Measures of a run against judgements (ir-measures), and runs of models and of BM25."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tardif.checks import check_list
from tardif.errors import DataError
from tardif.evaluation.calculation import calculate
from tardif.evaluation.exhaustive import Corpus, LateScorer, rank_blocks
from tardif.evaluation.measure_names import DEPTH, DEPTHLESS, MEASURES, is_count, parse_measures
from tardif.evaluation.packed import PackedRun, RunBuilder
from tardif.ranking import TopK, best_first
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import Language
from tardif.types import Document, Qrels, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Queries that are measured, or searched, together.
_QUERIES = 1000


def with_rank_scores(run: Run) -> dict[str, dict[str, float]]:
    """Replace scores by whole numbers in the order of :func:`tardif.ranking.best_first`, the last hit's being 1.

    Tools break ties in different ways; without ties all measures see one order.

    >>> with_rank_scores({"q": {"a": 0.5, "b": 0.5, "c": 0.9}})
    {'q': {'c': 3.0, 'b': 2.0, 'a': 1.0}}

    Raises:
        DataError: a score is no number.
    """
    found = {}
    for query, hits in run.items():
        if any(map(math.isnan, hits.values())):
            raise DataError(f"A score of the query {query!r} is no number (NaN): such a run has no order.")
        ranked = best_first(hits.items())
        found[query] = {identity: float(len(ranked) - place) for place, (identity, _) in enumerate(ranked)}
    return found


def per_query(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Compute each measure for each judged query: measure -> query id -> value.

    A judged query that the run does not answer counts 0, as does one for which a measure is not defined; a query
    without judgements does not count. All measures see one order: by falling score, equal scores by id, the highest id
    first. That is trec_eval's order, and :func:`tardif.evaluation.runs.write_run` writes it.

    >>> per_query({"q": {"a": 1}}, {"q": {"b": 2.0, "a": 1.0}}, ["RR@10"])
    {'RR@10': {'q': 0.5}}

    Raises:
        SettingError: a measure is none of ir-measures'.
        DataError: a score is no number.
    """
    parsed = parse_measures(measures)
    values = {str(measure): dict.fromkeys(qrels, 0.0) for measure in parsed}
    asked = [query for query in qrels if run.get(query)]
    for begin in range(0, len(asked), _QUERIES):  # ir-measures' form of a run is many times as large
        block = asked[begin : begin + _QUERIES]
        ranked = with_rank_scores({query: run[query] for query in block})
        for name, query, value in calculate(parsed, {query: qrels[query] for query in block}, ranked):
            values[name][query] = value
    # What counts queries or judgements does not depend on the hits: one that is no document is as good as any.
    known = set(asked)
    rest = [query for query in qrels if query not in known]
    counting = [measure for measure in parsed if measure.NAME in DEPTHLESS]
    if rest and counting:
        unanswered = {query: qrels[query] for query in rest}
        for name, query, value in calculate(counting, unanswered, {query: {"": 1.0} for query in rest}):
            values[name][query] = value
    return values


def measure(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> dict[str, float]:
    """Compute each measure over the judged queries: the mean of their values, or the sum of what counts.

    >>> measure({"q": {"a": 1}}, {"q": {"b": 2.0, "a": 1.0}}, ["RR@10", "R@10"])
    {'RR@10': 0.5, 'R@10': 1.0}
    """
    return means(per_query(qrels, run, measures))


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Average each measure over the queries, or add up what counts; exact sums are the same in any order of them.

    >>> means({"RR": {"q1": 1.0, "q2": 0.5}, "NumRet": {"q1": 10.0, "q2": 4.0}})
    {'RR': 0.75, 'NumRet': 14.0}
    """
    return {name: math.fsum(of.values()) / (1 if is_count(name) else len(of) or 1) for name, of in values.items()}


def format_measures(figures: Mapping[str, float]) -> str:
    """Write measures as one line for a reader.

    >>> format_measures({"nDCG@10": 0.71234, "R@100": 0.9})
    'nDCG@10 0.7123, R@100 0.9000'
    """
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def rank(
    model: MultiVectorEncoder,
    queries: Mapping[str, str],
    documents: Sequence[Document],
    *,
    k: int = DEPTH,
    advance: Callable[[int], None] | None = None,
) -> Run:
    """Rank every document for every query by exact MaxSim: the run of a model over a corpus.

    Documents are encoded and scored a block at a time, so that memory does not grow with the corpus. A hit takes 8
    bytes, and the vectors of many queries are in a file. Equal texts are encoded once, so that they tie. A document
    without a scoreable token is never a hit, and a query without one has none.

    Args:
        model: the model, as it is now.
        queries: texts by id.
        documents: the corpus.
        k: hits per query, in the order of :func:`tardif.ranking.best_first`.
        advance: called with the number of documents done, for progress.
    """
    corpus = Corpus(check_list(documents, "documents", DataError))
    best = TopK(len(queries), min(k, len(corpus.ids)))
    rank_blocks(corpus, LateScorer(model, list(queries.values())), best, advance=advance)
    return PackedRun.of(list(queries), best, corpus.ids)


def rank_bm25(
    queries: Mapping[str, str],
    documents: Sequence[Document],
    language: Language,
    *,
    k: int = DEPTH,
    advance: Callable[[int], None] | None = None,
) -> Run:
    """Rank documents for every query by BM25. ``advance`` is called with the number of queries done, for progress.

    >>> from tardif.text.languages import language
    >>> list(rank_bm25({"q": "red fox"}, [Document("a", "a red fox"), Document("b", "a dog")], language("en"))["q"])
    ['a']
    """
    searcher, texts, builder = LexicalSearcher(documents, language), list(queries.values()), RunBuilder()
    for begin in range(0, len(texts), _QUERIES):
        block = texts[begin : begin + _QUERIES]
        builder.add(searcher.search(block, k))
        if advance is not None:
            advance(len(block))
    return builder.run(list(queries))
