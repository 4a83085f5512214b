from __future__ import annotations

import pytest
import torch

import tiny
from one_of_two import moved
from tardif.encoder.encoding import Block
from tardif.encoder.packing import LENGTHS
from tardif.errors import SettingError
from tardif.losses import contrastive
from tardif.training.averaging import save_start
from tardif.training.base_pull import EVERY, FrozenBase, is_pulled
from tardif.training.length_pull import pulls_of
from tardif.training.objective import Objective
from tardif.training.settings import TrainingSettings, settings_from
from training.test_objective import ROWS, collate, gradients

PULLED = EVERY - 1


@pytest.fixture(scope="module")
def model(base_folder):
    return tiny.exact_model(base_folder("bert"))


def at(step, model, base, **options):
    """The loss of a batch at a step, and its gradients."""
    objective = Objective(model, TrainingSettings(**options), base)
    objective.begin_step(step)
    loss = objective(collate(model, tokens=40)(ROWS))
    return loss.item(), gradients(model, loss)


def scores(model):
    """The scores of a batch's rows with its columns."""
    seen = []

    def keep(asked, *arguments, **options):
        seen.append(asked.detach())
        return contrastive(asked, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tardif.training.objective.contrastive", keep)
        Objective(model)(collate(model, tokens=40)(ROWS))
    return seen[0]


def test_one_step_in_four_has_the_pull_and_the_first_has_none():
    assert [is_pulled(step) for step in range(8)] == [False, False, False, True] * 2


def test_at_the_base_nothing_pulls(model):
    plain, pulled = at(0, model, None), at(PULLED, model, FrozenBase(model), base_pull=1.0)
    assert plain[0] == pulled[0]
    for name, gradient in plain[1].items():
        torch.testing.assert_close(pulled[1][name], gradient, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("grad_cache", [False, True])
def test_the_gradient_is_that_of_the_loss_and_the_divergence(model, grad_cache):
    base = moved(model)
    loss, found = at(PULLED, model, FrozenBase(base), base_pull=0.3, grad_cache=grad_cache)
    plain, expected = at(0, model, None)
    assert loss == plain  # the pull is in the gradients alone
    teacher = scores(base).softmax(dim=1)

    # A step along the gradient's excess changes the divergence as the excess says.
    def divergence():
        rows = (teacher * (teacher.log() - scores(model).log_softmax(dim=1))).sum(dim=1)  # [Q]
        return (teacher.diagonal() * rows).mean().item()  # row r's positive is column r

    excess = {name: found[name] - expected[name] for name in found}
    length = sum(float(part.square().sum()) for part in excess.values())
    assert length > 0
    slope = tiny.slope(model, excess, divergence, 1e-4)
    assert slope * 0.3 * EVERY == pytest.approx(length, rel=1e-3)


def test_the_base_of_a_run_is_what_it_began_with(model, tmp_path):
    save_start(model, tmp_path / "start")
    later = moved(model)
    batch = collate(model)(ROWS)["queries"]
    assert batch
    began = FrozenBase.of_run(later, tmp_path / "start", "fp32")
    own = dict(began._model.named_parameters())
    assert all(torch.equal(weight, own[name]) for name, weight in model.named_parameters())
    assert not any(weight.requires_grad for weight in own.values())


def test_a_base_copied_before_batches_were_packed_reads_each_text_for_itself(base_folder):
    model = tiny.exact_model(base_folder("bert"))
    early = FrozenBase(model)
    blocks = [Block(features, "document") for features in collate(model, tokens=40)(ROWS)["documents"]]
    assert any(len(block.features[LENGTHS]) > 1 for block in blocks)
    for found, expected in zip(early.encode(blocks), FrozenBase(model).encode(blocks), strict=True):
        assert torch.equal(found.vectors, expected.vectors)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_base_of_a_run_computes_in_the_precision_of_the_training(make, monkeypatch, precision, dtype):
    """Otherwise it pulls towards other roundings, and takes twice the time where bfloat16 is faster."""
    encode, found = FrozenBase.encode, []
    monkeypatch.setattr(FrozenBase, "encode", lambda base, blocks: found.append(encode(base, blocks)) or found[-1])
    make(precision).train(max_steps=EVERY, evaluations=1, precision=precision, base_pull=1)
    assert [{part.vectors.dtype for part in encoded} for encoded in found] == [{dtype}]


def test_other_losses_have_a_teacher_of_their_own():
    assert pulls_of(None, None, ["contrastive", "margin"]) == (1.0, 0.0)
    assert pulls_of(None, None, ["distillation"]) == (0.0, 0.0)
    with pytest.raises(SettingError, match="base_pull=2 does nothing without the loss contrastive"):
        settings_from({"loss": "margin", "base_pull": 2})
    with pytest.raises(SettingError, match="base_pull=-1: give a number, 0 or more"):
        settings_from({"base_pull": -1})
