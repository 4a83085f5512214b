r"""The patterns of ``like``: ``%`` for any run of characters, ``_`` for one, ``\`` before a character that is meant.

Case counts. They run as SQLite's GLOB: its LIKE folds the case of ASCII letters alone, and a setting of the connection
changes even that.
"""

from __future__ import annotations

import re

MAX_PATTERN = 1_000
"""Characters of one pattern: the time to match is at most its length times the text's. SQLite's own end is 50,000."""

_TOKENS = re.compile(r"\\(?P<escaped>.)|(?P<wild>[%_])|(?P<plain>[^\\%_]+)", re.DOTALL)


def objection(pattern: str, *, escapes: bool = True) -> str:
    """Why a pattern, or without ``escapes`` a text to look for, cannot be used; empty where it can."""
    if len(pattern) > MAX_PATTERN:
        return f"at most {MAX_PATTERN:,} characters can be looked for, not {len(pattern):,}"
    if escapes and (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        return r"the pattern ends in a lone \ ; for a backslash write \\"
    return ""


def glob(pattern: str) -> str:
    """The pattern in the words of SQLite's GLOB."""
    words = []
    for token in _TOKENS.finditer(pattern):
        if token["wild"]:
            words.append("*" if token["wild"] == "%" else "?")
        else:
            words.append(re.sub(r"[*?\[]", r"[\g<0>]", token["escaped"] or token["plain"]))
    return "".join(words)
