"""Connections of the service: uvicorn's, with the time limits that it lacks, and a limit on their number.

uvicorn waits without end for the headers of a first request, and for a client that does not read its answer. A few
thousand such clients would hold all of a server's connections (slow loris).
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tardif.serving.limits import ServiceLimits

# A client that reads no more than this in the time to write is taken for gone.
_PROGRESS = 1 << 16


class LimitedConnection(H11Protocol):
    """A connection whose client has limited time: to send the headers of a request, and to read an answer.

    Args:
        limits: the times, and the number of connections.
        arguments: of uvicorn.
    """

    def __init__(self, *, limits: ServiceLimits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, unless there are too many."""
        _send_at_once(transport)
        # Every byte that waits to be sent counts as waiting: the loop then tells of the first and of the last one.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._is_refused = True
            self._refuse(503, "The service has too many connections: ask again in 1 s.", [(b"retry-after", b"1")])
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request. While its headers are not complete, their time runs on."""
        if self._is_refused:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
        elif self._head_timer is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """After an answer the connection may be idle (uvicorn's own timer), or hold the next request already."""
        self._head_came()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(408, f"The headers did not arrive within {self._limits.head_seconds} s.")

    def pause_writing(self) -> None:
        """Begin to count: the client must read."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read everything."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch(self, waiting: int) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self._check_progress, waiting)

    def _check_progress(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting and waiting > before - _PROGRESS:
            self.transport.abort()
        else:
            self._watch(waiting)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(status, "The request is not HTTP, or its headers are too large.")

    def _refuse(self, status: int, detail: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Answer with a problem document, without a request, and close the connection."""
        from http import HTTPStatus

        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
        lines = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *(headers or []),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events = (
                h11.Response(status_code=status, headers=lines, reason=title.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Switch Nagle's algorithm off: it keeps an answer's body back until the client has acknowledged the headers, which
    a client delays by 40 ms. asyncio does it only where a socket names its protocol, which accepted ones do not."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
