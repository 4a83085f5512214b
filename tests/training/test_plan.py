from __future__ import annotations

import pytest

from tardif.training.plan import LEAST_DOCUMENTS, Size, Work, make_plan
from tardif.training.settings import TrainingSettings
from tardif.types import Example

EXAMPLES = [Example(f"q{n}", f"d{n}", ("a", "b", "c")) for n in range(1000)]


WORK = Work(parameters=10**7, tokens=Size(120, 32), dim=128)
BATCH = Size(48, 16)  # two negatives an example


def plan(corpus=100_000, queries=500, seconds=None, examples=EXAMPLES, work=WORK, **settings):
    return make_plan(examples, TrainingSettings(**settings), Size(corpus, queries), work, seconds)


def in_steps(documents, work=WORK, queries=500):
    """What an evaluation costs, in steps."""
    return work.forward(Size(documents, min(queries, documents))) / (3 * work.forward(BATCH))


def test_without_minutes_epochs_give_the_steps_and_no_clock_is_asked():
    assert plan(epochs=2, batch_size=16).steps == 2 * 63
    assert plan(epochs=2, batch_size=16).per_epoch == 63
    assert plan(epochs=2, other={"gradient_accumulation_steps": 4}).steps == 2 * 16
    assert plan(max_steps=7).steps == 7


def test_few_examples_are_seen_more_often_and_made_ones_once():
    def passes(count, made=False):
        settings, examples = TrainingSettings(batch_size=1), EXAMPLES[:1] * count
        return make_plan(examples, settings, Size(0, 0), WORK, made=made).steps / count

    assert [passes(count) for count in (1, 1000, 1001, 10_000, 10_001)] == [4, 4, 2, 2, 1]
    assert [passes(count, made=True) for count in (1, 1000, 1001, 10_001)] == [1, 1, 1, 1]


@pytest.mark.parametrize("epochs", [1, 2, 5, 20])
def test_evaluations_keep_to_their_share(epochs):
    found = plan(epochs=epochs, validation_documents=10**6)
    assert 0.095 < 2 * in_steps(found.documents) / found.steps <= 0.1
    assert plan(epochs=epochs, evaluation_share=0.2, validation_documents=10**6).documents > 1.3 * found.documents


def test_a_small_model_spends_its_time_on_scoring():
    """So it gets fewer documents than a large one in the same steps."""
    assert plan(max_steps=200, work=Work(10**5, Size(120, 32), 128)).documents < plan(max_steps=200).documents


def test_more_evaluations_search_fewer_documents():
    by_count = [plan(evaluations=count, epochs=10).documents for count in (1, 2, 4, 8, 1000)]
    assert by_count == sorted(by_count, reverse=True)
    assert by_count[-1] == LEAST_DOCUMENTS


def test_the_size_has_bounds():
    assert plan(epochs=1000).documents == 1000
    assert plan(max_steps=1).documents == LEAST_DOCUMENTS
    assert plan(max_steps=1, validation_documents=20).documents == 20
    assert plan(max_steps=1, evaluation_share=None).documents == 1000


@pytest.mark.parametrize("minutes", [0.1, 1, 10, 100])
@pytest.mark.parametrize("evaluations", [1, 2, 10])
def test_a_budget_of_minutes_holds_steps_and_evaluations(minutes, evaluations):
    found = plan(minutes=minutes, seconds=2.0, evaluations=evaluations, epochs=1000)
    step = 1.1 * 2.0
    spent = step * (found.steps + evaluations * in_steps(found.documents))
    assert spent <= 60 * minutes or found.steps == 1
    assert spent + 1.2 * step > 60 * minutes
    # By its steps, the same size comes out: what is recorded repeats the run.
    assert plan(max_steps=found.steps, evaluations=evaluations).documents == found.documents


def test_minutes_do_not_add_steps_to_the_epochs():
    assert plan(minutes=1000, seconds=0.001).steps == plan().steps


def test_nothing_is_set_aside_for_evaluations_where_nothing_is_held_out():
    assert plan(minutes=1, seconds=1.0, corpus=0).steps == int(60 / 1.1)


def test_examples_without_negatives_have_cheaper_steps():
    bare = [Example(f"q{n}", f"d{n}") for n in range(1000)]
    assert plan(epochs=2, examples=bare).documents < plan(epochs=2).documents
