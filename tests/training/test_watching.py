"""What is seen of a run while it goes: early stopping, divergence, logs, loggers."""

from __future__ import annotations

import json
import re

import pytest

from tardif import SettingError, TrainingError
from tardif.evaluation.outcome import Outcome
from tardif.training import objective
from tardif.training.validation import ValidationTask

SHORT = {"epochs": 2, "batch_size": 8, "lr": 1e-3}
STEPS = 10


def measured(monkeypatch, *scores):
    """The evaluations during training find these, whatever the model."""
    given = iter((0.1, 0.1, *scores))  # raw and step 0
    monkeypatch.setattr(ValidationTask, "bm25_outcome", lambda *args: Outcome({"nDCG@10": {"q": 0.1}}))
    monkeypatch.setattr(ValidationTask, "outcome", lambda *args: Outcome({"nDCG@10": {"q": next(given)}}))


def test_training_stops_after_evaluations_without_gain(make, monkeypatch):
    measured(monkeypatch, 0.2, 0.3, 0.3, 0.25, 0.9)
    result = make().train(**SHORT, evaluations=STEPS, patience=2)
    assert (result.settings["steps"], result.settings["best_step"]) == (4, 2)
    assert result.settings["stopped_early"] is True
    assert result.after == {"nDCG@10": 0.3}
    assert not result.interrupted


def test_gains_keep_it_going(make, monkeypatch):
    measured(monkeypatch, *(0.2, 0.1, 0.3, 0.2, 0.4, 0.3, 0.5, 0.4, 0.6, 0.5))
    result = make().train(**SHORT, evaluations=STEPS, patience=2)
    assert (result.settings["steps"], result.settings["best_step"]) == (STEPS, 9)
    assert result.settings["stopped_early"] is False


def test_a_resumed_run_stops_early_where_an_unbroken_one_does(make, monkeypatch):
    contrastive, settings = objective.contrastive, {**SHORT, "evaluations": STEPS, "patience": 3}
    calls = 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 5:  # when two evaluations have brought nothing
            raise RuntimeError
        return contrastive(*args, **kwargs)

    with monkeypatch.context() as patch:
        measured(patch, 0.2, 0.3, 0.3, 0.25)
        patch.setattr(objective, "contrastive", wrapped)
        with pytest.raises(RuntimeError):
            make().train(**settings)
    monkeypatch.setattr(ValidationTask, "outcome", lambda *args: Outcome({"nDCG@10": {"q": 0.1}}))
    result = make().train(resume=True, **settings)
    assert (result.settings["steps"], result.settings["best_step"]) == (5, 2)


def test_divergence_tells_step_examples_and_advice_and_changes_no_weight(make, monkeypatch):
    contrastive, trainer, seen = objective.contrastive, make(), []

    def wrapped(*args, **kwargs):
        seen.append(1)
        return contrastive(*args, **kwargs) * (float("nan") if len(seen) == 8 else 1)

    monkeypatch.setattr(objective, "contrastive", wrapped)
    with pytest.raises(
        TrainingError, match=r"diverged at step 8: the loss is nan.*Lower the learning rate \(--lr"
    ) as caught:
        trainer.train(**SHORT)
    told = re.findall(r"(\S+) -> ([^ ,.]+)", str(caught.value).partition("positive): ")[2])
    known = {(example.query_id, example.positive_id) for example in trainer.data.examples}
    assert len(told) == 8
    assert set(told) <= known


def test_the_examples_told_are_those_of_the_step(make, monkeypatch):
    from tardif.training.batches import Collator

    trainer, rows = make(), []
    call = Collator.__call__

    def watched(self, batch):
        rows.append([row["example"] for row in batch])
        return call(self, batch)

    def wrapped(*args, **kwargs):
        loss = contrastive(*args, **kwargs)
        calls.append(1)
        return loss * (float("inf") if len(calls) == 4 else 1)

    contrastive, calls = objective.contrastive, []
    monkeypatch.setattr(Collator, "__call__", watched)
    monkeypatch.setattr(objective, "contrastive", wrapped)
    with pytest.raises(TrainingError, match="step 2") as caught:  # the second of its two batches
        trainer.train(**SHORT, gradient_accumulation_steps=2)
    examples = [trainer.data.examples[number] for number in rows[2] + rows[3]]
    expected = ", ".join(f"{e.query_id} -> {e.positive_id}" for e in examples[:8])
    assert f"{expected} and 8 more." in str(caught.value)


@pytest.mark.parametrize("clipped", [1.0, 0.0])
def test_a_gradient_that_is_no_number_is_caught_where_the_loss_is_one(make, monkeypatch, clipped):
    contrastive = objective.contrastive

    def wrapped(scores, *args, **kwargs):
        scores.register_hook(lambda gradient: gradient * float("nan"))
        return contrastive(scores, *args, **kwargs)

    monkeypatch.setattr(objective, "contrastive", wrapped)
    with pytest.raises(TrainingError, match="step 1: the gradient's norm is nan"):
        make().train(**SHORT, max_grad_norm=clipped)


def test_the_log_is_published(unbroken):
    _, result = unbroken(**SHORT)
    lines = [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert all(line["examples_per_second"] > 0 and line["seconds"] > 0 for line in steps)
    seconds = [line["seconds"] for line in steps]
    assert seconds == sorted(seconds)
    rates = [line["learning_rate"] for line in steps]
    assert max(rates) == rates[1] == 1e-3  # after one step of warm-up
    evaluations = [{k: v for k, v in line.items() if "@" in k} for line in lines if "nDCG@10" in line]
    assert evaluations == [{k: v for k, v in found.items() if k != "step"} for found in result.settings["evaluated"]]


def test_a_logger_of_the_library_hears_losses_and_evaluations(make, monkeypatch):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    heard = []

    class Heard(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            heard.append((args.run_name, state.global_step, dict(logs)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", Heard)
    monkeypatch.setattr("tardif.training.arguments.is_installed", lambda package: True)
    result = make().train(**SHORT, report_to="trackio", logging_steps=5)
    assert {name for name, _, _ in heard} == {"tiny"}
    losses = [(step, logs["loss"]) for _, step, logs in heard if "loss" in logs]
    assert [step for step, _ in losses] == [1, 5, 10]
    found = [(step, logs["eval_nDCG@10"]) for _, step, logs in heard if "eval_nDCG@10" in logs]
    assert found == [(evaluated["step"], evaluated["nDCG@10"]) for evaluated in result.settings["evaluated"]]


def test_a_logger_that_is_not_there_is_a_setting_error(make):
    for name in ("clearml", "abacus"):
        with pytest.raises(SettingError, match=name):
            make().train(**SHORT, report_to=name)


def test_tensorboards_files_are_published(make):
    pytest.importorskip("tensorboard")
    result = make().train(**SHORT, report_to="tensorboard")
    assert list(result.path.glob("runs/**/events*"))
