"""``ragatouille.integrations``: the two LangChain components, imported when they are asked for."""

from __future__ import annotations

from typing import Any

_NAMES = ("RAGatouilleLangChainCompressor", "RAGatouilleLangChainRetriever")

__all__ = ["RAGatouilleLangChainCompressor", "RAGatouilleLangChainRetriever"]  # noqa: F822  made by __getattr__


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tardif.integrations.ragatouille import components

    return getattr(components, name)
