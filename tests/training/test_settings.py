from __future__ import annotations

import dataclasses

import pytest

from tardif.errors import SettingError
from tardif.training.settings import TrainingSettings, parse_assignment, settings_from


def test_own_settings_and_the_librarys_arguments_are_told_apart():
    settings = settings_from({"epochs": 1, "lr": 1e-4, "max_grad_norm": 0.5})
    assert (settings.epochs, settings.lr, dict(settings.other)) == (1, 1e-4, {"max_grad_norm": 0.5})
    assert settings.as_json()["other"] == {"max_grad_norm": 0.5}
    assert settings_from({}) == TrainingSettings()


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
    with pytest.raises(SettingError, match=f"{name} is set by Tardif itself: use {use}"):
        settings_from({name: 1})


@pytest.mark.parametrize(
    "name", ["output_dir", "save_strategy", "dataloader_drop_last", "use_cpu", "resume_from_checkpoint"]
)
def test_a_name_that_would_break_the_run_is_reserved(name):
    with pytest.raises(SettingError, match="set by Tardif itself"):
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
        ("evaluation_share", None),
        ("patience", 3),
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
