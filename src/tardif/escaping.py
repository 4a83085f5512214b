"""Text made safe to show: what a terminal would obey, or a reader could not see, becomes a visible escape.

Texts, ids, names of columns and files, and what libraries say of them come from anywhere. An escape sequence in one
could clear the screen, retitle the window or fill the clipboard; an override of direction makes a line read as another
one. Whatever is printed goes through :func:`visible`; whatever is printed as JSON through :func:`json_text`, which
says the same in JSON's own escapes, so that it reads back as it was.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Controls (C0, DEL, C1) and half characters; then what Unicode calls default-ignorable (it has no glyph), and the
# marks, overrides and isolates of direction and the line separators among it.
_UNSEEN = (
    "\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff"
    "\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
)
# Persian, the scripts of India and families of emoji are spelt with joiners: those stay between two such characters.
_SPELT = "[^\\x00-\\u0589\\u2000-\\u206f]"
_JOINER = f"(?<!{_SPELT})[\\u200c\\u200d]|[\\u200c\\u200d](?!{_SPELT})"
_PLAIN = re.compile(f"[{_UNSEEN}]|{_JOINER}")


def visible(text: str, keep: str = "") -> str:
    r"""``text`` on one line, with ``\x1b``, ``\u202e`` and the like for what is not to be seen or not to be obeyed.

    Args:
        text: what is to be shown.
        keep: characters that stay what they are, such as the tab between two columns.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return _PLAIN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def json_text(value: Any, indent: int | None = None) -> str:
    """One JSON document as text that is safe to show and reads back to the same value."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Outside its strings JSON is ASCII, and the line ends between them are our own.
    return _PLAIN.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), text)


def _escape(character: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    units = memoryview(character.encode("utf-16", "surrogatepass")[2:]).cast("H")
    return "".join(f"\\u{unit:04x}" for unit in units)
