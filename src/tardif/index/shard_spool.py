"""The documents of one shard on disk, on their way into it: JSON lines that any machine can read.

NAME.jsonl       a line per document: its rows, each as id, title, text, metadata and place as a piece
NAME.first.npz   token vectors of the first documents, which were encoded already, because centroids were learned from
                 them
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.folders import replacing
from tardif.index.pieces import by_whole
from tardif.index.protocol import Vectors
from tardif.index.sharded import shard_of
from tardif.index.spool import document_from, joined, record_of
from tardif.index.token_groups import Groups
from tardif.types import Document


class ShardSpools:
    """The spools of all shards, written together.

    Args:
        paths: of the shards, in the order of their numbers; new files.

    Attributes:
        rows: the number of documents and pieces of each.

    Raises:
        OSError: the files cannot be written.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._closing = ExitStack()
        self._files = [self._closing.enter_context(path.open("wb")) for path in paths]
        self._digests = [xxhash.xxh3_128() for _ in paths]
        self.rows = [0] * len(paths)

    def put(self, documents: Iterable[Document]) -> None:
        """Write whole documents, with all of their pieces, each to its shard."""
        for whole, rows in by_whole(documents).items():
            place = shard_of(whole, len(self._files))
            line = json.dumps(list(map(record_of, rows)), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            self._files[place].write(line)
            self._digests[place].update(line)
            self.rows[place] += len(rows)

    def close(self) -> list[str]:
        """Close the files, and return a checksum of what each holds."""
        self._closing.close()
        return [digest.hexdigest() for digest in self._digests]


def spooled(path: Path, checksum: str, size: int) -> Iterator[list[Document]]:
    """Yield the documents of a spool in blocks of about ``size`` rows; all pieces of a document are in one block.

    Raises:
        FolderError: the file is missing, or is not what was written. That is known when it was read to its end.
    """
    digest = xxhash.xxh3_128()

    def wholes() -> Iterator[list[Document]]:
        try:
            with path.open("rb") as file:
                for line in file:
                    digest.update(line)
                    yield list(map(document_from, json.loads(line)))
        except (OSError, ValueError, TypeError) as error:
            raise FolderError(f"{path} cannot be read ({error}): {_way_out(path)}") from error

    yield from joined(wholes(), size)
    if digest.hexdigest() != checksum:
        raise FolderError(f"{path} is not what was written: {_way_out(path)}")


def write_first(path: Path, vectors: Vectors, lengths: Sequence[int], groups: Groups | None) -> None:
    """Write the vectors of the first documents of a spool."""
    arrays: dict[str, NDArray[Any]] = {"vectors": vectors, "lengths": np.array(lengths, dtype=np.int64)}
    if groups is not None:
        arrays["groups"] = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
        arrays["sizes"] = np.array([len(labels) for labels in groups], dtype=np.int64)
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_first(path: Path) -> tuple[Vectors, list[int], Groups | None]:
    """Read what :func:`write_first` wrote.

    Raises:
        FolderError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            groups = np.split(file["groups"], np.cumsum(file["sizes"])[:-1]) if "groups" in file.files else None
            return file["vectors"], file["lengths"].tolist(), groups
    except Exception as error:  # whatever a damaged archive makes numpy and zipfile raise
        raise FolderError(f"{path} cannot be read ({error}): {_way_out(path)}") from error


def _way_out(path: Path) -> str:
    return f"remove {path.parent.parent}, the unfinished build, and build the index again."
