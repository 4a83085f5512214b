"""Which of a searcher's hits become hard negatives: the rules, and the draw."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.errors import SettingError

SAMPLINGS = ("uniform", "top", "weighted")
# On a collection of medical answers (medquad), of rewrites that lost 20 % of their words all are above this
# similarity, of those with 20 % of their longer words replaced by rare ones 95 %; of the hits at ranks 5 to 100
# 2 % are, most of them the same answer by another author or on another disease by the same words.
NEAR_COPY = 0.4

RATIO = 0.95
"""What did best in NV-Retriever (de Souza Moreira et al. 2024, TopK-PercPos)."""

MANY = 1_000
"""Training queries above which negatives that score as their positive are worth their false ones."""

RULES = {
    "positive": "known to answer the query",
    "copy": "the text of a known positive, or no text",
    "unclear": "neither relevant nor not: clicked too seldom, or another piece of a document that answers",
    "query": "is the query itself",
    "contains": "contains a known positive",
    "part": "is part of a known positive",
    "near-copy": "nearly the text of a known positive",
    "floor": "scores below the floor",
    "ceiling": "scores above the ceiling",
    "ratio": "scores too near the positive's score, as a share",
    "margin": "scores too near the positive's score, as a difference",
    "uses": "used for as many queries as allowed",
    "teacher": "the teacher takes it for an answer",
}
"""Why a hit is not taken. A hit counts for the first rule that drops it, in this order."""


@dataclass(frozen=True, slots=True)
class Selection:
    """How negatives are chosen from a ranking.

    Args:
        negatives: how many per query. 8 cost nothing to mine, and training draws from them.
        first: the best rank taken from, counted from 1. The very first ranks hold most of the unlabelled
            answers (false negatives), and the hardest negatives: with a filter by score they are worth taking.
        last: the last rank taken from; further down, documents stop being hard.
        sampling: ``uniform`` within the window, ``top`` (the best ranks that the rules leave), or
            ``weighted``: a hit is drawn in proportion to e to the power of its standardised score,
            so that the scale of the searcher's scores does not matter.
        ratio: a negative stays only below so much of its query's positive's score. Of several
            positives the lowest-scored one that scores above 0 counts, as in sentence-transformers'
            miner: the negatives are shared by all of them, so the rule then holds for each of them.
            None: no such filter.
        margin: a negative stays only below the positive's score less so much. None: no such filter.
        floor: a hit must score so much at least.
        ceiling: a negative may score so much at most.
        near_copy: weighted Jaccard similarity of words from which a document is a near-copy of a
            positive, and dropped (:mod:`tardif.mining.copies`). None: only exact copies are dropped.
        random_share: the share of the mined negatives that is drawn at random from the corpus instead
            of the window: easy ones among the hard.
        max_uses: for how many queries a document may be a negative. None: for any number.
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
        for name, least in (("negatives", 0), ("max_uses", 1)):
            value = getattr(self, name)
            if value is not None and not (_whole(value) and value >= least):
                raise SettingError(f"{name}={value!r}: give a whole number, {least} or more.")
        if not (_whole(self.first) and _whole(self.last) and 1 <= self.first <= self.last):
            raise SettingError(
                f"The rank window {self.first}-{self.last} is empty: it runs from a first rank, 1 or more, "
                "to a last one."
            )
        if self.sampling not in SAMPLINGS:
            raise SettingError(f"sampling={self.sampling!r} is not known: use {', '.join(SAMPLINGS)}.")
        self._check_scores()

    def _check_scores(self) -> None:
        for name in ("margin", "floor", "ceiling"):
            value = getattr(self, name)
            if value is not None and not _number(value):
                raise SettingError(f"{name}={value!r}: give a score, or None.")
        check_distance(self.ratio, self.margin)
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise SettingError(f"floor={self.floor} is above ceiling={self.ceiling}: no score is between them.")
        if self.near_copy is not None and not (_number(self.near_copy) and 0 < self.near_copy <= 1):
            raise SettingError(f"near_copy={self.near_copy!r}: give a similarity above 0 and up to 1, or None.")
        if not (_number(self.random_share) and 0 <= self.random_share <= 1):
            raise SettingError(f"random_share={self.random_share!r}: give a share from 0 to 1.")

    def as_json(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)

    @property
    def by_score(self) -> bool:
        """Whether any rule looks at scores of documents outside the window too."""
        return any(value is not None for value in (self.ratio, self.margin, self.ceiling))


def ratio_for(queries: int, made: bool) -> float | None:
    """The ratio for a training set that is given none: none above a thousand queries that people asked.

    With thousands of queries the hits that outrank the positive teach most, even where some are unlabelled answers;
    with hundreds, each of which is seen several times, they cost more than they teach (benchmarks/RESULTS.md has the
    figures). Queries that were made from documents have answers that nobody knows of in plenty.

    Args:
        queries: how many are trained on.
        made: whether most of them were made from the documents.
    """
    return None if queries > MANY and not made else RATIO


def check_distance(ratio: float | None, margin: float | None) -> None:
    """Raise if a negative's distance from the positive cannot be kept.

    Raises:
        SettingError: the ratio is not above 0 and up to 1, or the margin is below 0.
    """
    if ratio is not None and not (_number(ratio) and 0 < ratio <= 1):
        raise SettingError(f"ratio={ratio!r}: give a share of the positive's score above 0 and up to 1, or None.")
    if margin is not None and not (_number(margin) and margin >= 0):
        raise SettingError(f"margin={margin!r}: give a difference of scores, 0 or more, or None.")


@dataclass(frozen=True, slots=True)
class Reference:
    """The positives' scores that negatives are compared with; None where no positive can judge.

    Attributes:
        ratio: the lowest positive score above 0. A positive that scores 0 or less (nothing matches)
            says nothing of a share of its score.
        margin: the lowest positive score that is not 0.
    """

    ratio: float | None = None
    margin: float | None = None

    @classmethod
    def of(cls, scores: Sequence[float | None]) -> Reference:
        """The reference of a query whose positives have these scores (None: not known)."""
        known = [score for score in scores if score]
        return cls(min((score for score in known if score > 0), default=None), min(known, default=None))


def too_near(
    scores: NDArray[np.float64], reference: Reference, ratio: float | None, margin: float | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which scores are too near a positive's, by ratio and by margin; one that is no number is not."""
    nothing = np.zeros(len(scores), dtype=np.bool_)
    by_ratio = nothing if ratio is None or reference.ratio is None else scores >= ratio * reference.ratio
    by_margin = nothing if margin is None or reference.margin is None else scores >= reference.margin - margin
    return by_ratio, by_margin


def judge(
    selection: Selection, scores: NDArray[np.float64], reference: Reference, *, hard: bool = True
) -> list[str | None]:
    """The rule that drops each document by its score; None where it stays.

    Args:
        selection: the rules.
        scores: of the documents, NaN where not known: nothing drops those.
        reference: the query's positives' scores.
        hard: False for documents drawn at random, which need not reach the floor.
    """
    verdicts: list[str | None] = [None] * len(scores)
    by_ratio, by_margin = too_near(scores, reference, selection.ratio, selection.margin)
    dropped = {"margin": by_margin, "ratio": by_ratio}  # the first rule is written last
    if selection.ceiling is not None:
        dropped["ceiling"] = scores > selection.ceiling
    if hard and selection.floor is not None:
        dropped["floor"] = scores < selection.floor
    for rule, mask in dropped.items():
        for number in np.flatnonzero(mask):
            verdicts[number] = rule
    return verdicts


def order(sampling: str, scores: Sequence[float], draw: random.Random, count: int | None = None) -> list[int]:
    """The places of hits, best ranked first in ``scores``, in the order in which they are taken: ``count`` of them."""
    count = len(scores) if count is None else min(count, len(scores))
    places = range(len(scores))
    if sampling == "top" or not places:
        return list(places[:count])
    if sampling == "uniform":
        return draw.sample(places, count)
    # The largest of log-weight plus Gumbel noise is a draw by weight, and so on without replacement
    # (Vieira 2014; Efraimidis and Spirakis 2006).
    values = [0.0 if math.isnan(score) else score for score in scores]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) or 1.0
    keys = [(value - mean) / spread - math.log(-math.log(draw.random() or 5e-324)) for value in values]
    return sorted(places, key=lambda place: (-keys[place], place))[:count]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
