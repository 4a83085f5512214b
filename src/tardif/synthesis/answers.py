"""What an endpoint has answered and what that has cost: kept on disk, request by request."""

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
_MOST_TOKENS = 10**9  # of one request: more is a damaged line


class AnswerCache:
    """The answers so far and what they cost; lines of JSON, appended and flushed at once.

    A request is reserved, then written down as sent, at the most that it can cost, and only then sent. A second line
    says what became of it, and replaces that. So a run that is killed has counted what it sent. One run at a time
    uses a cache.

    Args:
        path: the file; created where it is missing.
        cap: what may be spent.
        flaw: why an answer cannot be kept, or "". An answer of the file with a flaw counts as spent and is not given.

    Attributes:
        answers: by the key of what was asked.
        spent: in all, what is reserved among it.
        asked: requests sent by this run.
        damaged: lines of the file that cannot be used.
        refused: why an answer of this run was not kept, by key.
        troubles: how often a request of this run went wrong, by what was wrong.
        waits: seconds that the endpoint asked to wait, where that was more than is waited.
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
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and not self._path.is_file():
                raise DataError("the cache is not a file: give another place.", self._path)
            self._open.enter_context(hold(self._path, what=f"The cache {self._path} is being used"))
            self._file = self._open.enter_context(self._path.open("ab+"))
            self._read(self._file)
        except OSError as error:
            self._open.close()
            raise DataError(f"the cache cannot be used ({error.strerror}).", self._path) from error
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reserve(self, most: tuple[int, int]) -> str | None:
        """A number for a request, the most that it can cost set aside; None, and nothing set aside, above the cap.

        An endpoint that has written more than it was asked to is expected to do so again.
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
        """Take back what was set aside for a request that was not sent."""
        with self._lock:
            self.spent.add(self._costs.pop(number), -1)

    def sending(self, number: str, key: str) -> None:
        """Write down that a request is being sent.

        Raises:
            DataError: the file cannot be written: nothing may be sent.
        """
        with self._lock:
            self._write({"key": key, "sent": number}, self._costs[number])
            self.asked += 1

    def settle(
        self, number: str, key: str, cost: Cost, answer: str | None = None, *, trouble: str = "", final: bool = True
    ) -> None:
        """Write down what became of a request.

        Args:
            number: of the request.
            key: what was asked.
            cost: what it has cost.
            answer: one with a flaw is not kept.
            trouble: why there is no answer.
            final: whether it is not asked again in this run.

        Raises:
            DataError: the file cannot be written.
        """
        trouble = trouble or ("" if answer is None else self._flaw(answer))
        row = {"key": key, "sent": number}
        with self._lock:
            self.spent.add(self._costs.pop(number), -1)
            self.spent.add(cost)
            self._longest = max(self._longest, cost.written)
            if trouble or answer is None:
                self.troubles[trouble] += 1
                if final:
                    self.refused[key] = trouble
                self._write(row, cost)
            else:
                self._write({**row, "answer": answer}, cost)
                self.answers[key] = answer

    def _write(self, row: dict[str, Any], cost: Cost) -> None:
        assert self._file is not None
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
        if number and not good and not (number == 1 and torn and _START.startswith(torn[: len(_START)])):
            raise DataError("is no answer cache: give another file, or none.", self._path, 1)
        if torn:
            file.truncate(file.tell() - len(torn))
        for cost in costs.values():
            self.spent.add(cost)

    def _read_line(self, line: bytes, number: int, costs: dict[str, Cost]) -> bool:
        """Whether it is a line of a cache. One that is not counts as a request: it may have been one."""
        try:
            row = json.loads(line)
            key, sent = row["key"], str(row.get("sent", number))
            cost = Cost(_tokens(row["read"]), _tokens(row["written"]), bool(row.get("estimated", False)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.damaged += 1
            costs[f"line {number}"] = Cost(estimate(len(line)), 0, True)
            return False
        costs[sent] = cost
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
