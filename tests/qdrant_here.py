"""Qdrant without a service, for tests: its embedded engine, and its client over a collection in memory."""

from __future__ import annotations

import pytest

from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.http_engine import HttpEngine
from tardif.index.qdrant.qdrant_index import QdrantIndex

KINDS = ("edge", "client")

# In memory, the client implements the service's interface in Python: no payload indexes, and every search is exact.
QUIET = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


def empty_index(kind, folder, **about):
    """A new index in the embedded engine or in a client's memory."""
    if kind == "edge":
        return QdrantIndex(EdgeEngine(folder, threads=1), about=about)
    from qdrant_client import QdrantClient

    return QdrantIndex(HttpEngine(QdrantClient(":memory:"), "docs", "qdrant in memory"), about=about)


class Kept:
    """A client of a service that stays when its connection is closed, as a service does."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def close(self):
        """Close the connection: nothing."""
