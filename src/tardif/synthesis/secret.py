"""An API key that is sent to one endpoint and written nowhere."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterator
from itertools import groupby
from urllib.parse import quote_plus, unquote

from tardif.errors import SettingError

# This many characters in a row give a key away. A shorter key ("EMPTY", "ollama") keeps nothing secret.
_PIECE = 8

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _unescape_html(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character reference with thousands of digits
        return text


_READERS = (_unescape, unquote, _unescape_html)


class Secret:
    """The key in an environment variable, and every form of it that would give it away.

    Args:
        name: the variable; "" for no key.
        may_lack: whether an unset or empty variable means that there is no key; else it is an error.

    Raises:
        SettingError: ``name`` is no variable's name or the variable is not set, or the key holds characters that no
            key has.

    >>> Secret("").header
    {}
    """

    def __init__(self, name: str, *, may_lack: bool = True) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            # Not quoted: it is probably the key itself.
            raise SettingError("api_key_env is not the name of an environment variable: give the name, not the key.")
        self.name = name
        self._key = os.environ.get(name, "").strip() if name else ""
        if name and not self._key and not may_lack:
            # Not quoted: some keys look like names.
            raise SettingError('api_key_env names a variable that is not set: set it, or give "" to send no key.')
        if not (self._key.isascii() and self._key.isprintable()):
            # It cannot be a header's value, and the HTTP client would quote it in its message.
            raise SettingError(f"The key in {name} holds characters that no key has: set it again.")
        self._pieces = {piece.lower() for form in _forms(self._key) for piece in _pieces(form)}

    def __bool__(self) -> bool:
        return bool(self._key)

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    @property
    def header(self) -> dict[str, str]:
        """What shows the key to the endpoint."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def is_in(self, text: str) -> bool:
        """Whether a text holds the key, or eight characters of it in a row, plain or encoded."""
        return bool(self._pieces) and any(
            piece.lower() in self._pieces for read in dict.fromkeys(_readings(text)) for piece in _pieces(read)
        )

    def hide(self, text: str) -> str:
        """The text with ``***`` in place of every part that gives the key away."""
        if self._key and len(self._key) < _PIECE:
            return text.replace(self._key, "***")
        if not self.is_in(text):
            return text
        text = self._mask(text)
        for read in _READERS:
            text = self._mask(read(text))
        return text

    def _mask(self, text: str) -> str:
        shown = bytearray(b"\1" * len(text))
        for place, piece in enumerate(_pieces(text)):
            if piece.lower() in self._pieces:
                shown[place : place + _PIECE] = bytes(_PIECE)
        runs = ([place for place, _ in run] for _, run in groupby(enumerate(shown), key=lambda item: item[1]))
        return "".join(text[run[0] : run[-1] + 1] if shown[run[0]] else "***" for run in runs)


def _pieces(text: str) -> Iterator[str]:
    return (text[place : place + _PIECE] for place in range(len(text) - _PIECE + 1))


def _readings(text: str) -> Iterator[str]:
    """The text as it is, and with the escapes of JSON, then also of URLs, then also of HTML decoded."""
    yield text
    for read in _READERS:
        text = read(text)
        yield text


def _forms(key: str) -> Iterator[str]:
    """The key as it is, URL-encoded, in hexadecimal digits, and in base64 at each of three alignments.

    Base64 encodes groups of three bytes, so the key has another form after ``Bearer `` or ``user:``.
    """
    yield from _readings(key)
    yield quote_plus(key)
    yield key.encode().hex()
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")
        # The first and last characters also hold bits of the neighbouring bytes.
        inner = coded[-(-before * 8 // 6) : len(coded) - 1]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
