"""The relevance that labels mean: grades, words, or scores that the user has explained; nothing is guessed.

A whole number is a grade, a word has the meaning of :mod:`tardif.data.formats.label_words`, and of two numbers in a
column named ``label`` the higher is relevant. Other numbers can be a teacher's scores, weights or similarities. Read as
grades they would turn positives into negatives, so the user is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tardif.checks import is_number, shown
from tardif.data.formats.column_names import JUDGEMENT_COLUMNS, plain, stem
from tardif.data.formats.columns import THIRD
from tardif.data.formats.label_words import label_word
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

_Columns = Mapping[str, Sequence[str]]


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
        number = float(value) if is_number(value) or isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None or not abs(number) < float("inf"):
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
    counts = dict(
        staging.all(
            "SELECT source, count(*) FILTER (label = ?) FROM stated WHERE role = 'labelled' GROUP BY 1 ORDER BY 1",
            [positive_label],
        )
    )
    sources, labelled = list(counts), {source for source, count in counts.items() if count}
    if positive_label is not None and not labelled:
        if sources:
            raise SettingError(f"positive_label={positive_label!r}: no row has this label.")
        return []
    lines: list[str] = []
    read = False
    for source in sources:
        columns = staging.columns.get(source, {})
        numbers = _numbers(staging, source)
        if positive_label is not None and (columns or source in labelled):
            lines.append(_by_name(staging, source, positive_label))
        elif numbers is None:
            lines.append(_by_words(staging, source))
        elif scores is not None and columns:
            lines.append(_by_scores(staging, source, columns, numbers, scores))
            read = True
        else:
            lines.append(_by_numbers(staging, source, columns, numbers))
    if scores is not None and not read:
        raise SettingError(
            f'scores={scores!r} (--scores): no column of scores was read; name it with columns={{"label": ...}} '
            "(--columns label=...), or leave scores out."
        )
    return list(dict.fromkeys(lines))


def _numbers(staging: Staging, source: int) -> _Numbers | None:
    """Statistics of the labels of a source; None if one is no finite number."""
    found = staging.all(
        f"""SELECT count(*) FILTER ({_VALUE} IS NULL OR NOT isfinite({_VALUE})), count(DISTINCT {_VALUE}),
          min({_VALUE}), max({_VALUE}), median({_VALUE}), bool_and({_VALUE} = floor({_VALUE})), count(*)
        FROM stated WHERE role = 'labelled' AND source = ?""",
        [source],
    )[0]
    return None if found[0] else _Numbers(*found[1:])


def _set(staging: Staging, source: int, value: str, values: Sequence[Any] = ()) -> None:
    staging.run(f"UPDATE stated SET relevance = {value} WHERE role = 'labelled' AND source = ?", [*values, source])


def _by_name(staging: Staging, source: int, label: str) -> str:
    _set(staging, source, "(label = ?)::INT", [label])
    return f"label {label!r} is relevant, every other is not"


def _by_words(staging: Staging, source: int) -> str:
    """Read labels of which at least one is a word."""
    rows = staging.all("SELECT DISTINCT label FROM stated WHERE role = 'labelled' AND source = ? LIMIT 1001", [source])
    words = {label: label_word(label) for (label,) in sorted(rows)}
    if len(words) > 1000 or None in words.values():
        raise _without_meaning(staging, source, words)
    relevant = [label for label, is_relevant in words.items() if is_relevant]
    _set(staging, source, "list_contains(?::VARCHAR[], label)::INT", [relevant])
    return f"labels {', '.join(map(repr, relevant)) or 'none'} are relevant, every other is not"


def _without_meaning(staging: Staging, source: int, words: Mapping[str, bool | None]) -> DataError:
    """The error for the first label that is no known word; one that is no number either comes first."""
    known = [label for label, word in words.items() if word is not None]
    label, place = staging.all(
        "SELECT label, place FROM stated WHERE role = 'labelled' AND source = ? "
        f"AND NOT list_contains(?::VARCHAR[], label) ORDER BY coalesce(isfinite({_VALUE}), false), place LIMIT 1",
        [source, known],
    )[0]
    return staging.error(
        source,
        place,
        f"the label {label[:60]!r} has no known meaning: say which one is relevant with positive_label=... "
        "(--positive-label ...).",
    )


def _by_numbers(staging: Staging, source: int, columns: _Columns, numbers: _Numbers) -> str:
    """Read labels that are numbers: grades, or two values. The user must explain any others."""
    name = next(iter(columns.get("label", ())), "")
    is_score = name != "" and plain(name) in map(plain, JUDGEMENT_COLUMNS["label"]) and plain(name) not in _LABELS
    relevant_by_name = all(stem(column) in ("positive", "positives") for column in columns.get("positive", ("",)))
    mixed = numbers.low < 1 <= numbers.high if relevant_by_name else bool(columns) and numbers.high > _GRADES
    if numbers.are_whole and not (mixed and (is_score or not relevant_by_name)):
        _set(staging, source, f"floor(greatest(least({_VALUE}, {_MOST}), -{_MOST}))::INT")
        line = "labels are graded relevance: 1 and above is relevant, below 1 is not"
        if not columns or numbers.values == 1 or numbers.low < 1:
            return line
        return (
            f"{line}: every row is, from {numbers.low:g} to {numbers.high:g}; scores={numbers.high:g} "
            f"(--scores {numbers.high:g}) would take those from {numbers.high:g} on alone"
        )
    if numbers.values == 2 and columns and not is_score and name != THIRD:
        _set(staging, source, f"({_VALUE} = ?)::INT", [numbers.high])
        return f"label {numbers.high:g} is relevant, {numbers.low:g} is not"
    raise _ambiguous(staging, source, columns, numbers)


def _ambiguous(staging: Staging, source: int, columns: _Columns, numbers: _Numbers) -> DataError:
    """Numbers that can be several things: each reading that works is offered."""
    name = next(iter(columns.get("label", ())), "label")
    where = "role = 'labelled' AND source = ?"
    odd = f"({numbers.are_whole} OR {_VALUE} <> floor({_VALUE}))"
    place = int(staging.one(f"SELECT min(place) FROM stated WHERE {where} AND {odd}", [source]))
    has_lists = staging.one(f"SELECT 1 FROM stated WHERE {where} GROUP BY place HAVING count(*) > 1 LIMIT 1", [source])
    threshold = f"{numbers.middle:.3g}"
    ways = [f"by a threshold, such as scores={threshold} (--scores {threshold}): relevant from there on, else not"]
    teacher = 'as a teacher\'s scores, with scores="teacher" (--scores teacher): '
    if _has_rivals(staging, source):
        ways.append(f"{teacher}the best scored document of each query is its positive, the others its scored negatives")
    else:
        ways[0] += '; on={"no-positive": "drop"} (--on no-positive=drop) leaves out queries without a relevant document'
        ways.append(f"{teacher}but no query has several documents, so nothing would be learned from them")
    if not has_lists and name == THIRD:
        ways.append("not at all, if every row is relevant: leave the third items out")
    elif not has_lists:
        ways.append('not at all, if every row is relevant: columns={"label": None} (--columns label=)')
    return staging.error(
        source,
        place,
        f"{'' if name == THIRD else 'column '}{name} holds numbers from {numbers.low:g} to {numbers.high:g} "
        f"({numbers.rows:,} values), and what they mean is not certain. They can be read {'; or '.join(ways)}.",
    )


def _has_rivals(staging: Staging, source: int) -> bool:
    """Whether some query has several scored documents."""
    return bool(
        staging.one(
            "SELECT 1 FROM stated WHERE role = 'labelled' AND source = ? GROUP BY query_id "
            "HAVING count(DISTINCT document_id) > 1 LIMIT 1",
            [source],
        )
    )


def _by_scores(staging: Staging, source: int, columns: _Columns, numbers: _Numbers, scores: str | float) -> str:
    """Read numbers as the user has explained them."""
    name = next(iter(columns.get("label", ())), "label")
    if scores != TEACHER:
        _set(staging, source, f"({_VALUE} >= ?)::INT", [scores])
        count = staging.one(
            "SELECT count(*) FROM stated WHERE relevance > 0 AND role = 'labelled' AND source = ?", [source]
        )
        return (
            f"{name}: {count:,} of {numbers.rows:,} rows are relevant, from {scores:g} on; the others are not "
            "relevant, so negatives"
        )
    # Of equal scores the highest id is the positive, whatever the order of the rows.
    staging.run(
        f"""UPDATE stated SET score = {_VALUE}, relevance = (best.document_id = stated.document_id)::INT
        FROM (
          SELECT query_id, arg_max(document_id, ({_VALUE}, document_id)) AS document_id FROM stated
          WHERE role = 'labelled' AND source = $1 AND fate IS NULL GROUP BY query_id
        ) best WHERE best.query_id = stated.query_id AND role = 'labelled' AND source = $1""",
        [source],
    )
    line = (
        f"{name}: a teacher's scores; the best scored document of each query is its positive, the others its negatives"
    )
    unused = "; no query has several documents, so nothing is learned from the scores"
    return line + ("" if _has_rivals(staging, source) else unused)
