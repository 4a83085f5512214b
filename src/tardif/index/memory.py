"""An index in memory: every search scores every document. For a few thousand documents, and what the others are
measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError
from tardif.index.codes import Query, scale_of, scan, to_fixed
from tardif.index.protocol import RECALL, Vectors, check_fit
from tardif.scoring import LOWEST, top
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.index.filters import Filter


class MemoryIndex:
    """Documents and their vectors, in 16 bits a component."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._vectors: dict[str, tuple[NDArray[np.int16], float]] = {}
        self._dim: int | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def add(self, documents: Sequence[Document], vectors: Vectors, lengths: Sequence[int]) -> int:
        """As :meth:`tardif.index.protocol.Index.add`."""
        check_fit(documents, vectors, lengths)
        self._check_width(vectors)
        ends = np.cumsum(lengths)
        scale = scale_of(vectors)
        fixed = to_fixed(vectors, scale)
        replaced = self.delete([document.id for document in documents])
        for document, length, end in zip(documents, lengths, ends, strict=True):
            self._documents[document.id] = document
            self._vectors[document.id] = (fixed[end - length : end], scale)
        self._dim = self._dim or (vectors.shape[1] if len(vectors) else None)
        return replaced

    def delete(self, ids: Sequence[str]) -> int:
        """As :meth:`tardif.index.protocol.Index.delete`."""
        there = [identity for identity in dict.fromkeys(ids) if identity in self._documents]
        for identity in there:
            del self._documents[identity], self._vectors[identity]
        return len(there)

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """As :meth:`tardif.index.protocol.Index.get`."""
        return {identity: self._documents[identity] for identity in ids if identity in self._documents}

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
        """As :meth:`tardif.index.protocol.Index.search`; always exact."""
        self._check_width(vectors)
        ids = [i for i, d in self._documents.items() if where is None or where.matches(d)]
        ends = np.cumsum(lengths)
        queries = [Query.of(vectors[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
        return [self._search(query, ids, k) for query in queries]

    def _search(self, query: Query, ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        scores = np.full(len(ids), LOWEST)
        for place, identity in enumerate(ids):
            rows, scale = self._vectors[identity]
            if len(rows) and query.tokens:
                starts: Any = np.array([0, len(rows)])
                found = scan(query, {"codes": rows}, 16, None, starts, np.array([0]))[0]
                scores[place] = found * (scale * query.scale)
        return [hit for hit in top(scores, np.array(ids, dtype=object), k) if hit[1] > LOWEST]

    def _check_width(self, vectors: Vectors) -> None:
        if self._dim is not None and len(vectors) and vectors.shape[1] != self._dim:
            raise DataError(f"The vectors have {vectors.shape[1]} dimensions, those of the index have {self._dim}.")
