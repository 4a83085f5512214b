"""The routes of the service. Each checks its limits, asks the index, and answers with the command line's JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from tardif.checks import shown
from tardif.errors import ServiceError, TardifError
from tardif.serving import requests_and_answers as bodies
from tardif.serving.admission import Admission
from tardif.serving.limits import ServiceLimits
from tardif.serving.metrics import CONTENT_TYPE_LATEST, Metrics
from tardif.serving.problems import MEDIA_TYPE, ProblemError
from tardif.serving.served_index import ServedIndex, describe_all
from tardif.serving.strict_route import StrictRoute
from tardif.types import Document, Hit


class _AnyText(PathConvertor):
    """The rest of a path. Starlette's own ends at a line break, which an id may hold."""

    regex = r"[\s\S]*"


register_url_convertor("anytext", _AnyText())


@dataclass(frozen=True)
class Service:
    """What the routes share."""

    indexes: Mapping[str, ServedIndex]
    limits: ServiceLimits
    admission: Admission
    metrics: Metrics


# Coroutines: FastAPI calls plain functions in a thread of its own, and a request would wait twice for one.
async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_service)]
IndexName = Annotated[str, Path(description="The name of an index.", examples=["support"])]
DocumentId = Annotated[str, Path(description="The id of a document, or of a piece.", examples=["article-3"])]


async def _index(request: Request, name: IndexName, service: Shared) -> ServedIndex:
    found = service.indexes.get(name)
    if found is None:
        known = ", ".join(service.indexes)
        raise ProblemError(404, f"There is no index {shown(name)}: this service has {known}.")
    request.scope["state"]["tardif.index"] = name
    return found


Served = Annotated[ServedIndex, Depends(_index)]
Answers = dict[int | str, dict[str, Any]]
# Of every route, and of those that take a body.
_ANYWHERE, _WITH_BODY = (400, 401, 403, 404, 408, 413, 415, 421, 429, 431, 500, 501, 503), (422,)


def problems(*more: int) -> Answers:
    """Return the answers of a route that are problems, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "A problem (RFC 9457).", "content": content} for status in (*_ANYWHERE, *more)}


def answer(value: Any) -> Response:
    """Return a value as JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), media_type="application/json")


router = APIRouter(route_class=StrictRoute, responses=problems())
_changes = problems(*_WITH_BODY)


@router.get("/indexes", response_model=bodies.IndexList, tags=["Indexes"])
async def list_indexes(service: Shared) -> Response:
    """List the indexes, with the fields of their metadata. One that cannot be read is left out."""
    with service.admission.request():
        return answer({"indexes": await describe_all(service.indexes.values())})


@router.get("/indexes/{name}", response_model=bodies.Description, tags=["Indexes"])
async def describe_index(index: Served, service: Shared) -> Response:
    """Describe an index."""
    with service.admission.request():
        return answer(await index.describe())


@router.get("/indexes/{name}/documents/{document_id:anytext}", response_model=bodies.StoredDocument, tags=["Documents"])
async def get_document(index: Served, document_id: DocumentId, service: Shared) -> Response:
    """Get a document, or a piece, by its id."""
    with service.admission.request():
        found = await index.get(document_id)
    if found is None:
        raise ProblemError(404, f"The document {shown(document_id)} is not in the index {index.name}.")
    return answer(_document(found))


@router.post(
    "/indexes/{name}/search",
    response_model=bodies.HitList | bodies.HitLists,
    response_model_exclude_unset=True,
    responses=_changes,
    tags=["Search"],
)
async def search(index: Served, asked: bodies.SearchRequest, service: Shared) -> Response:
    """Search an index for one or many queries."""
    bodies.check_limits(asked, service.limits)
    with service.admission.request():
        async with _in_time(service):
            found = await index.search(asked.texts, **asked.options())
            results = [await _hits(index, query, hits, asked) for query, hits in zip(asked.texts, found, strict=True)]
    service.metrics.searched(index.name, len(results))
    return answer({"results": results} if "queries" in asked.model_fields_set else results[0])


@router.post("/indexes/{name}/rerank", response_model=bodies.HitList, responses=_changes, tags=["Search"])
async def rerank(index: Served, asked: bodies.RerankRequest, service: Shared) -> Response:
    """Order given documents for a query with the index's model. They need not be in the index."""
    bodies.check_limits(asked, service.limits)
    documents = asked.given()
    with service.admission.of_documents(len(documents)):
        async with _in_time(service):
            hits = await index.rerank(asked.query, documents, k=asked.k)
    return answer({"query": asked.query, "hits": [hit.as_json() for hit in hits]})


@router.post("/indexes/{name}/explain", response_model=bodies.Explained, responses=_changes, tags=["Search"])
async def explain(index: Served, asked: bodies.ExplainRequest, service: Shared) -> Response:
    """Say which token of a document each token of a query matched."""
    bodies.check_limits(asked, service.limits)
    encodes = "text" in asked.about
    with service.admission.of_documents(1) if encodes else service.admission.request():
        async with _in_time(service):
            found = await index.explain(asked.query, **asked.about)
    more: dict[str, Any] = {}
    if asked.similarities:
        from tardif.search.snippet import marks

        more = {"similarities": found.similarities.tolist(), "marks": [m.as_json(found.document) for m in marks(found)]}
    return answer({**found.as_json(), **more})


@router.put("/indexes/{name}/documents", response_model=bodies.Added, responses=_changes, tags=["Documents"])
async def put_documents(index: Served, asked: bodies.PutRequest, service: Shared) -> Response:
    """Add documents, or replace them. When this answers they are on disk, and searches find them."""
    bodies.check_limits(asked, service.limits)
    documents = asked.given()
    with service.admission.of_documents(len(documents)):
        return answer(await index.put(documents))


@router.delete("/indexes/{name}/documents", response_model=bodies.Deleted, responses=_changes, tags=["Documents"])
async def delete_documents(index: Served, asked: bodies.DeleteRequest, service: Shared) -> Response:
    """Delete documents, with all of their pieces. When this answers, it is on disk."""
    bodies.check_limits(asked, service.limits)
    with service.admission.of_documents(len(asked.document_ids)):
        return answer(await index.delete(asked.document_ids))


@router.post("/indexes/{name}/feedback", status_code=204, responses=_changes, tags=["Feedback"])
async def give_feedback(index: Served, asked: bodies.FeedbackRequest, service: Shared) -> Response:
    """Keep a judgement of a hit, for training: `tardif prepare` reads the file."""
    bodies.check_limits(asked, service.limits)
    with service.admission.request():
        await index.feedback(asked.query, asked.document_id, asked.label)
    return Response(status_code=204)


@router.get("/healthz", response_model=bodies.Health, tags=["Operation"])
async def health() -> Response:
    """Answer, if the process lives. It needs no token."""
    return answer({"status": "ok"})


@router.get("/readyz", response_model=bodies.Health, tags=["Operation"])
async def ready(request: Request) -> Response:
    """Answer, if the service takes requests. It needs no token."""
    if request.app.state.stopping:
        raise ServiceError("The service is stopping.")
    return answer({"status": "ok"})


@router.get(
    "/metrics",
    response_class=Response,
    tags=["Operation"],
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Shared) -> Response:
    """Give the service's metrics in Prometheus' format."""
    for index in service.indexes.values():
        with suppress(TardifError):  # a damaged index has no number; the rest is wanted all the more
            service.metrics.documents.labels(index.name).set((await index.describe())["documents"])
    service.metrics.waiting_documents.set(service.admission.documents)
    return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


def _in_time(service: Service) -> Any:
    return _Deadline(service.limits.answer_seconds)


class _Deadline:
    """Ends an answer that takes too long. What is already under way in a thread goes on, and nobody waits for it."""

    def __init__(self, seconds: int) -> None:
        self._seconds, self._timeout = seconds, asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self._timeout.__aexit__(*raised)
        except TimeoutError:
            raise ServiceError(f"No answer within {self._seconds} s: ask again later.") from None


async def _hits(index: ServedIndex, query: str, hits: Sequence[Hit], asked: bodies.SearchRequest) -> dict[str, Any]:
    found: dict[str, Any] = {"query": query, "hits": [hit.as_json() for hit in hits]}
    if not hits:
        found["note"] = await index.why_nothing(query, where=asked.filter)
    return found


def _document(document: Document) -> dict[str, Any]:
    return {
        "document_id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "piece": None if document.piece is None else document.piece.as_json(),
    }
