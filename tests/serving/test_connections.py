"""Connections of the service: what a client sees of them beyond the limits (tests/slow/test_serve.py)."""

import asyncio
import socket

import pytest

pytest.importorskip("fastapi")
import uvicorn
from uvicorn.server import ServerState

from tardif.serving.connections import LimitedConnection
from tardif.serving.limits import ServiceLimits
from tardif.serving.running import listen


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"hits"})


def test_an_answers_body_does_not_wait_until_the_client_has_acknowledged_its_headers():
    config = uvicorn.Config(answer, ws="none", lifespan="off", log_config=None)
    config.load()
    accepted = []

    def connection():
        accepted.append(
            LimitedConnection(limits=ServiceLimits(), config=config, server_state=ServerState(), app_state={})
        )
        return accepted[-1]

    async def ask():
        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.get_running_loop().create_server(connection, sock=listener)
            async with server:
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reader.readuntil(b"hits")
                own = accepted[0].transport.get_extra_info("socket")
                nodelay = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                accepted[0].transport.abort()
                writer.close()
                return nodelay

    assert asyncio.run(ask()), "Nagle's algorithm keeps a second write back for up to 40 ms"
