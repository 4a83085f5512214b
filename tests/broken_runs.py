"""Runs of a trainer that are broken off at a chosen batch, and the bytes of the weights that a run published."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext

import pytest

from tardif.progress import Console
from tardif.training import objective
from tardif.training.run_folder import RunFolder


class BrokenError(Exception):
    pass


def weights(trainer):
    """The bytes of a model's weights, by their path in its folder."""
    return {path.relative_to(trainer.path): path.read_bytes() for path in trainer.path.rglob("*.safetensors")}


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def break_off(trainer, batch, act=None, **settings):
    """Train until the loss of this batch, counted from 1; or ``act`` there, once, and return the training's result."""
    seen, contrastive = 0, objective.contrastive

    def wrapped(*args, **kwargs):
        nonlocal seen
        seen += 1
        if seen == batch:
            if act is None:
                raise BrokenError
            act()
        return contrastive(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "contrastive", wrapped)
        with pytest.raises(BrokenError) if act is None else nullcontext():
            return trainer.train(**settings)


def hold(rank, path, held):
    """Hold the folder of the runs at ``path`` until this process is killed."""
    with RunFolder(path).held(resume=False, overwrite=False, console=Console(quiet=True)):
        held.touch()
        time.sleep(600)
