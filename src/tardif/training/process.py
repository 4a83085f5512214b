"""A process of distributed training: what :mod:`tardif.training.launch` starts with :mod:`tardif.processes`."""

from __future__ import annotations

from pathlib import Path

from tardif.devices import own_rank
from tardif.folders import write_json
from tardif.libraries import load_libraries
from tardif.processes.child import PipeConsole
from tardif.progress import Console


def train(folder: Path, pipe: PipeConsole) -> None:
    """Train the config in a folder as one of its processes; rank 0 tells what happens."""
    load_libraries()
    from tardif.training.distributed import join
    from tardif.training.replicas import Replicas
    from tardif.training.run import TrainingRun
    from tardif.training.run_config import load_config
    from tardif.training.run_folder import RunFolder

    console = pipe if own_rank() == 0 else Console(quiet=True)
    config, settings, more = load_config(folder, console)
    run_folder = RunFolder(config.path)
    run_folder.resumed = more["resumed"]
    run_folder.chosen = more["chosen"] and run_folder.path / more["chosen"]
    group, failed = join(more["device"], more["meeting"]), True
    try:
        TrainingRun(config, settings, more["device"], Replicas(group, run_folder, [0] * group.size)).run()
        failed = False
    finally:
        if group.is_main:
            write_json(folder / "end.json", {"keep": run_folder.keep})
        group.wait(failed=failed)
    group.close()
