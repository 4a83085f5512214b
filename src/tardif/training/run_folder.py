"""The work folder of an unfinished run, beside its output, from which it can be resumed.

.NAME.training/
  run.json        what a resumed run must be given again, and what it need not find out again
  log.jsonl       losses, speeds and evaluations
  step-00000120/  checkpoints to resume from: the last two
  best-00000120/  the best model so far, as it will be published
  start/          the weights that training began with: averaged into the model, and published if training is worse
  negatives-00000120/  the examples with the hard negatives that were mined at this step

The folders in it and run.json have checksums. A run resumes from the newest checkpoint that is whole with all folders
that it names. What is damaged is reported and never read. The log is a record, and decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tardif.checksums import json_checksum
from tardif.errors import FolderError, OtherRunError
from tardif.folders import holding, name_aside, read_json, real_place, remove, writable, write_json
from tardif.progress import Console
from tardif.training.whole import START_AGAIN, damage, is_whole

# Two: if the newest is damaged, there is another.
KEPT_CHECKPOINTS = 2
RUN_STATE = "run_state.json"
_RECORD = "run.json"
# Raised when the form of the record or of a checkpoint changes: a run of another version is refused, not misread.
VERSION = 4
# A run may go on with more or fewer processes: steps, examples and gradients are those of the global batch.
PROCESSES = "processes"


class RunFolder:
    """The work folder of the run that will be published at ``output``. If that is a link, it is beside the target.

    >>> RunFolder(Path("models/new")).step(120).as_posix()
    'models/.new.training/step-00000120'

    Attributes:
        keep: keep it at the end, for a run that resumes.
        resumed: an unfinished run left it.
        chosen: the checkpoint to resume from, every byte of it checked; None starts from the beginning.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        place = real_place(output)
        self.path = place.with_name(f".{place.name}.training")
        self.keep = True
        self.resumed = False
        self.chosen: Path | None = None

    @property
    def log(self) -> Path:
        """The log of the run."""
        return self.path / "log.jsonl"

    def step(self, step: int) -> Path:
        """Return the path of a step's checkpoint."""
        return self.path / f"step-{step:08d}"

    @property
    def start(self) -> Path:
        """The weights that training began with."""
        return self.path / "start"

    def best(self, step: int) -> Path:
        """Return the path of a step's model, kept because it was the best."""
        return self.path / f"best-{step:08d}"

    def negatives(self, step: int) -> Path:
        """Return the path of the examples that the refresh of a step made."""
        return self.path / f"negatives-{step:08d}"

    def _steps(self) -> list[Path]:
        """The folders with a checkpoint's name, the oldest first."""
        return sorted((path for path in self.path.glob("step-*") if re.fullmatch(r"step-\d+", path.name)), key=step_of)

    def checkpoints(self) -> dict[Path, int]:
        """Return the checkpoints that have all their files, the oldest first, each with the step of its best model.

        Their bytes are not read: :meth:`choose` does that.
        """
        found = {}
        for path in self._steps():
            needed = self._named_by(path) if is_whole(path) else None
            if needed is not None and all(is_whole(other) for other in needed):
                found[path] = int(_state(path)["outcome"]["best_step"])
        return found

    def _named_by(self, checkpoint: Path) -> list[Path] | None:
        """The folders that a checkpoint needs; None if its state cannot be read."""
        try:
            state = _state(checkpoint)
            run_state = state["outcome"]
            best, refreshed = int(run_state["best_step"]), [int(step) for step in run_state["refreshed_at"]]
            start = [self.start] if state["start"] else []
        except (FolderError, KeyError, TypeError, ValueError):
            return None
        # Only the last refresh is needed: each replaces the examples of the one before.
        return [*([self.best(best)] if best else []), *(self.negatives(step) for step in refreshed[-1:]), *start]

    def last_checkpoint(self) -> Path | None:
        """Return the newest checkpoint that has all its files, or None."""
        return next(reversed(self.checkpoints()), None)

    def way_out(self) -> str:
        """Return a sentence on how to continue a run that failed, to follow the reason; empty without a checkpoint."""
        last = self.last_checkpoint()
        return "" if last is None else f" --resume (in Python resume=True) continues from step {step_of(last)}."

    def is_unfinished(self) -> bool:
        """Whether a run stopped here after its first checkpoint."""
        return bool(self._steps())

    def choose(self, console: Console) -> Path | None:
        """Return the newest checkpoint that is whole, with every folder that it names; None if there is no checkpoint.

        Raises:
            FolderError: there are checkpoints, and none is whole.
        """
        wrong: list[str] = []
        for path in reversed(self._steps()):
            problem = self._problem(path)
            if not problem:
                if wrong:
                    console.say(f"{'; '.join(wrong)}: resuming from the checkpoint before.")
                return path
            wrong.append(f"{path.name} cannot be used ({problem})")
        if wrong:
            raise self._unusable("; ".join(wrong))
        return None

    def _unusable(self, why: str) -> FolderError:
        return FolderError(f"The unfinished run in {self.path} cannot be resumed: {why}; {START_AGAIN}.")

    def _problem(self, checkpoint: Path) -> str:
        """Describe what is wrong with a checkpoint or with a folder that it names; empty if nothing is."""
        if problem := damage(checkpoint):
            return problem
        needed = self._named_by(checkpoint)
        if needed is None:
            return f"{RUN_STATE} cannot be read"
        return next((f"{folder.name}: {problem}" for folder in needed if (problem := damage(folder))), "")

    @contextmanager
    def held(self, *, resume: bool, overwrite: bool, console: Console) -> Iterator[None]:
        """Lock the output and this folder, which is empty or has what an unfinished run left (``resume``).

        At the end of the block the folder is removed, unless there is a checkpoint to resume from and :attr:`keep` is
        still true.

        Raises:
            FolderError: another process trains here; there is an unfinished run, and it is neither to be resumed nor
                overwritten; or none of its checkpoints is whole.
        """
        what = f"{self.output.name} is being trained in {self.path}"
        with holding(self.output, overwrite=overwrite or self.is_unfinished(), what=what):
            if resume:
                self._resume(console, overwrite=overwrite)
            elif self.is_unfinished() and not overwrite:
                raise FolderError(self._unfinished())
            else:
                self._remove()
            self.resumed = self.path.exists()
            with writable(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            try:
                yield
            finally:
                if not (self.keep and self.is_unfinished()):
                    self._remove()

    def _unfinished(self) -> str:
        last = self.last_checkpoint()
        reached = "" if last is None else f", at step {step_of(last)}"
        return (
            f"There is an unfinished run of {self.output.name} in {self.path}{reached}: resume it (--resume, in Python "
            "resume=True), or start again (--overwrite, in Python overwrite=True)."
        )

    def _resume(self, console: Console, *, overwrite: bool) -> None:
        """Choose a checkpoint, or start again where there is none; with ``overwrite``, also where none can be used."""
        try:
            if (self.path / _RECORD).is_file():
                self.chosen = self.choose(console)
                if self.chosen is not None:
                    self._read_record()  # report damage before anything is loaded
                return
            if self._steps():
                raise self._unusable(f"{_RECORD} is missing")
            console.say(f"There is no unfinished run of {self.output.name}: it starts from the beginning.")
        except FolderError as error:
            if not overwrite:
                raise
            console.say(str(error))
            console.say("It starts from the beginning.")
            self.chosen = None
        self._remove()

    def _remove(self) -> None:
        """Remove the folder. It is renamed first: a process killed here leaves nothing that looks like a run.

        Raises:
            FolderError: it cannot be removed.
        """
        aside = name_aside(real_place(self.output), "partial")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FolderError(f"{self.path} cannot be removed ({error.strerror}): remove it by hand.") from error
        remove(aside)

    def write_record(self, given: Mapping[str, Any], found: Mapping[str, Any], made_with: Mapping[str, Any]) -> None:
        """Record what a resumed run must be given again, what it need not find out again, and the versions."""
        record = {
            "format": "tardif-run",
            "version": VERSION,
            "made_with": dict(made_with),
            "given": dict(given),
            "found": dict(found),
        }
        write_json(self.path / _RECORD, {**record, "checksum": json_checksum(record)})

    def _read_record(self) -> dict[str, Any]:
        """Read the record.

        Raises:
            FolderError: it is damaged, or another version's.
        """
        try:
            record = read_json(self.path / _RECORD, what="an unfinished run")
        except FolderError as error:
            raise FolderError(f"{error} To train here, {START_AGAIN}.") from error
        if not isinstance(record, dict) or record.pop("checksum", None) != json_checksum(record):
            raise FolderError(f"{self.path / _RECORD} is damaged (its checksum is wrong): {START_AGAIN}.")
        if record.get("version") != VERSION:
            raise self._unusable("it was started by another version of Tardif")
        return record

    def read_record(
        self, given: Mapping[str, Any], made_with: Mapping[str, Any], console: Console
    ) -> dict[str, Any] | None:
        """Return what an unfinished run found out before its first step; None if there is no such run.

        Without a checkpoint nothing is lost: then a record that is damaged, or of another run, counts as none.

        Raises:
            OtherRunError: the run was started with something else; the message names each difference.
            FolderError: the record is damaged.
        """
        if not (self.path / _RECORD).is_file():
            return None
        try:
            record = self._read_record()
        except FolderError:
            if self.chosen is None:
                return None
            raise
        # As JSON stores it: a tuple is a list there.
        now = json.loads(json.dumps(dict(given), default=str))
        was_in, is_in = record["given"].pop(PROCESSES, 1), now.pop(PROCESSES, 1)
        different = [
            f"{name} is {_shown(now.get(name))}, was {_shown(record['given'].get(name))}"
            for name in dict.fromkeys([*record["given"], *now])
            if now.get(name) != record["given"].get(name)
        ]
        # Without a checkpoint the run begins again in any case, with the settings given now.
        if different and self.chosen is None:
            return None
        if different:
            raise OtherRunError(
                f"The unfinished run in {self.path} cannot be resumed: {'; '.join(different)}. "
                f"{OtherRunError.WAY_OUT}, or {START_AGAIN}."
            )
        for name, version in made_with.items():
            if record["made_with"].get(name) != version:
                console.say(
                    f"The run was started with {name} {record['made_with'].get(name)}, this is {version}: the weights "
                    "may differ from an uninterrupted run's in the last bits."
                )
        if was_in != is_in and self.chosen is not None:
            console.say(
                f"The run was started in {was_in} process(es), this is {is_in}: the steps are the same; the weights "
                "may differ from an uninterrupted run's in the last bits (with dropout, in its masks)."
            )
        found: dict[str, Any] = record["found"]
        return found

    def drop_newer(self) -> None:
        """Remove the checkpoints after the chosen one: they are damaged, which was reported."""
        for path in self._steps():
            if self.chosen is not None and step_of(path) > step_of(self.chosen):
                remove(path)

    def sweep(self) -> None:
        """Remove all but the last checkpoints and the models and negatives that they name."""
        last = list(self.checkpoints())[-KEPT_CHECKPOINTS:]
        kept = {path.name for checkpoint in last for path in (checkpoint, *(self._named_by(checkpoint) or ()))}
        for path in self.path.iterdir():
            if re.fullmatch(r"(step|best|negatives)-\d+|\..*\.partial", path.name) and path.name not in kept:
                remove(path)


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint.

    >>> step_of(Path("step-00000120"))
    120
    """
    return int(checkpoint.name.removeprefix("step-"))


def _state(checkpoint: Path) -> Any:
    return read_json(checkpoint / RUN_STATE, what="a checkpoint")


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
