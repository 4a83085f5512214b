"""How tables are read: said in the same words wherever a table is given.

A table that was trained on is indexed, added and reranked with the options that it was prepared with. So what says how
rows are read stands here, and the preparation and everything that reads documents take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from tardif.checks import check_mapping
from tardif.data.formats.columns import ROLES, Wishes
from tardif.data.formats.document_rows import DocumentColumns
from tardif.data.formats.form import Form
from tardif.data.hygiene.rules import choose
from tardif.display import Short
from tardif.errors import DataError, SettingError

# The roles of columns in a table of documents.
DOCUMENT_ROLES = ("text", "title", "id", "metadata")


@dataclass(frozen=True, repr=False, kw_only=True)
class Reading(Short):
    """How tables are read.

    Args:
        columns: role to column, where the names are not the usual ones. In a table of queries with documents the roles
            are those of :data:`tardif.data.formats.columns.ROLES`, in a table of documents :data:`DOCUMENT_ROLES`.
            A role that takes several columns may have a list; None leaves a role out.
        separator: the character between the cells of a text table; None: found out by the rows.
        encoding: of text tables and JSON lines; None: UTF-8, UTF-16 or, of a table, a clear guess.
        sheet: of a workbook; None: its only sheet that holds anything.
        on: rule to action, for the rules in :data:`tardif.data.hygiene.rules.RULES`; of documents ``markup`` acts.
    """

    columns: Mapping[str, Any] | None = None
    separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    on: Mapping[str, str] | None = None

    @property
    def actions(self) -> dict[str, str]:
        """The action of every rule.

        Raises:
            SettingError: a rule or action is not known.
        """
        return choose(self.on or {})

    @property
    def markup(self) -> str:
        """What is done with markup in texts."""
        return self.actions["markup"]

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
        if self.on is not None:
            check_mapping(self.on, "on", '{"markup": "clean"}')
        _ = self.actions
        _ = self.form

    @property
    def judging(self) -> dict[str, Any]:
        """The columns of a table of queries with documents."""
        return {role: names for role, names in (self.columns or {}).items() if role not in DOCUMENT_ROLES}

    def only_documents(self) -> Reading:
        """The same without the columns of other tables: for a table of documents beside one of queries."""
        own = {found.name: getattr(self, found.name) for found in fields(Reading)}
        return Reading(**{**own, "columns": self.of_documents, "on": {"markup": self.markup}})

    def given(self) -> dict[str, Any]:
        """What was said, by the names of the options, as JSON can hold it."""
        said = {found.name: getattr(self, found.name) for found in fields(Reading)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in said.items() if value}

    @property
    def of_documents(self) -> dict[str, Any]:
        """The columns of a table of documents."""
        return {role: names for role, names in (self.columns or {}).items() if role in DOCUMENT_ROLES}

    @cached_property
    def documents(self) -> DocumentColumns:
        """The same, checked.

        Raises:
            SettingError: what is given can be no column.
        """
        found = self.of_documents
        metadata = found.get("metadata")
        if "metadata" in found and not metadata:
            metadata = ()
        return DocumentColumns.of(found.get("text"), found.get("title") or None, found.get("id") or None, metadata)


def check_columns(name: str, columns: Mapping[str, Any] | None) -> None:
    """Raise if ``columns``, the option of that name, cannot be used.

    Raises:
        SettingError: it is no dict, or what is given can be no column.
        DataError: a role is not known, or two roles want one column.
    """
    if columns is None:
        return
    options = Reading(columns=check_mapping(columns, name, '{"query": "question"}'))
    for role in columns:
        if role not in (*ROLES, *DOCUMENT_ROLES):
            raise DataError(
                f"{name}: there is no role {role!r}: the roles are {', '.join(ROLES)}, "
                f"and in a table of documents {', '.join(DOCUMENT_ROLES)}."
            )
    Wishes.of(options.judging, None)
    _ = options.documents


def reading_from(given: Mapping[str, Any]) -> Reading:
    """The options that were given to a call by name, checked.

    Raises:
        SettingError: one is not known, or cannot be used.
        DataError: as for :meth:`Reading.check`.
    """
    known = [found.name for found in fields(Reading)]
    for name in given:
        if name not in known:
            raise SettingError(
                f"The option {name!r} is not known: how tables are read is said with {', '.join(known)}."
            )
    options = Reading(**given)
    options.check()
    return options
