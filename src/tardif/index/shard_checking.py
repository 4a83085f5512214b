"""Verify every byte of an index in shards: each shard as an index of its own, and which documents it holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tardif.errors import FolderError
from tardif.index.checking import Examination, examine_index
from tardif.index.disk import DiskIndex
from tardif.index.manifest import read_manifest, read_shards, shard_identity
from tardif.index.sharded import shard_of
from tardif.index.sharded_folder import read_notes, stranger


def examine_shards(folder: Path) -> Examination:
    """Read every byte of an index in shards and compare it with its checksum. Nothing is changed.

    Raises:
        FolderError: as :func:`tardif.index.checking.examine_index`.
    """
    manifest = read_shards(folder)
    whole = Examination()
    names = manifest["shards"]
    for number, name in enumerate(names):
        try:
            if read_manifest(folder / name)["identity"] != shard_identity(manifest["identity"], number):
                raise stranger(folder / name)
            part = examine_index(folder / name)
        except FolderError as error:
            whole.problems.append(f"The shard {name} cannot be read: {error}")
            continue
        whole.shards[name] = part
        for count in ("documents", "tokens", "segments"):
            setattr(whole, count, getattr(whole, count) + getattr(part, count))
        whole.problems += [f"{name}: {line}" for line in part.problems]
        if not part.problems:
            whole.problems += _misplaced(folder / name, number, len(names))
    try:
        whole.encoder = read_notes(folder, manifest["identity"]).get("encoder", "")
    except FolderError as error:
        whole.problems.append(str(error))
    return whole


def _misplaced(folder: Path, number: int, shards: int) -> list[str]:
    """A line for the documents of a shard that other shards should hold, if there are any."""
    with closing(DiskIndex(folder, threads=1)) as opened:
        strangers = [identity for identity in opened.ids() if shard_of(identity, shards) != number]
    if not strangers:
        return []
    return [
        f"{folder.name}: {len(strangers)} documents belong into other shards ({strangers[0]!r:.80}): build it again."
    ]
