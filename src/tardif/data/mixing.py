"""Several training sets mixed into one, each with a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from tardif.checks import check_list, is_number
from tardif.data.chunking import PIECE
from tardif.data.split import answers_of, groups_of, rules_of
from tardif.data.synthetic import PARENT, parent_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import DataError, SettingError
from tardif.progress import Console, Silent
from tardif.text.near import LIMIT
from tardif.types import Document


def mix(sets: Sequence[TrainingSet], weights: Sequence[float], console: Console | None = None) -> TrainingSet:
    """Mix training sets.

    An epoch uses ``weight x size`` examples of each set: weight 2 uses each twice, weight 0.5 uses one half in one
    epoch and the other half in the next. An id that means different things in two sets gets the number of the later
    set as a prefix there. A query that one set holds out is trained on in none, nor is one that belongs together with
    it by the rules of its split; the report counts the examples that are dropped.

    Args:
        sets: at least one; none of them mixed already.
        weights: one for each set, above 0.
        console: told of the examples that are dropped.

    Raises:
        DataError: every example is dropped.
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
    held, notes = _held_out(renamed)
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
    used = [[example for example in found.examples if example.query_id not in held] for found in renamed]
    report = []
    for number, (found, examples, weight) in enumerate(zip(renamed, used, weights, strict=True), start=1):
        report.append(f"set {number}: {len(examples)} examples, weight {weight:g}")
        if left_out := len(found.examples) - len(examples):
            notes.append(
                f"set {number}: {left_out} examples left out, whose query is held out or belongs together with one "
                "that is"
            )
        report += [f"set {number}: {line}" for line in found.report]
    if not any(used) and any(found.examples for found in sets):
        raise DataError(
            "No query is left to train on: each is held out by one of the sets, or belongs together with one that is "
            "(nearly the same text). Leave a set out, or prepare them with nothing held out (--validation 0, in Python "
            "validation=0)."
        )
    for note in notes:
        (console or Silent()).say(note)
    return TrainingSet(
        documents=dict(chain.from_iterable(found.documents.items() for found in renamed)),
        queries=dict(chain.from_iterable(found.queries.items() for found in renamed)),
        qrels=qrels,
        split=split,
        examples=list(chain.from_iterable(used)),
        settings={"mixed": [dict(found.settings) for found in sets], "weights": [float(weight) for weight in weights]},
        report=[*notes, *report],
        made=sum(found.made for found in sets),
        unclear=unclear,
        sources=tuple(dict.fromkeys(name for found in sets for name in found.sources)),
        parts=tuple((len(part), float(weight)) for part, weight in zip(used, weights, strict=True) if part),
    )


def _held_out(sets: Sequence[TrainingSet]) -> tuple[set[str], list[str]]:
    """The queries that are held out by a set, or belong together with such a one by the rules that this set was split
    by; and what was not looked for.

    By text, not by id: the same question may have another id in another set.
    """
    queries = dict(chain.from_iterable(found.queries.items() for found in sets))
    held: dict[tuple[bool, bool], set[str]] = {}  # by the rules of those who hold them out
    for found in sets:
        if own := {query for query, side in found.split.items() if side != TRAIN}:
            held.setdefault(rules_of(found), set()).update(own)
    found_out: set[str] = set()
    for (near, apart), own in held.items():
        answers: dict[str, list[str]] = {}
        for one in sets if apart else ():
            for query, texts in answers_of(one, one.queries).items():
                answers.setdefault(query, []).extend(texts)
        for group in groups_of(queries, near=near, answers=answers):
            if not own.isdisjoint(group):
                found_out.update(group)
    notes = []
    if any(near for near, _ in held) and len(queries) > LIMIT:
        notes.append(
            f"training queries that are nearly the same as a held-out one were not looked for among the {len(queries)} "
            f"queries of the sets: there are over {LIMIT}"
        )
    return found_out, notes


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
