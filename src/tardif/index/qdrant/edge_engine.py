"""Qdrant's embedded shard, in a folder: the engine runs in this process, and no service is needed.

tardif.json     what the index remembers of itself: its model, how its documents were cut
shard/          Qdrant's own files: segments, a write-ahead log
encoder/        the exported query encoder, as in an index of Tardif's own
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tardif.errors import FolderError, first_line, is_failure
from tardif.extras import need
from tardif.folders import read_json, remove, writable, write_json
from tardif.index.protocol import Vectors
from tardif.index.qdrant.conditions import Condition
from tardif.index.qdrant.engine import INDEXED, PAGE, TOKENS, Fields, held
from tardif.index.qdrant.payload import Point, Record

if TYPE_CHECKING:
    from qdrant_edge import EdgeConfig, EdgeShard

ABOUT, SHARD = "tardif.json", "shard"


class EdgeEngine:
    """An embedded shard. One process at a time has it open; any number of its threads search at once.

    Args:
        folder: of the index. It is made by :meth:`create`.
        threads: for one search; Qdrant's own choice by default.

    Raises:
        MissingExtraError: the extra ``qdrant`` is not installed.
        FolderError: another process has it open, or it is damaged.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        need("qdrant", f"The index edge:{folder}", ["qdrant-edge-py"])
        self._folder, self._threads = folder, threads
        self._shard: EdgeShard | None = None
        if (folder / SHARD).exists():
            self._open()

    @property
    def place(self) -> str:
        """As :attr:`tardif.index.qdrant.engine.Engine.place`."""
        return f"edge:{self._folder}"

    @property
    def folder(self) -> Path:
        """As :attr:`tardif.index.qdrant.engine.Engine.folder`."""
        return self._folder

    def _open(self) -> None:
        from qdrant_edge import EdgeShard

        with self._failing():
            config = None if self._threads is None else self._config(**self._stored())
            self._shard = EdgeShard.load(str(self._folder / SHARD), config)

    def _stored(self) -> dict[str, int]:
        """The width and the bits of the stored vectors, as Qdrant wrote them."""
        found: dict[str, Any] = read_json(self._folder / SHARD / "edge_config.json", what="an embedded shard")
        tokens = found["vectors"][TOKENS]
        return {"dim": int(tokens["size"]), "bits": 16 if tokens.get("datatype") == "float16" else 32}

    def _config(self, dim: int, bits: int) -> EdgeConfig:
        import qdrant_edge as edge

        kind = edge.VectorStorageDatatype.Float16 if bits == 16 else edge.VectorStorageDatatype.Float32
        maxsim = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
        # Dot products: vectors are scored for what they are, as by every other engine.
        tokens = edge.EdgeVectorParams(dim, edge.Distance.Dot, multivector_config=maxsim, datatype=kind)
        # No graph: each of its comparisons is a MaxSim of two documents, so building it costs many times what storing
        # the documents costs.
        graph = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)
        return edge.EdgeConfig(vectors={TOKENS: tokens}, hnsw_config=graph, max_search_threads=self._threads)

    @property
    def _opened(self) -> EdgeShard:
        if self._shard is None:
            raise FolderError(f"{self.place} is not open.")
        return self._shard

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn Qdrant's errors into one that names the folder. They are plain exceptions, known by their words."""
        try:
            yield
        except FolderError:
            raise
        except BaseException as error:
            if not is_failure(error):
                raise
            said = first_line(error)
            if "WouldBlock" in said:
                raise FolderError(
                    f"{self.place} is open in another process, and an embedded shard is open in one at a time: close "
                    "it there, or use a Qdrant service (--out http://HOST:6333/COLLECTION)."
                ) from error
            raise FolderError(f"{self.place}: Qdrant says: {said}") from error

    def about(self) -> dict[str, Any] | None:
        """As :meth:`tardif.index.qdrant.engine.Engine.about`."""
        if self._shard is None:
            return None
        found: dict[str, Any] = read_json(self._folder / ABOUT, what="an index in Qdrant's embedded shard")
        return found

    def dim(self) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.dim`."""
        return self._stored()["dim"]

    def create(self, dim: int, bits: int, about: Mapping[str, Any]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.create`."""
        import qdrant_edge as edge

        with writable(self._folder), self._failing():
            remove(self._folder / SHARD)
            self._folder.mkdir(parents=True, exist_ok=True)
            self.remember(about)
            self._shard = edge.EdgeShard.create(str(self._folder / SHARD), self._config(dim, bits))
            for key, kind_of in INDEXED.items():
                schema = getattr(edge.PayloadSchemaType, kind_of.capitalize())
                self._shard.update(edge.UpdateOperation.create_field_index(key, schema))

    def remember(self, about: Mapping[str, Any]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.remember`."""
        with writable(self._folder):
            write_json(self._folder / ABOUT, dict(about))

    def upsert(self, points: Sequence[Point]) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.upsert`."""
        import qdrant_edge as edge

        # An array is taken as it is.
        held: list[dict[str, Any]] = [{} if point.vectors is None else {TOKENS: point.vectors} for point in points]
        given = [edge.Point(point.id, own, point.payload) for point, own in zip(points, held, strict=True)]
        with self._failing():
            self._opened.update(edge.UpdateOperation.upsert_points(given))

    def delete(self, where: Condition) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.delete`."""
        from qdrant_edge import UpdateOperation

        with self._failing():
            self._opened.update(UpdateOperation.delete_points_by_filter(_filter(where)))

    def assign(self, fields: Mapping[str, Any], where: Condition) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.assign`."""
        from qdrant_edge import UpdateOperation

        with self._failing():
            self._opened.update(UpdateOperation.set_payload_by_filter(_filter(where), dict(fields)))

    def count(self, where: Condition) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.count`."""
        from qdrant_edge import CountRequest

        with self._failing():
            return self._opened.count(CountRequest(exact=True, filter=_filter(where)))

    def select(self, where: Condition, fields: Fields) -> Iterator[Record]:
        """As :meth:`tardif.index.qdrant.engine.Engine.select`."""
        from qdrant_edge import ScrollRequest

        offset: Any = None
        while True:
            with self._failing():
                page, offset = self._opened.scroll(
                    ScrollRequest(offset=offset, limit=PAGE, filter=_filter(where), with_payload=list(fields))
                )
            yield from (Record(str(point.id), held(self, point, fields)) for point in page)
            if offset is None:
                return

    def last_order(self) -> int:
        """As :meth:`tardif.index.qdrant.engine.Engine.last_order`."""
        from qdrant_edge import Direction, OrderBy, ScrollRequest

        by = OrderBy("tardif.order", Direction.Desc)
        with self._failing():
            page, _ = self._opened.scroll(ScrollRequest(limit=1, with_payload=["tardif.order"], order_by=by))
        return max((int((point.payload or {})["tardif"]["order"]) for point in page), default=-1)

    def vectors(self, ids: Sequence[str], fields: Fields) -> list[Record]:
        """As :meth:`tardif.index.qdrant.engine.Engine.vectors`."""
        with self._failing():
            found = self._opened.retrieve(list(ids), list(fields), [TOKENS])
        return [Record(str(point.id), point.payload or {}, _tokens(point.vector)) for point in found]

    def search(
        self, queries: Sequence[Vectors], limit: int, where: Condition | None, *, exact: bool, fields: Fields
    ) -> list[list[Record]]:
        """As :meth:`tardif.index.qdrant.engine.Engine.search`."""
        import qdrant_edge as edge

        chosen = None if where is None else _filter(where)
        how = edge.SearchParams(exact=exact)
        asked = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(rows, using=TOKENS),  # type: ignore[arg-type]  # an array is taken as it is
                filter=chosen,
                params=how,
                with_payload=list(fields),
            )
            for rows in queries
        ]
        with self._failing():
            found = self._opened.query_batch(edge.QueryBatchRequest(asked))
        return [[Record(str(hit.id), held(self, hit, fields), score=hit.score) for hit in hits] for hits in found]

    def has_graph(self) -> bool:
        """As :meth:`tardif.index.qdrant.engine.Engine.has_graph`: shards are made without one."""
        return False

    def settle(self) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.settle`: segments are merged."""
        with self._failing():
            self._opened.optimize()
            self._opened.flush()

    def close(self) -> None:
        """As :meth:`tardif.index.qdrant.engine.Engine.close`."""
        if self._shard is not None:
            with self._failing():
                self._shard.close()
            self._shard = None


def _tokens(stored: Any) -> Vectors | None:
    rows = stored.get(TOKENS) if stored else None
    return None if rows is None else np.asarray(rows, dtype=np.float32)


def _filter(where: Condition) -> Any:
    """A condition in the JSON of Qdrant's API, as the shard takes it."""
    import qdrant_edge as edge

    parts: dict[str, Any] = {
        name: [_part(part) for part in where[name]] for name in ("must", "should", "must_not") if name in where
    }
    return edge.Filter(**parts) if parts else edge.Filter(must=[_part(where)])


def _part(where: Condition) -> Any:
    import qdrant_edge as edge

    match where:
        case {"key": key, "match": match}:
            return edge.FieldCondition(key, match=_match(match))
        case {"key": key, "range": bounds}:
            return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))
        case {"nested": {"key": key, "filter": inner}}:
            return edge.NestedCondition(key, _filter(inner))
        case {"is_empty": {"key": key}}:
            return edge.IsEmptyCondition(key)
        case {"has_id": ids}:
            return edge.HasIdCondition(set(ids))
    return _filter(where)


def _match(how: Mapping[str, Any]) -> Any:
    import qdrant_edge as edge

    kinds = {
        "value": edge.MatchValue,
        "any": edge.MatchAny,
        "except": edge.MatchExcept,
        "prefix": edge.MatchPrefix,
        "substring": edge.MatchSubstring,
    }
    ((name, value),) = how.items()
    return kinds[name](value)
