"""An atomic swap of the names of two folders or files."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# From <fcntl.h> and <linux/fs.h>.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# From <sys/stdio.h> of macOS.
_RENAME_SWAP = 2


def exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders or files in one step, so that both names exist at every moment.

    Returns:
        Whether the names were swapped. False means that nothing changed: Windows and some network file systems
        cannot swap, and the names may not be changeable at all.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    system = str(sys.platform)  # a str: mypy would take the other system's branch for unreachable
    if system == "linux" and (rename := getattr(ctypes.CDLL(None), "renameat2", None)):  # older C libraries lack it
        return int(rename(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)) == 0
    if system == "darwin" and (rename := getattr(ctypes.CDLL(None), "renamex_np", None)):
        return int(rename(first, second, _RENAME_SWAP)) == 0
    return False
