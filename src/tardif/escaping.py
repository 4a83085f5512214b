"""Escapes of control characters and invisible characters in text that is shown.

Texts, ids, file names and the errors of libraries come from anywhere. An escape sequence in them could clear the
screen, change the window's title or fill the clipboard. A direction override makes a line read as a different one. All
printed text passes through :func:`visible`. All printed JSON passes through :func:`json_text`, which uses JSON's own
escapes, so that the value reads back unchanged.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Controls (C0, DEL, C1) and lone surrogates; then Unicode's default-ignorable characters, which have no glyph, with
# the marks, overrides and isolates of direction and the line separators.
_UNSEEN = (
    "\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff"
    "\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
)
# Persian, the scripts of India and emoji families are spelt with joiners: one between two such characters stays.
_SPELT = "[^\\x00-\\u0589\\u2000-\\u206f]"
_JOINER = f"(?<!{_SPELT})[\\u200c\\u200d]|[\\u200c\\u200d](?!{_SPELT})"
_PLAIN = re.compile(f"[{_UNSEEN}]|{_JOINER}")


def visible(text: str, keep: str = "") -> str:
    r"""Return a text on one line, with escapes such as ``\x1b`` or ``\u202e`` for controls and invisible characters.

    Args:
        text: the text to show.
        keep: characters to leave as they are, such as the tab between two columns.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return _PLAIN.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(), text)


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as one JSON document that is safe to show and reads back to the same value.

    >>> json_text({"id": "a\x7fb"})
    '{"id": "a\\u007fb"}'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Outside its strings JSON is ASCII. The line ends there come from the indentation, and stay.
    return _PLAIN.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), text)


def _json_escape(character: str) -> str:
    units = memoryview(character.encode("utf-16", "surrogatepass")[2:]).cast("H")
    return "".join(f"\\u{unit:04x}" for unit in units)
