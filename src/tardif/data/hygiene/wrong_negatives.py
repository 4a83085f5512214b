"""Negatives in the data that contain their query's answer, found in the staging database.

Only matches word for word count, of texts long enough to tell where they come from: somebody judged these negatives.
"""

from __future__ import annotations

from typing import Any

from tardif.data.excluded_negatives import spaced
from tardif.data.staging import Staging
from tardif.text.containment import is_sure

# A negative is compared with this number of its query's positives, the first by id.
ANSWERS = 64


def with_answer(staging: Staging) -> str:
    """SQL for the negatives that contain a positive of their query, are part of one, or are the query.

    Args:
        staging: with the table ``stated``; its rows without a fate are in use.
    """
    staging.run(
        """CREATE OR REPLACE TEMP TABLE doubted AS
        SELECT row, query_id, document_id FROM stated WHERE fate IS NULL AND relevance <= 0"""
    )
    if not staging.one("SELECT count(*) FROM doubted"):
        return "SELECT row FROM doubted"
    staging.run(
        f"""CREATE OR REPLACE TEMP TABLE answers AS SELECT query_id, document_id FROM (
          SELECT query_id, document_id, row_number() OVER (PARTITION BY query_id ORDER BY document_id) AS nth FROM (
            SELECT DISTINCT query_id, document_id FROM stated
            WHERE fate IS NULL AND relevance > 0 AND query_id IN (SELECT query_id FROM doubted)
          )
        ) WHERE nth <= {ANSWERS}"""
    )
    _functions(staging)
    staging.run(
        """CREATE OR REPLACE TEMP TABLE worded AS
        SELECT id, own, coalesce(whole, own) AS whole, CASE WHEN tells(own) THEN own END AS telling FROM (
          SELECT id, spaced(CASE WHEN text = '' THEN title ELSE text END) AS own,
            CASE WHEN title <> '' AND text <> '' THEN spaced(title || ' ' || text) END AS whole
          FROM texts WHERE id IN (SELECT document_id FROM doubted UNION SELECT document_id FROM answers)
        )"""
    )
    # First negatives that contain an answer or are part of one, then negatives that are the query.
    return """SELECT d.row FROM doubted d
      JOIN answers a USING (query_id)
      JOIN worded n ON n.id = d.document_id
      JOIN worded p ON p.id = a.document_id
      WHERE contains(n.whole, p.telling) OR contains(p.whole, n.telling)
      UNION
      SELECT d.row FROM doubted d
      JOIN worded n ON n.id = d.document_id
      JOIN (
        SELECT id, spaced(min(text)) AS own FROM queries WHERE id IN (SELECT query_id FROM doubted) GROUP BY id
      ) q ON q.id = d.query_id
      WHERE trim(q.own) <> '' AND q.own IN (n.own, n.whole)"""


def _functions(staging: Staging) -> None:
    """Add the functions ``spaced`` (the words of a text) and ``tells`` (it is long enough) to the database."""
    import pyarrow as pa
    from duckdb.func import PythonUDFType

    def words(column: Any) -> Any:
        return pa.array([spaced(text) for text in column.to_pylist()], pa.string())

    def tells(column: Any) -> Any:
        return pa.array([is_sure(text.split()) for text in column.to_pylist()], pa.bool_())

    # Arrow functions take a column at a time: one call of Python for thousands of rows.
    database, arrow = staging.database, PythonUDFType.ARROW
    database.create_function("spaced", words, ["VARCHAR"], "VARCHAR", type=arrow)
    database.create_function("tells", tells, ["VARCHAR"], "BOOLEAN", type=arrow)
