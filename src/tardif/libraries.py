"""Loading of the large libraries, torch and sentence-transformers, and how much libraries log."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

_THE_LAST = "sentence_transformers"
_PROCESS = {"own": False}


def own_process() -> None:
    """Say that this process runs Tardif alone: it never looks for garbage in what the libraries make as they load.

    Each search through that takes .4 s, and there are several in a short run. In a user's program it is done: what is
    exempt is never freed, and some of it may be the user's.
    """
    _PROCESS["own"] = True


def load_libraries() -> None:
    """Import torch and sentence-transformers at once, where they are needed.

    They make hundreds of thousands of objects and hardly any garbage. Looking for some meanwhile would take a seventh
    of the time.
    """
    collects, fresh = gc.isenabled(), _THE_LAST not in sys.modules
    gc.disable()
    try:
        import_module(_THE_LAST)
        if _PROCESS["own"] and fresh:
            gc.freeze()
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
