"""RAGatouille's two LangChain components; needs ``pip install 'tardif[langchain]'``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tardif.extras import need

need("langchain", "tardif.ragatouille.integrations")  # before the imports that it is about

from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field


class RAGatouilleLangChainRetriever(BaseRetriever):
    """Documents found by a :class:`RAGPretrainedModel`; ``kwargs`` are those of its ``search``."""

    model: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        found = self.model.search(query, **{**self.kwargs, **kwargs})
        return [Document(page_content=hit["content"], metadata=hit.get("document_metadata", {})) for hit in found]


class RAGatouilleLangChainCompressor(BaseDocumentCompressor):
    """Keeps the ``k`` best documents by a :class:`RAGPretrainedModel`; ``kwargs`` are those of its ``rerank``."""

    model: Any
    kwargs: dict[str, Any] = Field(default_factory=dict)
    k: int = 5

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None, **kwargs: Any
    ) -> Sequence[Document]:
        """The best documents, best first, each a copy with its score as ``relevance_score`` in the metadata."""
        given = list(documents)
        found = self.model.rerank(
            query=query,
            documents=[document.page_content for document in given],
            k=kwargs.get("k", self.k),
            **self.kwargs,
        )
        return [
            given[hit["result_index"]].model_copy(
                update={"metadata": {**given[hit["result_index"]].metadata, "relevance_score": hit["score"]}}
            )
            for hit in found
        ]
