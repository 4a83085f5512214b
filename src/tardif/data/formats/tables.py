"""Tables of queries with documents: pairs, labelled pairs, triplets and n-way examples.

A table declares its columns in a header or schema, so their roles are known before the first row. Loose rows (JSON
objects, dicts) each name their own columns, so each is read by its own names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tardif.data.formats.column_names import plain, stem
from tardif.data.formats.columns import ROLES, ColumnChoices, Roles, describe, listed, row_fault, unclear_role
from tardif.data.formats.judgement_rows import JudgementReader
from tardif.data.records import Judgement
from tardif.errors import DataError
from tardif.types import Document, Query

PEEK = 1000  # rows looked at before any is read
_SHAPES = 1000  # sets of column names kept: rows with ever new names must not fill the memory
_NOTED = 21  # unused columns kept for the report


class TextlessSource:
    """A source with all texts in its judgements: it has no corpus and no list of queries."""

    def documents(self) -> Iterator[tuple[int, Document]]:
        """No document: they are in the judgements."""
        return iter(())

    def queries(self) -> Iterator[tuple[int, Query]]:
        """No query: they are in the judgements."""
        return iter(())


class TableSource(TextlessSource):
    """A table that declares its columns.

    Args:
        name: the source, for messages.
        names: the columns.
        rows: takes names of columns and streams the rows, each with its place and these cells in this order.
        choices: the columns that the user chose.
        cells: the rows are cells of a text table.
        what: the format, for the report.
        header: the line of the header, if there is one.
        remarks: remarks for the report, called after the last row.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        rows: Callable[[list[str]], Iterator[tuple[int, Sequence[Any]]]],
        choices: ColumnChoices,
        *,
        cells: bool = False,
        what: str = "rows",
        header: int | None = None,
        remarks: Callable[[], list[str]] = list,
    ) -> None:
        self.name = name
        doubled = sorted(column for column, times in Counter(names).items() if times > 1 and column)
        if doubled:
            raise DataError(f"the header names the column {doubled[0]!r} twice.", name, header)
        _check_there(choices, names, name)
        roles = choices.find(names)
        if fault := unclear_role(roles, choices):
            raise DataError(fault, name, header)
        if fault := row_fault(roles, names, choices):
            # A column that is missing is most often a header that is missing.
            hint = " The first line must name the columns." if cells and fault.startswith("missing") else ""
            raise DataError(fault + hint, name, header)
        # Only used columns are decoded: another may hold images.
        used = [column for columns in roles.values() for column in columns]
        known = {*used, choices.group_by}
        unused = [column for column in names if column not in known]
        if choices.group_by is not None and choices.group_by not in used:
            used.append(choices.group_by)
        self._used, self._rows, self._remarks = used, rows, remarks
        self.columns: Mapping[str, Sequence[str]] = roles
        self._reader = JudgementReader(
            roles, {column: at for at, column in enumerate(used)}, name, group_by=choices.group_by, cells=cells
        )
        self.shape = f"{what}: {describe(roles, unused, choices.group_by)}"

    def judgements(self) -> Iterator[Judgement]:
        """The judgements of every row, in order."""
        read = self._reader.read
        for place, row in self._rows(self._used):
            yield from read(place, row)
        if not self._reader.rows:
            raise DataError("is empty: it holds no row.", self.name)
        self.shape += "".join(f"; {remark}" for remark in self._remarks()) + f" ({self._reader.rows} rows)"


class LooseSource(TextlessSource):
    """Rows that each name their own columns.

    The first rows are looked at before any is read, so that most errors come early. A later row with other names is
    read by those.

    Args:
        name: the source, for messages.
        rows: streams the rows with their places, from the first in each call.
        choices: the columns that the user chose.
        what: the format, for the report.
        peek: the number of rows to look at.
    """

    def __init__(
        self,
        name: str,
        rows: Callable[[], Iterator[tuple[int, Mapping[str, Any]]]],
        choices: ColumnChoices,
        *,
        what: str = "rows",
        peek: int = PEEK,
    ) -> None:
        self.name = name
        self._rows, self._choices, self._what = rows, choices, what
        self._readers: dict[tuple[str, ...], JudgementReader] = {}
        # Dicts in place of sets keep the order, and the report names columns as the rows bring them.
        self._roles: dict[str, dict[str, None]] = {}
        self._unused: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        self._positives: set[str] = set()
        self._stems: set[str] = set()
        self._past: Counter[str] = Counter()
        self._glance(peek)
        self.shape = self._describe(0)

    def judgements(self) -> Iterator[Judgement]:
        """The judgements of every row, in order."""
        readers, total = self._readers, 0
        for place, row in self._rows():
            # Rows with equal names share a reader, so that the roles are found once.
            reader = readers.get(tuple(row))
            if reader is None:
                reader = self._settle(tuple(row), place)
            yield from reader.read(place, row)
            total += 1
        if not total:
            raise DataError("is empty: it holds no row.", self.name)
        _check_there(self._choices, [*self._seen, *self._unused], self.name)
        self.shape = f"{self._describe(total)} ({total} rows)"

    @property
    def columns(self) -> dict[str, Sequence[str]]:
        """The columns of each role in the rows read so far."""
        return {role: list(names) for role, names in self._roles.items()}

    def _describe(self, total: int) -> str:
        """The columns of each role, with a remark on those that not all rows have."""
        counts = Counter(self._past)
        for names, reader in self._readers.items():
            for name in names:
                counts[name] += reader.rows

        def remark(name: str) -> str:
            return name if counts[name] == total else f"{name} (in {counts[name]} of {total} rows)"

        roles = {role: [remark(name) for name in self._roles[role]] for role in ROLES if role in self._roles}
        text = f"{self._what}: {describe(roles, list(self._unused), self._choices.group_by)}"
        if sum(counts[name] for name in self._roles.get("label", ())) < total and "label" in self._roles:
            text += "; rows without a label are positives"
        return text

    def _glance(self, count: int) -> None:
        head = [(place, tuple(row)) for place, row in islice(self._rows(), count)]
        for place, names in head:
            if names not in self._readers:
                self._settle(names, place)
        if not head:
            raise DataError("is empty: it holds no row.", self.name)
        if len(head) < count:
            _check_there(self._choices, [*self._seen, *self._unused], self.name)

    def _settle(self, names: tuple[str, ...], place: int) -> JudgementReader:
        """The reader of rows with these names."""
        for name in names:
            if not isinstance(name, str):
                raise DataError(f"the column name {name!r} is no text.", self.name, place)
        roles, choices = self._choices.find(names), self._choices
        self._join(roles, place)
        if fault := row_fault(roles, names, choices):
            raise DataError(fault, self.name, place)
        if choices.group_by is not None and choices.group_by not in names:
            raise DataError(f"has no {choices.group_by} to group by; it has {listed(names)}.", self.name, place)
        self._note(names, roles)
        # Counts of the forgotten rows are kept for the report.
        if len(self._readers) >= _SHAPES:
            self._forget()
        reader = JudgementReader(roles, {name: name for name in names}, self.name, group_by=choices.group_by)
        self._readers[names] = reader
        return reader

    def _join(self, roles: Roles, place: int) -> None:
        """Add the columns of a row to those of other rows, and refuse those that fit the role of another column.

        Only new columns are checked: each of a million rows may bring one.
        """
        for role, columns in roles.items():
            known = self._roles.setdefault(role, {})
            new = [column for column in columns if column not in known]
            known.update(dict.fromkeys(new))
            if role in ("negative", "negative_id") or not new:  # any number of columns are negatives
                continue
            if role == "positive" and self._continues(new):
                continue
            if fault := unclear_role({role: tuple(known)}, self._choices):
                raise DataError(fault, self.name, place)

    def _continues(self, new: Sequence[str]) -> bool:
        """Whether new columns of positives continue the known family, as ``positive_7`` after ``positive_6``."""
        compared = {plain(name) for name in new}
        is_family = len(compared) == len(new) and self._positives.isdisjoint(compared)
        self._positives |= compared
        self._stems |= {stem(name) for name in new}
        return is_family and len(self._stems) == 1

    def _note(self, names: Sequence[str], roles: Roles) -> None:
        used = {name for columns in roles.values() for name in columns}
        for name in names:
            if name in used or name == self._choices.group_by:
                self._seen[name] = None
            elif len(self._unused) < _NOTED:
                self._unused[name] = None

    def _forget(self) -> None:
        for names, reader in self._readers.items():
            for name in names:
                if name in self._seen:
                    self._past[name] += reader.rows
        self._readers.clear()


def _check_there(choices: ColumnChoices, names: Iterable[str], where: str | Path) -> None:
    names = list(names)
    if missing := choices.missing(names):
        raise DataError(f"missing column {missing[0]}; it has {listed(names)}: check the name.", where)
