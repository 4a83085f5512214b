"""A chat endpoint spoken to with the standard library: retries, no redirects, and a key that stays secret."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tardif.errors import DataError, SettingError, TardifError
from tardif.synthesis.secret import Secret
from tardif.synthesis.spending import check_number
from tardif.synthesis.transport import NoAnswer, Response, exchange, find_address

_PASSING = (408, 409, 425, 429)
_SECONDS = re.compile(r"[0-9]{1,300}(\.[0-9]{0,300})?")
_DAY = 86400

LONGEST_WAIT = 60.0
"""Seconds to wait before another try, however long the endpoint asks for."""

NOT_JSON = "malformed answer"


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """What became of a request.

    Attributes:
        reply: the endpoint's JSON; None where there is trouble.
        trouble: what went wrong, for a reader; the key is not in it.
        length: bytes of what came back; None where it was cut, so that more may have been written.
        again: whether the request is worth another try.
        wait: seconds that the endpoint asks to wait before it.
        error: a refusal that no other request would escape.
    """

    reply: Any = None
    trouble: str = ""
    length: int | None = None
    again: bool = False
    wait: float | None = None
    error: TardifError | None = None


class Meter(Protocol):
    """Who counts the requests, each of them."""

    def reserve(self) -> bool:
        """Whether one more may be sent; once it may, it stays so until that one is settled."""

    def sending(self) -> None:
        """It is being sent."""

    def settle(self, outcome: RequestOutcome) -> None:
        """What became of it; called also where nothing could be sent."""

    def waiting(self, asked: float) -> None:
        """The endpoint asked for a longer wait than is kept."""


class ChatClient:
    """Posts JSON to a chat endpoint, again while it is busy.

    Redirects are not followed, so the key goes to no other host; no message holds it. It goes unencrypted to this
    machine, and elsewhere only where it is not the one in ``default_key``, which is likely meant for another service.

    Args:
        url: the API's base (``https://host/v1``) or its full ``.../chat/completions``.
        key_name: the environment variable that holds the key; "" sends none.
        timeout: seconds for a whole request, from the connection to the last byte of the answer.
        tries: how often a request is sent while the endpoint is busy or failing (429, 5xx, no answer).
        backoff: seconds before the second try; doubled every time, unless the endpoint says how long.
        default_key: the variable that is read where none is named; unset or empty, no key is sent.

    Raises:
        SettingError: no such address can be, the key holds characters that none has or would be sent for others to
            read, or a number is out of range.
    """

    def __init__(
        self, url: str, key_name: str, timeout: float, tries: int, backoff: float, *, default_key: str = ""
    ) -> None:
        check_number("timeout", timeout, 0.001, _DAY)
        check_number("tries", tries, 1, 1000, whole=True)
        check_number("backoff", backoff, 0, LONGEST_WAIT)
        self.key = Secret(key_name, may_lack=key_name == default_key)
        self.stop = threading.Event()
        """Set once a request has failed for good: no other should be begun or tried again."""
        self._address = find_address(url, "/chat/completions")
        self.url = self._address.url
        if self.key.is_in(url):
            raise SettingError(f"The endpoint's address holds the key: leave it in {key_name} alone.")
        if self.key and key_name == default_key and not self._address.is_private:
            raise SettingError(
                f"{self.url} would get the key in {key_name} unencrypted: give an https address, or name the variable "
                'with the key for this endpoint: api_key_env=NAME ("" sends none).'
            )
        self._timeout = timeout
        self._tries = tries
        self._backoff = backoff

    def post(self, body: Mapping[str, Any], meter: Meter) -> None:
        """Send a request until it is answered, refused, or forbidden by the meter, which is told each outcome.

        Raises:
            DataError: the endpoint keeps failing.
            SettingError: it refuses the request.
        """
        trouble = ""
        for turn in range(self._tries):
            if self.stop.is_set() or not meter.reserve():
                return
            outcome = self._once(body, meter.sending)
            meter.settle(outcome)
            if outcome.error is not None:
                self.stop.set()
                raise outcome.error
            if not outcome.again:
                return
            trouble = outcome.trouble
            if turn + 1 == self._tries:
                break
            # Reserved before the wait: where the cap forbids another try, there is nothing to wait for.
            if not meter.reserve() or self.stop.wait(self._pause(turn, outcome.wait, meter)):
                return
        self.stop.set()
        often = f", {self._tries} times in a row" if self._tries > 1 else ""
        raise DataError(f"{trouble}{often}: try again later; the answers so far are kept.", self.url)

    def _once(self, body: Mapping[str, Any], sending: Callable[[], None]) -> RequestOutcome:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Connection": "close",
            **self.key.header,
        }
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        try:
            response = exchange(self._address, headers, data, timeout=self._timeout, sending=sending)
        except NoAnswer as error:
            return RequestOutcome(trouble=self._plain(str(error)), again=not error.final)
        return self._read(response)

    def _read(self, response: Response) -> RequestOutcome:
        status, length = response.status, len(response.body)
        if status in _PASSING or status >= 500:
            asked = response.headers.get("retry-after", "").strip()
            wait = float(asked) if _SECONDS.fullmatch(asked) else None
            return RequestOutcome(trouble=f"answered {status}", length=length, again=True, wait=wait)
        if not 200 <= status < 300:
            return RequestOutcome(trouble=f"answered {status}", length=length, error=self._refusal(response))
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            # Never unpacked: a few bytes can hold gigabytes.
            return RequestOutcome(trouble="compressed answer", length=length)
        try:
            return RequestOutcome(json.loads(response.body), length=length)
        except (ValueError, RecursionError):  # not JSON, not UTF-8, a number of thousands of digits, nested too deep
            return RequestOutcome(trouble=NOT_JSON, length=length)

    def _pause(self, turn: int, asked: float | None, meter: Meter) -> float:
        if asked is not None:
            if asked > LONGEST_WAIT:
                meter.waiting(asked)
            return min(asked, LONGEST_WAIT)
        # Some chance in it, so that workers who were refused together do not come back together.
        return min(self._backoff * 2.0 ** min(turn, 60) * (0.5 + random.random()), LONGEST_WAIT)

    def _refusal(self, response: Response) -> SettingError:
        status = response.status
        if status in (401, 403):
            state = "is it right?" if self.key else "it is not set."
            return SettingError(f"{self.url} refuses the key ({status}) in {self.key.name or 'no variable'}: {state}")
        if 300 <= status < 400:
            return SettingError(f"{self.url} redirects ({status}): give the address it leads to.")
        said = self._plain(response.body.decode("utf-8", "replace"))
        return SettingError(f"{self.url} refuses the request ({status}): check address and model. It says: {said}")

    def _plain(self, text: str) -> str:
        """A text of the other side as a message can quote it: hidden first, cut then, or half a key would be left."""
        shown = "".join(c if c.isprintable() else " " for c in self.key.hide(text[:20_000]))
        return " ".join(shown.split())[:200]
