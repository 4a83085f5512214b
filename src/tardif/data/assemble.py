"""A cleaned and split collection as the tables of a training set, in a fixed order.

The manifest identifies each source by its name and the checksums of its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.data.formats.irds import irds_id
from tardif.data.regular import open_regular, user_path
from tardif.data.staging import Staging
from tardif.errors import DataError, reason
from tardif.escaping import json_text, visible

if TYPE_CHECKING:
    import pyarrow as pa

# Rows per group of the Parquet files: a reader holds one group at a time.
_ROWS = 50_000

# Examples that all carry all negatives of their query would need positives x negatives pairs. Above 200,000 pairs each
# example carries a share of the negatives, in turn, and at least 8.
_PAIRS, _LEAST = 200_000, 8
_SHARED = """
  SELECT query_id, positive_id, list(negative_id ORDER BY negative_id) AS negative_ids,
    CASE WHEN any_value(own) IS NOT NULL AND count(*) = count(score)
      THEN list_concat([any_value(own)], list(score ORDER BY negative_id)) ELSE []::DOUBLE[] END AS scores
  FROM (
    SELECT p.query_id, p.positive_id, p.nth, p.score AS own, n.document_id AS negative_id, n.score FROM (
      SELECT c.query_id, positive_id, nth, score, negatives,
        unnest(generate_series(nth * share, nth * share + share - 1)) % negatives AS place
      FROM (
        SELECT query_id, coalesce(excerpt, document_id) AS positive_id, score,
          row_number() OVER (PARTITION BY query_id ORDER BY document_id) - 1 AS nth
        FROM judged WHERE relevance > 0 AND row IS NOT NULL
      ) JOIN crowded c USING (query_id)
    ) p JOIN (
      SELECT query_id, document_id, score,
        row_number() OVER (PARTITION BY query_id ORDER BY document_id) - 1 AS place
      FROM judged WHERE relevance <= 0 AND query_id IN (SELECT query_id FROM crowded)
    ) n USING (query_id, place)
  ) GROUP BY query_id, positive_id, nth"""

# Every table is ordered by its ids, so the bytes do not depend on the order of the input.
_TABLES = {
    "documents": "SELECT id, title, text, metadata FROM texts ORDER BY id",
    "queries": "SELECT a.id, a.text, s.side AS split FROM asked a JOIN sides s USING (id) ORDER BY a.id",
    "qrels": "SELECT query_id, document_id, relevance FROM judged ORDER BY query_id, document_id",
    "examples": f"""
      SELECT * FROM (SELECT p.query_id, coalesce(p.excerpt, p.document_id) AS positive_id,
        coalesce(n.ids, []::VARCHAR[]) AS negative_ids,
        CASE WHEN p.score IS NOT NULL AND n.unscored = 0
          THEN list_concat([p.score], n.scores) ELSE []::DOUBLE[] END AS scores
      FROM judged p
      JOIN sides s ON s.id = p.query_id AND s.side = 'train'
      LEFT JOIN (
        SELECT query_id, list(document_id ORDER BY document_id) AS ids,
          list(score ORDER BY document_id) AS scores, count(*) - count(score) AS unscored
        FROM judged WHERE relevance <= 0 AND query_id NOT IN (SELECT query_id FROM crowded) GROUP BY query_id
      ) n ON n.query_id = p.query_id
      WHERE p.relevance > 0 AND p.row IS NOT NULL AND p.query_id NOT IN (SELECT query_id FROM crowded)
      UNION ALL {_SHARED})
      ORDER BY query_id, positive_id""",
}

# The queries with more pairs.
_CROWDED = f"""CREATE OR REPLACE TABLE crowded AS
  SELECT query_id, positives, negatives, least(negatives, greatest({_PAIRS} // positives, {_LEAST})) AS share FROM (
    SELECT query_id, count(row) FILTER (relevance > 0) AS positives, count(*) FILTER (relevance <= 0) AS negatives
    FROM judged JOIN sides ON sides.id = query_id AND side = 'train' GROUP BY query_id
  ) WHERE positives * negatives > {_PAIRS}"""


def find_crowded(staging: Staging) -> int:
    """Leave the table ``crowded``, which the tables of a set need; returns the number of queries in it."""
    return int(staging.one(_CROWDED))


def write_tables(staging: Staging, folder: Path) -> dict[str, int]:
    """Stream the tables of a training set into Parquet files, in bounded memory.

    The examples carry the data's own negatives; mining adds the rest.

    Returns:
        The number of rows of each table.
    """
    import pyarrow.parquet as pq

    counts = {}
    for name, reader in tables(staging):
        counts[name] = 0
        with pq.ParquetWriter(folder / f"{name}.parquet", reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                counts[name] += batch.num_rows
    return counts


def tables(staging: Staging) -> Iterator[tuple[str, pa.RecordBatchReader]]:
    """Yield the tables with their batches. Read each before the next is asked for."""
    statements = dict(_TABLES)
    if staging.one("SELECT 1 FROM unclear LIMIT 1"):
        statements["unclear"] = "SELECT query_id, document_id FROM unclear ORDER BY ALL"
    for name, statement in statements.items():
        yield name, staging.database.sql(statement).to_arrow_reader(_ROWS)


def write_report(staging: Staging, folder: Path) -> None:
    """Write ``report.jsonl``: one line for each row that a rule concerns."""
    names = ("rule", "action", "source", "place", "query_id", "document_id", "detail")
    # Ordered by all that is written, so that the bytes do not depend on the order of the input.
    order = "rule, source, place, query_id, document_id, detail"
    with (folder / "report.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for values in staging.stream(f"SELECT {', '.join(names)} FROM report ORDER BY {order}", _ROWS):
            row = dict(zip(names, values, strict=True))
            row["source"] = Path(staging.sources[row["source"]]).name
            file.write(json_text({name: value for name, value in row.items() if value is not None}) + "\n")


def source_name(source: Any, otherwise: str = "documents") -> str:
    """The name of a source in the report: its path, or ``otherwise``."""
    return str(source) if isinstance(source, str | Path) else otherwise


def source_json(source: Any, opened: Collection[Path]) -> dict[str, Any]:
    """A source in the manifest: its name and the checksums of its files.

    Args:
        source: as the user gave it.
        opened: the files that were opened to read it. A folder may hold anything else, which is no part of the set.

    Raises:
        DataError: a file that was read cannot be read again.
    """
    if not isinstance(source, str | Path) or irds_id(source) is not None:
        return {"name": source_label(source)}
    path = user_path(source)
    # By their paths inside a folder; a single file by its name.
    inside = {file.relative_to(path).as_posix(): file for file in opened if file.is_relative_to(path) and file != path}
    files = {path.name: path} if path in opened else inside
    return {"name": source_label(source), "sha256": {visible(name): _sha256(files[name]) for name in sorted(files)}}


def _sha256(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"cannot be read again ({reason(error)}): leave it as it is while a set is made.", path
        ) from error


def source_label(source: Any) -> str:
    """The name of a source without its place: a file or folder's own name, ``values`` or ``none``."""
    if not isinstance(source, str | Path):
        return "none" if source is None else "values"
    if (identity := irds_id(source)) is not None:
        return identity
    path = user_path(source)
    # The current folder is spelt without its name.
    return visible((path if path.name not in ("", "..") else path.resolve()).name)
