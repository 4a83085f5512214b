"""Healthy folders of every kind that Tardif leaves, and twins of the same make, to be damaged.

ROOT/base                the tiny encoder that all are made of
ROOT/data                a prepared training set
ROOT/NAME, ROOT/NAME-twin    one folder of each kind in :data:`NAMES`; the checkpoint is what the run ends with
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import tiny

NAMES = ("index-8", "index-4", "checkpoint", "run")
SETTINGS = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "evaluations": 2, "save_steps": 1, "refresh_steps": 4}
SETTINGS |= {"base_share": 0.5, "guard": "none"}
MODEL = "model"  # the name of what is trained
_BREAKS_AT = 10  # the last step: its resume is short


class BrokenError(Exception):
    """A run is broken off."""


def documents(seed: int) -> list[dict]:
    """Texts with ids and metadata."""
    texts = [*tiny.SENTENCES[:30], *(f"The number {n} of {seed} is one more than {n - 1}." for n in range(10))]
    return [{"id": f"d{seed}-{n}", "text": text, "metadata": {"n": n}} for n, text in enumerate(texts)]


def make(root: Path) -> None:
    """Write all specimens and their twins into an empty folder."""
    from tardif import Trainer

    tiny.save_base("bert", root / "base")
    pairs = [(" ".join(text.split()[-4:]), text) for text in tiny.SENTENCES[:30]]
    pairs += [(f"number {n}", f"the number {n} is one more than {n - 1}.") for n in range(10)]
    made = Trainer("data", root / "base", devices="cpu", out=root, quiet=True)
    prepared = made.prepare(pairs, validation=0.1, window=(1, 20), near=False, on={"query-is-document": "keep"})
    prepared.save(root / "data")
    for seed, twin in enumerate(("", "-twin")):
        _trained(root, seed, twin)
        for bits in (8, 4):
            _index(root, bits, seed, twin)


def trainer(root: Path, out: Path, seed: int = 0):
    """Of the run that the specimen of an interrupted one was."""
    from tardif import Trainer
    from tardif.data.training_set import TrainingSet

    made = Trainer(MODEL, root / "base", devices="cpu", dim=16, quiet=True, out=out, seed=seed)
    made.prepare(TrainingSet.load(root / "data"))
    return made


def _trained(root: Path, seed: int, twin: str) -> None:
    """An interrupted run, and what it publishes when it is resumed."""
    from tardif.training import objective

    contrastive, seen = objective.contrastive, 0

    def breaking(*args, **kwargs):
        nonlocal seen
        seen += 1
        if seen == _BREAKS_AT:
            raise BrokenError
        return contrastive(*args, **kwargs)

    out = root / f"out{twin}"
    with patch.object(objective, "contrastive", breaking):
        try:
            trainer(root, out, seed).train(**SETTINGS)
        except BrokenError:
            shutil.copytree(out / f".{MODEL}.training", root / f"run{twin}")
    assert seen == _BREAKS_AT
    trainer(root, out, seed).train(resume=True, **SETTINGS)
    (out / MODEL).rename(root / f"checkpoint{twin}")
    out.rmdir()


def _index(root: Path, bits: int, seed: int, twin: str) -> None:
    """A coded segment and a plain one, words, a query encoder, and documents that were deleted."""
    from tardif.index import compaction, disk
    from tardif.search.retriever import Retriever

    place, rows = root / f"index-{bits}{twin}", documents(seed)
    with patch.object(disk, "PLAIN_TOKENS", 60), patch.object(compaction, "PLAIN_TOKENS", 60):
        index = Retriever.build(root / f"checkpoint{twin}", rows[:35], place, bits=bits, hybrid=True, quiet=True)
    with index:
        index.add(rows[35:], quiet=True)
        index.delete([rows[3]["id"], rows[36]["id"]])


if __name__ == "__main__":
    make(Path(sys.argv[1]))
