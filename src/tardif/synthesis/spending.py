"""The cost of an endpoint's requests, and the cap on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tardif.checks import check_number
from tardif.errors import SettingError


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that may be spent in all, including earlier runs with the same cache. None: no limit.

    Attributes:
        requests: requests sent, whatever became of them.
        tokens: read and written together.
        cost: in the currency of the prices.
        price_in: of a million tokens read.
        price_out: of a million tokens written.

    >>> Cap(cost=2.0).check()
    Traceback (most recent call last):
    tardif.errors.SettingError: max_cost needs the prices per million tokens: give price_in and price_out.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0

    def check(self) -> None:
        """Check that something is capped, and that it can be counted.

        Raises:
            SettingError: nothing is capped, a value is not a number from 0 up, or a cost is capped without prices.
        """
        limits = {"max_requests": self.requests, "max_tokens": self.tokens, "max_cost": self.cost}
        if all(limit is None for limit in limits.values()):
            raise SettingError("An endpoint needs a spending cap: give max_requests, max_tokens or max_cost.")
        for name, value in {**limits, "price_in": self.price_in, "price_out": self.price_out}.items():
            if value is not None:
                check_number(name, value)
        if self.cost is not None and not self.price_in + self.price_out:
            raise SettingError("max_cost needs the prices per million tokens: give price_in and price_out.")


class Cost(NamedTuple):
    """The cost of one request, or the most that it may be.

    Attributes:
        read: tokens.
        written: tokens.
        estimated: whether the endpoint gave no plausible count.
    """

    read: int
    written: int
    estimated: bool


@dataclass(slots=True)
class Spending:
    """The sum of what has been spent.

    Attributes:
        requests: sent, whatever became of them.
        read: tokens.
        written: tokens.
        estimated: how many requests have estimated tokens.
    """

    requests: int = 0
    read: int = 0
    written: int = 0
    estimated: int = 0

    def add(self, cost: Cost, times: int = 1) -> None:
        """Count a request; ``times=-1`` takes it back."""
        self.requests += times
        self.read += times * cost.read
        self.written += times * cost.written
        self.estimated += times * cost.estimated

    def exceeds(self, cap: Cap) -> bool:
        """Whether this is more than a cap allows."""
        return (
            (cap.requests is not None and self.requests > cap.requests)
            or (cap.tokens is not None and self.read + self.written > cap.tokens)
            or (cap.cost is not None and self.cost(cap) > cap.cost)
        )

    def cost(self, cap: Cap) -> float:
        """The cost at a cap's prices."""
        return (self.read * cap.price_in + self.written * cap.price_out) / 1e6


def believed(usage: Any, sent: int, received: int, answer_tokens: int) -> Cost:
    """The tokens that an answer reports, or an estimate if it reports none or an impossible number.

    A token has between one byte and about a hundred. An API adds some tokens of its own, and a model that reasons first
    may write several times what was asked for. Ten times that is a fault, not a count.

    Args:
        usage: the answer's ``usage``, of any type.
        sent: bytes of text.
        received: bytes of text.
        answer_tokens: the longest answer that was asked for.

    >>> believed({"prompt_tokens": 90, "completion_tokens": 12}, 300, 30, 200)
    Cost(read=90, written=12, estimated=False)
    """
    counts = usage if isinstance(usage, Mapping) else {}
    read = _in_range(counts.get("prompt_tokens"), sent, 10 * (sent + 1000))
    written = _in_range(counts.get("completion_tokens"), received, 10 * (answer_tokens + 1000))
    # One impossible count does not make the other one false.
    return Cost(
        estimate(sent) if read is None else read,
        estimate(received) if written is None else written,
        read is None or written is None,
    )


def estimate(length: int) -> int:
    """An estimate of the tokens in ``length`` bytes of text, rather too high: in English a token has four bytes."""
    return -(-length // 3)


def _in_range(value: Any, length: int, most: int) -> int | None:
    least = -(-length // 100)  # a hundred bytes a token, rounded up
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None
