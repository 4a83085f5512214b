"""Documents that must not be a query's negatives though nobody judged them: they say what its answer says.

An article that holds the answer word for word, or nearly so; a passage that the answer holds; and, where questions are
documents too, the query itself. How much text tells where it comes from, :mod:`tardif.text.containment` decides: an
answer as short as "yes" keeps nothing out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

from tardif.data.synthetic import parent_of, whole_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.text.containment import NEAR, contained
from tardif.text.normal import normalise, words_in_order
from tardif.types import Document, Qrels

Own = Mapping[str, frozenset[str]]
"""Queries, each with the documents that are the query itself: query id -> document ids."""

CONTAINS, PART = "contains", "part"
"""What such a document is: it contains a positive, or is part of one."""

# The search takes half a millisecond per document: training skips it above this many.
LIMIT = 50_000

_LOOKED_AT = 20_000
"""Characters of a positive that candidates are compared with: a handbook that answers thousands of queries would be
read once for each of them, and what a model reads of it is a tenth of that."""

_OWN = 0.8  # the share of a document's words from which it is the query that it holds


def overlapping(
    positives: Sequence[Document],
    holding: Sequence[Document],
    parts: Sequence[Document],
    known: Container[str] = (),
) -> dict[str, str]:
    """Which of some documents contain one of a query's positives, or are part of one.

    Args:
        positives: what is known to answer the query; of a long one the first 20,000 characters are compared.
        holding: documents that may contain one of them.
        parts: documents that may be part of one.
        known: ids of those that are looked at word for word only: they are kept out in any case.

    Returns:
        The document's id to :data:`CONTAINS` or :data:`PART`.
    """
    positives = [_beginning(document) for document in positives]
    found = dict.fromkeys(_held(parts, positives, None), PART) | dict.fromkeys(
        _holders(positives, holding, None), CONTAINS
    )
    # A document may nearly hold what another holds word for word.
    left = [document for document in holding if document.id not in found and document.id not in known]
    within = [document for document in parts if document.id not in found and document.id not in known]
    nearly = dict.fromkeys(_held(within, positives, NEAR), PART) | dict.fromkeys(
        _holders(positives, left, NEAR), CONTAINS
    )
    return found | nearly


def asks(query: str, document: Document) -> bool:
    """Whether a document is the query itself, give or take punctuation and a word or two around it."""
    if len(document.content) > 2 * len(query) + 40:
        return False
    asked, words = words_in_order(query), words_in_order(document.content)
    if not asked or words == asked or words_in_order(document.text) == asked:
        return bool(asked)
    held = contained([("query", query)], [("document", document.content)]).found.get("query")
    return held is not None and held[0].end - held[0].start >= _OWN * len(words)


def excluded_negatives(data: TrainingSet) -> dict[str, frozenset[str]]:
    """For each training query that has any: the documents of the set that are kin of its positives, or the query; and
    those that are neither relevant nor not.

    Judged documents are never among them: somebody has looked at those. All are found word for word: to look for what
    nearly holds a text takes minutes on some corpora, and a document seldom meets another's query in one batch.
    """
    asked = {query: data.positives(query) for query in data.query_ids(TRAIN)}
    documents = data.documents
    answers = {positive for positives in asked.values() for positive in positives}
    mine = [documents[identity] for identity in sorted(answers)]
    rest = [document for identity, document in sorted(documents.items()) if identity not in answers]
    kin: dict[str, set[str]] = {}
    for texts, others in ((mine, rest), (mine, mine), (rest, mine)):
        for text, ones in contained(_bodies(texts), _contents(others), near=None).found.items():
            for one in ones:
                kin.setdefault(text, set()).add(one.document)
                kin.setdefault(one.document, set()).add(text)
    same: dict[tuple[str, ...], list[str]] = {}
    for identity, document in documents.items():
        same.setdefault(tuple(words_in_order(document.content)), []).append(identity)
    themselves = own_documents({query: data.queries[query] for query in asked}, documents.values(), data.qrels)
    found = {}
    for query, positives in asked.items():
        own = {other for positive in positives for other in kin.get(positive, ())}
        own.update(same.get(tuple(words_in_order(data.queries[query])), ()), themselves.get(query, ()))
        own.update(unsure for unsure in data.unclear.get(query, ()) if unsure in documents)
        if left := own.difference(data.qrels[query]):
            found[query] = frozenset(left)
    return found


def own_documents(queries: Mapping[str, str], documents: Iterable[Document], qrels: Qrels) -> Own:
    """The queries that are documents of the corpus under their own id: such a document is no answer, and no hit.

    BEIR leaves out every hit with the query's id (``ignore_identical_ids``). Where queries and documents are numbered
    each for themselves that leaves out answers. So this is done only where ids name the same texts in both: where most
    of the queries whose id a document has are that document's text. A document that is judged relevant stays. One that
    was cut is all its pieces: each holds a part of the query, and would be found first.
    """
    named = of_the_same_id(queries, documents)
    same = sum(all(_is_text_of(queries[query], document) for document in own) for query, own in named.items())
    if 2 * same <= len(named):
        return {}
    found = {query: frozenset(document.id for document in own) for query, own in named.items()}
    return {query: own for query, own in found.items() if not any(qrels[query].get(d, 0) > 0 for d in own)}


def of_the_same_id(queries: Container[str], documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Of queries whose id a document of the corpus has: the document, or its pieces."""
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
    """The words of a text with a space around each: a text is part of another if this is part of that."""
    return f" {' '.join(words_in_order(text))} "


def _beginning(document: Document) -> Document:
    """A document as far as it is compared, ending with a whole word where it has spaces."""
    if len(document.text) <= _LOOKED_AT:
        return document
    cut = document.text[:_LOOKED_AT]
    return replace(document, text=cut.rpartition(" ")[0] or cut)


def _held(texts: Sequence[Document], documents: Sequence[Document], near: float | None) -> list[str]:
    return list(contained(_bodies(texts), _contents(documents), near=near).found) if texts else []


def _holders(texts: Sequence[Document], documents: Sequence[Document], near: float | None) -> list[str]:
    found = contained(_bodies(texts), _contents(documents), near=near).found if documents else {}
    return [one.document for ones in found.values() for one in ones]


def _bodies(documents: Iterable[Document]) -> list[tuple[str, str]]:
    """What must stand elsewhere: an article repeats an answer without its title."""
    return [(document.id, document.text or document.title) for document in documents]


def _contents(documents: Iterable[Document]) -> list[tuple[str, str]]:
    return [(document.id, document.content) for document in documents]
