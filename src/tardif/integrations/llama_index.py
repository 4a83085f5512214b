"""LlamaIndex: a retriever over an index, and a node postprocessor that reranks. Needs ``tardif[llama-index]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tardif.extras import need

need("llama-index", "tardif.integrations.llama_index")  # before the imports that it is about

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from tardif.errors import SettingError
from tardif.integrations.folder_or_service import Searcher, open_searcher
from tardif.integrations.hit_metadata import hit_metadata
from tardif.integrations.reranker import Reranker

# LlamaIndex's operators as those of a dict filter. What has no counterpart is refused with its name.
_OPERATORS = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "!=",
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "not in",
    FilterOperator.ANY: "in",
    FilterOperator.CONTAINS: "=",
    FilterOperator.TEXT_MATCH: "contains",
}


class TardifRetriever(BaseRetriever):
    """Documents of an index as LlamaIndex's nodes with scores.

    Args:
        index: an index's folder; the address of a search service's index (``http://host:8000/indexes/law``); or an
            opened :class:`tardif.Retriever` or :class:`tardif.Client`.
        similarity_top_k: how many nodes.
        filters: which documents may be found: LlamaIndex's ``MetadataFilters``, or a filter as an expression or a dict.
        token: the service's token.
        **options: further options of :meth:`tardif.Retriever.search`, such as ``hybrid`` or ``group``.

    Raises:
        FolderError: the index cannot be opened.
        SettingError: a filter has an operator that Tardif has not.

    >>> TardifRetriever("support.index", similarity_top_k=2).retrieve("how do I reset my password?")  # doctest: +SKIP
    """

    def __init__(
        self,
        index: str | Path | Searcher,
        similarity_top_k: int = 10,
        filters: MetadataFilters | str | Mapping[Any, Any] | None = None,
        *,
        token: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._tardif = open_searcher(index, token)
        self.similarity_top_k = similarity_top_k
        self._where = as_where(filters) if isinstance(filters, MetadataFilters) else filters
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._tardif.search(query_bundle.query_str, self.similarity_top_k, where=self._where, **self._options)
        found = []
        for hit in hits:
            node = TextNode(id_=hit.document_id, text=hit.text, metadata=hit_metadata(hit))
            found.append(NodeWithScore(node=node, score=hit.score))
        return found


class TardifRerank(BaseNodePostprocessor):
    """Keeps the ``top_n`` nodes that a late-interaction model scores best.

    Args:
        model: a checkpoint's folder or hub id; or the address of a search service's index, whose model then scores.
        token: the service's token. It is not stored with the component.
        top_n: how many nodes are kept; all of them where there are fewer.
        device: torch's name of the device.

    Raises:
        ModelError: the model does not exist, or is no late-interaction model.

    >>> TardifRerank(model="models/support", top_n=3).postprocess_nodes(nodes, query_str="reset?")  # doctest: +SKIP
    """

    model: str = Field(description="A checkpoint's folder or hub id, or the address of a service's index.")
    token: str | None = Field(default=None, description="The service's token.", exclude=True, repr=False)
    top_n: int = Field(default=5, description="How many nodes are kept.")
    device: str = Field(default="cpu", description="Torch's name of the device.")
    _reranker: Reranker = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Check the model at once; it is loaded on first use."""
        super().model_post_init(context)
        self._reranker = Reranker(self.model, device=self.device, token=self.token)

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex stores it."""
        return "TardifRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise SettingError("Reranking needs the query: pass query_str or query_bundle.")
        # Without metadata, which LlamaIndex puts in front of a text by default: an index does not encode them either.
        texts = [node.node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes]
        return [
            NodeWithScore(node=nodes[place].node, score=score)
            for place, score in self._reranker.order(query_bundle.query_str, texts, self.top_n)
        ]


def as_where(filters: MetadataFilters) -> dict[str, Any]:
    """LlamaIndex's filters as a dict filter.

    Raises:
        SettingError: an operator has no counterpart.

    >>> from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
    >>> as_where(MetadataFilters(filters=[MetadataFilter(key="year", value=2020, operator=">=")]))
    {'and': [{('year',): {'>=': 2020}}]}
    """
    parts = [as_where(part) if isinstance(part, MetadataFilters) else _test(part) for part in filters.filters]
    # LlamaIndex's default is and.
    condition = str(getattr(filters.condition, "value", None) or "and")
    # Filters of which there are none ask for nothing, so every document passes.
    return {condition: parts} if parts else {}


def _test(part: Any) -> dict[Any, Any]:
    # A text metadata key may hold dots: as a tuple it is one key, not a path.
    key, value = (part.key,), part.value
    operator = part.operator if isinstance(part, MetadataFilter) else FilterOperator.EQ
    # A list of values: the key must have each of them, so one test for each.
    if operator == FilterOperator.ALL:
        return {"and": [{key: {"=": each}} for each in value]} if value else {}
    if operator == FilterOperator.IS_EMPTY:
        # Only a key with a value that is not null has one outside of an empty list: an empty array has none, either.
        return {"not": [{key: {"not in": []}}]}
    if operator not in _OPERATORS:
        raise SettingError(f"filters: the operator {operator.value!r} has no counterpart: use another, or a dict.")
    return {key: {_OPERATORS[operator]: value}}
