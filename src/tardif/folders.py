"""Output folders that are either whole or not there: written aside, renamed when done."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tardif.errors import FolderError, SettingError

LARGEST_JSON = 1 << 28
"""Bytes that a JSON file of ours may hold: far above any that Tardif writes, far below what fills a memory."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """Return ``name`` if it can be the name of a checkpoint folder on every system.

    Raises:
        SettingError: it is empty, over 100 characters, or holds a slash or another unsafe character.
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name) or name.endswith("."):
        raise SettingError(
            f"The name {name!r} cannot name a folder: use letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit (the folder it goes into is a setting of its own: out)."
        )
    return name


def check_output(path: Path, *, overwrite: bool) -> Path:
    """Return ``path`` as an absolute one if a folder can be written there, before any work is done.

    Nothing is left behind: the nearest folder that exists is tried with a file that is removed again.

    Raises:
        FolderError: the place is not writable, is a file, or already holds something and
            ``overwrite`` is false.
    """
    path = Path(path).expanduser().absolute()
    if path.is_file():
        raise FolderError(f"{path} is a file: give a folder.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise FolderError(f"{path} already exists: choose another place, or allow overwrite (--overwrite).")
    nearest = next(parent for parent in path.parents if parent.exists())
    probe = nearest / f".{uuid.uuid4().hex}.probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FolderError(f"{nearest} cannot be written ({error.strerror}): choose another output folder.") from error
    return path


@contextmanager
def staged(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to write in; when the block ends well, it becomes ``path``.

    When the block raises, the folder is removed and ``path`` is as it was. An existing ``path`` is
    replaced only with ``overwrite``; it is moved aside first, so that a whole folder stands there
    at every moment but the one between two renames.
    """
    path = check_output(path, overwrite=overwrite)
    _sweep(path)
    aside = path.parent / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
    try:
        aside.mkdir(parents=True)
        yield aside
        publish(aside, path)
    except OSError as error:
        raise FolderError(f"{path} could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what a killed process left beside ``path``; a living one's folder stays."""
    import psutil

    for left in path.parent.glob(f".{glob.escape(path.name)}.*-*.partial"):
        owner = left.name.removeprefix(f".{path.name}.").partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def publish(aside: Path, path: Path) -> None:
    """Rename the whole folder ``aside`` to ``path``, replacing what stood there."""
    if path.exists():
        old = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.old"
        path.rename(old)
        aside.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable UTF-8 JSON, whole or not at all."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    aside.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n", encoding="utf-8")
    aside.replace(path)


def is_regular(path: Path) -> bool:
    """Whether a path, or what it links to, is a file that can be read to its end: no pipe, device or folder.

    Raises:
        OSError: there is nothing.
    """
    return stat.S_ISREG(path.stat().st_mode)


def read_bounded(path: Path, most: int = LARGEST_JSON) -> bytes:
    """Read a regular file of at most ``most`` bytes; nothing else can make the caller wait, or fill the memory.

    Raises:
        OSError: it is missing, no regular file (a pipe, a device, a folder), or larger.
    """
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        data = bytearray()
        while len(data) <= most and (block := os.read(handle, 1 << 20)):
            data += block
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
        return bytes(data)
    finally:
        os.close(handle)


def parse_json(data: bytes) -> Any:
    """The value of a JSON document in UTF-8.

    Raises:
        ValueError: it is damaged, or nested deeper than any file that means something.
    """
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file that Tardif wrote.

    Raises:
        FolderError: it is missing, no regular file or not JSON; ``what`` names the thing the folder should hold.
    """
    try:
        return parse_json(read_bounded(path))
    except FileNotFoundError:
        raise FolderError(f"{path.parent} is not {what}: it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FolderError(f"{path} cannot be read ({why}): {what} is damaged.") from error


OWNER = "owner.json"
"""Says which process works in a folder."""


def own(folder: Path) -> None:
    """Note that this process works in a folder."""
    import psutil

    process = psutil.Process()
    write_json(folder / OWNER, {"process": process.pid, "since": process.create_time()})


def owner_of(folder: Path) -> int | None:
    """The number of another process that works in a folder and lives."""
    import psutil

    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        process, since = int(owner["process"]), float(owner["since"])
        # A number may have been given to another process since: the start tells.
        lives = process != os.getpid() and abs(psutil.Process(process).create_time() - since) < 1
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if lives else None
