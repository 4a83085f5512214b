"""Reading of files that may be damaged, huge, or not files at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

# Bytes that a JSON file may hold: far above any that Tardif writes, and far below what fills a memory.
LARGEST_JSON = 1 << 28


def read_bounded(path: Path, most: int = LARGEST_JSON) -> bytes:
    """Read a regular file of at most ``most`` bytes, so that no file can block the caller or fill the memory.

    Raises:
        OSError: the file is missing, larger, or not regular (a pipe, a device, a folder).
    """
    # Without O_NONBLOCK, opening a pipe without a writer waits for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = bytearray()
        # Not the size that the system reports: a file may grow, and those in /proc report 0.
        while len(data) <= most and (block := os.read(handle, 1 << 20)):
            data += block
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes")
        return bytes(data)
    finally:
        os.close(handle)


def parse_json(data: bytes) -> Any:
    """Parse a JSON document in UTF-8.

    Raises:
        ValueError: it is damaged, or nested too deeply.

    >>> parse_json(b'{"dim": 128}')
    {'dim': 128}
    """
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
