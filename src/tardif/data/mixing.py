"""Several training sets mixed into one, each with a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from tardif.checks import check_list, is_number
from tardif.data.chunking import PIECE
from tardif.data.synthetic import PARENT, parent_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import SettingError
from tardif.text.normal import normalise
from tardif.types import Document


def mix(sets: Sequence[TrainingSet], weights: Sequence[float]) -> TrainingSet:
    """Mix training sets.

    An epoch uses ``weight x size`` examples of each set: weight 2 uses each twice, weight 0.5 uses one half in one
    epoch and the other half in the next. An id that means different things in two sets gets the number of the later
    set as a prefix there. A query that one set holds out is trained on in none; the report counts the examples that
    are dropped.

    Args:
        sets: at least one; none of them mixed already.
        weights: one for each set, above 0.

    Raises:
        SettingError: a weight cannot be used, or a set is mixed already.
    """
    sets, weights = check_list(sets, "sets", SettingError), check_list(weights, "weights", SettingError)
    for weight in weights:
        if not is_number(weight) or not 0 < weight < math.inf:
            raise SettingError(f"weight={weight!r}: give a number above 0.")
    # The parts of a mixed set count examples from the first: another set before them would shift them.
    if any(found.parts for found in sets):
        raise SettingError("A training set that is mixed cannot be mixed again: put its parts together at once.")
    renamed = _distinct_ids(sets)
    # By text, not by id: the same question may have another id in another set.
    held = {
        normalise(text) for found in renamed for query, text in found.queries.items() if found.split[query] != TRAIN
    }
    qrels: dict[str, dict[str, int]] = {}
    split: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for found in renamed:
        for query, judged in found.qrels.items():
            qrels.setdefault(query, {}).update(judged)
        for query, unsure in found.unclear.items():
            unclear.setdefault(query, []).extend(unsure)
        # A query that an earlier set holds out stays held out.
        split.update({query: side for query, side in found.split.items() if split.get(query, TRAIN) == TRAIN})
    used = [[e for e in found.examples if normalise(found.queries[e.query_id]) not in held] for found in renamed]
    report = []
    for number, (found, examples, weight) in enumerate(zip(renamed, used, weights, strict=True), start=1):
        report.append(f"set {number}: {len(examples)} examples, weight {weight:g}")
        if left_out := len(found.examples) - len(examples):
            report.append(f"set {number}: {left_out} examples left out, whose query another set holds out")
        report += [f"set {number}: {line}" for line in found.report]
    return TrainingSet(
        documents=dict(chain.from_iterable(found.documents.items() for found in renamed)),
        queries=dict(chain.from_iterable(found.queries.items() for found in renamed)),
        qrels=qrels,
        split=split,
        examples=list(chain.from_iterable(used)),
        settings={"mixed": [dict(found.settings) for found in sets], "weights": [float(weight) for weight in weights]},
        report=report,
        made=sum(found.made for found in sets),
        unclear=unclear,
        sources=tuple(dict.fromkeys(name for found in sets for name in found.sources)),
        parts=tuple((len(part), float(weight)) for part, weight in zip(used, weights, strict=True) if part),
    )


def _distinct_ids(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    """The sets with ids that mean one thing over all of them."""
    documents: dict[str, str] = {}
    queries: dict[str, str] = {}
    found = []
    for number, given in enumerate(sets, start=1):
        contents = {identity: document.content for identity, document in given.documents.items()}
        found.append(_rename(given, _new_ids(contents, documents, number), _new_ids(given.queries, queries, number)))
        documents.update({identity: document.content for identity, document in found[-1].documents.items()})
        queries.update(found[-1].queries)
    return found


def _new_ids(texts: Mapping[str, str], taken: Mapping[str, str], number: int) -> dict[str, str]:
    """New ids for those that another set uses for another text."""
    found = {}
    for identity, text in texts.items():
        if taken.get(identity, text) != text:
            new = f"{number}:{identity}"
            while new in taken or new in texts:  # a prefixed id may be somebody's own
                new = f"{number}:{new}"
            found[identity] = new
    return found


def _rename(given: TrainingSet, documents: Mapping[str, str], queries: Mapping[str, str]) -> TrainingSet:
    if not documents and not queries:
        return given

    def d(identity: str) -> str:
        return documents.get(identity, identity)

    def q(identity: str) -> str:
        return queries.get(identity, identity)

    def metadata(document: Document) -> Mapping[str, Any]:
        """The metadata with the new id of the document that a variant or a piece was made from."""
        found = dict(document.metadata)
        if (parent := parent_of(document)) is not None:
            found[PARENT] = d(parent)
        if isinstance(piece := found.get(PIECE), Mapping) and isinstance(piece.get("document"), str):
            found[PIECE] = {**piece, "document": d(piece["document"])}
        return found

    return replace(
        given,
        documents={d(i): replace(found, id=d(i), metadata=metadata(found)) for i, found in given.documents.items()},
        queries={q(i): text for i, text in given.queries.items()},
        qrels={q(i): {d(j): relevance for j, relevance in judged.items()} for i, judged in given.qrels.items()},
        split={q(i): side for i, side in given.split.items()},
        unclear={q(i): [d(j) for j in found] for i, found in given.unclear.items()},
        examples=[
            replace(e, query_id=q(e.query_id), positive_id=d(e.positive_id), negative_ids=tuple(map(d, e.negative_ids)))
            for e in given.examples
        ],
    )
