"""Word by word: chosen pairs of a query and a document, with what each token of the query matched."""

from __future__ import annotations

from tardif.report.explained_pair import view_of
from tardif.report.numbers import figure
from tardif.report.page_parts import PageSection
from tardif.report.sources import ReportSource
from tardif.report.texts import cut

_MOST = 4


def words(source: ReportSource, key: str) -> PageSection | None:
    """Show the explanations of a training or an evaluation."""
    found = source.evidence.explanations[:_MOST] if source.evidence else ()
    if not found:
        return None
    pairs = [
        {
            "view": view_of(explanation, f"{key}-{place}"),
            "query": cut(explanation.query, 300),
            "id": cut(explanation.document_id, 80),
            "score": figure(float(explanation.score)),
        }
        for place, explanation in enumerate(found, 1)
    ]
    about = "Queries with a relevant document. The score of a pair is the sum of the best match of each query token."
    return PageSection(key, "Word by word", "words.html", {"about": [about], "pairs": pairs})
