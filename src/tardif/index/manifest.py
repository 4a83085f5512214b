"""The manifest of an index: the format and its version, the index's identity, and how it was built."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from tardif.errors import FolderError
from tardif.folders import expanded, read_json, real_place

FORMAT, MANIFEST, VERSION = "tardif-index", "manifest.json", 4
# Of an index in shards (tardif.index.sharded_folder).
SHARDS_FORMAT, SHARDS, SHARDS_VERSION = "tardif-shards", "shards.json", 1
_SHARD = re.compile(r"shard-\d+")


def new_manifest(about: Mapping[str, Any], *, identity: str | None = None, in_shards: bool = False) -> dict[str, Any]:
    """Return the manifest of a new index: ``about``, an identity and a checksum.

    Args:
        about: what the manifest says beside.
        identity: by default a random one, which no other index has.
        in_shards: for an index in shards.
    """
    form, version = (SHARDS_FORMAT, SHARDS_VERSION) if in_shards else (FORMAT, VERSION)
    manifest = {"format": form, "version": version, "identity": identity or uuid.uuid4().hex, **about}
    return {**manifest, "checksum": values_checksum(manifest)}


def shard_identity(whole: str, number: int) -> str:
    """Return the identity of a shard of an index."""
    return xxhash.xxh3_128_hexdigest(f"{whole} {number}".encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an index.

    Raises:
        FolderError: the folder is not an index, the manifest is damaged, or it was written by another version.
    """
    return _read(folder, MANIFEST, FORMAT, VERSION)


def read_shards(folder: Path) -> dict[str, Any]:
    """Read the manifest of an index in shards. Errors as :func:`read_manifest`."""
    manifest = _read(folder, SHARDS, SHARDS_FORMAT, SHARDS_VERSION)
    names = manifest.get("shards")
    # A checksum is no signature: no other name is followed, which might lead out of the folder.
    if not isinstance(names, list) or not names or names != shard_names(len(names)):
        raise FolderError(f"{folder} is damaged ({SHARDS} does not name its shards): build the index again.")
    return manifest


def shard_names(count: int) -> list[str]:
    """Return the names of the folders of so many shards.

    >>> shard_names(2)
    ['shard-0000', 'shard-0001']
    """
    return [f"shard-{number:04d}" for number in range(count)]


def _read(folder: Path, name: str, form: str, version: int) -> dict[str, Any]:
    manifest = read_json(folder / name, what="an index")
    if not isinstance(manifest, dict) or manifest.get("format") != form:
        raise FolderError(f"{folder} is not an index: build one with tardif index.")
    if not isinstance(manifest.get("version"), int) or manifest["version"] > version:
        raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
    # Older formats are refused, not converted: an index can be built again from its documents.
    if manifest["version"] < version:
        raise FolderError(f"{folder} was written by an older Tardif: build it again with tardif index.")
    checksum = manifest.pop("checksum", None)
    if checksum != values_checksum(manifest) or not isinstance(manifest.get("identity"), str):
        raise FolderError(f"{folder} is damaged (the checksum of {name} is wrong): build the index again.")
    return {**manifest, "checksum": checksum}


def values_checksum(values: Any) -> str:
    """Return the checksum (XXH3) of values that JSON can hold."""
    # Sorted: the checksum is of the content, not of the order in which a program wrote it.
    return xxhash.xxh3_64_hexdigest(json.dumps(values, sort_keys=True).encode())


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, in shards or not, of any version."""
    return any(_has(expanded(folder) / name, form) for name, form in ((MANIFEST, FORMAT), (SHARDS, SHARDS_FORMAT)))


def check_no_shard(folder: Path) -> Path:
    """Return a folder to build in, unless it is that of a shard: another index there would be the loss of the shard.

    Raises:
        FolderError: it is one.
    """
    place = real_place(expanded(folder).absolute())
    whole = place.parent
    if _SHARD.fullmatch(place.name) and _has(whole / SHARDS, SHARDS_FORMAT):
        raise FolderError(f"{folder} is the place of a shard of the index {whole}: give another folder.")
    return folder


def _has(path: Path, form: str) -> bool:
    try:
        return bool(read_json(path, what="an index").get("format") == form)
    except (FolderError, AttributeError):
        return False
