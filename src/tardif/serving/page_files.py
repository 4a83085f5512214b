"""The page at ``/``: files of this package, sent as they are.

The page is plain HTML, CSS and JavaScript modules: nothing is built, and nothing comes from the network. Its policy
lets the browser run, draw and call what this service serves, and nothing else, so that no text of a document can become
code. The colours, and the style rules of explanations, are the report's own files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.display import Short

if TYPE_CHECKING:
    from fastapi import FastAPI

#: What the browser may do on the page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked for again each time, and sent only if it changed: an upgrade of Tardif is seen at once.
    "Cache-Control": "no-cache",
}
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOLDER = Path(__file__).parent / "page"
_REPORT = Path(__file__).parent.parent / "report" / "templates"
_OF_THE_REPORT = ("colours.css", "explained.css")


@dataclass(frozen=True, slots=True, repr=False)
class PageFile(Short):
    """A file of the page.

    Attributes:
        content: its bytes.
        kind: its media type.
        tag: names this content, for ``ETag`` and ``If-None-Match``.
    """

    content: bytes
    kind: str
    tag: str


def page_files() -> dict[str, PageFile]:
    """Return the files of the page by their names. There are no others: no name of a request reaches the disk.

    >>> sorted(name for name in page_files() if name.endswith(".css"))
    ['colours.css', 'explained.css', 'page.css']
    """
    places = [*_FOLDER.iterdir(), *(_REPORT / name for name in _OF_THE_REPORT)]
    return {place.name: _read(place) for place in sorted(places) if place.suffix in _KINDS}


def add_page(app: FastAPI) -> None:
    """Serve the page at ``/`` and its files below ``/page/``. They need no token: the page asks for it.

    Args:
        app: the service.
    """
    from fastapi import Request, Response
    from starlette.exceptions import HTTPException

    files = page_files()

    def send(request: Request, name: str) -> Response:
        found = files.get(name)
        if found is None:
            raise HTTPException(404, "The page has no such file.")
        headers = {**HEADERS, "ETag": found.tag}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.kind, headers=headers)

    async def page(request: Request) -> Response:
        return send(request, "index.html")

    async def file(request: Request) -> Response:
        return send(request, request.path_params["name"])

    app.add_route("/", page, methods=["GET"], include_in_schema=False)
    app.add_route("/page/{name}", file, methods=["GET"], include_in_schema=False)


def _read(place: Path) -> PageFile:
    content = place.read_bytes()
    return PageFile(content, _KINDS[place.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
