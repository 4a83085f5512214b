"""Vectors of many texts, encoded once: in memory, or in a folder from which an interrupted run resumes.

manifest.json   format, version, dtype, dim
vectors.bin     the rows of all texts, one after the other, float32 or float16
lengths.bin     the number of rows of each text, int32
blocks.jsonl    for each block: its number of texts, and the checksum of its vectors and lengths

A block is done when its line is written; its vectors and lengths are on disk before. If a kill leaves part of a block,
that part is cut off and the whole block is encoded again, so that the bytes are those of an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.encoder.identity import add_weights
from tardif.errors import FolderError
from tardif.folders import expanded, read_json, write_json
from tardif.progress import Console
from tardif.types import Document

FORMAT = "tardif-vectors"
VERSION = 2

# Texts to packed vectors ``[rows, dim]`` and the number of rows of each text.
Encode = Callable[[Sequence[str]], tuple[NDArray[Any], Sequence[int]]]
# Blocks of texts to what :data:`Encode` makes of each, in their order.
EncodeBlocks = Callable[[Iterable[Sequence[str]]], Iterator[tuple[NDArray[Any], Sequence[int]]]]


class Vectors(NamedTuple):
    """Packed vectors ``[rows, dim]``, memory-mapped if they are on disk; text ``i`` has ``lengths[i]`` rows."""

    rows: NDArray[Any]
    lengths: NDArray[np.int64]


class Contents(Sequence[str]):
    """The contents of documents, joined of title and text when they are read: a corpus is not in memory twice.

    Args:
        documents: the documents; also some that are read from disk one by one.
        order: the places of the documents, in the order of the contents; by default their own. Also an array.

    >>> from tardif.types import Document
    >>> list(Contents([Document("a", "text", "title"), Document("b", "other")], [1, 0]))
    ['other', 'title text']
    """

    def __init__(self, documents: Sequence[Document], order: Sequence[int] | NDArray[np.int64] | None = None) -> None:
        self._documents, self._order = documents, range(len(documents)) if order is None else order

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self._documents[number].content for number in self._order[place]]
        return self._documents[self._order[place]].content


def encode_all(
    texts: Sequence[str],
    encode: Encode,
    *,
    block: int,
    dtype: str,
    folder: Path | None = None,
    identity: str = "",
    console: Console | None = None,
    what: str = "Encoding documents",
    over: EncodeBlocks | None = None,
) -> Vectors:
    """Encode texts a block at a time, or read what was encoded before.

    Args:
        texts: the texts, in the order of the result.
        encode: turns a block of texts into packed vectors.
        block: texts per call of ``encode``.
        dtype: ``float32`` or ``float16``, in which vectors are kept.
        folder: the cache; None keeps the vectors in memory.
        identity: what decides the vectors besides the texts: the model with its settings. Vectors of
            another identity, or of other texts, are in another folder of the same cache.
        console: where to show progress.
        what: the words of the progress.
        over: encodes blocks elsewhere, as ``encode`` would here; by default ``encode`` has one after the other.

    Raises:
        FolderError: the cache cannot be written, is damaged or holds something else.

    >>> encode_all(["a", "b c"], lambda texts: (np.ones((3, 2)), [1, 2]), block=8, dtype="float16").lengths
    array([1, 2])
    """
    console = console or Console(quiet=True)
    store: _Memory | _Disk = _Memory(dtype)
    if folder is not None:
        store = _Disk(expanded(folder) / _key(texts, identity, dtype), dtype, len(texts), block)
    if store.done < len(texts):
        with console.progress(what, len(texts), "documents") as bar:
            if store.done:
                bar.resume(store.done)
            parts = (texts[begin : begin + block] for begin in range(store.done, len(texts), block))
            for vectors, lengths in map(encode, parts) if over is None else over(parts):
                store.add(vectors.astype(dtype, copy=False), lengths)
                bar.advance(len(lengths))
    return store.vectors()


def _key(texts: Sequence[str], identity: str, dtype: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in itertools.chain((str(VERSION), dtype, identity), texts):
        content = part.encode("utf-8", "surrogatepass")
        # The length first: ("ab", "c") is not ("a", "bc").
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


class _Memory:
    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._blocks: list[NDArray[Any]] = []
        self._lengths: list[int] = []
        self.done = 0

    def add(self, vectors: NDArray[Any], lengths: Sequence[int]) -> None:
        self._blocks.append(vectors)
        self._lengths += lengths

    def vectors(self) -> Vectors:
        rows = np.concatenate(self._blocks) if self._blocks else np.zeros((0, 0), dtype=self._dtype)
        self._blocks.clear()
        return Vectors(rows, np.array(self._lengths, dtype=np.int64))


class _Disk:
    def __init__(self, folder: Path, dtype: str, texts: int, block: int) -> None:
        self._folder = folder
        self._dtype = np.dtype(dtype)
        self._rows, self._lengths, self._blocks = (
            folder / name for name in ("vectors.bin", "lengths.bin", "blocks.jsonl")
        )
        self._dim: int | None = None
        self.done = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / "manifest.json").exists():
                self._resume(texts, block)
            else:
                for path in (self._rows, self._lengths, self._blocks):
                    path.write_bytes(b"")
        except OSError as error:
            raise self._unwritable(error) from error

    def _resume(self, texts: int, block: int) -> None:
        manifest = read_json(self._folder / "manifest.json", what="a cache of vectors")
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not isinstance(manifest["dim"], int):
            raise FolderError(f"{self._folder} holds no cache of vectors: remove it.")
        self._dim = manifest["dim"]
        sizes = self._whole_blocks()
        ends = list(itertools.accumulate(sizes, initial=0))
        # Blocks of another size end elsewhere: resume from the last end that blocks of this size have too.
        count = max(i for i, end in enumerate(ends) if end == texts or end % block == 0)
        if ends[count] < texts:
            # Cut off what a kill left of a block, so that the next block follows the last whole one.
            lengths = np.fromfile(self._lengths, dtype=np.int32)[: ends[count]]
            os.truncate(self._lengths, ends[count] * 4)
            os.truncate(self._rows, int(lengths.sum(dtype=np.int64)) * self._dim * self._dtype.itemsize)
            lines = self._blocks.read_bytes().splitlines(keepends=True)[:count]
            self._blocks.write_bytes(b"".join(lines))
        self.done = ends[count]

    def _whole_blocks(self) -> list[int]:
        """The number of texts of each finished block.

        Raises:
            FolderError: a block is damaged. Every byte is read to find out.
        """
        sizes = []
        with self._rows.open("rb") as rows, self._lengths.open("rb") as lengths:
            for line in self._blocks.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):  # the process was killed while it wrote
                    break
                try:
                    texts, expected = json.loads(line)
                    counts = np.frombuffer(lengths.read(texts * 4), dtype=np.int32)
                    values = rows.read(int(counts.sum(dtype=np.int64)) * (self._dim or 0) * self._dtype.itemsize)
                    is_right = expected == _checksum(values, counts)
                except (ValueError, TypeError, OverflowError, MemoryError):  # damaged numbers ask for absurd sizes
                    is_right = False
                if not is_right:
                    raise FolderError(f"{self._folder} is damaged (a checksum is wrong): remove it.")
                sizes.append(texts)
        return sizes

    def add(self, vectors: NDArray[Any], lengths: Sequence[int]) -> None:
        try:
            if self._dim is None:
                self._dim = vectors.shape[1]
                write_json(
                    self._folder / "manifest.json",
                    {"format": FORMAT, "version": VERSION, "dtype": self._dtype.name, "dim": self._dim},
                )
            values, counts = np.ascontiguousarray(vectors).data, np.array(lengths, dtype=np.int32)
            line = json.dumps([len(counts), _checksum(values, counts)]) + "\n"
            # In this order, each synced: a line in blocks.jsonl promises that the rest is on disk.
            for path, content in ((self._rows, values), (self._lengths, counts.data), (self._blocks, line.encode())):
                with path.open("ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def vectors(self) -> Vectors:
        lengths = np.fromfile(self._lengths, dtype=np.int32).astype(np.int64)
        shape = (int(lengths.sum()), self._dim or 0)
        if not shape[0]:  # an empty file cannot be mapped
            return Vectors(np.zeros(shape, dtype=self._dtype), lengths)
        return Vectors(np.memmap(self._rows, dtype=self._dtype, mode="r", shape=shape), lengths)

    def _unwritable(self, error: OSError) -> FolderError:
        return FolderError(f"{self._folder} cannot be written ({error.strerror or error}): choose another cache.")


def _checksum(values: Any, counts: NDArray[np.int32]) -> str:
    """The checksum of a block's vectors, as bytes, and lengths."""
    digest = xxhash.xxh3_128(values)
    digest.update(counts.tobytes())
    return digest.hexdigest()


class Remembered:
    """An encoder of queries that remembers the last ones: after a search, the same queries are scored.

    Args:
        encode: turns texts into packed vectors.
        limit: how many queries are remembered.
    """

    def __init__(self, encode: Encode, limit: int = 1024) -> None:
        self._encode = encode
        self._limit = limit
        self._known: dict[str, NDArray[Any]] = {}

    def __call__(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        """The vectors ``[rows, dim]`` of each text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors, lengths = self._encode(new)
            self._known |= dict(zip(new, np.split(vectors, np.cumsum(lengths)[:-1]), strict=True))
        found = [self._known[text] for text in texts]
        while len(self._known) > self._limit:  # a dict keeps the order of insertion: the oldest goes first
            del self._known[next(iter(self._known))]
        return found


def fingerprint(model: Any, *settings: str) -> str:
    """A hash of a model for a cache: of its weights, its modules' settings and its tokenizer."""
    digest = hashlib.blake2b("\x00".join(settings).encode(), digest_size=16)
    add_weights(digest, model)
    for module in model:
        config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        digest.update(json.dumps([type(module).__name__, config], sort_keys=True, default=str).encode())
    digest.update(json.dumps(getattr(model, "prompts", {}), sort_keys=True).encode())
    digest.update(str(getattr(model, "max_seq_length", None)).encode())
    tokenizer = model[0].tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        digest.update(repr(tokenizer).encode())
    else:  # truncation and padding are left over from the last call and do not belong to the tokenizer
        state = {**json.loads(backend.to_str()), "truncation": None, "padding": None}
        digest.update(json.dumps(state, sort_keys=True).encode())
    return digest.hexdigest()
