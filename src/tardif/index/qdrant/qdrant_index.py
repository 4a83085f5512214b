"""An index in Qdrant, embedded or as a service: the protocol of every index, over one engine's points."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.batching import batched
from tardif.checks import check_hits, check_ids, check_list
from tardif.errors import DataError, SettingError
from tardif.index.document_columns import as_kept
from tardif.index.manifest import values_checksum
from tardif.index.pieces import by_whole, check_deletable, check_fit, check_free
from tardif.index.protocol import RECALL, Vectors
from tardif.index.qdrant.conditions import Condition, all_of, any_of, one_of, translated
from tardif.index.qdrant.engine import Engine
from tardif.index.qdrant.payload import (
    DOCUMENT_FIELDS,
    HEAD,
    Payload,
    Point,
    Record,
    content_hash,
    document_of,
    payload_of,
    point_id,
)
from tardif.index.token_groups import Groups, check_groups, tokens_of
from tardif.index.token_matches import TokenMatches
from tardif.ranking import best_first
from tardif.scoring import LOWEST
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter

# Ids in one condition.
_TOGETHER = 1000
# Hits asked beyond the wanted ones, to see those that share the last one's score; and how much more if all do.
_EXTRA, _MORE = 8, 4
_HEAD: Condition = all_of({"key": "tardif.facts", "match": {"value": HEAD}})
# Every point.
EVERY: Condition = all_of()


class QdrantIndex:
    """An index whose points are in Qdrant. The scores are Qdrant's, of the vectors as it stores them.

    What the protocol promises and a service cannot: :meth:`moment` keeps the documents that a search found, and is no
    snapshot; a document that is replaced with fewer pieces is, for a moment, there with old pieces beside the new.

    Args:
        engine: the collection.
        about: what a new collection remembers of itself. Without it, the collection must be there.
        bits: of each stored component of a new collection: 32 or 16.

    >>> from tempfile import mkdtemp
    >>> from pathlib import Path
    >>> from tardif.index.qdrant.edge_engine import EdgeEngine
    >>> index = QdrantIndex(EdgeEngine(Path(mkdtemp()) / "index"), about={})
    >>> index.add([Document("a", "first"), Document("b", "second")], np.eye(2, 4, dtype=np.float32), [1, 1])
    0
    >>> index.search(np.eye(1, 4, dtype=np.float32), [1], k=1)
    [[('a', 1.0)]]
    >>> index.close()
    """

    def __init__(self, engine: Engine, about: Mapping[str, Any] | None = None, *, bits: int = 32) -> None:
        self.engine, self._bits = engine, bits
        there = engine.about()
        self._dim = 0 if there is None else engine.dim()
        self._about = dict(there if there is not None else about or {})
        self._moment = threading.local()

    @property
    def place(self) -> str:
        """Where the index is."""
        return self.engine.place

    @property
    def folder(self) -> Path | str:
        """The folder of an embedded shard; the address of a collection."""
        return self.engine.folder

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the index remembers of itself."""
        return self._about

    @property
    def is_there(self) -> bool:
        """Whether the collection was created: it is with the first vectors."""
        return bool(self._dim)

    @property
    def dim(self) -> int:
        """The width of the stored vectors; 0 before there are any."""
        return self._dim

    def remember(self, **facts: Any) -> None:
        """Remember facts of the index."""
        self._about |= facts
        if self._dim:
            self.engine.remember(self._about)

    def note(self, name: str, value: str | None = None) -> str | None:
        """As :meth:`tardif.index.protocol.Index.note`."""
        # Another process may have noted something meanwhile.
        there = self.engine.about() if self._dim else None
        notes: dict[str, str] = (self._about if there is None else there).get("notes", {})
        if value is not None:
            notes = {**notes, name: value}
            self.remember(notes=notes)
        return notes.get(name)

    def __len__(self) -> int:
        return self.engine.count(_HEAD) if self._dim else 0

    @property
    def prunes(self) -> bool:
        """As :attr:`tardif.index.protocol.Index.prunes`: once Qdrant has built a graph."""
        return bool(self._dim) and self.engine.has_graph()

    def close(self) -> None:
        """As :meth:`tardif.index.protocol.Index.close`."""
        self.engine.close()

    def __enter__(self) -> QdrantIndex:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Within this block, the documents that a search of this thread found are read as it found them."""
        before = self._seen()
        self._moment.seen = {} if before is None else before
        try:
            yield
        finally:
            self._moment.seen = before

    def _seen(self) -> dict[str, Payload] | None:
        """The payloads of hits, by id; None outside of a moment."""
        found: dict[str, Payload] | None = getattr(self._moment, "seen", None)
        return found

    # Writing

    def add(
        self,
        documents: Sequence[Document],
        vectors: Vectors,
        lengths: Sequence[int],
        groups: Groups | None = None,
        *,
        source: str = "",
    ) -> int:
        """As :meth:`tardif.index.protocol.Index.add`."""
        documents = check_list(documents, "documents", DataError)
        check_fit(documents, vectors, lengths)
        groups = check_groups(groups, lengths)
        self._check_vectors(vectors)
        if not documents:
            return 0
        kept = [as_kept(document) for document in documents]
        self._create(vectors.shape[1])
        there, wholes = self._related(kept), {document.whole_id for document in kept}
        replaced = {row["document"] for row in there} & wholes
        check_free(kept, _owners(there, without=replaced))
        first, ends = self.engine.last_order() + 1, np.cumsum(lengths)
        points = []
        for row, document in enumerate(kept):
            own = None if groups is None else groups[row]
            rows = np.ascontiguousarray(vectors[ends[row] - lengths[row] : ends[row]], np.float32)
            # Qdrant has no multivector without a vector.
            payload = payload_of(document, own, source, first + row)
            points.append(Point(point_id(document.id), payload, rows if len(rows) else None))
        self.engine.upsert(points)
        # Old pieces last: the document is found at every moment.
        new = {document.id for document in kept}
        self._delete_points([row["id"] for row in there if row["document"] in replaced and row["id"] not in new])
        return len(replaced)

    def _create(self, dim: int) -> None:
        if self._dim:
            return
        if not dim:
            raise DataError("No document has a token vector: the collection's width is unknown.")
        self.engine.create(dim, self._bits, self._about)
        self._dim = dim

    def _delete_points(self, ids: Sequence[str]) -> None:
        for part in batched(ids, _TOGETHER):
            self.engine.delete(all_of({"has_id": list(map(point_id, part))}))

    def _related(self, documents: Sequence[Document]) -> list[Payload]:
        """The ids and documents of all rows that have an id of these, or belong to a document of such an id."""
        names = list(dict.fromkeys(name for document in documents for name in (document.id, document.whole_id)))
        return self._rows_named(names)

    def _rows_named(self, names: Sequence[str], fields: Sequence[str] = ("id", "document")) -> list[Payload]:
        """Fields of the rows with these ids, and of those of the documents with these ids."""
        found: dict[str, Payload] = {}
        for part in batched(names, _TOGETHER):
            named = any_of({"has_id": list(map(point_id, part))}, one_of("document", part))
            found |= {record.payload["id"]: record.payload for record in self.engine.select(named, fields)}
        return list(found.values())

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`."""
        wanted = list(dict.fromkeys(check_ids(ids)))
        if not self._dim or not wanted:
            return 0
        rows = self._rows_named(wanted)
        there = {row["document"] for row in rows} & set(wanted)
        owners = {row["id"]: row["document"] for row in rows}
        check_deletable({name: owners[name] for name in wanted if name in owners and name not in there})
        self._delete_documents([name for name in wanted if name in there])
        return len(there)

    def delete_where(self, where: Filter) -> int:
        """As :meth:`tardif.index.protocol.Index.delete_where`."""
        condition = translated(where)
        if not self._dim:
            return 0
        passing: Counter[str] = Counter()
        rows: dict[str, int] = {}
        for record in self.engine.select(condition, ("document", "tardif.of")):
            passing[record.payload["document"]] += 1
            rows[record.payload["document"]] = record.payload["tardif"]["of"]
        chosen = [name for name, count in passing.items() if count == rows[name]]
        self._delete_documents(chosen)
        return len(chosen)

    def _delete_documents(self, wholes: Sequence[str]) -> None:
        for part in batched(wholes, _TOGETHER):
            self.engine.delete(all_of(one_of("document", part)))

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """As :meth:`tardif.index.protocol.Index.adopt`."""
        for part in batched(check_ids(ids) if self._dim else [], _TOGETHER):
            self.engine.assign({"source": source}, all_of(one_of("document", part)))

    # Reading

    def has(self, where: Filter) -> bool:
        """As :meth:`tardif.index.protocol.Index.has`."""
        condition = translated(where)
        return bool(self._dim) and self.engine.count(condition) > 0

    def keys(self) -> list[str]:
        """As :meth:`tardif.index.protocol.Index.keys`."""
        rows = self.payloads(("tardif.keys",))
        return sorted({key for row in rows for key in row.get("tardif", {}).get("keys", ())})

    def ids(self) -> list[str]:
        """Return the ids of all documents, in the order of adding."""
        return list(self.sources())

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`."""
        wanted, seen = check_ids(ids), self._seen() or {}
        unseen = [name for name in dict.fromkeys(wanted) if name not in seen]
        rows = [seen[name] for name in wanted if name in seen]
        if self._dim and unseen:
            rows += self._rows_named(unseen, DOCUMENT_FIELDS)
        documents = {row["id"]: document_of(row) for row in rows}
        parts = by_whole(documents.values())
        found: dict[str, Document] = {}
        for name in wanted:
            own = [documents[name]] if name in documents else parts.get(name, [])
            found |= {d.id: d for d in sorted(own, key=lambda d: 0 if d.piece is None else d.piece.number)}
        return found

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.wholes`."""
        wanted, seen = check_ids(ids), self._seen() or {}
        found = {name: seen[name]["document"] for name in wanted if name in seen}
        unseen = [name for name in wanted if name not in seen] if self._dim else []
        for part in batched(unseen, _TOGETHER):
            named = self.engine.select(all_of({"has_id": list(map(point_id, part))}), ("id", "document"))
            found |= {record.payload["id"]: record.payload["document"] for record in named}
        return {name: found[name] for name in wanted if name in found}

    def sources(self) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.sources`."""
        if not self._dim:
            return {}
        heads = self.engine.select(_HEAD, ("document", "source", "tardif.order"))
        rows = sorted((record.payload for record in heads), key=lambda row: int(row["tardif"]["order"]))
        return {row["document"]: row["source"] for row in rows}

    def payloads(self, fields: Sequence[str]) -> Iterator[Payload]:
        """Yield fields of the payload of every document and piece, in Qdrant's order."""
        for record in self.engine.select(EVERY, fields) if self._dim else ():
            yield record.payload

    def digest(self) -> str:
        """Return a checksum of what the index holds, for whoever asks whether it has changed: of its model, and of the
        content of every document and piece. All points are asked for it, without their vectors."""
        held = sorted((row["id"], row["tardif"]["hash"]) for row in self.payloads(("id", "tardif.hash")))
        about = {name: value for name, value in self._about.items() if name != "notes"}
        return values_checksum([about, held])

    def unlike(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that the index does not hold as they are, by their hashes; all pieces of one that
        differs. As :func:`tardif.index.pieces.differing`, without reading the texts back."""
        wholes = by_whole(documents)
        held: dict[str, dict[str, str]] = {}
        for row in self._rows_named(list(wholes), ("id", "document", "tardif.hash")) if self._dim else ():
            held.setdefault(row["document"], {})[row["id"]] = row["tardif"]["hash"]
        return [
            piece
            for name, pieces in wholes.items()
            if held.get(name) != {piece.id: content_hash(as_kept(piece)) for piece in pieces}
            for piece in pieces
        ]

    # Searching

    def search(
        self,
        vectors: Vectors,
        lengths: Sequence[int],
        k: int,
        *,
        exact: bool = False,
        recall: float = RECALL,
        where: Filter | None = None,
    ) -> list[list[tuple[str, float]]]:
        """As :meth:`tardif.index.protocol.Index.search`.

        Qdrant scores every point until it has built a graph. Then ``recall`` cannot be asked of it: without ``exact``
        the graph is searched with Qdrant's own settings, and a recall of 1 is an exact search.
        """
        k = check_hits(k)
        condition = None if where is None else translated(where)
        self._check_vectors(vectors)
        parts = np.split(vectors, np.cumsum(lengths)[:-1]) if len(lengths) else []
        found: list[list[tuple[str, float]]] = [[] for _ in parts]
        waiting, limit = [place for place, rows in enumerate(parts) if len(rows) and self._dim], k + _EXTRA
        while waiting:
            answers = self._best([parts[place] for place in waiting], limit, condition, exact=exact or recall >= 1)
            unsure = []
            for place, hits in zip(waiting, answers, strict=True):
                # Equal scores are ordered by id here: all of those with the last score are needed.
                if len(hits) == limit and hits[-1][1] == hits[k - 1][1]:
                    unsure.append(place)
                found[place] = best_first(hits, k)
            waiting, limit = unsure, limit * _MORE
        return found

    def _best(
        self, queries: Sequence[Vectors], limit: int, where: Condition | None, *, exact: bool
    ) -> list[list[tuple[str, float]]]:
        seen = self._seen()
        fields = ("id",) if seen is None else DOCUMENT_FIELDS
        answers = self.engine.search(queries, limit, where, exact=exact, fields=fields)
        if seen is not None:
            seen.update((record.payload["id"], record.payload) for records in answers for record in records)
        return [
            [(record.payload["id"], _on_grid(record.score, _step(rows))) for record in records]
            for rows, records in zip(queries, answers, strict=True)
        ]

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """As :meth:`tardif.index.protocol.Index.score`."""
        ids = check_ids(ids)
        self._check_vectors(vectors)
        found = self._scores(vectors, ids)
        if missing := [name for name in ids if name not in found]:
            self._check_known(missing, self.wholes(missing))
        return [found.get(name, LOWEST) for name in ids]

    def _scores(self, vectors: Vectors, ids: Sequence[str]) -> dict[str, float]:
        """Qdrant's scores of documents or pieces with a token vector."""
        found: dict[str, float] = {}
        for part in batched(list(dict.fromkeys(ids)) if self._dim and len(vectors) else [], _TOGETHER):
            among = all_of({"has_id": list(map(point_id, part))})
            (records,) = self.engine.search([vectors], len(part), among, exact=True, fields=("id",))
            found |= {record.payload["id"]: _on_grid(record.score, _step(vectors)) for record in records}
        return found

    def matches(self, vectors: Vectors, ids: Sequence[str]) -> list[TokenMatches]:
        """As :meth:`tardif.index.protocol.Index.matches`: of the vectors as stored, and of Qdrant's score."""
        ids = check_ids(ids)
        self._check_vectors(vectors)
        rows: dict[str, Record] = {}
        for part in batched(list(dict.fromkeys(ids)) if self._dim else [], _TOGETHER):
            fetched = self.engine.vectors(list(map(point_id, part)), ("id", "tardif.groups"))
            rows |= {record.payload["id"]: record for record in fetched}
        self._check_known(ids, rows)
        scores, step = self._scores(vectors, ids), _step(vectors)
        found = []
        for name in ids:
            stored = rows[name].vectors
            stored = np.zeros((0, self._dim), np.float32) if stored is None else stored
            labels = rows[name].payload.get("tardif", {}).get("groups")
            groups = None if labels is None else tokens_of(np.array(labels, dtype=np.int64), len(stored))
            # In float64 a product of float32 numbers is exact. A match's grid is an eighth of its factor.
            query = vectors.astype(np.float64) if len(vectors) else np.zeros((0, self._dim))
            products = query @ stored.astype(np.float64).T / (8 * step)
            found.append(TokenMatches.of(products, 8 * step, groups, score=scores.get(name)))
        return found

    def search_words(self, query: str, k: int, *, where: Filter | None = None) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.protocol.Index.search_words`; it always raises: Qdrant's BM25 has other stems,
        stopwords and document lengths, so its ranking is another one."""
        raise SettingError(
            f"{self.place} holds no words: leave out --hybrid (Python: hybrid), or build an index of Tardif's own with "
            "--hybrid."
        )

    def _check_known(self, ids: Sequence[str], known: Mapping[str, Any]) -> None:
        missing = next((name for name in ids if name not in known), None)
        if missing is not None:
            raise DataError(f"The document {missing!r:.200} is not in the index.")

    def _check_vectors(self, vectors: Vectors) -> None:
        if self._dim and len(vectors) and vectors.shape[1] != self._dim:
            raise DataError(f"The vectors have {vectors.shape[1]} dimensions, those of the index have {self._dim}.")
        if not np.isfinite(vectors).all():
            raise DataError(
                "A token vector holds NaN or infinity: the model is damaged, or its half precision overflows."
            )


def _owners(rows: Sequence[Payload], *, without: set[str]) -> dict[str, str]:
    """The whole documents that have the ids of rows or of documents already."""
    owners = {row["id"]: row["document"] for row in rows} | {row["document"]: row["document"] for row in rows}
    return {name: owner for name, owner in owners.items() if owner not in without}


def _step(query: NDArray[np.float32]) -> float:
    """The step of the grid on which a query's scores lie, so that similarities sum to a score exactly, in any order.

    A billionth of the best score that a unit vector could have: 30 bits, where a float32 has 24.
    """
    most = float(np.sqrt(np.einsum("ij,ij->i", query, query, dtype=np.float64)).sum())
    return math.ldexp(1.0, math.frexp(most or 1.0)[1] - 30)


def _on_grid(score: float, step: float) -> float:
    return round(score / step) * step
