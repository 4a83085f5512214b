"""What an index's folder says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from tardif.errors import FolderError
from tardif.folders import read_json, write_json

FORMAT = "tardif-index"
VERSION = 2


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a new index, with a checksum of what it says.

    Raises:
        OSError: it cannot be written.
    """
    manifest = {"format": FORMAT, "version": VERSION, **about}
    write_json(folder / "manifest.json", {**manifest, "checksum": _checksum(manifest)})


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
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise FolderError(f"{folder} is damaged (the checksum of manifest.json is wrong): build the index again.")
    return manifest


def _checksum(manifest: Mapping[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(manifest, sort_keys=True).encode())


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, of any version."""
    try:
        return bool(read_json(Path(folder) / "manifest.json", what="an index").get("format") == FORMAT)
    except (FolderError, AttributeError):
        return False
