"""The validation task of a run: held-out queries over a fixed part of the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tardif.data.excluded_negatives import Own, own_documents
from tardif.data.judged import JudgedSet, most_own, searchable, without_own
from tardif.data.training_set import VALIDATION, TrainingSet
from tardif.evaluation.exhaustive import Corpus, LateScorer, rank_blocks
from tardif.evaluation.measure_names import DEPTH
from tardif.evaluation.measures import means, rank_bm25
from tardif.evaluation.outcome import Outcome, outcome
from tardif.evaluation.packed import PackedRun
from tardif.evaluation.word_share import best_word_share
from tardif.progress import Console
from tardif.ranking import TopK
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import Language
from tardif.text.normal import keyed_order
from tardif.training.distributed import ProcessGroup
from tardif.types import Document, Run

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# With fewer queries a difference of measures is mostly chance.
_LEAST_QUERIES = 50


@dataclass(frozen=True)
class ValidationTask:
    """Held-out queries, their judgements, and the documents that are searched.

    ``language`` is what BM25 stems in. ``left_out`` holds each query's own document, which is no hit of it
    (:func:`tardif.data.excluded_negatives.own_documents`).
    """

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    documents: list[Document]
    corpus_size: int
    left_out: Own = field(default_factory=dict)
    language: Language | None = None

    @property
    def _depth(self) -> int:
        return DEPTH + most_own(self.left_out)

    def outcome(
        self, model: MultiVectorEncoder, console: Console, what: str, group: ProcessGroup | None = None
    ) -> Outcome:
        """Return each measure of each query and the first hits, of a model as it is now.

        The processes of a group share the blocks of documents. All of them must call this, with the same weights. Rank
        0 merges the hits, which are those that one process finds, and measures; the others return nothing.
        """
        group = group or ProcessGroup()
        corpus = Corpus(self.documents)
        found = group.gather_made(lambda: self._best(model, corpus, console, what, group))
        if not group.is_main:
            return Outcome({})
        for other in found[1:]:
            found[0].merge(other.keys)
        run = PackedRun.of(list(self.queries), found[0], corpus.ids).without(self.left_out, DEPTH)
        return replace(outcome(self.qrels, run), run=run)

    def _best(
        self, model: MultiVectorEncoder, corpus: Corpus, console: Console, what: str, group: ProcessGroup
    ) -> TopK:
        """The best hits in this process's blocks. They are dealt out in turn, since the longest texts come first."""
        best = TopK(len(self.queries), min(self._depth, len(corpus.ids)))
        blocks = range(group.rank, corpus.blocks, group.size)
        if blocks:
            with console.progress(what, sum(map(corpus.size, blocks)), "documents") as bar:
                rank_blocks(corpus, LateScorer(model, list(self.queries.values())), best, blocks, bar.advance)
        return best

    def measure(self, model: MultiVectorEncoder, console: Console, what: str) -> dict[str, float]:
        """Return the measures of a model as it is now."""
        return means(self.outcome(model, console, what).values)

    def bm25_outcome(self) -> Outcome:
        """Return each measure of each query and the first hits, of BM25."""
        return outcome(self.qrels, self._words)

    def bm25_run(self, language: Language) -> Run:
        """Return BM25's run."""
        run = rank_bm25(self.queries, self.documents, language, k=self._depth)
        return without_own(run, self.left_out, DEPTH)

    def word_share(self, found: Run) -> float | None:
        """Return BM25's share in a hybrid search that does best, given the run of a model; None where there is no
        language to stem in, or too few queries to tell."""
        return None if self.language is None else best_word_share(self.qrels, found, self._words)

    @cached_property
    def _words(self) -> Run:
        assert self.language is not None
        return self.bm25_run(self.language)

    def describe(self) -> str:
        """Return one line: the numbers of queries and documents."""
        return f"{len(self.queries)} held-out queries over {self.size()}"

    def size(self) -> str:
        """Return the number of documents, and of how many, in words."""
        part = "" if len(self.documents) == self.corpus_size else f" (of {self.corpus_size})"
        return f"{len(self.documents)} documents{part}"


def validation_task(data: TrainingSet, *, limit: int, language: Language, seed: int) -> ValidationTask | None:
    """Return the task of a training set, or None if no query is held out.

    A corpus larger than ``limit`` is cut to the relevant documents, then each query's nearest irrelevant one by BM25,
    then the next nearest, rank by rank, then random ones: easy documents cost time and show nothing. If the relevant
    documents are more than half of ``limit``, queries are left out, down to 50. All orders are keyed by ``seed``, so
    the task of a smaller limit is part of a larger one's.
    """
    asked = set(data.query_ids(VALIDATION))
    if not asked:
        return None
    queries = {query: text for query, text in data.queries.items() if query in asked}
    qrels = {query: dict(data.qrels[query]) for query in queries}
    judged = JudgedSet("", searchable(data, VALIDATION), queries, qrels)
    task = bounded_task(judged, limit=limit, language=language, seed=seed)
    return replace(task, left_out=own_documents(task.queries, judged.documents, task.qrels))


def bounded_task(judged: JudgedSet, *, limit: int, language: Language, seed: int) -> ValidationTask:
    """Return the task of a judged set, cut to ``limit`` documents as :func:`validation_task` says."""
    # In a keyed order: which queries are left out does not depend on the order of the data.
    ids = sorted(judged.queries, key=lambda query: keyed_order(seed, query))
    everything = judged.documents
    relevant = {query: {d for d, relevance in judged.qrels[query].items() if relevance > 0} for query in ids}
    if len(everything) <= limit:
        asked, chosen = set(ids), {document.id for document in everything}
    else:
        asked, chosen = _asked(relevant, limit)
        # If queries are left out, relevant documents count as half of the limit: a smaller limit then stays a part.
        room = limit - (len(chosen) if len(asked) == len(ids) else max(len(chosen), limit // 2))
        for identity in _nearest_first(judged, relevant, language, seed):
            if room <= 0:
                break
            room -= identity not in chosen
            chosen.add(identity)
    queries = {query: text for query, text in judged.queries.items() if query in asked}
    qrels = {query: dict(judged.qrels[query]) for query in queries}
    documents = [document for document in everything if document.id in chosen]
    left_out = {query: own for query, own in judged.left_out.items() if query in asked}
    return ValidationTask(queries, qrels, documents, len(everything), left_out, language)


def _asked(relevant: Mapping[str, set[str]], limit: int) -> tuple[set[str], set[str]]:
    """The first queries with relevant documents that fit in half of ``limit``, and those documents."""
    asked: set[str] = set()
    chosen: set[str] = set()
    for query, own in relevant.items():
        more = chosen | own
        # Half of the limit: the rest is for documents that the relevant ones must be told apart from.
        if len(asked) >= _LEAST_QUERIES and len(more) > limit // 2:
            break
        asked.add(query)
        chosen = more
    return asked, chosen


def _nearest_first(judged: JudgedSet, relevant: Mapping[str, set[str]], language: Language, seed: int) -> Iterator[str]:
    """Documents in the order in which they join a task, some more than once."""
    everything = judged.documents
    found = LexicalSearcher(everything, language).search([judged.queries[query] for query in relevant], DEPTH)
    rankings = [
        [identity for identity, _ in hits if identity not in own]
        for hits, own in zip(found, relevant.values(), strict=True)
    ]
    # Rank by rank over all queries, so that no query has more near documents than another.
    for place in range(DEPTH):
        yield from (ranking[place] for ranking in rankings if place < len(ranking))
    yield from sorted((document.id for document in everything), key=lambda identity: keyed_order(seed, identity))
