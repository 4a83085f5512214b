"""Connections to an index's database: one per thread, each bound to the file that it opened.

A folder can be replaced while it is open: an index is built again, or a backup is copied over it. SQLite would continue
with the file that it opened, or read the write-ahead log of another one. So every transaction first checks that the
file at the index's place is still the one that was opened, and that it and the manifest have the same identity.
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

# Seconds that SQLite waits for another process's transaction.
WAIT = 30.0
# Seconds that a fork waits for the transactions of other threads.
_FORK_WAIT = 5.0
# Seconds that a new transaction waits for a fork that waits. Threads that search and write without a pause would else
# leave the fork no gap. No longer, because a thread in a transaction may wait for this one.
_GAP = 0.05
# Connections that a forked child inherited within a transaction. They are neither used nor closed there: closing would
# release the parent's locks.
_LEFT: list[sqlite3.Connection] = []


@dataclass(frozen=True, eq=False)
class _Opened:
    """A connection, and the file that it was opened on.

    Attributes:
        database: the connection.
        file: device and inode of the file.
        snapshot: in a folder that cannot be written, where SQLite cannot lock: the file's state, which must not change
            during a transaction. Else None.
    """

    database: sqlite3.Connection
    file: tuple[int, int]
    snapshot: tuple[int, ...] | None


class Connections(ForkAware):
    """Transactions on an index's database. Each thread has its own connection; all are closed before a fork.

    Args:
        path: the file.
        schema: the statements that its tables were made with. SQLite reads rows by the file's own schema, so one
            damaged bit there would change what rows mean.
        identity: of the index that the file must belong to; None accepts any.
    """

    def __init__(self, path: Path, schema: str, identity: str | None = None) -> None:
        self.path = path
        self._tables = {statement.strip() for statement in schema.split(";")} - {""}
        # Checked in every transaction, so as strings, which are faster than paths.
        self._name, self._manifest_name = str(path), str(path.parent / MANIFEST)
        self._identity = identity
        self._is_known = False
        self._manifest: tuple[int, ...] | None = None
        self._reset()
        register(self)

    def _reset(self) -> None:
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._gate = threading.Condition()
        # The number of threads in a transaction, and the nesting of each thread's transactions.
        self._busy, self._depth = 0, threading.local()
        self._is_forking = False

    def close(self) -> None:
        """Close the connections of all threads, except one that is in a transaction of this thread."""
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
        """Begin a transaction that reads one state of the database. Within another of this thread, it is that one.

        Raises:
            ReplacedError: the folder holds another index now.
            FolderError: the file is missing, damaged, or cannot be read.
        """
        # While a turn is held, a fork in another thread closes nothing.
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
        """Begin a transaction that writes: it is committed if the block ends without an error, else rolled back.

        Raises:
            ReplacedError: the folder holds another index now.
            FolderError: the file is missing, damaged, or cannot be written.
        """
        with self._explained(), self._turn():
            opened = self._current()
            # IMMEDIATE: the lock is taken now. A transaction that reads first and writes later could fail in between.
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
        """Make a fork in another thread wait until this block ends."""
        depth = self._depth
        if getattr(depth, "count", 0) == 0:
            with self._gate:
                if self._is_forking:
                    self._gate.wait_for(lambda: not self._is_forking, _GAP)
                self._busy += 1
        depth.count = getattr(depth, "count", 0) + 1
        try:
            yield
        finally:
            depth.count -= 1
            if depth.count == 0 and depth is self._depth:  # else a fork within the block made this the child
                with self._gate:
                    self._busy -= 1
                    self._gate.notify_all()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise FolderError(f"{self.path} cannot be used ({first_line(error)}).") from error
        # A text that Python cannot decode: one of the file, or SQLite's message that quotes one.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self.damaged(first_line(error)) from error

    def damaged(self, why: str) -> FolderError:
        """Return the error for a database that does not hold what was written."""
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent}.")

    # Connections

    def _current(self) -> _Opened:
        """This thread's connection; one with an outdated snapshot is opened again."""
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
        # The file is compared before and after SQLite opens it by its name: it may be replaced in between.
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
            # The low byte is SQLite's primary code; the rest tells variants of it apart.
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise  # another process holds it: reading without its log would give an old state
            return _Opened(self._unlocked(uri), file, state)
        return _Opened(found, file, None)

    def _unlocked(self, uri: str) -> sqlite3.Connection:
        """A connection in a folder that cannot be written: SQLite can neither write nor read a log there."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise FolderError(
                f"{self.path.parent} cannot be written, and its last writer was killed: "
                "open the index once where it can be written."
            )
        # immutable: SQLite then takes no lock and looks for no log, which it could not write here.
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
        # Device and inode: the same name may be another file since.
        return found.st_dev, found.st_ino

    def _state(self) -> tuple[int, ...]:
        """What changes when another process writes a file that SQLite cannot lock here."""
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
        """Whether the manifest has the index's identity; it is read again only after it was written."""
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
        if opened.database in _LEFT:  # this is the child of a fork within the transaction
            return
        opened.database.execute("ROLLBACK")
        if opened.snapshot is not None and self._state()[:4] != opened.snapshot[:4]:
            raise FolderError(f"{self.path.parent} was written while it was read: search again.")

    # Forks

    def before_fork(self) -> None:
        """As :meth:`tardif.forks.ForkAware.before_fork`."""
        self._gate.acquire()
        # This thread's own transaction continues after the fork; those of other threads are waited for.
        own = 1 if getattr(self._depth, "count", 0) else 0
        self._is_forking = True
        if self._gate.wait_for(lambda: self._busy <= own, _FORK_WAIT):
            self._close_all()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`."""
        if in_child:
            _LEFT.extend(self._all)
            self._reset()
        else:
            self._is_forking = False
            self._gate.notify_all()
            self._gate.release()


def _connect(uri: str) -> sqlite3.Connection:
    """A connection that was used once, so that an unreadable file raises here."""
    # Autocommit: transactions are begun and ended here, and not by Python's module.
    found = sqlite3.connect(uri, uri=True, timeout=WAIT, check_same_thread=False, isolation_level=None)
    try:
        # A commit is on disk when it returns; no function is run by the schema of a file from elsewhere.
        found.execute("PRAGMA synchronous = FULL")
        found.execute("PRAGMA trusted_schema = OFF")
        found.execute("PRAGMA cell_size_check = ON")
        found.execute("SELECT count(*) FROM segments").fetchone()
    except BaseException:
        found.close()
        raise
    return found
