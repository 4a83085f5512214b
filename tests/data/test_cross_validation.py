"""Folds: every query is held out once, and what belongs together is held out together."""

import dataclasses
import random

import pytest

from tardif import SettingError
from tardif.data.split import fold_sets, most_folds
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.preparation import prepare
from tardif.types import Document, Example


def training_set(texts, answers=None, parts=(), **settings):
    ids = [f"q{n}" for n in range(len(texts))]
    answers = answers or [f"answer {n}" for n in range(len(texts))]
    return TrainingSet(
        documents={f"d{n}": Document(f"d{n}", text) for n, text in enumerate(answers)},
        queries=dict(zip(ids, texts, strict=True)),
        qrels={query: {f"d{n}": 1} for n, query in enumerate(ids)},
        split=dict.fromkeys(ids, TRAIN),
        examples=[Example(query, f"d{n}") for n, query in enumerate(ids)],
        settings={"near": False, **settings},
        parts=parts,
    )


def held(folds):
    return [sorted(fold.queries[query] for query in fold.query_ids(VALIDATION)) for fold in folds]


TEXTS = [f"question number {n * 7919}" for n in range(23)]


def test_every_query_is_held_out_once_and_trained_on_in_every_other_fold():
    data = training_set(TEXTS)
    folds = fold_sets(data, 5, seed=0)
    assert sorted(text for texts in held(folds) for text in texts) == sorted(TEXTS)
    assert {len(texts) for texts in held(folds)} == {4, 5}
    for fold in folds:
        trained = {example.query_id for example in fold.examples}
        assert trained == set(fold.query_ids(TRAIN))
        assert trained.isdisjoint(fold.query_ids(VALIDATION))
        assert fold.documents == data.documents


def test_the_folds_depend_on_texts_and_seed_and_not_on_the_order():
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    assert held(fold_sets(training_set(TEXTS), 3, seed=0)) == held(fold_sets(training_set(shuffled), 3, seed=0))
    assert held(fold_sets(training_set(TEXTS), 3, seed=0)) != held(fold_sets(training_set(TEXTS), 3, seed=1))


@pytest.mark.parametrize(
    ("texts", "answers", "settings"),
    [
        (["The Same", "the  same"], None, {}),
        (
            ["how do I reset the password of my account?", "how do I reset the password of my account"],
            None,
            {"near": True},
        ),
        (["one", "another"], ["one answer", "One  answer"], {"documents_apart": True}),
    ],
    ids=["copies", "near-duplicates", "one answer"],
)
def test_what_belongs_together_is_held_out_together(texts, answers, settings):
    answers = [*answers, *(f"answer {n}" for n in range(23))] if answers else None
    for seed in range(4):
        folds = held(fold_sets(training_set([*texts, *TEXTS], answers, **settings), 4, seed))
        assert sum(bool(set(texts) & set(fold)) for fold in folds) == 1


def test_the_parts_of_a_mixed_set_keep_their_weights():
    for fold in fold_sets(training_set(TEXTS, parts=((20, 1.0), (3, 0.5))), 5, seed=0):
        assert sum(size for size, _ in fold.parts) == len(fold.examples)
        first = sum(example.query_id in {f"q{n}" for n in range(20)} for example in fold.examples)
        assert {weight: size for size, weight in fold.parts}.get(1.0) == first


def test_what_cannot_be_divided_is_refused_with_the_way_out():
    with pytest.raises(SettingError, match="give 23 folds or fewer"):
        fold_sets(training_set(TEXTS), 24, seed=0)
    with pytest.raises(SettingError, match="group_by"):
        fold_sets(training_set(TEXTS, group_by="family"), 5, seed=0)
    prepared = prepare([list(zip(TEXTS, map(str, range(23)), strict=True))], miner="none")
    with pytest.raises(SettingError, match=r"7 queries are held out already: prepare with --validation 0"):
        fold_sets(prepared, 5, seed=0)
    assert len(fold_sets(dataclasses.replace(prepared, split=dict.fromkeys(prepared.split, TRAIN)), 5, seed=0)) == 5


@pytest.mark.parametrize(
    ("texts", "settings", "most"),
    [
        (TEXTS, {}, 5),
        (TEXTS[:3], {}, 3),
        (TEXTS[:1], {}, 0),
        (["The Same", "the  same", "another", "and"], {}, 3),
        (TEXTS, {"group_by": "topic"}, 0),
    ],
)
def test_the_folds_that_are_advised_are_made_of_a_set_without_held_out_queries(texts, settings, most):
    data = training_set(texts, **settings)
    held_out = dataclasses.replace(data, split={**data.split, "q0": VALIDATION})
    assert most_folds(held_out, 5) == most_folds(data, 5) == most
    if most:
        assert len(fold_sets(data, most, seed=0)) == most
    with pytest.raises(SettingError):
        fold_sets(data, 24 if most == 5 else max(most + 1, 2), seed=0)
