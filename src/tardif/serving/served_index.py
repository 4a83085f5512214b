"""An index as a service has it: searched by many clients at once, and changed, without PyTorch in this process.

Queries that wait at the same time are encoded and scored together (:mod:`tardif.serving.microbatches`). Documents are
encoded and written by another process (:mod:`tardif.serving.worker_process`). Whatever any process has committed, the
next search finds: an index is read at its newest state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from tardif.checks import check_hits, check_ids, check_queries, check_query, text_fault
from tardif.data.json_metadata import as_stored
from tardif.display import Hits
from tardif.errors import (
    BusyError,
    DataError,
    FolderError,
    ReadOnlyError,
    ServiceError,
    SettingError,
    TardifError,
    UnknownDocumentError,
)
from tardif.explanation import Explanation
from tardif.index.protocol import RECALL
from tardif.index.qdrant.places import Edge, qdrant_place
from tardif.search.hits import SearchOptions, Where, hit_of
from tardif.search.retriever import Retriever
from tardif.serving.feedback import Feedback
from tardif.serving.microbatches import MicroBatches
from tardif.serving.opened_index import OpenedIndex
from tardif.serving.opening import name_of
from tardif.serving.wire import document_to, explanation_from
from tardif.serving.worker_process import WorkerProcess
from tardif.types import Document, Hit

Result = TypeVar("Result")
_LOG = logging.getLogger(__name__)
# Threads that look documents up and explain hits, beside the one that searches.
_READERS = 2
# Who wants to change an embedded shard that is served.
_EDGE = (
    "an embedded shard of Qdrant is open in one process at a time. Stop the service to change it, or serve a "
    "collection of a Qdrant service, or an index of Tardif's own"
)


class ServedIndex:
    """An index that is served. Made by :meth:`open`; the coroutines may be awaited from one event loop at a time.

    >>> async def ask():
    ...     index = ServedIndex.open("support.index")
    ...     (hits,) = await index.search(["how do I change my password?"], k=2)
    ...     await index.close()
    ...     return [hit.rank for hit in hits]
    >>> asyncio.run(ask())
    [1, 2]

    Attributes:
        name: by which clients ask for it.
        read_only: whether every change is refused.
    """

    def __init__(self, opened: OpenedIndex, name: str, *, read_only: bool, feedback: Path | None, waiting: int) -> None:
        self.name, self.read_only = name, read_only
        self._way_out = "start the service without --read-only"
        self._index, self._waiting = opened, waiting
        self._feedback = None if feedback is None else Feedback(feedback)
        self._searches: MicroBatches[str, list[Hit]] = MicroBatches(self._search_together, waiting=waiting)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tardif-reading")
        self._reading = 0
        self._worker = WorkerProcess(opened.where)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        name: str | None = None,
        read_only: bool = False,
        feedback: Path | None = None,
        waiting: int = 512,
    ) -> ServedIndex:
        """Open an index, ready to answer: its query encoder is loaded.

        Args:
            folder: the index; or in Qdrant, ``http://HOST:6333/COLLECTION`` or ``edge:FOLDER``.
            name: by which clients ask for it; by default the name of the folder or the collection.
            read_only: refuse every change. Qdrant's embedded shard is open in one process, which here searches it, so
                that nothing can be changed.
            feedback: a file that takes judgements of hits; None refuses them.
            waiting: queries that may wait; more are refused until some are done.

        Raises:
            FolderError: the index is damaged, or the feedback's file cannot be written.
            ServiceError: no service answers for an index in Qdrant.
            ModelError: the index has no query encoder.
        """
        place = qdrant_place(folder)
        opened = OpenedIndex(Path(folder).absolute() if place is None else str(place))
        name = name or (Path(opened.where).name if place is None else name_of(place))
        made = cls(opened, name, read_only=read_only, feedback=feedback, waiting=waiting)
        if isinstance(place, Edge):
            made.read_only, made._way_out = True, _EDGE
        return made

    @property
    def waiting(self) -> int:
        """How many queries wait to be searched for."""
        return self._searches.waiting

    async def describe(self) -> dict[str, Any]:
        """Return the facts of the index as JSON can hold them, with the fields of its metadata
        (:class:`tardif.index.metadata_fields.MetadataField`)."""
        facts = await self._read(self._index.facts)
        return {"name": self.name, "read_only": self.read_only, "feedback": self._feedback is not None, **facts}

    async def search(
        self,
        queries: Sequence[str],
        *,
        k: int = 10,
        where: Where = None,
        recall: float | None = None,
        exact: bool = False,
        hybrid: bool = False,
        word_share: float | None = None,
        group: bool = False,
        explain: bool = False,
    ) -> list[list[Hit]]:
        """Return the hits of each query, as :meth:`tardif.search.retriever.Retriever.search` finds them.

        Args:
            queries: the queries; each has the hits that it would have alone.
            k, where, exact, hybrid, group, explain: as for the retriever.
            recall, word_share: as for the retriever; None for its defaults.

        Raises:
            SettingError: a query is empty, or an option cannot be used.
            BusyError: too many queries wait.
        """
        queries = check_queries(queries)
        recall = RECALL if recall is None else recall
        options = SearchOptions.of(k, where, exact, recall, hybrid, word_share, group)
        if hybrid and not self._index.is_hybrid:
            raise SettingError(f"The index {self.name} was built without words: search without hybrid.")
        if not queries:
            return []
        return await self._searches.ask((options, explain), queries)

    def _search_together(self, key: Hashable, queries: list[str]) -> list[list[Hit]]:
        # Searches with equal options are done together.
        options, explain = cast(tuple[SearchOptions, bool], key)
        how = {field.name: getattr(options, field.name) for field in fields(options)}
        return self._index.read(lambda retriever: retriever.search_many(queries, **how, explain=explain))

    async def why_nothing(self, query: str, *, where: Where = None) -> str:
        """Explain to a person why a search found nothing, as
        :meth:`tardif.search.retriever.Retriever.why_nothing` does."""
        return await self._read(lambda: self._index.read(lambda opened: opened.why_nothing(query, where=where)))

    async def rerank(self, query: str, documents: Sequence[Document], *, k: int = 10) -> list[Hit]:
        """Order given documents for a query by exact MaxSim, as :func:`tardif.search.rerank.rerank` does.

        Raises:
            SettingError: the query is empty, or ``k`` is below 1.
            ServiceError: the process that encodes documents died, or has too much to do.
        """
        query, k = check_query(query), check_hits(k)
        sent = [document_to(document) for document in documents]
        if not sent:
            return []
        found = await self._worker.ask("rerank", query=query, documents=sent, k=k)
        return Hits(
            hit_of(rank, _as_stored(documents[place]), score, place) for rank, (place, score) in enumerate(found, 1)
        )

    async def explain(self, query: str, *, document_id: str | None = None, text: str | None = None) -> Explanation:
        """Explain the score of a document of the index, from its stored vectors, or of any text, which is encoded.

        Without either, the best hit is explained.

        Raises:
            SettingError: the query is empty, or both a document and a text are given.
            UnknownDocumentError: the document is not in the index.
            DataError: the text is no text, or there is no hit to explain.
        """
        query = check_query(query)
        if document_id is not None and text is not None:
            raise SettingError("Give document_id or text, not both.")
        if text is not None:
            if fault := text_fault(text):
                raise DataError(f"The text {fault}.")
            return explanation_from(await self._worker.ask("explain", query=query, text=text))
        if document_id is None:
            (hits,) = await self.search([query], k=1)
            if not hits:
                raise DataError(await self._read(lambda: self._index.read(lambda opened: opened.why_nothing(query))))
            return await self._read(lambda: self._index.read(lambda opened: opened.explain(query, hits[0])))
        wanted = document_id
        return await self._read(lambda: self._index.read(lambda opened: _explained(opened, query, wanted)))

    async def get(self, document_id: str) -> Document | None:
        """Return a document, or a piece of one; None if there is none with this id.

        A document that was cut is put together again; white space between its pieces is not stored.
        """
        (identity,) = check_ids([document_id])
        return await self._read(lambda: self._index.document(identity))

    async def put(self, documents: Sequence[Document]) -> dict[str, Any]:
        """Add documents, and replace those whose ids exist. When this returns they are on disk, and searches find them.

        Returns:
            ``added``: how many were written; ``replaced``: how many of them replaced one; ``note``, where there are
            any: how many are longer than the model reads.

        Raises:
            ReadOnlyError: the service changes no index.
            DataError: a document cannot be stored, or two have one id.
            ModelError, FolderError: the index's model cannot be loaded, or the index not written.
            ServiceError: the process that encodes documents died before all of them were written, or has too much to
                do. Repeating the call does no harm.
        """
        self._check_writable()
        sent = [document_to(document) for document in documents]
        if not sent:
            return {"added": 0, "replaced": 0}
        return cast(dict[str, Any], await self._worker.ask("put", documents=sent))

    async def delete(self, ids: Sequence[str]) -> dict[str, int]:
        """Delete documents with all of their pieces; unknown ids are ignored. When this returns, it is on disk.

        Returns:
            ``deleted``: how many there were.

        Raises:
            ReadOnlyError, FolderError, ServiceError: as for :meth:`put`.
            DataError: an id is that of a piece.
        """
        self._check_writable()
        return cast(dict[str, int], await self._worker.ask("delete", ids=check_ids(ids)))

    async def why_not_put(self) -> TardifError | None:
        """Return why documents cannot be added, as far as it is known without loading the model; None if they can, or
        if the service changes no index.

        The process that encodes is started by the first document: it takes hundreds of megabytes for each index, and
        many services are never given one.
        """
        if self.read_only:
            return None
        try:
            await asyncio.to_thread(self._index.check_model)
        except TardifError as error:
            return error
        return None

    def _check_writable(self) -> None:
        if self.read_only:
            raise ReadOnlyError(f"The index {self.name} is served read-only: {self._way_out}.")

    async def feedback(self, query: str, document_id: str, label: int) -> None:
        """Keep a judgement of a hit; it is on disk when this returns.

        Raises:
            SettingError: there is no file for feedback, the query is empty or too long, or the label is not 0 or 1.
            UnknownDocumentError: the document is not in the index.
            FolderError: the file cannot be written, or is full.
        """
        file = self._feedback
        if file is None:
            raise SettingError("This service keeps no feedback: start it with --feedback FILE.")
        query, (identity,) = check_query(query), check_ids([document_id])

        def add() -> None:
            document = self._index.document(identity)
            if document is None:
                raise UnknownDocumentError(identity)
            file.add(query, document, label)

        await self._read(add)

    async def _read(self, work: Callable[[], Result]) -> Result:
        """Do something in a thread."""
        if self._reading >= self._waiting:
            raise BusyError(f"{self._reading} requests wait already: ask again later.")
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        except RuntimeError as error:
            if "after shutdown" in str(error):
                raise ServiceError("The service is stopping: ask again when it has started.", 503) from error
            raise
        finally:
            self._reading -= 1

    async def close(self) -> None:
        """Finish what was accepted, and close the index."""
        await asyncio.gather(self._searches.close(), self._worker.close())
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._index.close)


async def describe_all(indexes: Iterable[ServedIndex]) -> list[dict[str, Any]]:
    """Return what several indexes are (:meth:`ServedIndex.describe`). One that was removed or damaged is left out, and
    the log names it: the others are still there.

    Raises:
        FolderError: none of them can be read.
        BusyError: too many requests wait.
    """
    found, failed = [], None
    for index in indexes:
        try:
            found.append(await index.describe())
        except FolderError as error:
            failed = error
            _LOG.error("The index %s is left out of the list: %s", index.name, error)
    if failed is not None and not found:
        raise failed
    return found


def _as_stored(document: Document) -> Document:
    """The document with its metadata as an index gives them back."""
    return Document(document.id, document.text, document.title, as_stored(document.metadata), document.piece)


def _explained(opened: Retriever, query: str, document_id: str) -> Explanation:
    if not opened.index.get([document_id]):
        raise UnknownDocumentError(document_id)
    return opened.explain(query, document_id)
