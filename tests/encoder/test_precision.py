from __future__ import annotations

import pytest
import torch

from tardif.encoder import precision
from tardif.errors import SettingError
from tardif.training.settings import settings_from


@pytest.fixture(autouse=True)
def _asked_again():
    precision._is_faster.cache_clear()
    yield
    precision._is_faster.cache_clear()


@pytest.fixture
def other_processor(monkeypatch):
    """A processor whose instructions PyTorch does not name."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")


@pytest.mark.parametrize("asked", ["fp32", "bf16", "fp16"])
def test_what_is_asked_for_is_taken(asked, monkeypatch):
    monkeypatch.setattr(precision, "_is_faster", lambda: pytest.fail("nothing to decide"))
    assert precision.resolve(asked, "cpu", 384) == asked


@pytest.mark.parametrize(("gain", "chosen"), [(0.01, "fp32"), (1.2, "fp32"), (2.2, "bf16"), (9.6, "bf16")])
def test_auto_takes_what_another_processor_multiplies_faster(gain, chosen, monkeypatch, other_processor):
    monkeypatch.setattr(precision, "_gain", lambda: gain)
    assert precision.resolve("auto", "cpu", 384) == chosen


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx2": True, "avx512_vnni": True}, "fp32"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "bf16"),
    ],
)
@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
def test_instructions_decide_and_nothing_is_measured(machine, there, chosen, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there, raising=False)
    monkeypatch.setattr(precision, "_gain", lambda: pytest.fail("nothing to measure"))
    assert precision.resolve("auto", "cpu", 384) == chosen


def test_a_pytorch_that_names_no_instructions_is_measured(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "_gain", lambda: 2.2)
    assert precision.resolve("auto", "cpu", 384) == "bf16"


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_auto_leaves_other_devices_alone(device, monkeypatch):
    monkeypatch.setattr(precision, "_is_faster", lambda: pytest.fail("nothing to decide"))
    assert precision.resolve("auto", device, 384) == "fp32"


def test_the_gain_is_measured():
    assert precision._gain() > 0


def test_a_narrow_encoder_gains_nothing(monkeypatch):
    monkeypatch.setattr(precision, "_is_faster", lambda: pytest.fail("nothing to decide"))
    assert precision.resolve("auto", "cpu", 128) == "fp32"


def test_a_cpu_that_is_slow_with_it_is_not_asked_for_much(monkeypatch, other_processor):
    asked = []
    monkeypatch.setattr(precision, "_gain_with", lambda tokens: asked.append(tokens) or 0.005)
    assert precision.resolve("auto", "cpu", 384) == "fp32"
    assert asked == [precision._FEW]


def test_an_unknown_precision_is_refused():
    with pytest.raises(SettingError, match=r"precision='fp8': give one of auto, fp32, bf16, fp16"):
        settings_from({"precision": "fp8"})


def test_products_are_computed_in_what_is_chosen():
    one = torch.ones(2, 2)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with precision.computing(name, "cpu"):
            assert (one @ one).dtype == dtype
