"""Options for reading tables, the same for every command and call that reads one.

A table that a model was trained on is indexed, added and reranked with the options with which it was prepared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

from tardif.checks import check_mapping
from tardif.data.formats.columns import ROLES, ColumnChoices
from tardif.data.formats.document_rows import DocumentColumns
from tardif.data.formats.form import Form
from tardif.data.hygiene.clicks import ClickRule
from tardif.data.hygiene.labels import check_scores
from tardif.data.hygiene.rules import RULES, Rule, choose
from tardif.display import Short
from tardif.errors import DataError, SettingError

# The roles of columns in a table of documents.
DOCUMENT_ROLES = ("text", "title", "id", "metadata")


@dataclass(frozen=True, repr=False, kw_only=True)
class Reading(Short):
    """How tables are read.

    Args:
        columns: role to column, for unusual names. In a table of queries with documents the roles are those of
            :data:`tardif.data.formats.columns.ROLES`, in a table of documents :data:`DOCUMENT_ROLES`. A role that takes
            several columns may have a list; None leaves a role out.
        separator: the character between the cells of a text table; None detects it by the rows.
        encoding: of text tables and JSON lines; None is UTF-8, UTF-16 or, for a table, a clear guess.
        sheet: of a workbook; None is its only sheet that is not empty.
        on: rule to action, for the rules in :data:`tardif.data.hygiene.rules.RULES`; only ``markup`` and ``empty`` are
            for documents.

    >>> Reading(columns={"text": "body", "query": "ask"}).of_documents
    {'text': 'body'}
    """

    columns: Mapping[str, Any] | None = None
    separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    on: Mapping[str, str] | None = None

    rules: ClassVar[Mapping[str, Rule]] = RULES

    @property
    def actions(self) -> dict[str, str]:
        """The action of every rule.

        Raises:
            SettingError: a rule or action is not known.
        """
        return choose(self.on or {}, self.rules)

    @property
    def markup(self) -> str:
        """The action for markup in texts."""
        return self.actions["markup"]

    @property
    def empty(self) -> str:
        """The action for documents without text, title and id."""
        return self.actions["empty"]

    @property
    def form(self) -> Form:
        """The options for the files of tables.

        Raises:
            SettingError: an option has an impossible value.
        """
        return Form.of(self.separator, self.encoding, self.sheet)

    def check(self) -> None:
        """Check all options before anything is read.

        Raises:
            SettingError: an option has an impossible value.
            DataError: a role is unknown, or two roles have the same column.
        """
        check_columns("columns", self.columns)
        if self.on is not None:
            check_mapping(self.on, "on", '{"markup": "clean"}')
        # Both are computed only to raise here, before anything is read.
        _ = self.actions
        _ = self.form

    @property
    def judging(self) -> dict[str, Any]:
        """The columns of a table of queries with documents."""
        return {role: names for role, names in (self.columns or {}).items() if role not in DOCUMENT_ROLES}

    def only_documents(self) -> Reading:
        """These options for a table of documents alone, beside a table of queries with documents."""
        own = {found.name: getattr(self, found.name) for found in fields(Reading)}
        return Reading(**{**own, "columns": self.of_documents, "on": {"markup": self.markup, "empty": self.empty}})

    def given(self) -> dict[str, Any]:
        """The options that were given, by name, as JSON values."""
        said = {found.name: getattr(self, found.name) for found in fields(Reading)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in said.items() if value}

    @property
    def of_documents(self) -> dict[str, Any]:
        """The columns of a table of documents."""
        return {role: names for role, names in (self.columns or {}).items() if role in DOCUMENT_ROLES}

    @cached_property
    def documents(self) -> DocumentColumns:
        """The checked columns of a table of documents.

        Raises:
            SettingError: a value cannot be a column's name.
        """
        return DocumentColumns.of(self.of_documents)


@dataclass(frozen=True, repr=False, kw_only=True)
class LabelledReading(Reading):
    """How judged data are read: tables, and what labels, scores and clicks mean.

    Args:
        columns, separator, encoding, sheet, on: as for :class:`Reading`.
        positive_label, scores, clicks: as for :class:`tardif.preparation.Preparation`.
    """

    positive_label: str | None = None
    scores: str | float | None = None
    clicks: Any = None

    def check(self) -> None:
        """Raise if an option cannot be used; errors as for :meth:`Reading.check`."""
        super().check()
        check_scores(self.scores)
        ClickRule.of(self.clicks)


def check_columns(name: str, columns: Mapping[str, Any] | None) -> None:
    """Check an option of columns.

    Args:
        name: the name of the option, for messages.
        columns: role to column.

    Raises:
        SettingError: it is no dict, or a value cannot be a column's name.
        DataError: a role is unknown, or two roles have the same column.
    """
    if columns is None:
        return
    options = Reading(columns=check_mapping(columns, name, '{"query": "question"}'))
    for role in columns:
        if role not in (*ROLES, *DOCUMENT_ROLES):
            raise DataError(
                f"{name}: unknown role {role!r}: the roles are {', '.join(ROLES)}, "
                f"and in a table of documents {', '.join(DOCUMENT_ROLES)}."
            )
    ColumnChoices.of(options.judging, None)
    # Computed only to raise.
    _ = options.documents


def reading_from(given: Mapping[str, Any]) -> Reading:
    """Make checked options of the keyword arguments of a call.

    Raises:
        SettingError: an option is unknown or has an impossible value.
        DataError: as for :meth:`Reading.check`.
    """
    known = [found.name for found in fields(Reading)]
    for name in given:
        if name not in known:
            raise SettingError(
                f"The option {name!r} is not known: the options for reading tables are {', '.join(known)}."
            )
    options = Reading(**given)
    options.check()
    return options
