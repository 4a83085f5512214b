"""Loading of the large libraries, torch and sentence-transformers."""

from __future__ import annotations

import gc
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
