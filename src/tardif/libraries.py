"""Loading of the large libraries, torch and sentence-transformers, and how much libraries log."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from importlib import import_module


def load_libraries() -> None:
    """Import torch and sentence-transformers at once, where they are needed.

    They make hundreds of thousands of objects and hardly any garbage. Looking for some meanwhile would take a seventh
    of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        import_module("sentence_transformers")
    finally:
        if collects:
            gc.enable()


def set_levels(loggers: Sequence[logging.Logger], levels: Sequence[int]) -> None:
    """Set the levels of some loggers at once.

    Where a level is set, all loggers forget what they knew of levels, and the libraries have thousands of loggers. So
    levels that do not change are left, and only the last change tells all.

    >>> library = logging.getLogger("library")
    >>> set_levels([library], [logging.ERROR])
    >>> library.isEnabledFor(logging.WARNING)
    False
    """
    changed = [(logger, level) for logger, level in zip(loggers, levels, strict=True) if logger.level != level]
    for logger, level in changed:
        logger.level = level
    for logger, level in changed[-1:]:
        logger.setLevel(level)
