"""The files of an index's segments: written aside, published by a rename, and removed when nothing refers to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tardif.folders import sync
from tardif.index.codebooks import IDENTITY
from tardif.index.segment import SUFFIX, living_name
from tardif.locks import hold, is_held

# The suffix of a file that is being written, or was when its process was killed.
_ASIDE = ".partial"


class SegmentFiles:
    """The folder of an index's segments.

    Args:
        folder: ``segments`` in the index's folder.
        identity: of the index: its segments' names begin with it.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self._prefix = folder, identity[:IDENTITY]

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """Give the path of a new file. It is removed when the block ends, unless it was published.

        It is locked meanwhile, so that another process does not sweep it.
        """
        path = self._folder / f"{os.urandom(6).hex()}{_ASIDE}"
        with hold(path):
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def publish(self, aside: Path, serial: int) -> str:
        """Give a finished file its name as a living segment, and return the name."""
        name = living_name(self._prefix, serial, aside)
        aside.replace(self._folder / name)
        sync(self._folder)
        return name

    def sweep(self, living: set[str]) -> None:
        """Remove the files that are no living segments: left by a compaction or a killed process.

        Call it at the beginning of a transaction: the files that the transaction itself replaces must stay until it is
        committed. If another index was just put in this one's place, its files are left alone.
        """
        for found in self._folder.iterdir():
            # A lock without its file, which was never made or is gone: is_held() removes it.
            is_lock = found.name.endswith(f"{_ASIDE}.lock")
            path = found.with_name(found.name[1 : -len(".lock")]) if is_lock else found
            is_ours = path.suffix == SUFFIX and path.name.startswith(f"{self._prefix}-")
            if (is_ours and path.name not in living) or (path.suffix == _ASIDE and not is_held(path)):
                with contextlib.suppress(OSError):  # on Windows, while another process has it open
                    path.unlink()
