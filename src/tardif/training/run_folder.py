"""What a run leaves beside its output while it is not finished, so that it can be resumed.

.NAME.training/
  owner.json      the process that trains here now
  run.json        what a resumed run must be given again, and what is not found out twice
  log.jsonl       losses, speeds and evaluations
  step-00000120/  checkpoints to go on from: the last two
  best-00000120/  the best model so far, as it will be published
  start/          the weights that the training began with
  negatives-00000120/  the examples with the hard negatives that were mined at this step
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tardif.errors import FolderError, SettingError
from tardif.folders import OWNER, own, owner_of, read_json, write_json
from tardif.talk import Talk

# Two: should the disk lose the newest, there is another.
KEPT_CHECKPOINTS = 2
MARK = "complete.json"
RUN_STATE = "run_state.json"


def is_whole(folder: Path) -> bool:
    """Whether a folder was marked complete and still has every file at its full size."""
    try:
        sizes = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


class RunFolder:
    """The work folder of the run that will be published at ``output``."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.parent / f".{output.name}.training"
        self.keep = True
        self.resumed = False

    @property
    def log(self) -> Path:
        """The run's log."""
        return self.path / "log.jsonl"

    def step(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.path / f"step-{step:08d}"

    @property
    def start(self) -> Path:
        """The weights that the training began with, where a share of them is in the model that is kept."""
        return self.path / "start"

    def best(self, step: int) -> Path:
        """The model of a step, kept because it was the best."""
        return self.path / f"best-{step:08d}"

    def negatives(self, step: int) -> Path:
        """The examples as the refresh of a step left them."""
        return self.path / f"negatives-{step:08d}"

    def checkpoints(self) -> dict[Path, int]:
        """The checkpoints to go on from, the oldest first, each with the step of the best model till then."""
        found = {}
        for path in sorted(self.path.glob("step-*")):
            if is_whole(path) and all(is_whole(other) for other in self._named_by(path)):
                found[path] = int(_outcome(path)["best_step"])
        return found

    def _named_by(self, checkpoint: Path) -> list[Path]:
        """The folders that a checkpoint cannot do without."""
        outcome = _outcome(checkpoint)
        best, refreshed = int(outcome["best_step"]), outcome.get("refreshed_at", [])
        return [*([self.best(best)] if best else []), *(self.negatives(step) for step in refreshed[-1:])]

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint, if there is one."""
        return next(reversed(self.checkpoints()), None)

    def is_unfinished(self) -> bool:
        """Whether a run was broken off here after its first checkpoint."""
        return (self.path / "run.json").is_file() and bool(self.checkpoints())

    @contextmanager
    def held(self, *, resume: bool, overwrite: bool, talk: Talk) -> Iterator[None]:
        """Have the folder to oneself: with what an unfinished run left (``resume``), or empty.

        When the block ends, the folder is removed, unless there is a checkpoint to resume from and
        :attr:`keep` is still true.

        Raises:
            FolderError: another process trains here; or an unfinished run is here, and it is neither to be
                resumed nor to be overwritten.
        """
        owner = owner_of(self.path)
        if owner is not None:
            raise FolderError(f"{self.output.name} is being trained in {self.path} by process {owner}.")
        last = self.last_checkpoint()
        if last is not None and not resume and not overwrite:
            raise FolderError(
                f"An unfinished run of {self.output.name} is in {self.path}, at step {step_of(last)}: go on "
                "with it (--resume), or start again (--overwrite)."
            )
        if not resume:
            self._remove()
        elif not (self.path / "run.json").is_file():
            talk.say(f"There is no unfinished run of {self.output.name}: it starts from the beginning.")
            self._remove()
        self.resumed = self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            own(self.path)
        except OSError as error:
            raise FolderError(f"{self.path} cannot be written ({error.strerror}).") from error
        try:
            yield
        finally:
            (self.path / OWNER).unlink(missing_ok=True)
            if not (self.keep and self.is_unfinished()):
                self._remove()

    def _remove(self) -> None:
        """Remove the folder; killed meanwhile, nothing that looks like a run is left, and the rest is swept later."""
        aside = self.path.with_name(f".{self.output.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
        if self.path.exists():
            with suppress(OSError):
                self.path.rename(aside)
            shutil.rmtree(self.path, ignore_errors=True)
            shutil.rmtree(aside, ignore_errors=True)

    def write_record(self, given: Mapping[str, Any], found: Mapping[str, Any], made_with: Mapping[str, Any]) -> None:
        """Record what a resumed run must be given again, what it need not find out again, and the versions."""
        write_json(
            self.path / "run.json",
            {
                "format": "tardif-run",
                "version": 1,
                "made_with": dict(made_with),
                "given": dict(given),
                "found": dict(found),
            },
        )

    def read_record(self, given: Mapping[str, Any], made_with: Mapping[str, Any], talk: Talk) -> dict[str, Any] | None:
        """What an unfinished run found out before its first step; None where there is no such run.

        Raises:
            SettingError: it was given something else; the message names each difference.
            FolderError: the record is damaged.
        """
        if not (self.path / "run.json").is_file():
            return None
        record = read_json(self.path / "run.json", what="an unfinished run")
        # As JSON has it: a tuple is a list there.
        now = json.loads(json.dumps(dict(given), default=str))
        different = [
            f"{name} is {_shown(now.get(name))}, was {_shown(record['given'].get(name))}"
            for name in dict.fromkeys([*record["given"], *now])
            if now.get(name) != record["given"].get(name)
        ]
        if different and self.last_checkpoint() is None:  # nothing is lost
            return None
        if different:
            raise SettingError(
                f"The unfinished run in {self.path} cannot go on: {'; '.join(different)}. Give what it was started "
                "with, or start again with --overwrite."
            )
        for name, version in made_with.items():
            if record["made_with"].get(name) != version:
                talk.say(
                    f"The run was started with {name} {record['made_with'].get(name)}, this is {version}: the end may "
                    "differ from an unbroken run's in the last bits."
                )
        found: dict[str, Any] = record["found"]
        return found

    def sweep(self) -> None:
        """Remove all but the last checkpoints, the models and negatives that they name, and what is no checkpoint."""
        last = list(self.checkpoints())[-KEPT_CHECKPOINTS:]
        kept = {path.name for checkpoint in last for path in (checkpoint, *self._named_by(checkpoint))}
        for path in self.path.iterdir():
            if re.fullmatch(r"(step|best|negatives)-\d+|\..*\.partial", path.name) and path.name not in kept:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.removeprefix("step-"))


def _outcome(checkpoint: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(checkpoint / RUN_STATE, what="a checkpoint")["outcome"]
    return found


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
