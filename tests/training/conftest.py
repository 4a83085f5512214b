"""A tiny training set, prepared once, and trainers of it."""

from __future__ import annotations

from functools import cache

import pytest

import tiny


@pytest.fixture(scope="session")
def pairs():
    """40 of them: 36 to train on."""
    made = [(" ".join(text.split()[-4:]), text) for text in tiny.SENTENCES[:30]]
    return made + [(f"number {n}", f"the number {n} is one more than {n - 1}.") for n in range(10)]


@pytest.fixture(scope="session")
def data(base_folder, pairs, tmp_path_factory):
    from tardif import Trainer

    made = Trainer("data", base_folder("bert"), devices="cpu", out=tmp_path_factory.mktemp("out"), quiet=True)
    return made.prepare(pairs, validation=0.1, window=(1, 20), near=False, on={"query-is-document": "keep"})


@pytest.fixture
def make(base_folder, tmp_path, data):
    """A trainer of the tiny set, ready to train: ``make("name", overwrite=True)``."""
    from tardif import Trainer

    def trainer(name="tiny", **options):
        options = {"devices": "cpu", "out": tmp_path / "out", "dim": 16, "quiet": True, **options}
        made = Trainer(name, base_folder("bert"), **options)
        made.prepare(data)
        return made

    return trainer


@pytest.fixture(scope="session")
def unbroken(base_folder, data, tmp_path_factory):
    """A finished run of the tiny set: its trainer and its result, once for each settings. Shared: not to be changed."""
    from tardif import Trainer

    @cache
    def finished(settings):
        out = tmp_path_factory.mktemp("unbroken")
        trainer = Trainer("whole", base_folder("bert"), devices="cpu", out=out, dim=16, quiet=True)
        trainer.prepare(data)
        return trainer, trainer.train(**dict(settings))

    return lambda **settings: finished(tuple(sorted(settings.items())))


@pytest.fixture
def trainer(make):
    return make()
