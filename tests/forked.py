"""A function in a child of this process, which has imported all that is needed: a new interpreter takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from contextlib import contextmanager


def _context():
    """Fork where that can be done: autograd's threads for an accelerator do not survive it."""
    import torch

    can = sys.platform == "linux" and not torch.accelerator.is_available()
    return multiprocessing.get_context("fork" if can else "spawn")


def _call(function, rank, environment, *given):
    os.environ.update(environment, RANK=str(rank))
    function(rank, *given)


@contextmanager
def children(function, ranks, *given, **environment):
    """Start processes that call ``function(rank, *given)``, a module's own function; gives them.

    Leaving the block waits for them: they must end well, unless the block has killed them. An error in it ends them.
    """
    context = _context()
    running = [context.Process(target=_call, args=(function, rank, environment, *given)) for rank in ranks]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks while there are threads, from Python 3.12 on
            for process in running:
                process.start()
        yield running
        for process in running:
            process.join(timeout=240)
            assert process.exitcode in (0, -signal.SIGKILL), process
    finally:
        for process in running:
            if process.is_alive():
                process.kill()
                process.join()
