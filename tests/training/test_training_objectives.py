"""Every objective through the Trainer, on a tiny base."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tardif import SettingError
from tardif.training import library_trainer, objective

SHORT = {"epochs": 4, "batch_size": 8, "lr": 1e-3, "evaluations": 1}


def teach(trainer):
    """Give every example the scores of a teacher: the earlier it was mined, the better."""
    examples = [
        replace(e, scores=(5.0, *(1.0 - 0.5 * n for n in range(len(e.negative_ids))))) for e in trainer.data.examples
    ]
    trainer.prepare(replace(trainer.data, examples=examples))


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "distillation"},
        {"loss": "margin", "negatives_per_example": 4},
        {"loss": {"contrastive": 1.0, "distillation": 0.5}},
        {"scoring": "mean"},
        {"scoring": "xtr", "xtr_k": 16},
        {"matryoshka": [16, 8]},
        {"pool_factor": 2, "grad_cache": True},
        {"other_negatives": False, "gradient_accumulation_steps": 2},
    ],
    ids=str,
)
def test_every_objective_learns(trainer, monkeypatch, options):
    teach(trainer)
    losses = []
    forward = objective.Objective.forward

    def watched(self, batch, labels=None):
        losses.append(forward(self, batch, labels))
        return losses[-1]

    monkeypatch.setattr(objective.Objective, "forward", watched)
    result = trainer.train(**SHORT, **options)
    each = len(losses) // 4
    assert sum(losses[-each:]) < 0.9 * sum(losses[:each])
    recorded = json.loads((trainer.path / "results.json").read_text())["settings"]
    assert recorded == json.loads(json.dumps(dict(result.settings)))
    for name, value in options.items():
        expected = {"16": 1.0, "8": 1.0} if name == "matryoshka" else value
        assert (recorded | recorded["other"])[name] == expected


def test_distillation_sees_all_of_an_examples_negatives(trainer, monkeypatch):
    teach(trainer)
    shapes = set()
    call = library_trainer.Collator.__call__

    def watched(self, rows):
        batch = call(self, rows)
        shapes.add(batch["teacher"].shape[1])
        assert not batch["teacher"].isnan().any()
        return batch

    monkeypatch.setattr(library_trainer.Collator, "__call__", watched)
    trainer.train(**SHORT, loss="distillation", max_steps=2)
    assert shapes == {1 + 8}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"loss": "distillation"}, "no example has any"), ({"matryoshka": [64, 32]}, "own width, which is 16")],
)
def test_what_data_or_model_cannot_serve_is_refused_before_the_weights_are_read(trainer, monkeypatch, options, message):
    monkeypatch.setattr("tardif.training.run.build_model", None)
    with pytest.raises(SettingError, match=message):
        trainer.train(**options)
    assert not trainer.path.exists()
