"""How tables are read: said in the same words wherever a table is given.

A table that was trained on is indexed, added and reranked with the options that it was prepared with. So what says how
rows are read stands here, and the preparation and everything that reads documents take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tardif.checks import check_mapping
from tardif.data.formats.columns import Wishes
from tardif.showing import Short


@dataclass(frozen=True, repr=False, kw_only=True)
class Reading(Short):
    """How tables are read.

    Args:
        columns: role to column, where the names are not the usual ones; a role that takes several columns may have
            a list, and None leaves a role out.
    """

    columns: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Raise if an option cannot be used, before anything is read.

        Raises:
            SettingError: it has the wrong type.
            DataError: a role is not known, or two roles want one column.
        """
        check_columns("columns", self.columns)


def check_columns(name: str, columns: Mapping[str, Any] | None) -> None:
    """Raise if ``columns``, the option of that name, cannot be used.

    Raises:
        SettingError: it is no dict.
        DataError: a role is not known, or two roles want one column.
    """
    if columns is not None:
        Wishes.of(check_mapping(columns, name, '{"query": "question"}'), None)
