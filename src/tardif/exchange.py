"""Two names swapped in one step, where the system and the file system can."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

# From <fcntl.h> and <linux/fs.h>; from <sys/stdio.h> of macOS.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_RENAME_SWAP = 2


def exchange(one: Path, other: Path) -> bool:
    """Have each of two folders or files take the other's name; at no moment is there neither.

    Returns:
        Whether it was done. It is not on Windows, on file systems that cannot (some network mounts), and where the
        names cannot be changed at all: then nothing was changed.
    """
    swap = _swap()
    return swap is not None and swap(os.fsencode(one), os.fsencode(other)) == 0


@cache
def _swap() -> Callable[[bytes, bytes], int] | None:
    """The C library's call, which gives 0 when it has swapped; None where there is none."""
    names = {"linux": "renameat2", "darwin": "renamex_np"}
    system, text, number = str(sys.platform), ctypes.c_char_p, ctypes.c_int
    if system not in names:
        return None
    call = getattr(ctypes.CDLL(None), names[system], None)  # older C libraries lack it
    if call is None:
        return None
    call.restype = number
    if system == "linux":
        call.argtypes = [number, text, number, text, ctypes.c_uint]
        return lambda one, other: int(call(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE))
    call.argtypes = [text, text, ctypes.c_uint]
    return lambda one, other: int(call(one, other, _RENAME_SWAP))
