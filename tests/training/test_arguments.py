"""Of the library's training arguments each acts and is recorded, or is refused with what to use instead."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tardif.errors import SettingError
from tardif.training.arguments import OPTIMIZERS, REFUSED, SCHEDULES, TAKEN
from tardif.training.settings import TrainingSettings, settings_from

SHORT = {"max_steps": 3, "evaluations": 1, "batch_size": 4, "base_share": 0, "precision": "fp32", "dropout": 0.1}

# One value of each that must show in the weights; with what it needs.
WEIGHTS = {
    "optim": {"optim": "sgd"},
    "weight_decay": {"weight_decay": 5.0},
    "adam_beta1": {"adam_beta1": 0.5},
    "adam_beta2": {"adam_beta2": 0.5},
    "adam_epsilon": {"adam_epsilon": 0.1},
    "max_grad_norm": {"max_grad_norm": 0},
    "warmup_steps": {"warmup_steps": 3},
    "learning_rate_mapping": {"learning_rate_mapping": {"embeddings": 1e-2}},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
}
# What shows in the record of the run, and must leave the weights alone.
RECORD = {"logging_steps", "logging_first_step", "report_to", "run_name", "project"}


@pytest.fixture(scope="module")
def train(base_folder, data, tmp_path_factory):
    """Trains a few steps; gives the weights' bytes and the folder."""
    from tardif import Trainer

    def run(**settings):
        out = tmp_path_factory.mktemp("out")
        trainer = Trainer("m", base_folder("bert"), devices="cpu", out=out, dim=16, quiet=True)
        trainer.prepare(data)
        path = trainer.train(**{**SHORT, **settings}).path
        return (path / "model.safetensors").read_bytes(), path

    return run


@pytest.fixture(scope="module")
def plain(train):
    return train()[0]


def test_every_argument_of_the_library_is_taken_or_refused():
    from sentence_transformers import MultiVectorEncoderTrainingArguments

    theirs = {field.name for field in dataclasses.fields(MultiVectorEncoderTrainingArguments) if field.init}
    own = {field.name for field in dataclasses.fields(TrainingSettings)}
    assert theirs - own == TAKEN.keys() | REFUSED.keys()
    assert not TAKEN.keys() & REFUSED.keys()
    assert TAKEN.keys() == WEIGHTS.keys() | RECORD | {
        "optim_args",
        "lr_scheduler_type",
        "lr_scheduler_kwargs",
    }


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_taken_changes_the_weights_and_is_recorded(train, plain, name):
    weights, path = train(**WEIGHTS[name])
    assert weights != plain
    recorded = json.loads((path / "results.json").read_text())["settings"]["other"]
    assert recorded == WEIGHTS[name]


NEEDED = {"cosine_with_min_lr": {"min_lr_rate": 0.5}, "warmup_stable_decay": {"num_decay_steps": 4}}
OTHERWISE = {"num_cycles": 2, "min_lr_rate": 0.2, "min_lr": 0.3, "lr_end": 0.5, "power": 3, "timescale": 5}
OTHERWISE |= {"num_decay_steps": 3, "min_lr_ratio": 0.3}


def rates(schedule, **kwargs):
    """The learning rates of ten steps, of settings that are taken."""
    import torch
    from transformers import get_scheduler

    kwargs = kwargs if "min_lr" in kwargs else {**NEEDED.get(schedule, {}), **kwargs}
    settings_from({"lr": 1.0, "lr_scheduler_type": schedule, "lr_scheduler_kwargs": kwargs})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = get_scheduler(schedule, optimizer, 2, 10, kwargs)
    found = []
    for _ in range(10):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_is_its_own_and_every_word_of_it_acts(schedule):
    found = [rates(schedule), *(rates(schedule, **{name: OTHERWISE[name]}) for name in SCHEDULES[schedule])]
    found += [] if schedule == "linear" else [rates("linear")]
    assert len({tuple(each) for each in found}) == len(found)


@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_every_word_of_an_optimizer_acts(optim, tmp_path):
    from sentence_transformers import MultiVectorEncoderTrainingArguments
    from transformers import Trainer

    def made(**other):
        settings_from({"optim": optim, **other})
        arguments = MultiVectorEncoderTrainingArguments(output_dir=str(tmp_path), use_cpu=True, optim=optim, **other)
        return Trainer.get_optimizer_cls_and_kwargs(arguments)

    plain_made = made()
    for word in OPTIMIZERS[optim]:
        value = "true" if word in ("nesterov", "centered") else "0.5"
        beside = "momentum=0.1," if word == "nesterov" else ""  # it acts on the momentum
        assert made(optim_args=f"{beside}{word}={value}") != (made(optim_args=beside[:-1]) if beside else plain_made)
    if optim.startswith("adamw"):
        for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            assert made(**{name: 0.5}) != plain_made


def test_what_is_logged_shows_in_the_log(train, plain):
    weights, path = train(logging_steps=3, logging_first_step=False)
    steps = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if "loss" in line] == [3]
    assert weights == plain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"warmup_ratio": 0.5}, "warmup_ratio cannot be set: use warmup"),
        ({"fp16": True}, "use precision=fp16 on a CUDA GPU, precision=bf16 elsewhere"),
        ({"bf16": True}, "use precision=bf16"),
        ({"torch_compile": True}, "no fixed shape"),
        ({"label_smoothing_factor": 0.1}, "no such part"),
        ({"train_sampling_strategy": "group_by_length"}, "every example once"),
        ({"brand_new_argument": 1}, "'brand_new_argument' is not known"),
        ({"weight_decay": "abc"}, "weight_decay='abc': give a number, 0 or more"),
        ({"adam_beta1": 2}, "adam_beta1=2: give a number from 0"),
        ({"max_grad_norm": -1}, "max_grad_norm=-1"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0: give a whole number, 1 or more"),
        ({"optim": "adamw_8bit"}, "optim='adamw_8bit': give one of adamw_torch_fused"),
        ({"optim_args": "momentum=0.9"}, "optim=adamw_torch_fused has no 'momentum'"),
        ({"optim": "sgd", "adam_beta1": 0.5}, "adam_beta1 does nothing with optim=sgd"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "give one of linear, cosine"),
        ({"lr_scheduler_kwargs": {"num_cycles": 2}}, "lr_scheduler_type=linear has no 'num_cycles'"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "two"}}, "num_cycles='two'"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs one of min_lr and min_lr_rate"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "needs num_decay_steps"),
        ({"lr_scheduler_type": "constant", "warmup": 0.2}, "warmup=0.2 does nothing"),
        ({"lr_scheduler_type": "constant", "warmup_steps": 2}, "constant has no warm-up"),
        ({"warmup": 0.2, "warmup_steps": 2}, "give one of them"),
        ({"learning_rate_mapping": {"embeddings": 1e-5}, "projection_lr": 1e-3}, "give one of them"),
        ({"report_to": "nowhere"}, "report_to='nowhere'"),
        ({"report_to": "wandb"}, "it is not installed: pip install wandb"),
        ({"run_name": "mine"}, "is for loggers: choose one with report_to"),
        ({"dataloader_num_workers": 2}, "wait for ever"),
        ({"xtr_k": 3}, "xtr_k=3 does nothing without scoring=xtr"),
        ({"normalise_scores": False}, "does nothing without the loss distillation"),
        ({"loss": "margin", "other_negatives": False}, "does nothing without the loss contrastive"),
        ({"refresh_share": 0.9}, "does nothing without refresh"),
        ({"freeze": "encoder", "layer_lr_decay": 0.9}, "freezes all"),
        ({"patience": 2}, "patience=2 does nothing with evaluations=2"),
        ({"max_steps": 3, "stop_at_step": 4}, "after the last step"),
    ],
)
def test_what_would_do_nothing_is_refused_with_what_to_use(given, message, monkeypatch):
    monkeypatch.setattr("tardif.training.arguments.is_installed", lambda package: package != "wandb")
    with pytest.raises(SettingError) as caught:
        settings_from(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optim": "sgd", "optim_args": "momentum=abc"}, "momentum takes a number, 0 or more"),
        ({"optim": "sgd", "optim_args": "momentum=nan"}, "momentum takes a number, 0 or more"),
        ({"optim": "sgd", "optim_args": "momentum=0.9=1"}, "momentum takes a number, 0 or more"),
        ({"optim": "sgd", "optim_args": "momentum=0.9,nesterov"}, "nesterov takes true or false: write nesterov=VALUE"),
        ({"optim": "sgd", "optim_args": "momentum=0.9,nesterov=maybe"}, "nesterov takes true or false"),
        ({"optim": "sgd", "optim_args": "momentum=0.9,momentum=0.8"}, "momentum is given twice"),
        ({"optim": "sgd", "optim_args": "momentum=0.9,"}, "optim=sgd has no ''"),
        ({"optim": "sgd", "optim_args": "nesterov=True"}, "optim_args='nesterov=True' cannot be used: Nesterov"),
        ({"optim": "rmsprop", "optim_args": "alpha=3"}, "alpha takes a number from 0"),
        ({"optim": "adagrad", "optim_args": "eps=0"}, "eps takes a number above 0"),
        (
            {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 0.1}},
            "must be smaller than initial lr",
        ),
        ({"lr_scheduler_type": "polynomial", "lr": 1e-8}, "lr_scheduler_type=polynomial with lr=1e-08 cannot be used"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": -1}}, "which is not 0 to lr"),
        ({"lr_scheduler_type": "inverse_sqrt", "lr_scheduler_kwargs": {"timescale": 0}}, "division by zero"),
        ({"lr_scheduler_type": "inverse_sqrt", "lr_scheduler_kwargs": {"timescale": -5}}, "cannot be used"),
        ({"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1}}, "which is not 0 to lr"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": float("nan")}}, "num_cycles=nan: give"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 10**400}}, "give a number"),
        ({"warmup_steps": 10**400}, "cannot be used"),
        ({"weight_decay": 10**400}, "weight_decay=1000"),
        ({"lr": 10**400}, "give a number above 0"),
        ({"lr": 10**5000}, "give a number above 0"),
        ({"seed": 2**32}, "give a whole number from 0 to 4294967295"),
        ({"seed": 2**70}, "give a whole number from 0 to 4294967295"),
    ],
)
def test_a_value_that_the_library_would_fail_on_is_refused_before_any_work(given, message):
    with pytest.raises(SettingError) as caught:
        settings_from(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=True"},
        {"lr_scheduler_type": "polynomial", "lr": 1e-6},
        {"lr_scheduler_type": "inverse_sqrt", "lr_scheduler_kwargs": {"timescale": 2}},
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 10**6}},
        {"lr_scheduler_type": "cosine", "max_steps": 10**12},
        {"lr_scheduler_type": "cosine", "max_steps": 1},
        {"seed": 2**32 - 1},
    ],
)
def test_what_works_is_taken(given):
    settings_from(given)


def test_a_schedule_is_tried_again_for_the_planned_steps(make, monkeypatch):
    tried = []
    monkeypatch.setattr("tardif.training.settings.try_optimizer", lambda given, lr, *steps: tried.append(steps))
    make().train(**{**SHORT, "max_steps": None, "epochs": 1}, warmup=0.5)
    assert tried[-1] == (tried[-1][0], -(-tried[-1][0] // 2))
    assert tried[-1][0] != tried[0][0] == 1000


def test_a_trainer_refuses_a_seed_before_anything_is_prepared(base_folder, tmp_path):
    from tardif import Trainer

    with pytest.raises(SettingError, match="seed="):
        Trainer("m", base_folder("bert"), devices="cpu", out=tmp_path, quiet=True, seed=2**70)


@pytest.mark.parametrize("pattern", ["no-such-weight", "("])
def test_a_rate_of_no_weight_is_refused(make, pattern):
    with pytest.raises(SettingError, match="learning_rate_mapping: "):
        make().train(**SHORT, learning_rate_mapping={pattern: 1e-3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": 3}, "freeze=3: the base has 2 layers"),
        ({"freeze": 2}, "freeze=2 leaves nothing to train"),
        ({"freeze": 2, "grad_cache": True}, "freeze=2 leaves nothing to train"),
        ({"matryoshka": [16, 8]}, "which is 32"),
        ({"freeze": "encoder"}, "leaves nothing to train"),
        ({"projection_lr": 1e-3}, "no projection. Leave it out, or give it one"),
        ({"precision": "fp16"}, "needs a CUDA GPU"),
        ({"lora": {"rank": 8}}, "lora has no 'rank': it takes r, lora_alpha"),
        (
            {"lora": {"r": 4, "modules_to_save": ["embeddings"]}},
            "lora has no 'modules_to_save': it takes r, lora_alpha",
        ),
        ({"lora": {"init_lora_weights": "pissa"}}, "init_lora_weights='pissa': give true or gaussian"),
    ],
)
def test_what_the_base_or_the_device_cannot_serve_is_refused_before_any_data(base_folder, tmp_path, settings, message):
    from tardif import Trainer

    pytest.importorskip("peft")
    trainer = Trainer("m", base_folder("bert"), devices="cpu", out=tmp_path, quiet=True)
    with pytest.raises(SettingError) as caught:
        trainer.check(**settings)
    assert message in str(caught.value)
