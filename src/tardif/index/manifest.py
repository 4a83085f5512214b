"""The manifest of an index: the format and its version, the index's identity, and how it was built."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from tardif.errors import FolderError
from tardif.folders import read_json

FORMAT = "tardif-index"
MANIFEST = "manifest.json"
VERSION = 4


def new_manifest(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a new index: ``about``, a random identity that no other index has, and a checksum."""
    manifest = {"format": FORMAT, "version": VERSION, "identity": uuid.uuid4().hex, **about}
    return {**manifest, "checksum": _checksum(manifest)}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an index.

    Raises:
        FolderError: the folder is not an index, the manifest is damaged, or it was written by another version.
    """
    manifest = read_json(folder / MANIFEST, what="an index")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FolderError(f"{folder} is not an index: build one with tardif index.")
    if not isinstance(manifest.get("version"), int) or manifest["version"] > VERSION:
        raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
    # Older formats are refused, not converted: an index can be built again from its documents.
    if manifest["version"] < VERSION:
        raise FolderError(f"{folder} was written by an older Tardif: build it again with tardif index.")
    checksum = manifest.pop("checksum", None)
    if checksum != _checksum(manifest) or not isinstance(manifest.get("identity"), str):
        raise FolderError(f"{folder} is damaged (the checksum of manifest.json is wrong): build the index again.")
    return {**manifest, "checksum": checksum}


def _checksum(manifest: Mapping[str, Any]) -> str:
    # Sorted: the checksum is of the content, not of the order in which a program wrote it.
    return xxhash.xxh3_64_hexdigest(json.dumps(manifest, sort_keys=True).encode())


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, of any version."""
    try:
        return bool(read_json(Path(folder) / MANIFEST, what="an index").get("format") == FORMAT)
    except (FolderError, AttributeError):
        return False
