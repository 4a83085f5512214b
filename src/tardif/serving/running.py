"""Running of the service: it listens, serves, and stops in order.

A port is taken before any index is opened, so that a second service on it fails at once. SIGTERM and Ctrl-C end the
service after it has answered what it accepted; a second Ctrl-C ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from tardif.errors import SettingError, reason
from tardif.serving.access_log import log, set_up
from tardif.serving.application import create_app
from tardif.serving.connections import LimitedConnection
from tardif.serving.gate import HEAD_BYTES
from tardif.serving.served_index import ServedIndex
from tardif.serving.service_options import ServiceOptions

_BACKLOG = 512


def serve(
    folders: Mapping[str, Path | str],
    options: ServiceOptions,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    read_only: bool = False,
    feedback: Path | None = None,
    announce: Callable[[str], None] = lambda url: None,
) -> int:
    """Serve indexes until a signal stops it.

    Args:
        folders: the indexes, or their places in Qdrant, by their names.
        options: who may ask, and for how much.
        host: the address to listen on.
        port: 0 takes any free one.
        read_only: refuse every change.
        feedback: a file for judgements of hits.
        announce: called with the service's address when it is ready.

    Returns:
        The signal that stopped it.

    Raises:
        SettingError: the port cannot be listened on.
        FolderError: an index is damaged or missing.
        ModelError: an index has no query encoder.
    """
    with listen(host, port) as listener:
        indexes = {
            name: ServedIndex.open(
                folder, name=name, read_only=read_only, feedback=feedback, waiting=options.limits.waiting_queries
            )
            for name, folder in folders.items()
        }
        return serve_app(
            create_app(indexes, options), options, listener, partial(announce, url_of(host, listener.getsockname()[1]))
        )


def serve_app(app: Any, options: ServiceOptions, listener: socket.socket, announce: Callable[[], None]) -> int:
    """Serve an ASGI application until a signal stops it.

    Args:
        app: the application. When its lifespan ends, it closes what it holds.
        options: limits of connections, and how much is logged.
        listener: of :func:`listen`.
        announce: called when the service is ready.

    Returns:
        The signal that stopped it.
    """
    set_up(quiet=options.quiet)
    server = _Server(_config(app, options), announce)
    asyncio.run(server.serve([listener]))
    return server.stopped_by


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        SettingError: it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OverflowError:
        raise SettingError(f"--port {port}: give a number from 0 to 65535.") from None
    except socket.gaierror as error:
        raise SettingError(f"--host {host} is no address: {reason(error)}.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingError(
                f"Port {port} of {host} is in use by another program: stop it, or give another --port."
            ) from error
        raise SettingError(f"Cannot listen on port {port} of {host}: {reason(error)}.") from error


def url_of(host: str, port: int) -> str:
    """Return the address that a service listens on."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: Any, options: ServiceOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(LimitedConnection, limits=options.limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        # Headers of proxies are not believed: nothing here depends on who asked.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=options.limits.idle_seconds,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and returns instead of raising its signal again."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce
        self.stopped_by = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        log("started")
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted."""
        log("stopping", signal=self.stopped_by, connections=len(self.server_state.connections))
        await super().shutdown(sockets)
        log("stopped")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT for the time of serving."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; at the second Ctrl-C at once."""
        self.stopped_by = self.stopped_by or sig
        super().handle_exit(sig, frame)
