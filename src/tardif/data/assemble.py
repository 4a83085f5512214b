"""From a cleaned and split collection to the folder of a training set, streamed in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tardif.data.staging import Staging
from tardif.data.training_set import UNCLEAR
from tardif.visible import json_text

# Rows per group of the Parquet files: what a reader must hold at a time.
_ROWS = 50_000

# Every table is ordered by its ids, so the bytes do not depend on the order of the input.
_TABLES = {
    "documents": "SELECT id, title, text, metadata FROM texts ORDER BY id",
    "queries": "SELECT a.id, a.text, s.side AS split FROM asked a JOIN sides s USING (id) ORDER BY a.id",
    "qrels": "SELECT query_id, document_id, relevance FROM judged ORDER BY query_id, document_id",
    "examples": """
      SELECT p.query_id, coalesce(p.excerpt, p.document_id) AS positive_id,
        coalesce(n.ids, []::VARCHAR[]) AS negative_ids,
        CASE WHEN p.score IS NOT NULL AND n.unscored = 0
          THEN list_concat([p.score], n.scores) ELSE []::DOUBLE[] END AS scores
      FROM judged p
      JOIN sides s ON s.id = p.query_id AND s.side = 'train'
      LEFT JOIN (
        SELECT query_id, list(document_id ORDER BY document_id) AS ids,
          list(score ORDER BY document_id) AS scores, count(*) - count(score) AS unscored
        FROM judged WHERE relevance <= 0 GROUP BY query_id
      ) n ON n.query_id = p.query_id
      WHERE p.relevance > 0 AND p.row IS NOT NULL
      ORDER BY p.query_id, positive_id""",
}


def write_tables(staging: Staging, folder: Path) -> dict[str, int]:
    """Write the tables of a training set into ``folder``; returns the rows of each.

    The examples carry the data's own negatives; mining adds the rest.
    """
    import pyarrow.parquet as pq

    counts = {}
    tables = dict(_TABLES)
    if staging.one("SELECT 1 FROM unclear LIMIT 1"):
        tables[UNCLEAR.removesuffix(".parquet")] = "SELECT query_id, document_id FROM unclear ORDER BY ALL"
    for name, statement in tables.items():
        reader = staging.database.sql(statement).to_arrow_reader(_ROWS)
        counts[name] = 0
        with pq.ParquetWriter(folder / f"{name}.parquet", reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                counts[name] += batch.num_rows
    return counts


def write_report(staging: Staging, folder: Path) -> None:
    """Write ``report.jsonl``: one line per row that is not used as it stands."""
    with (folder / "report.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json_text(row) + "\n" for row in _reported(staging))


def _reported(staging: Staging) -> Iterator[dict[str, Any]]:
    names = ("rule", "action", "source", "place", "query_id", "document_id", "detail")
    reader = staging.database.sql(
        "SELECT rule, action, source, place, query_id, document_id, detail FROM report "
        "ORDER BY rule, source, place, query_id, document_id, detail"
    ).to_arrow_reader(_ROWS)
    for batch in reader:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row = dict(zip(names, values, strict=True))
            row["source"] = Path(staging.sources[row["source"]]).name
            yield {name: value for name, value in row.items() if value is not None}
