"""Haystack: a retriever over an index, and a ranker; both serialise. Needs the extra ``tardif[haystack]``.

Haystack loads a stored pipeline's components from modules that it trusts: pass
``Pipeline.loads(text, allowed_modules=["tardif.integrations.haystack"])``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tardif.extras import need

need("haystack", "tardif.integrations.haystack")  # before the imports that it is about

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret, deserialize_secrets_inplace

from tardif.checks import called, check_list
from tardif.errors import SettingError
from tardif.integrations.folder_or_service import Searcher, open_searcher
from tardif.integrations.hit_metadata import hit_metadata
from tardif.integrations.reranker import Reranker

# Haystack's operators, and those of a dict filter.
_OPERATORS = {"==": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<=", "in": "in", "not in": "not in"}
_NOTHING: dict[str, Any] = {"@id": []}  # no document passes


@component
class TardifRetriever:
    """Documents of an index as Haystack's documents.

    Args:
        index: an index's folder, or the address of a search service's index (``http://host:8000/indexes/law``). It
            is opened by :meth:`warm_up`, or by the first query.
        top_k: how many documents.
        filters: which documents may be found, as Haystack writes filters.
        options: further options of :meth:`tardif.Retriever.search`, such as ``hybrid`` or ``group``.
        token: the service's token. A stored pipeline holds the name of its environment variable.

    >>> TardifRetriever("support.index", top_k=2).run("how do I reset my password?")  # doctest: +SKIP
    """

    def __init__(
        self,
        index: str,
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        token: Secret | None = None,
    ) -> None:
        # Texts, not paths or objects: a stored pipeline is YAML.
        self.index, self.top_k, self.filters, self.options = str(index), top_k, filters, options
        self.token = token
        # Opened late: Haystack makes components when a pipeline is defined or loaded, long before it runs.
        self._searcher: Searcher | None = None

    def warm_up(self) -> None:
        """Open the index.

        Raises:
            FolderError: it cannot be opened.
        """
        if self._searcher is None:
            self._searcher = open_searcher(self.index, _plain(self.token))

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: int | None = None, filters: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Find documents for a query.

        Args:
            query: the query.
            top_k: how many, in place of the component's.
            filters: which documents may be found, in place of the component's.

        Returns:
            ``documents``, best first, each with its MaxSim as ``score``.

        Raises:
            SettingError: a filter cannot be used.
        """
        self.warm_up()
        assert self._searcher is not None
        chosen = filters or self.filters
        count = self.top_k if top_k is None else top_k
        hits = self._searcher.search(query, count, where=as_where(chosen) if chosen else None, **(self.options or {}))
        return {
            "documents": [
                Document(id=hit.document_id, content=hit.text, meta=hit_metadata(hit), score=hit.score) for hit in hits
            ]
        }

    def to_dict(self) -> dict[str, Any]:
        """The component as a pipeline stores it."""
        return default_to_dict(
            self,
            index=self.index,
            top_k=self.top_k,
            filters=self.filters,
            options=self.options,
            token=_stored(self.token),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TardifRetriever:
        """The component that :meth:`to_dict` stored."""
        deserialize_secrets_inplace(data["init_parameters"], ["token"])
        return default_from_dict(cls, data)


@component
class TardifRanker:
    """Keeps the ``top_k`` documents that a late-interaction model scores best.

    Args:
        model: a checkpoint's folder or hub id, which is loaded by :meth:`warm_up` or by the first query; or the address
            of a search service's index, whose model then scores.
        top_k: how many documents are kept; all of them where there are fewer.
        device: torch's name of the device.
        token: the service's token, as for :class:`TardifRetriever`.

    >>> TardifRanker("models/support", top_k=3).run("how do I reset it?", documents)  # doctest: +SKIP
    """

    def __init__(self, model: str, top_k: int = 10, device: str = "cpu", token: Secret | None = None) -> None:
        self.model, self.top_k, self.device, self.token = str(model), top_k, device, token
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Check and load the model.

        Raises:
            ModelError: it does not exist, or is no late-interaction model.
        """
        if self._reranker is None:
            self._reranker = Reranker(self.model, device=self.device, token=_plain(self.token))
            self._reranker.warm_up()

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Order documents for a query.

        Args:
            query: the query.
            documents: those with a ``content`` are ordered; the others are left out.
            top_k: how many are kept, in place of the component's.

        Returns:
            ``documents``, best first: copies with their MaxSim as ``score``.
        """
        self.warm_up()
        assert self._reranker is not None
        count = self.top_k if top_k is None else top_k
        # Documents without text (images, tables) cannot be scored.
        given = [document for document in documents if document.content]
        ranked = self._reranker.order(query, [str(document.content) for document in given], count)
        return {"documents": [replace(given[place], score=score) for place, score in ranked]}

    def to_dict(self) -> dict[str, Any]:
        """The component as a pipeline stores it."""
        return default_to_dict(self, model=self.model, top_k=self.top_k, device=self.device, token=_stored(self.token))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TardifRanker:
        """The component that :meth:`to_dict` stored."""
        deserialize_secrets_inplace(data["init_parameters"], ["token"])
        return default_from_dict(cls, data)


def _plain(token: Secret | None) -> str | None:
    return None if token is None else token.resolve_value()


def _stored(token: Secret | None) -> dict[str, Any] | None:
    """A token as a pipeline stores it: the name of its variable. Haystack refuses to store a token itself."""
    return None if token is None else token.to_dict()


def as_where(filters: dict[str, Any]) -> dict[str, Any]:
    """Haystack's filters as a dict filter: ``meta.`` leads to the metadata, ``id`` is the document's.

    Raises:
        SettingError: an operator is not known, or a part is missing.

    >>> as_where({"field": "meta.year", "operator": ">=", "value": 2020})
    {'year': {'>=': 2020}}
    """
    if not isinstance(filters, Mapping):
        raise SettingError(f"filters: {called(filters)} is no filter: give a dict with field, operator and value.")
    operator = filters.get("operator")
    if "conditions" in filters:
        if operator not in ("AND", "OR", "NOT"):
            raise SettingError(
                f"filters: the operator {operator!r} is not known beside conditions: use AND, OR or NOT."
            )
        parts = [as_where(part) for part in check_list(filters["conditions"], "filters: conditions", SettingError)]
        if operator == "OR":
            return {"or": parts or [_NOTHING]}
        # Haystack's NOT negates all of its conditions together.
        return {"not": [{"and": parts or [{}]}]} if operator == "NOT" else {"and": parts or [{}]}
    if missing := [name for name in ("field", "operator", "value") if name not in filters]:
        raise SettingError(f"filters: {missing[0]!r} is missing in {filters!r:.200}.")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise SettingError(f"filters: the operator {operator!r} is not known: use one of {', '.join(_OPERATORS)}.")
    field = str(filters["field"])
    if field == "content":
        raise SettingError("filters: an index does not filter by content: ask for it in the query, or use metadata.")
    name = "@id" if field == "id" else field.removeprefix("meta.")
    return {name: {_OPERATORS[operator]: filters["value"]}}
