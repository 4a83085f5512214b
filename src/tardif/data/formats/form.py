"""The user's options for the file of a table: separator, encoding, sheet."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from tardif.checks import shown
from tardif.errors import SettingError

# Characters that no message can show.
_SPOKEN = {"\t": "a tab", " ": "a space"}

# Names for separators that a shell makes hard to type.
_WRITTEN = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


@dataclass(frozen=True, slots=True)
class Form:
    """Options for the file of a table; what is None is detected.

    Attributes:
        separator: the character between cells.
        encoding: the encoding of a table or of JSON lines.
        sheet: the name of a workbook's sheet.
    """

    separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None

    @classmethod
    def of(cls, separator: str | None = None, encoding: str | None = None, sheet: str | None = None) -> Form:
        """Check the user's options.

        Args:
            separator: a character, or ``tab``, ``comma``, ``semicolon``, ``pipe``, ``space``.
            encoding: a name that Python knows, such as ``cp1252``.
            sheet: a sheet's name.

        Raises:
            SettingError: an option has an impossible value.

        >>> Form.of("semicolon", "latin-1")
        Form(separator=';', encoding='iso8859-1', sheet=None)
        """
        return cls(_separator(separator), _encoding(encoding), _sheet(sheet))


def spoken(separator: str) -> str:
    """A separator as messages name it.

    >>> spoken("\\t"), spoken(";")
    ('a tab', "';'")
    """
    return _SPOKEN.get(separator, repr(separator))


def _separator(given: Any) -> str | None:
    if given is None:
        return None
    found = _WRITTEN.get(given.lower(), given) if isinstance(given, str) else ""
    if len(found) != 1 or found.isalnum() or found in '"\r\n\0':
        raise SettingError(f"separator={shown(given)}: give one character, such as ';', or tab (--separator).")
    return found


def _encoding(given: Any) -> str | None:
    if given is None:
        return None
    try:
        found = codecs.lookup(given)
        # codecs.lookup also finds hex and rot13, which give no text, and encodings of host names.
        if not getattr(found, "_is_text_encoding", True) or found.name in ("idna", "punycode", "undefined"):
            raise LookupError
    except (LookupError, TypeError, ValueError):
        raise SettingError(
            f"encoding={shown(given)}: no encoding of this name is known; give one such as utf-8, cp1252 or utf-16 "
            "(--encoding)."
        ) from None
    return found.name


def _sheet(given: Any) -> str | None:
    if given is not None and (not isinstance(given, str) or not given):
        raise SettingError(f"sheet={shown(given)}: give a sheet's name (--sheet).")
    return given
