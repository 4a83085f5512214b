from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from tardif.data.training_set import TrainingSet
from tardif.encoder.tokens import Tokens
from tardif.text.normal import normalise
from tardif.training import batches
from tardif.training.batches import Collator
from tardif.training.distributed import gather_columns
from tardif.training.objective import ignored_columns
from tardif.training.settings import TrainingSettings
from tardif.types import Document, Example
from words import TEXTS, Tokeniser, texts_of

DATA = TrainingSet(
    documents={identity: Document(identity, text) for identity, text in TEXTS.items()},
    queries={"q1": "what makes the tides", "q2": "how long to bake", "q3": "what makes the tides"},
    qrels={"q1": {"tides": 1, "sea": 1}, "q2": {"bread": 1, "snow": 0}, "q3": {"copy": 1}},
    split={"q1": "train", "q2": "train", "q3": "train"},
    examples=[
        Example("q1", "tides", ("bees", "snow", "bread")),
        Example("q1", "sea", ("bees", "snow", "bread")),
        Example("q2", "bread", ("snow", "bees", "tides")),
        Example("q3", "copy", ()),
    ],
)
ALL = [{"example": n} for n in range(len(DATA.examples))]


def collator(data=DATA, budget=2048, **options):
    tokens = Tokens(Tokeniser(), {"query": "[Q] ", "document": "[D] "}, budget=budget)
    return Collator(data, tokens, TrainingSettings(**{"negatives_per_example": 1, **options}))


def columns_of(batch):
    documents = texts_of(batch["documents"])
    return [documents[row] for row in batch["columns"]]


def ignored_in(batch, **options):
    return ignored_columns(gather_columns(batch, 0), batch, **options)


def test_columns_are_all_positives_then_the_negatives_of_each_example():
    collate = collator(negatives_per_example=2)
    batch = collate(ALL)
    used = [example.positive_id for example in DATA.examples]
    used += itertools.chain.from_iterable(collate.negatives(n) for n in range(len(ALL)))
    assert columns_of(batch) == [TEXTS[identity] for identity in used]
    assert batch["positives"].tolist() == [0, 1, 2, 3]
    queries = texts_of(batch["queries"])
    assert [queries[row] for row in batch["query_rows"]] == [DATA.queries[e.query_id] for e in DATA.examples]


def test_each_distinct_text_is_encoded_once():
    batch = collator(negatives_per_example=3)(ALL)
    for blocks, used in ((batch["queries"], DATA.queries.values()), (batch["documents"], columns_of(batch))):
        texts = texts_of(blocks)
        assert len(texts) == len(set(texts))
        assert set(texts) == set(used)


def test_texts_are_read_with_the_models_own_prompts():
    collate = collator()
    collate(ALL)
    assert {(task, prompt) for task, prompt, _ in collate.tokens.preprocess.calls} == {
        ("query", "[Q] "),
        ("document", "[D] "),
    }


def test_negatives_are_mined_ones_and_as_many_as_asked():
    for count in range(5):
        drawn = collator(negatives_per_example=count).negatives(0)
        assert len(drawn) == len(set(drawn)) == min(count, 3)
        assert set(drawn) <= set(DATA.examples[0].negative_ids)


def test_negatives_differ_by_epoch_and_example_and_seed_but_are_deterministic():
    def drawn(seed=0, number=0):
        collate, found = collator(seed=seed), []
        for epoch in range(12):
            collate.epoch = epoch
            found += collate.negatives(number)
        return found

    assert drawn() == drawn()
    assert set(drawn()) == set(DATA.examples[0].negative_ids)  # in time, each gets its turn
    assert drawn() != drawn(number=1)
    assert drawn() != drawn(seed=1)


def test_known_positives_and_copies_are_ignored():
    collate = collator(negatives_per_example=3)
    batch = collate(ALL)
    columns, ignored = columns_of(batch), ignored_in(batch)
    answers = {"q1": {"tides", "sea", "copy"}, "q2": {"bread"}, "q3": {"copy", "tides"}}
    for row, example in enumerate(DATA.examples):
        known = {TEXTS[identity] for identity in answers[example.query_id]}
        for column, text in enumerate(columns):
            assert ignored[row, column] == (text in known)


def test_a_text_is_hashed_once_whatever_the_epoch_and_the_negatives(monkeypatch):
    hashed = []
    monkeypatch.setattr(batches, "normalise", lambda text: hashed.append(text) or normalise(text))
    collate = collator(negatives_per_example=3)
    collate(ALL)
    assert sorted(hashed) == sorted(set(hashed))
    collate.epoch, collate.data = 1, replace(DATA, examples=[replace(DATA.examples[0], negative_ids=("copy",))])
    again, anew = collate(ALL[:1]), collator(collate.data)(ALL[:1])
    assert len(hashed) == len(set(hashed)) + 3  # those of the new collator
    for name in ("column_keys", "known_rows", "known_keys"):
        assert again[name].tolist() == anew[name].tolist()


def test_masking_is_an_option_and_changes_no_column():
    masked, plain = (
        collator(negatives_per_example=3)(ALL),
        collator(negatives_per_example=3, mask_known_positives=False)(ALL),
    )
    assert not ignored_in(plain).any()
    assert columns_of(masked) == columns_of(plain)
    assert ignored_in(masked).shape == ignored_in(plain).shape == (4, len(columns_of(plain)))


def test_other_rows_hard_negatives_can_be_left_out():
    batch = collator(negatives_per_example=3, mask_known_positives=False)(ALL)
    assert not ignored_in(batch).any()
    for row, ignored in enumerate(ignored_in(batch, other_negatives=False)):
        assert ignored.tolist() == [
            column >= len(ALL) and owner != row for column, owner in enumerate(batch["owners"].tolist())
        ]


def test_every_column_has_an_owner():
    collate = collator(negatives_per_example=2)
    batch = collate(ALL)
    columns, owners = columns_of(batch), batch["owners"].tolist()
    for row, example in enumerate(DATA.examples):
        mine = [text for text, owner in zip(columns, owners, strict=True) if owner == row]
        assert mine == [TEXTS[identity] for identity in [example.positive_id, *collate.negatives(row)]]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_teachers_scores_stay_with_their_documents(count):
    examples = [
        replace(DATA.examples[0], scores=(9.0, 1.0, 2.0, 3.0)),
        replace(DATA.examples[2], scores=(8.0, 4.0, 5.0, 6.0)),
        DATA.examples[1],
        DATA.examples[3],
    ]
    collate = collator(replace(DATA, examples=examples), negatives_per_example=count)
    for epoch in range(3):
        collate.epoch = epoch
        batch = collate(ALL)
        columns = columns_of(batch)
        assert batch["candidates"].shape == batch["teacher"].shape == (4, 1 + min(count, 3))
        for row, example in enumerate(examples):
            there = batch["candidates"][row] >= 0
            texts = [columns[column] for column in batch["candidates"][row][there]]
            drawn = [example.positive_id, *collate.negatives(row)]
            assert texts == [TEXTS[identity] for identity in drawn]
            scores = dict(zip([example.positive_id, *example.negative_ids], example.scores, strict=False))
            expected = [scores.get(identity, math.nan) for identity in drawn]
            assert batch["teacher"][row][there].tolist() == pytest.approx(expected, nan_ok=True)
            assert batch["teacher"][row][~there].isnan().all()


def test_a_batch_without_rows_still_has_something_to_encode():
    batch = collator()([])
    assert [len(texts_of(batch[name])) for name in ("queries", "documents")] == [1, 1]
    for name in ("query_rows", "columns", "positives", "owners", "column_keys", "known_rows", "known_keys"):
        assert batch[name].shape == (0,), name
    assert batch["candidates"].shape == batch["teacher"].shape == (0, 1)


def test_a_document_that_contains_another_query_s_positive_and_a_query_s_own_text_are_ignored():
    answer = "press the red button on the back for ten seconds, then let go and wait for the green light"
    texts = {
        "answer": answer,
        "article": f"First read this. {answer}. Then go on.",
        "asked": "How to reset?",
        "x": "x y",
    }
    data = TrainingSet(
        documents={identity: Document(identity, text) for identity, text in texts.items()},
        queries={"reset": "how to reset", "more": "what to read first"},
        qrels={"reset": {"answer": 1}, "more": {"article": 1}},
        split={"reset": "train", "more": "train"},
        examples=[Example("reset", "answer", ("x",)), Example("more", "article", ("asked",))],
    )
    rows = [{"example": 0}, {"example": 1}]
    # Columns: answer, article, x, asked.
    assert ignored_in(collator(data)(rows)).tolist() == [[True, True, False, True], [True, True, False, False]]
    unmasked = collator(data, mask_known_positives=False)(rows)
    assert not ignored_in(unmasked).any()
