"""Training in several processes, which are started here, listened to and ended.

They are new interpreters with the environment that torchrun would give them: nothing is forked, a script needs no
``__main__`` guard, and a notebook can start them. They end with the process that started them, however that ends.

Torch's own launcher is not used. It ends the others the moment that one fails, so that rank 0 could not publish the
best checkpoint; a Ctrl-C goes to all at once and no result comes back; processes outlive a launcher that is killed; and
it brings 200 MB of torch into a process that needs none.
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
from tardif.errors import FolderError, TrainingError
from tardif.folders import read_json, remove
from tardif.progress import Bar, Console
from tardif.training.distributed import error_named
from tardif.training.process import INTERRUPTED
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import RunFolder, step_of
from tardif.training.settings import TrainingSettings

# The package may be on this interpreter's path alone.
_COMMAND = "import sys; sys.path.append(sys.argv[1]); from tardif.training.process import run; run(sys.argv[2])"
_POLL_SECONDS = 0.1
# When one has failed, the others are given so long to end by themselves: they notice it, and rank 0 may publish.
_GRACE_SECONDS = 5.0


def train_in_processes(
    count: int, config: RunConfig, settings: TrainingSettings, device: str, folder: RunFolder
) -> TrainingResult:
    """Train a config in ``count`` processes; ``folder`` is held.

    Raises:
        KeyboardInterrupt: it was interrupted before training began, or twice.
        TrainingError: a process died.
        TardifError: what one of them failed with.
    """
    place = folder.path / "processes"
    try:
        with tempfile.TemporaryDirectory(prefix="tardif-", ignore_cleanup_errors=True) as meeting:
            remove(place)
            place.mkdir()
            where = (Path(meeting) / "meeting").as_uri()
            chosen = folder.chosen and folder.chosen.name
            config.save(place, settings, device=device, resumed=folder.resumed, chosen=chosen, meeting=where)
            config.console.say(f"Starting {count} processes.")
            with _started(count, place, config.console) as processes:
                codes = _wait(processes, place)
        if (place / "end.json").is_file():
            folder.keep = read_json(place / "end.json", what="a training config")["keep"]
        if any(codes) or _failures(place):
            _fail(codes, place, folder)
    except OSError as error:
        raise FolderError(f"{place} cannot be written ({error.strerror or error}).") from error
    finally:
        remove(place)
    return TrainingResult.from_json(config.path, read_json(config.path / "results.json", what="a trained model"))


@contextlib.contextmanager
def _started(count: int, place: Path, console: Console) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes, rank 0 first; none is left when the block ends."""
    processes: list[subprocess.Popen[str]] = []
    root = str(Path(__file__).parents[2])
    try:
        for number in range(count):
            with _said(place, number).open("wb") as said:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-P", "-c", _COMMAND, root, str(place)],
                        env=_environment(number, count),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE if number == 0 else subprocess.DEVNULL,
                        stderr=said,
                        text=True,
                        encoding="utf-8",
                        # A Ctrl-C at the terminal is for this process, which passes it on.
                        start_new_session=True,
                        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                    )
                )
        listener = threading.Thread(target=show_piped, args=(processes[0].stdout, console), daemon=True)
        listener.start()
        yield processes
        listener.join(timeout=_GRACE_SECONDS)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()


def show_piped(lines: IO[str], console: Console) -> None:
    """Say and show on ``console`` what a :class:`~tardif.training.process.PipeConsole` sends, until it ends."""
    bar = Bar("", None, "")
    with lines, contextlib.ExitStack() as shown:
        for line in lines:
            try:
                name, *given = json.loads(line)
            except (ValueError, TypeError):  # half a line, of a process that was killed
                continue
            match name:
                case "say":
                    console.say(*given)
                case "tell":
                    console.tell(*given)
                case "progress":
                    bar = shown.enter_context(console.progress(*given))
                case "advance":
                    bar.advance(*given)
                case "resume":
                    bar.resume(*given)
                case _:
                    shown.close()


def _environment(number: int, count: int) -> dict[str, str]:
    """What torchrun would set, and its share of the cores for each process."""
    share = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(core_count() // count, 1))}
    return {
        **os.environ,
        **share,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }


def _wait(processes: Sequence[subprocess.Popen[str]], place: Path) -> list[int]:
    """Every process's exit code; 0 for those that have to be ended because another has failed."""
    stops, failed_at = 0, 0.0
    while True:
        try:
            codes = [process.poll() for process in processes]
            # One that has failed may hang when it ends: a connection waits for its peers.
            if not failed_at and (any(codes) or _failures(place)):
                failed_at = time.monotonic()
            over = failed_at and time.monotonic() - failed_at > _GRACE_SECONDS
            if over or None not in codes or codes[0] == INTERRUPTED:
                return [code or 0 for code in codes]
            time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
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
    """Raise what went wrong first.

    An error of ours says it best. Else it is the process that died without a word: the others then fail for want
    of it. Else what the first of those said that failed.
    """
    if codes[0] == INTERRUPTED:
        raise KeyboardInterrupt
    said = _failures(place)
    for failure in said.values():
        if failure["type"]:
            raise error_named(failure["type"], failure["message"])
    last = folder.last_checkpoint()
    way_out = "" if last is None else f" --resume (in Python resume=True) goes on from step {step_of(last)}."
    for number, code in enumerate(codes):
        if code and number not in said:
            raise TrainingError(f"Process {number} of {len(codes)} {_death(code, _said(place, number))}.{way_out}")
    number, failure = next(iter(said.items()))
    raise TrainingError(f"Process {number} of {len(codes)} failed: {failure['message']}.{way_out}")


def _failures(place: Path) -> dict[int, Any]:
    """What those processes said that failed, by number."""
    found = {int(path.stem.removeprefix("failure-")): path for path in place.glob("failure-*.json")}
    return {number: read_json(found[number], what="a failure") for number in sorted(found)}


def _death(code: int, said: Path) -> str:
    """How a process ended that left no word of its own."""
    if code == -9:
        return "was killed by signal 9 (a system short of memory does that)"
    lines = [line.strip() for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return how + (f": {lines[-1].rstrip('.')}" if lines else "")


def _said(place: Path, number: int) -> Path:
    """Where a process's standard error goes."""
    return place / f"said-{number}.txt"
