"""A client of a search service (``tardif serve``): the Retriever's calls, over HTTP.

The library's own values go in and come out. So a program that searches a folder today searches a service tomorrow by
changing one line.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from tardif.batching import batched
from tardif.checks import check_hits, check_ids, check_queries, check_query, shown
from tardif.display import Hits, ShortList, brief_repr
from tardif.errors import (
    BusyError,
    DataError,
    ReadOnlyError,
    ServiceError,
    SettingError,
    TardifError,
    first_line,
)
from tardif.types import Document, Hit, Piece

if TYPE_CHECKING:
    import httpx2

    from tardif.data.document_report import DocumentReport
    from tardif.explanation import Explanation
    from tardif.index.filters import Filter

# Queries or documents, bytes, hits and explained hits of one request: within a service's limits.
_TOGETHER, _BYTES, _HITS, _EXPLAINED = 64, 1 << 20, 10_000, 1_000
_IDS = 1000
# The service is busy: it has not begun, so the same request may be sent again.
_BUSY = (429, 503)
# Errors of the library that a service names in a problem, and others that a status means.
_KINDS: Mapping[str | int, type[TardifError]] = {
    **{"DataError": DataError, "SettingError": SettingError, "ReadOnlyError": ReadOnlyError},
    **{400: SettingError, 404: DataError, 422: SettingError, 429: BusyError, 503: BusyError},
}
# Seconds before another try, where a busy service does not say.
_PAUSE = 1.0
_INDEXES = "/indexes"


class Client:
    """A search service's index, with the calls of :class:`tardif.Retriever`.

    A call raises what the Retriever raises for the same fault, with the service's own message:
    :class:`~tardif.errors.SettingError` for a query, filter or option that cannot be used, and
    :class:`~tardif.errors.DataError` for documents. Whatever lies between the two, such as a wrong token or a service
    that cannot be reached, is a :class:`~tardif.errors.ServiceError`: :class:`~tardif.errors.BusyError` if it stays
    busy, :class:`~tardif.errors.ReadOnlyError` if it changes no index. Any thread may call it.

    >>> with Client("http://127.0.0.1:8000/indexes/support.index") as client:
    ...     hits = client.search("how do I change my password?", k=3, where="lang = 'en'")
    >>> [hit.rank for hit in hits]
    [1, 2, 3]

    Attributes:
        url: the service's address.
        report: what the last :meth:`add` made of the documents
            (:class:`tardif.data.document_report.DocumentReport`).

    Args:
        url: of the service (``http://host:8000``), which must then have one index; or of one of its indexes
            (``http://host:8000/indexes/support.index``).
        token: the service's token, if it wants one.
        timeout: seconds without a byte from the service after which a call fails. Documents are encoded before the
            service answers, so it is longer than a search needs.
        patience: seconds that a call waits in all for a busy service (429 or 503); 0 does not wait.
        transport: how requests are sent, as httpx2 has it; by default over the network.

    Raises:
        SettingError: the address is none, or the token cannot be one.
    """

    report: DocumentReport | None = None

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 120.0,
        patience: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        import httpx2

        self._call = partial(Client, url, token, timeout=timeout, patience=patience, transport=transport)
        self.url, self._index = _address(url)
        if token is not None and not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
            # Not quoted: an error is shown and logged.
            raise SettingError("The token holds characters that no token has, or none: give the service's token.")
        self._has_token, self._patience = token is not None, patience
        headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        # The environment's proxies do not reach this machine's own services.
        self._http = httpx2.Client(
            headers=headers, timeout=timeout, transport=transport, trust_env=not _is_this_machine(self.url)
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        """Pickle and copy as the call that made it, with the token: the copy has connections of its own."""
        return self._call, ()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __repr__(self) -> str:
        return brief_repr(self, self.url if self._index is None else f"{self.url}{_INDEXES}/{_quoted(self._index)}")

    def indexes(self) -> list[dict[str, Any]]:
        """Return the service's indexes: the name, number of documents and metadata fields of each, and more.

        >>> with Client("http://127.0.0.1:8000") as client:
        ...     [index["name"] for index in client.indexes()]
        ['support.index']

        Raises:
            ServiceError: the service cannot be reached, refuses, or stays busy. Every call may raise it.
        """
        return ShortList(self._ask("GET", _INDEXES)["indexes"])

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: str | Mapping[Any, Any] | Filter | None = None,
        exact: bool = False,
        recall: float | None = None,
        hybrid: bool = False,
        word_share: float | None = None,
        group: bool = False,
        explain: bool = False,
    ) -> list[Hit]:
        """Return the ``k`` best documents for a query, best first.

        Arguments and errors are those of :meth:`tardif.Retriever.search <tardif.search.retriever.Retriever.search>`;
        None means the same default.
        """
        asked = {"query": check_query(query), "k": k, "filter": _expression(where), "exact": exact, "recall": recall}
        asked |= {"hybrid": hybrid, "word_share": word_share, "group": group, "explain": explain}
        return _hits(self._ask("POST", self._path("search"), asked))

    def search_many(self, queries: Sequence[str], k: int = 10, **options: Any) -> list[list[Hit]]:
        """Return the hits of several queries, sent many at a time.

        Args:
            queries: their texts.
            k: the number of hits of each.
            **options: as for :meth:`search`, as are the errors.
        """
        given, asked = check_queries(queries), {"k": k, **options}
        asked["filter"] = _expression(asked.pop("where", None))
        found: list[list[Hit]] = ShortList()
        most = _EXPLAINED if options.get("explain") else _HITS
        for some in batched(given, max(1, min(_TOGETHER, most // max(check_hits(k), 1)))):
            found += map(_hits, self._ask("POST", self._path("search"), {"queries": some, **asked})["results"])
        return found

    def rerank(self, query: str, documents: Iterable[Any], k: int = 10) -> list[Hit]:
        """Order documents for a query with the index's model, which encodes them now. They need not be in the index.

        Args:
            query: the query.
            documents: as for :func:`tardif.rerank <tardif.search.rerank.rerank>`, such as a list of texts.
            k: the number of hits.

        Returns:
            Hits with the place of each in ``documents`` as their ``position``.
        """
        from tardif.data.documents import stream_documents

        given = [_fields(document) for _, document in stream_documents(documents)]
        asked = {"query": check_query(query), "documents": given, "k": k}
        return _hits(self._ask("POST", self._path("rerank"), asked))

    def explain(self, query: str, hit: Hit | str | None = None, *, text: str | None = None) -> Explanation:
        """Say which token of a document each token of a query matched.

        Args:
            query: the query.
            hit: a hit of :meth:`search`, or the id of a document or piece.
            text: instead: any text, which is encoded now.

        Raises:
            SettingError: neither or both are given, or the query is empty.
            DataError: the document is not in the index.
        """
        from tardif.explanation import Explanation

        if (hit is None) == (text is None):
            raise SettingError("explain: give a hit (or a document's id), or a text.")
        what = {"text": text} if hit is None else {"document_id": hit.document_id if isinstance(hit, Hit) else hit}
        asked = {"query": check_query(query), **what, "similarities": True}
        found = self._ask("POST", self._path("explain"), asked)
        return Explanation.from_json(found, found["similarities"])

    def add(self, documents: Any, *, quiet: bool = False) -> tuple[int, int]:
        """Add documents; one with an id that exists replaces the old one. They are on the service's disk, and can be
        found, when this returns.

        Documents are sent some at a time. If a call fails, make it again: it replaces what was added.

        >>> with Client("http://127.0.0.1:8000") as client:
        ...     client.add([{"id": "stairs", "text": "Delivery up the stairs is free."}], quiet=True)
        (1, 0)

        Args:
            documents: as for :meth:`tardif.Retriever.add <tardif.search.retriever.Retriever.add>`: a list of texts,
                dicts or :class:`~tardif.types.Document`, a file or a folder. They are read here and encoded there.
            quiet: show no progress, and not what was read and what was skipped. Warnings are shown all the same, such
                as of documents that the service's model does not read to their ends.

        Returns:
            How many documents were added, and how many of them replaced one. :attr:`report` has more.

        Raises:
            DataError: the documents cannot be read.
            ReadOnlyError: the service changes no index.
        """
        from tardif.progress import Console
        from tardif.search.corpus_reader import CorpusReader

        added = replaced = 0
        reader, notes = CorpusReader(documents, Console(quiet=quiet), None, {}), []
        # Read to the end first: nothing is sent of documents that cannot be read, or of which two have one id.
        with reader.corpus() as corpus:
            self.report = reader.report
            reader.show()
            with reader.console.progress("Adding", len(corpus), "documents") as bar:
                for some in _blocks(_fields(document) for document in corpus):
                    done = self._ask("PUT", self._path("documents"), {"documents": some})
                    added, replaced = added + done["added"], replaced + done["replaced"]
                    notes += [done["note"]] if done.get("note") else []
                    bar.advance(len(some))
        if notes:
            # Documents go some at a time, and each time the service looks at those alone.
            more = f" (The service said the like of {len(notes) - 1} more parts of them.)" if len(notes) > 1 else ""
            self.report.lost = f"{notes[0]}{more}"
            reader.console.warn(self.report.lost)
        return added, replaced

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents, with all of their pieces, and return how many there were. Unknown ids are ignored.

        Raises:
            DataError: ``ids`` is not a list of ids.
            ReadOnlyError: as for :meth:`add`.
        """
        parts, path = batched(check_ids(ids), _IDS), self._path("documents")
        return sum(int(self._ask("DELETE", path, {"document_ids": some})["deleted"]) for some in parts)

    def get(self, document_id: str) -> Document | None:
        """Return a document of the index; None if it has none with this id.

        >>> with Client("http://127.0.0.1:8000") as client:
        ...     client.get("article-1").metadata
        {'lang': 'en', 'year': 2015}
        """
        (identity,) = check_ids([document_id])
        try:
            found = self._ask("GET", f"{self._path('documents')}/{_quoted(identity)}")
        except DataError:
            self._ask("GET", self._path(""))  # raises the same if it is the index that is missing
            return None
        piece = found.get("piece")
        return Document(
            found["document_id"],
            found["text"],
            title=found.get("title") or "",
            metadata=found.get("metadata") or {},
            piece=None if piece is None else Piece.from_json(piece),
        )

    def _path(self, verb: str) -> str:
        if self._index is None:
            names = [str(index["name"]) for index in self.indexes()]
            if len(names) != 1:
                held = f"{len(names)} indexes ({', '.join(map(shown, names[:10]))})" if names else "no index"
                raise SettingError(f"{self.url} has {held}: give the address of one, {self.url}{_INDEXES}/NAME.")
            self._index = names[0]
        return f"{_INDEXES}/{_quoted(self._index)}/{verb}".removesuffix("/")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, again while the service is busy, and return its answer's JSON."""
        left = self._patience
        while True:
            answer = self._send(method, path, body)
            if answer.status_code not in _BUSY:
                break
            pause = _pause(answer)
            if pause > left:
                break
            time.sleep(pause)
            # A service that says "at once" without end costs patience, too.
            left -= max(pause, 0.1)
        found = _json_of(answer)
        if answer.is_success and found is not None:
            return found
        raise self._refusal(answer, found)

    def _send(self, method: str, path: str, body: Any) -> httpx2.Response:
        import httpx2

        content, kind = (None, {}) if body is None else (_json(body), {"Content-Type": "application/json"})
        try:
            return self._http.request(method, f"{self.url}{path}", content=content, headers=kind)
        except httpx2.TimeoutException as error:
            raise ServiceError(f"{self.url} did not answer in time: give a longer timeout, or look at it.") from error
        except httpx2.TransportError as error:
            raise ServiceError(
                f"{self.url} cannot be reached ({first_line(error)}): is tardif serve running there?"
            ) from error

    def _refusal(self, answer: httpx2.Response, found: Any) -> Exception:
        """The error that a service's answer means."""
        status = answer.status_code
        detail = found.get("detail") if isinstance(found, dict) else None
        if status == 401:
            way_out = "does not take this token: give its own" if self._has_token else "wants a token: give token=..."
            return ServiceError(f"{self.url} {way_out}.", status)
        if not isinstance(detail, str) or answer.is_success:
            return ServiceError(
                f"{self.url} answered {status} without the JSON of a Tardif service: is this its address?", status
            )
        kind = _KINDS.get(str(found.get("error"))) or _KINDS.get(status)
        return ServiceError(detail, status) if kind is None else kind(detail)


def _address(url: Any) -> tuple[str, str | None]:
    """A service's address and the name of its index, if it has one; no message quotes what may hold a password."""
    try:
        parts = urlsplit(url.strip() if isinstance(url, str) else "")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingError("url is no address of a service: give one such as http://127.0.0.1:8000.")
    if "@" in parts.netloc:
        raise SettingError("url holds a name or password: give the service's token as token=...")
    if parts.query or parts.fragment:
        raise SettingError("url holds more than a host and a path: leave out '?' and '#'.")
    path, found, name = parts.path.rstrip("/").rpartition(f"{_INDEXES}/")
    if not found or "/" in name:
        path, name = parts.path.rstrip("/"), ""
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix(_INDEXES)}", unquote(name) or None


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _quoted(name: str) -> str:
    """A name as one segment of a path. Dots too: a server takes '..' for the folder above."""
    return quote(name, safe="").replace(".", "%2E")


def _expression(where: str | Mapping[Any, Any] | Filter | None) -> str | None:
    """A filter as the text that a service reads."""
    if where is None or isinstance(where, str):
        return where
    from tardif.index.filters import parse_filter

    return str(parse_filter(where))


def _hits(answer: Mapping[str, Any]) -> list[Hit]:
    return Hits(map(Hit.from_json, answer["hits"]))


def _fields(document: Document) -> dict[str, Any]:
    """A document as a service reads it; its metadata as an index would store them."""
    from tardif.data.json_metadata import as_stored

    title = {"title": document.title} if document.title else {}
    return {
        "document_id": document.id,
        "text": document.text,
        **title,
        "metadata": as_stored(document.metadata),
    }


def _json(body: Mapping[str, Any]) -> bytes:
    """A request's body. In ASCII: a query's lone surrogate is the service's to refuse."""
    try:
        return json.dumps(body, default=lambda value: value.tolist()).encode()  # NumPy's numbers
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingError(f"An option cannot be sent to a service: {first_line(error)}.") from error


def _blocks(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Documents by the request: one that is too large for it goes alone."""
    block: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        own = len(json.dumps(document))
        if block and (len(block) == _TOGETHER or size + own > _BYTES):
            yield block
            block, size = [], 0
        block.append(document)
        size += own
    if block:
        yield block


def _pause(answer: httpx2.Response) -> float:
    """The seconds that a busy service asks to wait."""
    said = answer.headers.get("Retry-After", "").strip()
    return float(said) if said.isdecimal() and len(said) < 10 else _PAUSE


def _json_of(answer: httpx2.Response) -> Any:
    """An answer's JSON object; None if it is none."""
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
