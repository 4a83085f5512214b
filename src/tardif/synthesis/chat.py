"""A client of a chat endpoint: retries while it is busy, counts every request, and keeps the key secret."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tardif.checks import check_number
from tardif.errors import DataError, SettingError, TardifError
from tardif.synthesis.answers import AnswerCache
from tardif.synthesis.secret import Secret
from tardif.synthesis.spending import Cost, believed, estimate
from tardif.synthesis.transport import NoAnswer, Response, exchange, find_address, is_private

MALFORMED = "malformed answer"

# The variable that is read if none is named. Its key is likely meant for another service than the one at hand.
API_KEY = "OPENAI_API_KEY"

# Seconds to wait before another try, however long the endpoint asks for.
LONGEST_WAIT = 60.0

# Too early, too slow, too often, or somebody else at the same time: the same request may succeed later.
_PASSING = (408, 409, 425, 429)
_SECONDS = re.compile(r"[0-9]{1,300}(\.[0-9]{0,300})?")
_DAY = 86400


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The outcome of one request.

    Attributes:
        reply: the endpoint's JSON; None if there is trouble.
        trouble: what went wrong, for a reader; the key is not in it.
        length: bytes of the answer; None if it was cut, so that more may have been written.
        again: whether the request is worth another try.
        wait: seconds that the endpoint asks to wait before it.
        error: a refusal that every other request would meet as well.
    """

    reply: Any = None
    trouble: str = ""
    length: int | None = None
    again: bool = False
    wait: float | None = None
    error: TardifError | None = None


class Meter:
    """The count of the requests for one document, each reserved before it is sent.

    Args:
        cache: holds the cap, and keeps costs and answers.
        key: of what is asked.
        length: bytes of the text that is sent.
        answer_tokens: the longest answer that is asked for.
    """

    def __init__(self, cache: AnswerCache, key: str, length: int, answer_tokens: int) -> None:
        self._cache = cache
        self._key = key
        self._length = length
        self._answer_tokens = answer_tokens
        self._number: str | None = None
        self._is_sent = False

    def reserve(self) -> bool:
        """Whether the cap allows one more request. Once it does, it stays so until that request is settled."""
        if self._number is None:
            # No tokenizer makes more tokens than there are bytes, besides a few of its own.
            self._number = self._cache.reserve((self._length + 50, self._answer_tokens))
        return self._number is not None

    def sending(self) -> None:
        """Write down that the reserved request is being sent."""
        assert self._number is not None
        self._cache.sending(self._number, self._key)
        self._is_sent = True

    def settle(self, outcome: RequestOutcome) -> None:
        """Count what the request has cost and keep its answer, or give the reservation back if nothing was sent."""
        assert self._number is not None
        number, self._number = self._number, None
        if not self._is_sent:
            self._cache.release(number)
            return
        self._is_sent = False
        answer = None if outcome.trouble else _content(outcome.reply)
        trouble = outcome.trouble or (MALFORMED if answer is None else "")
        cost = self._cost(outcome, answer)
        self._cache.settle(number, self._key, cost, answer, trouble=trouble, final=not outcome.again)

    def waiting(self, asked: float) -> None:
        """Remember, for the report, that the endpoint asked for a longer wait than is kept."""
        self._cache.waits.append(asked)

    def _cost(self, outcome: RequestOutcome, answer: str | None) -> Cost:
        if outcome.trouble:
            # Of a request that was cut nobody knows how much was written: it counts as the most that it may be.
            written = self._answer_tokens if outcome.length is None else estimate(outcome.length)
            return Cost(estimate(self._length), written, True)
        received = outcome.length or 0 if answer is None else len(answer.encode("utf-8", "replace"))
        usage = outcome.reply.get("usage") if isinstance(outcome.reply, dict) else None
        return believed(usage, self._length, received, self._answer_tokens)


def _content(reply: Any) -> str | None:
    """The text of an answer; None if it has another shape."""
    try:
        content = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return content if isinstance(content, str) else None


class ChatClient:
    """Posts JSON to a chat endpoint, and again while the endpoint is busy.

    Redirects are not followed, so the key goes to no other host, and no message holds it. The key in
    :data:`API_KEY` is sent unencrypted to this machine only; any other key also elsewhere.

    Args:
        url: the API's base (``https://host/v1``) or its full ``.../chat/completions``.
        key_name: the environment variable that holds the key; "" sends none, and so does :data:`API_KEY` if it is not
            set.
        timeout: seconds for a whole request, from the connection to the last byte of the answer.
        tries: how often a request is sent while the endpoint is busy or failing (429, 5xx, no answer).
        backoff: seconds before the second try; doubled every time, unless the endpoint asks for another wait.

    Attributes:
        url: the full address.
        key: the key.
        stop: set once a request has failed for good: no other should be begun or tried again.

    Raises:
        SettingError: the address cannot be one, the key cannot be sent or would be readable on the way, or a number is
            out of range.
    """

    def __init__(self, url: str, key_name: str, timeout: float, tries: int, backoff: float) -> None:
        check_number("timeout", timeout, 0.001, _DAY)
        check_number("tries", tries, 1, 1000, whole=True)
        check_number("backoff", backoff, 0, LONGEST_WAIT)
        self.key = Secret(key_name, may_lack=key_name == API_KEY)
        self.stop = threading.Event()
        self.url = find_address(url)
        if self.key.is_in(url):
            raise SettingError(f"The endpoint's address holds the key: leave it in {key_name} alone.")
        if self.key and key_name == API_KEY and not is_private(self.url):
            raise SettingError(
                f"{self.url} would get the key in {key_name} unencrypted: give an https address, or name the variable "
                'with the key for this endpoint: api_key_env=NAME ("" sends none).'
            )
        self._timeout = timeout
        self._tries = tries
        self._backoff = backoff

    def post(self, body: Mapping[str, Any], meter: Meter) -> None:
        """Send a request until it is answered or refused, or the meter forbids it. The meter learns each outcome.

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
            # Reserved before the wait: if the cap forbids another try, there is nothing to wait for.
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
            return self._read(exchange(self.url, headers, data, timeout=self._timeout, sending=sending))
        except NoAnswer as error:
            return RequestOutcome(trouble=self._plain(str(error)), again=not error.final)

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
            return RequestOutcome(trouble=MALFORMED, length=length)

    def _pause(self, turn: int, asked: float | None, meter: Meter) -> float:
        if asked is None:
            # Random, so that workers that were refused together do not come back together.
            asked = min(self._backoff * 2.0 ** min(turn, 60) * (0.5 + random.random()), LONGEST_WAIT)
        if asked > LONGEST_WAIT:
            meter.waiting(asked)
        return min(asked, LONGEST_WAIT)

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
        """A text of the endpoint as a message can quote it. The key is hidden before the cut, which may leave half of
        it.
        """
        shown = "".join(c if c.isprintable() else " " for c in self.key.hide(text[:20_000]))
        return " ".join(shown.split())[:200]
