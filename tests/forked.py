"""Children of this process, which has imported all that is needed: a new interpreter takes seconds."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager


def can_fork():
    """Whether torch works in a fork: autograd's threads for an accelerator do not survive it."""
    import torch

    return sys.platform == "linux" and not torch.accelerator.is_available()


@contextmanager
def _forks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks while there are threads, from Python 3.12 on
        yield


def _call(function, rank, environment, *given):
    os.environ.update(environment, RANK=str(rank))
    function(rank, *given)


@contextmanager
def children(function, ranks, *given, **environment):
    """Start processes that call ``function(rank, *given)``, of a module that can be imported by its name; gives them.

    Leaving the block waits for them: they must end well, unless the block has killed them. An error in it ends them.
    """
    context = multiprocessing.get_context("fork" if can_fork() else "spawn")
    running = [context.Process(target=_call, args=(function, rank, environment, *given)) for rank in ranks]
    try:
        with _forks():
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


class ForkedPopen:
    """In place of the ``subprocess.Popen`` of :mod:`tardif.processes.parent`: a fork instead of a new interpreter."""

    def __init__(self, command, *, env, stdout, stderr, encoding, **_):
        *_, place, work = command
        own_in, own_out = os.pipe(), os.pipe()
        with _forks():
            self.pid = os.fork()
        if not self.pid:
            self._be(place, work, env, (own_in[0], own_out[1], stderr.fileno()), (own_in[1], own_out[0]))
        os.close(own_in[0])
        os.close(own_out[1])
        self.stdin = os.fdopen(own_in[1], "w", encoding=encoding)
        self.stdout = os.fdopen(own_out[0], encoding=encoding)
        if stdout == subprocess.DEVNULL:
            self.stdout.close()
        self._code = None

    def _be(self, place, work, env, streams, others):
        """Be the child: what the interpreter of :data:`tardif.processes.parent._COMMAND` would do, with its streams."""
        from tardif.processes.child import run

        try:
            atexit._clear()  # what is registered is the parent's, as is that warnings are errors
            warnings.resetwarnings()
            os.setsid()
            os.environ.clear()
            os.environ.update(env)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for stream in others:
                os.close(stream)
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in enumerate(("r", "w", "w")))
            run(place, work)
        finally:
            os._exit(1)

    def poll(self):
        return self._code if self._code is not None else self._wait(os.WNOHANG)

    def wait(self):
        return self._code if self._code is not None else self._wait(0)

    def _wait(self, how):
        pid, status = os.waitpid(self.pid, how)
        if pid:
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
