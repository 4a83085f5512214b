"""An index that is kept open for reading: opened again when it was built again, and described."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tardif.encoder.malloc import release_memory
from tardif.errors import ModelError, ReplacedError
from tardif.index.sharded_folder import FolderIndex
from tardif.search.query_encoder import encoder_of
from tardif.search.retriever import Retriever
from tardif.types import Document

Result = TypeVar("Result")


@dataclass
class _Lease:
    """An opened index, and how many threads use it: the last one closes it once it was replaced."""

    retriever: Retriever
    users: int = 0
    is_retired: bool = False


class OpenedIndex:
    """A retriever that any number of threads read with, and that never loads PyTorch.

    Args:
        folder: the index, absolute.

    Raises:
        FolderError: the index is damaged.
        ModelError: it has no query encoder, so a search would need PyTorch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._lease = _Lease(_opened(folder))
        self._facts: tuple[Any, dict[str, Any]] | None = None

    @property
    def is_hybrid(self) -> bool:
        """Whether it is also searched by words."""
        return bool(_index(self._lease.retriever).manifest.get("words"))

    def read(self, work: Callable[[Retriever], Result]) -> Result:
        """Return what ``work`` reads. If the index was built again, it is opened again, and ``work`` done again.

        Raises:
            FolderError: the index is damaged, or was removed.
        """
        with self._leased() as lease:
            try:
                return work(lease.retriever)
            except ReplacedError:
                pass
        self._replace(lease)
        with self._leased() as lease:
            return work(lease.retriever)

    @contextmanager
    def _leased(self) -> Iterator[_Lease]:
        with self._lock:
            lease = self._lease
            lease.users += 1
        try:
            yield lease
        finally:
            with self._lock:
                lease.users -= 1
                is_last = lease.is_retired and not lease.users
            if is_last:
                lease.retriever.close()

    def _replace(self, outdated: _Lease) -> None:
        """Open the index that is in the folder now, unless another thread has."""
        with self._lock:
            if self._lease is not outdated:
                return
            self._lease = _Lease(_opened(self.folder))
            outdated.is_retired = True
            is_free = not outdated.users
        if is_free:
            outdated.retriever.close()

    def facts(self) -> dict[str, Any]:
        """Return what the index is, as JSON can hold it. It is read once after every change."""
        return self.read(self._read_facts)

    def _read_facts(self, retriever: Retriever) -> dict[str, Any]:
        index = _index(retriever)
        with index.moment():
            state = (index.identity, index.change)
            known = self._facts
            if known is None or known[0] != state:
                model = index.manifest["model"]
                facts = {
                    "documents": len(index),
                    "tokens": index.tokens,
                    "bits": index.bits,
                    "hybrid": bool(index.manifest.get("words")),
                    "model": Path(model.get("path") or model.get("relative") or "").name,
                    "fields": [field.as_json() for field in index.fields()],
                }
                self._facts = known = (state, facts)
            return known[1]

    def check_model(self) -> None:
        """Raise if the model that encodes documents is known to be out of reach. Nothing is loaded.

        Raises:
            MissingExtraError: PyTorch is not installed.
            FolderError: the model is missing, or was trained again since.
        """
        self.read(lambda retriever: retriever.check_model())

    def document(self, identity: str) -> Document | None:
        """Return a document, put together from its pieces if it was cut, or a piece; None if there is none."""
        return self.read(lambda retriever: _whole(retriever, identity))

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            lease = self._lease
            lease.is_retired = True
            is_free = not lease.users
        if is_free:
            lease.retriever.close()


def _opened(folder: Path) -> Retriever:
    retriever = Retriever(folder)
    if encoder_of(_index(retriever)) is None:
        retriever.close()
        raise ModelError(
            f"{folder} has no query encoder, so it cannot be served without PyTorch: its model cannot be exported. "
            "Use it in Python (tardif.Retriever)."
        )
    _warm(retriever)
    release_memory()
    return retriever


def _warm(retriever: Retriever) -> None:
    """Open the encoder and load the kernels: the first client must not wait for it."""
    index = _index(retriever)
    with index.moment():
        # One document: a search would read the vectors of all of them from the disk.
        if ids := index.some_ids(1):
            retriever.rerank("ready", ids)
        else:
            retriever.matchable(["ready"])


def _index(retriever: Retriever) -> FolderIndex:
    assert isinstance(retriever.index, FolderIndex)
    return retriever.index


def _whole(retriever: Retriever, identity: str) -> Document | None:
    found = retriever.index.get([identity])
    if identity in found or not found:
        return found.get(identity)
    pieces = sorted(found.values(), key=lambda piece: piece.piece.number if piece.piece else 0)
    # Paragraphs and sentences end at the cuts; the white space there is in no piece.
    text = "\n\n".join(piece.text for piece in pieces)
    return Document(identity, text, pieces[0].title, pieces[0].metadata)
