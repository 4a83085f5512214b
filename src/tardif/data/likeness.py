"""What looks like an id and not like a text."""

from __future__ import annotations

import re

NEARLY_ALL = 0.95
"""The share of a column's values that must be ids, or look like ids, for it to be a column of ids."""

LIKE_AN_ID = r"[!-~]*[0-9_/:#.-][!-~]*"
"""No white space, plain characters, and a digit or a mark that words do not hold; for DuckDB and for Python."""

LONGEST = 200
"""Characters of what looks like an id."""

_WHOLE = re.compile(LIKE_AN_ID)


def looks_like_an_id(text: str) -> bool:
    """Whether a text looks like an id."""
    return len(text) <= LONGEST and _WHOLE.fullmatch(text) is not None
