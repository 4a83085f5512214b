"""Training pairs drawn from the corpus itself, for users without labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tardif.checks import check_list, check_number
from tardif.data.synthetic import KIND, PARENT, KindCount, SynthesisResult, SyntheticPair, whole_of
from tardif.errors import SettingError
from tardif.synthesis.article import Article
from tardif.synthesis.candidate_filter import DUPLICATE, LIMIT, CandidateFilter
from tardif.synthesis.kinds import HEADING, KEYPHRASES, MAKERS, QUESTION, SENTENCE, SUMMARY, TITLE, Candidate, Context
from tardif.synthesis.statistics import Statistics, unit
from tardif.text.languages import Language
from tardif.text.normal import normalise, text_id
from tardif.text.sentences import Vocabulary
from tardif.types import Document

# How readily a kind is drawn. A document that offers the kind gives it at least once in practically all cases with
# weight 3 or 2, in 63 % with 1, in 26 % with 0.3 (at three pairs per document).
# Titles, headings and questions are written for others to find a text by, so they weigh most; summaries are statements,
# as claims are. The share that BM25 finds first, on scifact (each variant in its parent's place): summaries 55 %,
# sentences 74 %, titles 89 %, keyphrases 99 %; its real claims 59 %. Words alone find keyphrases, so they teach least.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {TITLE: 3.0, HEADING: 3.0, QUESTION: 3.0, SUMMARY: 2.0, SENTENCE: 1.0, KEYPHRASES: 0.3}
)

# The share of cropped sentences that are removed from their passage. By the training qrels of scifact, 250 steps,
# halfway back to the base: .786 with 0.4, .779 with 0; .775 with 0.9 and a quarter of the sentences (150 to 200 steps);
# .770 without training.
REMOVED = 0.4

# After this many faulty candidates of a kind, a document is given up for the kind.
_MOST_FAULTS = 6


def synthesize(
    documents: Iterable[Document],
    *,
    language: Language,
    seed: int = 0,
    kinds: Iterable[str] | Mapping[str, float] | None = None,
    per_document: int = 3,
    limit: int | None = None,
    removed: float = REMOVED,
    passage_words: int = 180,
) -> SynthesisResult:
    """Make queries from documents, each with the document, or a variant of it, as its positive.

    The corpus is read twice (frequencies, then queries), one document at a time. Documents with the same text count
    once. Dropped candidates are counted by kind and reason (:mod:`~tardif.synthesis.candidate_filter`). Draws are keyed
    by the texts, so they do not depend on the order of the corpus, the process or the platform.

    Args:
        documents: the corpus.
        language: its stemmer and stopwords judge the overlap and choose keyphrases.
        seed: of the draws.
        kinds: names from :data:`WEIGHTS`, or names with weights of their own; all by default.
        per_document: the most pairs of a document. A second pair of one kind is half as likely as the first, a third
            one third, so that kinds mix.
        limit: the most pairs in all; None for no limit.
        removed: the share of cropped sentences that are removed from their passage (inverse cloze task).
        passage_words: the length of a variant's text in words; 180 are about what the model reads (256 tokens).

    Raises:
        SettingError: an option cannot be used.

    >>> from tardif.text.languages import language
    >>> text = "Sea water dries in shallow pans. Wind and sun leave white salt behind."
    >>> page = Document("a", text, "How salt is made")
    >>> synthesize([page], language=language("en"), kinds=["title"]).pairs[0].query
    'How salt is made'
    """
    weights = _weights(kinds)
    if not isinstance(documents, Collection) or isinstance(documents, str | bytes):
        documents = check_list(documents, "documents", SettingError)  # an iterator: the corpus is read twice
    numbers = {"per_document": per_document, "passage_words": passage_words, "limit": 1 if limit is None else limit}
    for name, value in numbers.items():
        check_number(name, value, 1, whole=True)
    check_number("removed", removed, 0, 1)
    vocabulary = Vocabulary(language)
    statistics = Statistics(vocabulary, seed, passage_words)
    statistics.read(documents)
    counts = {kind: KindCount() for kind in weights}
    context = Context(statistics, vocabulary, seed, removed)
    sampler = _Sampler(context, CandidateFilter(statistics, vocabulary), weights, per_document, counts)
    kept = _KeptPairs(limit, counts)
    for document in documents:
        if statistics.is_first(document):
            article = Article(document, passage_words)
            article.common = statistics.common(article)
            for key, pair in sampler.pairs(article):
                kept.add(key, pair)
    return SynthesisResult(kept.finish(), counts, statistics.copies)


def _weights(kinds: Iterable[str] | Mapping[str, float] | None) -> dict[str, float]:
    if kinds is None:
        return dict(WEIGHTS)
    given = (
        dict(kinds)
        if isinstance(kinds, Mapping)
        else {kind: WEIGHTS.get(kind, 0.0) for kind in check_list(kinds, "kinds", SettingError)}
    )
    unknown = [kind for kind in given if kind not in WEIGHTS]
    if unknown or not given:
        raise SettingError(f"kinds={', '.join(map(str, unknown))!r}: give some of {', '.join(WEIGHTS)}.")
    if not all(weight > 0 for weight in given.values()):
        raise SettingError("kinds: every weight must be above 0; leave a kind out to have none of it.")
    return {kind: given[kind] for kind in WEIGHTS if kind in given}


@dataclass(frozen=True)
class _Sampler:
    """Makes, filters and draws the pairs of one document."""

    context: Context
    filter: CandidateFilter
    weights: Mapping[str, float]
    per_document: int
    counts: Mapping[str, KindCount]

    def pairs(self, article: Article) -> Iterator[tuple[float, SyntheticPair]]:
        """The drawn pairs, each with the key that orders it among those of all documents.

        Every turn of a kind gets an exponential time with its weight as the rate, and the earliest turns are
        taken (Efraimidis and Spirakis, 2006), if the kind has a sound candidate left. Turns after time 1
        are not: a document without a title does not give keyphrases instead.
        """
        draw = self.context.draws(article, "turns")
        turns = [
            (-math.log(1 - draw()) * turn / weight, kind)
            for kind, weight in self.weights.items()
            for turn in range(1, self.per_document + 1)
        ]
        sound = {kind: self._sound(kind, article) for kind in self.weights}
        left = self.per_document
        for time, kind in sorted(turns):
            if time > 1:
                return
            candidate = next(sound[kind], None)
            if candidate is not None:
                left -= 1
                pair = _pair(kind, article.document, candidate)
                yield unit(self.context.seed, pair.parent_id, kind, pair.query), pair
            if not left:
                return

    def _sound(self, kind: str, article: Article) -> Iterator[Candidate]:
        """One kind's candidates that pass the filter."""
        count = self.counts[kind]
        faults = 0
        for candidate in MAKERS[kind](article, self.context):
            count.made += 1
            fault = candidate.fault or self.filter.fault(kind, candidate)
            if fault:
                count.dropped[fault] += 1
                faults += 1
                if faults == _MOST_FAULTS:
                    return
            else:
                yield candidate


def _pair(kind: str, parent: Document, candidate: Candidate) -> SyntheticPair:
    group = whole_of(parent)
    if candidate.title == parent.title and candidate.text == parent.text.strip():
        return SyntheticPair(candidate.query, kind, parent.id, parent.id, group)
    identity = text_id(f"{parent.id}#{kind}-", f"{candidate.title}\x00{candidate.text}")
    variant = Document(identity, candidate.text, candidate.title, {**parent.metadata, KIND: kind, PARENT: parent.id})
    return SyntheticPair(candidate.query, kind, identity, parent.id, group, variant)


class _KeptPairs:
    """The pairs of all documents: one per query text, and at most ``limit`` in all."""

    def __init__(self, limit: int | None, counts: Mapping[str, KindCount]) -> None:
        self._limit = limit
        self._counts = counts
        self._found: dict[str, tuple[float, str, SyntheticPair]] = {}

    def add(self, key: float, pair: SyntheticPair) -> None:
        """Add a pair; of two with the same query, the one with the smaller key stays."""
        query = text_id("", normalise(pair.query))
        entry = (key, pair.document_id, pair)
        other = self._found.get(query)
        if other is not None:
            entry, loser = (entry, other) if entry[:2] < other[:2] else (other, entry)
            self._counts[loser[2].kind].dropped[DUPLICATE] += 1
        self._found[query] = entry
        # Pruned now and then: memory stays bounded, and sorting costs little.
        if self._limit is not None and len(self._found) >= 2 * self._limit + 1000:
            self._prune()

    def finish(self) -> Sequence[SyntheticPair]:
        """The pairs in their order."""
        self._prune()
        pairs = [entry[2] for entry in self._found.values()]
        for pair in pairs:
            self._counts[pair.kind].kept += 1
        return pairs

    def _prune(self) -> None:
        """Drop the pairs beyond the limit."""
        ordered = sorted(self._found.items(), key=lambda item: item[1][:2])
        for _, entry in ordered[self._limit :] if self._limit is not None else ():
            self._counts[entry[2].kind].dropped[LIMIT] += 1
        self._found = dict(ordered[: self._limit])
