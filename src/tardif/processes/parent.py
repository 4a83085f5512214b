"""Processes that this one starts, shows and ends.

They are new interpreters with the environment that torchrun would give them. Nothing is forked, so a script needs no
``__main__`` guard, and a notebook can start them. They end with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import tardif.errors
from tardif.devices import core_count
from tardif.errors import TardifError
from tardif.folders import read_json
from tardif.interpreters import calling
from tardif.processes.child import INTERRUPTED
from tardif.progress import Bar, Console

_POLL_SECONDS = 0.1
# When one has failed, the others have this long to end by themselves: they notice it, and the first may save its work.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Team:
    """Processes that do one work together.

    Attributes:
        count: their number.
        work: the function that each of them calls (:func:`tardif.processes.child.run`).
        place: the folder that they share.
        console: shows what they say.
        bar: shows what they advance outside of a progress of their own.
        heard: how many of them are shown, from the first on.
    """

    count: int
    work: str
    place: Path
    console: Console
    bar: Bar = field(default_factory=lambda: Bar("", None, ""))
    heard: int = 1


@contextlib.contextmanager
def started(team: Team) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes, the first one first; end those that are left at the end of the block."""
    processes: list[subprocess.Popen[str]] = []
    listeners: list[threading.Thread] = []
    try:
        for number in range(team.count):
            with _stderr_of(team.place, number).open("wb") as stderr:
                processes.append(
                    subprocess.Popen(
                        calling("tardif.processes.child:run", str(team.place), team.work),
                        env=_environment(number, team.count),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE if number < team.heard else subprocess.DEVNULL,
                        stderr=stderr,
                        text=True,
                        encoding="utf-8",
                        # A Ctrl-C at the terminal is for this process, which passes it on.
                        start_new_session=True,
                        # The same on Windows, which has no sessions.
                        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                    )
                )
        for process in processes[: team.heard]:
            shown = (process.stdout, team.console, team.bar)
            listeners.append(threading.Thread(target=show_piped, args=shown, daemon=True))
            listeners[-1].start()
        yield processes
        for listener in listeners:
            listener.join(timeout=_GRACE_SECONDS)
    finally:
        for process in processes:  # all at once: one that waits for another would only fail more slowly
            process.kill()
        for process in processes:
            process.wait()
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()


def show_piped(lines: IO[str], console: Console, bar: Bar | None = None) -> None:
    """Show on ``console`` what a :class:`~tardif.processes.child.PipeConsole` sends, until the pipe closes.

    ``bar`` advances where a process has begun no progress of its own.
    """
    bar = bar or Bar("", None, "")
    with lines, contextlib.ExitStack() as shown:
        for line in lines:
            try:
                name, *given = json.loads(line)
            except (ValueError, TypeError):  # half a line of a process that was killed
                continue
            if name in ("say", "tell"):
                getattr(console, name)(*given)
            elif name in ("advance", "resume"):
                getattr(bar, name)(*given)
            elif name == "progress":
                bar = shown.enter_context(console.progress(*given))
            else:  # "end" of the progress
                shown.close()


def _environment(number: int, count: int) -> dict[str, str]:
    """The environment that torchrun would set, and for each process its share of the cores unless one is set."""
    return {
        # Set before the process imports torch, which reads it once: else each process would take all cores.
        "OMP_NUM_THREADS": str(max(core_count() // count, 1)),
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "PYTHONIOENCODING": "utf-8",
        # Logs appear as they are written, also where the process is killed later.
        "PYTHONUNBUFFERED": "1",
    }


def wait(processes: Sequence[subprocess.Popen[str]], place: Path, *, orderly: bool = False) -> list[int]:
    """Wait for processes; return their exit codes, 0 for those that must be ended because another has failed.

    Args:
        processes: as :func:`started` gives them.
        place: the folder that they share.
        orderly: let the first Ctrl-C ask the first process for a stop, and the second one end all at once.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    stops, failed_at = 0, 0.0
    while True:
        try:
            codes = [process.poll() for process in processes]
            # A failed process may hang at its end, in a connection that waits for its peers: its report counts.
            if not failed_at and (any(codes) or failures(place)):
                failed_at = time.monotonic()
            over = failed_at and time.monotonic() - failed_at > _GRACE_SECONDS
            if over or None not in codes or codes[0] == INTERRUPTED:
                return [code or 0 for code in codes]
            time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            stops += 1
            if stops > 1 or not orderly:
                raise
            _ask_to_stop(processes[0])


def _ask_to_stop(main: subprocess.Popen[str]) -> None:
    assert main.stdin is not None
    with contextlib.suppress(OSError):  # it has just ended
        main.stdin.write("stop\n")
        main.stdin.flush()


def raise_cause(codes: Sequence[int], place: Path, kind: type[TardifError], way_out: str) -> NoReturn:
    """Raise the cause of a failure.

    An error of ours is the best report. Else the cause is the process that died without one: the others failed because
    they lost it. Else it is the first error reported.

    Args:
        codes: the exit codes.
        place: the folder that the processes share.
        kind: of an error that is not ours.
        way_out: what the user can do, to follow it.

    Raises:
        KeyboardInterrupt: the first process was interrupted.
    """
    if codes[0] == INTERRUPTED:
        raise KeyboardInterrupt
    found = failures(place)
    for failure in found.values():
        if failure["type"]:
            raise error_named(failure["type"], failure["message"])
    for number, code in enumerate(codes):
        if code and number not in found:
            raise kind(f"Process {number} of {len(codes)} {_death(code, _stderr_of(place, number))}.{way_out}")
    number, failure = next(iter(found.items()))
    raise kind(f"Process {number} of {len(codes)} failed: {failure['message']}.{way_out}")


def failures(place: Path) -> dict[int, Any]:
    """Return the reports of the processes that failed, by number."""
    found = {int(path.stem.removeprefix("failure-")): path for path in place.glob("failure-*.json")}
    return {number: read_json(found[number], what="a failure") for number in sorted(found)}


def error_named(name: str, message: str) -> TardifError:
    """Make one of our errors, as another process raised it."""
    kind = getattr(tardif.errors, name, TardifError)
    error: TardifError = kind(message)
    return error


def _death(code: int, stderr: Path) -> str:
    """How a process ended that left no report."""
    if code == -9:  # SIGKILL: the system's out-of-memory killer sends it, and leaves no output
        return "was killed by signal 9 (a system short of memory does that)"
    lines = [line.strip() for line in stderr.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return how + (f": {lines[-1].rstrip('.')}" if lines else "")


def _stderr_of(place: Path, number: int) -> Path:
    """Where a process's standard error goes."""
    return place / f"stderr-{number}.txt"
