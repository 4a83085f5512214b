"""LangChain: a retriever over an index, and a document compressor that reranks. Needs ``tardif[langchain]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tardif.extras import need

need("langchain", "tardif.integrations.langchain")  # before the imports that it is about

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr, SecretStr

from tardif.integrations.folder_or_service import Searcher, open_searcher
from tardif.integrations.hit_metadata import hit_metadata
from tardif.integrations.reranker import Reranker


class TardifRetriever(BaseRetriever):
    """Documents of an index as LangChain's documents.

    A document's id is the hit's, its ``page_content`` the hit's text; its metadata are those of the index, with
    ``score``, ``title`` where there is one, and ``piece`` where the document was cut.

    Args:
        index: an index's folder; the address of a search service's index (``http://host:8000/indexes/law``); or an
            opened :class:`tardif.Retriever` or :class:`tardif.Client`.
        token: the service's token.
        k: how many documents.
        where: which documents may be found: a filter as an expression or a dict.
        options: further options of :meth:`tardif.Retriever.search`, such as ``hybrid`` or ``group``.

    Each can also be given in a call: ``retriever.invoke(query, k=3, where="lang = 'en'")``.

    Raises:
        FolderError: the index cannot be opened.

    >>> retriever = TardifRetriever(index="support.index", k=2)  # doctest: +SKIP
    >>> retriever.invoke("how do I reset my password?")  # doctest: +SKIP
    """

    # Any, not Retriever: pydantic would need a schema for it.
    index: Any
    token: SecretStr | None = None
    k: int = 10
    where: str | dict[Any, Any] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    _searcher: Searcher = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Open the index at once: a wrong folder is an error here, not at the first query."""
        super().model_post_init(context)
        self._searcher = open_searcher(self.index, _plain(self.token))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        asked = {"k": self.k, "where": self.where, **self.options, **kwargs}
        found = []
        for hit in self._searcher.search(query, **asked):
            metadata = {**hit_metadata(hit), "score": hit.score}
            found.append(Document(id=hit.document_id, page_content=hit.text, metadata=metadata))
        return found


class TardifReranker(BaseDocumentCompressor):
    """Keeps the ``k`` documents that a late-interaction model scores best.

    Args:
        model: a checkpoint's folder or hub id; or the address of a search service's index, whose model then scores.
        token: the service's token.
        k: how many documents are kept; all of them where there are fewer.
        device: torch's name of the device.

    Raises:
        ModelError: the model does not exist, or is no late-interaction model.

    >>> TardifReranker(model="models/support", k=3).compress_documents(documents, query)  # doctest: +SKIP
    """

    model: str
    token: SecretStr | None = None
    k: int = 5
    device: str = "cpu"
    _reranker: Reranker = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the model at once; it is loaded on first use."""
        self._reranker = Reranker(self.model, device=self.device, token=_plain(self.token))

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """The best documents, best first: copies, with ``relevance_score`` in their metadata."""
        given = list(documents)
        texts = [document.page_content for document in given]
        return [_scored(given[place], score) for place, score in self._reranker.order(query, texts, self.k)]


def _plain(token: SecretStr | None) -> str | None:
    return None if token is None else token.get_secret_value()


def _scored(document: Document, score: float) -> Document:
    metadata: Mapping[str, Any] = {**document.metadata, "relevance_score": score}
    # A copy: the caller's document may be used elsewhere, or in another thread.
    return document.model_copy(update={"metadata": metadata})
