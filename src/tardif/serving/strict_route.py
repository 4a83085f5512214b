"""Routes that read their body as strict JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from tardif.serving.problems import ProblemError
from tardif.serving.strict_json import StrictJsonError, read_json

# Bytes of a body that is read in a thread of its own: it would hold up everybody else's request.
_LARGE = 1 << 16


class StrictRoute(APIRoute):
    """A route that takes JSON only, and takes it strictly (:mod:`tardif.serving.strict_json`)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer, takes_body = super().get_route_handler(), self.body_field is not None

        async def handle(request: Request) -> Response:
            if takes_body:
                _check_type(request.headers.get("content-type"))
            return await answer(_StrictRequest(request.scope, request.receive))

        return handle


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            return read_json(body) if len(body) < _LARGE else await asyncio.to_thread(read_json, body)
        except StrictJsonError as error:
            raise ProblemError(400, str(error)) from None


def _check_type(given: str | None) -> None:
    """Refuse a body that is not declared as JSON. It also keeps forms of other pages out, which a browser sends
    without asking."""
    message = Message()
    message["content-type"] = given or ""
    charset = message.get_content_charset("utf-8")
    if given is None or message.get_content_type() != "application/json" or charset not in ("utf-8", "us-ascii"):
        raise ProblemError(415, "Send JSON, with Content-Type: application/json.")
