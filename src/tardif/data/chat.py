"""A chat endpoint spoken to with the standard library: retries, no redirects, and a key that stays secret."""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tardif.errors import DataError, SettingError

_PASSING = (408, 409, 425, 429)


class ChatClient:
    """Posts JSON to a chat endpoint, again while it is busy.

    Redirects are not followed, so the key goes to no other host; no message holds it.

    Args:
        url: the API's base (``https://host/v1``) or its full ``.../chat/completions``.
        key_name: the environment variable that holds the key; unset or empty, none is sent.
        timeout: seconds to wait for an answer.
        tries: how often a request is sent while the endpoint is busy or failing (429, 5xx, no connection).
        backoff: seconds before the second try; doubled every time, unless the endpoint says how long.

    Raises:
        SettingError: no such address can be, or the key holds characters that none has.
    """

    def __init__(self, url: str, key_name: str, timeout: float, tries: int, backoff: float) -> None:
        self.url = _completions(url)
        self.stop = threading.Event()
        """Set once a request has failed for good: no other should be begun or tried again."""
        self._key = os.environ.get(key_name, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            # http.client would quote it in its own message.
            raise SettingError(f"The key in {key_name} holds characters that no key has: set it again.")
        self._key_name = key_name
        self._timeout = timeout
        self._tries = tries
        self._backoff = backoff
        self._opener = urllib.request.build_opener(_NoRedirect)

    def post(self, body: Mapping[str, Any]) -> Any:
        """The endpoint's JSON, or None where it answers with something else.

        Raises:
            DataError: it keeps failing.
            SettingError: it refuses the request.
        """
        trouble = ""
        for turn in range(self._tries):
            delay: float | None = None
            try:
                return self._once(body)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _PASSING and error.code < 500:
                        self.stop.set()
                        raise self._refusal(error) from None
                    trouble, delay = f"answered {error.code}", _retry_after(error)
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                trouble = f"cannot be reached ({self._hide(str(reason)) or type(error).__name__})"
            if turn + 1 < self._tries and self.stop.wait(self._pause(turn) if delay is None else delay):
                break
        self.stop.set()
        raise DataError(
            f"{trouble}, {self._tries} times in a row: try again later; the answers so far are kept.", self.url
        )

    def _once(self, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        request = urllib.request.Request(self.url, data, headers, method="POST")
        with self._opener.open(request, timeout=self._timeout) as response:
            raw = response.read()
        try:
            return json.loads(raw)
        except ValueError:
            return None

    def _pause(self, turn: int) -> float:
        # Some chance in it, so that workers who were refused together do not come back together.
        return self._backoff * 2.0**turn * (0.5 + random.random())

    def _refusal(self, error: urllib.error.HTTPError) -> SettingError:
        if error.code in (401, 403):
            state = "is it right?" if self._key else "it is not set."
            return SettingError(f"{self.url} refuses the key ({error.code}) in {self._key_name}: {state}")
        if 300 <= error.code < 400:
            return SettingError(f"{self.url} redirects ({error.code}): give the address it leads to.")
        said = self._hide(" ".join(error.read(500).decode("utf-8", "replace").split()))[:200]
        return SettingError(f"{self.url} refuses the request ({error.code}): check address and model. It says: {said}")

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the key along to wherever a redirect leads."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def _completions(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"The endpoint {url!r} is no address: give one such as https://host/v1.")
    if parts.username or parts.password:
        raise SettingError("The endpoint's address holds a name or password: give the key in an environment variable.")
    base = url.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    try:
        return min(max(float(error.headers.get("Retry-After", "")), 0.0), 60.0)
    except ValueError:
        return None
