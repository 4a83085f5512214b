"""Folders on their way to other nodes: files in pieces through Ray's object store, compared by their checksums.

A worker on the machine that the folder is on reads it where it is. Elsewhere the workers of a node share one copy in
the temporary folder, which the next one removes when nobody uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.errors import FolderError, reason
from tardif.folders import remove, writable
from tardif.locks import hold, is_held

# Bytes of a piece: some fit into the smallest object store.
PIECE = 8 << 20
# Seconds that a worker waits while another one of its node makes the copy.
_PATIENCE = 3600.0


@dataclass(frozen=True)
class ShippedFile:
    """A file: its path within the folder, its checksum (SHA-256), and references to its pieces."""

    path: str
    checksum: str
    pieces: tuple[Any, ...]


@dataclass(frozen=True)
class Shipment:
    """A folder that workers open, wherever they are.

    Attributes:
        folder: its place on this machine.
        place: what tells this machine's folder from others of the same name (:func:`place_of`).
        files: in the order of their paths; empty until :func:`ship` has put them into the object store.
    """

    folder: str
    place: str
    files: tuple[ShippedFile, ...]

    @property
    def checksum(self) -> str:
        """A checksum of all names and contents."""
        return hashlib.sha256("".join(f"{file.path}\0{file.checksum}\0" for file in self.files).encode()).hexdigest()

    @property
    def is_here(self) -> bool:
        """Whether this machine has the folder itself."""
        return place_of(Path(self.folder)) == self.place


def ship(folder: Path, paths: Iterable[Path] | None = None) -> Shipment:
    """Put a folder's files into the object store. They stay there as long as this process keeps the shipment.

    Args:
        folder: the folder.
        paths: the files, by default all.

    Raises:
        FolderError: a file cannot be read.
    """
    folder = folder.absolute()
    found = sorted(path for path in (folder.rglob("*") if paths is None else paths) if path.is_file())
    return Shipment(str(folder), place_of(folder), tuple(_put(folder, path) for path in found))


def _put(folder: Path, path: Path) -> ShippedFile:
    import ray

    digest, pieces = hashlib.sha256(), []
    for piece in pieces_of(path):
        digest.update(piece)
        pieces.append(ray.put(piece))
    return ShippedFile(path.relative_to(folder).as_posix(), digest.hexdigest(), tuple(pieces))


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file in pieces.

    Raises:
        FolderError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise FolderError(f"{path} cannot be read ({reason(error)}).") from error


def place_of(folder: Path) -> str:
    """The machine, file system and number of a folder; empty if there is none."""
    try:
        found = folder.stat()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip() if os.name == "posix" else ""
    except OSError:
        return ""
    return f"{boot}:{found.st_dev}:{found.st_ino}"


@contextlib.contextmanager
def received(shipment: Shipment) -> Iterator[Path]:
    """Give the folder of a shipment on this machine: itself, or a copy that lasts as long as somebody uses it.

    Raises:
        FolderError: the copy cannot be written, or is not what was sent.
    """
    if shipment.is_here:
        yield Path(shipment.folder)
        return
    home = Path(tempfile.gettempdir()) / f"tardif-shipped-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    with writable(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = home / shipment.checksum
    with hold(home / "arrivals", what=f"A folder is being received in {home}", wait=_PATIENCE):
        # The use is held first: the next arrival then leaves the copy alone, however this process ends.
        use = hold(home / f"{copy.name}.use-{os.getpid()}-{id(shipment)}")
        _sweep(home)
        if not copy.exists():
            unpack(shipment, copy)
    with use:
        yield copy


def unpack(shipment: Shipment, copy: Path) -> None:
    """Write the files of a shipment to a folder, whole or not at all.

    Raises:
        FolderError: it cannot be written, or a file is not what was sent.
    """
    import ray

    aside = copy.with_name(f"{copy.name}.partial-{os.getpid()}")
    try:
        with writable(aside):
            for file in shipment.files:
                path, digest = aside / file.path, hashlib.sha256()
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    for piece in file.pieces:  # one at a time: memory holds no whole file
                        content = ray.get(piece)
                        digest.update(content)
                        out.write(content)
                if digest.hexdigest() != file.checksum:
                    raise FolderError(f"{file.path} of {shipment.folder} was damaged on its way: start again.")
            aside.rename(copy)
    finally:
        remove(aside)


def _sweep(home: Path) -> None:
    """Remove the copies that nobody uses. The caller holds the folder's lock, so no copy is about to be used."""
    for copy in home.iterdir():
        uses = [home / file.name[1 : -len(".lock")] for file in home.glob(f".{copy.name}.use-*.lock")]
        if copy.is_dir() and not any(map(is_held, uses)):
            remove(copy)
