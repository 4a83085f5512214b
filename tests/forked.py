"""Children of a process that has imported all that is needed and done nothing else: a new interpreter takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager
from functools import cache


@cache
def _context():
    """A fork of this process would not do: threads of its tokenizers are not in it, but what they have locked is."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "sentence_transformers", "tardif.training.trainer"])
    return context


def _call(function, rank, environment, *given):
    os.environ.update(environment, RANK=str(rank))
    function(rank, *given)


@contextmanager
def children(function, ranks, *given, **environment):
    """Start processes that call ``function(rank, *given)``, of a module that can be imported by its name; gives them.

    Leaving the block waits for them: they must end well, unless the block has killed them. An error in it ends them.
    """
    running = [_context().Process(target=_call, args=(function, rank, environment, *given)) for rank in ranks]
    try:
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
