"""An index that is kept open for reading: opened again when it was built again, and described."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from tardif.encoder.malloc import release_memory
from tardif.errors import ModelError, ReplacedError, ServiceError
from tardif.index.metadata_fields import MetadataField, fields_of
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.sharded_folder import FolderIndex
from tardif.search.query_encoder import encoder_of
from tardif.search.retriever import Retriever
from tardif.serving.encoder_process import export_aside
from tardif.types import Document

_LOG = logging.getLogger(__name__)
# Documents and pieces in Qdrant whose metadata are read for the fields: reading all would delay a start by minutes.
_SAMPLE = 10_000

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
        where: the index's folder, absolute; or its place in Qdrant.

    Raises:
        FolderError: the index is damaged.
        ServiceError: no service answers for an index in Qdrant.
        ModelError: it has no query encoder, so a search would need PyTorch.
    """

    def __init__(self, where: Path | str) -> None:
        self.where = where
        self._lock = threading.Lock()
        # Room for the query encoder of an index that has no folder.
        self._aside: TemporaryDirectory[str] | None = None
        self._lease = _Lease(self._opened())
        self._facts: tuple[Any, dict[str, Any]] | None = None

    def _opened(self) -> Retriever:
        """Open the index for searches without PyTorch."""
        retriever = Retriever(self.where)
        try:
            index = _index(retriever)
            if isinstance(index, QdrantIndex) and isinstance(index.folder, str):
                self._aside = TemporaryDirectory(prefix="tardif-encoder-")
                export_aside(index.folder, Path(self._aside.name) / "encoder")
                retriever.use_query_encoder(Path(self._aside.name) / "encoder")
            elif encoder_of(index) is None:
                raise ModelError(
                    f"{self.where} has no query encoder, so it cannot be served without PyTorch: its model cannot be "
                    "exported. Use it in Python (tardif.Retriever)."
                )
            _warm(retriever)
        except BaseException:
            retriever.close()
            raise
        release_memory()
        return retriever

    @property
    def is_hybrid(self) -> bool:
        """Whether it is also searched by words."""
        return bool(_index(self._lease.retriever).manifest.get("words"))

    def read(self, work: Callable[[Retriever], Result]) -> Result:
        """Return what ``work`` reads. If the index was built again, it is opened again, and ``work`` done again.

        Raises:
            FolderError: the index is damaged, or was removed.
            ServiceError: the service of an index in Qdrant does not answer. Its address is for the log.
        """
        with self._leased() as lease:
            try:
                return work(lease.retriever)
            except ReplacedError:
                pass
            except ServiceError as error:
                _LOG.warning("%s", error)
                raise ServiceError("The Qdrant service of this index does not answer: ask again later.", 503) from error
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
            self._lease = _Lease(self._opened())
            outdated.is_retired = True
            is_free = not outdated.users
        if is_free:
            outdated.retriever.close()

    def facts(self) -> dict[str, Any]:
        """Return what the index is, as JSON can hold it. It is read once after every change."""
        return self.read(self._read_facts)

    def _read_facts(self, retriever: Retriever) -> dict[str, Any]:
        index = _index(retriever)
        if isinstance(index, QdrantIndex):
            return self._read_of_qdrant(index)
        with index.moment():
            state: Any = (index.identity, index.change)
            known = self._facts
            if known is None or known[0] != state:
                facts = {
                    "documents": len(index),
                    "tokens": index.tokens,
                    "bits": index.bits,
                    "hybrid": bool(index.manifest.get("words")),
                    "model": _model_of(index),
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

    def _read_of_qdrant(self, index: QdrantIndex) -> dict[str, Any]:
        # Qdrant counts no changes; what almost every change moves is asked quickly.
        count = len(index)
        state, known = (count, index.engine.last_order()), self._facts
        if known is None or known[0] != state:
            facts = {
                "documents": count,
                "bits": index.manifest["bits"],
                "hybrid": False,
                "model": _model_of(index),
                "fields": [field.as_json() for field in _fields_in_qdrant(index)],
            }
            self._facts = known = (state, facts)
        return known[1]

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
        if self._aside is not None:
            self._aside.cleanup()


def _warm(retriever: Retriever) -> None:
    """Open the encoder and load the kernels: the first client must not wait for it."""
    index = _index(retriever)
    if isinstance(index, QdrantIndex):
        retriever.matchable(["ready"])
        return
    with index.moment():
        # One document: a search would read the vectors of all of them from the disk.
        if ids := index.some_ids(1):
            retriever.rerank("ready", ids)
        else:
            retriever.matchable(["ready"])


def _index(retriever: Retriever) -> FolderIndex | QdrantIndex:
    assert isinstance(retriever.index, FolderIndex | QdrantIndex)
    return retriever.index


def _model_of(index: FolderIndex | QdrantIndex) -> str:
    model = index.manifest["model"]
    return Path(model.get("path") or model.get("relative") or "").name


def _fields_in_qdrant(index: QdrantIndex) -> list[MetadataField]:
    """The fields of the metadata of some documents; with their values and ranges where these are all documents."""
    payloads = list(islice(index.payloads(("tardif.stored",)), _SAMPLE + 1))
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE documents (metadata TEXT)")
        rows = [(json.loads(payload["tardif"]["stored"])[0],) for payload in payloads[:_SAMPLE]]
        database.executemany("INSERT INTO documents VALUES (?)", rows)
        found = fields_of(lambda statement, values: database.execute(statement, values).fetchall())
    if len(payloads) > _SAMPLE:
        return [replace(field, values=None, range=None) for field in found]
    return found


def _whole(retriever: Retriever, identity: str) -> Document | None:
    found = retriever.index.get([identity])
    if identity in found or not found:
        return found.get(identity)
    pieces = sorted(found.values(), key=lambda piece: piece.piece.number if piece.piece else 0)
    # Paragraphs and sentences end at the cuts; the white space there is in no piece.
    text = "\n\n".join(piece.text for piece in pieces)
    return Document(identity, text, pieces[0].title, pieces[0].metadata)
