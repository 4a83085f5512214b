"""Who may ask the service: tokens, the names of this machine, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tardif.errors import SettingError, reason
from tardif.file_reading import read_bounded
from tardif.folders import expanded
from tardif.serving.problems import ProblemError
from tardif.serving.service_options import ServiceOptions

TOKEN_VARIABLE = "TARDIF_TOKEN"
# Characters of a token. 16 random letters cannot be guessed.
_LEAST, _MOST = 16, 1_000
# What a header can carry, without spaces (RFC 6750).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
# What needs no token: whether the service lives, and the page, which asks for the token.
PUBLIC = frozenset({"/healthz", "/readyz", "/"})
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token that clients must send: from a file, or from the variable TARDIF_TOKEN; None without either.

    Never from the command line: every user of a machine can read the arguments of its processes.

    Raises:
        SettingError: it cannot be read, is short, or holds what a header cannot carry.
    """
    if file is not None:
        where = str(file)
        try:
            token = read_bounded(expanded(file), _MOST + 2).decode("utf-8", "replace").strip()
        except OSError as error:
            raise SettingError(f"--token-file {file} cannot be read: {reason(error)}.") from error
    elif TOKEN_VARIABLE in environment:
        where, token = TOKEN_VARIABLE, environment[TOKEN_VARIABLE].strip()
    else:
        return None
    way_out = 'python -c "import secrets; print(secrets.token_urlsafe())" makes a good one'
    if not _LEAST <= len(token) <= _MOST:
        raise SettingError(
            f"{where}: the token has {len(token)} characters, and must have {_LEAST} to {_MOST}: {way_out}."
        )
    if not _TOKEN.fullmatch(token):
        raise SettingError(f"{where}: a token has only letters, digits and . _ ~ + / = -: {way_out}.")
    return token


def is_loopback(host: str) -> bool:
    """Return whether an address of this machine is reached only from this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # no address at all: listening says so
        return False
    # A scope, as in fe80::1%eth0, is no part of the address.
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def check_origin(origin: str) -> str:
    """Return an origin that may ask from a browser, as browsers write it.

    Raises:
        SettingError: it is no origin.

    >>> check_origin("https://Search.example/")
    'https://search.example'
    """
    plain = origin.strip().rstrip("/").lower()
    if not _ORIGIN.fullmatch(plain):
        raise SettingError(f"--allow-origin {origin}: give scheme and host, such as https://search.example.")
    return plain


class Guard:
    """Checks who asks, before anything of a request's body is read.

    Args:
        options: who may ask.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._token = None if options.token is None else _digest(options.token.encode())
        named = {urlsplit(origin).hostname for origin in options.allow_origins}
        self._hosts = {"localhost", *filter(None, named)}

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Refuse a request that may not be answered.

        Raises:
            ProblemError: it names another machine, comes from a page of another origin, or lacks the token.
        """
        self._check_host(headers)
        self._check_origin(method, headers)
        if self._token is None or method == "OPTIONS" or path in PUBLIC or path.startswith("/page/"):
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Digests have one length, so the comparison takes the same time for every guess.
        right = hmac.compare_digest(_digest(given.strip().encode("utf-8", "surrogateescape")), self._token)
        if scheme.lower() != "bearer" or not right:
            said = "The token is wrong." if given else "This service needs a token."
            raise ProblemError(401, f"{said} Send it as Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """Without a token a service on loopback is protected by being reached from this machine alone. A page in a
        browser on this machine could have its own name resolved to 127.0.0.1; its requests name that host."""
        if self._token is not None or not self._options.loopback:
            return
        if "host" not in headers:  # of HTTP/1.0, which no browser sends
            return
        host = _host_of(headers["host"])
        if host in self._hosts or _is_loopback_address(host):
            return
        raise ProblemError(
            421,
            "This service has no token, so it answers only requests to localhost or 127.0.0.1; the Host header names "
            "another host. Start it with a token, or name the page that asks with --allow-origin.",
        )

    def _check_origin(self, method: str, headers: Mapping[str, str]) -> None:
        """Pages of other origins may not have a browser send what searches or changes."""
        origin = headers.get("origin")
        if origin is None or method in _SAFE_METHODS or origin.lower() in self._options.allow_origins:
            return
        # The scheme may differ: a proxy takes https and asks with http.
        if origin.lower().partition("://")[2] != headers.get("host", "").lower():
            raise ProblemError(
                403, "The request comes from a page of another origin: start the service with --allow-origin ORIGIN."
            )


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _host_of(header: str) -> str:
    """The host in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
