"""The service's application over a stand-in for an index, asked without a network."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import numpy as np

from tardif.checks import check_hits, check_ids, check_queries, check_query
from tardif.errors import ReadOnlyError, SettingError, UnknownDocumentError
from tardif.explanation import Explanation, Match, Token
from tardif.index.filters import parse_filter
from tardif.serving.application import create_app
from tardif.serving.service_options import ServiceOptions
from tardif.types import Document, Hit, Mark

DOCUMENTS = [
    Document("tides", "The moon makes the tides.", "Sea", {"lang": "en", "year": 2020}),
    Document("bread", "Bread rises.", metadata={"lang": "en", "year": 2024}),
    Document("a/b", "An id with a slash.", metadata={"lang": "fr", "tags": ["x"]}),
]


class StandIn:
    """What the routes see of an index: documents by their order, no vectors. ``gate`` lets a test hold up answers."""

    def __init__(self, name="support", documents=DOCUMENTS, *, read_only=False):
        self.name, self.read_only = name, read_only
        self.documents = {document.id: document for document in documents}
        self.judged, self.asked = [], []
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault = None

    async def _begin(self, *asked):
        self.asked.append(asked)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault

    async def describe(self):
        await self._begin("describe")
        fields = [{"name": "lang", "types": ["string"], "values": ["en", "fr"]}]
        facts = {"documents": len(self.documents), "tokens": 9, "bits": 8, "hybrid": False, "model": "tiny"}
        return {"name": self.name, "read_only": self.read_only, "feedback": True, **facts, "fields": fields}

    async def search(self, queries, *, k=10, where=None, explain=False, **options):
        queries, k = check_queries(queries), check_hits(k)
        if where is not None:
            parse_filter(where)
        await self._begin("search", k, where, options)
        return [
            self._found(list(self.documents.values())[:k], explain) if where != "@id = 'none'" else [] for _ in queries
        ]

    async def why_nothing(self, query, *, where=None):
        return "No document passes the filter."

    def _found(self, documents, explain=False):
        hits = [Hit(i, d.id, 1 / i, d.text, d.title, d.metadata) for i, d in enumerate(documents, 1)]
        return [replace(hit, snippet=hit.text, matches=(Mark(0, 3, 0.5),)) for hit in hits] if explain else hits

    async def rerank(self, query, documents, *, k=10):
        check_query(query)
        await self._begin("rerank", k)
        return [replace(hit, position=hit.rank - 1) for hit in self._found(documents[:k])]

    async def explain(self, query, *, document_id=None, text=None):
        check_query(query)
        await self._begin("explain")
        if document_id is not None and document_id not in self.documents:
            raise UnknownDocumentError(document_id)
        content = text if document_id is None else self.documents[document_id].content
        words = [Token(content, 0, len(content), 0)]
        return Explanation(
            query,
            content,
            [Token(query, 0, len(query), 0)],
            words,
            [Match(0, (0,), 0.5)],
            0.5,
            np.full((1, 1), 0.5, np.float32),
            document_id or "",
        )

    async def get(self, document_id):
        await self._begin("get")
        return self.documents.get(check_ids([document_id])[0])

    async def why_not_put(self):
        return None if self.read_only else self.fault

    async def put(self, documents):
        if self.read_only:
            raise ReadOnlyError(f"The index {self.name} is served read-only.")
        await self._begin("put")
        replaced = sum(document.id in self.documents for document in documents)
        self.documents |= {document.id: document for document in documents}
        return {"added": len(documents), "replaced": replaced}

    async def delete(self, ids):
        await self._begin("delete")
        return {"deleted": sum(self.documents.pop(one, None) is not None for one in check_ids(ids))}

    async def feedback(self, query, document_id, label):
        if document_id not in self.documents:
            raise UnknownDocumentError(document_id)
        if query == "full":
            raise SettingError("This service keeps no feedback: start it with --feedback FILE.")
        self.judged.append((check_query(query), document_id, label))

    async def close(self):
        self.closed = True


@asynccontextmanager
async def asking(*indexes, token=None, headers=None, base="http://localhost:8000", raising=False, **options):
    """A client of the application; an unexpected error is an answer, as in a server."""
    app = create_app({index.name: index for index in indexes}, ServiceOptions(token=token, **options))
    transport = httpx.ASGITransport(app, raise_app_exceptions=raising)
    given = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=given) as client:
        client.app = app
        yield client


def is_problem(answer, status):
    """The detail of a problem document with this status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found = json.loads(answer.content)
    assert (answer.status_code, found["status"], found["type"]) == (status, status, "about:blank"), found
    assert found["title"]
    assert found["detail"]
    return found["detail"]
