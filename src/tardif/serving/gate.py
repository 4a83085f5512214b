"""The gate: every request passes it before a route sees it. It checks who asks, and takes the body within its limits.

A body is read whole before anything is done, so a slow client holds a connection and no place in a queue. What is
refused before its body was read is answered with ``Connection: close``. A little of the body is taken first, because a
client may find its connection reset before it has read the answer.

A client that leaves takes its question with it: what waits in a queue for nobody would keep others waiting. Changes are
made all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tardif.errors import BusyError
from tardif.serving.authorization import Guard
from tardif.serving.limits import ServiceLimits
from tardif.serving.problems import ProblemError, of_http_error, of_library_error
from tardif.serving.service_options import ServiceOptions

# Bytes of a request's first line and headers.
HEAD_BYTES = 32 << 10
# What is read and dropped of a body that is refused.
_DROPPED_BYTES, _DROPPED_SECONDS = 1 << 20, 2.0
# What changes an index goes on without its client.
_CHANGES = ("PUT", "DELETE")


class Gate:
    """Middleware that refuses what may not be answered, and hands on requests with their whole body.

    Args:
        app: what answers.
        options: who may ask, and for how much.
    """

    def __init__(self, app: ASGIApp, options: ServiceOptions) -> None:
        self._app, self._limits = app, options.limits
        self._guard = Guard(options)
        self._buffered = 0  # bytes of bodies in memory, over all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, headers, self._limits, self._hold)
        try:
            _check_head(scope)
            self._guard.check(scope["method"], scope["path"], headers)
            await body.read()
            if scope["method"] in _CHANGES:
                await self._app(scope, body.replay, send)
            else:
                await self._answer(scope, body, send)
        except (ProblemError, BusyError) as error:
            answered = of_http_error if isinstance(error, ProblemError) else of_library_error
            answer = await answered(Request(scope), error)
            if not await body.dropped():
                answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
        except _ClientGoneError:
            return
        finally:
            self._buffered -= body.size

    async def _answer(self, scope: Scope, body: _Body, send: Send) -> None:
        """Answer, unless the client leaves first."""
        answer = asyncio.ensure_future(self._app(scope, body.replay, send))
        gone = asyncio.ensure_future(body.gone())
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise _ClientGoneError
            answer.result()
        finally:
            # The gate ends with both, also where it is cancelled itself.
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    def _hold(self, size: int) -> None:
        self._buffered += size
        if self._buffered > self._limits.buffered_bytes:
            raise BusyError("The bodies of other requests fill the service's memory: ask again in 1 s.", 1)


def _check_head(scope: Scope) -> None:
    """Refuse what the server lets pass: other versions of HTTP, and headers that came large but in one piece."""
    if scope.get("http_version", "1.1") not in ("1.0", "1.1"):
        raise ProblemError(505, "This service speaks HTTP/1.1.")
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEAD_BYTES:
        raise ProblemError(431, f"The headers, or the path, have more than {HEAD_BYTES:,} bytes.")


class _ClientGoneError(Exception):
    """The client closed the connection before it had sent the whole request."""


class _Body:
    """The body of a request, read once.

    Args:
        receive: gives the parts.
        headers: the request's.
        limits: its size and time.
        hold: called with the size of each part before it is kept.
    """

    def __init__(self, receive: Receive, headers: Headers, limits: ServiceLimits, hold: Callable[[int], None]) -> None:
        self._receive, self._headers, self._limits, self._hold = receive, headers, limits, hold
        self._parts: list[bytes] = []
        self._whole = self._given = False
        self.size = 0

    async def read(self) -> None:
        """Read the whole body.

        Raises:
            ProblemError: it is packed, too large or too slow.
            BusyError: other bodies fill the memory.
        """
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError(415, "Send the body as it is, without Content-Encoding.")
        length = self._headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._limits.body_bytes):
            raise self._too_large()
        seconds = self._limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                while not self._whole:
                    part = await self._part()
                    self.size += len(part)
                    self._hold(len(part))
                    if self.size > self._limits.body_bytes:
                        raise self._too_large()
                    self._parts.append(part)
        except TimeoutError:
            raise ProblemError(
                408, f"The body did not arrive within {seconds} s: send it faster, or in parts."
            ) from None

    async def dropped(self) -> bool:
        """Read a little more and drop it. Returns whether nothing is left."""
        self._parts.clear()
        if self._headers.get("expect"):  # the client waits for the answer before it sends anything
            return self._whole
        left = _DROPPED_BYTES
        try:
            async with asyncio.timeout(_DROPPED_SECONDS):
                while not self._whole and left > 0:
                    left -= len(await self._part())
        except TimeoutError:
            pass
        return self._whole

    async def gone(self) -> None:
        """Wait until the client closes the connection, or has its answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def replay(self) -> Message:
        """Give the body to a route, as a server would."""
        if self._given:
            return await self._receive()
        self._given = True
        body = b"".join(self._parts)
        self._parts.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def _part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        self._whole = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    def _too_large(self) -> ProblemError:
        most = self._limits.body_bytes
        return ProblemError(413, f"The body has more than {most:,} bytes: send it in parts.")
