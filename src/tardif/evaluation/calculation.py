"""Values of measures, computed by ir-measures and the packages behind it, each of which has its own needs.

What is met here, so that a measure has one value in any company:

- pytrec_eval gives ``nDCG`` and ``NumRet`` the gains and the judged documents of another measure that it computes at
  the same time. So measures with such options are computed alone.
- pytrec_eval does not end, or crashes, on levels below 0. They mean not relevant, so they are 0 for it; only Bpref and
  infAP tell a document that nobody judged (-1) from one that is not relevant.
- gdeval, which computes ERR, reads ids as numbers. So queries are numbered for it, and documents too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tardif.errors import DataError, reason
from tardif.types import Qrels, Run

# The highest relevance that gdeval knows.
_GDEVAL_MOST = 4
# Measures that take -1 for a document of the pool that nobody judged.
_POOLED = frozenset({"Bpref", "infAP"})


def calculate(measures: Sequence[Any], qrels: Qrels, run: Run) -> Iterator[tuple[str, str, float]]:
    """Compute measures: yield the measure's name, the query id and the value.

    >>> from tardif.evaluation.measure_names import parse_measures
    >>> list(calculate(parse_measures(["RR@10"]), {"q": {"a": 1}}, {"q": {"b": 2.0, "a": 1.0}}))
    [('RR@10', 'q', 0.5)]

    Args:
        measures: ir-measures' own.
        qrels: the judgements.
        run: scores without ties, of judged queries with at least one hit.

    Raises:
        DataError: a measure has no value for these data.
    """
    together = [measure for measure in measures if not _is_apart(measure)]
    for lowest in (-1, 0):
        if group := [measure for measure in together if _lowest(measure) == lowest]:
            yield from _computed(group, qrels, run)
    for measure in filter(_is_apart, measures):
        yield from (_numbered if needs_gdeval(measure) else _computed)([measure], qrels, run)


def _lowest(measure: Any) -> int:
    """The lowest level that pytrec_eval may be given for a measure."""
    return -1 if measure.NAME in _POOLED else 0


def _is_apart(measure: Any) -> bool:
    return (
        needs_gdeval(measure) or not {"gains", "judged_only"}.isdisjoint(measure.params) or measure.NAME == "Accuracy"
    )


def needs_gdeval(measure: Any) -> bool:
    """Whether gdeval computes a measure: a program that takes numbers as ids, and a relevance up to 4."""
    return bool(measure.NAME == "ERR" or measure.params.get("dcg") == "exp-log2")


def _computed(measures: Sequence[Any], qrels: Qrels, run: Run) -> list[tuple[str, str, float]]:
    """Compute measures that have one lowest level."""
    import ir_measures

    lowest = _lowest(measures[0])
    known = {query: {name: max(level, lowest) for name, level in judged.items()} for query, judged in qrels.items()}
    try:
        found = ir_measures.iter_calc(measures, known, run)
        return [(str(value.measure), value.query_id, float(value.value)) for value in found]
    except Exception as error:
        names = ", ".join(map(str, measures))
        raise DataError(
            f"{names} has no value for these data ({type(error).__name__}: {reason(error)}): leave it out of "
            "--measures (in Python measures)."
        ) from error


def _numbered(measures: Sequence[Any], qrels: Qrels, run: Run) -> list[tuple[str, str, float]]:
    """Compute measures with numbers in place of ids."""
    check_judgements(measures, qrels)
    ids = list(qrels)
    number = {query: str(place) for place, query in enumerate(ids, 1)}
    documents: dict[str, str] = {}

    def named(values: Any) -> dict[str, Any]:
        return {documents.setdefault(d, f"d{len(documents)}"): value for d, value in values.items()}

    judged = {number[query]: named(values) for query, values in qrels.items()}
    found = _computed(measures, judged, {number[query]: named(hits) for query, hits in run.items()})
    return [(name, ids[int(query) - 1], value) for name, query, value in found]


def check_judgements(measures: Iterable[Any], qrels: Qrels) -> None:
    """Check that measures can be computed from judgements, before any work is done.

    Raises:
        DataError: a relevance is higher than a measure takes.
    """
    if not (limited := [str(measure) for measure in measures if needs_gdeval(measure)]):
        return
    for query, judged in qrels.items():
        if over := next((document for document, relevance in judged.items() if relevance > _GDEVAL_MOST), None):
            raise DataError(
                f"{', '.join(limited)} takes a relevance of at most {_GDEVAL_MOST}, and {over!r} has {judged[over]} "
                f"for the query {query!r}: leave it out of --measures (in Python measures)."
            )
