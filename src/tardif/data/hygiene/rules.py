"""What is wrong with a collection, found, counted and said: nothing is repaired silently.

Every rule has an action that can be chosen. ``refuse`` stops with the first row it concerns; all
others write each row they concern into the report. What each judgement came to is kept, so that
the rows that came in are the rows used plus the rows reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tardif.data.chunking import placing
from tardif.data.hygiene import clicks as clicked
from tardif.data.hygiene import ids, joining, labels, moves
from tardif.data.hygiene.clicks import ClickRule
from tardif.data.hygiene.wrong_negatives import with_answer
from tardif.data.staging import Staging
from tardif.errors import SettingError
from tardif.text.normal import text_id
from tardif.types import Document

LONG_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong: what it is, what can be done, and what is done unless asked."""

    name: str
    what: str
    actions: tuple[str, ...]

    @property
    def default(self) -> str:
        """The action that is taken unless another is asked for."""
        return self.actions[0]


RULES = {
    rule.name: rule
    for rule in (
        Rule("id-as-text", "a text that is an id, or looks like one", ("refuse", "join", "keep", "drop")),
        Rule("unknown-id", "an id that no document or query has", ("refuse", "drop")),
        Rule("repeated-click", "a further event of a pair, counted with the others", ("drop", "refuse")),
        Rule("few-clicks", "a pair with fewer clicks than make it relevant", ("drop", "negative", "refuse")),
        Rule(moves.POSITIVE, "a positive that stands in a document given", ("link", "exact", "keep", "refuse")),
        Rule(moves.NEGATIVE, "a negative that stands in a document given", ("link", "keep", "refuse")),
        Rule(moves.MISSING, "a positive that stands in no document given", ("keep", "drop", "refuse")),
        Rule("empty", "a query or document without text", ("refuse", "drop")),
        Rule("no-positive", "a judged query without a relevant document", ("refuse", "drop")),
        Rule("duplicate", "a judgement that stands there already", ("drop", "refuse")),
        Rule("contradiction", "a pair judged both relevant and not", ("relevant", "drop", "refuse")),
        Rule(
            "positive-as-negative",
            "a negative with the text of one of its query's positives",
            ("drop", "keep", "refuse"),
        ),
        Rule(
            "negative-with-answer",
            "a negative that contains one of its query's positives word for word, is part of one, or is the query",
            ("drop", "keep", "refuse"),
        ),
        Rule("query-is-document", "a query with the same text as its positive", ("drop", "keep", "refuse")),
        Rule("duplicate-document", "documents with the same text under several ids", ("keep", "refuse")),
        Rule(
            "duplicate-query",
            "queries that are the same but for case and spacing, kept on one side",
            ("keep", "refuse"),
        ),
        Rule("near-duplicate", "documents with nearly the same text", ("keep", "refuse")),
        Rule(
            "long",
            f"over {LONG_CHARACTERS:,} characters, of which only the beginning is read",
            ("keep", "refuse"),
        ),
        Rule("markup", "a text with HTML tags, entities or the like", ("keep", "clean", "refuse")),
        Rule("language", "a text that seems to be in another language than declared", ("keep", "refuse")),
    )
}


@dataclass
class Findings:
    """What the rules found: rows by rule, what was done, examples, what labels mean, and lines on the rest."""

    counts: dict[str, int] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    labels: str = ""
    lines: list[str] = field(default_factory=list)

    def example_of(self, rule: str) -> str:
        """The rows' example, to follow what the rule says; empty where there is none."""
        return f", such as {self.examples[rule]}" if rule in self.examples else ""


def way_out(rule: str, done: str) -> str:
    """What else can be done, to follow what was; for the rule whose default is worth a second thought."""
    return ": --on markup=clean takes it out" if (rule, done) == ("markup", "keep") else ""


def choose(asked: Mapping[str, str], known: Mapping[str, Rule] | None = None, what: str = "there") -> dict[str, str]:
    """The action for every rule: what is asked, else the default.

    Args:
        asked: rule to action.
        known: the rules that there are; by default :data:`RULES`.
        what: begins the words that list them.

    Raises:
        SettingError: a rule or action is not known.
    """
    known = RULES if known is None else known
    for name, action in asked.items():
        if name not in known:
            raise SettingError(f"The rule {name!r} is not known; {what} are: {', '.join(known)}.")
        if action not in known[name].actions:
            several = " (give --on once for each rule)" if "," in action else ""
            raise SettingError(f"The rule {name} cannot {action!r}: use {', '.join(known[name].actions)}{several}.")
    return {name: asked.get(name, rule.default) for name, rule in known.items()}


def clean(
    staging: Staging,
    actions: Mapping[str, str],
    *,
    positive_label: str | None = None,
    scores: str | float | None = None,
    clicks: ClickRule | None = None,
) -> Findings:
    """Resolve ids and labels and apply the rules; leaves the tables ``texts``, ``asked``, ``judged`` and ``unclear``.

        texts   id, title, text, metadata, key           one row per document
        asked   id, text, key                            one row per judged query that is used
        judged  query_id, document_id, relevance, score, row, excerpt
                one row per pair that is used; without a row where a document is relevant because it holds what was
                judged; excerpt: the text that is trained on in the document's place
        unclear  query_id, document_id                   pairs that are neither relevant nor not

    Args:
        staging: what was read.
        actions: by rule.
        positive_label: the label that means relevant.
        scores: how numbers beside pairs are read: ``teacher``, or the least that is relevant.
        clicks: from when on a clicked document is relevant.

    Raises:
        DataError: a rule refuses, an id stands for two texts, a label has no meaning, or several.
        SettingError: what is asked for fits no row.
    """
    findings = Findings()
    if staging.marked:
        findings.counts["markup"], findings.done["markup"] = staging.marked, staging.markup
        findings.examples["markup"] = staging.example
    ids.take_the_corpus(staging)
    _refuse_conflicts(staging)
    findings.lines += ids.join(staging, actions["id-as-text"])
    _resolve_documents(staging)
    _resolve_judgements(staging, actions, findings)
    _count_clicks(staging, actions, findings, clicks or ClickRule())
    findings.labels = "; ".join(labels.relevance(staging, positive_label, scores))
    _leave_out_empty(staging, actions, findings)
    _join(staging, actions, findings)
    _mark(staging, actions, findings)
    _finish(staging, actions, findings)
    clicked.keep_unclear(staging)
    _keep_other_pieces(staging, findings)
    return findings


def _refuse_conflicts(staging: Staging) -> None:
    """An id must stand for one text; a corpus must not state an id twice."""
    for table, text in (("documents", "title || chr(0) || text"), ("queries", "text")):
        for row in staging.all(
            f"SELECT id, max(source::HUGEINT * 1000000000000000 + place) AS last FROM {table} GROUP BY id "
            f"HAVING count(DISTINCT {text}) > 1 ORDER BY id LIMIT 1"
        ):
            source, place = divmod(int(row[1]), 10**15)
            kind = table.removesuffix("s").replace("querie", "query")
            raise staging.error(source, place, f"the {kind} id {row[0]!r} stands for two texts: ids must be unique.")
    for identity, source, place in staging.all(
        "SELECT id, max(source), max(place) FROM documents WHERE corpus GROUP BY id, source "
        "HAVING count(*) > 1 ORDER BY id LIMIT 1"
    ):
        raise staging.error(source, place, f"two documents have the id {identity!r}: ids must be unique.")


def _resolve_documents(staging: Staging) -> None:
    """One row per document; a text without an id that is a document's text becomes that document."""
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
    staging.run(
        """CREATE TABLE texts AS
        SELECT id, min(title) AS title, min(text) AS text, max(metadata) AS metadata, min(key) AS key,
          min(source) AS source, min(place) AS place
        FROM documents
        WHERE id NOT IN (SELECT id FROM documents WHERE parent) AND id NOT IN (SELECT given FROM same) GROUP BY id"""
    )


def _resolve_judgements(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    staging.run(
        """CREATE TABLE stated AS
        SELECT j.row, j.source, j.place, j.query_id, coalesce(same.id, j.document_id) AS document_id,
          j.document_id AS given, NULL::VARCHAR AS excerpt, j.role, j.label, j.score, j.family, j.clicks, j.shown,
          CASE role WHEN 'positive' THEN 1 WHEN 'negative' THEN 0 END::INT AS relevance, NULL::VARCHAR AS fate
        FROM judgements j LEFT JOIN same ON j.document_id = same.given"""
    )
    _apply(staging, actions, findings, "id-as-text", "SELECT DISTINCT row FROM id_texts")
    _move_to_pieces(staging)
    for kind in (ids.DOCUMENTS, ids.QUERIES):
        if actions["unknown-id"] == "refuse" and staging.one(f"SELECT 1 FROM ({ids.unknown(kind)}) LIMIT 1"):
            raise ids.unknown_error(staging, kind)
        _apply(staging, actions, findings, "unknown-id", ids.unknown(kind))


def _count_clicks(staging: Staging, actions: Mapping[str, str], findings: Findings, rule: ClickRule) -> None:
    """Let a pair's clicks together say whether it is relevant."""
    lines = clicked.count(staging, rule, negatives=actions["few-clicks"] == "negative")
    if not lines:
        return
    findings.lines += lines
    _apply(staging, actions, findings, "repeated-click", clicked.REPEATED)
    _apply(staging, {**actions, "few-clicks": _LEFT_OUT[actions["few-clicks"]]}, findings, "few-clicks", clicked.FEW)


_LEFT_OUT = {"drop": "drop", "negative": "drop", "refuse": "refuse"}
"""What is done with pairs of few clicks that are no negatives."""


def _move_to_pieces(staging: Staging) -> None:
    """A judgement of a document that was cut goes to the piece that fits the query best."""
    judged = staging.all(
        """SELECT s.row, s.document_id, min(q.text) FROM stated s
        JOIN (SELECT DISTINCT id FROM documents WHERE parent) d ON d.id = s.document_id
        JOIN queries q ON q.id = s.query_id
        GROUP BY s.row, s.document_id ORDER BY s.document_id, s.row"""
    )
    if not judged:
        return
    # All pieces in one pass: a search of the table for each document would take the square of their number.
    pieces = staging.stream(
        """SELECT piece_of, id, text, title FROM documents
        WHERE piece_of IN (SELECT document_id FROM stated) ORDER BY piece_of, length(id), id"""
    )
    moved: list[tuple[int, str]] = []
    for (_, rows), (_, parts) in zip(
        itertools.groupby(judged, key=lambda row: row[1]),
        itertools.groupby(pieces, key=lambda row: row[0]),
        strict=True,
    ):
        place = placing([Document(*part[1:]) for part in parts])
        moved += [(row, place(query)) for row, _, query in rows]
    if moved:
        staging.table("moved", "row BIGINT, piece VARCHAR", moved)
        staging.run("UPDATE stated SET document_id = moved.piece FROM moved WHERE stated.row = moved.row")


def _leave_out_empty(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    """Drop judgements of no text, and with them the document that is nothing but a row's empty cell.

    Before texts are looked for in documents: what is not there is not missed there. A document with an id of its own
    stays, though it is empty: published collections have some.
    """
    empty = text_id("", "")
    _apply(
        staging, actions, findings, "empty",
        f"""SELECT s.row FROM stated s
        WHERE s.fate IS NULL AND (s.query_id IN (SELECT id FROM queries WHERE key = '{empty}')
        OR s.document_id IN (SELECT id FROM texts WHERE key = '{empty}'))""",
    )  # fmt: skip
    staging.run(
        f"""DELETE FROM texts WHERE key = '{empty}'
        AND id NOT IN (SELECT id FROM documents WHERE key = '{empty}' AND (own_id OR corpus))"""
    )


def _keep_other_pieces(staging: Staging, findings: Findings) -> None:
    """Of a document that was judged as a whole, nobody knows which pieces answer: those that the judgement did not go
    to are unclear. Where one document makes up most of the corpus, they are not: there would be no negatives."""
    staging.run(
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
    kept, left = staging.all(
        "SELECT count(DISTINCT given) FILTER (NOT most), count(DISTINCT given) FILTER (most) FROM other_pieces"
    )[0]
    staging.run(
        """INSERT INTO unclear SELECT DISTINCT query_id, document_id FROM other_pieces WHERE NOT most
        AND (query_id, document_id) NOT IN (SELECT (query_id, document_id) FROM unclear)"""
    )
    if kept:
        findings.lines.append(
            f"{kept:,} documents that are judged as a whole were cut: the piece that shares most of the query's words "
            "is relevant, and no other piece of the document is mined as a negative"
        )
    if left:
        findings.lines.append(
            f"{left:,} documents that are judged as a whole were cut and make up over half of the corpus: of their "
            "pieces all but the one that shares most of the query's words may be mined as negatives"
        )


def _join(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    """Let judgements of texts that stand in documents be judgements of those documents."""
    found = joining.find(staging, near=actions[moves.POSITIVE] != "exact")
    if found is None:
        staging.run("CREATE TABLE also (row BIGINT, document_id VARCHAR)")
        return
    findings.lines += found.lines
    outcome = moves.settle(staging, found)
    moved = [rule for rule in (moves.POSITIVE, moves.NEGATIVE) if actions[rule] in ("link", "exact")]
    for rule in (moves.POSITIVE, moves.NEGATIVE):
        if rule not in moved:
            staging.table("kept", "row BIGINT", [[move.row] for move in outcome.moves if move.rule == rule])
            _apply(staging, actions, findings, rule, "SELECT row FROM kept")
    moves.write(staging, outcome, moved)
    for rule in moved:
        found_rows = [(move.row, move.detail) for move in outcome.moves if move.rule == rule]
        staging.table("reported", "row BIGINT, detail VARCHAR", found_rows)
        staging.run(
            """INSERT INTO report SELECT ?, ?, s.source, s.place, s.row, s.query_id, s.document_id, r.detail
            FROM stated s JOIN reported r USING (row)""",
            [rule, actions[rule]],
        )
        if found_rows:
            findings.counts[rule], findings.done[rule] = len(found_rows), actions[rule]
    findings.lines += moves.said(staging, found, moved)
    missing = """SELECT s.row FROM stated s JOIN judged_texts t ON t.id = s.given
      WHERE s.fate IS NULL AND s.relevance > 0 AND s.document_id = s.given"""
    if moves.POSITIVE in moved:
        _apply(staging, actions, findings, moves.MISSING, missing)
    if actions[moves.MISSING] == "drop":
        staging.run(
            f"""DELETE FROM texts WHERE id IN (SELECT given FROM stated WHERE fate = '{moves.MISSING}')
            AND id NOT IN (SELECT document_id FROM stated WHERE fate IS NULL)"""
        )


_WITHOUT_POSITIVE = """SELECT row FROM stated WHERE fate IS NULL AND query_id NOT IN (
  SELECT query_id FROM stated WHERE relevance > 0 {}
)"""


def _mark(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    """Decide each judgement's fate: used (NULL), or the rule that it fell to."""
    _apply(staging, actions, findings, "no-positive", _WITHOUT_POSITIVE.format(""))
    _contradictions(staging, actions, findings)
    _apply(
        staging, actions, findings, "duplicate",
        """SELECT row FROM (
          SELECT row, row_number() OVER (
            PARTITION BY query_id, document_id ORDER BY relevance DESC, score DESC NULLS LAST, source, place, row
          ) AS nth FROM stated WHERE fate IS NULL
        ) WHERE nth > 1""",
    )  # fmt: skip
    _apply(
        staging, actions, findings, "query-is-document",
        """SELECT s.row FROM stated s
        JOIN texts t ON t.id = s.document_id
        JOIN (SELECT DISTINCT id, key FROM queries) q ON q.id = s.query_id
        WHERE s.fate IS NULL AND s.relevance > 0 AND q.key = t.key""",
    )  # fmt: skip
    _apply(
        staging, actions, findings, "positive-as-negative",
        """SELECT n.row FROM stated n JOIN texts nt ON nt.id = n.document_id
        WHERE n.fate IS NULL AND n.relevance <= 0 AND ((n.query_id, nt.key) IN (
          SELECT (p.query_id, pt.key) FROM stated p JOIN texts pt ON pt.id = p.document_id
          WHERE p.fate IS NULL AND p.relevance > 0
        ) OR (n.query_id, n.document_id) IN (
          SELECT (p.query_id, a.document_id) FROM stated p JOIN also a USING (row)
          WHERE p.fate IS NULL AND p.relevance > 0
        ))""",
    )  # fmt: skip
    _apply(staging, actions, findings, "negative-with-answer", with_answer(staging))
    # What is left of a query whose positives other rules took goes with them, and stops nothing.
    if actions["no-positive"] != "keep":
        left = _WITHOUT_POSITIVE.format("AND fate IS NULL")
        _apply(staging, {**actions, "no-positive": "drop"}, findings, "no-positive", left)


def _contradictions(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    pairs = """SELECT query_id, document_id FROM stated WHERE fate IS NULL
      GROUP BY query_id, document_id HAVING max(relevance) > 0 AND min(relevance) <= 0"""
    which = "" if actions["contradiction"] == "drop" else " AND relevance <= 0"
    _apply(
        staging, actions, findings, "contradiction",
        f"SELECT row FROM stated WHERE fate IS NULL{which} AND (query_id, document_id) IN ({pairs})",
    )  # fmt: skip


def _apply(staging: Staging, actions: Mapping[str, str], findings: Findings, rule: str, concerned: str) -> None:
    """Write the rows that a rule concerns into the report and, unless it keeps them, out of use."""
    staging.run(f"CREATE OR REPLACE TEMP TABLE concerned AS {concerned}")
    count = int(staging.one("SELECT count(*) FROM concerned"))
    if not count:
        return
    findings.counts[rule] = findings.counts.get(rule, 0) + count
    action = findings.done[rule] = actions[rule]
    if action == "refuse":
        source, place, query = staging.all(
            "SELECT s.source, s.place, q.text FROM stated s JOIN concerned USING (row) "
            "JOIN queries q ON q.id = s.query_id ORDER BY s.source, s.place LIMIT 1"
        )[0]
        what = RULES[rule].what
        others = ", ".join(f"{rule}={other}" for other in RULES[rule].actions if other != "refuse")
        if rule == "no-positive":
            what = f"the query {query[:60]!r} has no positive"
        raise staging.error(
            source, place, f"{what} ({count} in all): mend it, or choose {others} (--on, in Python on={{...}})."
        )
    staging.run(
        """INSERT INTO report
        SELECT ?, ?, s.source, s.place, s.row, s.query_id, s.document_id, NULL
        FROM stated s JOIN concerned USING (row)""",
        [rule, action],
    )
    if action != "keep":
        staging.run("UPDATE stated SET fate = ? WHERE row IN (SELECT row FROM concerned)", [rule])


def note_documents(
    staging: Staging, actions: Mapping[str, str], findings: Findings, rule: str, found: Sequence[tuple[str, str]]
) -> None:
    """Report documents that a rule concerns, each with a word on why; refuse where that is asked."""
    findings.counts[rule] = len(found)
    findings.done[rule] = "keep"
    staging.table("noted", "id VARCHAR, detail VARCHAR", found)
    noted = "SELECT t.id, t.source, t.place, n.detail FROM noted n JOIN texts t USING (id)"
    if actions[rule] == "refuse":
        identity, source, place, detail = staging.all(f"{noted} ORDER BY t.source, t.place, t.id LIMIT 1")[0]
        raise staging.error(
            source,
            place,
            f"the document {identity!r}: {RULES[rule].what} ({detail}; {len(found)} in all): mend it, or choose "
            f"{rule}=keep (--on, in Python on={{...}}).",
        )
    staging.run(
        "INSERT INTO report (rule, action, source, place, document_id, detail) "
        f"SELECT ?, 'keep', source, place, id, detail FROM ({noted})",
        [rule],
    )


def _finish(staging: Staging, actions: Mapping[str, str], findings: Findings) -> None:
    staging.run(
        """CREATE TABLE judged AS
        SELECT query_id, document_id, relevance, score, row, CASE WHEN relevance > 0 THEN excerpt END AS excerpt
        FROM stated WHERE fate IS NULL"""
    )
    # What else answers is judged too, but teaches nothing: it has no row.
    staging.run(
        """INSERT INTO judged
        SELECT s.query_id, a.document_id, max(s.relevance), NULL, NULL, NULL FROM also a JOIN stated s USING (row)
        WHERE (s.fate IS NULL OR s.fate = 'duplicate') AND s.relevance > 0
          AND (s.query_id, a.document_id) NOT IN (SELECT (query_id, document_id) FROM judged)
          AND s.query_id IN (SELECT query_id FROM judged)
        GROUP BY ALL"""
    )
    staging.run(
        """CREATE TABLE asked AS
        SELECT q.id, min(q.text) AS text, min(q.key) AS key
        FROM queries q SEMI JOIN judged j ON j.query_id = q.id GROUP BY q.id"""
    )
    for rule, column, concerned in (
        (
            "duplicate-document",
            "document_id",
            "SELECT id, source, place FROM texts WHERE key IN (SELECT key FROM texts GROUP BY key HAVING count(*) > 1)",
        ),
        (
            "duplicate-query",
            "query_id",
            """SELECT id, min(source) AS source, min(place) AS place FROM queries WHERE key IN (
              SELECT key FROM asked GROUP BY key HAVING count(*) > 1
            ) GROUP BY id""",
        ),
        (
            "long",
            "document_id",
            f"SELECT id, source, place FROM texts WHERE length(title) + length(text) > {LONG_CHARACTERS}",
        ),
    ):
        count = int(staging.one(f"SELECT count(*) FROM ({concerned})"))
        if not count:
            continue
        findings.counts[rule] = count
        findings.done[rule] = "keep"
        if actions[rule] == "refuse":
            _, source, place = staging.all(f"{concerned} ORDER BY source, place LIMIT 1")[0]
            raise staging.error(
                source,
                place,
                f"{RULES[rule].what} ({count} in all): mend it, or choose {rule}=keep (--on, in Python on={{...}}).",
            )
        staging.run(
            f"INSERT INTO report (rule, action, source, place, {column}) "
            f"SELECT '{rule}', 'keep', source, place, id FROM ({concerned})"
        )
