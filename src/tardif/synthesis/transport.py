"""One bounded HTTP exchange: a request goes to one host, and its answer is limited in time and in size.

httpx follows no redirect unless it is asked to, and its raw stream is never decompressed. Its timeouts, however, start
again with every byte read. So each exchange runs on a short event loop of its own, where one deadline cancels it as a
whole, and the body is counted as it arrives. The status line, headers and trailers are limited by h11, to 100 KiB.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from tardif.errors import SettingError

# The longest body of an answer: a thousand times what a list of queries needs.
MOST_BYTES = 4 << 20

_METHOD = "/chat/completions"
_PORTS = {"http": 80, "https": 443}
# Characters of an address. httpx refuses 65,536 with an error of its own.
_LONGEST = 2000
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")


class NoAnswer(Exception):  # noqa: N818 - a message for a reader, caught where it is made one
    """An exchange without an answer; the message says why.

    Args:
        why: such as "timed out".
        final: whether another try would fail as well.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Response(NamedTuple):
    """The answer to a request, whatever its status; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def find_address(url: Any) -> str:
    """Return the URL of an API's chat method, from the API's base or the method's own URL.

    No message quotes the URL: it may be wrong because it holds a password.

    Raises:
        SettingError: it is no http or https address, or holds more than a host, a port and a path.

    >>> find_address("https://host/v1/")
    'https://host/v1/chat/completions'
    """
    parts, host, port = _split(url.strip() if isinstance(url, str) else "")
    if parts.scheme not in _PORTS or not host or len(url) > _LONGEST:
        raise SettingError("The endpoint is no address: give one such as https://host/v1.")
    if "@" in parts.netloc:
        raise SettingError("The endpoint's address holds a name or password: give the key in an environment variable.")
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or not (path.isascii() and path.isprintable()) or " " in path:
        raise SettingError("The endpoint's address holds more than a host and a path: leave out '?', '#' and spaces.")
    place = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[parts.scheme]):
        place += f":{port}"
    return f"{parts.scheme}://{place}{path.removesuffix(_METHOD)}{_METHOD}"


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent: it is encrypted, or does not leave this machine.

    >>> is_private("https://host/v1"), is_private("http://[::1]/v1"), is_private("http://10.0.0.1/v1")
    (True, True, False)
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def exchange(
    url: str, headers: Mapping[str, str], data: bytes, *, timeout: float, sending: Callable[[], None]
) -> Response:
    """Post ``data`` and read the answer.

    A proxy that the environment names is used for https alone, as a tunnel: it sees neither key nor text.

    Args:
        url: as :func:`find_address` returns it.
        headers: of the request.
        data: its body.
        timeout: seconds for connection, request and answer together.
        sending: called once there is a connection, before anything is sent. If it is not called, nothing was sent.

    Raises:
        NoAnswer: there was none, or it was cut: too late, too long, or not HTTP.
        SettingError: the proxy cannot be used.
    """
    # httpcore logs the headers of every answer at DEBUG, and an endpoint may echo the key in them.
    logging.getLogger("httpcore2.http11").setLevel(logging.INFO)
    return asyncio.run(_exchange(url, headers, data, timeout, sending))


async def _exchange(
    url: str, headers: Mapping[str, str], data: bytes, timeout: float, sending: Callable[[], None]
) -> Response:
    import httpx2

    failed = "cannot be reached"

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        nonlocal failed
        # The request for a proxy's tunnel (CONNECT) sends nothing to the endpoint.
        if event == "http11.send_request_headers.started" and info["request"].method == b"POST":
            sending()
            failed = "broke the connection off"

    # The environment is not trusted: httpx would send what is not encrypted through its proxies as well.
    client = httpx2.AsyncClient(proxy=_proxy(url), verify=_certificates(), trust_env=False, timeout=None)
    request = client.build_request(
        "POST", url, content=data, headers={**headers, "Accept-Encoding": "identity"}, extensions={"trace": trace}
    )
    body = bytearray()
    try:
        async with asyncio.timeout(timeout), client:
            response = await client.send(request, stream=True)
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise NoAnswer(f"answer over {MOST_BYTES >> 20} MiB", final=True)
    except TimeoutError:
        raise NoAnswer("timed out") from None
    except httpx2.RemoteProtocolError as error:
        raise NoAnswer(_broken(str(error))) from None
    except httpx2.ProxyError as error:
        raise NoAnswer(f"{failed} (the proxy refuses the tunnel: {error})") from None
    except httpx2.TransportError as error:
        raise NoAnswer(f"{failed} ({str(error) or type(error).__name__})") from None
    return Response(response.status_code, response.headers, bytes(body))


def _broken(message: str) -> str:
    """What is wrong with an answer, by the message of h11 or httpcore, which may quote it and is not passed on."""
    if message.startswith("Server disconnected"):
        return "broke the connection off"
    return "its answer broke off" if message.startswith("peer closed connection") else "its answer is not HTTP"


@cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates. Reading them takes as long as a short request, so they are read once."""
    return ssl.create_default_context()


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    proxy = getproxies().get("https", "") if parts.scheme == "https" else ""
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    found, host, _ = _split(proxy)
    if found.scheme != "http" or not host:
        raise SettingError("The environment's proxy for https cannot be used: give one of the form http://host:port.")
    return proxy


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    """The parts of a URL, its host and its port; the host is empty if it is no host."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        return parts, host if _HOST.fullmatch(host) else "", parts.port
    except ValueError:
        return SplitResult("", "", "", "", ""), "", None
