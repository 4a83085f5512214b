"""Reuse of freed memory between steps, by settings of glibc's malloc: freed blocks stay with the process."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt, from <malloc.h>, and glibc's defaults.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _DEFAULT_TRIM, _DEFAULT_MAPS = 2**31 - 1, 128 * 1024, 65536

_lock = threading.Lock()
_holders = 0  # threads that are inside kept_memory now


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed blocks on the heap within the block, in all threads. When the last one leaves, return them.

    glibc maps every block of some megabytes afresh and unmaps it when it is freed, so in each training step the kernel
    zeroes about a gigabyte again. On other systems than Linux with glibc this does nothing.
    """
    global _holders  # noqa: PLW0603  one count for the process
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _holders += 1
        if _holders == 1:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                library.mallopt(_MMAP_MAX, _DEFAULT_MAPS)
                library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM)
                library.malloc_trim(0)


def release_memory() -> None:
    """Return freed blocks to the system now, where glibc keeps them: some 30 MB after a model was opened."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    # musl lacks this function, and its mallopt does nothing.
    return library if hasattr(library, "gnu_get_libc_version") else None
