"""A tiny training set, prepared once, and trainers of it."""

from __future__ import annotations

import json
import shutil
from functools import cache

import pytest

import tiny
from broken_runs import break_off


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


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """A judged set in BEIR layout that no training has seen: 60 queries over 140 documents, two blocks."""
    folder = tmp_path_factory.mktemp("foreign") / "far"
    (folder / "qrels").mkdir(parents=True)
    rows = [(f"d{n}", f"the {tiny.SENTENCES[n % 30]} of {n} and {n * n}") for n in range(140)]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": d, "title": "", "text": t}) + "\n" for d, t in rows)
    )
    asked = [(f"q{n}", f"{n * n} {tiny.SENTENCES[n % 30]}"[:30]) for n in range(60)]
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": t}) + "\n" for q, t in asked))
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(60))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


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


@pytest.fixture(scope="session")
def _broken_off(base_folder, data, tmp_path_factory):
    from tardif import Trainer

    @cache
    def folder(batch, settings):
        out = tmp_path_factory.mktemp("broken")
        trainer = Trainer("broken", base_folder("bert"), devices="cpu", out=out, dim=16, quiet=True)
        trainer.prepare(data)
        break_off(trainer, batch, **dict(settings))
        return out

    return folder


@pytest.fixture
def broken_off(_broken_off, make, tmp_path):
    """A copy of the run named "broken", which :func:`break_off` broke at this batch: made once for each settings."""

    def copied(batch, **settings):
        shutil.copytree(_broken_off(batch, tuple(sorted(settings.items()))), tmp_path / "out", dirs_exist_ok=True)
        return make("broken")

    return copied


@pytest.fixture
def trainer(make):
    return make()
