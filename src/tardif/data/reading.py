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
from tardif.data.formats.form import Form
from tardif.showing import Short


@dataclass(frozen=True, repr=False, kw_only=True)
class Reading(Short):
    """How tables are read.

    Args:
        columns: role to column, where the names are not the usual ones; a role that takes several columns may have
            a list, and None leaves a role out.
        separator: the character between the cells of a text table; None: found out by the rows.
        encoding: of text tables and JSON lines; None: UTF-8, UTF-16 or, of a table, a clear guess.
        sheet: of a workbook; None: its only sheet that holds anything.
    """

    columns: Mapping[str, Any] | None = None
    separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None

    @property
    def form(self) -> Form:
        """What is said of the tables' files.

        Raises:
            SettingError: an option cannot be used.
        """
        return Form.of(self.separator, self.encoding, self.sheet)

    def check(self) -> None:
        """Raise if an option cannot be used, before anything is read.

        Raises:
            SettingError: it has the wrong type.
            DataError: a role is not known, or two roles want one column.
        """
        check_columns("columns", self.columns)
        _ = self.form


def check_columns(name: str, columns: Mapping[str, Any] | None) -> None:
    """Raise if ``columns``, the option of that name, cannot be used.

    Raises:
        SettingError: it is no dict.
        DataError: a role is not known, or two roles want one column.
    """
    if columns is not None:
        Wishes.of(check_mapping(columns, name, '{"query": "question"}'), None)
