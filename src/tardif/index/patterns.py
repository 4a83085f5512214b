r"""The patterns of ``like``: ``%`` for any run of characters, ``_`` for one, ``\`` before a character that is meant.

Case counts. In SQLite they run as GLOB: its LIKE folds the case of ASCII letters alone, and a setting of the connection
changes even that. In Python they run as searches for stretches of fixed length, so that none can backtrack.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_PATTERN = 1_000
"""Characters of one pattern: the time to match is at most its length times the text's. SQLite's own end is 50,000."""

_TOKENS = re.compile(r"\\(?P<escaped>.)|(?P<wild>[%_])|(?P<plain>[^\\%_]+)", re.DOTALL)
# SQLite reads both noncharacters as U+FFFD when it matches patterns.
_AS_SQLITE_READS = {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}


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


def like(pattern: str, text: str) -> bool:
    """Whether the whole of ``text`` is as ``pattern`` says."""
    text = text.translate(_AS_SQLITE_READS)
    (first, _), *rest = _stretches(pattern)
    if not rest:
        return first.fullmatch(text) is not None
    found = first.match(text)
    for stretch, _ in rest[:-1]:  # the leftmost match of each leaves the most room for the next
        found = found and stretch.search(text, found.end())
    last, length = rest[-1]
    begin = len(text) - length
    return found is not None and begin >= found.end() and last.fullmatch(text, begin) is not None


@lru_cache(maxsize=64)
def _stretches(pattern: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """What stands between the ``%`` of a pattern, each with the length of the texts that it matches."""
    stretches = [("", 0)]
    for token in _TOKENS.finditer(pattern.translate(_AS_SQLITE_READS)):
        if token["wild"] == "%":
            stretches.append(("", 0))
            continue
        words, length = stretches[-1]
        literal = token["escaped"] or token["plain"] or "_"
        stretches[-1] = (words + ("." if token["wild"] else re.escape(literal)), length + len(literal))
    return tuple((re.compile(words, re.DOTALL), length) for words, length in stretches)
