"""Memory that a step or a sub-batch frees stays with the process for the next one."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _DEFAULT_TRIM, _DEFAULT_MAPS = 2**31 - 1, 128 * 1024, 65536


_lock = threading.Lock()
_holders = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed blocks on the heap while this lasts, in any thread; give them back when the last one ends.

    glibc maps a block of some megabytes anew each time and returns it when it is freed, and so every step of a
    training pays the kernel again for zeroing a gigabyte. Elsewhere than on Linux with glibc this does nothing.
    """
    library = _glibc()
    if library is None:
        yield
        return
    _hold(library, 1)
    try:
        yield
    finally:
        _hold(library, -1)


def _hold(library: ctypes.CDLL, change: int) -> None:
    global _holders
    with _lock:
        before, _holders = _holders, _holders + change
        if not before:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, _NEVER)
        elif not _holders:
            library.mallopt(_MMAP_MAX, _DEFAULT_MAPS)
            library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM)
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # musl has none, and a mallopt that does nothing
    except (OSError, AttributeError):
        return None
    return library
