"""Checksums of files and of JSON values. They find accidents, not attacks."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import xxhash

from tardif.errors import reason


def checksum(path: Path) -> str:
    """Return a file's XXH3 checksum of 128 bits, in hexadecimal.

    XXH3 runs at the speed of the disk; SHA-256 is several times slower.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def fault(path: Path, expected: str) -> str:
    """Return what is wrong with a file that had this checksum, to follow its path in an error; empty if nothing is."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe could be read for ever
            return "is not a regular file"
        return "" if checksum(path) == expected else "is damaged: its checksum is not the recorded one"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read ({reason(error)})"


def json_checksum(value: Any) -> str:
    """Return the same checksum of a value as JSON, whatever the order of its keys. Other types count as their text.

    >>> json_checksum({"a": 1, "b": 2}) == json_checksum({"b": 2, "a": 1})
    True
    """
    return xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True, default=str).encode())
