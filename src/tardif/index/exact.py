"""The exact index: every document's token vectors packed in one memory-mapped file, scanned whole.

manifest.json       format, version, model, dim, counts
vectors.f16         token vectors, float16, [tokens, dim], in the documents' order
lengths.npy         tokens of each document, int32
documents.sqlite    ids, titles, texts, metadata by position
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError, FolderError
from tardif.folders import read_json, staged, write_json
from tardif.index.documents import DocumentStore, write_documents
from tardif.scoring import LOWEST, maxsim_arrays, top
from tardif.types import Document

FORMAT = "tardif-index"
VERSION = 1
_BLOCK = 256

Encode = Callable[[Sequence[str]], tuple[NDArray[np.float32], list[int]]]


class ExactIndex:
    """An index opened for searching; any number of processes may read it at once."""

    def __init__(self, folder: str | Path) -> None:
        """Open the folder that :meth:`build` wrote.

        Raises:
            FolderError: it is no index, is damaged, or was written by a newer version.
        """
        folder = Path(folder)
        self.folder = folder
        self.manifest: dict[str, Any] = _read_manifest(folder)
        self.documents = DocumentStore(folder / "documents.sqlite")
        try:
            shape = (int(self.manifest["tokens"]), int(self.manifest["dim"]))
            self.lengths: NDArray[np.int32] = np.load(folder / "lengths.npy", allow_pickle=False)
            size = (folder / "vectors.f16").stat().st_size
            if size != shape[0] * shape[1] * 2 or int(self.lengths.sum()) != shape[0]:
                raise ValueError(f"vectors.f16 holds {size} bytes, not those of {shape[0]} tokens")
            self.vectors: NDArray[np.float16] = (
                np.memmap(folder / "vectors.f16", dtype=np.float16, mode="r", shape=shape)
                if shape[0]
                else np.zeros(shape, dtype=np.float16)
            )
        except (OSError, ValueError, EOFError, TypeError) as error:
            raise FolderError(f"{folder} is damaged ({error}): build the index again.") from error
        self.ids: NDArray[Any] = np.array(self.documents.ids(), dtype=object)
        if len(self.ids) != len(self.lengths):
            raise FolderError(f"{folder} is damaged (documents and vectors differ in number): build it again.")

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[Document],
        encode: Encode,
        *,
        model: Mapping[str, Any],
        overwrite: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> ExactIndex:
        """Encode a corpus and write its index, whole or not at all.

        Args:
            folder: where.
            documents: the corpus, with unique ids.
            encode: texts to packed token vectors.
            model: what the index remembers of the model.
            overwrite: replace an index that stands there.
            advance: called with the number of documents done, for progress.

        Raises:
            DataError: the corpus is empty or an id stands twice.
            FolderError: the folder exists (and ``overwrite`` is false) or cannot be written.
        """
        documents = list(documents)
        if not documents:
            raise DataError("The corpus is empty: there is nothing to index.")
        if len({document.id for document in documents}) != len(documents):
            raise DataError("Two documents have the same id: ids must be unique.")
        lengths: list[int] = []
        dim = 0
        with staged(Path(folder), overwrite=overwrite) as aside:
            with (aside / "vectors.f16").open("wb") as file:
                for begin in range(0, len(documents), _BLOCK):
                    block = documents[begin : begin + _BLOCK]
                    vectors, counts = encode([document.content for document in block])
                    dim = vectors.shape[1]
                    file.write(vectors.astype(np.float16).tobytes())
                    lengths += counts
                    if advance is not None:
                        advance(len(block))
            np.save(aside / "lengths.npy", np.array(lengths, dtype=np.int32), allow_pickle=False)
            write_documents(aside / "documents.sqlite", documents)
            write_json(
                aside / "manifest.json",
                {
                    "format": FORMAT,
                    "version": VERSION,
                    "model": dict(model),
                    "dim": dim,
                    "documents": len(documents),
                    "tokens": int(sum(lengths)),
                },
            )
        return cls(folder)

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, vectors: NDArray[np.float32], lengths: Sequence[int], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, MaxSim), best first; equal scores by id.

        Args:
            vectors: packed query vectors ``[query tokens, dim]``.
            lengths: rows of each query.
            k: how many; documents without a token are never hits.
        """
        scores = maxsim_arrays(vectors, lengths, self.vectors, self.lengths.tolist())  # [queries, documents]
        return [[hit for hit in top(row, self.ids, k) if hit[1] > LOWEST] for row in scores]


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / "manifest.json", what="an index")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FolderError(f"{folder} is not an index: build one with tardif index.")
    if not isinstance(manifest.get("version"), int) or manifest["version"] > VERSION:
        raise FolderError(f"{folder} was written by a newer Tardif: upgrade to read it.")
    missing = [name for name in ("model", "tokens", "dim") if name not in manifest]
    if missing:
        raise FolderError(f"{folder} is damaged (manifest.json lacks {missing[0]}): build the index again.")
    return manifest


def is_index(folder: str | Path) -> bool:
    """Whether a folder is an index, of any version."""
    try:
        return bool(read_json(Path(folder) / "manifest.json", what="an index").get("format") == FORMAT)
    except (FolderError, AttributeError):
        return False
