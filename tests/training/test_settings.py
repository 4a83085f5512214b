from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tardif.data.training_set import TrainingSet
from tardif.errors import SettingError
from tardif.training.settings import TrainingSettings, parse_assignment, settings_from
from tardif.types import Example


def test_own_settings_and_the_librarys_arguments_are_told_apart():
    settings = settings_from({"epochs": 1, "lr": 1e-4, "max_grad_norm": 0.5})
    assert (settings.epochs, settings.lr, dict(settings.other)) == (1, 1e-4, {"max_grad_norm": 0.5})
    assert settings.as_json()["other"] == {"max_grad_norm": 0.5}
    assert settings_from({}) == TrainingSettings()


def test_every_setting_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    own = [field.name for field in dataclasses.fields(TrainingSettings) if field.name != "other"]
    assert [name for name in own if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("epoch", "epochs"),
        ("batchsize", "batch_size"),
        ("max_grad_nrom", "max_grad_norm"),
        ("per_device_train_batch_sizes", None),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name, suggestion):
    with pytest.raises(SettingError, match=f"'{name}' is not known") as caught:
        settings_from({name: 1})
    if suggestion:
        assert f"Did you mean {suggestion}" in str(caught.value)
    else:
        assert "Did you mean per_device_train_batch_size?" not in str(caught.value)  # that one is reserved


@pytest.mark.parametrize(
    ("name", "use"),
    [("learning_rate", "lr"), ("num_train_epochs", "epochs"), ("per_device_train_batch_size", "batch_size")],
)
def test_a_reserved_name_says_what_to_use(name, use):
    with pytest.raises(SettingError, match=f"{name} cannot be set: use {use}"):
        settings_from({name: 1})


@pytest.mark.parametrize(
    "name", ["output_dir", "save_strategy", "dataloader_drop_last", "use_cpu", "resume_from_checkpoint"]
)
def test_a_name_that_would_break_the_run_is_reserved(name):
    with pytest.raises(SettingError, match="cannot be set: "):
        settings_from({name: "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", "2"),
        ("epochs", float("nan")),
        ("epochs", True),
        ("lr", -1e-5),
        ("lr", float("inf")),
        ("minutes", 0),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("batch_size", None),
        ("max_steps", 0),
        ("stop_at_step", -1),
        ("negatives_per_example", -1),
        ("temperature", 0),
        ("temperature", None),
        ("dropout", 1.0),
        ("dropout", "none"),
        ("evaluations", 0),
        ("validation_documents", 0),
        ("evaluation_share", 0),
        ("evaluation_share", "10%"),
        ("patience", 0),
        ("patience", 1.5),
        ("save_minutes", 0),
        ("save_minutes", None),
        ("save_steps", 0),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("warmup", True),
        ("mask_known_positives", "yes"),
        ("seed", "zero"),
        ("seed", 1.5),
        ("seed", -1),
        ("loss", "hinge"),
        ("loss", {}),
        ("loss", {"contrastive": 0}),
        ("loss", {"contrastive": 1, "hinge": 1}),
        ("loss", ["contrastive"]),
        ("scoring", "dot"),
        ("xtr_k", 0),
        ("other_negatives", 1),
        ("normalise_scores", "no"),
        ("distillation_temperature", 0),
        ("matryoshka", []),
        ("matryoshka", 64),
        ("matryoshka", "64"),
        ("matryoshka", [64, 0]),
        ("matryoshka", [64, 1.5]),
        ("matryoshka", {"64": -1}),
        ("matryoshka", {"wide": 1}),
        ("pool_factor", 0.5),
        ("pool_factor", "2"),
        ("grad_cache", "true"),
        ("gradient_checkpointing", 1),
        ("freeze", "all"),
        ("freeze", 0),
        ("freeze", True),
        ("freeze", 1.5),
        ("layer_lr_decay", 0),
        ("layer_lr_decay", 1.5),
        ("projection_lr", -1e-3),
        ("lora", 0),
        ("lora", True),
        ("lora", "8"),
        ("lora", {"r": 0}),
        ("lora", {"r": True}),
        ("lora", {"lora_alpha": 0}),
        ("lora", {"lora_dropout": 1.0}),
        ("lora", {"use_rslora": 1}),
        ("lora", {"target_modules": []}),
        ("lora", {"target_modules": "(query"}),
        ("lora", {"init_lora_weights": False}),
        ("lora", {"bias": "all"}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(SettingError, match=name):
        settings_from({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minutes", None),
        ("max_steps", None),
        ("dropout", None),
        ("dropout", 0.1),
        ("warmup", 0),
        ("epochs", 0.5),
        ("loss", "margin"),
        ("loss", {"contrastive": 1, "distillation": 0.5}),
        ("scoring", "xtr"),
        ("matryoshka", [128, 64]),
        ("matryoshka", {"128": 1, "64": 0.5}),
        ("matryoshka", None),
        ("pool_factor", 2),
        ("freeze", "embeddings"),
        ("freeze", 3),
        ("freeze", None),
        ("layer_lr_decay", 1),
        ("projection_lr", None),
        ("lora", 8),
        ("lora", {"r": 8, "lora_alpha": 16}),
        ("evaluation_share", None),
        ("patience", 1),
    ],
)
def test_a_value_in_range_is_taken(name, value):
    assert getattr(settings_from({name: value}), name) == value


def test_settings_are_recorded_whole():
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    assert TrainingSettings().as_json().keys() == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=3", ("epochs", 3)),
        ("lr=1e-4", ("lr", 1e-4)),
        ("minutes=null", ("minutes", None)),
        ("mask_known_positives=false", ("mask_known_positives", False)),
        ("lr_scheduler_type=cosine", ("lr_scheduler_type", "cosine")),
        ('optim="adamw_torch"', ("optim", "adamw_torch")),
        (" optim =a=b", ("optim", "a=b")),
        ("run_name=", ("run_name", "")),
    ],
)
def test_an_assignment_is_json_or_text(text, expected):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["epochs", "=3", " =3", ""])
def test_an_assignment_needs_a_name_and_a_value(text):
    with pytest.raises(SettingError, match="key=value"):
        parse_assignment(text)


def test_losses_and_widths_are_read_with_their_weights():
    settings = settings_from({"loss": {"margin": 2}, "matryoshka": {"128": 1, "64": 0.5}})
    assert (settings.terms, settings.widths) == ({"margin": 2}, {128: 1, 64: 0.5})
    assert settings.as_json()["matryoshka"] == {"128": 1, "64": 0.5}
    plain = settings_from({"matryoshka": [128, 64]})
    assert (plain.terms, plain.widths) == ({"contrastive": 1.0}, {128: 1.0, 64: 1.0})
    assert settings_from({}).widths == {}


def test_what_is_recorded_gives_the_same_settings():
    given = {"loss": {"contrastive": 1, "margin": 2}, "matryoshka": [128, 64], "scoring": "mean", "lora": {"r": 4}}
    recorded = json.loads(json.dumps(settings_from(given).as_json()))
    other = recorded.pop("other")
    again = settings_from({**recorded, **other})
    assert again.as_json() == settings_from(given).as_json()


def test_defaults_hang_on_the_loss_and_the_scoring():
    assert settings_from({"loss": "distillation"}).negatives_per_example == 31
    assert settings_from({"loss": {"contrastive": 1, "distillation": 1}}).negatives_per_example == 31
    assert settings_from({"loss": "distillation", "negatives_per_example": 3}).negatives_per_example == 3
    assert settings_from({"loss": "margin"}).negatives_per_example == 2
    assert settings_from({"scoring": "xtr"}).temperature == settings_from({"scoring": "mean"}).temperature == 1 / 32
    assert settings_from({"scoring": "xtr", "temperature": 0.5}).temperature == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"refresh": 0}, "refresh=0: give a number above 0"),
        ({"refresh_steps": 0}, "refresh_steps=0: give a whole number, 1 or more"),
        ({"refresh_share": 0}, "refresh_share=0: give a share above 0, at most 1"),
        ({"refresh_share": 1.5}, "refresh_share=1.5"),
        ({"refresh": 1, "refresh_steps": 10}, "give one of them"),
        ({"refresh_steps": 5, "negatives_per_example": 0}, "uses none: give 1 or more"),
    ],
)
def test_refreshes_that_cannot_be_are_refused(values, message):
    with pytest.raises(SettingError, match=message):
        settings_from(values)


def test_refreshes_that_can_be_are_taken():
    assert not settings_from({}).refreshes
    assert settings_from({"refresh": 0.5, "refresh_share": 1}).refreshes
    assert settings_from({"refresh_steps": 5}).refreshes


def test_a_refresh_needs_an_example_without_a_teachers_scores():
    settings = settings_from({"refresh": 1})
    scored, bare = Example("q", "a", ("b",), (2.0, 1.0)), Example("q", "a", ("b",))
    settings.check_against(data_of(scored, bare), 16)
    with pytest.raises(SettingError, match="refresh mines negatives that have no teacher's scores"):
        settings.check_against(data_of(scored, scored), 16)


def test_lora_and_freeze_exclude_each_other():
    with pytest.raises(SettingError, match="exclude"):
        settings_from({"lora": 8, "freeze": "embeddings"})


SCORED = Example("a", "0", ("1",), (2.0, 1.0))
UNSCORED = Example("a", "0", ("1",))


def data_of(*examples):
    return TrainingSet(documents={}, queries={}, qrels={}, split={}, examples=examples)


@pytest.mark.parametrize(
    ("values", "examples", "message"),
    [
        ({"loss": "distillation"}, [UNSCORED], "no example has any"),
        ({"loss": {"contrastive": 1, "margin": 1}}, [UNSCORED], "loss=margin learns from a teacher's scores"),
        ({"loss": "margin"}, [SCORED, UNSCORED, UNSCORED], "2 of 3 examples have no teacher's scores"),
        ({"matryoshka": [64, 32]}, [UNSCORED], "own width, which is 128"),
        ({"matryoshka": [256, 128]}, [UNSCORED], "own width, which is 128"),
    ],
)
def test_settings_that_the_data_or_the_model_cannot_serve_are_refused(values, examples, message):
    with pytest.raises(SettingError, match=message):
        settings_from(values).check_against(data_of(*examples), 128)


@pytest.mark.parametrize(
    ("values", "examples"),
    [
        ({}, [UNSCORED]),
        ({"loss": "distillation"}, [SCORED]),
        ({"loss": {"contrastive": 1, "margin": 1}}, [SCORED, UNSCORED]),
        ({"matryoshka": [128, 64]}, [UNSCORED]),
    ],
)
def test_settings_that_data_and_model_can_serve_are_taken(values, examples):
    settings_from(values).check_against(data_of(*examples), 128)
