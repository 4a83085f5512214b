"""Places of indexes in Qdrant: ``http://HOST:6333/COLLECTION`` in a service, ``edge:FOLDER`` in an embedded shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tardif.errors import FolderError, SettingError
from tardif.folders import expanded
from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.http_engine import KEY, HttpEngine, connect
from tardif.index.qdrant.qdrant_index import QdrantIndex

EDGE = "edge:"
# What a collection remembers first: that Tardif wrote it, and in which form.
FORMAT, VERSION = "tardif-qdrant", 1
_FORM = "http://HOST:6333/COLLECTION"
# Of an address without one, with https as with http: that of Qdrant's own clients, and of Qdrant Cloud.
_PORT = 6333


@dataclass(frozen=True)
class Service:
    """A collection of a Qdrant service.

    Attributes:
        url: of the service.
        collection: the collection's name.
    """

    url: str
    collection: str

    def __str__(self) -> str:
        return f"{self.url}/{self.collection}"

    def engine(self) -> HttpEngine:
        """Return the collection's engine."""
        return HttpEngine(connect(self.url), self.collection, str(self))


@dataclass(frozen=True)
class Edge:
    """An embedded shard in a folder, absolute."""

    folder: Path

    def __str__(self) -> str:
        return f"{EDGE}{self.folder}"

    def engine(self, threads: int | None = None) -> EdgeEngine:
        """Return the shard's engine."""
        return EdgeEngine(self.folder, threads=threads)


def qdrant_place(given: Any) -> Service | Edge | None:
    """Return the place in Qdrant that a user names; None for everything else, such as the folder of another index.

    >>> str(qdrant_place("http://localhost:6333/articles")), qdrant_place("articles.index")
    ('http://localhost:6333/articles', None)
    >>> str(qdrant_place("https://host.example/articles"))
    'https://host.example:6333/articles'

    Raises:
        SettingError: an address names no host or collection, holds a password or a query, or is of our own service.
    """
    if not isinstance(given, str):
        return None
    if given.startswith(EDGE):
        if not given.removeprefix(EDGE):
            raise SettingError(f"{given}: give the folder of the embedded shard, such as edge:articles.")
        return Edge(expanded(given.removeprefix(EDGE)).absolute())
    if not given.startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(given)
        is_host = bool(parts.hostname) and parts.port != 0  # reading the port checks it
    except ValueError:
        is_host = False
    if not is_host:
        raise SettingError(f"Not the address of a host and its port: an index in Qdrant is given as {_FORM}.")
    if "@" in parts.netloc:
        raise SettingError(f"An address with a password in it: set {KEY} in the environment, and give {_FORM}.")
    *above, collection = parts.path.strip("/").split("/")
    if above[-1:] == ["indexes"]:
        raise SettingError(
            f"{given} is an index of Tardif's own service: open it with tardif.Client. One in Qdrant is {_FORM}."
        )
    if parts.query or parts.fragment:  # it may hold the key, so it is not repeated
        raise SettingError(
            f"An address with '?' or '#': an index in Qdrant is given as {_FORM}; its key is read from {KEY}."
        )
    if collection in ("", ".", ".."):
        raise SettingError(f"{given}: an index in Qdrant is given as {_FORM}.")
    host = parts.netloc if parts.port else f"{parts.netloc.rstrip(':')}:{_PORT}"
    return Service("/".join([f"{parts.scheme}://{host}", *above]), collection)


def check_own(given: Any, verb: str) -> None:
    """Refuse a place in Qdrant for a verb that takes an index of Tardif's own.

    Raises:
        SettingError: it is one.
    """
    if qdrant_place(given) is not None:
        raise SettingError(f"{given} is in Qdrant: {verb} takes the folder of an index of Tardif's own.")


def open_qdrant(place: Service | Edge, threads: int | None = None) -> QdrantIndex:
    """Open an index in Qdrant.

    Args:
        place: where.
        threads: for one search of an embedded shard.

    Raises:
        MissingExtraError: the extra ``qdrant`` is not installed.
        FolderError: there is no index, it is not whole, or another process has the embedded shard open.
        ServiceError: no service answers, or it refuses.
    """
    engine = place.engine(threads) if isinstance(place, Edge) else place.engine()
    try:
        about = engine.about()
        if about is None:
            raise FolderError(f"{place} is not there: build it with tardif index MODEL DOCUMENTS --out {place}.")
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise FolderError(f"{place} was written by another version of Tardif: build it again with --overwrite.")
        if not about.get("whole"):
            raise FolderError(f"{place} is not whole: rerun the command that builds it, and it continues.")
        return QdrantIndex(engine)
    except BaseException:
        engine.close()
        raise
