"""The service's side of :mod:`tardif.serving.document_worker`: starts the process, asks it, and notices its end.

The process is started when it is first needed, and again when it has died. Then the requests that it had not answered
fail, and nothing that was answered is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

import tardif.errors
from tardif.devices import core_count
from tardif.errors import (
    BusyError,
    DataError,
    FolderError,
    MissingExtraError,
    ModelError,
    ServiceError,
    SettingError,
    TardifError,
    reason,
)
from tardif.interpreters import calling

_LOG = logging.getLogger(__name__)
# Requests that may wait for the process.
_MOST_WAITING = 64
# Seconds that the process has to end by itself.
_GRACE = 5.0
# The last lines that it wrote on standard error are kept for the log.
_LINES_KEPT = 20


class WorkerProcess:
    """A process that encodes documents and changes an index.

    Args:
        folder: the index; or its place in Qdrant.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process's number; None while there is none."""
        running = self._running
        return None if running is None else running.process.pid

    @property
    def waiting(self) -> int:
        """How many requests it has not answered."""
        running = self._running
        return 0 if running is None else len(running.answers)

    async def ask(self, call: str, **arguments: Any) -> Any:
        """Have the process do something, and return what it answers. A change that is answered is on disk.

        Raises:
            BusyError: too many requests wait.
            ServiceError: the process died before it answered, or the service is stopping.
            TardifError: what the call raised there.
        """
        # In a thread: a process takes some milliseconds to start, and a long request to be written.
        answer = await asyncio.to_thread(self._begin, call, arguments)
        return await asyncio.wrap_future(answer)

    def _begin(self, call: str, arguments: dict[str, Any]) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise ServiceError("The service is stopping: ask again when it has started.", 503)
            if self._running is None or self._running.ended:
                try:
                    self._running = _Running(self._folder)
                except OSError as error:
                    raise ServiceError(
                        f"The process that encodes documents cannot be started: {reason(error)}.", 503
                    ) from error
            running = self._running
            if len(running.answers) >= _MOST_WAITING:
                raise BusyError(f"{_MOST_WAITING} requests wait for the documents' process: ask again later.", 5)
            return running.ask(call, arguments)

    async def close(self) -> None:
        """Wait for everything that was asked, and end the process."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._closed, running = True, self._running
        if running is not None:
            running.finish()


class _Running:
    """One process, from its start to its end."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = folder
        self.answers: dict[int, Future[Any]] = {}
        self.ended = False
        self._asked, self._lock = 0, threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.process = subprocess.Popen(
            calling("tardif.serving.document_worker:main", str(folder)),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C at the terminal is for the service, which finishes what it has accepted.
            start_new_session=True,
            # The same on Windows, which has no sessions.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._threads = [
            threading.Thread(target=self._read_answers, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, call: str, arguments: dict[str, Any]) -> Future[Any]:
        """Send a request; the answer comes later. Whoever calls this holds the lock of the process's owner."""
        answer: Future[Any] = Future()
        # Running from now on: a caller that goes does not take back what it has sent.
        answer.set_running_or_notify_cancel()
        with self._lock:
            self._asked += 1
            number = self._asked
            self.answers[number] = answer
            is_late = self.ended
        if is_late:
            self._fail_all()
            return answer
        assert self.process.stdin is not None
        # A process that has just died answers by its end, which the thread that reads notices.
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps([number, call, arguments]).encode() + b"\n")
            self.process.stdin.flush()
        return answer

    def finish(self) -> None:
        """Wait for all answers, then end the process."""
        for answer in list(self.answers.values()):
            with contextlib.suppress(Exception):
                answer.exception()
        self._close_input()
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for thread in self._threads:
            thread.join()

    def _close_input(self) -> None:
        assert self.process.stdin is not None
        # What a process that was killed has not read is still in the buffer, and cannot be written.
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def _read_answers(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                try:
                    number, *what = json.loads(line)
                except ValueError:  # half a line of a process that was killed
                    continue
                with self._lock:
                    answer = self.answers.pop(number)
                answer_with(answer, *what)
        self.process.wait()
        self._close_input()
        with self._lock:
            self.ended = True
        self._fail_all()

    def _read_errors(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self._lines.append(line.decode("utf-8", "replace").rstrip())

    def _fail_all(self) -> None:
        """Fail what the process had not answered when it ended."""
        with self._lock:
            left = list(self.answers.values())
            self.answers.clear()
        if not left:
            return
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        _LOG.error("The process that encodes documents for %s %s. %s", self._folder, how, " | ".join(self._lines))
        for answer in left:
            answer.set_exception(
                ServiceError(
                    f"The process that encodes documents {how} before this was done; nothing that was acknowledged "
                    "is lost. Ask again: it is started again, and repeating a change does no harm.",
                    503,
                )
            )


def answer_with(answer: Future[Any], how: str, *what: Any) -> None:
    """Give an answer what the process sent for it: ``done`` and the result, or ``failed``, a type and a message."""
    if how == "done":
        answer.set_result(what[0])
    else:
        answer.set_exception(_error_of(*what))


def _error_of(name: str, message: str) -> Exception:
    """An error that the process reported: ours by its type, any other as a failure of the service."""
    kind = getattr(tardif.errors, name, TardifError) if name else TardifError
    # Some errors are made of parts and not of their message: of those, the parent that takes a message.
    parents = (SettingError, DataError, ModelError, FolderError, MissingExtraError)
    known = next((each for each in parents if issubclass(kind, each)), None)
    return known(message) if known else ServiceError(f"The process that encodes documents failed: {message}", 503)


def _environment() -> dict[str, str]:
    """Half of the cores for encoding, unless the user says otherwise: searches need some too."""
    return {
        "OMP_NUM_THREADS": str(max(core_count() // 2, 1)),
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }
