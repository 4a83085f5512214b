from __future__ import annotations

import copy
import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch

import tiny
from one_of_two import moved
from tardif.encoder.encoding import Block
from tardif.encoder.packing import LENGTHS as PACKED
from tardif.encoder.tokens import tokens_for
from tardif.errors import SettingError
from tardif.scoring import TokenVectors, maxsim
from tardif.training.base_pull import FrozenBase, is_pulled
from tardif.training.length_pull import (
    EVERY,
    LENGTHS,
    PARTS,
    LengthPull,
    has_one_length,
    moved_by,
    pulls_of,
    reads_lengths,
)
from tardif.training.library_trainer import _KINDS
from tardif.training.objective import Objective
from tardif.training.settings import TrainingSettings, settings_from
from tardif.types import Document, Example
from training.test_objective import DATA, ROWS, collate, gradients

PULLED = next(filter(reads_lengths, range(EVERY)))
TEXTS_OF_ALL = [document.content for document in DATA.documents.values()]


@pytest.fixture(scope="module")
def model(base_folder):
    return tiny.exact_model(base_folder("bert"))


def at(step, model, base, **options):
    """The loss of a batch at a step, and its gradients."""
    objective = Objective(model, TrainingSettings(**{"base_pull": 0.5, **options}), base, base and drawer(model))
    objective.begin_step(step)
    loss = objective(collate(model, tokens=40)(ROWS))
    return loss.item(), gradients(model, loss)


def drawer(model, **options):
    return LengthPull(model, DATA, 400, **options)


def lengths(drawn):
    """The number of tokens of each text that was drawn, in the order of the draw."""
    found = [length for block in drawn.blocks for length in block.features[PACKED]]
    return [found[place] for place in drawn.places]


def scores(model, drawn):
    """The scores of the batch's queries and the texts that were drawn: ``[rows, texts]``."""
    batch = collate(model, tokens=40)(ROWS)
    queries = [Block(features, "query") for features in batch["queries"]]
    vectors, middle = FrozenBase(model).encode([*queries, *drawn.blocks]), len(queries)
    packed = [
        TokenVectors(torch.cat([one.vectors for one in part]), [n for one in part for n in one.lengths])
        for part in (vectors[:middle], vectors[middle:])
    ]
    return maxsim(*packed)[batch["query_rows"]][:, drawn.places]


def test_one_step_in_four_has_the_pull_and_none_has_both():
    assert [step for step in range(12) if reads_lengths(step)] == [1, 5, 9]
    assert not any(is_pulled(step) and reads_lengths(step) for step in range(12))


def test_a_batch_is_timed_by_a_step_of_each_kind():
    kinds = [(is_pulled(step), reads_lengths(step)) for step in range(EVERY)]
    assert {kinds[step]: count for step, count in _KINDS.items()} == Counter(kinds)


def test_at_the_base_nothing_pulls(model):
    plain, pulled = at(0, model, None), at(PULLED, model, FrozenBase(model), length_pull=1.0)
    assert plain[0] == pulled[0]
    for name, gradient in plain[1].items():
        torch.testing.assert_close(pulled[1][name], gradient, rtol=1e-6, atol=1e-9, msg=name)


def test_steps_between_have_no_pull(model):
    plain, between = at(0, model, None), at(PULLED - 1, model, FrozenBase(moved(model)), length_pull=1.0)
    assert all(torch.equal(between[1][name], gradient) for name, gradient in plain[1].items())


@pytest.mark.parametrize("grad_cache", [False, True])
def test_the_gradient_is_that_of_the_loss_and_the_squared_difference(model, grad_cache):
    other = moved(model)
    loss, found = at(PULLED, model, FrozenBase(other), length_pull=0.3, temperature=0.5, grad_cache=grad_cache)
    plain, expected = at(0, model, None, temperature=0.5)
    assert loss == plain  # the pull is in the gradients alone
    drawn = drawer(model).draw(PULLED)
    before = scores(other, drawn)

    # A step along the gradient's excess changes the squared difference as the excess says.
    def difference():
        return ((scores(model, drawn) - before) / 0.5).var(dim=1, correction=0).mean().item()

    excess = {name: found[name] - expected[name] for name in found}
    length = sum(float(part.square().sum()) for part in excess.values())
    assert length > 0
    slope = tiny.slope(model, excess, difference, 1e-5)
    assert slope * 0.3 * EVERY == pytest.approx(length, rel=2e-3)


def test_what_is_drawn_depends_on_seed_step_and_turn_alone(model):
    first, again = drawer(model).draw(5), drawer(model)
    again.draw(13)
    assert lengths(again.draw(5)) == lengths(first)
    others = again.draw(13), again.draw(5, turn=1), drawer(model, seed=1).draw(5)
    assert all(lengths(other) != lengths(first) for other in others)


@pytest.mark.parametrize("step", range(4))
def test_every_step_has_two_texts_of_a_length_of_each_part(model, step):
    found = sorted(lengths(drawer(model).draw(step)))
    assert len(found) == 2 * PARTS
    assert found[::2] == found[1::2]
    # Each is in its own part, evenly in the logarithm: a whole number of tokens, or all that the model reads.
    for part, length in enumerate(found[::2]):
        low, high = (LENGTHS[0] * (LENGTHS[1] / LENGTHS[0]) ** (end / PARTS) for end in (part, part + 1))
        assert min(low - 0.5, model.max_seq_length) <= length <= high + 0.5
    assert max(found) > 2 * max(map(len, tokens_for(model, 400).ids(TEXTS_OF_ALL, "document")))


def test_a_batch_of_an_accumulated_step_has_texts_of_its_own(model):
    lengths, seen = drawer(model), []
    draw = lengths.draw
    lengths.draw = lambda *turn: seen.append(turn) or draw(*turn)
    objective = Objective(model, TrainingSettings(base_pull=0.5, length_pull=1.0), FrozenBase(model), lengths)
    for step in (PULLED, PULLED + 1, PULLED + EVERY):
        objective.begin_step(step)
        for _ in range(2):
            objective(collate(model)(ROWS))
    with torch.no_grad():  # a loss that is only looked at
        objective(collate(model)(ROWS))
    assert seen == [(PULLED, 0), (PULLED, 1), (PULLED + EVERY, 0), (PULLED + EVERY, 1)]


def test_training_with_the_pull_keeps_what_other_texts_score(base_folder):
    began = tiny.exact_model(base_folder("bert"))
    base, left = FrozenBase(began), {}
    other = drawer(began).draw(1002)  # of no step that is trained
    for weight in (0.0, 1.0):
        model = copy.deepcopy(began).train()
        settings = TrainingSettings(base_pull=1e-9, length_pull=weight)
        objective = Objective(model, settings, base, drawer(model))
        optimizer, collator = torch.optim.AdamW(model.parameters(), lr=1e-3), collate(model)
        for step in range(6 * EVERY):  # with the pull 0.17 of what is moved without it is left, after 4 times EVERY 0.4
            objective.begin_step(step)
            optimizer.zero_grad()
            objective(collator(ROWS)).backward()
            optimizer.step()
        left[weight] = moved_by(scores(model, other), scores(began, other)).item()
    assert left[1.0] < left[0.0] / 2


def test_alone_it_pulls_in_its_own_steps_and_in_no_other(model):
    plain, base = at(0, model, None), FrozenBase(moved(model))
    pulled = [at(step, model, base, base_pull=0, length_pull=1.0)[1] for step in range(EVERY)]
    same = [all(torch.equal(found[name], one) for name, one in plain[1].items()) for found in pulled]
    assert same == [step != PULLED for step in range(EVERY)]


@pytest.mark.parametrize("one_length", [False, True])
def test_what_is_given_is_kept_and_a_pull_on_batches_is_then_the_only_one(one_length):
    def decided(base, lengths, made=False):
        return pulls_of(base, lengths, ["contrastive"], made=made, one_length=one_length)

    assert decided(0.5, 3.0) == (0.5, 3.0)
    assert decided(0.0, None) == (0.0, 0.0)
    assert decided(0.5, None) == (0.5, 0.0)
    assert decided(None, 0.0) == (1.0, 0.0)
    assert decided(None, 3.0) == (0.0 if one_length else 1.0, 3.0)
    assert decided(None, None, made=True) == (0.0, 0.0)
    assert (decided(0.5, None, made=True), decided(None, 3.0, made=True)) == ((0.5, 0.0), (0.0, 3.0))
    assert pulls_of(None, None, ["distillation"], one_length=one_length) == (0.0, 0.0)


def of_lengths(*words):
    documents = {str(n): Document(str(n), "word " * count) for n, count in enumerate(words)}
    examples = [Example("q", identity, ()) for identity in documents]
    return replace(DATA, documents=documents, examples=examples)


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ((30, 31, 33, 29), True),
        ((60, 90, 300, 4000), True),  # all are cut to one length
        ((5, 10, 20, 40), False),
        ((3, 60, 60, 60), False),
        ((7,), True),
    ],
)
def test_documents_have_one_length_as_training_reads_them(model, words, one):
    assert has_one_length(of_lengths(*words), tokens_for(model, 400, 40), seed=0) is one


def test_lengths_and_made_queries_decide_what_pulls(make, data):
    found = {}
    lengths = {"even": itertools.repeat(9), "uneven": itertools.cycle([1, 9]), "made": itertools.repeat(9)}
    for name, times in lengths.items():
        texts = {n: (one.content + " ") * count for (n, one), count in zip(data.documents.items(), times, strict=False)}
        trainer = make(name)
        made = len(data.queries) if name == "made" else 0
        trainer.prepare(replace(data, documents={n: Document(n, text) for n, text in texts.items()}, made=made))
        settings = trainer.train(max_steps=2, evaluations=1, training_length=40).settings
        found[name] = settings["base_pull"], settings["length_pull"]
    assert found == {"even": (0.0, 2.0), "uneven": (1.0, 0.0), "made": (0.0, 0.0)}


def test_what_does_nothing_or_is_no_weight_is_refused():
    with pytest.raises(SettingError, match="length_pull=2 does nothing without the loss contrastive"):
        settings_from({"length_pull": 2, "loss": "margin"})
    with pytest.raises(SettingError, match="length_pull=-1: give a number, 0 or more"):
        settings_from({"length_pull": -1})
