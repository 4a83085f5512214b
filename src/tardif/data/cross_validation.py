"""Folds of a training set for cross-validation: each query is held out once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tardif.data.split import components
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.errors import SettingError
from tardif.text.near import LIMIT, near_duplicates
from tardif.text.normal import keyed_order, normalise


def fold_sets(data: TrainingSet, folds: int, seed: int) -> list[TrainingSet]:
    """Hold out each training query once.

    Queries that belong together (:mod:`tardif.data.split`) are in one fold. The folds depend on the texts and the
    seed, not on the order of the queries.

    Args:
        data: a set without held-out queries.
        folds: the number of folds.
        seed: of the draw.

    Returns:
        One set for each fold, with the queries of this fold held out.

    Raises:
        SettingError: queries are held out already, belong together by a field that is not kept, or are too few.
    """
    if held := len(data.query_ids(VALIDATION)):
        raise SettingError(
            f"folds={folds} judges every query with a model that was trained without it, and {held} queries are held "
            "out already: prepare with --validation 0 (validation=0)."
        )
    if any(made.get("group_by") for made in _made_with(data)):
        raise SettingError(
            f"folds={folds}: the set was split by a field (group_by), which a prepared set does not keep: hold out a "
            "share instead (--validation)."
        )
    groups = _together(data)
    if len(groups) < folds:
        raise SettingError(
            f"folds={folds}: there are {len(groups)} groups of training queries that do not belong together: give "
            f"{len(groups)} folds or fewer."
        )
    parts: list[set[str]] = [set() for _ in range(folds)]
    for key in sorted(groups, key=lambda key: (keyed_order(seed, key), key)):
        min(parts, key=len).update(groups[key])
    return [_without(data, part) for part in parts]


def _made_with(data: TrainingSet) -> Iterator[dict[str, object]]:
    """The settings of a set, or of each set mixed into it."""
    for settings in data.settings.get("mixed") or [data.settings]:
        yield dict(settings)


def _together(data: TrainingSet) -> dict[str, list[str]]:
    """Training queries that must be in one fold, by the first of their normalised texts."""
    import numpy as np

    asked = {query: normalise(data.queries[query]) for query in data.query_ids(TRAIN)}
    shared: dict[str, list[str]] = {}  # what queries have in common -> these queries
    for query, text in asked.items():
        shared.setdefault(f"q{text}", []).append(query)
    if any(made.get("near", True) for made in _made_with(data)) and len(asked) <= LIMIT:
        links = near_duplicates((query, data.queries[query]) for query in asked).links
        shared.update({f"n{number}": list(link) for number, link in enumerate(links)})
    if any(made.get("documents_apart") for made in _made_with(data)):
        for query in asked:
            for identity in data.positives(query):
                shared.setdefault(f"d{normalise(data.documents[identity].content)}", []).append(query)
    places = {query: place for place, query in enumerate(asked)}
    edges = [(places[query], hub) for hub, queries in enumerate(shared.values()) for query in queries]
    units = components(*np.array(edges, dtype=np.int64).reshape(-1, 2).T)
    groups: dict[int, list[str]] = {}
    for query, unit in zip(asked, units.tolist(), strict=True):
        groups.setdefault(unit, []).append(query)
    return {min(asked[query] for query in group): group for group in groups.values()}


def _without(data: TrainingSet, held: set[str]) -> TrainingSet:
    """The set with some of its training queries held out."""
    trained = [example.query_id not in held for example in data.examples]
    parts, first = [], 0
    for size, weight in data.parts:
        parts.append((sum(trained[first : first + size]), weight))
        first += size
    kept = [example for example, used in zip(data.examples, trained, strict=True) if used]
    return replace(
        data,
        split={query: VALIDATION if query in held else side for query, side in data.split.items()},
        examples=kept,
        made=round(data.made * len(kept) / max(len(trained), 1)),
        parts=tuple(part for part in parts if part[0]),
    )
