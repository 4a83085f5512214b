"""The relevance that labels mean: grades, words, or scores that the user has explained; nothing is guessed.

A whole number is a grade, a word has the meaning of :mod:`tardif.data.formats.column_names`, and of two numbers in a
column named ``label`` the higher is relevant. Other numbers can be a teacher's scores, weights or similarities. Read as
grades they would turn positives into negatives, so the user is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tardif.checks import is_number, shown
from tardif.data.formats.column_names import JUDGEMENT_COLUMNS, label_word, plain, stem
from tardif.data.formats.columns import THIRD
from tardif.data.staging import Staging
from tardif.errors import DataError, SettingError

TEACHER = "teacher"

_MOST = 10**9  # the highest relevance kept: the column of the table holds 32 bits
_LABELS = ("label", "labels", "grade")  # columns with these names hold labels, not scores
_GRADES = 10  # the highest whole number that can be a grade; higher ones are percentages, counts or scores

# "0,85" has a decimal comma. "1,234" may mean more than a thousand, so it is no number.
_VALUE = (
    "TRY_CAST(CASE WHEN regexp_full_match(trim(label), '[+-]?(0?,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))') "
    "THEN replace(label, ',', '.') ELSE label END AS DOUBLE)"
)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Statistics of the labels of a source, if all are numbers."""

    values: int
    low: float
    high: float
    middle: float
    are_whole: bool
    rows: int


def check_scores(value: Any) -> str | float | None:
    """Check the option ``scores``.

    Returns:
        ``teacher``, a threshold, or None where the option is not set.

    Raises:
        SettingError: it is anything else.

    >>> check_scores("teacher"), check_scores("0.5")
    ('teacher', 0.5)
    """
    if value is None or value == TEACHER:
        return value  # type: ignore[no-any-return]
    try:
        number = float(value) if is_number(value) or isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(
            f'scores={shown(value)}: give "teacher", or the score from which a document is relevant, such as 0.5 '
            "(--scores)."
        )
    return number


def relevance(staging: Staging, positive_label: str | None, scores: str | float | None) -> list[str]:
    """Give every labelled judgement a whole relevance.

    Args:
        staging: the collection.
        positive_label: the label that means relevant.
        scores: how numbers are read (:func:`check_scores`).

    Returns:
        How labels were read, for a reader.

    Raises:
        DataError: a label has no meaning, or numbers have several.
        SettingError: no row has the positive label, or none has scores.
    """
    counts = staging.all(
        "SELECT source, count(*) FILTER (label = ?) FROM stated WHERE role = 'labelled' GROUP BY 1 ORDER BY 1",
        [positive_label],
    )
    if positive_label is not None and not any(count for _, count in counts):
        if counts:
            raise SettingError(f"positive_label={positive_label!r}: no row has this label.")
        return []
    lines: list[str] = []
    read = False
    # Each source has a scale of its own: a file of grades may come beside one of words.
    for source, count in counts:
        labels = _Labels(staging, source, staging.columns.get(source, {}))
        numbers = labels.numbers()
        if positive_label is not None and (labels.columns or count):
            labels.update("(label = ?)::INT", [positive_label])
            lines.append(f"label {positive_label!r} is relevant, all others are not")
        elif numbers is None:
            lines.append(labels.read_words())
        elif scores is not None and labels.columns:
            lines.append(labels.read_scores(numbers, scores))
            read = True
        else:
            lines.append(labels.read_numbers(numbers))
    if scores is not None and not read:
        raise SettingError(
            f'scores={scores!r} (--scores): no column of scores was read; name it with columns={{"label": ...}} '
            "(--columns label=...), or leave scores out."
        )
    return list(dict.fromkeys(lines))


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of one source.

    Attributes:
        staging, source: where they are.
        columns: the source's columns by role; empty for a format that has no named columns.
    """

    staging: Staging
    source: int
    columns: Mapping[str, Sequence[str]]

    @property
    def _rows(self) -> str:
        """SQL for the rows of these labels."""
        return f"role = 'labelled' AND source = {self.source}"

    @property
    def _name(self) -> str:
        """The column of the labels; empty where it has no name."""
        return next(iter(self.columns.get("label", ())), "")

    def _select(self, what: str, rest: str = "", values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.staging.all(f"SELECT {what} FROM stated WHERE {self._rows} {rest}", values)

    def update(self, value: str, values: Sequence[Any] = ()) -> None:
        """Give all rows a relevance (SQL)."""
        self.staging.run(f"UPDATE stated SET relevance = {value} WHERE {self._rows}", values)

    def numbers(self) -> _Numbers | None:
        """Statistics of the labels; None if one is no finite number."""
        others, *found = self._select(
            f"""count(*) FILTER ({_VALUE} IS NULL OR NOT isfinite({_VALUE})), count(DISTINCT {_VALUE}),
            min({_VALUE}), max({_VALUE}), median({_VALUE}), bool_and({_VALUE} = floor({_VALUE})), count(*)"""
        )[0]
        return None if others else _Numbers(*found)

    def read_words(self) -> str:
        """Read labels of which at least one is a word."""
        words = {label: label_word(label) for (label,) in sorted(self._select("DISTINCT label", "LIMIT 1001"))}
        # Labels have a few words. A thousand different texts are no labels, though some of them may look like one.
        if len(words) > 1000 or None in words.values():
            known = [label for label, word in words.items() if word is not None]
            # One that is no number either comes first: it tells the reader more.
            order = f"ORDER BY coalesce(isfinite({_VALUE}), false), place LIMIT 1"
            label, place = self._select("label, place", f"AND NOT list_contains(?::VARCHAR[], label) {order}", [known])[
                0
            ]
            raise self.staging.error(
                self.source,
                place,
                f"the label {label[:60]!r} has no known meaning: say which one is relevant with positive_label=... "
                "(--positive-label ...).",
            )
        relevant = [label for label, is_relevant in words.items() if is_relevant]
        self.update("list_contains(?::VARCHAR[], label)::INT", [relevant])
        return f"labels {', '.join(map(repr, relevant)) or 'none'} are relevant, all others are not"

    def read_numbers(self, numbers: _Numbers) -> str:
        """Read labels that are numbers: grades, or two values. The user must explain any others."""
        name, columns = plain(self._name), self.columns
        is_score = name in map(plain, JUDGEMENT_COLUMNS["label"]) and name not in _LABELS
        relevant_by_name = all(stem(column) in ("positive", "positives") for column in columns.get("positive", ("",)))
        mixed = numbers.low < 1 <= numbers.high if relevant_by_name else bool(columns) and numbers.high > _GRADES
        if numbers.are_whole and not (mixed and (is_score or not relevant_by_name)):
            self.update(f"floor(greatest(least({_VALUE}, {_MOST}), -{_MOST}))::INT")
            line = "labels are graded relevance: 1 and above is relevant, below 1 is not"
            if not columns or numbers.values == 1 or numbers.low < 1:
                return line
            return (
                f"{line}; here every row is relevant ({numbers.low:g} to {numbers.high:g}). To count only "
                f"{numbers.high:g} as relevant, use scores={numbers.high:g} (--scores {numbers.high:g})"
            )
        if numbers.values == 2 and columns and not is_score and self._name != THIRD:
            self.update(f"({_VALUE} = ?)::INT", [numbers.high])
            return f"label {numbers.high:g} is relevant, {numbers.low:g} is not"
        raise self._ambiguous(numbers)

    def _ambiguous(self, numbers: _Numbers) -> DataError:
        """Numbers that can be several things: each reading that works is offered."""
        name, is_third = self._name or "label", self._name == THIRD
        # The first number that is no grade shows best what is meant.
        place = self._select("min(place)", f"AND ({numbers.are_whole} OR {_VALUE} <> floor({_VALUE}))")[0][0]
        has_lists = self._select("1", "GROUP BY place HAVING count(*) > 1 LIMIT 1")
        threshold = f"{numbers.middle:.3g}"
        ways = [
            f"with a threshold, such as scores={threshold} (--scores {threshold}): scores from there up are relevant"
        ]
        teacher = 'as a teacher\'s scores, with scores="teacher" (--scores teacher): '
        if self._has_rivals():
            ways.append(
                f"{teacher}the document with the highest score is the positive, the others are scored negatives"
            )
        else:
            ways[0] += (
                '; on={"no-positive": "drop"} (--on no-positive=drop) leaves out queries without a relevant document'
            )
            ways.append(f"{teacher}but no query has several documents, so there is nothing to learn from the scores")
        if not has_lists:
            way_out = "leave the third items out" if is_third else 'columns={"label": None} (--columns label=)'
            ways.append(f"not at all, if every row is relevant: {way_out}")
        return self.staging.error(
            self.source,
            place,
            f"{'' if is_third else 'column '}{name} holds numbers from {numbers.low:g} to {numbers.high:g} "
            f"({numbers.rows:,} values), and their meaning is unclear. Read them {'; or '.join(ways)}.",
        )

    def _has_rivals(self) -> bool:
        """Whether some query has several scored documents."""
        return bool(self._select("1", "GROUP BY query_id HAVING count(DISTINCT document_id) > 1 LIMIT 1"))

    def read_scores(self, numbers: _Numbers, scores: str | float) -> str:
        """Read numbers as the user has explained them."""
        name = self._name or "label"
        if scores != TEACHER:
            self.update(f"({_VALUE} >= ?)::INT", [scores])
            count = self._select("count(*)", "AND relevance > 0")[0][0]
            return (
                f"{name}: {count:,} of {numbers.rows:,} rows are relevant (scores of {scores:g} or more); the others "
                "are negatives"
            )
        # Of equal scores the highest id is the positive, whatever the order of the rows.
        self.staging.run(
            f"""UPDATE stated SET score = {_VALUE}, relevance = (best.document_id = stated.document_id)::INT
            FROM (
              SELECT query_id, arg_max(document_id, ({_VALUE}, document_id)) AS document_id FROM stated
              WHERE {self._rows} AND fate IS NULL GROUP BY query_id
            ) best WHERE best.query_id = stated.query_id AND {self._rows}"""
        )
        unused = "" if self._has_rivals() else "; no query has several documents, so nothing is learned from the scores"
        return (
            f"{name}: a teacher's scores; the document with the highest score is the positive, the others are "
            f"negatives{unused}"
        )
