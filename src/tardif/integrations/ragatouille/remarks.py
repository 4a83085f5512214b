"""Remarks on arguments that mean nothing here: each is made once a process."""

from __future__ import annotations

import warnings

_MADE: set[str] = set()


def ignored(name: str, reason: str) -> None:
    """Warn that an argument is ignored, once a process for each argument.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     ignored("use_faiss", "no index needs faiss")
    ...     ignored("use_faiss", "no index needs faiss")
    >>> [str(warning.message) for warning in caught]
    ['use_faiss is ignored: no index needs faiss.']
    """
    if name not in _MADE:
        _MADE.add(name)
        warnings.warn(f"{name} is ignored: {reason}.", UserWarning, stacklevel=3)
