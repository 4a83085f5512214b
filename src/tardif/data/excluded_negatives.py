"""Documents that must not be a query's negatives although nobody judged them: they say what its answer says.

Three kinds: a document that contains the answer, word for word or nearly; a passage that is part of the answer; and,
where questions are documents too, the query itself. :mod:`tardif.text.containment` decides how long a text must be to
tell where it comes from: an answer as short as "yes" excludes nothing.

Of the negatives that somebody judged, those that contain their query's answer are found in the staging database, and
only matches word for word count (:func:`with_answer`).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from tardif.data.staging import Staging
from tardif.data.synthetic import parent_of, whole_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.text.anchors import RUN
from tardif.text.containment import NEAR, contained, is_sure
from tardif.text.normal import normalise, words_in_order
from tardif.types import Document, Qrels

# Queries, each with the documents that are the query itself: query id -> document ids.
Own = Mapping[str, frozenset[str]]

# Why a document is excluded: it contains a positive, or is part of one.
CONTAINS, PART = "contains", "part"

# The search takes half a millisecond per document: training skips it above this many.
LIMIT = 50_000

# The first characters of a positive, which documents are compared with. A handbook that answers thousands of queries
# would be compared whole for each of them, and a model reads a tenth of this.
_COMPARED = 20_000

_OWN = 0.8  # the share of a document's words that a query must fill to be that document


def overlapping(
    positives: Sequence[Document], holding: Sequence[Document], parts: Sequence[Document], known: Container[str] = ()
) -> dict[str, str]:
    """Find documents that contain one of a query's positives, or are part of one.

    Args:
        positives: documents that answer the query. The first 20,000 characters of each are compared.
        holding: documents that may contain one of them.
        parts: documents that may be part of one.
        known: ids of documents that are excluded already. These are only compared word for word.

    Returns:
        The document's id to :data:`CONTAINS` or :data:`PART`.

    >>> answer = Document("answer", "Hold the red button for ten seconds until the light turns green, then let go.")
    >>> article = Document("article", f"How to reset. {answer.text} Wait a minute.")
    >>> overlapping([answer], [article], [])
    {'article': 'contains'}
    """
    positives = [_beginning(document) for document in positives]

    def found(holding: Sequence[Document], parts: Sequence[Document], near: float | None) -> dict[str, str]:
        contain = contained(_bodies(positives), _contents(holding), near=near).found if holding else {}
        part_of = contained(_bodies(parts), _contents(positives), near=near).found if parts else {}
        containing = (occurrence.document for occurrence in chain.from_iterable(contain.values()))
        return dict.fromkeys(part_of, PART) | dict.fromkeys(containing, CONTAINS)

    # Exact first, and the rest nearly: most documents are decided by the cheap search.
    exact = found(holding, parts, None)
    # A document may nearly contain what another contains word for word.
    left = [document for document in holding if document.id not in exact and document.id not in known]
    within = [document for document in parts if document.id not in exact and document.id not in known]
    return exact | found(left, within, NEAR)


def asking(query: str, documents: Iterable[Document]) -> set[str]:
    """The ids of the documents that are the query itself, give or take punctuation and a word or two around it.

    >>> asking("How do I reset it?", [Document("faq", "Q: how do I reset it"), Document("other", "Pour some water.")])
    {'faq'}
    """
    asked, longest = words_in_order(query), 2 * len(query) + 40
    if not asked:
        return set()
    # A document that contains the query, or nearly, has one of its runs of words: it is found by these.
    size = min(len(asked), RUN)
    runs = [f" {' '.join(asked[start : start + size])} " for start in range(len(asked) - size + 1)]

    def is_query(document: Document) -> bool:
        # The content is at least as long as the text: most documents are refused before it is put together.
        if len(document.text.strip()) > longest or len(content := document.content) > longest:
            return False
        words = words_in_order(content)
        if words == asked or (document.title and words_in_order(document.text) == asked):
            return True
        if not any(run in f" {' '.join(words)} " for run in runs):
            return False
        held = contained([("query", query)], [("document", content)]).found.get("query")
        return held is not None and held[0].end - held[0].start >= _OWN * len(words)

    return {document.id for document in documents if is_query(document)}


def excluded_negatives(data: TrainingSet) -> dict[str, frozenset[str]]:
    """The documents that must not be negatives of a training query in its batch.

    These are documents that contain one of its positives or are part of one, word for word; documents that are the
    query; and unclear ones. Judged documents are never among them: somebody has looked at those. Near matches are left
    out: to find them takes minutes on some corpora, and a document seldom meets another's query in one batch.

    Returns:
        Query id to document ids, without the queries that have none.
    """
    asked = {query: data.positives(query) for query in data.query_ids(TRAIN)}
    documents = data.documents
    answers = {positive for positives in asked.values() for positive in positives}
    overlaps = _overlaps(
        [documents[identity] for identity in sorted(answers)],
        [document for identity, document in sorted(documents.items()) if identity not in answers],
    )
    by_words: dict[tuple[str, ...], list[str]] = {}
    for identity, document in documents.items():
        by_words.setdefault(tuple(words_in_order(document.content)), []).append(identity)
    themselves = own_documents({query: data.queries[query] for query in asked}, documents.values(), data.qrels)
    found = {}
    for query, positives in asked.items():
        own = {other for positive in positives for other in overlaps.get(positive, ())}
        own.update(by_words.get(tuple(words_in_order(data.queries[query])), ()), themselves.get(query, ()))
        own.update(unsure for unsure in data.unclear.get(query, ()) if unsure in documents)
        if left := own.difference(data.qrels[query]):
            found[query] = frozenset(left)
    return found


def _overlaps(answers: Collection[Document], rest: Collection[Document]) -> dict[str, set[str]]:
    """The documents that contain one another, of which at least one is an answer; by id."""
    overlaps: dict[str, set[str]] = {}
    for texts, others in ((answers, rest), (answers, answers), (rest, answers)):
        for found in chain.from_iterable(contained(_bodies(texts), _contents(others), near=None).found.values()):
            overlaps.setdefault(found.text, set()).add(found.document)
            overlaps.setdefault(found.document, set()).add(found.text)
    return overlaps


def own_documents(queries: Mapping[str, str], documents: Iterable[Document], qrels: Qrels) -> Own:
    """Queries that are documents of the corpus under their own id. Such a document is no answer and no hit.

    BEIR drops every hit with the query's id (``ignore_identical_ids``). Where queries and documents are numbered
    independently, that drops answers. So documents count here only if most queries that share an id with a document
    also have its text. A document that is judged relevant stays a hit. Of a document that was cut all pieces count:
    each holds a part of the query and would rank first.
    """
    named = of_the_same_id(queries, documents)
    same = sum(all(_is_text_of(queries[query], document) for document in own) for query, own in named.items())
    if 2 * same <= len(named):
        return {}
    found = {query: frozenset(document.id for document in own) for query, own in named.items()}
    return {query: own for query, own in found.items() if not any(qrels[query].get(d, 0) > 0 for d in own)}


def of_the_same_id(queries: Container[str], documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Queries that share their id with a document of the corpus, each with that document or its pieces."""
    found: dict[str, list[Document]] = {}
    for document in documents:
        if parent_of(document) is None and (whole := whole_of(document)) in queries:
            found.setdefault(whole, []).append(document)
    return found


def _is_text_of(query: str, document: Document) -> bool:
    if whole_of(document) != document.id:
        return spaced(document.text) in spaced(query)
    return normalise(query) in (normalise(document.text), normalise(document.content))


def spaced(text: str) -> str:
    """The words of a text, each between spaces, so that a test for a substring compares whole words.

    >>> spaced("Red, GREEN")
    ' red green '
    """
    return f" {' '.join(words_in_order(text))} "


def _beginning(document: Document) -> Document:
    """The part of a document that is compared. It ends with a whole word where the text has spaces."""
    if len(document.text) <= _COMPARED:
        return document
    cut = document.text[:_COMPARED]
    return replace(document, text=cut.rpartition(" ")[0] or cut)


def _bodies(documents: Iterable[Document]) -> list[tuple[str, str]]:
    """Texts to look for, without titles: an article repeats an answer without its title."""
    return [(document.id, document.text or document.title) for document in documents]


def _contents(documents: Iterable[Document]) -> list[tuple[str, str]]:
    return [(document.id, document.content) for document in documents]


# A negative is compared with this number of its query's positives, the first by id.
ANSWERS = 64


def with_answer(staging: Staging) -> str:
    """SQL for the negatives that contain a positive of their query, are part of one, or are the query.

    Args:
        staging: with the table ``stated``; its rows without a fate are in use.
    """
    doubted = staging.one(
        """CREATE OR REPLACE TEMP TABLE doubted AS
        SELECT row, query_id, document_id FROM stated WHERE fate IS NULL AND relevance <= 0"""
    )
    if not doubted:
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
        return pa.array(map(spaced, column.to_pylist()), pa.string())

    def tells(column: Any) -> Any:
        return pa.array((is_sure(text.split()) for text in column.to_pylist()), pa.bool_())

    # Arrow functions take a column at a time: one call of Python for thousands of rows.
    database, arrow = staging.database, PythonUDFType.ARROW
    database.create_function("spaced", words, ["VARCHAR"], "VARCHAR", type=arrow)
    database.create_function("tells", tells, ["VARCHAR"], "BOOLEAN", type=arrow)
