"""What an endpoint has answered, what that has cost, and what it may cost at most."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tardif.errors import DataError, SettingError


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent in all, earlier runs with the same cache among it. None: no limit.

    Attributes:
        requests: answers paid for.
        tokens: read and written together.
        cost: in the currency of the prices.
        price_in: of a million tokens read.
        price_out: of a million tokens written.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0

    def check(self) -> None:
        """Raise unless something is capped, in a way that can be counted.

        Raises:
            SettingError: nothing is capped, a number is negative, or a cost is capped without prices.
        """
        limits = (self.requests, self.tokens, self.cost)
        if all(limit is None for limit in limits):
            raise SettingError("An endpoint needs a spending cap: give max_requests, max_tokens or max_cost.")
        if any(value is not None and value < 0 for value in (*limits, self.price_in, self.price_out)):
            raise SettingError("A spending cap and its prices cannot be negative.")
        if self.cost is not None and not self.price_in + self.price_out:
            raise SettingError("max_cost needs the prices per million tokens: give price_in and price_out.")


@dataclass(slots=True)
class Spending:
    """What has been spent."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def add(self, requests: int, read: int, written: int) -> None:
        """Count answers and their tokens; negative numbers take them back."""
        self.requests += requests
        self.read += read
        self.written += written

    def exceeds(self, cap: Cap) -> bool:
        """Whether this is more than a cap allows."""
        return (
            (cap.requests is not None and self.requests > cap.requests)
            or (cap.tokens is not None and self.read + self.written > cap.tokens)
            or (cap.cost is not None and self.cost(cap) > cap.cost)
        )

    def cost(self, cap: Cap) -> float:
        """What it costs at a cap's prices."""
        return (self.read * cap.price_in + self.written * cap.price_out) / 1e6


class AnswerCache:
    """The answers so far and what they cost; a line of JSON each, appended and flushed at once."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, str] = {}
        self.spent = Spending()
        self._path = path
        self._reserved = Spending()
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> AnswerCache:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+")
            self._read(self._file)
        except DataError:
            self.__exit__()
            raise
        except OSError as error:
            self.__exit__()
            raise DataError(f"the cache cannot be used ({error.strerror}).", self._path) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def reserve(self, expected: tuple[int, int], cap: Cap) -> bool:
        """Set a request's most tokens aside; False, and nothing set aside, where the cap forbids it."""
        with self._lock:
            self._reserved.add(1, *expected)
            whole = Spending(
                self.spent.requests + self._reserved.requests,
                self.spent.read + self._reserved.read,
                self.spent.written + self._reserved.written,
            )
            if whole.exceeds(cap):
                self._reserved.add(-1, -expected[0], -expected[1])
                return False
            return True

    def add(self, key: str, answer: str, read: int, written: int, *, reserved: tuple[int, int]) -> None:
        """Write an answer down, and count it as spent instead of set aside."""
        line = json.dumps({"key": key, "answer": answer, "read": read, "written": written}) + "\n"
        with self._lock:
            assert self._file is not None
            self._file.write(line.encode())
            self._file.flush()
            self.answers[key] = answer
            self._reserved.add(-1, -reserved[0], -reserved[1])
            self.spent.add(1, read, written)

    def _read(self, file: IO[bytes]) -> None:
        file.seek(0)
        line = b""
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # the run was interrupted while it wrote
            try:
                row = json.loads(line)
                self.answers[row["key"]] = str(row["answer"])
                self.spent.add(1, int(row["read"]), int(row["written"]))
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    "is no line of an answer cache: give another file, or none.", self._path, number
                ) from None
        if line and not line.endswith(b"\n"):
            file.truncate(file.tell() - len(line))
