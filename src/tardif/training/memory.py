"""Memory that a step frees stays with the process for the next one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _DEFAULT_TRIM, _DEFAULT_MAPS = 2**31 - 1, 128 * 1024, 65536


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed blocks on the heap while this lasts; give them back at the end.

    glibc maps a block of some megabytes anew each time and returns it when it is freed, and so every step of a
    training pays the kernel again for zeroing a gigabyte. Elsewhere than on Linux with glibc this does nothing.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
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
