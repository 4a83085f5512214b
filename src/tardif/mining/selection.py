"""The rules that decide which of a searcher's hits become hard negatives, and the draw among those that remain."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_choice, check_number, is_int
from tardif.errors import SettingError

SAMPLINGS = ("uniform", "top", "weighted")
# On a collection of medical answers (medquad): all rewrites that lost 20 % of their words are above this similarity,
# and 95 % of those with 20 % of their longer words replaced by rare ones. Of the hits at ranks 5 to 100, 2 % are, most
# of them the same answer by another author or on another disease in the same words.
NEAR_COPY = 0.4

# The best value in NV-Retriever (de Souza Moreira et al. 2024, TopK-PercPos).
RATIO = 0.95

# Above this number of training queries, negatives that score like their positive are worth the false ones among them.
MANY = 1_000

# Why a hit is not taken. A hit counts for the first rule that drops it, in this order.
RULES = {
    "positive": "known to answer the query",
    "copy": "the text of a known positive, or no text",
    "unclear": "neither relevant nor irrelevant: clicked too seldom, or another piece of a document that answers",
    "query": "is the query itself",
    "contains": "contains a known positive",
    "part": "is part of a known positive",
    "near-copy": "nearly the text of a known positive",
    "floor": "scores below the floor",
    "ceiling": "scores above the ceiling",
    "ratio": "scores too near the positive's score, as a share",
    "margin": "scores too near the positive's score, as a difference",
    "uses": "is already a negative of as many queries as allowed",
    "teacher": "looks like an answer to the teacher",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The rules by which negatives are chosen from a ranking.

    Args:
        negatives: how many per query. Mining 8 costs no more than mining 1, and training draws from them.
        first: the best rank taken from, counted from 1. The first ranks hold most of the unlabelled answers (false
            negatives) and the hardest negatives, so take them if a rule on scores filters them.
        last: the last rank taken from; further down, documents are no longer hard.
        sampling: ``uniform`` within the window, ``top`` (the best ranks that the rules leave), or
            ``weighted``: a hit is drawn in proportion to e to the power of its standardised score,
            so that the scale of the searcher's scores does not matter.
        ratio: drop negatives that score this fraction of the query's positive or more. Of several positives the
            lowest-scored one above 0 counts, as in sentence-transformers' miner: all of them share the negatives, so
            the rule then holds for each. None: no such filter.
        margin: drop negatives that score the positive's score less this, or more. None: no such filter.
        floor: drop hits that score less.
        ceiling: drop negatives that score more.
        near_copy: drop documents with at least this weighted Jaccard similarity of words to a positive
            (:mod:`tardif.mining.copies`). None: only exact copies are dropped.
        random_share: the share of the mined negatives that is drawn at random from the corpus instead
            of the window: easy ones among the hard.
        max_uses: for how many queries a document may be a negative; None for any number.

    >>> Selection(first=10, last=5).check()
    Traceback (most recent call last):
    tardif.errors.SettingError: The rank window 10-5 is empty: give a first rank of 1 or more and no last rank below it.
    """

    negatives: int = 8
    first: int = 1
    last: int = 50
    sampling: str = "uniform"
    ratio: float | None = RATIO
    margin: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    near_copy: float | None = NEAR_COPY
    random_share: float = 0.0
    max_uses: int | None = None

    def check(self) -> None:
        """Raise if an option cannot be used.

        Raises:
            SettingError: names the option.
        """
        check_number("negatives", self.negatives, whole=True)
        if self.max_uses is not None:
            check_number("max_uses", self.max_uses, 1, whole=True)
        if not (is_int(self.first) and is_int(self.last) and 1 <= self.first <= self.last):
            raise SettingError(
                f"The rank window {self.first}-{self.last} is empty: give a first rank of 1 or more and no last rank "
                "below it."
            )
        check_choice("sampling", self.sampling, SAMPLINGS)
        check_distance(self.ratio, self.margin)
        for name in ("floor", "ceiling"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), -math.inf)
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise SettingError(f"floor={self.floor} is above ceiling={self.ceiling}: no score is between them.")
        _check_share("near_copy", self.near_copy, "a similarity")
        check_number("random_share", self.random_share, 0, 1)

    def as_json(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)


def ratio_for(queries: int, made: bool) -> float | None:
    """The ratio for a training set that is given none: no filter above a thousand queries that people asked.

    With thousands of queries the hits that outrank the positive teach most, even if some are unlabelled answers.
    With hundreds, each of which is seen several times, they cost more than they teach (benchmarks/RESULTS.md has the
    figures). Queries made from documents have many answers that nobody labelled.

    Args:
        queries: how many are trained on.
        made: whether most of them were made from the documents.

    >>> ratio_for(500, made=False), ratio_for(5000, made=False), ratio_for(5000, made=True)
    (0.95, None, 0.95)
    """
    return None if queries > MANY and not made else RATIO


def check_distance(ratio: float | None, margin: float | None) -> None:
    """Check the least distance of a negative from the positive.

    Raises:
        SettingError: the ratio is not above 0 and up to 1, or the margin is below 0.
    """
    _check_share("ratio", ratio, "a share of the positive's score")
    if margin is not None:
        check_number("margin", margin)


def _check_share(name: str, value: Any, what: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1):
        raise SettingError(f"{name}={value!r}: give {what} above 0 and up to 1, or None.")


@dataclass(frozen=True, slots=True)
class Reference:
    """The positives' scores that negatives are compared with; None if no positive can judge.

    Attributes:
        ratio: the lowest positive score above 0. If a positive scores 0 or less (nothing matches), a share of its
            score means nothing.
        margin: the lowest positive score that is not 0.
    """

    ratio: float | None = None
    margin: float | None = None

    @classmethod
    def of(cls, scores: Sequence[float | None]) -> Reference:
        """The reference of a query, from the scores of its positives (None: not known)."""
        known = [score for score in scores if score]
        return cls(min((score for score in known if score > 0), default=None), min(known, default=None))


def too_near(
    scores: NDArray[np.float64], reference: Reference, ratio: float | None, margin: float | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which scores are too near a positive's, by ratio and by margin: two masks ``[scores]``; NaN is never too near."""
    nothing = np.zeros(len(scores), dtype=np.bool_)
    by_ratio = nothing if ratio is None or reference.ratio is None else scores >= ratio * reference.ratio
    by_margin = nothing if margin is None or reference.margin is None else scores >= reference.margin - margin
    return by_ratio, by_margin


def judge(
    selection: Selection, scores: NDArray[np.float64], reference: Reference, *, hard: bool = True
) -> list[str | None]:
    """The rule that drops each document by its score; None if it stays.

    Args:
        selection: the rules.
        scores: of the documents; NaN where unknown, which no rule drops.
        reference: the query's positives' scores.
        hard: False for documents drawn at random, which need not reach the floor.
    """
    verdicts: list[str | None] = [None] * len(scores)
    by_ratio, by_margin = too_near(scores, reference, selection.ratio, selection.margin)
    # A later rule overwrites an earlier one here, so the rule that counts first comes last.
    dropped = {"margin": by_margin, "ratio": by_ratio}
    if selection.ceiling is not None:
        dropped["ceiling"] = scores > selection.ceiling
    if hard and selection.floor is not None:
        dropped["floor"] = scores < selection.floor
    for rule, mask in dropped.items():
        for number in np.flatnonzero(mask):
            verdicts[number] = rule
    return verdicts


def order(sampling: str, scores: Sequence[float], draw: random.Random, count: int | None = None) -> list[int]:
    """Draw hits: the places of ``count`` of them in the order in which they are taken; all if None.

    Args:
        sampling: of :data:`SAMPLINGS`.
        scores: of the hits, best first.
        draw: the random numbers.
        count: how many.

    >>> order("top", [0.9, 0.5, 0.4], random.Random(0), 2)
    [0, 1]
    """
    count = len(scores) if count is None else min(count, len(scores))
    places = range(len(scores))
    if sampling == "top" or not places:
        return list(places[:count])
    if sampling == "uniform":
        return draw.sample(places, count)
    # The largest sum of log-weight and Gumbel noise is a draw by weight, the second largest the next draw without
    # replacement, and so on (Vieira 2014; Efraimidis and Spirakis 2006). 5e-324 is the smallest float above 0.
    values = [0.0 if math.isnan(score) else score for score in scores]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) or 1.0
    keys = [(value - mean) / spread - math.log(-math.log(draw.random() or 5e-324)) for value in values]
    return sorted(places, key=lambda place: (-keys[place], place))[:count]
