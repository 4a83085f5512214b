"""The fixed task on which a run is judged: held-out queries over a part of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tardif.data.synthesis.result import parent_of
from tardif.data.text import keyed_order
from tardif.data.training_set import VALIDATION, TrainingSet
from tardif.evaluation import DEPTH, MEASURES, measure, rank
from tardif.languages import Language
from tardif.lexical import LexicalSearcher
from tardif.talk import Talk
from tardif.types import Document

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# On fewer queries a difference of measures is mostly chance.
_LEAST_QUERIES = 50


@dataclass(frozen=True)
class ValidationTask:
    """Held-out queries, their judgements, and the documents that are searched."""

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    documents: list[Document]
    corpus_size: int

    def measure(self, model: MultiVectorEncoder, talk: Talk, what: str) -> dict[str, float]:
        """The measures of a model as it is now."""
        with talk.progress(what, len(self.documents), "documents") as bar:
            run = rank(model, self.queries, self.documents, k=DEPTH, advance=bar.advance)
        return measure(self.qrels, run, MEASURES)

    def measure_bm25(self, language: Language) -> dict[str, float]:
        """The measures of BM25."""
        hits = LexicalSearcher(self.documents, language).search(list(self.queries.values()), DEPTH)
        run = {query: dict(found) for query, found in zip(self.queries, hits, strict=True)}
        return measure(self.qrels, run, MEASURES)

    def describe(self) -> str:
        """One line: how many queries over how many documents."""
        part = "" if len(self.documents) == self.corpus_size else f" (of {self.corpus_size})"
        return f"{len(self.queries)} held-out queries over {len(self.documents)} documents{part}"


def validation_task(data: TrainingSet, *, limit: int, language: Language, seed: int) -> ValidationTask | None:
    """The task of a training set, or None where no query is held out.

    A corpus larger than ``limit`` is cut to the relevant documents, then the best of BM25 rank by
    rank, then seeded random ones: easy documents cost time and tell nothing. Where the relevant documents
    alone are more, queries are left out, by a keyed order, down to 50. So the task of a smaller limit is
    part of a larger one's.
    """
    everything_asked = data.query_ids(VALIDATION)
    if not everything_asked:
        return None
    ids, chosen = _asked(data, everything_asked, limit, seed)
    queries = {query: data.queries[query] for query in ids}
    qrels = {query: dict(data.qrels[query]) for query in ids}
    everything = searchable(data)
    if len(ids) == len(everything_asked):
        _fill(chosen, everything, queries, limit, language, seed)
    documents = [document for document in everything if document.id in chosen]
    return ValidationTask(queries, qrels, documents, len(everything))


def _fill(
    chosen: dict[str, None],
    everything: list[Document],
    queries: dict[str, str],
    limit: int,
    language: Language,
    seed: int,
) -> None:
    """Add to the relevant documents the nearest by BM25, then random ones."""
    if len(everything) > limit > len(chosen):
        rankings = LexicalSearcher(everything, language).search(list(queries.values()), DEPTH)
        for place in range(DEPTH):
            for ranking in rankings:
                if place < len(ranking) and len(chosen) < limit:
                    chosen.setdefault(ranking[place][0])
    rest = sorted((d.id for d in everything if d.id not in chosen), key=lambda identity: keyed_order(seed, identity))
    chosen.update(dict.fromkeys(rest[: max(limit - len(chosen), 0)]))


def searchable(data: TrainingSet) -> list[Document]:
    """The documents that held-out queries could be searched in; empty where no query is held out."""
    relevant = {d for query in data.query_ids(VALIDATION) for d in data.positives(query)}
    # A variant stands for the document it was made from: searched beside it, it would be found twice.
    stood_for = {parent_of(data.documents[identity]) for identity in relevant}
    return [
        d
        for d in (data.documents.values() if relevant else ())
        if d.id in relevant or (parent_of(d) is None and d.id not in stood_for)
    ]


def _asked(data: TrainingSet, ids: list[str], limit: int, seed: int) -> tuple[list[str], dict[str, None]]:
    """The queries whose relevant documents fit in ``limit``, in the set's order; and those documents."""
    taken: set[str] = set()
    chosen: dict[str, None] = {}
    for query in sorted(ids, key=lambda query: keyed_order(seed, query)):
        more = [document for document in data.positives(query) if document not in chosen]
        if len(taken) >= _LEAST_QUERIES and len(chosen) + len(more) > limit:
            break
        taken.add(query)
        chosen.update(dict.fromkeys(more))
    return [query for query in ids if query in taken], chosen
