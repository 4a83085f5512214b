"""Connections to an index's database: one a thread, each tied to the file that it opened.

A folder can be replaced while it is open: an index is built again, a backup is copied over it. SQLite would go on with
the file that it opened, or with the log of a file that is another one by now. So every transaction looks first whether
the file at the index's place is still the one that was opened, and whether it and the manifest beside it still have
the identity they had.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tardif.errors import FolderError, ReplacedError, first_line
from tardif.forks import ForkAware, register
from tardif.index.manifest import MANIFEST, read_manifest

WAIT = 30.0
"""Seconds that SQLite waits for another process's transaction."""

# Seconds that a fork waits for the transactions of other threads.
_FORK_WAIT = 5.0
# Connections of a parent's transaction that a forked child got: they are neither used nor closed.
_LEFT: list[sqlite3.Connection] = []


@dataclass(frozen=True, eq=False)
class _Opened:
    """A connection, and what it was opened on.

    Attributes:
        database: the connection.
        file: device and number of the file.
        snapshot: where SQLite cannot lock (a folder that cannot be written, without a writer): the file's state, which
            must not change under a transaction.
    """

    database: sqlite3.Connection
    file: tuple[int, int]
    snapshot: tuple[int, ...] | None


class Connections(ForkAware):
    """Transactions on an index's database. Each thread has a connection of its own; a fork closes them first.

    Args:
        path: the file.
        schema: the statements that its tables were made with. SQLite reads rows as the file's own schema says, so a
            bit of that would change what they mean.
        identity: of the index that it has to belong to; None takes any.
    """

    def __init__(self, path: Path, schema: str, identity: str | None = None) -> None:
        self.path = path
        self._tables = {statement.strip() for statement in schema.split(";")} - {""}
        # Looked at in every transaction: as texts, which are quicker than paths.
        self._name, self._manifest_name = str(path), str(path.parent / MANIFEST)
        self._identity = identity
        self._is_known = False
        self._manifest: tuple[int, ...] | None = None
        self._begin_anew()
        register(self)

    def _begin_anew(self) -> None:
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._gate = threading.Condition()
        # Threads within a transaction, and how deep each is in others of its own.
        self._busy, self._depth = 0, threading.local()

    def close(self) -> None:
        """Close all threads' connections."""
        with self._gate:
            self._close_all()

    def _close_all(self) -> None:
        own: _Opened | None = getattr(self._local, "opened", None)
        keep = own.database if own is not None and own.database.in_transaction else None
        for connection in self._all:
            if connection is not keep:
                connection.close()
        self._all = [] if keep is None else [keep]
        if keep is None:
            self._local = threading.local()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A view of the database as it is now, whatever others write meanwhile; within another it is that one.

        Raises:
            ReplacedError: another index stands at the place.
            FolderError: the file is missing, damaged, or cannot be read.
        """
        # Within a turn, a fork in another thread closes nothing.
        held: _Opened | None = getattr(self._local, "opened", None) if getattr(self._depth, "count", 0) else None
        if held is not None and held.database.in_transaction:
            yield held.database
            return
        with self._explained(), self._turn():
            opened = self._current()
            opened.database.execute("BEGIN")
            try:
                self._check(opened)
                yield opened.database
            finally:
                self._end(opened)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is there when the block ends well, and none of it else.

        Raises:
            ReplacedError: another index stands at the place.
            FolderError: the file is missing, damaged, or cannot be written.
        """
        with self._explained(), self._turn():
            opened = self._current()
            opened.database.execute("BEGIN IMMEDIATE")
            try:
                self._check(opened)
                yield opened.database
                opened.database.execute("COMMIT")
            except BaseException:
                if opened.database.in_transaction:
                    opened.database.execute("ROLLBACK")
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have a fork wait until this ends."""
        depth = self._depth
        if getattr(depth, "count", 0) == 0:
            with self._gate:
                self._busy += 1
        depth.count = getattr(depth, "count", 0) + 1
        try:
            yield
        finally:
            depth.count -= 1
            if depth.count == 0 and depth is self._depth:  # else this is the child of a fork within the block
                with self._gate:
                    self._busy -= 1
                    self._gate.notify_all()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise FolderError(f"{self.path} cannot be used ({first_line(error)}).") from error
        # What Python cannot decode may be a text of the file, or SQLite's own message that quotes one.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self.damaged(first_line(error)) from error

    def damaged(self, why: str) -> FolderError:
        """What to raise where the database does not hold what was written."""
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent}.")

    # Connections

    def _current(self) -> _Opened:
        """This thread's connection, opened again where a snapshot is out of date."""
        found: _Opened | None = getattr(self._local, "opened", None)
        if found is not None and found.snapshot is not None and not found.database.in_transaction:
            if self._state() == found.snapshot:
                return found
            with self._gate:
                self._all.remove(found.database)
            found.database.close()
            found = None
        if found is None:
            found = self._local.opened = self._open()
            with self._gate:
                self._all.append(found.database)
        return found

    def _open(self) -> _Opened:
        for _ in range(10):
            file = self._file()
            opened = self._connected(file)
            if self._file() == file:
                self._check_schema(opened.database)
                return opened
            opened.database.close()  # the folder was replaced meanwhile
        raise ReplacedError(self.path.parent)

    def _check_schema(self, database: sqlite3.Connection) -> None:
        try:
            there = {row[0] for row in database.execute("SELECT sql FROM sqlite_schema")}
            if not self._tables <= there:
                raise self.damaged("its tables are not those of an index")
        except BaseException:
            database.close()
            raise

    def _connected(self, file: tuple[int, int]) -> _Opened:
        uri = self.path.absolute().as_uri()
        state = self._state()
        try:
            found = _connect(f"{uri}?mode=rw")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise  # another holds it: what is read without its log would be old
            return _Opened(self._unlocked(uri), file, state)
        return _Opened(found, file, None)

    def _unlocked(self, uri: str) -> sqlite3.Connection:
        """A connection in a folder that cannot be written: SQLite can keep no log there, and read none."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise FolderError(
                f"{self.path.parent} cannot be written, and its last writer was killed: "
                "open the index once where it can be written."
            )
        return _connect(f"{uri}?mode=ro&immutable=1")

    def _file(self) -> tuple[int, int]:
        try:
            found = os.stat(self._name)  # noqa: PTH116
        except OSError as error:
            if self._is_known:
                raise ReplacedError(self.path.parent) from error
            raise FolderError(f"{self.path} is missing: the index is damaged; build it again.") from error
        if not stat.S_ISREG(found.st_mode):
            raise FolderError(f"{self.path} is no file: the index is damaged; build it again.")
        return found.st_dev, found.st_ino

    def _state(self) -> tuple[int, ...]:
        """What changes when a file is written that SQLite cannot lock."""
        file, log = self.path.stat(), self.path.with_name(f"{self.path.name}-wal")
        return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, log.stat().st_size if log.exists() else 0

    def _check(self, opened: _Opened) -> None:
        """Raise unless the transaction reads the index that was opened."""
        if self._file() != opened.file or not self._has_its_manifest():
            raise ReplacedError(self.path.parent)
        row = opened.database.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
        if self._identity is not None and (row is None or row[0] != self._identity):
            if self._is_known:
                raise ReplacedError(self.path.parent)
            raise self.damaged("it belongs to another index than manifest.json")
        self._is_known = True

    def _has_its_manifest(self) -> bool:
        """Whether the manifest has the index's identity; it is read once, and again when it was written."""
        if self._identity is None:
            return True
        try:
            found = os.stat(self._manifest_name)  # noqa: PTH116
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._manifest:
                if read_manifest(self.path.parent)["identity"] != self._identity:
                    return False
                self._manifest = seen
        except (OSError, FolderError):
            return False
        return True

    def _end(self, opened: _Opened) -> None:
        if opened.database in _LEFT:
            return
        opened.database.execute("ROLLBACK")
        if opened.snapshot is not None and self._state()[:4] != opened.snapshot[:4]:
            raise FolderError(f"{self.path.parent} was written while it was read: search again.")

    # Forks

    def before_fork(self) -> None:
        """As :meth:`tardif.forks.ForkAware.before_fork`."""
        self._gate.acquire()
        # A transaction of this thread ends after the fork; those of others are waited for.
        own = 1 if getattr(self._depth, "count", 0) else 0
        if self._gate.wait_for(lambda: self._busy <= own, _FORK_WAIT):
            self._close_all()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`."""
        if in_child:
            _LEFT.extend(self._all)
            self._begin_anew()
        else:
            self._gate.release()


def _connect(uri: str) -> sqlite3.Connection:
    """A connection that was used once: what cannot be read says so here."""
    found = sqlite3.connect(uri, uri=True, timeout=WAIT, check_same_thread=False, isolation_level=None)
    try:
        # A commit is on disk when it returns; a file that others made gets nothing run by its schema.
        found.execute("PRAGMA synchronous = FULL")
        found.execute("PRAGMA trusted_schema = OFF")
        found.execute("PRAGMA cell_size_check = ON")
        found.execute("SELECT count(*) FROM segments").fetchone()
    except BaseException:
        found.close()
        raise
    return found
