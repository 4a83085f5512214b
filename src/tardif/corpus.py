"""The documents that a searcher knows, by position and by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import DataError


class Ids:
    """Document ids by position, and back.

    Raises:
        DataError: an id stands twice.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        listed = list(ids)
        self.array: NDArray[Any] = np.array(listed, dtype=object)
        self._row = {identity: row for row, identity in enumerate(listed)}
        if len(self._row) != len(listed):
            raise DataError("Two documents of the corpus have the same id: ids must be unique.")

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, ids: Sequence[str]) -> list[int]:
        """The positions of documents.

        Raises:
            DataError: a document is not in the corpus that is searched.
        """
        try:
            return [self._row[identity] for identity in ids]
        except KeyError as error:
            raise DataError(f"The document {error.args[0]!r} is not in the corpus that is searched.") from None
