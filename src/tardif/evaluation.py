"""Measures of a run against judgements, and runs of models; the figures before and after training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_list
from tardif.errors import DataError, SettingError
from tardif.scoring import maxsim_arrays, top
from tardif.types import Document, Qrels, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

MEASURES = ("nDCG@10", "RR@10", "R@100")
DEPTH = 100
# Documents encoded and scored at a time: bounds memory, and progress shows after each.
_BLOCK = 128

Encoded = tuple[NDArray[np.float32], list[int]]


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


def depth_of(names: Iterable[str]) -> int:
    """How many hits of a query the measures look at: the deepest of their cut-offs, 100 or more.

    Raises:
        SettingError: a name is none of ir-measures'.
    """
    return max([DEPTH, *(int(measure.params.get("cutoff") or 0) for measure in parse_measures(names))])


def per_query(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Each measure for each judged query: measure -> query id -> value.

    A judged query that the run does not answer counts 0; a query without judgements does not count.
    """
    import ir_measures

    parsed = parse_measures(measures)
    values = {str(measure): dict.fromkeys(qrels, 0.0) for measure in parsed}
    judged = {query: dict(documents) for query, documents in qrels.items()}
    answered = {query: dict(run[query]) for query in qrels if run.get(query)}
    if answered:
        for value in ir_measures.iter_calc(parsed, judged, answered):
            values[str(value.measure)][value.query_id] = float(value.value)
    return values


def measure(qrels: Qrels, run: Run, measures: Iterable[str] = MEASURES) -> dict[str, float]:
    """The mean of each measure over the judged queries."""
    return {
        name: float(np.mean(list(values.values()))) if values else 0.0
        for name, values in per_query(qrels, run, measures).items()
    }


def spoken(figures: Mapping[str, float]) -> str:
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


def encode_queries(model: MultiVectorEncoder, texts: Sequence[str]) -> Encoded:
    """Token vectors of queries: packed ``[tokens, dim]`` float32, and the rows of each."""
    from tardif.modeling.encoding import encode_texts

    return encode_texts(model, texts, "query")


def encode_documents(model: MultiVectorEncoder, texts: Sequence[str]) -> Encoded:
    """Token vectors of documents: packed ``[tokens, dim]`` float32, and the rows of each."""
    from tardif.modeling.encoding import encode_texts

    return encode_texts(model, texts, "document")


def rank(
    model: MultiVectorEncoder,
    queries: Mapping[str, str],
    documents: Sequence[Document],
    *,
    k: int = DEPTH,
    advance: Callable[[int], None] | None = None,
) -> Run:
    """Exact MaxSim of every query with every document: the run of a model over a corpus.

    Documents are encoded and scored a block at a time, so memory does not grow with the corpus. A document without a
    scoreable token is never a hit, and a query without one has none.

    Args:
        model: the model, as it is now.
        queries: texts by id.
        documents: the corpus.
        k: hits kept per query. Equal scores are ordered by document id.
        advance: called with the number of documents done, for progress.
    """
    documents = check_list(documents, "documents", DataError)
    vectors, lengths = encode_queries(model, list(queries.values()))
    by_length = sorted(documents, key=lambda document: (-len(document.content), document.id))
    ids = np.array([document.id for document in by_length], dtype=object)
    run: dict[str, dict[str, float]] = {query: {} for query in queries}
    for begin in range(0, len(by_length), _BLOCK):
        block = by_length[begin : begin + _BLOCK]
        d_vectors, d_lengths = encode_documents(model, [document.content for document in block])
        filled = np.flatnonzero(d_lengths)
        names = ids[begin : begin + _BLOCK][filled]
        scores = maxsim_arrays(vectors, lengths, d_vectors, d_lengths)[:, filled]  # [queries, documents with tokens]
        for query, row, length in zip(queries, scores, lengths, strict=True):
            if not length:
                continue
            hits = [*run[query].items(), *top(row, names, k)]
            run[query] = dict(sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k])
        if advance is not None:
            advance(len(block))
    return run
