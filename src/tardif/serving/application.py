"""The search service as an ASGI application: routes, and the layers that every request passes.

From the outside in: :mod:`~tardif.serving.observing` (headers, log, metrics), CORS where an origin is named,
:mod:`~tardif.serving.gate` (who asks, and the body's limits), and the :mod:`~tardif.serving.routes`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from tardif._version import __version__
from tardif.errors import TardifError
from tardif.serving.access_log import log
from tardif.serving.admission import Admission
from tardif.serving.authorization import PUBLIC
from tardif.serving.gate import Gate
from tardif.serving.metrics import Metrics
from tardif.serving.observing import REQUEST_ID, Observer
from tardif.serving.page_files import add_page
from tardif.serving.problems import Problem, of_http_error, of_invalid_body, of_library_error
from tardif.serving.requests_and_answers import show_limits
from tardif.serving.routes import Service, router
from tardif.serving.served_index import ServedIndex
from tardif.serving.service_options import ServiceOptions

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


def create_app(indexes: Mapping[str, ServedIndex], options: ServiceOptions | None = None) -> FastAPI:
    """Return the application. It closes the indexes when it ends, after it has answered what it accepted.

    >>> app = create_app({"support": ServedIndex.open("support.index")}, ServiceOptions(loopback=True))

    Args:
        indexes: by their names.
        options: who may ask, and for how much.
    """
    options = options or ServiceOptions()
    app = FastAPI(
        title="Tardif",
        version=__version__,
        summary="Search with late-interaction models, and change the indexes.",
        docs_url=None,  # they would load scripts from other servers
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_closing,
    )
    metrics = Metrics(list(indexes))
    app.state.service = Service(indexes, options.limits, Admission(options.limits), metrics)
    app.state.stopping = False
    app.include_router(router)
    add_page(app)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, of_invalid_body)
    app.add_exception_handler(TardifError, of_library_error)
    app.add_middleware(Gate, options=options)
    if options.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.allow_origins,
            allow_methods=_METHODS,
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=("Retry-After", REQUEST_ID),
        )
    app.add_middleware(Observer, metrics=metrics)
    _describe(app, options)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    indexes = app.state.service.indexes.values()
    checking = asyncio.ensure_future(_warn_of_models(indexes))
    try:
        yield
    finally:
        checking.cancel()
        app.state.stopping = True
        for index in indexes:
            await index.close()


async def _warn_of_models(indexes: Iterable[ServedIndex]) -> None:
    """Log which indexes cannot take documents. Large models take seconds, beside the first requests."""
    for index in indexes:
        if error := await index.why_not_put():
            said = {"error": type(error).__name__, "message": str(error)}
            log("documents cannot be added", logging.WARNING, index=index.name, **said)


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what the router refuses. A route of the router has one method, so it names only that as allowed."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and error.detail == "Not Found":
        error.detail = "There is no such route. GET /openapi.json lists them."
    if error.status_code != 405:
        return await of_http_error(request, error)
    allowed = {"Allow": ", ".join(_allowed(request))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    error.detail = f"This route takes {allowed['Allow']}."
    answer = await of_http_error(request, error)
    answer.headers.update(allowed)
    return answer


def _allowed(request: Request) -> list[str]:
    """The methods that the routes of a path take."""

    def is_taken(method: str) -> bool:
        scope: Scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return [*filter(is_taken, _METHODS), "OPTIONS"]


def _describe(app: FastAPI, options: ServiceOptions) -> None:
    """Complete the description in OpenAPI's format: problems, limits, and the token where there is one."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            components = schema.setdefault("components", {})
            components["schemas"]["Problem"] = _problem_schema(components["schemas"])
            show_limits(components["schemas"], options.limits)
            if options.token is not None:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
                for path in schema["paths"].keys() & PUBLIC:
                    for operation in schema["paths"][path].values():
                        operation["security"] = []
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _problem_schema(schemas: dict[str, Any]) -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs"))
    return schema
