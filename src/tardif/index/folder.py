"""What an index's folder says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tardif.errors import FolderError
from tardif.folders import read_json

FORMAT = "tardif-index"
VERSION = 2


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an index.

    Raises:
        FolderError: the folder is no index, or one of another version.
    """
    manifest = read_json(folder / "manifest.json", what="an index")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FolderError(f"{folder} is not an index: build one with tardif index.")
    if not isinstance(manifest.get("version"), int) or manifest["version"] > VERSION:
        raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
    if manifest["version"] < VERSION:
        raise FolderError(f"{folder} was written by an older Tardif: build it again with tardif index.")
    missing = [name for name in ("model", "bits", "pool") if name not in manifest]
    if missing:
        raise FolderError(f"{folder} is damaged (manifest.json lacks {missing[0]}): build the index again.")
    return manifest


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, of any version."""
    try:
        return bool(read_json(Path(folder) / "manifest.json", what="an index").get("format") == FORMAT)
    except (FolderError, AttributeError):
        return False
