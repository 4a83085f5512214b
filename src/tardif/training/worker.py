"""One of several training processes that :mod:`tardif.training.launch` starts: ``run(FOLDER)``.

Its standard input is held open by the one that started it: a line there asks the lead to stop, its end says that
nobody waits any more. On the lead's standard output goes what it says, line by line, to be shown over there.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tardif.devices import own_number
from tardif.errors import TardifError, first_line
from tardif.folders import write_json
from tardif.progress import Bar, Console

INTERRUPTED = 130


def run(place: str) -> NoReturn:
    """Be a worker, to the end of this process."""
    code = main(place)
    # Loggers finish here. What comes after, the libraries' own threads sometimes do not survive: torch aborts.
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def main(place: str) -> int:
    """Train the job in a folder as one of its processes; the exit code."""
    folder, number = Path(place), own_number()
    # Whatever writes to standard output from here on joins standard error: lines of the relay go there alone.
    relay = Relay(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_listen, daemon=True).start()
    try:
        _train(folder, relay if number == 0 else Console(quiet=True))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        kind, ours = type(error).__name__, isinstance(error, TardifError)
        told = {"type": kind if ours else "", "message": str(error) if ours else f"{kind}: {first_line(error)}"}
        write_json(folder / f"failure-{number}.json", told)
        return 1
    return 0


class Relay(Console):
    """Sends what is said as lines of JSON: the name of what is done with the console or its bar, and its arguments.

    Args:
        out: the number of the open file where to.
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
        """Send how far something has come."""
        self.send("progress", what, total, unit)
        try:
            yield _RelayedBar(self, what, total, unit)
        finally:
            self.send("end")

    def send(self, *event: Any) -> None:
        """Send one event, in one call of the system: a signal that has something to say comes before it or after it."""
        line = json.dumps(event).encode() + b"\n"
        while line:
            line = line[os.write(self.out, line) :]


class _RelayedBar(Bar):
    def __init__(self, relay: Relay, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self.relay = relay

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self.relay.send("advance", count, note)

    def resume(self, done: int) -> None:
        super().resume(done)
        self.relay.send("resume", done)


def _train(folder: Path, console: Console) -> None:
    from tardif.training.distributed import join
    from tardif.training.job import load_job
    from tardif.training.run import Session
    from tardif.training.run_folder import RunFolder

    job, settings, more = load_job(folder, console)
    run_folder = RunFolder(job.path)
    run_folder.resumed = more["resumed"]
    run_folder.chosen = more["chosen"] and run_folder.path / more["chosen"]
    world, failed = join(more["device"], more["meeting"]), True
    try:
        Session(job, settings, more["device"], run_folder, world).run()
        failed = False
    finally:
        if world.leads:
            write_json(folder / "end.json", {"keep": run_folder.keep})
        world.end(failed=failed)
    world.leave()


def _listen() -> None:
    """Interrupt the main thread when a line comes in, and end with the one that sends them."""
    # Unbuffered: a buffer that a thread is waiting on when the interpreter ends makes it abort.
    while os.read(sys.stdin.fileno(), 1024):
        _thread.interrupt_main()
    os._exit(1)
