"""Copies of a run's work folder on nodes that do not see rank 0's file system.

Rank 0 writes the work folder (:mod:`tardif.training.run_folder`). The other processes read in it: the weights that
training began with, and the checkpoint to resume from. Where nodes share no file system, one process of each node keeps
a copy of it, under its own output folder. So a run can be resumed with the nodes that are left, whichever was lost.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.errors import FolderError
from tardif.folders import real_place, remove, replacing, writable
from tardif.training.checkpoints import write_whole
from tardif.training.distributed import ProcessGroup
from tardif.training.run_folder import RunFolder, step_of
from tardif.training.whole import MARK, is_whole

# A part of a file, as it is sent: what a process holds of it at a time.
_PART_BYTES = 1 << 24
_FOLDER = re.compile(r"start|(best|negatives|step)-\d+")
# The record names what a run was started with; the log is a record for people.
_FILES = ("run.json", "log.jsonl")


@dataclass(frozen=True)
class Replicas:
    """The work folders of a run.

    Attributes:
        group: the processes that train together.
        folder: this process's work folder.
        leaders: for each rank, the rank that writes the work folder that it sees. All zeros: there is one folder.
    """

    group: ProcessGroup
    folder: RunFolder
    leaders: Sequence[int] = field(default=(0,))

    @classmethod
    def find(cls, group: ProcessGroup, folder: RunFolder) -> Replicas:
        """Find out which processes see the same output folder. Every process must call it.

        Raises:
            FolderError: one of them cannot write its output folder.
        """
        if group.size == 1:
            return cls(group, folder)
        place = real_place(folder.output)
        names = group.on_main(lambda: [uuid.uuid4().hex[:8] for _ in range(group.size)])
        # Names of folders.name_aside: what a killed process leaves, the next writer removes.
        tokens = [place.with_name(f".{place.name}.{name}.partial") for name in names]
        own = tokens[group.rank]

        def show() -> None:
            with writable(own):
                own.parent.mkdir(parents=True, exist_ok=True)
                own.touch()

        try:
            group.gather_made(show)
            leader = next((rank for rank, token in enumerate(tokens) if token.exists()), group.rank)
            leaders = group.gather_everywhere(leader)
        finally:
            with suppress(OSError):  # where it could not be written
                own.unlink()
        return cls(group, folder, leaders)

    @property
    def is_leader(self) -> bool:
        """Whether this process writes a work folder: rank 0 does, and one process on each node that sees another."""
        return self.leaders[self.group.rank] == self.group.rank

    @property
    def _others(self) -> list[int]:
        return sorted({*self.leaders} - {0})

    def check_newest(self) -> None:
        """Refuse to resume where another node has a later checkpoint than rank 0's. Every process must call it.

        Raises:
            FolderError: one has.
        """
        chosen = self.folder.chosen if self.is_leader else None
        steps = self.group.gather(0 if chosen is None else step_of(chosen))

        def check() -> None:
            newest = max(steps)
            if newest > steps[0]:
                raise FolderError(
                    f"Process {steps.index(newest)} has a checkpoint of step {newest} of this run, and process 0 of "
                    f"step {steps[0]}: start it with that node as the first (rank 0), or remove its work folder."
                )

        self.group.on_main(check)

    def update(self) -> None:
        """Bring all copies to the state of rank 0's folder. Every process must call it.

        Raises:
            FolderError: a copy could not be written.
        """
        if not self._others:
            return

        def bring() -> None:
            if self.group.is_main:
                self._send()
            elif self.is_leader:
                self._receive()

        self.group.gather_made(bring)

    def _send(self) -> None:
        """Send each copy what it lacks."""
        # A checkpoint comes last: before it is there, all that it names is.
        folders = {path.name: _mark(path) for path in sorted(_folders(self.folder)) if is_whole(path)}
        files = {name: (self.folder.path / name).read_bytes() for name in _FILES if (self.folder.path / name).exists()}
        for rank in self._others:
            has = self.group.receive(rank)
            lacking = [name for name, mark in folders.items() if has.get(name) != mark]
            self.group.send((list(folders), lacking, files), rank)
            for name in lacking:
                self._send_folder(self.folder.path / name, rank)

    def _send_folder(self, folder: Path, rank: int) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
        self.group.send(sizes, rank)
        for path, size in zip(paths, sizes.values(), strict=True):
            with path.open("rb") as file:
                for _ in range(0, size, _PART_BYTES):
                    self.group.send(file.read(_PART_BYTES), rank)

    def _receive(self) -> None:
        """Write what rank 0 has and this folder lacks; remove what rank 0 has not."""
        self.group.send({path.name: _mark(path) for path in _folders(self.folder) if is_whole(path)}, 0)
        names, lacking, files = self.group.receive(0)
        problems = [problem for name in lacking if (problem := self._receive_folder(self.folder.path / name))]
        if problems:
            raise FolderError(problems[0])
        with writable(self.folder.path):
            for name, content in files.items():
                with replacing(self.folder.path / name) as file:
                    file.write(content)
        for path in _folders(self.folder):
            if path.name not in names:
                remove(path)

    def _receive_folder(self, folder: Path) -> str:
        """Write one folder, whole or not at all; return what went wrong."""
        sizes: dict[str, int] = self.group.receive(0)
        parts = self._parts(sizes)
        try:
            write_whole(folder, lambda aside: _fill(aside, sizes, parts))
        except FolderError as error:
            for _ in parts:  # rank 0 sends the rest all the same
                pass
            return str(error)
        return ""

    def _parts(self, sizes: dict[str, int]) -> Iterator[bytes]:
        for size in sizes.values():
            for _ in range(0, size, _PART_BYTES):
                yield self.group.receive(0)


def _folders(folder: RunFolder) -> list[Path]:
    return [path for path in folder.path.iterdir() if _FOLDER.fullmatch(path.name)] if folder.path.is_dir() else []


def _mark(folder: Path) -> Any:
    return (folder / MARK).read_bytes()


def _fill(aside: Path, sizes: dict[str, int], parts: Iterator[bytes]) -> None:
    for name, size in sizes.items():
        path = aside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for _ in range(0, size, _PART_BYTES):
                file.write(next(parts))
