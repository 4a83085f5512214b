"""Output folders and files that are either complete or absent: written aside, then renamed.

A folder is written under a name of its own beside its place, ``.NAME.RANDOM.partial``. When it is complete, it swaps
names with what was there. A process that is killed leaves the old folder or the new one; the next writer removes the
rest.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tardif.errors import FolderError, SettingError, reason
from tardif.escaping import visible
from tardif.exchange import exchange
from tardif.file_reading import parse_json, read_bounded
from tardif.locks import hold, is_held

_LOG = logging.getLogger(__name__)

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Files that say that Tardif made the folder they are in: JSON with a format of Tardif's. The last one is for folders
# that other tools read, which have no other place for it.
_MARK = ".tardif.json"
_MARKS = ("manifest.json", "shards.json", "checksums.json", "encoder.json", "run.json", "tardif.json", _MARK)
# Names of a folder's files that a message has.
_NAMED = 3
_ASIDE = re.compile(r"\..+\.[0-9a-f]{8}\.(partial|old)", re.DOTALL)


def check_name(name: str) -> str:
    """Return ``name`` if a checkpoint folder can have it on every system.

    Raises:
        SettingError: it is empty, over 100 characters, or has a slash or another unsafe character.

    >>> check_name("support-2024")
    'support-2024'
    """
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name) or name.endswith("."):
        raise SettingError(
            f"The name {name!r} cannot name a folder: use letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit (the folder it goes into is a setting of its own: out)."
        )
    return name


def check_output(path: Path, *, overwrite: bool, replaced: bool = True, read: Iterable[Any] = ()) -> Path:
    """Check that a folder can be written, before any work is done, and return its absolute path.

    The check leaves nothing behind: it opens an unnamed file in the nearest folder that exists. A folder that a killed
    process had moved aside is put back first.

    Args:
        path: the folder.
        overwrite: allow a folder that is not empty.
        replaced: a new folder will take its place, rather than be written into it.
        read: all that the call reads. A folder that is, or holds, a path among it is never replaced.

    Raises:
        FolderError: the folder is not writable; it is a file; it is not empty and ``overwrite`` is false; or it cannot
            be replaced, because Tardif did not make it, it holds what is read, a disk is mounted there, the working
            folder is it or in it, or another process writes there.
    """
    path = expanded(path).absolute()
    recover(path)
    check_place(path, overwrite=overwrite, replaced=replaced)
    for source in read:
        if isinstance(source, str | Path) and _is_inside(source, path):
            raise FolderError(f"{path} would be replaced, and {source} is read here: give another folder.")
    if replaced and os.path.ismount(real_place(path)):
        raise FolderError(f"{path} is where a disk is mounted, which cannot be replaced: give a folder below it.")
    if replaced and is_held(path):
        hold(path).release()  # raises with the holder's name, unless the lock was free again
    return path


def _is_inside(source: str | Path, folder: Path) -> bool:
    """Whether a path exists, and is a folder or lies in it."""
    try:
        return expanded(source).resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # no such file, or no path at all
        return False


def check_place(path: Path, *, overwrite: bool, replaced: bool = True) -> None:
    """Raise a FolderError unless a folder can be written at an absolute path, as :func:`check_output` does."""
    place = real_place(path)
    if path.is_symlink() and not place.exists():
        raise FolderError(f"{path} is a link to {place}, which does not exist: make that folder, or remove the link.")
    try:
        if place.exists() and not place.is_dir():
            raise FolderError(f"{path} is a file: give a folder.")
        if place.is_dir() and (held := _first_names(place)):
            # First, so that nobody is told to overwrite what is not Tardif's.
            if replaced and not is_made_here(place):
                raise FolderError(
                    f"{path} holds {held}, and nothing in it says that Tardif made it, so it is not replaced: "
                    "choose another place, or remove that folder yourself if nothing in it is needed."
                )
            if not overwrite:
                raise FolderError(f"{path} already exists: choose another place, or allow overwrite (--overwrite).")
        if replaced and place.is_dir() and Path.cwd().is_relative_to(place.resolve()):
            raise FolderError(
                f"{path} is the folder that you are in, or holds it, and would be replaced: choose a folder below it, "
                "or call this from elsewhere."
            )
    except OSError as error:
        raise FolderError(f"{path} cannot be read ({error.strerror}): choose another output folder.") from error
    _try_to_write(next(parent for parent in (*place.parents, place) if parent.exists()))


def _first_names(folder: Path) -> str:
    """The first names in a folder, for a message; empty if it has none."""
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(map(visible, names[:_NAMED]))}{more}" if names else ""


def is_made_here(folder: Path) -> bool:
    """Whether Tardif made a folder: a set, a model, an index, an export or the evidence of a report.

    >>> with tempfile.TemporaryDirectory() as home:
    ...     before = is_made_here(Path(home))
    ...     mark(Path(home), "export")
    ...     before, is_made_here(Path(home))
    (False, True)
    """
    for name in _MARKS:
        with suppress(OSError, ValueError):
            found = parse_json(read_bounded(folder / name))
            if isinstance(found, dict) and str(found.get("format")).startswith("tardif-"):
                return True
    return False


def mark(folder: Path, what: str) -> None:
    """Say in a folder that Tardif made it, where no other file of it does."""
    write_json(folder / _MARK, {"format": f"tardif-{what}", "version": 1})


def _try_to_write(folder: Path) -> None:
    """Raise a FolderError unless files can be created in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):  # it has no name, so nothing can be left behind
            pass
    except OSError as error:
        raise FolderError(f"{folder} cannot be written ({error.strerror}): choose another output folder.") from error


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` replaced by the home folder. The ``~name`` of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises for an unknown user


def real_place(path: Path) -> Path:
    """Return the target of a link, or the path itself. A new folder replaces the target, and the link stays."""
    return Path(os.path.realpath(path)) if path.is_symlink() or path.name == ".." else path


@contextmanager
def staged(path: Path, *, overwrite: bool = False, held: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` to write in. When the block ends without an error, it becomes ``path``.

    If the block raises, the folder is removed and ``path`` is unchanged. If the process is killed at any moment, the
    old folder or the new one is complete, or the next call puts the old one back. That call also removes the rest.

    Args:
        path: the folder to write.
        overwrite: replace an existing folder, as :func:`publish` does.
        held: the caller, or the process that started it, already holds the lock of ``path``.

    Raises:
        FolderError: see :func:`check_output`; or the folder could not be written.

    >>> with tempfile.TemporaryDirectory() as home:
    ...     with staged(Path(home, "model")) as folder:
    ...         _ = (folder / "config.json").write_text("{}")
    ...     sorted(path.name for path in Path(home).rglob("*"))
    ['config.json', 'model']
    """
    path = expanded(path).absolute()
    with nullcontext() if held else holding(path, overwrite=overwrite):
        check_place(path, overwrite=overwrite)  # again: the last holder may have written it
        place = real_place(path)
        aside = name_aside(place, "partial")
        try:
            aside.mkdir(parents=True)
            yield aside
            check_place(path, overwrite=overwrite)  # and again: the block may have taken hours
            publish(aside, place, replace=overwrite)
        except OSError as error:
            raise FolderError(f"{path} could not be written ({_culprit(error, aside)}{reason(error)}).") from error
        finally:
            remove(aside)


def _culprit(error: OSError, folder: Path) -> str:
    """The file of an error, to come before its reason, where that is none inside ``folder``; else empty."""
    named = error.filename
    if not isinstance(named, str | os.PathLike) or Path(named).is_relative_to(folder):
        return ""
    return f"{named}: "


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into one that names ``path``.

    Raises:
        FolderError: the path could not be written.
    """
    try:
        yield
    except OSError as error:
        raise FolderError(f"{path} could not be written ({reason(error)}).") from error


@contextmanager
def holding(path: Path, *, overwrite: bool, what: str = "") -> Iterator[None]:
    """Hold the lock of an output folder, after undoing what a killed process left there.

    Args:
        path: the folder's absolute path.
        overwrite: allow a folder that is not empty.
        what: see :func:`tardif.locks.hold`.

    Raises:
        FolderError: see :func:`check_output`.
    """
    check_output(path, overwrite=overwrite)
    with hold(path, what=what) as lock:
        _put_back(real_place(path))
        if lock.is_firm:
            sweep(real_place(path))
        yield


def name_aside(place: Path, kind: str) -> Path:
    """Return a new name beside a path.

    ``partial`` marks what is incomplete or no longer wanted, ``old`` what must be put back. The caller holds the
    path's lock, and :func:`sweep` removes what is left over.
    """
    return place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.{kind}")


def is_aside(name: str) -> bool:
    """Whether a file's name is one that :func:`name_aside` gives: it is being written, or was left by a killed process.

    >>> is_aside(".set.0123abcd.partial"), is_aside(".partial")
    (True, False)
    """
    return _ASIDE.fullmatch(name) is not None


def _left(place: Path, kind: str) -> list[Path]:
    """Return what a killed process left beside a path under :func:`name_aside`, the newest last."""
    ours = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}\.{kind}")
    try:
        found = [path for path in place.parent.iterdir() if ours.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.lstat().st_mtime_ns)
    except OSError:
        return []


def sweep(place: Path) -> None:
    """Remove what a killed process left beside a path. The caller holds its lock and needs no folder put back."""
    for path in _left(place, "old"):
        _discard(path, place)
    for path in _left(place, "partial"):
        remove(path)


def _discard(old: Path, place: Path) -> None:
    """Remove an ``old`` folder. It is renamed first, so that a killed removal is never put back half empty."""
    gone = name_aside(place, "partial")
    with suppress(OSError):
        old.rename(gone)
        remove(gone)


def recover(path: Path) -> bool:
    """Put back a folder if a process was killed between moving it aside and putting the new one in its place.

    That moment exists only where names cannot be swapped in one step (:func:`tardif.exchange.exchange`). A warning goes
    to the logger ``tardif.folders``. A reader that misses a folder calls this, and then looks again.

    Returns:
        Whether the folder is there again.
    """
    place = real_place(expanded(path).absolute())
    if os.path.lexists(place) or not _left(place, "old"):
        return False
    try:
        with hold(place, wait=0):
            return _put_back(place)
    except FolderError:  # another process is replacing it now
        return place.exists()


def _put_back(place: Path) -> bool:
    """Put back the newest folder that was moved aside. The caller holds the path's lock."""
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
    """Give a folder and everything in it the mode that the umask gives to new files.

    Libraries that write through a temporary file leave files that only their owner can read, which breaks a container
    with another user. Lock files keep their modes. Where modes cannot be changed, nothing changes.
    """
    if os.name == "nt":
        return
    with suppress(OSError):
        probe = name_aside(folder / "mode", "partial")
        probe.mkdir()  # os.umask can only be read by changing it, which affects other threads
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
    """Give the complete folder ``aside`` the name ``path``, and remove what was there. The caller holds its lock.

    The new folder is readable as the umask allows (:func:`share`), or has the mode of the folder that it replaces.
    Names are swapped in one step where the system can. Elsewhere the old folder is moved aside first; if the process is
    killed in between, :func:`recover` puts it back.

    Args:
        aside: a folder beside ``path``.
        path: the final path, not a link.
        replace: allow a folder that is not empty there.

    Raises:
        OSError: it failed. What was at ``path`` still is.
    """
    share(aside)
    if path.exists():
        with suppress(OSError):
            shutil.copymode(path, aside)
    if not path.exists():
        aside.rename(path)
    elif not replace:
        path.rmdir()  # it was empty when it was checked; raises if it no longer is
        aside.rename(path)
    elif exchange(aside, path):
        remove(aside)  # it is the old folder now
    else:
        # Here a moment without any folder at path is unavoidable. The name "old" lets recover() put it back.
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
    """Remove a folder, a file or a link, and ignore what cannot be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def check_file(path: Path, *, read: Iterable[Any] = (), overwrite: bool = True) -> None:
    """Check that :func:`write_output` can write a file, before any work is done.

    Args:
        path: the file.
        read: all that the call reads. Paths of files and folders among it are never written over, whatever
            ``overwrite`` says; ids, rows and the like are passed over.
        overwrite: allow a file that exists and is not empty.

    Raises:
        FolderError: the path is a folder, cannot be written, or holds what must not be lost.
    """
    path = expanded(path).absolute()
    if path.is_dir():
        raise FolderError(f"{path} is a folder: give a file.")
    if _is_stream(path):
        return
    for source in read:
        if isinstance(source, str | Path) and _holds(source, path):
            raise FolderError(f"{path} would be written over, and {source} is read here: give another file.")
    if not overwrite and path.exists() and path.stat().st_size:
        raise FolderError(f"{path} already exists: choose another file, or allow overwrite (--overwrite).")
    _try_to_write(next(parent for parent in real_place(path).parents if parent.exists()))


def _holds(source: str | Path, file: Path) -> bool:
    """Whether a file that exists is ``source``, or lies in that folder, by any name: a link may lead to it."""
    try:
        ours, place = file.stat(), expanded(source)
        if os.path.samestat(ours, place.stat()):
            return True
        if not place.is_dir():
            return False
        names = (os.path.join(home, name) for home, _, files in os.walk(place) for name in files)  # noqa: PTH118  fast
        return file.resolve().is_relative_to(place.resolve()) or any(_is(ours, name) for name in names)
    except (OSError, ValueError):  # no such file, or no path at all
        return False


def _is(ours: os.stat_result, name: str) -> bool:
    with suppress(OSError):
        return os.path.samestat(ours, os.stat(name))  # noqa: PTH116
    return False


def _is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a device or the like, which cannot be replaced."""
    device = path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")  # /dev/shm is memory for files
    return device or (path.exists() and not path.is_file())


def write_output(path: Path, text: str | Iterable[str]) -> None:
    """Write a file that the user has named, completely or not at all.

    A link is followed and stays. A pipe or a device is written to as it is. A long text may come in parts, which are
    written one after the other.

    Raises:
        FolderError: the path is a folder, another process writes it, or it cannot be written.
    """
    path = expanded(path).absolute()
    parts = [text] if isinstance(text, str) else text
    try:
        if path.is_dir():
            raise FolderError(f"{path} is a folder: give a file.")
        if _is_stream(path):
            with path.open("w", encoding="utf-8") as stream:
                stream.writelines(parts)
            return
        place = real_place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        with hold(place, what=f"{path} is being written") as lock:
            if lock.is_firm:
                sweep(place)
            with replacing(place) as file:
                file.writelines(part.encode("utf-8") for part in parts)
                with suppress(OSError):
                    shutil.copymode(place, file.name)  # the user may have closed the file to others
    except OSError as error:
        raise FolderError(f"{path} cannot be written ({reason(error)}).") from error


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


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write a value as UTF-8 JSON, completely or not at all: indented, or (None) on one line. A link is followed and
    stays."""
    text = json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
    with replacing(real_place(path)) as file:
        # The name of a file may hold what UTF-8 has no bytes for. In a string JSON has the same escape for it.
        file.write(text.encode("utf-8", "backslashreplace"))


def read_json(path: Path, *, what: str) -> Any:
    """Read a JSON file that Tardif wrote.

    Raises:
        FolderError: the file is missing, not regular or not JSON. ``what`` names what the folder should hold.
    """
    try:
        return parse_json(read_bounded(path))
    except FileNotFoundError:
        if recover(path.parent):
            return read_json(path, what=what)
        raise FolderError(f"{path.parent} is not {what}: it has no {path.name}.") from None
    except NotADirectoryError:
        raise FolderError(f"{path.parent} is a file: give the folder of {what}.") from None
    except (OSError, ValueError) as error:
        raise FolderError(f"{path} cannot be read ({reason(error)}): {what} is damaged.") from error
