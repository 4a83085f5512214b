"""Documents encoded into memory: what ``encode``, ``search_encoded_docs`` and ``rerank`` work with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tardif.integrations.ragatouille.collection import checked_texts
from tardif.search.retriever import Retriever
from tardif.types import Document, Hit

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


class EncodedDocuments:
    """Documents encoded into memory and searched without an index; the id of each is its place.

    Args:
        model: an opened model.
    """

    def __init__(self, model: MultiVectorEncoder) -> None:
        self._model = model
        self._retriever: Retriever | None = None
        self._has_metadata = False
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, documents: Sequence[str], metadatas: Sequence[dict[str, Any]] | None = None) -> EncodedDocuments:
        """Encode further documents."""
        documents = checked_texts(documents, "documents")
        given = [{}] * len(documents) if metadatas is None else metadatas
        added = [
            Document(str(place), text, metadata=known or {})
            for place, (text, known) in enumerate(zip(documents, given, strict=True), start=self._count)
        ]
        if not added:
            return self
        if self._retriever is None:
            self._retriever = Retriever.encode(self._model, added, chunk=None, quiet=True)
        else:
            self._retriever.add(added, chunk=None, quiet=True)
        self._has_metadata |= metadatas is not None
        self._count += len(added)
        return self

    def search(self, query: str | list[str], k: int, *, zero: bool = False) -> Any:
        """The hits of a text, or of each text of a list."""
        if self._retriever is None:
            return [] if isinstance(query, str) else [[] for _ in query]
        answers = [
            [self._as_dict(hit, zero) for hit in hits]
            for hits in self._retriever.search_many([query] if isinstance(query, str) else query, k)
        ]
        return answers[0] if isinstance(query, str) else answers

    def _as_dict(self, hit: Hit, zero: bool) -> dict[str, Any]:
        metadata = {"document_metadata": dict(hit.metadata)} if self._has_metadata else {}
        return {
            "content": hit.text,
            "score": hit.score,
            "rank": hit.rank - zero,
            "result_index": int(hit.document_id),
            **metadata,
        }
