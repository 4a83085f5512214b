import os

import pytest

from tardif import devices
from tardif.devices import Allocation, allocate
from tardif.errors import SettingError


@pytest.fixture
def machine(monkeypatch):
    def having(gpus=0, mps=False):
        monkeypatch.setattr(devices, "cuda_count", lambda: gpus)
        monkeypatch.setattr(devices, "has_mps", lambda: mps)

    having()
    return having


@pytest.mark.parametrize(
    ("gpus", "mps", "kind", "count"),
    [(0, False, "cpu", 1), (0, True, "mps", 1), (1, False, "cuda", 1), (4, True, "cuda", 4)],
)
def test_auto_takes_the_best_there_is(machine, gpus, mps, kind, count):
    machine(gpus, mps)
    assert allocate("auto") == allocate("-1") == allocate(-1) == Allocation(kind, count)


@pytest.mark.parametrize(("asked", "count"), [("cuda", 1), (1, 1), (2, 2), ("3", 3)])
def test_some_of_several_gpus(machine, asked, count):
    machine(gpus=3)
    assert allocate(asked) == Allocation("cuda", count)


def test_the_processes_that_train_together_are_those_of_the_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (devices.world_size(), devices.own_rank()) == (1, 0)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (devices.world_size(), devices.own_rank()) == (4, 1)
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert devices.world_size() == 1


def test_there_is_a_core():
    assert 1 <= devices.core_count() <= os.cpu_count()


@pytest.mark.parametrize("asked", ["cuda", "CUDA ", "1", 1])
def test_one_gpu(machine, asked):
    machine(gpus=1)
    assert allocate(asked) == Allocation("cuda", 1)


def test_cpu_is_always_there(machine):
    machine(gpus=8)
    assert allocate("cpu") == Allocation("cpu")


@pytest.mark.parametrize("asked", ["cuda", "1", 64, "mps"])
def test_what_the_machine_has_not_is_refused(machine, asked):
    with pytest.raises(SettingError, match="this machine has"):
        allocate(asked)


def test_more_gpus_than_there_are(machine):
    machine(gpus=2)
    with pytest.raises(SettingError, match=r"asks for 64 .* has 2"):
        allocate(64)


@pytest.mark.parametrize("asked", ["gpu", "", "0", 0, -2, "1.5", True, None, 1.0, "²"])
def test_words_that_mean_no_device(machine, asked):
    machine(gpus=1)
    with pytest.raises(SettingError, match="give cpu, mps, cuda, auto"):
        allocate(asked)


def test_counting_gpus_needs_no_driver(monkeypatch):
    def no_driver(_):
        raise OSError

    monkeypatch.setattr(devices.ctypes, "CDLL", no_driver)
    assert devices.cuda_count() == 0
