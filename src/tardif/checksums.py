"""The checksum of a file: against accidents, not against people."""

from __future__ import annotations

from pathlib import Path

import xxhash

_BLOCK = 1 << 20


def checksum(path: Path) -> str:
    """A file's XXH3 checksum of 128 bits, in hexadecimal: it finds damage at the speed of the disk.

    Raises:
        OSError: it cannot be read.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
