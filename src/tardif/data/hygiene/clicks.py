"""The relevance of clicked documents: all events of a pair are counted, and one rule decides.

One click proves little: people click what comes first, and by mistake. So a pair is relevant from a number of clicks
and, where the times it was shown are known, from a share of them. A missing click proves nothing either: the document
may have been too low to be seen, or its title answered the question. It makes a negative only on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tardif.checks import shown
from tardif.data.formats.column_names import CLICKS, POSITIVE
from tardif.data.staging import Staging
from tardif.errors import DataError, SettingError
from tardif.text.normal import normalise

# Without a rule: two clicks, since one is often a mistake, in a tenth of the times shown.
LEAST, SHARE = 2, 0.1

# SQL for the rows of events that are counted into the first row of their pair.
REPEATED = """SELECT row FROM stated WHERE clicks IS NOT NULL AND fate IS NULL
  AND row NOT IN (SELECT first FROM clicked)"""

# SQL for the pairs with too few clicks.
FEW = "SELECT first AS row FROM clicked WHERE NOT relevant AND NOT negative"


@dataclass(frozen=True, slots=True)
class ClickRule:
    """When a clicked document is relevant.

    Attributes:
        least: the fewest clicks.
        share: the smallest share of the times it was shown, where that is known.
        asked: the user chose the rule.

    >>> print(ClickRule.of("2,30%"))
    2 clicks and 0.3 of the times shown, where that is known
    """

    least: int = LEAST
    share: float = SHARE
    asked: bool = False

    @classmethod
    def of(cls, value: Any) -> ClickRule:
        """Read a rule: a number of clicks (2), a share (0.3 or "30%"), or both ("2,30%"); None for the default.

        Raises:
            SettingError: it is anything else.
        """
        if value is None:
            return cls()
        parts = value.split(",") if isinstance(value, str) else [value]
        parts = list(value) if isinstance(value, list | tuple) else parts
        read = [_part(part) for part in parts]
        counts = [int(number) for number in read if number is not None and number >= 1]
        shares = [number for number in read if number is not None and number < 1]
        if None in read or not 1 <= len(read) <= 2 or len(counts) > 1 or len(shares) > 1:
            raise SettingError(
                f"clicks={shown(value)}: give the clicks from which a document is relevant, such as 2, a share of the "
                'times it was shown, such as "30%", or both: "2,30%" (--clicks 2,30%).'
            )
        return cls(counts[0] if counts else 1, shares[0] if shares else 0.0, asked=True)

    def __str__(self) -> str:
        clicks = "1 click" if self.least == 1 else f"{self.least} clicks"
        return f"{clicks} and {self.share:.4g} of the times shown, where that is known" if self.share else clicks


def _part(part: Any) -> float | None:
    """A number of 1 or more for clicks, below 1 for a share; None for anything else."""
    is_share = isinstance(part, str) and part.strip().endswith("%")
    try:
        number = float(part.strip().removesuffix("%")) if isinstance(part, str) else float(part)
    except (TypeError, ValueError):
        return None
    if is_share:
        return number / 100 if 0 < number < 100 else None
    is_rule = not isinstance(part, bool) and (0 < number < 1 or (number >= 1 and number.is_integer()))
    return number if is_rule else None


def count(staging: Staging, rule: ClickRule, *, negatives: bool) -> list[str]:
    """Count the clicks of each pair and give the relevance to its first row.

    The temporary table ``clicked`` holds the pairs: key, document_id, clicks, events, shown, first, relevant, negative.

    Args:
        staging: a collection with resolved ids.
        rule: when a pair is relevant.
        negatives: make documents that were never clicked negatives of queries that have a relevant one.

    Returns:
        What was done, for a reader; empty where there are no clicks.

    Raises:
        DataError: no pair is relevant.
        SettingError: the user chose a rule, and there are no clicks.
    """
    _words_are_events(staging)
    _rows_are_events(staging, rule)
    if not staging.one("SELECT 1 FROM stated WHERE clicks IS NOT NULL AND fate IS NULL LIMIT 1"):
        return []
    _pairs(staging, rule, negatives=negatives)
    rows, pairs, relevant, seldom, never, against, most = staging.all(
        """SELECT sum(events)::BIGINT, count(*), count(*) FILTER (relevant),
          count(*) FILTER (NOT relevant AND clicks > 0), count(*) FILTER (clicks = 0),
          count(*) FILTER (negative), max(clicks)
        FROM clicked"""
    )[0]
    line = f"clicks: {rows:,} rows on {pairs:,} pairs; a pair is relevant from {rule} (--clicks)"
    if not relevant:
        raise DataError(
            f"{line}: no pair is; the most clicks of one are {most:,.0f}. Choose another rule, such as clicks=1 "
            "(--clicks 1: every click counts)."
        )
    staging.run("UPDATE stated SET relevance = c.relevant::INT FROM clicked c WHERE stated.row = c.first")
    line += f": {relevant:,} are; {seldom:,} with fewer clicks are not used"
    if not negatives:
        return [f"{line}, nor are {never:,} never clicked (--on few-clicks=negative makes negatives of them)"]
    return [
        f"{line}; of {never:,} never clicked {against:,} are negatives, and {never - against:,}, of queries without a "
        "relevant document, are not used"
    ]


def keep_unclear(staging: Staging, *, counted: bool) -> None:
    """Leave the table ``unclear`` (query_id, document_id): pairs of used queries with too few clicks.

    They are no positives, and mining must not take them as negatives. ``counted``: there are clicks, in ``clicked``.
    """
    staging.run("CREATE TABLE unclear (query_id VARCHAR, document_id VARCHAR)")
    if counted:
        staging.run(
            """INSERT INTO unclear SELECT DISTINCT a.id, c.document_id FROM clicked c JOIN asked a USING (key)
            WHERE c.clicks > 0 AND NOT c.relevant AND (a.id, c.document_id) NOT IN (
              SELECT (query_id, document_id) FROM judged)"""
        )


def _words_are_events(staging: Staging) -> None:
    """Turn labels such as ``click`` and ``skip`` into events."""
    for (source,) in staging.all("SELECT DISTINCT source FROM stated WHERE role = 'labelled' ORDER BY source"):
        rows = f"role = 'labelled' AND source = {source}"
        found = staging.all(f"SELECT DISTINCT label FROM stated WHERE {rows} LIMIT 100")
        words = {label: normalise(label) for (label,) in found}
        if CLICKS.issuperset(words.values()):
            clicked = [label for label, word in words.items() if word in POSITIVE]
            events = "role = 'clicked', clicks = list_contains(?, label)::INT"
            staging.run(f"UPDATE stated SET {events} WHERE {rows}", [clicked])


def _rows_are_events(staging: Staging, rule: ClickRule) -> None:
    """Read every row as a click where only the rule says that there are clicks.

    A row with 0 or 1 click was shown once.
    """
    if staging.one("SELECT 1 FROM stated WHERE clicks IS NOT NULL LIMIT 1"):
        staging.run(
            """UPDATE stated SET shown = 1 WHERE clicks IS NOT NULL AND source IN (
              SELECT source FROM stated WHERE clicks IS NOT NULL GROUP BY source
              HAVING count(shown) = 0 AND max(clicks) <= 1)"""
        )
        return
    if not rule.asked:
        return
    plain = "role = 'positive' AND score IS NULL"
    if not staging.one(f"SELECT 1 FROM stated WHERE {plain} LIMIT 1"):
        raise SettingError(
            'clicks (--clicks): no row has clicks; name their column with columns={"clicks": ...} '
            "(--columns clicks=...), or leave the rule out."
        )
    staging.run(f"UPDATE stated SET role = 'clicked', clicks = 1, relevance = NULL WHERE {plain}")


def _pairs(staging: Staging, rule: ClickRule, *, negatives: bool) -> None:
    """Count by document and by the query's normalised text: one question is typed in many ways and has many ids."""
    # The times shown count only if all events of the pair have them. Without them the share asks nothing.
    staging.run(
        f"""CREATE TEMP TABLE clicked AS
        WITH asked AS (SELECT id, min(key) AS key FROM queries GROUP BY id),
        pairs AS (
          SELECT a.key, s.document_id, sum(s.clicks) AS clicks, count(*) AS events,
            CASE WHEN count(s.shown) = count(*) THEN sum(s.shown) END AS shown,
            arg_min(s.row, (s.query_id, s.source, s.place, s.row)) AS first
          FROM stated s JOIN asked a ON a.id = s.query_id
          WHERE s.clicks IS NOT NULL AND s.fate IS NULL GROUP BY a.key, s.document_id
        ), marked AS (
          SELECT *, clicks >= {rule.least} AND clicks >= {rule.share!r} * coalesce(shown, 0) AS relevant FROM pairs
        )
        SELECT *, {negatives} AND clicks = 0 AND bool_or(relevant) OVER (PARTITION BY key) AS negative FROM marked"""
    )
