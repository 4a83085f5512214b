"""Problem documents (RFC 9457): what went wrong, in the words of the library, as ``application/problem+json``."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tardif.errors import (
    BusyError,
    DataError,
    FolderError,
    MissingExtraError,
    ModelError,
    ReadOnlyError,
    ServiceError,
    SettingError,
    TardifError,
    UnknownDocumentError,
)
from tardif.serving.access_log import note_failure

MEDIA_TYPE = "application/problem+json"
# The first that fits decides.
_STATUS: Mapping[type[TardifError], int] = {
    UnknownDocumentError: 404,
    ReadOnlyError: 403,
    BusyError: 429,
    ServiceError: 503,
    MissingExtraError: 501,
    SettingError: 400,
    DataError: 400,
}
# What failed, where the message itself is for the log.
_FAILED: Mapping[type[TardifError], str] = {
    ModelError: "The model of this index cannot be opened: documents cannot be added, and searches go on.",
    FolderError: "The index's folder cannot be read or written.",
}
# In place of pydantic's words.
_SAID = {
    "extra_forbidden": "There is no such field.",
    "missing": "This field is missing.",
    "model_attributes_type": "Send a JSON object.",
}
# Faults of one request that are listed: a body can hold thousands.
_LISTED = 10


class Fault(BaseModel):
    """One fault of a request's body."""

    pointer: str = Field(description="The place in the body (a JSON pointer).")
    detail: str


class Problem(BaseModel):
    """Why a request was not answered (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="`about:blank`: the status says what kind of problem it is.")
    title: str = Field(description="The name of the status.")
    status: int
    detail: str = Field(description="What is wrong, where, and the way out.")
    error: str | None = Field(None, description="The class of the library's error, such as `SettingError`.")
    errors: list[Fault] | None = Field(None, description="Where the body does not fit the schema.")


class ProblemError(HTTPException):
    """A request cannot be answered.

    Args:
        status: the status of HTTP.
        detail: what is wrong, and the way out.
        headers: to be sent along.
        members: further members of the problem document.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(status, detail, headers)
        self.members = members


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """Return a problem document as an answer.

    >>> problem(404, "There is no index 'x'.").status_code
    404
    """
    title = http.HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    # ASCII: a message may quote half a character.
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


async def of_http_error(_: Request, error: Exception) -> Response:
    """Answer what the router and the service refuse."""
    assert isinstance(error, HTTPException)
    members = error.members if isinstance(error, ProblemError) else {}
    return problem(error.status_code, str(error.detail), error.headers, **members)


async def of_library_error(request: Request, error: Exception) -> Response:
    """Answer an error of the library. What the caller gave is the caller's to correct, and the message says how."""
    name = type(error).__name__
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            wait = {"Retry-After": str(getattr(error, "retry_after", 1))} if status in (429, 503) else None
            return problem(status, str(error), wait, error=name)
    # Such a message may name folders of this machine: it is for the log.
    note_failure(request.scope, error, message=isinstance(error, TardifError))
    what = next((said for kind, said in _FAILED.items() if isinstance(error, kind)), "The service failed.")
    return problem(500, f"{what} The service's log has the reason, under this request's id.", error=name)


async def of_invalid_body(_: Request, error: Exception) -> Response:
    """Answer a body that does not fit the schema. Its texts are not repeated."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    faults = [
        {"pointer": _pointer(fault["loc"][1:]), "detail": _SAID.get(fault["type"]) or _sentence(fault["msg"])}
        for fault in found[:_LISTED]
    ]
    first = faults[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    place = f"{first['pointer']}: " if first["pointer"] else ""
    return problem(422, f"{place}{first['detail']}{more}", errors=faults)


def _pointer(places: Sequence[Any]) -> str:
    return "".join("/" + str(place).replace("~", "~0").replace("/", "~1")[:100] for place in places)


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."
