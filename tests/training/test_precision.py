from __future__ import annotations

import pytest
import torch

from tardif.errors import SettingError
from tardif.training import precision
from tardif.training.settings import TrainingSettings, settings_from


@pytest.mark.parametrize("asked", ["fp32", "bf16", "fp16"])
def test_what_is_asked_for_is_taken(asked, monkeypatch):
    monkeypatch.setattr(precision, "_gain", lambda: pytest.fail("nothing to measure"))
    assert precision.resolve(TrainingSettings(precision=asked), "cpu", 384) == asked


@pytest.mark.parametrize(("gain", "chosen"), [(0.01, "fp32"), (2.0, "fp32"), (9.6, "bf16")])
def test_auto_takes_what_the_machine_multiplies_many_times_faster(gain, chosen, monkeypatch):
    monkeypatch.setattr(precision, "_gain", lambda: gain)
    assert precision.resolve(TrainingSettings(), "cpu", 384) == chosen


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_auto_leaves_other_devices_alone(device, monkeypatch):
    monkeypatch.setattr(precision, "_gain", lambda: pytest.fail("nothing to measure"))
    assert precision.resolve(TrainingSettings(), device, 384) == "fp32"


def test_the_gain_is_measured():
    assert precision._gain() > 0


def test_a_narrow_encoder_gains_nothing(monkeypatch):
    monkeypatch.setattr(precision, "_gain", lambda: pytest.fail("nothing to measure"))
    assert precision.resolve(TrainingSettings(), "cpu", 128) == "fp32"


def test_a_cpu_that_is_slow_with_it_is_not_asked_for_much(monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "_gain_with", lambda tokens: asked.append(tokens) or 0.005)
    assert precision.resolve(TrainingSettings(), "cpu", 384) == "fp32"
    assert asked == [precision._FEW]


def test_an_unknown_precision_is_refused():
    with pytest.raises(SettingError, match=r"precision='fp8': give one of auto, fp32, bf16, fp16"):
        settings_from({"precision": "fp8"})


def test_products_are_computed_in_what_is_chosen():
    one = torch.ones(2, 2)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with precision.computing(name, "cpu"):
            assert (one @ one).dtype == dtype
