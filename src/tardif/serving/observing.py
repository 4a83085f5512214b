"""The outermost layer of the service: every answer has its headers, its count and its line in the log.

It also answers HEAD as GET without a body, and turns an unexpected error into an answer of 500.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tardif.serving.access_log import described, failure_of, log
from tardif.serving.metrics import Metrics
from tardif.serving.problems import problem

REQUEST_ID = "X-Request-Id"
# An id of a proxy is taken over, if it cannot break a line or a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The status, in log and metrics only, of a request whose client left before it was answered.
_GONE = 499
# The page sets its own policy; everything else is data, and may not be shown in a frame, or be taken for a script.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Observer:
    """Middleware that sees every request and every answer.

    Args:
        app: what answers.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        # A copy, because the server looks at its own: it leaves out the body of an answer to HEAD.
        inner = {"state": {}, **scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        answer = _Answer(send, name, without_body=scope["method"] == "HEAD")
        started = time.perf_counter()
        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(inner, receive, answer.send)
            except Exception as error:
                inner["state"]["tardif.failure"] = described(error)
                if answer.status:  # half an answer was sent: the server closes the connection
                    raise
                detail = "The service failed. Its log has the reason, under this request's id."
                await problem(500, detail)(inner, receive, answer.send)
            finally:
                self._note(scope, inner, answer, time.perf_counter() - started)

    def _note(self, scope: Scope, inner: MutableMapping[str, Any], answer: _Answer, seconds: float) -> None:
        """Count an answer and write its line."""
        status = answer.status or _GONE
        route = getattr(inner.get("route"), "path_format", None) or "other"
        self._metrics.answered(scope["method"], route, status, seconds)
        client = scope.get("client")
        failure = failure_of(inner)
        level = logging.ERROR if status >= 500 and failure else logging.INFO
        log(
            "request",
            level,
            id=answer.name,
            method=scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 10 else "other",
            route=route,
            index=inner["state"].get("tardif.index"),
            status=status,
            ms=round(seconds * 1000, 2),
            bytes=answer.bytes,
            client=client[0] if client else None,
            **failure,
        )


class _Answer:
    """Sends an answer on with its headers, and remembers what it was."""

    def __init__(self, send: Send, name: str, *, without_body: bool) -> None:
        self._send, self.name, self._without_body = send, name, without_body
        self.status = self.bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for header, value in _HEADERS.items():
                headers.setdefault(header, value)
            headers[REQUEST_ID] = self.name
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
            if self._without_body:
                message = {**message, "body": b""}
        await self._send(message)
