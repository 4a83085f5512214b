"""The roles of columns in a table of queries with documents, by their usual names or by the user's choice.

A column is found by its name alone, never by the values of the first row. Two columns that fit one role are refused
rather than guessed between.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tardif.data.formats.column_names import JUDGEMENT_COLUMNS, foreign_role, known_role, plain, stem
from tardif.errors import DataError

ROLES = tuple(JUDGEMENT_COLUMNS)
# The roles that several columns may play together: ``negative_1``, ``negative_2``.
MANY = ("positive", "negative", "negative_id")

# What the label of a tuple is called in messages.
THIRD = "the third item"

_NAMED = 20  # columns that a message names

# The columns of each role that has any.
Roles = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ColumnChoices:
    """The columns that the user chose.

    Attributes:
        chosen: the columns by role; an empty tuple leaves the role out.
        group_by: the column by which the data is split.
        positive_label: the label that means relevant. If it is given, a text in the third place of a tuple is a label.
    """

    chosen: Mapping[str, tuple[str, ...]]
    group_by: str | None = None
    positive_label: str | None = None

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str | Sequence[str] | None] | None,
        group_by: str | None,
        positive_label: str | None = None,
    ) -> ColumnChoices:
        """Check the user's choice.

        Args:
            columns: role to column. ``positive`` and ``negative`` take several names, or one with ``*`` for a family;
                None or an empty name leaves the role out.
            group_by: a column.
            positive_label: the label that means relevant.

        Raises:
            DataError: a role is unknown, or two roles have the same column.

        >>> ColumnChoices.of({"query": "ask"}, None).find(["ask", "answer", "colour"])
        {'query': ('ask',), 'positive': ('answer',)}
        """
        chosen: dict[str, tuple[str, ...]] = {}
        for role, names in (columns or {}).items():
            if role not in ROLES:
                raise DataError(f"columns: unknown role {role!r}: the roles are {', '.join(ROLES)}.")
            given = (names,) if isinstance(names, str) else tuple(names or ())
            chosen[role] = tuple(name for name in given if name)
            if len(chosen[role]) > 1 and role not in MANY:
                raise DataError(f"columns: {role} takes one column, not {', '.join(chosen[role])}.")
        for name, times in Counter(name for names in chosen.values() for name in names).items():
            if times > 1:
                raise DataError(f"columns: {name!r} is given for two roles: a column plays one.")
        # A user who names the documents does not want other columns of documents found beside them.
        for pair in (("documents", "positive"), ("document_ids", "document_id")):
            for role, other in (pair, pair[::-1]):
                if chosen.get(role) and other not in chosen:
                    chosen[other] = ()
        return cls(chosen, group_by or None, positive_label)

    @property
    def named(self) -> list[str]:
        """Every column that the user named."""
        wanted = [name for given in self.chosen.values() for name in given]
        return wanted if self.group_by is None else [*wanted, self.group_by]

    def find(self, names: Iterable[str]) -> Roles:
        """The columns of each role among some names."""
        names = list(names)
        exact = {name: role for role, wanted in self.chosen.items() for name in wanted}
        patterns = [(role, name) for role, wanted in self.chosen.items() for name in wanted if "*" in name]
        found: dict[str, list[str]] = {}
        for name in names:
            # A user's wish comes before a usual name, and takes the name's role away from other columns.
            role = exact.get(name) or next((role for role, wish in patterns if fnmatchcase(name, wish)), None)
            if role is None and (known := known_role(name)) not in self.chosen:
                role = known
            # Clicks may contradict each other and are counted, so a column named "clicks" never holds plain labels.
            if role == "label" and known_role(name) == "clicks":
                role = "clicks"
            if role is not None:
                found.setdefault(role, []).append(name)
        own = {"query", "positive", "documents"} & (found.keys() | self.chosen.keys())
        for name in () if {"query", "positive"} <= own else names:
            role = foreign_role(name)  # only where no English name has the role
            if role is not None and role not in own and not (role == "positive" and "documents" in own):
                found.setdefault(role, []).append(name)
        # Views without clicks say nothing.
        if "clicks" not in found:
            found.pop("impressions", None)
        return {role: tuple(found[role]) for role in ROLES if role in found}

    def missing(self, names: Iterable[str]) -> list[str]:
        """The columns that the user named and that are not among these."""
        names = dict.fromkeys(names)
        return [w for w in self.named if w not in names and not ("*" in w and any(fnmatchcase(n, w) for n in names))]


def unclear_role(roles: Roles, choices: ColumnChoices) -> str:
    """What is wrong with several columns that fit one role, and how to choose one; empty if each role is clear."""
    for role, names in roles.items():
        if role in ("negative", "negative_id") or role in choices.chosen:
            continue
        kinds = {stem(name) for name in names} if role == "positive" else set(names)
        if len(kinds) > 1 or (role == "positive" and len({plain(name) for name in names}) < len(names)):
            return _each_fit(names, f"role {_spoken(role)}", role)
    return ""


def row_fault(roles: Roles, names: Sequence[str], choices: ColumnChoices) -> str:
    """What is wrong with columns that make no judgement or contradict each other, and how to choose; else empty."""
    if missing := _missing(roles, names, choices):
        return missing
    for one, other in _RIVALS:
        if one in roles and other in roles and one not in choices.chosen:
            return _each_fit(roles[one] + roles[other], "role of the documents", one)
    return _two_relevances(roles, choices)


def _each_fit(names: Sequence[str], role: str, option: str) -> str:
    return f"columns {_and(names)} each fit the {role}: choose one with {_options((option,), names[-1])}."


# The roles without which a row is no judgement, and the roles that may replace each.
_NEEDED = {"query": ("query_id",), "positive": ("documents", "document_ids", "document_id")}

_RIVALS = (("positive", "documents"), ("document_id", "document_ids"))
_RELEVANT = ("positive", "positives")


def _missing(roles: Roles, names: Sequence[str], choices: ColumnChoices) -> str:
    """Name all that is missing in one message: a column of queries, of documents, or both."""
    missing = {
        role: others
        for role, others in _NEEDED.items()
        if role not in roles and not any(other in roles for other in others)
    }
    if not missing:
        return ""
    wanted = " and ".join("|".join(choices.chosen.get(role) or JUDGEMENT_COLUMNS[role]) for role in missing)
    values = ", ".join(f'"{role}": ...' for role in missing)
    options = " ".join(f"--columns {role}=..." for role in missing)
    ids = " and ".join(others[-1] for others in missing.values())
    few, them, some = ("column", "it", "a column") if len(missing) == 1 else ("columns", "them", "columns")
    return (
        f"missing {few} {wanted}; it has {listed(names)}: name {them} with columns={{{values}}} ({options}), or "
        f"{some} of ids with {ids}."
    )


def _two_relevances(roles: Roles, choices: ColumnChoices) -> str:
    """The fault of columns that state the relevance of a document twice; else empty."""
    for other in ("label", "scores", "negative", "negative_id"):
        if "clicks" in roles and other in roles:
            return (
                f"columns {_and(roles['clicks'] + roles[other])} both state what is relevant: leave one out, with "
                f'columns={{"clicks": None}} (--columns clicks=) or columns={{"{other}": None}} (--columns {other}=).'
            )
    if (
        "label" in roles
        and ("negative" in roles or "negative_id" in roles)
        and "label" not in choices.chosen
        and all(stem(name) in _RELEVANT for name in roles.get("positive", ("positive",)))
    ):
        sides = (("positive", "document_id"), ("negative", "negative_id"), ("label",))
        names = tuple(name for side in sides for role in side if role in roles for name in roles[role])
        return (
            f"columns {_and(names)} both state what is relevant: is {roles['label'][0]} a label, a teacher's score or "
            f"neither? Say so with one of {_options(('label', 'scores'), roles['label'][0])}, "
            'or columns={"label": None} (--columns label=).'
        )
    return ""


def listed(names: Iterable[str]) -> str:
    """The names of columns for a message, shortened if they are many or long."""
    names = [name if len(name) <= 40 else f"{name[:40]}..." for name in names]
    return _some(names) or "no column"


def describe(roles: Mapping[str, Sequence[str]], unused: Sequence[str], group_by: str | None) -> str:
    """The columns of each role as one line for the report.

    Args:
        roles: the columns, each of which may carry a remark.
        unused: the columns without a role.
        group_by: the column by which the data is split.
    """
    if "scores" in roles:
        kind = "n-way examples with teacher scores"
    elif "clicks" in roles:
        kind = "clicks"
    elif "label" in roles:
        kind = "labelled pairs"
    else:
        kind = "pairs with negatives" if "negative" in roles or "negative_id" in roles else "pairs"
    parts = [f"{_spoken(role)} from {_some(names)}" for role, names in roles.items()]
    many = "documents" in roles or ("document_ids" in roles and "positive" not in roles)
    if many and "label" not in roles and "clicks" not in roles:
        parts.append("the best scored of each row is its positive, the others its negatives")
    if group_by is not None:
        parts.append(f"group from {group_by}")
    spare = f"; not used: {listed(unused)}" if unused else ""
    return f"{kind}: {', '.join(parts)}{spare}"


def columns_option(**roles: str) -> str:
    """How a user names columns, on the command line and in Python.

    >>> columns_option(text="answer", id="nr")
    '--columns text=answer --columns id=nr (in Python columns={"text": "answer", "id": "nr"})'
    """
    words = [f"--columns {role}={shlex.quote(name)}" for role, name in roles.items()]
    return f"{' '.join(words)} (in Python columns={json.dumps(roles, ensure_ascii=False)})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= _NAMED else [*names[:_NAMED], "..."])


def _spoken(role: str) -> str:
    return role.replace("_", " ")


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _options(roles: Sequence[str], name: str) -> str:
    return ", ".join(f'columns={{"{role}": "{name}"}} (--columns {role}={name})' for role in roles)
