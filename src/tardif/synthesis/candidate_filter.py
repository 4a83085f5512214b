"""A filter of candidates that are useless as training pairs."""

from __future__ import annotations

import re
import unicodedata

from tardif.synthesis.kinds import HEADING, KEYPHRASES, NO_POSITIVE, QUESTION, SENTENCE, SUMMARY, TITLE, Candidate
from tardif.synthesis.statistics import Statistics
from tardif.text.normal import normalise
from tardif.text.scripts import is_unspaced
from tardif.text.sentences import Vocabulary, count_words

TRIVIAL = "trivial"
UNRELATED = "share too few words"
LENGTH = "too short or long"
NO_PROSE = "no prose"
DUPLICATE = "equal to another query"
LIMIT = "over the limit"

# The figures come from real queries: the share of their content words that are in their documents, by the training
# qrels of scifact and medquad (and debian-desc's synopses). Of scifact's claims, a tenth have a share below 0.2, half
# below 0.57, a tenth above 0.9; for questions and synopses, nine in ten are between 0.6 and 1.0, and 0.33 and 1.0. So
# titles and questions may have a share of 1.0, while cropped statements that repeat nearly all their words teach words
# alone. Nine claims in ten have four content words or more, and the longest has 41 words.
WORDS = {TITLE: (2, 40), HEADING: (2, 20), QUESTION: (3, 40), SUMMARY: (4, 40), SENTENCE: (5, 40), KEYPHRASES: (2, 12)}
OVERLAP = {TITLE: (0.2, 1.0), HEADING: (0.0, 1.0), QUESTION: (0.2, 1.0), SUMMARY: (0.2, 0.9), SENTENCE: (0.2, 0.9)}
# Words that a positive has at least.
LEAST_POSITIVE = 12
# In scripts without spaces most pairs of characters span two words and recur with neither of them.
_PAIRS_IN_WORDS = 0.25

_TAG = re.compile(r"<[!/A-Za-z]|\{[{%]|http|www\.")
# Marks that plain words do not have: nobody types them in a query.
_MARKUP = re.compile(r"[¶🔗`]|\*\*\S|\]\(|:[\w.+-]+:`|&#?\w{2,9};|\{[#:.]\s?\w|\[\^|_x00[01]|\\[nr]\b")
_LETTERS = 0.75
_FEWEST_CONTENT = {SUMMARY: 4, SENTENCE: 4}


class CandidateFilter:
    """Judges a candidate by its own words and those of its positive."""

    def __init__(self, statistics: Statistics, vocabulary: Vocabulary) -> None:
        self._statistics = statistics
        self._vocabulary = vocabulary

    def fault(self, kind: str, candidate: Candidate) -> str:
        """Why a candidate is dropped, or ""."""
        return _form_fault(kind, candidate) or self._overlap_fault(kind, candidate)

    def overlap(self, query: str, content: str) -> tuple[float, int]:
        """The share of the query's content words that a text has, and the number of content words."""
        words = {term for term in self._vocabulary.terms(query) if self._statistics.is_content(term)}
        there = words.intersection(self._vocabulary.terms(content))
        return (len(there) / len(words) if words else 0.0), len(words)

    def _overlap_fault(self, kind: str, candidate: Candidate) -> str:
        if candidate.whole:
            return ""
        content = f"{candidate.title} {candidate.text}"
        if normalise(candidate.query) in normalise(content):
            return TRIVIAL
        share, words = self.overlap(candidate.query, content)
        if words < _FEWEST_CONTENT.get(kind, 1):
            return NO_PROSE
        low, high = OVERLAP[kind]
        if is_unspaced(candidate.query):
            low *= _PAIRS_IN_WORDS
        if share < low:
            return UNRELATED
        return TRIVIAL if share > high else ""


def _form_fault(kind: str, candidate: Candidate) -> str:
    low, high = WORDS[kind]
    if not low <= count_words(candidate.query) <= high:
        return LENGTH
    if not is_prose(candidate.query):
        return NO_PROSE
    if count_words(candidate.text) < LEAST_POSITIVE:
        return NO_POSITIVE
    if kind == KEYPHRASES and normalise(candidate.query) in normalise(candidate.title):
        return TRIVIAL
    return ""


def is_prose(query: str) -> bool:
    """Whether a query is made of words: letters and the marks on them, not formulas, paths or tables.

    >>> is_prose("how salt is made"), is_prose("x = {% y %}")
    (True, False)
    """
    dense = "".join(query.split())
    if _TAG.search(query) or _MARKUP.search(query) or query.count("(") != query.count(")"):
        return False
    letters = sum(map(str.isalpha, dense))
    if not dense.isascii():  # in many scripts vowel signs are marks, not letters
        letters += sum(unicodedata.category(char)[0] == "M" for char in dense)
    return letters >= _LETTERS * len(dense)
