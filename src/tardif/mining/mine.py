"""From a searcher's ranking to hard negatives: a rank window that holds, and no positive in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tardif.data.synthesis.result import parent_of
from tardif.data.text import normalise
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import SettingError
from tardif.mining.searcher import Searcher
from tardif.types import Example


@dataclass(frozen=True, slots=True)
class Window:
    """Which ranks negatives are drawn from, counted from 1, both ends among them.

    The very first ranks hold most of the unlabelled answers (false negatives), so the window begins
    below them; far down, documents stop being hard.
    """

    first: int = 5
    last: int = 100

    def check(self) -> None:
        """Raise if the window is empty.

        Raises:
            SettingError: the first rank is below 1 or after the last.
        """
        if not 1 <= self.first <= self.last:
            raise SettingError(
                f"The rank window {self.first}-{self.last} is empty: it runs from a first rank, 1 or more, "
                "to a last one."
            )


def mine(
    data: TrainingSet,
    searcher: Searcher | None,
    *,
    negatives: int = 8,
    window: Window | None = None,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
    batch: int = 256,
) -> TrainingSet:
    """Give every training query's positives their hard negatives.

    Per query: the user's own negatives first (judged 0 and below), then a seeded draw from the
    searcher's ranking inside the window, then, where those run out, random documents from outside
    the ranks above it. No known positive of the query (or of a query with the same text), no copy of
    one (same normalised text) and no empty text is ever taken.

    Args:
        data: a training set; only its training queries are mined for.
        searcher: what ranks the corpus; None mines nothing and keeps the user's own negatives.
        negatives: how many per query.
        window: the ranks to draw from; ranks 5 to 100 by default.
        seed: of the draws. Same seed, same negatives.
        advance: called with the number of queries done, for progress.
        batch: queries per call of the searcher.

    Returns:
        The set with its examples, and the counts in its report.
    """
    if negatives < 0:
        raise SettingError(f"negatives={negatives}: give 0 or more.")
    window = window or Window()
    window.check()
    same_text = _copies(data)
    pool = sorted(d.id for d in data.documents.values() if d.content and parent_of(d) is None)
    queries = data.query_ids(TRAIN)
    known: dict[str, list[str]] = {}
    for query, text in data.queries.items():
        known.setdefault(normalise(text), []).extend(data.positives(query))
    chosen: dict[str, tuple[str, ...]] = {}
    counts = {"own": 0, "mined": 0, "random": 0, "short": 0}
    for begin in range(0, len(queries), batch):
        block = queries[begin : begin + batch]
        if searcher is None:
            rankings: list[list[tuple[str, float]]] = [[] for _ in block]
        else:
            rankings = searcher.search([data.queries[query] for query in block], window.last)
        for query, ranking in zip(block, rankings, strict=True):
            positives = list(known[normalise(data.queries[query])])
            positives += [parent for d in positives if (parent := parent_of(data.documents[d])) is not None]
            banned = {copy for positive in positives for copy in same_text.get(positive, (positive,))}
            draw = random.Random(f"{seed}\x00{query}")
            own = [
                d
                for d, relevance in data.qrels[query].items()
                if relevance <= 0 and d not in banned and data.documents[d].content
            ]
            picked = dict.fromkeys(own[:negatives] if searcher is not None else own)
            counts["own"] += len(picked)
            if searcher is not None:
                inside = [d for d, _ in ranking[window.first - 1 : window.last]]
                hard = [d for d in inside if d not in banned and d not in picked and data.documents[d].content]
                taken = draw.sample(hard, min(len(hard), negatives - len(picked)))
                picked.update(dict.fromkeys(taken))
                counts["mined"] += len(taken)
                above = {d for d, _ in ranking[: window.first - 1]}
                fill = _random_fill(pool, draw, banned | above | set(picked), negatives - len(picked))
                picked.update(dict.fromkeys(fill))
                counts["random"] += len(fill)
                counts["short"] += len(picked) < negatives
            chosen[query] = tuple(picked)
        if advance is not None:
            advance(len(block))
    # What a teacher scored stays as it is: a mined negative would have no score.
    taught = {(example.query_id, example.positive_id): example for example in data.examples if example.scores}
    examples = [
        taught.get((query, positive)) or Example(query, positive, chosen[query])
        for query in queries
        for positive in data.positives(query)
    ]
    return replace(data, examples=examples, report=[*data.report, *_report(counts, len(queries), searcher, window)])


def _copies(data: TrainingSet) -> dict[str, tuple[str, ...]]:
    """For every document whose normalised text stands more than once: the ids of all its copies."""
    groups: dict[str, list[str]] = {}
    for identity, document in data.documents.items():
        groups.setdefault(normalise(document.content), []).append(identity)
    return {identity: tuple(group) for group in groups.values() if len(group) > 1 for identity in group}


def _random_fill(pool: Sequence[str], draw: random.Random, banned: set[str], count: int) -> list[str]:
    """``count`` different documents outside ``banned``, or as many as there are."""
    if count <= 0:
        return []
    if len(pool) <= 4 * (count + len(banned)):
        rest = [document for document in pool if document not in banned]
        return draw.sample(rest, min(count, len(rest)))
    found: dict[str, None] = {}
    while len(found) < count:
        candidate = pool[draw.randrange(len(pool))]
        if candidate not in banned:
            found.setdefault(candidate)
    return list(found)


def _report(counts: dict[str, int], queries: int, searcher: Searcher | None, window: Window) -> list[str]:
    if searcher is None:
        return [f"hard negatives: none mined, {counts['own']} of the data's own kept"]
    line = (
        f"hard negatives for {queries} queries: {counts['mined']} mined from ranks {window.first}-{window.last}, "
        f"{counts['own']} of the data's own, {counts['random']} random to fill up"
    )
    short = [f"{counts['short']} queries got fewer negatives than asked: the corpus is too small"]
    return [line, *(short if counts["short"] else [])]
