"""One bounded exchange over HTTP: a request goes to one host, and its answer ends in time and in size.

``http.client`` follows no redirect, opens no file and decompresses nothing. What it lacks is a bound on an answer as a
whole: its timeout starts again with every byte. Here every read of the socket passes :class:`_Bounded`, the status
line, the headers and the chunks' sizes among it.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tardif.errors import SettingError

MOST_BYTES = 4 << 20
"""The longest answer, its headers among it: a thousand times what a list of queries has."""

_PIECE = 1 << 16
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")


class NoAnswer(Exception):  # noqa: N818 - a message for a reader, caught where it is made one
    """The exchange came to nothing; says why.

    Args:
        why: such as "timed out".
        final: whether another try would be as vain.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The whole as a reader knows it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent: it is encrypted, or does not leave this machine."""
        if self.scheme == "https" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def find_address(url: str, ending: str) -> Address:
    """The address of an API's method, from its base or its whole URL.

    No message quotes the URL: what is wrong with it may be that it holds a password.

    Raises:
        SettingError: it is no http or https address, or holds more than a host, a port and a path.
    """
    parts, host, port = _split(url.strip() if isinstance(url, str) else "")
    if parts.scheme not in _PORTS or not host:
        raise SettingError("The endpoint is no address: give one such as https://host/v1.")
    if "@" in parts.netloc:
        raise SettingError("The endpoint's address holds a name or password: give the key in an environment variable.")
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or not (path.isascii() and path.isprintable()) or " " in path:
        raise SettingError("The endpoint's address holds more than a host and a path: leave out '?', '#' and spaces.")
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], path if path.endswith(ending) else path + ending)


def exchange(
    address: Address, headers: Mapping[str, str], data: bytes, *, timeout: float, sending: Callable[[], None]
) -> Response:
    """Post ``data`` and read the answer.

    A proxy that the environment names is used for https alone, as a tunnel: it sees neither key nor text.

    Args:
        timeout: seconds for the whole: connection, request and answer.
        sending: called once there is a connection, before anything is sent. Where it is not called, nothing was sent.

    Raises:
        NoAnswer: there was none, or it was cut: too late, too long, or not HTTP.
        SettingError: the proxy cannot be used.
    """
    deadline = time.monotonic() + timeout
    failed = "cannot be reached"
    connection = _connection(address, timeout)
    connection.response_class = _bounded_response(deadline)
    try:
        connection.connect()
        failed = "broke the connection off"
        sending()
        connection.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        connection.request("POST", address.path, data, {**headers, "Accept-Encoding": "identity"})
        with connection.getresponse() as response:
            body = b"".join(iter(lambda: response.read(_PIECE), b""))
            if response.length:  # http.client is silent about a body shorter than announced
                raise NoAnswer("its answer broke off")
            return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, body)
    except TimeoutError:
        raise NoAnswer("timed out") from None
    except OSError as error:
        raise NoAnswer(f"{failed} ({error.strerror or str(error) or type(error).__name__})") from None
    except http.client.IncompleteRead:
        raise NoAnswer("its answer broke off") from None
    except (http.client.HTTPException, ValueError):  # ValueError: sizes of chunks that are none
        raise NoAnswer("its answer is not HTTP") from None
    finally:
        connection.close()


def _connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    proxy = getproxies().get("https", "")
    if not proxy or proxy_bypass(address.host):
        return http.client.HTTPSConnection(address.host, address.port, timeout=timeout)
    parts, host, port = _split(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not host:
        raise SettingError("The proxy that the environment names for https is none of http://host:port: change it.")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    tunnel = http.client.HTTPSConnection(host, port or 80, timeout=timeout)
    tunnel.set_tunnel(address.host, address.port or 443, headers)
    return tunnel


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    """The parts of a URL, its host and its port; the host is empty where none can be."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        return parts, host if _HOST.fullmatch(host) else "", parts.port
    except ValueError:
        return SplitResult("", "", "", "", ""), "", None


class _Readable(Protocol):
    def readinto(self, buffer: Any, /) -> int | None: ...
    def close(self) -> None: ...


class _Bounded(io.RawIOBase):
    """The bytes of a socket, until a deadline and up to a number."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._bytes: _Readable = connected.makefile("rb", buffering=0)  # keeps the socket open, as http.client's own
        self._deadline = deadline
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)
        count = self._bytes.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise NoAnswer(f"answer over {MOST_BYTES >> 20} MiB", final=True)
        return count

    def close(self) -> None:
        self._bytes.close()
        super().close()


def _bounded_response(deadline: float) -> type[http.client.HTTPResponse]:
    class BoundedResponse(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            plain, self.fp = self.fp, io.BufferedReader(_Bounded(sock, deadline))
            plain.close()

    return BoundedResponse
