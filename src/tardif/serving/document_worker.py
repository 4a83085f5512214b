"""The process that encodes documents and writes them into an index, so that a service need not import PyTorch.

:mod:`tardif.serving.worker_process` starts it. Requests come as lines of JSON on standard input, ``[number, call,
arguments]``; answers go out as lines on standard output, ``[number, "done", result]`` or ``[number, "failed", type,
message]``. An answer to a change means that the change is on disk. The end of standard input means that the service has
gone, or has no more work: the process then ends at once. An index survives that at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tardif.errors import FolderError, ModelError, ReplacedError, TardifError, first_line
from tardif.index.qdrant.places import Edge, qdrant_place
from tardif.serving.wire import document_from, explanation_to
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.data.document_report import DocumentReport
    from tardif.encoder.onnx.encoder import LightEncoder
    from tardif.search.retriever import Retriever

# Steps back behind searches (Unix's niceness): they take what they need, and documents that are kept are encoded in
# what is left, a tenth of a core at least. On Linux each thread has its own; elsewhere the process has one.
_NICENESS = 10

Answer = Callable[..., None]


def main(folder: str) -> NoReturn:
    """Do what standard input asks for, until it ends.

    Args:
        folder: the index; or its place in Qdrant.
    """
    # Standard output is for answers alone: whatever a library prints there joins standard error.
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker(folder, partial(_send, out, threading.Lock()), niceness=_NICENESS)
    for line in sys.stdin.buffer:
        worker.take(json.loads(line))
    # The rest of the interpreter's end is skipped: threads of torch sometimes abort in it.
    os._exit(0)


def _send(out: int, lock: threading.Lock, *answer: Any) -> None:
    line = json.dumps(answer).encode() + b"\n"
    with lock:
        while line:
            line = line[os.write(out, line) :]


class Worker:
    """Does requests one after the other, in two threads: changes in one, and in the other what is only computed, so
    that nobody waits for somebody else's documents.

    Args:
        folder: the index; or its place in Qdrant.
        send: takes the parts of an answer.
        niceness: steps that the thread of changes, and what it starts, goes back behind other work.
    """

    def __init__(self, folder: Path | str, send: Answer, *, niceness: int = 0) -> None:
        self._folder, self._send = folder, send
        self._opening = threading.Lock()
        self._opened: Retriever | None = None
        self._of_edge: LightEncoder | None = None
        changes: dict[str, Callable[..., Any]] = {"put": self._put, "delete": self._delete}
        computed: dict[str, Callable[..., Any]] = {"rerank": self._rerank, "explain": self._explain}
        self._lanes = [_Lane(changes, self._do, niceness), _Lane(computed, self._do)]

    def take(self, request: list[Any]) -> None:
        """Put a request into the queue of its kind."""
        for lane in self._lanes:
            if request[1] in lane.calls:
                lane.requests.put(request)

    def close(self) -> None:
        """Do what was asked, and close the index."""
        for lane in self._lanes:
            lane.close()
        if self._opened is not None:
            self._opened.close()

    def _do(self, call: Callable[..., Any], number: int, arguments: Mapping[str, Any]) -> None:
        try:
            try:
                found = call(**arguments)
            except ReplacedError:  # built again meanwhile
                with self._opening:
                    if self._opened is not None:
                        self._opened.reopen()
                found = call(**arguments)
        except Exception as error:
            ours = isinstance(error, TardifError)
            if not ours:
                traceback.print_exc()
            kind = type(error).__name__
            self._send(number, "failed", kind if ours else "", str(error) if ours else f"{kind}: {first_line(error)}")
        else:
            self._send(number, "done", found)

    def _retriever(self) -> Retriever:
        with self._opening:
            if self._opened is None:
                from tardif.search.retriever import Retriever

                self._opened = Retriever(self._folder)
            return self._opened

    def _model(self) -> MultiVectorEncoder:
        retriever = self._retriever()
        with self._opening:  # loaded once, whichever thread needs it first
            try:
                return retriever.model
            except ReplacedError:
                raise
            except FolderError as error:  # of the model, not of the index: a client is told which
                raise ModelError(str(error)) from error

    def _encoder(self) -> MultiVectorEncoder | LightEncoder:
        """What reads texts that are not kept: the index's exported encoder, which needs no PyTorch."""
        if isinstance(place := qdrant_place(self._folder), Edge):
            return self._light(place.folder)
        retriever = self._retriever()
        with self._opening:
            return retriever.encoder

    def _light(self, folder: Path) -> LightEncoder:
        """The encoder in the folder of an embedded shard, which only the service has open. It has checked that it is
        the index's."""
        from tardif.encoder.onnx.encoder import LightEncoder
        from tardif.encoder.onnx.folder import INSIDE

        with self._opening:
            if self._of_edge is None:
                self._of_edge = LightEncoder(folder / INSIDE)
            return self._of_edge

    def _put(self, documents: list[dict[str, Any]]) -> dict[str, Any]:
        from tardif.index.qdrant.qdrant_index import QdrantIndex
        from tardif.index.sharded_folder import FolderIndex

        self._model()
        retriever = self._retriever()
        assert isinstance(retriever.index, FolderIndex | QdrantIndex)
        count, replaced = retriever.add([document_from(given) for given in documents], quiet=True)
        note = _unread(retriever.report)
        return {"added": count, "replaced": replaced, **({"note": note} if note else {})}

    def _delete(self, ids: list[str]) -> dict[str, int]:
        return {"deleted": self._retriever().delete(ids)}

    def _rerank(self, query: str, documents: list[dict[str, Any]], k: int) -> list[tuple[int, float]]:
        from tardif.search.rerank import rerank

        given: list[Document] = [document_from(each) for each in documents]
        hits = rerank(self._encoder(), query, given, k, quiet=True)
        return [(hit.position or 0, hit.score) for hit in hits]

    def _explain(self, query: str, text: str) -> list[Any]:
        from tardif.search.explain import explain_text

        return explanation_to(explain_text(self._encoder(), query, text))


def _unread(report: DocumentReport | None) -> str:
    """A sentence on added documents that the model does not read whole; empty if there are none."""
    cut = [note for note in report.notes if note.action == "cut"] if report is not None else []
    if not cut:
        return ""
    # Of a piece too the id is named: it tells which document, and which part of it.
    return (
        f"{len(cut)} of these documents or pieces are longer than the model reads, so no search finds their ends: of "
        f"{cut[0].document}, {cut[0].detail}. Put them in parts, or build the index of pieces (tardif index --chunk)."
    )


class _Lane:
    """A queue of requests of some calls, and the thread that does them."""

    def __init__(self, calls: Mapping[str, Callable[..., Any]], do: Callable[..., None], niceness: int = 0) -> None:
        self.calls, self._do, self._niceness = calls, do, niceness
        self.requests: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Do what was asked, and end the thread."""
        self.requests.put([])
        self._thread.join()

    def _run(self) -> None:
        if self._niceness and hasattr(os, "nice"):
            with contextlib.suppress(OSError):  # a sandbox may forbid it
                os.nice(self._niceness)
        while request := self.requests.get():
            number, call, arguments = request
            self._do(self.calls[call], number, arguments)
