"""Locks on paths, so that one process at a time works there: file locks of the operating system.

The lock is on a file beside the path. The system releases it when the holder ends, however it ends. No process number
or clock is involved, so containers that share a volume see each other's locks. A forked child does not share its
parent's lock, so it cannot keep a dead parent's lock alive.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tardif.errors import FolderError
from tardif.file_reading import parse_json, read_bounded

if TYPE_CHECKING:
    from filelock import FileLock

_LOG = logging.getLogger(__name__)
# The errors of file systems without locks: network mounts without a lock service, some in user space.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
# Seconds to wait for a lock. is_held takes a lock for a moment, and hold must wait that out.
_PATIENCE = 0.5
# Bytes that are read of a lock file.
_MOST_READ = 1000


class Lock:
    """A lock that is held. Call :meth:`release`, or use it in a ``with`` statement.

    Attributes:
        path: the path that it guards.
        is_firm: whether it keeps others away. False on a file system without locks, where holding it proves nothing.
    """

    def __init__(self, path: Path, held: FileLock | None, handle: int) -> None:
        self.path = path
        self.is_firm = held is not None
        self._held, self._handle, self._process = held, handle, os.getpid()

    def release(self) -> None:
        """Release the lock and remove its file. A second call, or one in a forked child, does nothing."""
        held, self._held = self._held, None
        if held is None or self._process != os.getpid():
            return
        file = Path(held.lock_file)
        # Remove the file before the lock is released: a waiting process then sees that its file has lost the name, and
        # opens a new one. Windows cannot remove an open file; there the library removes it after the release.
        with contextlib.suppress(OSError):
            if _is_file_of(self._handle, file):
                file.unlink()
        held.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def hold(path: str | Path, *, what: str = "", wait: float = _PATIENCE) -> Lock:
    """Lock a path against every other process, thread and caller until the lock is released.

    The lock is on the file ``.NAME.lock`` beside the path. So the path itself need not exist, and its holder may
    rename, replace or remove it. Links are followed, so that two names of one folder share one lock. On a file system
    without locks, a warning goes to the logger ``tardif.locks``, and the returned lock keeps nobody away.

    Args:
        path: a folder or file.
        what: the beginning of the error if another process holds the lock, such as ``"X is being built"``.
        wait: seconds to wait for another holder.

    Raises:
        FolderError: another process holds the lock, or its file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, hold(Path(folder, "index")):
    ...     is_held(Path(folder, "index"))
    True
    """
    path = Path(path)
    for _ in range(100):  # a holder that releases removes the file, and then the next one must lock a new file
        with contextlib.suppress(_MovedError):
            lock = _take(path, wait)
            if lock is None:
                raise FolderError(
                    f"{what or f'{path} is being written'} by {_holder(lock_file(path))}: wait until that has "
                    "ended, or choose another place."
                )
            return lock
    raise FolderError(f"{path} cannot be locked: its lock, {lock_file(path)}, is being replaced again and again.")


def is_held(path: str | Path) -> bool:
    """Return whether a path is locked, in this process or another. True also if that cannot be determined."""
    if not os.path.lexists(lock_file(path)):
        return False
    try:
        lock = _take(Path(path), 0)
    except (FolderError, _MovedError):
        return True
    if lock is None:
        return True
    lock.release()
    return not lock.is_firm


def lock_file(path: str | Path) -> Path:
    """Return the lock file of a path."""
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


class _MovedError(Exception):
    """The locked file no longer has its name: another process has removed or replaced it."""


def _take(path: Path, wait: float) -> Lock | None:
    """Try once to lock a path; None if another process holds it."""
    from filelock import FileLock, Timeout

    file, handles = lock_file(path), []

    def locked(handle: int) -> None:
        handles.append(handle)
        if not _is_file_of(handle, file):
            raise _MovedError
        record = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(),
        }
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(record).encode())

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(file, timeout=wait, thread_local=False, fallback_to_soft=False, on_acquired=locked)
        held.acquire()
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise FolderError(
                f"{path} cannot be locked ({file}: {error.strerror or error}): choose another place, or remove that "
                "file if nobody works there."
            ) from error
        _LOG.warning(
            "%s is on a file system without locks (%s): make sure that no other process writes there.",
            path,
            error.strerror,
        )
        with contextlib.suppress(OSError):
            file.unlink()
        return Lock(path, None, -1)
    return Lock(path, held, handles[-1])


def _is_file_of(handle: int, file: Path) -> bool:
    """Return whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat(follow_symlinks=False))
    except OSError:
        return False


def _holder(file: Path) -> str:
    """Describe the holder of a lock from its file. It is only for a person to read: nothing is decided by it."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = parse_json(read_bounded(file, _MOST_READ))
        since = datetime.fromisoformat(record["since"]).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {int(record['process'])} on {str(record['host'])[:100]!r} since {since}"
    return "another process"
