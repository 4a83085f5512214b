"""Collections as they come: one archive each, unpacked outside the project."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpacked(source: Path, into: Path) -> Path:
    """The BEIR folder of a collection: ``source`` itself, or what its ``.tar.gz`` holds, unpacked once."""
    if source.is_dir():
        return source
    folder = into / source.name.removesuffix(".tar.gz")
    if not folder.is_dir():
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(source) as archive:
            archive.extractall(into, filter="data")
    return folder
