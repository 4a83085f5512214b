r"""Patterns of ``like``: ``%`` matches any run of characters, ``_`` one character, and ``\`` escapes the next one.

Case matters. Patterns run as SQLite's GLOB, because its LIKE ignores the case of ASCII letters only, and a setting of
the connection changes even that.
"""

from __future__ import annotations

import re

# Characters of one pattern. The time to match grows with its length times the text's; SQLite's own limit is 50,000.
MAX_PATTERN = 1_000

_TOKENS = re.compile(r"\\(?P<escaped>.)|(?P<wild>[%_])|(?P<plain>[^\\%_]+)", re.DOTALL)


def objection(pattern: str, *, escapes: bool = True) -> str:
    """Return why a pattern (or, without ``escapes``, a plain text to look for) cannot be used; "" if it can."""
    if len(pattern) > MAX_PATTERN:
        return f"at most {MAX_PATTERN:,} characters can be looked for, not {len(pattern):,}"
    if escapes and (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        return r"the pattern ends in a lone \ ; for a backslash write \\"
    return ""


def split(pattern: str) -> list[tuple[str, bool]]:
    """Return the parts of a pattern: texts, and signs (``%`` or ``_``, with True) between them.

    >>> split("100\\\\%_a%%")
    [('100%', False), ('_', True), ('a', False), ('%', True)]
    """
    found: list[tuple[str, bool]] = []
    for token in _TOKENS.finditer(pattern):
        if token["wild"]:
            if token["wild"] == "_" or found[-1:] != [("%", True)]:  # two % in a row match what one does
                found.append((token["wild"], True))
        else:
            text = token["escaped"] or token["plain"]
            if found and not found[-1][1]:
                text = found.pop()[0] + text
            found.append((text, False))
    return found


def glob(pattern: str) -> str:
    """Return a pattern in the syntax of SQLite's GLOB.

    >>> glob("100\\\\%_*")
    '100%?[*]'
    """
    words = []
    for token in _TOKENS.finditer(pattern):
        if token["wild"]:
            words.append("*" if token["wild"] == "%" else "?")
        else:
            # GLOB has no escape sign: a special character is put into a class of its own.
            words.append(re.sub(r"[*?\[]", r"[\g<0>]", token["escaped"] or token["plain"]))
    return "".join(words)
