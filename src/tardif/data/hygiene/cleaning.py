"""The rules applied to a staged collection: nothing is repaired silently.

``refuse`` stops at the first row that a rule concerns. Every other action writes each of these rows into the report.
Each judgement's fate is kept, so the rows that came in are the rows used plus the rows reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tardif.data.chunking import placing
from tardif.data.excluded_negatives import with_answer
from tardif.data.hygiene import clicks, id_texts, ids, joining, labels, moves
from tardif.data.hygiene.rules import CONTAINED_NEGATIVE, CONTAINED_POSITIVE, LONG_CHARACTERS, NOT_FOUND, RULES
from tardif.data.reading import LabelledReading
from tardif.data.staging import Staging
from tardif.text.normal import text_id
from tardif.types import Document

_WITHOUT_POSITIVE = """SELECT row FROM stated WHERE fate IS NULL AND query_id NOT IN (
  SELECT query_id FROM stated WHERE relevance > 0 {}
)"""
_CONTRADICTED = """SELECT row FROM stated WHERE fate IS NULL AND (query_id, document_id) IN (
  SELECT query_id, document_id FROM stated WHERE fate IS NULL
  GROUP BY query_id, document_id HAVING max(relevance) > 0 AND min(relevance) <= 0
)"""
_REPEATED = """SELECT row FROM (
  SELECT row, row_number() OVER (
    PARTITION BY query_id, document_id ORDER BY relevance DESC, score DESC NULLS LAST, source, place, row
  ) AS nth FROM stated WHERE fate IS NULL
) WHERE nth > 1"""
_ASKS_ITSELF = """SELECT s.row FROM stated s
  JOIN texts t ON t.id = s.document_id
  JOIN (SELECT DISTINCT id, key FROM queries) q ON q.id = s.query_id
  WHERE s.fate IS NULL AND s.relevance > 0 AND q.key = t.key"""
_POSITIVE_AS_NEGATIVE = """SELECT n.row FROM stated n JOIN texts nt ON nt.id = n.document_id
  WHERE n.fate IS NULL AND n.relevance <= 0 AND ((n.query_id, nt.key) IN (
    SELECT (p.query_id, pt.key) FROM stated p JOIN texts pt ON pt.id = p.document_id
    WHERE p.fate IS NULL AND p.relevance > 0
  ) OR (n.query_id, n.document_id) IN (
    SELECT (p.query_id, a.document_id) FROM stated p JOIN also a USING (row)
    WHERE p.fate IS NULL AND p.relevance > 0
  ))"""
# Rules that only report: what they concern stays in use.
_REPORTED = {
    "duplicate-document": "SELECT id, source, place FROM texts WHERE key IN "
    "(SELECT key FROM texts GROUP BY key HAVING count(*) > 1)",
    "duplicate-query": """SELECT id, min(source) AS source, min(place) AS place FROM queries WHERE key IN (
      SELECT key FROM asked GROUP BY key HAVING count(*) > 1
    ) GROUP BY id""",
    "long": f"SELECT id, source, place FROM texts WHERE length(title) + length(text) > {LONG_CHARACTERS}",
}


@dataclass
class Cleaning:
    """The rules, applied one after the other, and what they found. Each rule sees the rows that are still in use.

    Attributes:
        staging: the collection.
        actions: the action of every rule.
        counts: the number of rows by rule.
        done: the action taken by rule.
        examples: a row by rule, for the rules that give one.
        labels: how labels were read.
        has_clicks: clicks were counted.
        lines: further lines for a reader.
    """

    staging: Staging
    actions: Mapping[str, str]
    counts: dict[str, int] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    labels: str = ""
    has_clicks: bool = False
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.staging.marked:
            self._count("markup", self.staging.marked, self.staging.markup)
            self.examples["markup"] = self.staging.example

    def by_rule(self) -> list[str]:
        """One line for each rule that found something."""
        lines = []
        for rule, count in self.counts.items():
            example = f", such as {self.examples[rule]}" if rule in self.examples else ""
            way_out = ": --on markup=clean takes it out" if (rule, self.done[rule]) == ("markup", "keep") else ""
            lines.append(f"{rule}: {count} ({RULES[rule].what}{example}; {self.done[rule]}{way_out})")
        return lines

    def _count(self, rule: str, count: int, action: str) -> None:
        self.counts[rule] = self.counts.get(rule, 0) + count
        self.done[rule] = action

    def apply(self, rule: str, concerned: str, action: str = "") -> None:
        """Report the judgements that a rule concerns and, unless it keeps them, take them out of use.

        Args:
            rule: its name.
            concerned: SQL for the rows of ``stated``.
            action: what to do; by default the action of the rule.
        """
        staging, action = self.staging, action or self.actions[rule]
        # As a table, because the rule's statement would give other rows once their fate is set.
        count = int(staging.one(f"CREATE OR REPLACE TEMP TABLE concerned AS {concerned}"))
        if not count:
            return
        self._count(rule, count, action)
        if action == "refuse":
            source, place, query = staging.all(
                "SELECT s.source, s.place, q.text FROM stated s JOIN concerned USING (row) "
                "JOIN queries q ON q.id = s.query_id ORDER BY s.source, s.place LIMIT 1"
            )[0]
            what = f"the query {query[:60]!r} has no positive" if rule == "no-positive" else RULES[rule].what
            others = ", ".join(f"{rule}={other}" for other in RULES[rule].actions if other != "refuse")
            raise staging.error(
                source, place, f"{what} ({count} in all): mend it, or choose {others} (--on, in Python on={{...}})."
            )
        staging.run(
            """INSERT INTO report SELECT ?, ?, s.source, s.place, s.row, s.query_id, s.document_id, NULL
            FROM stated s JOIN concerned USING (row)""",
            [rule, action],
        )
        if action != "keep":
            staging.run("UPDATE stated SET fate = ? WHERE row IN (SELECT row FROM concerned)", [rule])

    def resolve_judgements(self) -> None:
        """Leave the table ``stated``: the judgements with the documents and pieces that they mean."""
        self.staging.run(
            """CREATE TABLE stated AS
            SELECT j.row, j.source, j.place, j.query_id, coalesce(same.id, j.document_id) AS document_id,
              j.document_id AS given, NULL::VARCHAR AS excerpt, j.role, j.label, j.score, j.family, j.clicks, j.shown,
              CASE role WHEN 'positive' THEN 1 WHEN 'negative' THEN 0 END::INT AS relevance, NULL::VARCHAR AS fate
            FROM judgements j LEFT JOIN same ON j.document_id = same.given"""
        )
        self.apply("id-as-text", "SELECT DISTINCT row FROM id_texts")
        for kind in (ids.DOCUMENTS, ids.QUERIES):
            if self.actions["unknown-id"] != "refuse":
                self.apply("unknown-id", ids.unknown(kind))
            elif self.staging.one(f"SELECT 1 FROM ({ids.unknown(kind)}) LIMIT 1"):
                raise ids.unknown_error(self.staging, kind)
        _move_to_pieces(self.staging)

    def count_clicks(self, rule: clicks.ClickRule) -> None:
        """Let all clicks of a pair together decide whether it is relevant."""
        # Before labels are read: words such as "click" become events here.
        few = self.actions["few-clicks"]
        lines = clicks.count(self.staging, rule, negatives=few == "negative")
        if lines:
            self.has_clicks = True
            self.lines += lines
            self.apply("repeated-click", clicks.REPEATED)
            # With "negative", pairs with few clicks that became no negatives are dropped.
            self.apply("few-clicks", clicks.FEW, "drop" if few == "negative" else few)

    def drop_empty(self) -> None:
        """Drop judgements of no text, and the document that is only a row's empty cell.

        This comes before texts are looked for in documents: what has no text is not missing there. A document with an
        id of its own stays although it is empty: published collections have some.
        """
        empty = text_id("", "")
        self.apply(
            "empty",
            f"""SELECT s.row FROM stated s
            WHERE s.fate IS NULL AND (s.query_id IN (SELECT id FROM queries WHERE key = '{empty}')
            OR s.document_id IN (SELECT id FROM texts WHERE key = '{empty}'))""",
        )
        self.staging.run(
            f"""DELETE FROM texts WHERE key = '{empty}'
            AND id NOT IN (SELECT id FROM documents WHERE key = '{empty}' AND (own_id OR corpus))"""
        )

    def join(self) -> None:
        """Turn judgements of texts that documents contain into judgements of those documents."""
        staging, actions = self.staging, self.actions
        found = joining.find(staging, near=actions[CONTAINED_POSITIVE] != "exact")
        if found is None:
            staging.run("CREATE TABLE also (row BIGINT, document_id VARCHAR)")
            return
        self.lines += found.lines
        outcome = moves.settle(staging, found)
        moved = [rule for rule in (CONTAINED_POSITIVE, CONTAINED_NEGATIVE) if actions[rule] in ("link", "exact")]
        for rule in (CONTAINED_POSITIVE, CONTAINED_NEGATIVE):
            if rule not in moved:  # "keep" reports them as they are, "refuse" stops
                staging.table("kept", "row BIGINT", [[move.row] for move in outcome.moves if move.rule == rule])
                self.apply(rule, "SELECT row FROM kept")
        moves.write(staging, outcome, moved)
        for rule in moved:
            details = [(move.row, move.detail) for move in outcome.moves if move.rule == rule]
            staging.table("details", "row BIGINT, detail VARCHAR", details)
            staging.run(
                """INSERT INTO report SELECT ?, ?, s.source, s.place, s.row, s.query_id, s.document_id, d.detail
                FROM stated s JOIN details d USING (row)""",
                [rule, actions[rule]],
            )
            if details:
                self._count(rule, len(details), actions[rule])
        self.lines += moves.report(staging, found, moved)
        if CONTAINED_POSITIVE in moved:
            self.apply(
                NOT_FOUND,
                """SELECT s.row FROM stated s JOIN judged_texts t ON t.id = s.given
                WHERE s.fate IS NULL AND s.relevance > 0 AND s.document_id = s.given""",
            )
        if actions[NOT_FOUND] == "drop":
            staging.run(
                f"""DELETE FROM texts WHERE id IN (SELECT given FROM stated WHERE fate = '{NOT_FOUND}')
                AND id NOT IN (SELECT document_id FROM stated WHERE fate IS NULL)"""
            )

    def mark(self) -> None:
        """Decide the fate of each judgement: NULL for used, or the rule that took it out of use."""
        # First, while the rows still have the positives that the data gave them.
        self.apply("no-positive", _WITHOUT_POSITIVE.format(""))
        # Most sets are pairs, without a negative that could contradict anything.
        has_negatives = self.staging.one("SELECT 1 FROM stated WHERE fate IS NULL AND relevance <= 0 LIMIT 1")
        if has_negatives:
            which = "" if self.actions["contradiction"] == "drop" else " AND relevance <= 0"
            self.apply("contradiction", f"{_CONTRADICTED}{which}")
        self.apply("duplicate", _REPEATED)
        self.apply("query-is-document", _ASKS_ITSELF)
        if has_negatives:
            self.apply("positive-as-negative", _POSITIVE_AS_NEGATIVE)
            self.apply("negative-with-answer", with_answer(self.staging))
        # The data gave these queries positives, and other rules dropped them: the query goes too, and nothing stops.
        if self.actions["no-positive"] != "keep":
            self.apply("no-positive", _WITHOUT_POSITIVE.format("AND fate IS NULL"), "drop")

    def finish(self) -> None:
        """Leave ``judged`` and ``asked``, and report what is odd about the texts that are used."""
        self.staging.run(
            """CREATE TABLE judged AS
            SELECT query_id, document_id, relevance, score, row, CASE WHEN relevance > 0 THEN excerpt END AS excerpt
            FROM stated WHERE fate IS NULL"""
        )
        if self.staging.one("SELECT 1 FROM also LIMIT 1"):
            # Other documents that answer are judged too, but make no example: they have no row.
            self.staging.run(
                """INSERT INTO judged
                SELECT s.query_id, a.document_id, max(s.relevance), NULL, NULL, NULL
                FROM also a JOIN stated s USING (row)
                WHERE (s.fate IS NULL OR s.fate = 'duplicate') AND s.relevance > 0
                  AND (s.query_id, a.document_id) NOT IN (SELECT (query_id, document_id) FROM judged)
                  AND s.query_id IN (SELECT query_id FROM judged)
                GROUP BY ALL"""
            )
        self.staging.run(
            """CREATE TABLE asked AS
            SELECT q.id, q.text, q.key FROM queries q JOIN (
              SELECT min(rowid) AS row FROM queries WHERE id IN (SELECT query_id FROM judged) GROUP BY id
            ) one ON q.rowid = one.row"""
        )
        for rule, concerned in _REPORTED.items():
            self._report(rule, f"SELECT *, NULL AS detail FROM ({concerned})")

    def keep_other_pieces(self) -> None:
        """Make pieces unclear that may answer too.

        Nobody knows which pieces of a document answer that was judged as a whole. Pieces that the judgement did not go
        to become unclear. Pieces of a document that makes up most of the corpus do not: no negatives would be left.
        """
        if not self.staging.cut:
            return
        self.staging.run(
            """CREATE TEMP TABLE other_pieces AS
            WITH sizes AS (
              SELECT piece_of, 2 * count(*) > (SELECT count(*) FROM texts) AS most
              FROM documents WHERE piece_of IS NOT NULL GROUP BY piece_of
            ), whole AS (
              SELECT DISTINCT a.id AS query_id, s.given, z.most FROM stated s
              JOIN sizes z ON z.piece_of = s.given
              JOIN asked own ON own.id = s.query_id JOIN asked a ON a.key = own.key
              WHERE s.relevance > 0 AND (s.fate IS NULL OR s.fate = 'duplicate')
            )
            SELECT DISTINCT w.query_id, w.given, w.most, d.id AS document_id FROM whole w
            JOIN documents d ON d.piece_of = w.given
            WHERE (w.query_id, d.id) NOT IN (SELECT (query_id, document_id) FROM judged)"""
        )
        kept, left = self.staging.all(
            "SELECT count(DISTINCT given) FILTER (NOT most), count(DISTINCT given) FILTER (most) FROM other_pieces"
        )[0]
        self.staging.run(
            """INSERT INTO unclear SELECT DISTINCT query_id, document_id FROM other_pieces WHERE NOT most
            AND (query_id, document_id) NOT IN (SELECT (query_id, document_id) FROM unclear)"""
        )
        if kept:
            self.lines.append(
                f"{kept:,} documents that are judged as a whole were cut: the piece that shares most of the query's "
                "words is relevant, and no other piece of the document is mined as a negative"
            )
        if left:
            self.lines.append(
                f"{left:,} documents that are judged as a whole were cut and make up over half of the corpus: of their "
                "pieces all but the one that shares most of the query's words may be mined as negatives"
            )

    def note_documents(self, rule: str, found: Sequence[tuple[str, str]]) -> None:
        """Report documents that a rule concerns, each with a detail.

        Raises:
            DataError: the rule's action is ``refuse``.
        """
        self.staging.table("named", "id VARCHAR, detail VARCHAR", found)
        self._report(rule, "SELECT t.id, t.source, t.place, n.detail FROM named n JOIN texts t USING (id)")

    def _report(self, rule: str, concerned: str) -> None:
        """Report documents or queries (SQL: id, source, place, detail) that stay in use; raise if the rule refuses."""
        staging = self.staging
        count = int(staging.one(f"CREATE OR REPLACE TEMP TABLE reported AS {concerned}"))
        if not count:
            return
        self._count(rule, count, "keep")
        kind = "query" if rule == "duplicate-query" else "document"
        if self.actions[rule] == "refuse":
            found = staging.all("SELECT * FROM reported ORDER BY source, place, id LIMIT 1")
            identity, source, place, detail = found[0]
            why = f"{detail}; " if detail else ""
            what = f"the {kind} {identity!r:.200}: {RULES[rule].what} ({why}{count} in all)"
            raise staging.error(source, place, f"{what}: mend it, or choose {rule}=keep (--on, in Python on={{...}}).")
        staging.run(
            f"INSERT INTO report (rule, action, source, place, {kind}_id, detail) "
            "SELECT ?, 'keep', source, place, id, detail FROM reported",
            [rule],
        )


def clean(staging: Staging, actions: Mapping[str, str], how: LabelledReading | None = None) -> Cleaning:
    """Resolve ids and labels and apply the rules.

    Leaves these tables::

        texts    id, title, text, metadata, key     one row per document
        asked    id, text, key                      one row per judged query that is used
        judged   query_id, document_id, relevance, score, row, excerpt
                 one row per pair that is used. row is NULL where a document is relevant because it contains what was
                 judged; excerpt is the text that is trained on in the document's place
        unclear  query_id, document_id              pairs that are neither relevant nor irrelevant

    Args:
        staging: the collection.
        actions: the action of every rule (:func:`tardif.data.hygiene.rules.choose`).
        how: how labels, scores and clicks are read.

    Raises:
        DataError: a rule refuses, an id has two texts, or a label has no meaning, or several.
        SettingError: an option fits no row.
    """
    cleaning, how = Cleaning(staging, actions), how or LabelledReading()
    # The order matters: ids come before texts, texts before labels, and labels before the rules that compare them.
    cleaning.lines += id_texts.settle(staging)
    cleaning.lines += ids.join(staging, actions["id-as-text"])
    _resolve_documents(staging)
    cleaning.resolve_judgements()
    cleaning.count_clicks(clicks.ClickRule.of(how.clicks))
    cleaning.labels = "; ".join(labels.relevance(staging, how.positive_label, labels.check_scores(how.scores)))
    cleaning.drop_empty()
    cleaning.join()
    cleaning.mark()
    cleaning.finish()
    clicks.keep_unclear(staging, counted=cleaning.has_clicks)
    cleaning.keep_other_pieces()
    return cleaning


def _resolve_documents(staging: Staging) -> None:
    """Leave one row per document. A text without an id that is the text of a document becomes that document."""
    staging.run(
        """CREATE TABLE same AS
        SELECT given.id AS given, min(own.id) AS id
        FROM (SELECT DISTINCT id FROM documents WHERE NOT own_id) AS given
        JOIN (
          SELECT content_id AS text, id FROM documents WHERE own_id
          UNION SELECT body_id, id FROM documents WHERE own_id
        ) AS own ON given.id = own.text
        GROUP BY given.id"""
    )
    # All rows of one id have the same title and text, so any gives these: grouped texts would have to fit into memory.
    # Of their metadata the least is taken, in any order of the rows; '{}' is the greatest, so it never hides what
    # another row has.
    staging.run(
        """CREATE TABLE texts AS
        SELECT d.id, d.title, d.text, coalesce(m.metadata, d.metadata) AS metadata, d.key, one.source, one.place
        FROM documents d
        JOIN (
          SELECT min(rowid) AS row, min(source) AS source, min(place) AS place FROM documents
          WHERE id NOT IN (SELECT id FROM documents WHERE parent) AND id NOT IN (SELECT given FROM same) GROUP BY id
        ) one ON d.rowid = one.row
        LEFT JOIN (
          SELECT id, min(metadata) AS metadata FROM documents
          WHERE id IN (SELECT id FROM documents GROUP BY id HAVING count(*) > 1) GROUP BY id
        ) m ON m.id = d.id"""
    )


def _move_to_pieces(staging: Staging) -> None:
    """Move judgements of a document that was cut to the piece that fits the query best.

    All documents and queries are known: the judgements of others are out of use.
    """
    if not staging.cut:
        return
    # The same judgements decide on both sides, so that every group of rows has its group of pieces.
    staging.run(
        """CREATE TEMP TABLE of_whole AS
        SELECT s.row, s.document_id, q.text AS query FROM stated s
        JOIN (SELECT DISTINCT id FROM documents WHERE parent) d ON d.id = s.document_id
        JOIN (SELECT id, min(rowid) AS row FROM queries GROUP BY id) one ON one.id = s.query_id
        JOIN queries q ON q.rowid = one.row
        WHERE s.fate IS NULL"""
    )
    judged = staging.all("SELECT * FROM of_whole ORDER BY document_id, row")
    if not judged:
        return
    # All pieces in one pass: one search of the table per document would take quadratic time.
    pieces = staging.stream(
        """SELECT piece_of, id, text, title FROM documents
        WHERE piece_of IN (SELECT document_id FROM of_whole) ORDER BY piece_of, length(id), id"""
    )
    moved: list[tuple[int, str]] = []
    for (_, rows), (_, parts) in zip(
        itertools.groupby(judged, key=lambda row: row[1]),
        itertools.groupby(pieces, key=lambda row: row[0]),
        strict=True,
    ):
        place = placing([Document(*part[1:]) for part in parts])
        moved += [(row, place(query)) for row, _, query in rows]
    staging.table("moved", "row BIGINT, piece VARCHAR", moved)
    staging.run("UPDATE stated SET document_id = moved.piece FROM moved WHERE stated.row = moved.row")
