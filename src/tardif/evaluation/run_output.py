"""Where a comparison writes its runs: one run in a file, several in a folder with a file for each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tardif.data.regular import user_path
from tardif.errors import FolderError
from tardif.evaluation.runs import lowered_note, write_run
from tardif.evaluation.systems import distinct_names
from tardif.folders import check_file
from tardif.progress import Console
from tardif.types import Run


class RunOutput:
    """Writes runs where the user asked for them, or nowhere.

    Args:
        where: the file, or the folder for several runs; None writes none.
        systems: the names of the systems, the one compared against last.
        sets: the names of the data sets.
        only: there is one system beside the one compared against. With one data set too, only its run is written.

    Raises:
        FolderError: the place cannot be written, or a run would overwrite one that is evaluated.
    """

    def __init__(self, where: str | Path | None, systems: Sequence[str], sets: Sequence[str], *, only: bool) -> None:
        systems = list(dict.fromkeys(systems))
        self._where = None if where is None else user_path(where)
        self._only = (systems[0], sets[0]) if only and len(sets) == 1 else None
        self._files = _file_names(systems, sets)
        if self._where is None:
            return
        if self._only is not None:
            check_file(self._where)
        elif self._where.exists() and not self._where.is_dir():
            raise FolderError(
                f"{self._where} is a file, and several runs are written: give a folder for them (--run; in Python "
                "run_file)."
            )
        written = {self._path(*key).resolve() for key in ([self._only] if self._only else self._files)}
        # A run file among the systems would be overwritten while it is measured.
        if over := next((name for name in systems if user_path(name).resolve() in written), None):
            raise FolderError(
                f"{over} is measured, and a run would be written over it: give another place for the runs (--run; in "
                "Python run_file)."
            )

    def write(self, system: str, data: str, run: Run, console: Console) -> None:
        """Write a run, if runs are asked for; name the file, if its name is ours."""
        if self._where is None or (self._only is not None and self._only != (system, data)):
            return
        path = self._path(system, data)
        lowered = write_run(path, run)
        if self._only is None:
            console.say(f"{system} on {data}: {path}")
        for line in lowered_note(lowered):
            console.say(f"{path.name}: {line}")

    def _path(self, system: str, data: str) -> Path:
        assert self._where is not None
        return self._where if self._only is not None else self._where / self._files[system, data]


def _file_names(systems: Sequence[str], sets: Sequence[str]) -> dict[tuple[str, str], str]:
    """Name the file of each run after its system, and after its data set where there are several.

    Two that would have one name (``bm25`` and ``old/bm25.run``) are numbered: no run overwrites another.
    """
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for system, short in zip(systems, distinct_names(systems), strict=True):
        for data in sets:
            parts = [short.removesuffix(".run"), *([data] if len(sets) > 1 else [])]
            stem = ".".join(parts).replace("/", "-").replace(":", "-")
            names = (f"{stem}{'' if number == 1 else f'-{number}'}.run" for number in itertools.count(1))
            # Some file systems do not tell capitals apart.
            found[system, data] = next(name for name in names if name.casefold() not in taken)
            taken.add(found[system, data].casefold())
    return found
