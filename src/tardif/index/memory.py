"""An index in memory: every search scores every document. For some ten thousand documents, and the tests' reference."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_hits, check_ids, check_list
from tardif.errors import DataError, SettingError
from tardif.index.codes import NO_SCORE, TiledQuery, fixed_query, scale_of, scan, to_fixed
from tardif.index.document_columns import as_kept
from tardif.index.document_table import MemoryTable
from tardif.index.pieces import check_deletable, check_fit, check_free
from tardif.index.protocol import RECALL, Vectors
from tardif.index.token_groups import Groups, check_groups, tokens_of
from tardif.index.token_matches import TokenMatches, to_scores
from tardif.ranking import top
from tardif.scoring import LOWEST
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter
    from tardif.index.fulltext import WordStatistics


@dataclass(frozen=True, eq=False)
class _Block:
    """Documents added together: vectors, int16 ``[tokens, width]``; each one's first row; the length that is 1.0; and
    which vector each of their tokens is part of."""

    codes: NDArray[np.int16]
    starts: NDArray[np.int64]
    scale: float
    groups: Groups | None


class MemoryIndex:
    """Documents and their vectors, in 16 bits per component. Only one thread at a time may change it.

    >>> index = MemoryIndex()
    >>> index.add([Document("a", "first"), Document("b", "second")], np.eye(2, 4, dtype=np.float32), [1, 1])
    0
    >>> [(name, round(score, 3)) for name, score in index.search(np.eye(1, 4, dtype=np.float32), [1], k=1)[0]]
    [('a', 1.0)]
    """

    prunes = False  # every document is scored

    def __init__(self) -> None:
        # Each document or piece, with the block and row of its vectors.
        self._documents: dict[str, tuple[Document, _Block, int]] = {}
        # For each whole document: the ids of its pieces, or its own id; and the file or folder that it came from.
        self._parts: dict[str, list[str]] = {}
        self._sources: dict[str, str] = {}
        # The same documents in SQLite, for filters.
        self._table = MemoryTable()
        self._dim: int | None = None
        self._notes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def close(self) -> None:
        """Do nothing: there are no files."""

    def moment(self) -> AbstractContextManager[None]:
        """As :meth:`tardif.index.protocol.Index.moment`."""
        return nullcontext()

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
        self._check_width(vectors)
        scale = scale_of(vectors)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        block = _Block(to_fixed(vectors, scale), starts, scale, groups)
        # Copies, as an index on disk would give them back: changes that the caller makes later have no effect here.
        kept = [as_kept(document) for document in documents]
        replaced = [identity for identity in dict.fromkeys(d.whole_id for d in kept) if identity in self._parts]
        check_free(kept, self._owners(kept, set(replaced)))
        self._remove(replaced, kept)
        self._documents |= {document.id: (document, block, row) for row, document in enumerate(kept)}
        for document in kept:
            self._parts.setdefault(document.whole_id, []).append(document.id)
            self._sources[document.whole_id] = source
        # The width is that of the first vectors: empty documents have none.
        self._dim = self._dim or (vectors.shape[1] if len(vectors) else None)
        return len(replaced)

    def _owners(self, documents: Sequence[Document], without: set[str]) -> dict[str, str]:
        """The whole documents that have the ids of these documents or pieces already, ``without`` those replaced."""
        names = {name for document in documents for name in (document.id, document.whole_id)}
        found = {name: self._documents[name][0].whole_id for name in names & self._documents.keys()}
        found |= {name: name for name in names & self._parts.keys()}
        return {name: owner for name, owner in found.items() if owner not in without}

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`."""
        wanted = list(dict.fromkeys(check_ids(ids)))
        there = [identity for identity in wanted if identity in self._parts]
        others = [identity for identity in wanted if identity in self._documents and identity not in self._parts]
        check_deletable({identity: self._documents[identity][0].whole_id for identity in others})
        self._remove(there)
        return len(there)

    def delete_where(self, where: Filter) -> int:
        """As :meth:`tardif.index.protocol.Index.delete_where`."""
        chosen = self._table.all_matching(where)
        self._remove(chosen)
        return len(chosen)

    def _remove(self, ids: Sequence[str], come: Sequence[Document] = ()) -> None:
        # The table first: it raises if metadata cannot be stored, and nothing else has changed then.
        self._table.change([part for identity in ids for part in self._parts[identity]], come)
        for identity in ids:
            for part in self._parts.pop(identity):
                del self._documents[part]
            del self._sources[identity]

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.wholes`."""
        return {name: self._documents[name][0].whole_id for name in check_ids(ids) if name in self._documents}

    def sources(self) -> dict[str, str]:
        """As :meth:`tardif.index.protocol.Index.sources`."""
        return dict(self._sources)

    def adopt(self, ids: Sequence[str], source: str) -> None:
        """As :meth:`tardif.index.protocol.Index.adopt`."""
        self._sources |= dict.fromkeys((identity for identity in ids if identity in self._sources), source)

    def note(self, name: str, value: str | None = None) -> str | None:
        """As :meth:`tardif.index.protocol.Index.note`."""
        if value is not None:
            self._notes[name] = value
        return self._notes.get(name)

    def has(self, where: Filter) -> bool:
        """As :meth:`tardif.index.protocol.Index.has`."""
        return self._table.any_matching(where)

    def keys(self) -> list[str]:
        """As :meth:`tardif.index.protocol.Index.keys`."""
        return self._table.keys()

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`."""
        found: dict[str, Document] = {}
        for identity in check_ids(ids):
            names = [identity] if identity in self._documents else self._parts.get(identity, ())
            found |= {name: self._documents[name][0] for name in names}
        return found

    def search(
        self,
        vectors: Vectors,
        lengths: Sequence[int],
        k: int,
        *,
        exact: bool = True,
        recall: float = RECALL,
        where: Filter | None = None,
    ) -> list[list[tuple[str, float]]]:
        """As :meth:`tardif.index.protocol.Index.search`; every search is exact."""
        self._check_width(vectors)
        k = check_hits(k)
        # The filter first: documents that do not pass are never scored.
        ids = list(self._documents) if where is None else self._table.matching(where, "id")
        ends, found = np.cumsum(lengths), []
        for end, length in zip(ends, lengths, strict=True):
            scores = self._scores(TiledQuery.of(vectors[end - length : end]), ids)
            found.append([hit for hit in top(scores, ids, k) if hit[1] > LOWEST])
        return found

    def score(self, vectors: Vectors, ids: Sequence[str]) -> list[float]:
        """As :meth:`tardif.index.protocol.Index.score`."""
        ids = self._known(ids)
        self._check_width(vectors)
        scores: list[float] = self._scores(TiledQuery.of(vectors), ids).tolist()
        return scores

    def matches(self, vectors: Vectors, ids: Sequence[str]) -> list[TokenMatches]:
        """As :meth:`tardif.index.protocol.Index.matches`."""
        ids = self._known(ids)
        self._check_width(vectors)
        query, factor = fixed_query(vectors)
        found = []
        for identity in ids:
            _, block, row = self._documents[identity]
            stored = block.codes[block.starts[row] : block.starts[row + 1]]
            groups = None if block.groups is None else tokens_of(block.groups[row], len(stored))
            found.append(TokenMatches.of_stored(query, stored, block.scale * factor, groups))
        return found

    def _known(self, ids: Sequence[str]) -> list[str]:
        ids = check_ids(ids)
        missing = next((identity for identity in ids if identity not in self._documents), None)
        if missing is not None:
            raise DataError(f"The document {missing!r:.200} is not in the index.")
        return ids

    def search_words(
        self, query: str, k: int, *, where: Filter | None = None, whole: WordStatistics | None = None
    ) -> list[tuple[str, float]]:
        """As :meth:`tardif.index.protocol.Index.search_words`; it always raises."""
        raise SettingError("Documents in memory are not searched by words: build an index for hybrid search.")

    def word_statistics(self, query: str) -> WordStatistics:
        """As :meth:`tardif.index.sharded.Shard.word_statistics`; it always raises."""
        raise SettingError("Documents in memory are not searched by words: build an index for hybrid search.")

    def _scores(self, query: TiledQuery, ids: Sequence[str]) -> NDArray[np.float64]:
        """MaxSim with documents or pieces, in their order; the lowest float for one without a token."""
        scores = np.full(len(ids), LOWEST)
        # By block, so that each block's documents are scanned in one call.
        blocks: dict[int, tuple[_Block, list[int], list[int]]] = {}
        for place, identity in enumerate(ids):
            _, block, row = self._documents[identity]
            _, places, rows = blocks.setdefault(id(block), (block, [], []))
            places.append(place)
            rows.append(row)
        for block, places, rows in blocks.values():
            found = scan(query, {"codes": block.codes}, 16, None, block.starts, np.array(rows))
            some = found > NO_SCORE
            scores[np.array(places)[some]] = to_scores(found[some], block.scale * query.scale)
        return scores

    def _check_width(self, vectors: Vectors) -> None:
        if self._dim is not None and len(vectors) and vectors.shape[1] != self._dim:
            raise DataError(f"The vectors have {vectors.shape[1]} dimensions, those of the index have {self._dim}.")
