"""Training in several processes, which this one starts, shows and ends (:mod:`tardif.processes`).

Torch's own launcher is not used. When one process fails, it ends the others at once, so rank 0 could not publish the
best checkpoint. A Ctrl-C goes to all at once, and no result comes back. The processes outlive a killed launcher. And it
loads 200 MB of torch into a process that needs none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tardif.errors import TrainingError
from tardif.folders import read_json, remove, writable
from tardif.processes.parent import Team, failures, raise_cause, started, wait
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings

_WORK = "tardif.training.process:train"


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
            with started(Team(count, _WORK, place, config.console)) as processes:
                codes = wait(processes, place, orderly=True)
            if (place / "end.json").is_file():
                folder.keep = read_json(place / "end.json", what="a training in several processes")["keep"]
            if any(codes) or failures(place):
                _fail(codes, place, folder)
    finally:
        remove(place)
    return TrainingResult.from_json(config.path, read_json(config.path / "results.json", what="a trained model"))


def _fail(codes: Sequence[int], place: Path, folder: RunFolder) -> NoReturn:
    raise_cause(codes, place, TrainingError, folder.way_out())
