"""What the rules found in a collection, counted, with a few rows of each and their texts: ``hygiene.json``.

``report.jsonl`` lists every row by its ids. A reader wants to see some of them as texts, and those of a row that was
dropped are in no table of the set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tardif.data.hygiene.rules import RULES
from tardif.data.staging import Staging

# Rows of a rule and action, and characters of a text.
EXAMPLES, _CHARACTERS = 5, 300

# Ordered by all that is shown, as report.jsonl is, so that the bytes do not depend on the order of the input.
_SHOWN = f"""CREATE OR REPLACE TEMP TABLE shown AS
  SELECT rule, action, source, place, query_id, document_id, detail, nth FROM (
    SELECT *, row_number() OVER (PARTITION BY rule, action ORDER BY source, place, query_id, document_id, detail) AS nth
    FROM report
  ) WHERE nth <= {EXAMPLES}"""
_WITH_TEXTS = f"""SELECT s.rule, s.action, s.source, s.place, s.query_id, q.text, s.document_id, d.text, s.detail
  FROM shown s
  LEFT JOIN (SELECT id, left(min(text), {_CHARACTERS}) AS text FROM queries
    WHERE id IN (SELECT query_id FROM shown) GROUP BY id) q ON q.id = s.query_id
  LEFT JOIN (SELECT id, left(min(trim(title || ' ' || text)), {_CHARACTERS}) AS text FROM documents
    WHERE id IN (SELECT document_id FROM shown) GROUP BY id) d ON d.id = s.document_id
  ORDER BY s.rule, s.action, s.nth"""
_NAMES = ("source", "place", "query_id", "query", "document_id", "document", "detail")


def findings(staging: Staging) -> dict[str, Any]:
    """Return what the rules found, as ``hygiene.json`` holds it; empty if they found nothing."""
    counts = staging.all("SELECT rule, action, count(*) FROM report GROUP BY ALL ORDER BY rule, action")
    if not counts:
        return {}
    staging.run(_SHOWN)
    examples: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rule, action, source, *values in staging.all(_WITH_TEXTS):
        row = dict(zip(_NAMES, [Path(staging.sources[source]).name, *values], strict=True))
        known = {name: value for name, value in row.items() if value is not None}
        examples.setdefault((rule, action), []).append(known)
    found = [
        {
            **{"rule": rule, "what": RULES[rule].what if rule in RULES else "", "action": action, "rows": count},
            "examples": examples[rule, action],
        }
        for rule, action, count in counts
    ]
    return {"rules": found}
