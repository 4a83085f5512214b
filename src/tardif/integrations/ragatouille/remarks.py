"""Remarks on arguments that mean nothing here: each is made once a process."""

from __future__ import annotations

import warnings

_MADE: set[str] = set()


def ignored(name: str, reason: str) -> None:
    """Warn that an argument is ignored, once a process for each argument.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     ignored("an_argument", "nothing needs it")
    ...     ignored("an_argument", "nothing needs it")
    >>> [str(warning.message) for warning in caught]
    ['an_argument is ignored: nothing needs it.']
    """
    if name not in _MADE:
        _MADE.add(name)
        warnings.warn(f"{name} is ignored: {reason}.", UserWarning, stacklevel=3)
