"""What a run leaves beside its output while it is not finished, so that it can be resumed.

.NAME.training/
  run.json        what a resumed run must be given again, and what is not found out twice
  log.jsonl       losses, speeds and evaluations
  step-00000120/  checkpoints to go on from: the last two
  best-00000120/  the best model so far, as it will be published
  start/          the weights that the training began with: a share of the model, and what is kept if training is worse
  negatives-00000120/  the examples with the hard negatives that were mined at this step

Each folder below it, and run.json, holds checksums. A run goes on from the newest checkpoint that is whole with all
that it names; what is damaged is told, and never read. The log is a record, and decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tardif.checksums import json_checksum
from tardif.errors import FolderError, SettingError
from tardif.folders import holding, name_aside, read_json, real_place, remove, write_json
from tardif.progress import Console
from tardif.training.whole import damage, is_whole

# Two: should the disk lose the newest, there is another.
KEPT_CHECKPOINTS = 2
RUN_STATE = "run_state.json"
_RECORD = "run.json"
VERSION = 3


class RunFolder:
    """The work folder of the run that will be published at ``output``; beside what that is a link to.

    Attributes:
        keep: leave it for a run that goes on.
        resumed: it holds what an unfinished run left.
        chosen: the checkpoint to go on from, examined to the last byte; None begins at the beginning.
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
        """The run's log."""
        return self.path / "log.jsonl"

    def step(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.path / f"step-{step:08d}"

    @property
    def start(self) -> Path:
        """The weights that the training began with."""
        return self.path / "start"

    def best(self, step: int) -> Path:
        """The model of a step, kept because it was the best."""
        return self.path / f"best-{step:08d}"

    def negatives(self, step: int) -> Path:
        """The examples as the refresh of a step left them."""
        return self.path / f"negatives-{step:08d}"

    def _steps(self) -> list[Path]:
        """Every checkpoint by its name, the oldest first."""
        return sorted((path for path in self.path.glob("step-*") if re.fullmatch(r"step-\d+", path.name)), key=step_of)

    def checkpoints(self) -> dict[Path, int]:
        """The checkpoints that have all their files, the oldest first, each with the step of the best model till then.

        Their bytes are not read: :meth:`choose` does that.
        """
        found = {}
        for path in self._steps():
            needed = self._named_by(path) if is_whole(path) else None
            if needed is not None and all(is_whole(other) for other in needed):
                found[path] = int(_state(path)["outcome"]["best_step"])
        return found

    def _named_by(self, checkpoint: Path) -> list[Path] | None:
        """The folders that a checkpoint cannot do without; None where it does not say."""
        try:
            state = _state(checkpoint)
            run_state = state["outcome"]
            best, refreshed = int(run_state["best_step"]), [int(step) for step in run_state["refreshed_at"]]
            start = [self.start] if state["start"] else []
        except (FolderError, KeyError, TypeError, ValueError):
            return None
        return [*([self.best(best)] if best else []), *(self.negatives(step) for step in refreshed[-1:]), *start]

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that has all its files, if there is one."""
        return next(reversed(self.checkpoints()), None)

    def is_unfinished(self) -> bool:
        """Whether a run was broken off here after its first checkpoint."""
        return bool(self._steps())

    def choose(self, console: Console) -> Path | None:
        """The newest checkpoint that is whole, with every folder that it names; None where there is none at all.

        Raises:
            FolderError: there are some, and none is whole.
        """
        wrong: list[str] = []
        for path in reversed(self._steps()):
            problem = self._problem(path)
            if not problem:
                if wrong:
                    console.say(f"{'; '.join(wrong)}: going on from the checkpoint before.")
                return path
            wrong.append(f"{path.name} cannot be used ({problem})")
        if wrong:
            raise FolderError(
                f"The unfinished run in {self.path} cannot go on: {'; '.join(wrong)}. Start again with --overwrite "
                "(in Python overwrite=True)."
            )
        return None

    def _problem(self, checkpoint: Path) -> str:
        """What is wrong with a checkpoint or with a folder that it names; empty where nothing is."""
        if problem := damage(checkpoint):
            return problem
        needed = self._named_by(checkpoint)
        if needed is None:
            return f"{RUN_STATE} says nothing"
        return next((f"{folder.name}: {problem}" for folder in needed if (problem := damage(folder))), "")

    @contextmanager
    def held(self, *, resume: bool, overwrite: bool, console: Console) -> Iterator[None]:
        """Have the output and this folder to oneself: with what an unfinished run left (``resume``), or empty.

        When the block ends, the folder is removed, unless there is a checkpoint to resume from and
        :attr:`keep` is still true.

        Raises:
            FolderError: another process trains here; an unfinished run is here, and it is neither to be resumed nor
                to be overwritten; or none of its checkpoints is whole.
        """
        what = f"{self.output.name} is being trained in {self.path}"
        with holding(self.output, overwrite=overwrite or self.is_unfinished(), what=what):
            if resume and not overwrite:
                self._go_on(console)
            elif resume:
                self._go_on_or_not(console)
            elif self.is_unfinished() and not overwrite:
                raise FolderError(self._unfinished())
            else:
                self._remove()
            self.resumed = self.path.exists()
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise FolderError(f"{self.path} cannot be written ({error.strerror}).") from error
            try:
                yield
            finally:
                if not (self.keep and self.is_unfinished()):
                    self._remove()

    def _unfinished(self) -> str:
        last = self.last_checkpoint()
        reached = "" if last is None else f", at step {step_of(last)}"
        return (
            f"An unfinished run of {self.output.name} is in {self.path}{reached}: go on with it (--resume, in "
            "Python resume=True), or start "
            "again (--overwrite, in Python overwrite=True)."
        )

    def _go_on(self, console: Console) -> None:
        """Choose a checkpoint; begin again only where there has never been one."""
        record = self.path / _RECORD
        if not record.is_file():
            if self._steps():
                raise FolderError(
                    f"The unfinished run in {self.path} cannot go on: {_RECORD} is missing. Start again with "
                    "--overwrite (in Python overwrite=True)."
                )
            console.say(f"There is no unfinished run of {self.output.name}: it starts from the beginning.")
            self._remove()
            return
        self.chosen = self.choose(console)
        if self.chosen is not None:
            self._read_record()  # damaged, it is told before anything is loaded

    def _go_on_or_not(self, console: Console) -> None:
        """The same where what cannot be gone on with may be removed."""
        try:
            self._go_on(console)
        except FolderError as error:
            console.say(str(error))
            console.say("It starts from the beginning.")
            self.chosen = None
            self._remove()

    def _remove(self) -> None:
        """Remove the folder; killed meanwhile, nothing that looks like a run is left, and the rest is swept later.

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
        """The record, as it was written.

        Raises:
            FolderError: it is damaged, or another version's.
        """
        way_out = "start again with --overwrite (in Python overwrite=True)"
        try:
            record = read_json(self.path / _RECORD, what="an unfinished run")
        except FolderError as error:
            raise FolderError(f"{str(error).rstrip('.')}; {way_out}.") from error
        if not isinstance(record, dict) or record.pop("checksum", None) != json_checksum(record):
            raise FolderError(f"{self.path / _RECORD} is damaged (its checksum is wrong): {way_out}.")
        if record.get("version") != VERSION:
            raise FolderError(f"The unfinished run in {self.path} was begun by another version of Tardif: {way_out}.")
        return record

    def read_record(
        self, given: Mapping[str, Any], made_with: Mapping[str, Any], console: Console
    ) -> dict[str, Any] | None:
        """What an unfinished run found out before its first step; None where there is no such run.

        Without a checkpoint nothing is lost: then a record that is damaged, or of something else, is none.

        Raises:
            SettingError: it was given something else; the message names each difference.
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
        # As JSON has it: a tuple is a list there.
        now = json.loads(json.dumps(dict(given), default=str))
        different = [
            f"{name} is {_shown(now.get(name))}, was {_shown(record['given'].get(name))}"
            for name in dict.fromkeys([*record["given"], *now])
            if now.get(name) != record["given"].get(name)
        ]
        if different and self.chosen is None:
            return None
        if different:
            raise SettingError(
                f"The unfinished run in {self.path} cannot go on: {'; '.join(different)}. Give what it was started "
                "with, or start again with --overwrite (in Python overwrite=True)."
            )
        for name, version in made_with.items():
            if record["made_with"].get(name) != version:
                console.say(
                    f"The run was started with {name} {record['made_with'].get(name)}, this is {version}: the end may "
                    "differ from an unbroken run's in the last bits."
                )
        found: dict[str, Any] = record["found"]
        return found

    def drop_newer(self) -> None:
        """Remove the checkpoints after the chosen one, which are damaged and have been told."""
        for path in self._steps():
            if self.chosen is not None and step_of(path) > step_of(self.chosen):
                remove(path)

    def sweep(self) -> None:
        """Remove all but the last checkpoints, the models and negatives that they name, and what is no checkpoint."""
        last = list(self.checkpoints())[-KEPT_CHECKPOINTS:]
        kept = {path.name for checkpoint in last for path in (checkpoint, *(self._named_by(checkpoint) or ()))}
        for path in self.path.iterdir():
            if re.fullmatch(r"(step|best|negatives)-\d+|\..*\.partial", path.name) and path.name not in kept:
                remove(path)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.removeprefix("step-"))


def _state(checkpoint: Path) -> Any:
    return read_json(checkpoint / RUN_STATE, what="a checkpoint")


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
