"""Training in several processes: started, shown and ended by this one.

They are new interpreters with the environment that torchrun would give them. Nothing is forked, so a script needs no
``__main__`` guard, and a notebook can start them. They end with the process that started them, however that ends.

Torch's own launcher is not used. When one process fails, it ends the others at once, so rank 0 could not publish the
best checkpoint. A Ctrl-C goes to all at once, and no result comes back. The processes outlive a killed launcher. And it
loads 200 MB of torch into a process that needs none.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from tardif.devices import core_count
from tardif.errors import TrainingError
from tardif.folders import read_json, remove, writable
from tardif.progress import Bar, Console
from tardif.training.distributed import error_named
from tardif.training.process import INTERRUPTED
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import RunFolder, step_of
from tardif.training.settings import TrainingSettings

# The path to the package is passed on: it may be on this interpreter's path alone.
_COMMAND = "import sys; sys.path.append(sys.argv[1]); from tardif.training.process import run; run(sys.argv[2])"
_POLL_SECONDS = 0.1
# When one has failed, the others have this long to end by themselves: they notice it, and rank 0 may publish.
_GRACE_SECONDS = 5.0


def train_in_processes(
    count: int, config: RunConfig, settings: TrainingSettings, device: str, folder: RunFolder
) -> TrainingResult:
    """Train a config in ``count`` processes. The caller holds ``folder``.

    Raises:
        KeyboardInterrupt: it was interrupted before training began, or twice.
        TrainingError: a process died.
        TardifError: what one of them failed with.
    """
    place = folder.path / "processes"
    try:
        with writable(place), tempfile.TemporaryDirectory(prefix="tardif-", ignore_cleanup_errors=True) as meeting:
            remove(place)  # left by a killed run
            place.mkdir()
            # A file for the rendezvous: a port could be taken between its choice and its use.
            where = (Path(meeting) / "meeting").as_uri()
            chosen = folder.chosen and folder.chosen.name
            config.save(place, settings, device=device, resumed=folder.resumed, chosen=chosen, meeting=where)
            config.console.say(f"Starting {count} processes.")
            with _started(count, place, config.console) as processes:
                codes = _wait(processes, place)
            if (place / "end.json").is_file():
                folder.keep = read_json(place / "end.json", what="a training in several processes")["keep"]
            if any(codes) or _failures(place):
                _fail(codes, place, folder)
    finally:
        remove(place)
    return TrainingResult.from_json(config.path, read_json(config.path / "results.json", what="a trained model"))


@contextlib.contextmanager
def _started(count: int, place: Path, console: Console) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the processes, rank 0 first; end those that are left at the end of the block."""
    processes: list[subprocess.Popen[str]] = []
    root = str(Path(__file__).parents[2])
    try:
        for number in range(count):
            with _stderr_of(place, number).open("wb") as stderr:
                processes.append(
                    subprocess.Popen(
                        # -P keeps the working folder off the path, where a file may be named like a module.
                        [sys.executable, "-P", "-c", _COMMAND, root, str(place)],
                        env=_environment(number, count),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE if number == 0 else subprocess.DEVNULL,
                        stderr=stderr,
                        text=True,
                        encoding="utf-8",
                        # A Ctrl-C at the terminal is for this process, which passes it on.
                        start_new_session=True,
                        # The same on Windows, which has no sessions.
                        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                    )
                )
        listener = threading.Thread(target=show_piped, args=(processes[0].stdout, console), daemon=True)
        listener.start()
        yield processes
        listener.join(timeout=_GRACE_SECONDS)
    finally:
        for process in processes:  # all at once: one that waits for another would only fail more slowly
            process.kill()
        for process in processes:
            process.wait()
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()


def show_piped(lines: IO[str], console: Console) -> None:
    """Show on ``console`` what a :class:`~tardif.training.process.PipeConsole` sends, until the pipe closes."""
    bar = Bar("", None, "")
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


def _wait(processes: Sequence[subprocess.Popen[str]], place: Path) -> list[int]:
    """Wait for the processes; return their exit codes, 0 for those that must be ended because another has failed."""
    stops, failed_at = 0, 0.0
    while True:
        try:
            codes = [process.poll() for process in processes]
            # A failed process may hang at its end, in a connection that waits for its peers: its report counts.
            if not failed_at and (any(codes) or _failures(place)):
                failed_at = time.monotonic()
            over = failed_at and time.monotonic() - failed_at > _GRACE_SECONDS
            if over or None not in codes or codes[0] == INTERRUPTED:
                return [code or 0 for code in codes]
            time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:  # the first one asks for an orderly stop, the second one ends all at once
            stops += 1
            if stops > 1:
                raise
            _ask_to_stop(processes[0])


def _ask_to_stop(main: subprocess.Popen[str]) -> None:
    assert main.stdin is not None
    with contextlib.suppress(OSError):  # it has just ended
        main.stdin.write("stop\n")
        main.stdin.flush()


def _fail(codes: Sequence[int], place: Path, folder: RunFolder) -> NoReturn:
    """Raise the cause of a failure.

    An error of ours is the best report. Else the cause is the process that died without one: the others failed because
    they lost it. Else it is the first error reported.
    """
    if codes[0] == INTERRUPTED:
        raise KeyboardInterrupt
    failures = _failures(place)
    for failure in failures.values():
        if failure["type"]:
            raise error_named(failure["type"], failure["message"])
    last = folder.last_checkpoint()
    way_out = "" if last is None else f" --resume (in Python resume=True) continues from step {step_of(last)}."
    for number, code in enumerate(codes):
        if code and number not in failures:
            raise TrainingError(f"Process {number} of {len(codes)} {_death(code, _stderr_of(place, number))}.{way_out}")
    number, failure = next(iter(failures.items()))
    raise TrainingError(f"Process {number} of {len(codes)} failed: {failure['message']}.{way_out}")


def _failures(place: Path) -> dict[int, Any]:
    """The reports of the processes that failed, by number."""
    found = {int(path.stem.removeprefix("failure-")): path for path in place.glob("failure-*.json")}
    return {number: read_json(found[number], what="a failure") for number in sorted(found)}


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
