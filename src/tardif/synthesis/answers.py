"""A cache on disk of an endpoint's answers and their cost, request by request."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from tardif.errors import DataError
from tardif.locks import hold
from tardif.synthesis.spending import Cap, Cost, Spending, estimate

_START = b'{"key": "'
_MOST_TOKENS = 10**9  # of one request: a line with more is damaged


class AnswerCache:
    """The answers so far and their cost, as lines of JSON that are appended and flushed at once.

    A request is reserved at the most that it can cost, then written down as sent, and only then sent. A second line
    records its outcome and replaces the first. So a killed run has counted what it sent. A cache is used by one run at
    a time.

    Args:
        path: the file; created if it is missing.
        cap: what may be spent.
        flaw: why an answer cannot be kept, or "". A flawed answer in the file counts as spent and is not returned.

    Attributes:
        answers: by the key of what was asked.
        spent: in all, including what is reserved.
        asked: requests sent by this run.
        damaged: lines of the file that cannot be used.
        refused: why an answer of this run was not kept, by key.
        troubles: how often a request of this run failed, by what went wrong.
        waits: seconds that the endpoint asked to wait, if longer than the longest wait.
    """

    def __init__(self, path: Path, cap: Cap, flaw: Callable[[str], str]) -> None:
        self.answers: dict[str, str] = {}
        self.spent = Spending()
        self.asked = 0
        self.damaged = 0
        self.refused: dict[str, str] = {}
        self.troubles: Counter[str] = Counter()
        self.waits: list[float] = []
        self._path = path
        self._cap = cap
        self._flaw = flaw
        self._costs: dict[str, Cost] = {}
        self._longest = 0
        self._run = uuid.uuid4().hex[:12]
        self._number = 0
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> AnswerCache:
        try:
            with ExitStack() as opened:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if self._path.exists() and not self._path.is_file():
                    raise DataError("the cache is not a file: give another place.", self._path)
                opened.enter_context(hold(self._path, what=f"The cache {self._path} is being used"))
                self._file = opened.enter_context(self._path.open("ab+"))
                self._read(self._file)
                self._open = opened.pop_all()  # what is opened stays open only if all went well
        except OSError as error:
            raise DataError(f"the cache cannot be used ({error.strerror}).", self._path) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reserve(self, most: tuple[int, int]) -> str | None:
        """Set aside the most that a request can cost, and return its number; None if that exceeds the cap.

        An endpoint that has written more than it was asked to is expected to do so again.

        Args:
            most: tokens read and written.
        """
        with self._lock:
            cost = Cost(most[0], max(most[1], self._longest), True)
            self.spent.add(cost)
            if self.spent.exceeds(self._cap):
                self.spent.add(cost, -1)
                return None
            self._number += 1
            number = f"{self._run}-{self._number}"
            self._costs[number] = cost
            return number

    def release(self, number: str) -> None:
        """Free what was set aside for a request that was not sent."""
        with self._lock:
            self.spent.add(self._costs.pop(number), -1)

    def sending(self, number: str, key: str) -> None:
        """Write down that a request is being sent.

        Raises:
            DataError: the file cannot be written, so nothing may be sent.
        """
        with self._lock:
            self._write({"key": key, "sent": number}, self._costs[number])
            self.asked += 1

    def settle(
        self, number: str, key: str, cost: Cost, answer: str | None = None, *, trouble: str = "", final: bool = True
    ) -> None:
        """Write down the outcome of a request.

        Args:
            number: of the request.
            key: of what was asked.
            cost: of the request.
            answer: the answer, which is not kept if it has a flaw.
            trouble: why there is no answer.
            final: whether this run does not ask again.

        Raises:
            DataError: the file cannot be written.
        """
        trouble = trouble or ("" if answer is None else self._flaw(answer))
        row = {"key": key, "sent": number}
        with self._lock:
            self.spent.add(self._costs.pop(number), -1)
            self.spent.add(cost)
            self._longest = max(self._longest, cost.written)
            if not trouble and answer is not None:
                self._write({**row, "answer": answer}, cost)
                self.answers[key] = answer
                return
            self._write(row, cost)
            self.troubles[trouble] += 1
            if final:
                self.refused[key] = trouble

    def _write(self, row: dict[str, Any], cost: Cost) -> None:
        assert self._file is not None
        # Synced line by line: a request takes a second, and a power cut must not make it free.
        try:
            self._file.write((json.dumps({**row, **cost._asdict()}) + "\n").encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DataError(f"the cache cannot be written ({error.strerror}).", self._path) from error

    def _read(self, file: IO[bytes]) -> None:
        costs: dict[str, Cost] = {}
        file.seek(0)
        number, good, line = 0, 0, b""
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                good += self._read_line(line, number, costs)
        torn = line if line and not line.endswith(b"\n") else b""  # the run was interrupted while it wrote
        # A file without a single good line is somebody else's, and is not truncated. A first line that was torn may be
        # too short to tell.
        if number and not good and not (number == 1 and torn and _START.startswith(torn[: len(_START)])):
            raise DataError("is no answer cache: give another file, or none.", self._path, 1)
        if torn:
            file.truncate(file.tell() - len(torn))
        for cost in costs.values():
            self.spent.add(cost)

    def _read_line(self, line: bytes, number: int, costs: dict[str, Cost]) -> bool:
        """Whether a line is one of a cache. A damaged line counts as a request, since it may have been one."""
        try:
            row = json.loads(line)
            key, sent = row["key"], str(row.get("sent", number))
            cost = Cost(_tokens(row["read"]), _tokens(row["written"]), bool(row.get("estimated", False)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.damaged += 1
            costs[f"line {number}"] = Cost(estimate(len(line)), 0, True)
            return False
        costs[sent] = cost  # the line of the outcome replaces that of the request
        if "answer" not in row:
            return True
        if isinstance(key, str) and isinstance(row["answer"], str) and not self._flaw(row["answer"]):
            self.answers[key] = row["answer"]
        else:
            self.damaged += 1
        return True


def _tokens(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise ValueError
    return value
