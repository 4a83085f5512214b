"""Negatives chosen for blocks of queries: rank, filter, draw, ask the teacher."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tardif.data.excluded_negatives import asking, overlapping, own_documents
from tardif.data.synthetic import parent_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.mining.blocks import MINED, OWN, RANDOM, Choice, ScoredDocument
from tardif.mining.copies import NearCopies, same_texts
from tardif.mining.random_pool import Excluded, RandomPool
from tardif.mining.searcher import Searcher
from tardif.mining.selection import Reference, Selection, judge, order
from tardif.mining.teacher import Teacher
from tardif.text.normal import normalise

Ranking = list[tuple[str, float]]

# How often more random documents are drawn for one query, and a refused negative is replaced. After four rounds in
# which all were dropped, more would be dropped as well.
_ROUNDS = 4
# Many queries may have the same text and a positive each. Candidates are compared with the query's own positives and
# with this many of the others, or the work would grow with the square of such queries.
_OTHERS = 64


@dataclass(slots=True)
class _Draft:
    """A query while its negatives are chosen."""

    query: str
    positives: list[str]  # the query's own that are trained on
    known: list[str]  # these, its other positives, and the first of those of queries with the same text
    answers: Collection[str]  # all positives of queries with its text
    draw: random.Random
    taken: dict[str, str]  # document to origin
    seen: Excluded  # no longer to be drawn
    unclear: frozenset[str] = frozenset()  # neither relevant nor not
    hard: list[str] = field(default_factory=list)  # candidates from the window, the next one first
    easy: list[str] = field(default_factory=list)  # candidates drawn at random
    asked_easy: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    taught: dict[str, float] = field(default_factory=dict)
    reference: Reference = field(default_factory=Reference)
    considered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def count(self, origin: str) -> int:
        return sum(own == origin for own in self.taken.values())


class Chooser:
    """Chooses the negatives of blocks of queries; arguments as for :func:`tardif.mining.mine.mine`."""

    def __init__(
        self,
        data: TrainingSet,
        searcher: Searcher | None,
        selection: Selection,
        teacher: Teacher | None,
        seed: int,
    ) -> None:
        self._data = data
        self._searcher = searcher
        self._score: Any = getattr(searcher, "score", None)  # only a Scorer scores given documents
        self._selection = selection
        self._teacher = teacher
        self._seed = seed
        self._same = same_texts(data.documents)
        self._empty = frozenset(d.id for d in data.documents.values() if not d.content)
        self._near = NearCopies(data.documents, selection.near_copy) if searcher is not None else None
        documents = data.documents.values()
        drawn = (d.id for d in documents if d.content and parent_of(d) is None)
        self._pool = RandomPool(drawn, selection.max_uses, self._same)
        asked = {query: data.queries[query] for query in data.query_ids(TRAIN)}
        # A query may be a document of the corpus itself, as in collections of duplicate questions.
        self._own = own_documents(asked, documents, data.qrels)
        # By text: a positive of one query answers every query with the same text, as do the parents of variants.
        self._known: dict[str, dict[str, None]] = {}
        for query, text in data.queries.items():
            known = self._known.setdefault(normalise(text), {})
            known.update(dict.fromkeys(data.positives(query)))
        for known in self._known.values():
            known.update(dict.fromkeys(p for d in known if (p := parent_of(data.documents[d])) is not None))
        # If several documents hold the same positive, only one of them, or an excerpt of it, is trained on.
        self._taught: dict[str, list[str]] = {}
        for example in data.examples:
            self._taught.setdefault(example.query_id, []).append(example.positive_id)

    def choose(self, queries: Sequence[str]) -> list[Choice]:
        """Choose for each query (ids). Pass the result to :meth:`count` before the next block."""
        texts = [self._data.queries[query] for query in queries]
        drafts = [self._begin(query) for query in queries]
        if self._searcher is not None:
            rankings = self._searcher.search(texts, self._selection.last)
            for draft, ranking in zip(drafts, rankings, strict=True):
                self._open(draft, ranking)
            self._look_at_scores(drafts, rankings)
            for draft in drafts:
                self._filter(draft)
        self._settle(drafts)
        # Taken back: count() counts them in order, also those of blocks that an earlier run finished.
        self._pool.use((n for draft in drafts for n in draft.taken), -1)
        return [self._finish(draft) for draft in drafts]

    def count(self, choices: Iterable[Choice]) -> None:
        """Count the uses of chosen negatives, of this run or an earlier one."""
        if self._selection.max_uses is not None:
            used = [negative.id for choice in choices for negative in choice.negatives]
            self._pool.use(used)
            self._pool.retire(used)

    def _begin(self, query: str) -> _Draft:
        data = self._data
        answers = self._known[normalise(data.queries[query])]
        positives = self._taught.get(query) or data.positives(query)
        known = list(dict.fromkeys([*positives, *data.positives(query), *itertools.islice(answers, _OTHERS)]))
        seen = Excluded(self._same, answers)
        judged = data.qrels[query].items()
        own = [d for d, relevance in judged if relevance <= 0 and d not in seen and d not in self._empty]
        taken = own if self._searcher is None else own[: self._selection.negatives]
        # Each query has its own draws, so that a run over some of the queries gives them the same negatives.
        draw = random.Random(f"{self._seed}\x00{query}")
        unclear = frozenset(data.unclear.get(query, ())).difference(answers)
        draft = _Draft(query, positives, known, answers, draw, dict.fromkeys(taken, OWN), seen, unclear)
        draft.seen.update([*taken, *unclear])
        self._pool.use(taken)
        return draft

    def _open(self, draft: _Draft, ranking: Ranking) -> None:
        """Fill the candidates: hits of the window that no rule but those on scores drops, and random documents."""
        selection = self._selection
        window = [identity for identity, _ in ranking[selection.first - 1 : selection.last]]
        draft.considered = len(window)
        for identity in window:
            if identity in draft.answers:
                draft.dropped["positive"] += 1
            elif identity in draft.taken:
                continue
            elif identity in draft.unclear:
                draft.dropped["unclear"] += 1
            elif identity in draft.seen or identity in self._empty:
                draft.dropped["copy"] += 1
            else:
                draft.hard.append(identity)
        draft.seen.update(identity for identity, _ in ranking[: selection.last])
        open_places = max(selection.negatives - len(draft.taken), 0)
        if selection.random_share:
            # Rounded up or down at random, so that the share holds over all queries.
            draft.asked_easy = int(open_places * selection.random_share + draft.draw.random())
        draft.easy = self._pool.draw(draft.draw, draft.seen, open_places)
        draft.seen.update(draft.easy)
        alike = self._alike(draft, [*draft.hard, *draft.easy])
        draft.dropped.update(alike[d] for d in draft.hard if d in alike)
        draft.hard = [d for d in draft.hard if d not in alike]
        draft.easy = [d for d in draft.easy if d not in alike]

    def _alike(self, draft: _Draft, candidates: Sequence[str]) -> dict[str, str]:
        """The candidates that repeat a known positive or the query, each with the rule that drops it."""
        if self._near is None:
            return {}
        documents, query = self._data.documents, self._data.queries[draft.query]
        alike = self._near.compare(draft.known, candidates)
        found = {candidates[number]: "near-copy" for number in np.flatnonzero(alike.near).tolist()}
        if alike.originals:
            holding, parts = (
                [documents[candidates[number]] for number in np.flatnonzero(mask).tolist()]
                for mask in (alike.holding, alike.parts)
            )
            found |= overlapping([documents[d] for d in alike.originals], holding, parts, known=found)
        own = asking(query, [documents[d] for d in candidates]).union(self._own.get(draft.query, ()))
        return found | {d: "query" for d in candidates if d in own}

    def _look_at_scores(self, drafts: Sequence[_Draft], rankings: Sequence[Ranking]) -> None:
        """Give every draft its documents' scores, and the positives' scores to compare them with."""
        if self._score is not None:
            self._ask_scores(drafts, [[*self._searched(d), *d.hard, *d.easy] for d in drafts])
        for draft, ranking in zip(drafts, rankings, strict=True):
            if self._score is None:
                draft.scores = dict(ranking[: self._selection.last])
                # A positive below a full ranking scores at most as much as its last hit, and is taken to score that.
                if len(ranking) >= self._selection.last:
                    for positive in self._searched(draft):
                        draft.scores.setdefault(positive, ranking[-1][1])
            draft.reference = Reference.of([draft.scores.get(d) for d in self._searched(draft)])

    def _ask_scores(self, drafts: Sequence[_Draft], documents: Sequence[Sequence[str]]) -> None:
        texts = [self._data.queries[draft.query] for draft in drafts]
        for draft, ids, scores in zip(drafts, documents, self._score(texts, documents), strict=True):
            draft.scores.update(zip(ids, map(float, scores), strict=True))

    def _searched(self, draft: _Draft) -> list[str]:
        """The known positives as the searcher knows them: a variant as the document that it was made from."""
        return list(dict.fromkeys(self._as_searched(d) for d in draft.known))

    def _as_searched(self, identity: str) -> str:
        return parent_of(self._data.documents[identity]) or identity

    def _filter(self, draft: _Draft) -> None:
        """Drop by score, and put the rest in the order in which it is taken."""
        verdicts = self._judge(draft, draft.hard, hard=True)
        draft.dropped.update(rule for rule in verdicts if rule is not None)
        kept = [d for d, rule in zip(draft.hard, verdicts, strict=True) if rule is None]
        # Negatives are replaced only if they are used up or refused: else no more need to be ordered than are taken.
        final = self._teacher is None and self._selection.max_uses is None
        count = self._selection.negatives if final else len(kept)
        scores = [draft.scores.get(d, float("nan")) for d in kept]
        draft.hard = [kept[place] for place in order(self._selection.sampling, scores, draft.draw, count)]
        draft.easy = self._fair(draft, draft.easy)

    def _judge(self, draft: _Draft, candidates: Sequence[str], *, hard: bool) -> list[str | None]:
        scores = np.array([draft.scores.get(d, float("nan")) for d in candidates])
        return judge(self._selection, scores, draft.reference, hard=hard)

    def _fair(self, draft: _Draft, easy: Sequence[str]) -> list[str]:
        """The random documents that no rule on scores drops."""
        return [d for d, rule in zip(easy, self._judge(draft, easy, hard=False), strict=True) if rule is None]

    def _settle(self, drafts: Sequence[_Draft]) -> None:
        """Take as many negatives as asked for, and replace those that the teacher refuses."""
        for draft in drafts:
            self._fill(draft)
        # All queries of the block in one call: the teacher pads and computes in large batches.
        waiting = list(drafts)
        for attempt in range(_ROUNDS if self._teacher is not None else 0):
            waiting = [draft for draft, refused in zip(waiting, self._refused(waiting), strict=True) if refused]
            if attempt < _ROUNDS - 1:
                for draft in waiting:
                    self._fill(draft)

    def _fill(self, draft: _Draft) -> None:
        if self._searcher is None:
            return
        wanted = self._selection.negatives
        hard = wanted - draft.count(OWN) - draft.asked_easy - draft.count(MINED)
        self._take(draft, draft.hard, MINED, min(hard, wanted - len(draft.taken)))
        self._take(draft, draft.easy, RANDOM, wanted - len(draft.taken))
        for _ in range(_ROUNDS):
            if len(draft.taken) >= wanted or not self._more(draft):
                break
            self._take(draft, draft.easy, RANDOM, wanted - len(draft.taken))
        self._take(draft, draft.hard, MINED, wanted - len(draft.taken))

    def _take(self, draft: _Draft, queue: list[str], origin: str, count: int) -> None:
        """Move the first ``count`` documents that may be used from the queue to the draft."""
        looked_at = 0
        for identity in queue:
            if count <= 0:
                break
            looked_at += 1
            if self._pool.is_free(identity):
                self._pool.use([identity])
                draft.taken[identity] = origin
                count -= 1
            elif origin == MINED:
                draft.dropped["uses"] += 1
        del queue[:looked_at]

    def _more(self, draft: _Draft) -> bool:
        """Draw more random documents; return whether there were any."""
        found = self._pool.draw(draft.draw, draft.seen, 2 * self._selection.negatives)
        draft.seen.update(found)
        alike = self._alike(draft, found)
        fresh = [d for d in found if d not in alike]
        if self._score is not None and fresh:
            self._ask_scores([draft], [fresh])
        draft.easy += self._fair(draft, fresh)
        return bool(found)

    def _refused(self, drafts: Sequence[_Draft]) -> list[bool]:
        """Have the teacher score the taken documents, give back those it refuses, and return which drafts had any."""
        assert self._teacher is not None
        asked = [(draft, d) for draft in drafts for d in (*draft.positives, *draft.taken) if d not in draft.taught]
        queries, documents = self._data.queries, self._data.documents
        scores = self._teacher.score([(queries[draft.query], documents[d].content) for draft, d in asked])
        for (draft, identity), score in zip(asked, scores, strict=True):
            draft.taught[identity] = score
        answers = []
        for draft in drafts:
            mined = [d for d, origin in draft.taken.items() if origin != OWN]
            given = [draft.taught[d] for d in mined]
            mask = self._teacher.refuses([draft.taught[d] for d in draft.positives], given)
            refused = [d for d, no in zip(mined, mask.tolist(), strict=True) if no]
            for identity in refused:
                draft.dropped["teacher"] += draft.taken.pop(identity) == MINED
            self._pool.use(refused, -1)
            answers.append(bool(refused))
        return answers

    def _finish(self, draft: _Draft) -> Choice:
        scores, taught = draft.scores, draft.taught
        # The user's own first, then mined, then random, each in the order drawn.
        ranks = {OWN: 0, MINED: 1, RANDOM: 2}
        chosen = sorted(draft.taken.items(), key=lambda item: ranks[item[1]])
        return Choice(
            query=draft.query,
            positives=tuple(
                ScoredDocument(d, "positive", scores.get(self._as_searched(d)), taught.get(d)) for d in draft.positives
            ),
            negatives=tuple(ScoredDocument(d, origin, scores.get(d), taught.get(d)) for d, origin in chosen),
            considered=draft.considered,
            dropped=dict(sorted(draft.dropped.items())),
            reference=draft.reference.ratio,
            as_asked=draft.asked_easy,
            short=self._searcher is not None and len(draft.taken) < self._selection.negatives,
        )
