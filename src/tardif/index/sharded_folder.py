"""An index in shards in a folder: a manifest, what all shards share, and an index on disk for each.

shards.json      identity, format, version, bits, and the model; the names of the shards, and the rule that chooses one
shard-0000/ ...  each an index of its own (:mod:`tardif.index.disk`), whose manifest names the whole
encoder/         the exported query encoder, once for all
notes.json       what the index keeps for its builder
change           a text that every writer replaces before it writes

A shard's identity is derived from that of the whole, so one of another index is noticed. Writers take turns, because
ids are unique over all shards. Readers never wait: what they begin to read while a writer begins, they begin again.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tardif.checks import is_int
from tardif.errors import FolderError, ReplacedError, SettingError
from tardif.folders import expanded, name_aside, read_json, replacing, share, writable, write_json
from tardif.index.codes import check_bits
from tardif.index.disk import DiskIndex
from tardif.index.manifest import (
    SHARDS,
    new_manifest,
    read_manifest,
    read_shards,
    shard_identity,
    shard_names,
    values_checksum,
)
from tardif.index.metadata_fields import MetadataField, merged_fields
from tardif.index.sharded import HASH_RULE, Shard, ShardedIndex
from tardif.locks import hold

NOTES, CHANGE = "notes.json", "change"
# Far more than one search can ask; and four digits in a name.
MOST_SHARDS = 4096
# Seconds that a writer waits for another: one that writes many vectors takes minutes on a busy machine.
_WAIT = 600.0
# How often opening starts over because the folder was replaced meanwhile.
_TRIES = 3


class StoredShard(Shard, Protocol):
    """A shard of a folder: what :class:`~tardif.index.disk.DiskIndex` offers, here or on another machine."""

    @property
    def identity(self) -> str:
        """That of the index in the shard's folder."""

    @property
    def change(self) -> int:
        """The number of the last change."""

    @property
    def tokens(self) -> int:
        """The number of token vectors."""

    def some_ids(self, count: int) -> list[str]:
        """The ids of the first documents or pieces."""

    def fields(self) -> list[MetadataField]:
        """The fields of the metadata (:func:`tardif.index.metadata_fields.fields_of`)."""


class _AbsentShard:
    """A shard that could not be opened: whatever it is asked, it raises why."""

    def __init__(self, error: FolderError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error

    def __len__(self) -> int:
        raise self._error

    def close(self) -> None:
        """Do nothing: nothing was opened."""


class ShardedFolder(ShardedIndex):
    """An index in shards in a folder. Any number of threads and processes may search and write it at once.

    A shard that cannot be opened raises when it is asked, so that a search for partial answers finds the others.

    >>> from tempfile import mkdtemp
    >>> index = ShardedFolder.create(mkdtemp(), 2, model={}, threads=1)
    >>> len(index), index.names
    (0, ['shard-0000', 'shard-0001'])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int | None = None,
        open_shard: Callable[[Path, int], StoredShard] | None = None,
    ) -> None:
        """Open an index in shards.

        Args:
            folder: made by :meth:`create`.
            threads: for scoring one call, over all shards; all processors by default.
            open_shard: opens the shard in a folder, with so many threads; by default as a
                :class:`~tardif.index.disk.DiskIndex` of this process.

        Raises:
            FolderError: the folder is no index in shards, was written by another version, or no shard can be opened.
        """
        self.folder = expanded(folder)
        self._threads = threads or os.cpu_count() or 1
        self._open_shard = open_shard or (lambda place, count: DiskIndex(place, threads=count))
        self._open()

    def _open(self) -> None:
        for _ in range(_TRIES):
            manifest = read_shards(self.folder)
            shards = [self._opened(manifest, number) for number in range(len(manifest["shards"]))]
            if read_shards(self.folder)["identity"] == manifest["identity"]:
                break
            for shard in shards:  # the folder was replaced while it was read
                shard.close()
        else:
            raise ReplacedError(self.folder)
        absent = [shard for shard in shards if isinstance(shard, _AbsentShard)]
        if len(absent) == len(shards):
            len(absent[0])  # raises why
        self.manifest: dict[str, Any] = manifest
        self.identity, self.bits = str(manifest["identity"]), check_bits(manifest["bits"])
        self.stored: list[Any] = shards
        super().__init__(shards, manifest["shards"])

    def _opened(self, manifest: Mapping[str, Any], number: int) -> Any:
        place = self.folder / manifest["shards"][number]
        try:
            shard = self._open_shard(place, -(-self._threads // len(manifest["shards"])))
            if shard.identity == shard_identity(manifest["identity"], number):
                return shard
            shard.close()
        except FolderError as error:
            return _AbsentShard(error)
        return _AbsentShard(stranger(place))

    @classmethod
    def create(
        cls,
        folder: str | Path,
        shards: int,
        *,
        model: Mapping[str, Any],
        bits: int = 8,
        pool: float = 1.0,
        words: str | None = None,
        threads: int | None = None,
    ) -> ShardedFolder:
        """Create an empty index in an empty or new folder. Arguments and errors are those of
        :meth:`tardif.index.disk.DiskIndex.create`, and the number of shards."""
        folder, count = expanded(folder), check_shards(shards)
        about: dict[str, Any] = {"bits": check_bits(bits), "pool": pool, "words": words, "model": dict(model)}
        manifest = new_shards(about, count)
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(manifest["shards"]):
                shard = (manifest["identity"], number)
                DiskIndex.create(folder / name, **about, threads=threads, shard=shard).close()
            # The manifest last: a half-made folder cannot be opened.
            write_json(folder / SHARDS, manifest)
            share(folder)
        return cls(folder, threads=threads)

    def __enter__(self) -> ShardedFolder:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def reopen(self) -> None:
        """Open the index that is in the folder now, after a :class:`~tardif.errors.ReplacedError`.

        Raises:
            FolderError: as on opening.
        """
        old, crews = self.shards, self._crews
        self._open()
        crews.close()
        for shard in old:
            shard.close()

    # One state, and writers that take turns

    def _change(self) -> bytes:
        try:
            return (self.folder / CHANGE).read_bytes()
        except FileNotFoundError:
            return b""

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._alone(), writable(self.folder):
            with replacing(self.folder / CHANGE) as file:
                file.write(uuid.uuid4().hex.encode())
            yield

    def _alone(self) -> AbstractContextManager[object]:
        if self._is_replaced():  # a lock would make a removed folder again
            raise ReplacedError(self.folder)
        return hold(self.folder / SHARDS, what=f"{self.folder} is being written", wait=_WAIT)

    def _is_replaced(self) -> bool:
        try:
            return bool(read_shards(self.folder)["identity"] != self.identity)
        except FolderError:
            return True

    @contextlib.contextmanager
    def still(self) -> Iterator[list[Any]]:
        """Give the shards, all in one state as in a :meth:`moment`, to be read one by one by this thread."""
        while True:
            before = self._change()
            with ExitStack() as begun:
                for shard in self.shards:
                    begun.enter_context(shard.moment())
                if self._change() == before:
                    yield self.stored
                    return

    # What a folder knows beside its documents

    def note(self, name: str, value: str | None = None) -> str | None:
        """As :meth:`tardif.index.protocol.Index.note`."""
        if value is not None:
            with self._alone(), writable(self.folder):
                write_notes(self.folder, self.identity, {**read_notes(self.folder, self.identity), name: value})
        return read_notes(self.folder, self.identity).get(name)

    def ids(self) -> list[str]:
        """Return the ids of all documents, shard by shard."""
        return list(self.sources())

    def scratch(self) -> Path:
        """As :meth:`tardif.index.disk.DiskIndex.scratch`."""
        return name_aside(self.folder / "corpus", "partial")

    def some_ids(self, count: int) -> list[str]:
        """Return the ids of the first documents or pieces of a shard."""
        found = self._ask_all(partial(_some_ids_of, count)).values()
        return next((ids for ids in found if ids), [])

    @property
    def change(self) -> int:
        """A number that grows with every change of what searches find."""
        return sum(self._ask_all(_change_of).values())

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return sum(self._ask_all(_tokens_of).values())

    def fields(self) -> list[MetadataField]:
        """Return the fields of all documents' metadata, sorted by name, with their types, values and ranges."""
        return merged_fields(list(self._ask_all(_fields_of).values()))


def _change_of(shard: Any) -> int:
    return int(shard.change)


def _some_ids_of(count: int, shard: Any) -> list[str]:
    return list(shard.some_ids(count))


def _tokens_of(shard: Any) -> int:
    return int(shard.tokens)


def _fields_of(shard: Any) -> list[MetadataField]:
    return list(shard.fields())


def stranger(place: Path) -> FolderError:
    """Return the error for a folder that holds another index than the shard that was written there."""
    return FolderError(f"{place} is not the shard that was written there: put that one back.")


def new_shards(about: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the manifest of a new index in shards: ``about`` as each shard has it, the shards' names, and an
    identity."""
    return new_manifest({**about, "shards": shard_names(count), "hash": HASH_RULE}, in_shards=True)


def check_shards(shards: int) -> int:
    """Return a number of shards.

    Raises:
        SettingError: it is no whole number from 1 to 4096.
    """
    if not is_int(shards) or not 1 <= shards <= MOST_SHARDS:
        raise SettingError(f"shards={shards!r}: give a whole number from 1 to {MOST_SHARDS}.")
    return int(shards)


def read_notes(folder: Path, identity: str) -> dict[str, str]:
    """Return the notes of an index in shards.

    Raises:
        FolderError: they are not those that were written.
    """
    if not (folder / NOTES).is_file():
        return {}
    found = read_json(folder / NOTES, what="an index in shards")
    is_known = isinstance(found, dict) and isinstance(found.get("notes"), dict)
    if not is_known or found.get("checksum") != values_checksum([identity, found["notes"]]):
        raise FolderError(f"{folder / NOTES} is damaged (its checksum is wrong): build the index again.")
    notes: dict[str, str] = found["notes"]
    return notes


def write_notes(folder: Path, identity: str, notes: Mapping[str, str]) -> None:
    """Write the notes of an index in shards, bound to it by their checksum."""
    write_json(folder / NOTES, {"notes": dict(notes), "checksum": values_checksum([identity, dict(notes)])})


FolderIndex = DiskIndex | ShardedFolder


def open_index(folder: str | Path, *, threads: int | None = None) -> FolderIndex:
    """Open the index in a folder, whether or not it is in shards.

    Args:
        folder: the index.
        threads: for scoring one call; all processors by default.

    Raises:
        FolderError: the folder is not an index, is damaged, was written by another version, or is a shard of one.
    """
    folder = expanded(folder)
    if is_sharded(folder):
        return ShardedFolder(folder, threads=threads)
    if read_manifest(folder).get("shard") is not None:
        raise FolderError(f"{folder} is a shard of an index: open {folder.absolute().parent}.")
    return DiskIndex(folder, threads=threads)


def is_sharded(folder: Path) -> bool:
    """Whether the index in a folder is in shards."""
    return (folder / SHARDS).is_file()


def reopened(index: FolderIndex, threads: int | None = None) -> FolderIndex:
    """Open the index that is in an index's folder now, as the same object where it is of the same kind."""
    if is_sharded(index.folder) == isinstance(index, ShardedFolder):
        index.reopen()
        return index
    found = open_index(index.folder, threads=threads)
    index.close()
    return found
