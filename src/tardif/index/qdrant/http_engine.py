"""A collection of a Qdrant service, through Qdrant's own client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from tardif.batching import batched
from tardif.errors import FolderError, ServiceError, SettingError, TardifError, first_line
from tardif.escaping import visible
from tardif.extras import need
from tardif.index.protocol import Vectors
from tardif.index.qdrant.conditions import Condition, all_of
from tardif.index.qdrant.engine import INDEXED, PAGE, TOKENS, Fields, held
from tardif.index.qdrant.payload import Point, Record

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

KEY = "QDRANT_API_KEY"
# Where a collection keeps what Tardif remembers of it, in its metadata.
_OURS = "tardif"
# Components that one request carries: some 20 bytes each in JSON, and Qdrant takes 32 MB.
_COMPONENTS = 1_000_000
# Seconds that one request may take: Qdrant's own 5 are few for a large upload.
_SECONDS = 120
# Characters of what it says that an error repeats.
_SAID = 300


def connect(url: str) -> QdrantClient:
    """Return a client of a Qdrant service. The API key is that of the environment, ``QDRANT_API_KEY``.

    Args:
        url: of the service, without the collection.

    Raises:
        MissingExtraError: the extra ``qdrant`` is not installed.
        SettingError: the key is none.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):  # refused here: the error of the HTTP library shows it
        raise SettingError(f"The environment variable {KEY} holds characters that no key has: copy it again.")
    need("qdrant", f"A collection of {url}", ["qdrant-client"])
    from qdrant_client import QdrantClient

    # The check of versions would ask the service in a thread of its own, and only warn.
    return QdrantClient(url, api_key=key or None, timeout=_SECONDS, check_compatibility=False)


class HttpEngine:
    """A collection of a service. Any number of clients search and change it at once.

    Args:
        client: of the service.
        collection: its name.
        place: the address, for messages.
    """

    def __init__(self, client: QdrantClient, collection: str, place: str) -> None:
        self._client, self._name, self._place = client, collection, place

    @property
    def place(self) -> str:
        """As :attr:`tardif.index.qdrant.engine.Engine.place`."""
        return self._place

    @property
    def folder(self) -> str:
        """As :attr:`tardif.index.qdrant.engine.Engine.folder`."""
        return self._place

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the client's errors into one that says what to do. Whatever reads an answer belongs into this block: one
        of another form is found here."""
        from httpx import DecodingError, RemoteProtocolError
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        try:
            yield
        except TardifError:
            raise
        except UnexpectedResponse as error:
            raise self._refusal(error.status_code, _said(error), error.reason_phrase) from error
        except QdrantException as error:  # it is told to wait
            raise ServiceError(f"{self._place} is busy ({first_line(error)}): try again later.", 429) from error
        except ResponseHandlingException as error:
            if isinstance(error.source, DecodingError | RemoteProtocolError):
                raise self._stranger(f"its answer breaks off: {first_line(error)}") from error
            if isinstance(error.source, ValueError):
                raise self._stranger("its answer has another form") from error
            raise ServiceError(
                f"No Qdrant service answers for {self._place} ({first_line(error)}): start it, or give its address as "
                "http://HOST:6333/COLLECTION."
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError) as error:
            form = "is no JSON" if isinstance(error, json.JSONDecodeError | UnicodeError) else "has another form"
            raise self._stranger(f"its answer {form}") from error

    def _stranger(self, why: str, status: int | None = None) -> ServiceError:
        return ServiceError(
            f"What answers for {self._place} is no Qdrant service ({why}): check host and port, and what is between, "
            "such as a proxy.",
            status,
        )

    def _refusal(self, status: int | None, said: str | None, reason: str) -> TardifError:
        why = said or reason or "no reason given"
        if status in (401, 403):
            return ServiceError(
                f"{self._place} refuses the request ({why}): set the environment variable {KEY} to its API key.",
                status,
            )
        if status is not None and status < 500 and said is None:  # a page of a proxy, or of another service
            return self._stranger(f"status {status}, {why}", status)
        if status == 404:
            return FolderError(f"{self._place} is not there ({why}): build it with tardif index --to qdrant.")
        if status == 400:
            return SettingError(f"{self._place} refuses the request: {why}")
        return ServiceError(f"{self._place} failed with status {status} ({why}): try again later.", status)

    def about(self) -> dict[str, Any] | None:
        """As :meth:`tardif.index.qdrant.engine.Engine.about`.

        Raises:
            FolderError: a collection of this name was not made by Tardif.
        """
        with self._asking():
            if not self._client.collection_exists(self._name):
                return None
            ours = (self._client.get_collection(self._name).config.metadata or {}).get(_OURS)
        if not isinstance(ours, dict):
            raise FolderError(
                f"{self._place} is a collection that Tardif did not build (or its Qdrant is older than 1.16, which "
                "keeps no metadata): give another name."
            )
        return ours

    def dim(self) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.dim`."""
        with self._asking():
            sizes: Any = self._client.get_collection(self._name).config.params.vectors
            return int(sizes[TOKENS].size)

    def create(self, dim: int, bits: int, about: Mapping[str, Any]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.create`."""
        from qdrant_client import models

        tokens = models.VectorParams(
            size=dim,
            # Dot products: vectors are scored for what they are, as by every other engine.
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=models.Datatype.FLOAT16 if bits == 16 else models.Datatype.FLOAT32,
        )
        with self._asking():
            self._client.create_collection(self._name, vectors_config={TOKENS: tokens}, metadata={_OURS: dict(about)})
            for key, kind in INDEXED.items():
                self._client.create_payload_index(self._name, key, models.PayloadSchemaType(kind), wait=True)

    def drop(self) -> None:
        """Delete the collection, if it is there."""
        with self._asking():
            self._client.delete_collection(self._name)

    def remember(self, about: Mapping[str, Any]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.remember`."""
        with self._asking():
            self._client.update_collection(self._name, metadata={_OURS: dict(about)})

    def upsert(self, points: Sequence[Point]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.upsert`; in requests that the service takes."""
        from qdrant_client import models

        for part in batched(points, _COMPONENTS, lambda point: 1 if point.vectors is None else point.vectors.size):
            given = [
                models.PointStruct(
                    id=point.id,
                    vector={} if point.vectors is None else {TOKENS: point.vectors.tolist()},
                    payload=point.payload,
                )
                for point in part
            ]
            with self._asking():
                self._client.upsert(self._name, given, wait=True)

    def delete(self, where: Condition) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.delete`."""
        from qdrant_client import models

        with self._asking():
            self._client.delete(self._name, models.FilterSelector(filter=_filter(where)), wait=True)

    def assign(self, fields: Mapping[str, Any], where: Condition) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.assign`."""
        with self._asking():
            self._client.set_payload(self._name, dict(fields), points=_filter(where), wait=True)

    def count(self, where: Condition) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.count`."""
        with self._asking():
            return self._client.count(self._name, count_filter=_filter(where), exact=True).count

    def select(self, where: Condition, fields: Fields) -> Iterator[Record]:
        """As :meth:`tardif.index.qdrant.engine.Engine.select`."""
        offset: Any = None
        while True:
            with self._asking():
                page, offset = self._client.scroll(
                    self._name, scroll_filter=_filter(where), limit=PAGE, offset=offset, with_payload=list(fields)
                )
                records = [Record(str(point.id), held(self, point, fields)) for point in page]
            yield from records
            if offset is None:
                return

    def last_order(self) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.last_order`."""
        from qdrant_client import models

        by = models.OrderBy(key="tardif.order", direction=models.Direction.DESC)
        with self._asking():
            page, _ = self._client.scroll(self._name, limit=1, order_by=by, with_payload=["tardif.order"])
            return max((int((point.payload or {})["tardif"]["order"]) for point in page), default=-1)

    def vectors(self, ids: Sequence[str], fields: Fields) -> list[Record]:
        """As :meth:`tardif.index.qdrant.engine.Engine.vectors`."""
        with self._asking():
            found = self._client.retrieve(self._name, list(ids), with_payload=list(fields), with_vectors=[TOKENS])
            return [Record(str(point.id), point.payload or {}, _tokens(point.vector)) for point in found]

    def search(
        self, queries: Sequence[Vectors], limit: int, where: Condition | None, *, exact: bool, fields: Fields
    ) -> list[list[Record]]:
        """As :meth:`tardif.index.qdrant.engine.Engine.search`."""
        from qdrant_client import models

        chosen = None if where is None else _filter(where)
        asked = [
            models.QueryRequest(
                query=rows.tolist(),
                using=TOKENS,
                filter=chosen,
                params=models.SearchParams(exact=exact),
                limit=limit,
                with_payload=list(fields),
            )
            for rows in queries
        ]
        with self._asking():
            found = self._client.query_batch_points(self._name, asked)
            return [
                [Record(str(hit.id), held(self, hit, fields), score=hit.score) for hit in answer.points]
                for _, answer in zip(asked, found, strict=True)
            ]

    def has_graph(self) -> bool:
        """As :meth:`tardif.index.qdrant.engine.Engine.has_graph`."""
        with self._asking():
            return bool(self._client.get_collection(self._name).indexed_vectors_count)

    def settle(self) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.settle`: the service optimizes by itself."""

    def close(self) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.close`."""
        self._client.close()


def _said(error: Any) -> str | None:
    """What the service says, of its JSON; None where the answer is not Qdrant's."""
    try:
        said = error.structured()["status"]["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    key = os.environ.get(KEY, "").strip()
    return visible(shorten(str(said).replace(key, "...") if key else str(said), _SAID))


def _tokens(stored: Any) -> Vectors | None:
    rows = stored.get(TOKENS) if isinstance(stored, dict) else None
    return None if rows is None else np.asarray(rows, dtype=np.float32)


def _filter(where: Condition) -> Any:
    """A condition in the JSON of Qdrant's API, as the client takes it."""
    from qdrant_client import models

    is_filter = not where.keys() - {"must", "should", "must_not"}
    return models.Filter.model_validate(where if is_filter else all_of(where))
