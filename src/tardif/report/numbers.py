"""Figures and times as a report writes them."""

from __future__ import annotations

import math

MINUS = "−"


def value(number: float, digits: int = 3) -> str:
    """Write a measure's value.

    >>> value(0.44321), value(float("nan"))
    ('0.443', 'not known')
    """
    return f"{number:.{digits}f}".replace("-", MINUS) if math.isfinite(number) else "not known"


def signed(number: float, digits: int = 3) -> str:
    """Write a difference, with its sign; what rounds to nothing has none.

    >>> signed(0.0314), signed(-0.2), signed(0.0)
    ('+0.031', '−0.200', '0.000')
    """
    text = f"{number:+.{digits}f}"
    return text[1:] if not float(text) else text.replace("-", MINUS)


def figure(number: object) -> str:
    """Write a number of any size with four digits, or with commas where it is whole.

    >>> figure(12345), figure(0.000030000001), figure(2.5)
    ('12,345', '3e-05', '2.5')
    """
    if isinstance(number, bool) or not isinstance(number, int | float):
        return str(number)
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"


def duration(seconds: float) -> str:
    """Write a time.

    >>> duration(4.2), duration(75), duration(7325)
    ('4.2 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def counted(count: int, one: str, many: str = "") -> str:
    """Write a count with its word.

    >>> counted(1, "query", "queries"), counted(1200, "query", "queries")
    ('1 query', '1,200 queries')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
