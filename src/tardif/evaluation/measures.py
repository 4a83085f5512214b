"""Measures of a run against judgements, and runs of models; the figures before and after training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tardif.checks import check_list
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import DataError, SettingError
from tardif.ranking import best_first, top
from tardif.scoring import maxsim_arrays
from tardif.types import Document, Qrels, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

MEASURES = ("nDCG@10", "RR@10", "R@100")
DEPTH = 100
# Hits a query that measures without a cutoff look at where a corpus is too large for all of it: as in TREC's runs.
_TREC_DEPTH = 1000
# Hits of all queries up to which such measures are given whole rankings: some 0.5 GB.
_WHOLE = 3_000_000
# Queries that are measured together.
_QUERIES = 1000
# They count judgements or queries, not hits.
_DEPTHLESS = ("NumQ", "NumRel")
# Documents encoded and scored at a time: bounds memory, and progress shows after each.
_BLOCK = 128


def parse_measures(names: Iterable[str]) -> list[Any]:
    """Turn names such as ``nDCG@10`` into ir-measures' measures.

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    import ir_measures

    providers: Any = ir_measures.DefaultPipeline
    measures = []
    for name in check_list(names, "measures", SettingError):
        try:
            parsed = ir_measures.parse_measure(name)
            cutoff = parsed.params.get("cutoff")
            if cutoff is not None and (not isinstance(cutoff, int) or cutoff < 1):
                raise ValueError("a cutoff counts documents")
            if str(parsed) and not providers.supports(parsed):
                raise ValueError("no installed provider computes it")
        except (NameError, ValueError, AttributeError, SyntaxError, TypeError, KeyError, AssertionError):
            raise SettingError(
                f"The measure {name!r} cannot be computed: use ir-measures' names, such as {', '.join(MEASURES)}."
            ) from None
        measures.append(parsed)
    if not measures:
        raise SettingError(f"Name a measure, such as {', '.join(MEASURES)}.")
    return measures


def uncut(names: Iterable[str]) -> list[str]:
    """The measures, of some, that look at a ranking to its end: ``AP``, ``RR``, ``nDCG`` without ``@10``.

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    parsed = parse_measures(names)
    return [str(found) for found in parsed if not found.params.get("cutoff") and found.NAME not in _DEPTHLESS]


def depth_of(names: Iterable[str], qrels: Qrels | None = None, documents: int = 0) -> int:
    """How many hits of a query the measures look at.

    The deepest of their cutoffs, 100 or more. A measure without a cutoff looks at all documents, where the hits of all
    queries are 3 million at most; else at 1,000, as TREC's runs hold, or at as many as the documents that are relevant
    to one query, if these are more: fewer could not reach 1.

    Args:
        names: the measures.
        qrels: the judgements of the queries that are to be ranked.
        documents: how many documents there are.

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    judged = qrels or {}
    deepest = max([DEPTH, *(int(measure.params.get("cutoff") or 0) for measure in parse_measures(names))])
    if not uncut(names):
        return deepest
    if documents * len(judged) <= _WHOLE:
        return max(deepest, documents)
    relevant = (sum(relevance > 0 for relevance in found.values()) for found in judged.values())
    return max(deepest, _TREC_DEPTH, *relevant)


def with_rank_scores(run: Run) -> dict[str, dict[str, float]]:
    """A run with whole numbers for scores, the last hit's 1: the order of :func:`tardif.ranking.best_first`, without a
    tie that one tool would break otherwise than another.

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
    """Each measure for each judged query: measure -> query id -> value.

    A judged query that the run does not answer counts 0; a query without judgements does not count. All measures see
    one order: by falling score, equal scores by id, the highest id first, as trec_eval orders them and as
    :func:`tardif.evaluation.runs.write_run` writes them.

    Raises:
        SettingError: a measure is none of ir-measures'.
        DataError: a score is no number.
    """
    import ir_measures

    parsed = parse_measures(measures)
    values = {str(measure): dict.fromkeys(qrels, 0.0) for measure in parsed}
    asked = [query for query in qrels if run.get(query)]
    for begin in range(0, len(asked), _QUERIES):  # what the measures make of a run is many times as large as the run
        block = asked[begin : begin + _QUERIES]
        judged = {query: dict(qrels[query]) for query in block}
        for value in ir_measures.iter_calc(parsed, judged, with_rank_scores({query: run[query] for query in block})):
            values[str(value.measure)][value.query_id] = float(value.value)
    return values


def measure(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> dict[str, float]:
    """The mean of each measure over the judged queries."""
    return {
        name: float(np.mean(list(values.values()))) if values else 0.0
        for name, values in per_query(qrels, run, measures).items()
    }


def format_measures(figures: Mapping[str, float]) -> str:
    """Measures as one line for a reader."""
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def significance(
    ours: Mapping[str, float], theirs: Mapping[str, float], *, draws: int = 10_000, seed: int = 0
) -> float:
    """The two-sided p-value of the mean difference over the same queries, by paired randomisation.

    Fisher's test as Smucker, Allan and Carterette (CIKM 2007) recommend it for retrieval: the signs
    of the differences are flipped at random; p is the share of draws at least as far from 0.
    """
    difference = np.array([ours[query] - theirs[query] for query in sorted(ours)])
    observed = abs(difference.mean())
    random = np.random.default_rng(seed)
    far = 0
    for begin in range(0, draws, 500):
        signs = random.choice((-1.0, 1.0), size=(min(500, draws - begin), len(difference)))
        far += int((np.abs((signs * difference).mean(axis=1)) >= observed - 1e-12).sum())
    return (far + 1) / (draws + 1)


def rank(
    model: MultiVectorEncoder,
    queries: Mapping[str, str],
    documents: Sequence[Document],
    *,
    k: int = DEPTH,
    advance: Callable[[int], None] | None = None,
) -> Run:
    """Exact MaxSim of every query with every document: the run of a model over a corpus.

    Documents are encoded and scored a block at a time, so memory does not grow with the corpus. Equal texts are encoded
    once, so that they tie, wherever they stand. A document without a scoreable token is never a hit, and a query
    without one has none.

    Args:
        model: the model, as it is now.
        queries: texts by id.
        documents: the corpus.
        k: hits kept per query, in the order of :func:`tardif.ranking.best_first`.
        advance: called with the number of documents done, for progress.
    """
    documents = check_list(documents, "documents", DataError)
    vectors, lengths = encode_queries(model, list(queries.values()))
    owners: dict[str, list[str]] = {}
    for document in documents:
        owners.setdefault(document.content, []).append(document.id)
    texts = sorted(owners, key=lambda text: (-len(text), text))
    run: dict[str, list[tuple[str, float]]] = {query: [] for query in queries}
    for begin in range(0, len(texts), _BLOCK):
        block = texts[begin : begin + _BLOCK]
        d_vectors, d_lengths = encode_documents(model, block)
        filled = np.flatnonzero(d_lengths)
        names = [owners[block[place]] for place in filled]
        ids = np.array([identity for own in names for identity in own], dtype=object)
        scores = maxsim_arrays(vectors, lengths, d_vectors, d_lengths)[:, filled]  # [queries, texts with tokens]
        scores = np.repeat(scores, [len(own) for own in names], axis=1)  # [queries, documents with tokens]
        for query, row, length in zip(queries, scores, lengths, strict=True):
            if length:
                run[query] += top(row, ids, k)
                if len(run[query]) > 2 * k + _BLOCK:
                    run[query] = best_first(run[query], k)
        if advance is not None:
            advance(sum(len(owners[text]) for text in block))
    return {query: dict(best_first(hits, k)) for query, hits in run.items()}
