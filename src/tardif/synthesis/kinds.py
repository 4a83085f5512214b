"""How each kind of query is made of a document; every maker yields candidates, to be filtered after."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tardif.synthesis.article import Article, Passage, Span
from tardif.synthesis.sentences import Token, Vocabulary
from tardif.synthesis.statistics import Statistics
from tardif.text.normal import normalise
from tardif.text.scripts import is_unspaced

TITLE, HEADING, QUESTION = "title", "heading", "question"
SUMMARY, SENTENCE, KEYPHRASES = "summary", "sentence", "keyphrases"

COMMON = "stand in other documents too"
BOILERPLATE = "ask for boilerplate"
NO_POSITIVE = "leave too little text"

_FEWEST_TERMS, _MOST_TERMS = 3, 6
_MOST_BESIDE_A_NAME = 3
_LONGEST_RUN = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A query and the positive's title and text, before it is filtered.

    Attributes:
        whole: the positive holds the query's own words on purpose.
        fault: why it is none, if the maker knows.
    """

    query: str
    title: str = ""
    text: str = ""
    whole: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What makers need beside the document."""

    statistics: Statistics
    vocabulary: Vocabulary
    seed: int
    removed: float
    """Share of the cropped sentences that are taken out of their passage."""

    def draws(self, article: Article, purpose: str) -> Callable[[], float]:
        """Numbers in [0, 1) that belong to a document and a purpose: the same in any process and order."""
        return random.Random(f"{self.seed}\x00{article.document.id}\x00{purpose}").random


def titles(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """The title asks for the body: the commonest pair of weakly supervised training (E5, Wang et al. 2022).

    Sentences that spell the title out are taken out of the positive. A name that several documents tell of is asked for
    together with words that tell this document apart from the others, and stays in the positive: names are what people
    ask by, and a model that never finds them there learns to pass over them.
    """
    if not article.title:
        return
    if shop.statistics.is_shared(article.title):
        if shop.statistics.is_name(article.title):
            yield from _told_apart(article, shop)
        else:
            yield Candidate(article.title, fault=COMMON)
    elif article.passages:
        passage = article.passage(article.sentences[0][0], len(article.text))
        yield _without(article, passage, article.title)


def sections(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """A heading asks for the text under it; one that many documents have is asked together with the title."""
    for section in article.sections:
        passage = article.passage(section.start, section.end)
        if not passage.sentences:
            continue
        if not shop.statistics.is_shared(section.heading):
            candidate = _without(article, passage, section.heading)
            # The title helps to place a section, but must not give the heading away.
            named = normalise(section.heading) in normalise(article.title)
            yield candidate if named else replace(candidate, title=article.title)
        elif article.title and not shop.statistics.is_shared(article.title):
            query = f"{article.title} {section.heading}"
            yield _positive(article, query, passage)
        else:
            yield Candidate(section.heading, fault=COMMON)


def questions(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """A question in the text asks for what follows it, up to the next one."""
    for span, passage in article.questions():
        query = article.query(span)
        if shop.statistics.is_shared(query):
            yield Candidate(query, fault=COMMON)
        elif passage.sentences:
            yield _positive(article, query, passage, title=article.document.title)


def summaries(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """The summary line asks for the rest: of docstrings in code, else of the document itself."""
    found = article.docstrings
    if found:
        yield from (Candidate(summary, "", rest) for summary, rest in found)
    elif article.lead is not None:
        query = article.query(article.lead)
        if shop.statistics.is_common(article, article.lead):
            yield Candidate(query, fault=COMMON)
        else:
            passage = article.passage(article.lead[1], len(article.text))
            yield _positive(article, _named(article, query, shop), passage, title=article.document.title)


def cropped(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """A sentence asks for its passage: the inverse cloze task (Lee, Chang and Toutanova, ACL 2019).

    The sentence is taken out of some passages, by the shop's share: what is left teaches meaning, what is kept
    teaches that the same words count too. The first sentence is the summary's.
    """
    draw = shop.draws(article, SENTENCE)
    places = [
        (draw(), draw() >= shop.removed, passage, span)
        for passage in article.passages
        for span in passage.sentences
        if span != article.lead and not article.is_question(span)
    ]
    for _, kept, passage, span in sorted(places, key=lambda place: place[0]):
        query = article.query(span)
        if shop.statistics.is_common(article, span):
            yield Candidate(query, fault=COMMON)
            continue
        query = _named(article, query, shop)
        candidate = _positive(article, query, passage, [] if kept else [span], title=article.document.title)
        yield replace(candidate, whole=kept)


def keyphrases(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """The top tf-idf words of a passage and its title, as phrases where they stand together, in its order.

    Sentences that other documents have too give no words.
    """
    draw = shop.draws(article, KEYPHRASES)
    title = article.document.title
    for _, passage in sorted(((draw(), passage) for passage in article.passages), key=lambda place: place[0]):
        count = _FEWEST_TERMS + int(draw() * (_MOST_TERMS - _FEWEST_TERMS + 1))
        query = _keyphrases(title, _own(article, passage), count, shop)
        yield replace(_positive(article, query, passage, title=title), whole=True)


MAKERS: Mapping[str, Callable[[Article, Workshop], Iterator[Candidate]]] = {
    TITLE: titles,
    HEADING: sections,
    QUESTION: questions,
    SUMMARY: summaries,
    SENTENCE: cropped,
    KEYPHRASES: keyphrases,
}


def _positive(
    article: Article, query: str, passage: Passage, removed: Sequence[Span] = (), *, title: str = ""
) -> Candidate:
    """A query with a passage, some sentences taken out; none where the rest is what other documents say too."""
    left = [span for span in passage.sentences if span not in removed]
    if left and not article.tells(left):
        return Candidate(query, fault=BOILERPLATE)
    return Candidate(query, title, article.without(passage, removed))


def _without(article: Article, passage: Passage, phrase: str) -> Candidate:
    """A passage without the sentences that spell a phrase out; none if that takes half of them away."""
    key = normalise(phrase)
    spelled = [span for span in passage.sentences if key in normalise(article.text[slice(*span)])]
    if 2 * len(spelled) > len(passage.sentences):
        return Candidate(phrase, fault=NO_POSITIVE)
    return _positive(article, phrase, passage, spelled)


def _told_apart(article: Article, shop: Workshop) -> Iterator[Candidate]:
    """A name with one to three words of a passage."""
    draw = shop.draws(article, TITLE)
    named = frozenset(shop.vocabulary.terms(article.title))
    for _, passage in sorted(((draw(), passage) for passage in article.passages), key=lambda place: place[0]):
        words = _keyphrases("", _own(article, passage), 1 + int(draw() * _MOST_BESIDE_A_NAME), shop, named)
        if words:
            query = f"{article.title} {words}"
            yield replace(_positive(article, query, passage, title=article.document.title), whole=True)
        else:
            yield Candidate(article.title, fault=COMMON)


def _named(article: Article, query: str, shop: Workshop) -> str:
    """A statement together with the name that it does not say ("This disorder is rare"), as a person would ask."""
    if not article.title or not shop.statistics.is_name(article.title):
        return query
    named = {term for term in shop.vocabulary.terms(article.title) if shop.statistics.is_content(term)}
    return query if named.intersection(shop.vocabulary.terms(query)) else f"{article.title}: {query}"


def _own(article: Article, passage: Passage) -> list[str]:
    """The sentences of a passage that other documents do not have."""
    return [article.text[slice(*span)] for span in passage.sentences if span not in article.common]


def _keyphrases(
    title: str, sentences: Sequence[str], count: int, shop: Workshop, left_out: Collection[str] = ()
) -> str:
    heading = shop.vocabulary.terms(title)
    named = frozenset(heading)
    tally = Counter(shop.vocabulary.terms("\n".join(sentences)))
    tally.update(heading + heading)
    scores = {}
    weights, title_weights = shop.statistics.weights, shop.statistics.title_weights
    for term, times in tally.items():
        if term in left_out:
            continue
        weight = title_weights[term] if term in named else weights[term]
        # A word that stands once in the whole corpus is often a slip, and a pair of characters that stands
        # once in a passage is often no word.
        if weight and (times > 1 or (shop.statistics.frequency(term) > 1 and not is_unspaced(term))):
            scores[term] = times * weight
    # By score, then by name: equal scores must not depend on anything else.
    top = frozenset(sorted(scores, key=lambda term: (-scores[term], term))[:count])
    runs: list[_Run] = []
    missing = set(top)
    for place, piece in enumerate([title, *sentences]):
        if missing:
            found = _runs(place, piece, top, shop)
            runs += found
            missing.difference_update(*(run.terms for run in found))
    return " ".join(" ".join(run.text.split()) for run in sorted(_cover(runs, top)))


class _Run(NamedTuple):
    """A stretch of text made of top words, ordered by where it stands."""

    piece: int
    start: int
    text: str
    terms: frozenset[str]


def _runs(piece: int, text: str, top: frozenset[str], shop: Workshop) -> list[_Run]:
    """The stretches of a text; one function word between two top words is bridged ("loss of smell")."""
    tokens = shop.vocabulary.tokens(text)
    keys = [place for place, token in enumerate(tokens) if token.term in top]
    found: list[list[int]] = []
    for place in keys:
        if found and len(found[-1]) < _LONGEST_RUN and _joined(tokens, text, found[-1][-1], place, shop):
            found[-1].append(place)
        else:
            found.append([place])
    found += [[place] for place in keys]  # for a word whose neighbours are named already
    return [
        _Run(
            piece,
            tokens[run[0]].start,
            text[tokens[run[0]].start : tokens[run[-1]].end],
            frozenset(tokens[place].term for place in run),
        )
        for run in found
    ]


def _joined(tokens: list[Token], text: str, left: int, right: int, shop: Workshop) -> bool:
    if right - left > 2 or tokens[left].term == tokens[right].term:
        return False
    between = tokens[left + 1 : right]
    if any(token.term not in shop.vocabulary.stopwords for token in between):
        return False
    inside = tokens[left : right + 1]
    return all(text[one.end : other.start] in ("", " ", "-") for one, other in pairwise(inside))


def _cover(runs: list[_Run], top: frozenset[str]) -> list[_Run]:
    """The fewest stretches that name every top word once: greedily, longest first, then as they stand."""
    chosen: list[_Run] = []
    missing = set(top)
    while missing and runs:
        best = max(runs, key=lambda run: (len(run.terms & missing) - len(run.terms - missing), -run.piece, -run.start))
        if not best.terms & missing:
            break
        chosen.append(best)
        missing -= best.terms
    return chosen
