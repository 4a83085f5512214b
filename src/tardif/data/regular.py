"""Regular files that a user names or a folder holds, opened without waiting."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from tardif.checks import shown
from tardif.errors import DataError

_opened: ContextVar[set[Path] | None] = ContextVar("opened", default=None)


@contextmanager
def noting_opened(found: set[Path] | None) -> Iterator[None]:
    """Add the path of each file that is opened in the block to a set; None adds none, for a look at a file.

    What was read is known only here: each format reads other files of a folder.
    """
    token = _opened.set(found)
    try:
        yield
    finally:
        _opened.reset(token)


def note_opened(path: Path) -> None:
    """Note a file that a library opens by itself."""
    if (found := _opened.get()) is not None:
        found.add(path)


def user_path(source: str | Path) -> Path:
    """Expand ``~`` in a path.

    Raises:
        DataError: it names the folder of an unknown user.
    """
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise DataError(f"{shown(str(source))} cannot be found ({error}): write the path out.") from None


def is_folder(path: Path) -> bool:
    """Whether a path is a folder.

    Raises:
        DataError: it cannot be looked at, or is longer than a path can be: a text in the place of one, say.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(f"{shown(str(path))} is no path of a file or folder ({error.strerror}).") from None


def check_regular(path: Path) -> os.stat_result:
    """Refuse everything but a regular file; returns its status.

    Pipes and devices are refused: a file is read more than once, and one without an end or a writer would block.

    Raises:
        DataError: it is missing, a folder, a pipe, a device or a socket, or cannot be looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("no such file: check the path.", path) from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error}).", path) from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError("is a folder: give a file.", path)
    if not stat.S_ISREG(found.st_mode):
        raise DataError("is a pipe or device: write it to a file first.", path)
    return found


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file to read. This never blocks, even if a pipe has just taken the place of the file.

    Raises:
        DataError: as for :func:`check_regular`.
        OSError: it cannot be opened.
    """
    check_regular(path)
    # The check and the opening are two steps: a pipe may take the file's place between them. O_NONBLOCK opens it
    # without waiting for a writer, and the second check sees it.
    without_waiting = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda path, flags: os.open(path, flags | without_waiting))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DataError("is a pipe or device: write it to a file first.", path)
    note_opened(path)
    return file
