"""A process that works with others, which :mod:`tardif.processes.parent` starts as ``run(FOLDER, WORK)``.

The parent holds its standard input open. A line there asks for a stop, as Ctrl-C does. Its end means that the parent
has gone. Messages and progress go to standard output as lines of JSON, and the parent shows them.
"""

from __future__ import annotations

import _thread
import atexit
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from tardif.devices import own_rank
from tardif.errors import TardifError, first_line
from tardif.folders import write_json
from tardif.libraries import own_process
from tardif.progress import Bar, Console

# A shell's code for a process that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130


def run(place: str, work: str) -> NoReturn:
    """Do the work as one of several processes, to the end of this process.

    Args:
        place: the folder that the processes share.
        work: the function that does it, such as ``package.module:function``. It gets the folder, and the console of
            this process.
    """
    own_process()
    code = main(place, work)
    # Loggers finish here. The rest of the interpreter's end is skipped: threads of torch sometimes abort in it.
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def main(place: str, work: str) -> int:
    """Do the work as one of several processes; return the exit code."""
    folder, number = Path(place), own_rank()
    # Standard output is for events alone: whatever a library prints there joins standard error.
    pipe = PipeConsole(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # If a shell started us with SIGINT ignored, as it does in the background, interrupt_main would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_listen, daemon=True).start()
    try:
        _function(work)(folder, pipe)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        # The parent raises our own errors again, by their type; of all others it shows the first line.
        kind, ours = type(error).__name__, isinstance(error, TardifError)
        report = {"type": kind if ours else "", "message": str(error) if ours else f"{kind}: {first_line(error)}"}
        write_json(folder / f"failure-{number}.json", report)
        return 1
    return 0


def _function(work: str) -> Callable[[Path, PipeConsole], None]:
    module, _, name = work.partition(":")
    found: Callable[[Path, PipeConsole], None] = getattr(import_module(module), name)
    return found


class PipeConsole(Console):
    """Sends messages and progress as lines of JSON: the name of a method of the console or its bar, and its arguments.

    Args:
        out: the descriptor of the open file to write to.
    """

    def __init__(self, out: int) -> None:
        super().__init__()
        self.out = out

    def say(self, line: str) -> None:
        """Send a line."""
        self.send("say", line)

    def tell(self, line: str) -> None:
        """Send a line that is shown also where progress is not."""
        self.send("tell", line)

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Send the progress of something."""
        self.send("progress", what, total, unit)
        try:
            yield _PipeBar(self, what, total, unit)
        finally:
            self.send("end")

    def send(self, *event: Any) -> None:
        """Send one event in one system call, so that a signal handler's message cannot split it."""
        line = json.dumps(event).encode() + b"\n"
        while line:
            line = line[os.write(self.out, line) :]


class _PipeBar(Bar):
    def __init__(self, pipe: PipeConsole, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self.pipe = pipe

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self.pipe.send("advance", count, note)

    def resume(self, done: int) -> None:
        super().resume(done)
        self.pipe.send("resume", done)


def _listen() -> None:
    """Interrupt the main thread when a line comes in; end when the parent ends."""
    # Unbuffered: the interpreter aborts at its end if a thread waits on a buffered reader.
    while os.read(sys.stdin.fileno(), 1024):
        _thread.interrupt_main()
    os._exit(1)
