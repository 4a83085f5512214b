"""One process at a time works at a place: locks of the operating system, on files beside what they guard.

The system lets go of a lock when the process that holds it ends, however it ends; whether one is held depends on no
process number and no clock, so containers that share a volume see each other's. A child of the holder has no part
in the lock: it keeps it from nobody when the holder is dead.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tardif.errors import FolderError

if TYPE_CHECKING:
    from filelock import FileLock

_LOG = logging.getLogger(__name__)
# What file systems without locks answer: network mounts without a lock service, some in user space.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
# A look at a lock takes it for a moment: who wants to hold it waits that out.
_PATIENCE = 0.5
_MOST_SAID = 1000


class Lock:
    """A place that is held; :meth:`release` it, or use it as a context.

    Attributes:
        path: what it guards.
        is_firm: it keeps others away. False where the file system has no locks: then nothing may be concluded
            from holding it.
    """

    def __init__(self, path: Path, held: FileLock | None, handle: int) -> None:
        self.path = path
        self.is_firm = held is not None
        self._held, self._handle, self._process = held, handle, os.getpid()

    def release(self) -> None:
        """Let go, and remove the lock's file. A second call, or one in a forked child, does nothing."""
        held, self._held = self._held, None
        if held is None or self._process != os.getpid():
            return
        file = Path(held.lock_file)
        # While it is held: who has opened the file meanwhile finds that it has no name any more, and opens another.
        # Windows removes no open file; there the library does, after it has let go.
        with contextlib.suppress(OSError):
            if _is_file_of(self._handle, file):
                file.unlink()
        held.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def hold(path: str | Path, *, what: str = "", wait: float = _PATIENCE) -> Lock:
    """Hold a place, which need not exist: no other process, thread or caller can, until it is released.

    The lock is on a file beside it, ``.NAME.lock``, which is made and removed here: what is held can be renamed,
    replaced and removed. Links are followed, so that two names of one place are one lock. On a file system without
    locks a line on the log ``tardif.locks`` says so, and the lock that is given keeps nobody away.

    Args:
        path: a folder or file.
        what: the beginning of the message, should another hold it: what is being done, as ``"X is being built"``.
        wait: seconds to wait for another.

    Raises:
        FolderError: another holds it; or its file cannot be written.
    """
    path = Path(path)
    for _ in range(100):
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
    """Whether somebody holds a place, in this process or another. True also where that cannot be told."""
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
    """The file that is locked for a place."""
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


class _MovedError(Exception):
    """The file that was locked is not the one of that name any more."""


def _take(path: Path, wait: float) -> Lock | None:
    """The lock of a place; None where another holds it."""
    from filelock import FileLock, Timeout

    file, handles = lock_file(path), []

    def locked(handle: int) -> None:
        handles.append(handle)
        if not _is_file_of(handle, file):
            raise _MovedError
        said = {"process": os.getpid(), "host": socket.gethostname(), "since": datetime.now().astimezone().isoformat()}
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(said).encode())

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
    """Whether an open file still has that name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat(follow_symlinks=False))
    except OSError:
        return False


def _holder(file: Path) -> str:
    """Who holds a lock, as its file says it: for a person to read, and for nothing else."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), _opened(file) as handle:
        said = json.loads(os.read(handle, _MOST_SAID))
        since = datetime.fromisoformat(said["since"]).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {int(said['process'])} on {str(said['host'])[:100]!r} since {since}"
    return "another process"


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[int]:
    """A plain file for reading; whatever else has its name is not waited for."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no plain file")
        yield handle
    finally:
        os.close(handle)
