"""Output folders that are either whole or not there: written aside, renamed when done."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tardif.errors import FolderError, SettingError
from tardif.exchange import exchange
from tardif.locks import hold, is_held

_LOG = logging.getLogger(__name__)

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


def check_output(path: Path, *, overwrite: bool, replaced: bool = True) -> Path:
    """Return ``path`` as an absolute one if a folder can be written there, before any work is done.

    Nothing is left behind: the nearest folder that exists is tried with a file without a name. A folder that
    a killed process had moved aside to replace it is put back first.

    Args:
        path: the folder.
        overwrite: it may hold something.
        replaced: another folder is to take its place, and it is not only written into.

    Raises:
        FolderError: the place is not writable, is a file, already holds something and ``overwrite`` is false, or
            cannot be replaced: a disk is mounted there, or another process writes there.
    """
    path = expanded(path).absolute()
    recover(path)
    _check_place(path, overwrite=overwrite)
    if replaced and os.path.ismount(real_place(path)):
        raise FolderError(f"{path} is where a disk is mounted, which cannot be replaced: give a folder below it.")
    if replaced and is_held(path):
        hold(path).release()  # says who has it; or it was only looked at
    return path


def _check_place(path: Path, *, overwrite: bool) -> None:
    """Raise unless a folder can be written at an absolute path."""
    place = real_place(path)
    if path.is_symlink() and not place.exists():
        raise FolderError(f"{path} is a link to {place}, which does not exist: make that folder, or remove the link.")
    try:
        if place.exists() and not place.is_dir():
            raise FolderError(f"{path} is a file: give a folder.")
        if place.is_dir() and any(place.iterdir()) and not overwrite:
            raise FolderError(f"{path} already exists: choose another place, or allow overwrite (--overwrite).")
    except OSError as error:
        raise FolderError(f"{path} cannot be read ({error.strerror}): choose another output folder.") from error
    _try_to_write(next(parent for parent in (*place.parents, place) if parent.exists()))


def _try_to_write(folder: Path) -> None:
    """Raise unless files can be made in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):  # it has no name that could be left behind
            pass
    except OSError as error:
        raise FolderError(f"{folder} cannot be written ({error.strerror}): choose another output folder.") from error


def expanded(path: str | Path) -> Path:
    """A path with the home folder in place of ``~``; one of a user whom nobody knows stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises there


def real_place(path: Path) -> Path:
    """Where a path leads: itself, or what it is a link to. What replaces it goes there, and the link stays."""
    return Path(os.path.realpath(path)) if path.is_symlink() or path.name == ".." else path


@contextmanager
def staged(path: Path, *, overwrite: bool = False, held: bool = False) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to write in; when the block ends well, it becomes ``path``.

    When the block raises, the folder is removed and ``path`` is as it was. An existing ``path`` is replaced only
    with ``overwrite``, as :func:`publish` does. Whenever the process is killed, the old folder or the new one is
    there whole, or the next call puts the old one back; what else it left is removed then.

    Args:
        path: the folder to be.
        overwrite: replace what is there.
        held: the caller, or the process that started it, holds ``path``.

    Raises:
        FolderError: as :func:`check_output`; or the folder could not be written.
    """
    path = expanded(path).absolute()
    with nullcontext() if held else holding(path, overwrite=overwrite):
        _check_place(path, overwrite=overwrite)  # again: who held it until now may have written it
        place = real_place(path)
        aside = name_aside(place, "partial")
        try:
            aside.mkdir(parents=True)
            yield aside
            publish(aside, place, replace=overwrite)
        except OSError as error:
            raise FolderError(f"{path} could not be written ({error.strerror or error}).") from error
        finally:
            remove(aside)


@contextmanager
def holding(path: Path, *, overwrite: bool, what: str = "") -> Iterator[None]:
    """Hold the place of an output folder, in order: nothing moved aside, nothing left by a killed process.

    Args:
        path: absolute.
        overwrite: what is there may be replaced.
        what: as for :func:`tardif.locks.hold`.

    Raises:
        FolderError: as :func:`check_output`.
    """
    check_output(path, overwrite=overwrite)
    with hold(path, what=what) as lock:
        _put_back(real_place(path))
        if lock.is_firm:
            sweep(real_place(path))
        yield


def name_aside(place: Path, kind: str) -> Path:
    """A new name beside a place: ``partial`` for what is not whole or not wanted, ``old`` for what is to be put back.

    Whoever uses it holds the place; :func:`sweep` takes what is left.
    """
    return place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.{kind}")


def _left(place: Path, kind: str) -> list[Path]:
    """What was named aside for a place, the newest last."""
    ours = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}\.{kind}")
    try:
        found = [path for path in place.parent.iterdir() if ours.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.lstat().st_mtime_ns)
    except OSError:
        return []


def sweep(place: Path) -> None:
    """Remove what a killed process left beside a place, which is held, and whose folder is there or is not missed."""
    for path in _left(place, "old"):
        _discard(path, place)
    for path in _left(place, "partial"):
        remove(path)


def _discard(old: Path, place: Path) -> None:
    """Remove what was moved aside for a place. Half of it must not be put back: it is not called old meanwhile."""
    gone = name_aside(place, "partial")
    with suppress(OSError):
        old.rename(gone)
        remove(gone)


def recover(path: Path) -> bool:
    """Put back the folder of a process that was killed between moving it aside and putting another in its place.

    Only where two names cannot be swapped in one step (:func:`tardif.exchange.exchange`) is there such a moment. A
    line on the log ``tardif.folders`` says so. Who opens a folder that is missing calls this, and looks again.

    Returns:
        Whether it is there again.
    """
    place = real_place(expanded(path).absolute())
    if os.path.lexists(place) or not _left(place, "old"):
        return False
    try:
        with hold(place, wait=0):
            return _put_back(place)
    except FolderError:  # it is being replaced just now
        return place.exists()


def _put_back(place: Path) -> bool:
    """Put back the newest folder that was moved aside, of a place that is held and empty."""
    left = _left(place, "old")
    if os.path.lexists(place) or not left:
        return False
    try:
        left[-1].rename(place)
    except OSError:
        return False
    _LOG.warning("%s was put back: a process was killed while it replaced it.", place)
    return True


def share(folder: Path) -> None:
    """Give every file and folder in a folder, and itself, the mode that the umask gives to new ones.

    Libraries that write through a temporary file leave files that nobody else can read: in a container, say. Locks
    keep their modes. Where modes cannot be changed, all is as it was.
    """
    if os.name == "nt":
        return
    with suppress(OSError):
        probe = name_aside(folder / "mode", "partial")
        probe.mkdir()  # os.umask cannot be asked without changing it, for other threads too
        mode = (stat.S_IMODE(probe.stat().st_mode) & 0o777) | stat.S_IRWXU
        probe.rmdir()
        for path in (folder, *folder.rglob("*")):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                _set_mode(path, status, mode)
            elif stat.S_ISREG(status.st_mode) and path.suffix != ".lock":
                _set_mode(path, status, mode & 0o666)


def _set_mode(path: Path, status: os.stat_result, mode: int) -> None:
    if stat.S_IMODE(status.st_mode) & 0o777 != mode:
        path.chmod((stat.S_IMODE(status.st_mode) & ~0o777) | mode)


def publish(aside: Path, path: Path, *, replace: bool = True) -> None:
    """Give the whole folder ``aside`` the name ``path``, which is held, and remove what was there.

    What is published can be read by whoever the umask lets read (:func:`share`); a folder that was there already keeps
    its own mode.
    Both are swapped in one step where that can be done. Elsewhere the old one is moved aside first, and a process
    killed between the two steps leaves it to be put back (:func:`recover`).

    Args:
        aside: beside ``path``.
        path: no link.
        replace: false raises where something is there.

    Raises:
        OSError: it could not be done; what was there still is.
    """
    share(aside)
    if path.exists():
        with suppress(OSError):
            shutil.copymode(path, aside)
    if not path.exists():
        aside.rename(path)
    elif not replace:
        path.rmdir()  # empty, when it was looked at
        aside.rename(path)
    elif exchange(aside, path):
        remove(aside)
    else:
        old = name_aside(path, "old")
        path.rename(old)
        try:
            aside.rename(path)
        except BaseException:
            if not os.path.lexists(path):
                old.rename(path)
            raise
        _discard(old, path)


def remove(path: Path) -> None:
    """Remove a folder, a file or a link, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def check_file(path: Path) -> None:
    """Raise if :func:`write_output` cannot write a file, before any work is done.

    Raises:
        FolderError: it is a folder, or cannot be written.
    """
    path = expanded(path).absolute()
    if path.is_dir():
        raise FolderError(f"{path} is a folder: give a file.")
    if not _is_stream(path):
        _try_to_write(next(parent for parent in real_place(path).parents if parent.exists()))


def _is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device or the like, which cannot be replaced."""
    device = path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")  # that is memory for files
    return device or (path.exists() and not path.is_file())


def write_output(path: Path, text: str) -> None:
    """Write a file that a person has named, whole or not at all.

    A link is followed and stays. What is no regular file (a pipe, a device) is written to as it is.

    Raises:
        FolderError: it is a folder, another process writes it, or it cannot be written.
    """
    path = expanded(path).absolute()
    try:
        if path.is_dir():
            raise FolderError(f"{path} is a folder: give a file.")
        if _is_stream(path):
            path.write_text(text, encoding="utf-8")
            return
        place = real_place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        with hold(place, what=f"{path} is being written") as lock:
            if lock.is_firm:
                sweep(place)
            with replacing(place) as file:
                file.write(text.encode("utf-8"))
                with suppress(OSError):
                    shutil.copymode(place, file.name)  # the user may have closed the file to others
    except OSError as error:
        raise FolderError(f"{path} cannot be written ({error.strerror or error}).") from error


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write beside ``path``. When the block ends well, the file takes the name ``path``.

    Args:
        path: the file to be; no link.
        durable: wait until the bytes and the name are on the disk, so that a power cut cannot undo them.

    Raises:
        OSError: the file cannot be written. What was at ``path`` is unchanged.
    """
    aside = name_aside(path, "partial")
    try:
        with aside.open("wb") as file:
            yield file
        if durable:
            sync(aside)
        aside.replace(path)
        if durable:
            sync(path.parent)
    finally:
        remove(aside)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    with suppress(PermissionError):  # Windows opens no folders; it journals the renaming itself
        handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable UTF-8 JSON, whole or not at all. A link is followed and stays."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with replacing(real_place(path)) as file:
        file.write(text.encode("utf-8"))


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
        if recover(path.parent):
            return read_json(path, what=what)
        raise FolderError(f"{path.parent} is not {what}: it has no {path.name}.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FolderError(f"{path} cannot be read ({why}): {what} is damaged.") from error
