"""The makers of queries, one for each kind: each yields candidates from a document, which are filtered later."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tardif.synthesis.article import Article, ArticlePassage, Span
from tardif.synthesis.statistics import Statistics
from tardif.text.normal import normalise
from tardif.text.scripts import is_unspaced
from tardif.text.sentences import SentenceToken, Vocabulary

TITLE, HEADING, QUESTION = "title", "heading", "question"
SUMMARY, SENTENCE, KEYPHRASES = "summary", "sentence", "keyphrases"

# Why a candidate is dropped, as reports count it.
COMMON = "stand in other documents too"
BOILERPLATE = "ask for boilerplate"
NO_POSITIVE = "leave too little text"

# Keyphrases have as many terms as people type into a search box.
_FEWEST_TERMS, _MOST_TERMS = 3, 6
_MOST_BESIDE_A_NAME = 3
# Terms of a stretch of text, which reads as one phrase.
_LONGEST_RUN = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A query with its positive's title and text, before it is filtered.

    Attributes:
        whole: whether the positive holds the query's own words on purpose.
        fault: why it is dropped, if the maker knows.
    """

    query: str
    title: str = ""
    text: str = ""
    whole: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """The corpus-wide data that makers of queries use besides the document.

    Attributes:
        statistics: of the corpus.
        vocabulary: of its language.
        seed: of the draws.
        removed: the share of cropped sentences that are removed from their passage.
    """

    statistics: Statistics
    vocabulary: Vocabulary
    seed: int
    removed: float

    def draws(self, article: Article, purpose: str) -> Callable[[], float]:
        """A generator of numbers in [0, 1) for a document and a purpose: the same in any process and order."""
        return random.Random(f"{self.seed}\x00{article.document.id}\x00{purpose}").random


def titles(article: Article, context: Context) -> Iterator[Candidate]:
    """Titles as queries for the body, the commonest pair of weakly supervised training (E5, Wang et al. 2022).

    Sentences that contain the title are removed from the positive. If several documents have the title and it is a
    name, words that distinguish this document are added to the query, and the name stays in the positive: people
    search by names, and a model that never finds them in positives learns to ignore them.
    """
    if not article.title:
        return
    if context.statistics.is_shared(article.title):
        if context.statistics.is_name(article.title):
            yield from _distinguished(article, context)
        else:
            yield Candidate(article.title, fault=COMMON)
    elif article.passages:
        passage = article.passage(article.sentences[0][0], len(article.text))
        yield _without(article, passage, article.title)


def sections(article: Article, context: Context) -> Iterator[Candidate]:
    """Headings as queries for the text under them; a heading that several documents have gets the title too."""
    for section in article.sections:
        passage = article.passage(section.start, section.end)
        if not passage.sentences:
            continue
        if not context.statistics.is_shared(section.heading):
            candidate = _without(article, passage, section.heading)
            # The title gives a section its context, but must not contain the query.
            named = normalise(section.heading) in normalise(article.title)
            yield candidate if named else replace(candidate, title=article.title)
        elif article.title and not context.statistics.is_shared(article.title):
            query = f"{article.title} {section.heading}"
            yield _positive(article, query, passage)
        else:
            yield Candidate(section.heading, fault=COMMON)


def questions(article: Article, context: Context) -> Iterator[Candidate]:
    """Questions in the text as queries for what follows them, up to the next question."""
    for span, passage in article.questions():
        query = article.query(span)
        if context.statistics.is_shared(query):
            yield Candidate(query, fault=COMMON)
        elif passage.sentences:
            yield _positive(article, query, passage, title=article.document.title)


def summaries(article: Article, context: Context) -> Iterator[Candidate]:
    """Summary lines as queries for the rest: of docstrings in code, else of the document itself."""
    found = article.docstrings
    if found:
        yield from (Candidate(summary, "", rest) for summary, rest in found)
    elif article.lead is not None:
        query = article.query(article.lead)
        if context.statistics.is_common(article, article.lead):
            yield Candidate(query, fault=COMMON)
        else:
            passage = article.passage(article.lead[1], len(article.text))
            yield _positive(article, _named(article, query, context), passage, title=article.document.title)


def cropped(article: Article, context: Context) -> Iterator[Candidate]:
    """Sentences as queries for their passage: the inverse cloze task (Lee, Chang and Toutanova, ACL 2019).

    Some of the sentences are removed from their passage, which teaches meaning; the others stay, which teaches that
    equal words count too. The first sentence is left to :func:`summaries`.
    """
    draw = context.draws(article, SENTENCE)
    places = [
        (draw(), draw() >= context.removed, passage, span)
        for passage in article.passages
        for span in passage.sentences
        if span != article.lead and not article.is_question(span)
    ]
    for _, kept, passage, span in sorted(places, key=lambda place: place[0]):
        query = article.query(span)
        if context.statistics.is_common(article, span):
            yield Candidate(query, fault=COMMON)
            continue
        query = _named(article, query, context)
        candidate = _positive(article, query, passage, [] if kept else [span], title=article.document.title)
        yield replace(candidate, whole=kept)


def keyphrases(article: Article, context: Context) -> Iterator[Candidate]:
    """The top tf-idf words of a passage and its title, as phrases if they are adjacent, in the passage's order.

    Sentences that other documents have too give no words.
    """
    draw = context.draws(article, KEYPHRASES)
    title = article.document.title
    for passage in _shuffled(article.passages, draw):
        count = _FEWEST_TERMS + int(draw() * (_MOST_TERMS - _FEWEST_TERMS + 1))
        query = _keyphrases(title, _own(article, passage), count, context)
        yield replace(_positive(article, query, passage, title=title), whole=True)


MAKERS: Mapping[str, Callable[[Article, Context], Iterator[Candidate]]] = {
    TITLE: titles,
    HEADING: sections,
    QUESTION: questions,
    SUMMARY: summaries,
    SENTENCE: cropped,
    KEYPHRASES: keyphrases,
}


def _positive(
    article: Article, query: str, passage: ArticlePassage, removed: Sequence[Span] = (), *, title: str = ""
) -> Candidate:
    """A query with a passage without some sentences; faulty if most of the rest is in other documents too."""
    left = [span for span in passage.sentences if span not in removed]
    if left and not article.is_own(left):
        return Candidate(query, fault=BOILERPLATE)
    return Candidate(query, title, article.without(passage, removed))


def _without(article: Article, passage: ArticlePassage, phrase: str) -> Candidate:
    """A query with a passage without the sentences that contain it; faulty if these are more than half of them."""
    key = normalise(phrase)
    spelled = [span for span in passage.sentences if key in normalise(article.text[slice(*span)])]
    if 2 * len(spelled) > len(passage.sentences):
        return Candidate(phrase, fault=NO_POSITIVE)
    return _positive(article, phrase, passage, spelled)


def _shuffled(passages: Sequence[ArticlePassage], draw: Callable[[], float]) -> list[ArticlePassage]:
    # By the key alone: passages have no order of their own.
    return [passage for _, passage in sorted(((draw(), passage) for passage in passages), key=lambda place: place[0])]


def _distinguished(article: Article, context: Context) -> Iterator[Candidate]:
    """A name with one to three words of a passage."""
    draw = context.draws(article, TITLE)
    named = frozenset(context.vocabulary.terms(article.title))
    for passage in _shuffled(article.passages, draw):
        words = _keyphrases("", _own(article, passage), 1 + int(draw() * _MOST_BESIDE_A_NAME), context, named)
        if words:
            query = f"{article.title} {words}"
            yield replace(_positive(article, query, passage, title=article.document.title), whole=True)
        else:
            yield Candidate(article.title, fault=COMMON)


def _named(article: Article, query: str, context: Context) -> str:
    """A statement as a person would search for it: "This disorder is rare" gets the name in the document's title."""
    if not article.title or not context.statistics.is_name(article.title):
        return query
    named = {term for term in context.vocabulary.terms(article.title) if context.statistics.is_content(term)}
    return query if named.intersection(context.vocabulary.terms(query)) else f"{article.title}: {query}"


def _own(article: Article, passage: ArticlePassage) -> list[str]:
    """The sentences of a passage that other documents do not have."""
    return [article.text[slice(*span)] for span in passage.sentences if span not in article.common]


def _keyphrases(
    title: str, sentences: Sequence[str], count: int, context: Context, left_out: Collection[str] = ()
) -> str:
    statistics = context.statistics
    heading = context.vocabulary.terms(title)
    named = frozenset(heading)
    tally = Counter(context.vocabulary.terms("\n".join(sentences)))
    tally.update(heading + heading)  # a word of the title counts as two
    scores = {}
    for term, times in tally.items():
        if term in left_out:
            continue
        weight = statistics.keyword_weight(term, term in named)
        # A word that occurs once in the whole corpus is often a typing error, and a pair of characters that occurs
        # once in a passage is often no word.
        if weight and (times > 1 or (statistics.frequency(term) > 1 and not is_unspaced(term))):
            scores[term] = times * weight
    # By score, then by name: equal scores must not depend on anything else.
    top = frozenset(sorted(scores, key=lambda term: (-scores[term], term))[:count])
    runs: list[_Run] = []
    missing = set(top)
    for place, piece in enumerate([title, *sentences]):
        if not missing:
            break
        found = _runs(place, piece, top, context)
        runs += found
        missing.difference_update(*(run.terms for run in found))
    return " ".join(" ".join(run.text.split()) for run in sorted(_cover(runs, top)))


class _Run(NamedTuple):
    """A stretch of text made of top words, ordered by its place."""

    piece: int
    start: int
    text: str
    terms: frozenset[str]


def _runs(piece: int, text: str, top: frozenset[str], context: Context) -> list[_Run]:
    """The stretches of a text; a stretch may hold one function word between two top words ("loss of smell")."""
    tokens = context.vocabulary.tokens(text)
    keys = [place for place, token in enumerate(tokens) if token.term in top]
    found: list[list[int]] = []
    for place in keys:
        if found and len(found[-1]) < _LONGEST_RUN and _joined(tokens, text, found[-1][-1], place, context):
            found[-1].append(place)
        else:
            found.append([place])
    found += [[place] for place in keys]  # a word alone, in case another stretch has its neighbours
    spans = [(tokens[run[0]].start, tokens[run[-1]].end, run) for run in found]
    return [
        _Run(piece, start, text[start:end], frozenset(tokens[place].term for place in run)) for start, end, run in spans
    ]


def _joined(tokens: list[SentenceToken], text: str, left: int, right: int, context: Context) -> bool:
    if right - left > 2 or tokens[left].term == tokens[right].term:
        return False
    between = tokens[left + 1 : right]
    if any(token.term not in context.vocabulary.stopwords for token in between):
        return False
    inside = tokens[left : right + 1]
    return all(text[one.end : other.start] in ("", " ", "-") for one, other in pairwise(inside))


def _cover(runs: list[_Run], top: frozenset[str]) -> list[_Run]:
    """A few stretches that together name every top word: greedily, longest first, then by place."""
    chosen: list[_Run] = []
    missing = set(top)
    while missing and runs:
        best = max(runs, key=lambda run: (len(run.terms & missing) - len(run.terms - missing), -run.piece, -run.start))
        if not best.terms & missing:
            break
        chosen.append(best)
        missing -= best.terms
    return chosen
