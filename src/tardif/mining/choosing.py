"""The choice itself, a block of queries at a time: rank, judge, draw, ask the teacher.

Random negatives are drawn from a pool, which knows how often each document has been used.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tardif.data.excluded_negatives import asks, overlapping, own_documents
from tardif.data.synthetic import parent_of
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.mining.blocks import MINED, OWN, RANDOM, Choice, ScoredDocument
from tardif.mining.copies import NearCopies, same_texts
from tardif.mining.searcher import Searcher
from tardif.mining.selection import Reference, Selection, judge, order
from tardif.mining.teacher import Teacher
from tardif.text.normal import normalise

Ranking = list[tuple[str, float]]

# How often more random documents are drawn for one query, and a refused negative is replaced: where
# so many in turn are dropped, more of them would be too.
_ROUNDS = 4
# Of many equal queries with a positive each, every one is compared with its own and so many of the others'.
_OTHERS = 64


@dataclass(slots=True)
class _Draft:
    """A query on its way to its choice."""

    query: str
    positives: list[str]  # the query's own that are trained on
    known: list[str]  # these, its other positives, and of what else answers its text the first ones
    answers: Collection[str]  # all that answers its text
    draw: random.Random
    taken: dict[str, str]  # document to origin
    seen: Barred  # not to be drawn any more
    unclear: frozenset[str] = frozenset()  # neither relevant nor not
    hard: list[str] = field(default_factory=list)  # what may be taken, the next one first
    easy: list[str] = field(default_factory=list)  # the same, drawn at random
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
        self._score: Any = getattr(searcher, "score", None)
        self._selection = selection
        self._teacher = teacher
        self._seed = seed
        self._same = same_texts(data.documents)
        self._empty = frozenset(d.id for d in data.documents.values() if not d.content)
        self._near = NearCopies(data.documents, selection.near_copy) if searcher is not None else None
        documents = data.documents.values()
        drawn = (d.id for d in documents if d.content and parent_of(d) is None)
        self._pool = Pool(drawn, selection.max_uses, self._same)
        asked = {query: data.queries[query] for query in data.query_ids(TRAIN)}
        self._own = own_documents(asked, documents, data.qrels)
        self._known: dict[str, dict[str, None]] = {}
        for query, text in data.queries.items():
            known = self._known.setdefault(normalise(text), {})
            known.update(dict.fromkeys(data.positives(query)))
        for known in self._known.values():
            known.update(dict.fromkeys(p for d in known if (p := parent_of(data.documents[d])) is not None))
        # Of documents that hold one and the same positive, one is trained on, or an excerpt of it.
        self._taught: dict[str, list[str]] = {}
        for example in data.examples:
            self._taught.setdefault(example.query_id, []).append(example.positive_id)

    def choose(self, queries: Sequence[str]) -> list[Choice]:
        """The choice of each query (ids); :meth:`count` must be told of it before the next block."""
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
        self._pool.use((n for draft in drafts for n in draft.taken), -1)  # count() counts them, in order
        return [self._finish(draft) for draft in drafts]

    def count(self, choices: Iterable[Choice]) -> None:
        """Count the uses of what was chosen, here or in an earlier run."""
        if self._selection.max_uses is not None:
            used = [negative.id for choice in choices for negative in choice.negatives]
            self._pool.use(used)
            self._pool.retire(used)

    def _begin(self, query: str) -> _Draft:
        data = self._data
        answers = self._known[normalise(data.queries[query])]
        positives = self._taught.get(query) or data.positives(query)
        known = list(dict.fromkeys([*positives, *data.positives(query), *itertools.islice(answers, _OTHERS)]))
        barred = Barred(self._same, answers)
        own = [
            d
            for d, relevance in data.qrels[query].items()
            if relevance <= 0 and d not in barred and d not in self._empty
        ]
        taken = own if self._searcher is None else own[: self._selection.negatives]
        draw = random.Random(f"{self._seed}\x00{query}")
        unclear = frozenset(data.unclear.get(query, ())).difference(answers)
        draft = _Draft(query, positives, known, answers, draw, dict.fromkeys(taken, OWN), barred, unclear)
        draft.seen.update([*taken, *unclear])
        self._pool.use(taken)
        return draft

    def _open(self, draft: _Draft, ranking: Ranking) -> None:
        """Take the window's hits that may be negatives whatever they score, and some random documents."""
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
            draft.asked_easy = int(open_places * selection.random_share + draft.draw.random())
        draft.easy = self._pool.draw(draft.draw, draft.seen, open_places)
        draft.seen.update(draft.easy)
        says = self._say_the_same(draft, [*draft.hard, *draft.easy])
        draft.dropped.update(says[d] for d in draft.hard if d in says)
        draft.hard = [d for d in draft.hard if d not in says]
        draft.easy = [d for d in draft.easy if d not in says]

    def _say_the_same(self, draft: _Draft, candidates: Sequence[str]) -> dict[str, str]:
        """The candidates that say what a known positive says, or what the query says, and the rule that drops each."""
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
        own = self._own.get(draft.query, ())
        return found | {d: "query" for d in candidates if d in own or asks(query, documents[d])}

    def _look_at_scores(self, drafts: Sequence[_Draft], rankings: Sequence[Ranking]) -> None:
        """Give every draft its documents' scores, and the reference to compare them with."""
        if self._score is not None:
            self._ask_scores(drafts, [[*self._searched(d), *d.hard, *d.easy] for d in drafts])
        for draft, ranking in zip(drafts, rankings, strict=True):
            if self._score is None:
                draft.scores = dict(ranking[: self._selection.last])
                if len(ranking) >= self._selection.last:  # what is not in it scores as much as its last hit at most
                    for positive in self._searched(draft):
                        draft.scores.setdefault(positive, ranking[-1][1])
            draft.reference = Reference.of([draft.scores.get(d) for d in self._searched(draft)])

    def _ask_scores(self, drafts: Sequence[_Draft], documents: Sequence[Sequence[str]]) -> None:
        texts = [self._data.queries[draft.query] for draft in drafts]
        for draft, ids, scores in zip(drafts, documents, self._score(texts, documents), strict=True):
            draft.scores.update(zip(ids, map(float, scores), strict=True))

    def _searched(self, draft: _Draft) -> list[str]:
        """The known positives as the searcher knows them: a variant by the document that it was made from."""
        return list(dict.fromkeys(self._as_searched(d) for d in draft.known))

    def _as_searched(self, identity: str) -> str:
        return parent_of(self._data.documents[identity]) or identity

    def _filter(self, draft: _Draft) -> None:
        """Drop by score, and put what stays in the order in which it is taken."""
        scores = [draft.scores.get(d, float("nan")) for d in draft.hard]
        verdicts = judge(self._selection, np.array(scores), draft.reference)
        draft.dropped.update(rule for rule in verdicts if rule is not None)
        kept = [number for number, rule in enumerate(verdicts) if rule is None]
        # Only what is used up or refused is ever replaced.
        final = self._teacher is None and self._selection.max_uses is None
        count = self._selection.negatives if final else len(kept)
        places = order(self._selection.sampling, [scores[number] for number in kept], draft.draw, count)
        draft.hard = [draft.hard[kept[place]] for place in places]
        draft.easy = self._fair(draft, draft.easy)

    def _fair(self, draft: _Draft, easy: Sequence[str]) -> list[str]:
        """The random documents that their score does not forbid."""
        scores = np.array([draft.scores.get(d, float("nan")) for d in easy])
        verdicts = judge(self._selection, scores, draft.reference, hard=False)
        return [d for d, rule in zip(easy, verdicts, strict=True) if rule is None]

    def _settle(self, drafts: Sequence[_Draft]) -> None:
        """Take as many as asked; what the teacher refuses is replaced."""
        for draft in drafts:
            self._fill(draft)
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
        rounds = 0
        while len(draft.taken) < wanted:
            self._take(draft, draft.easy, RANDOM, wanted - len(draft.taken))
            if len(draft.taken) == wanted or rounds == _ROUNDS or not self._more(draft):
                break
            rounds += 1
        self._take(draft, draft.hard, MINED, wanted - len(draft.taken))

    def _take(self, draft: _Draft, queue: list[str], origin: str, count: int) -> None:
        """Move the first ``count`` that may be used from the queue."""
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
        """Draw more random documents; False where there are none."""
        found = self._pool.draw(draft.draw, draft.seen, 2 * self._selection.negatives)
        draft.seen.update(found)
        says = self._say_the_same(draft, found)
        fresh = [d for d in found if d not in says]
        if self._score is not None and fresh:
            self._ask_scores([draft], [fresh])
        draft.easy += self._fair(draft, fresh)
        return bool(found)

    def _refused(self, drafts: Sequence[_Draft]) -> list[bool]:
        """Have the teacher score what it has not yet, and give back what it refuses."""
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
        # Own ones first, then mined, then random, each in the order drawn.
        ranks = {OWN: 0, MINED: 1, RANDOM: 2}
        chosen = sorted(draft.taken.items(), key=lambda item: ranks[item[1]])
        return Choice(
            query=draft.query,
            positives=tuple(
                ScoredDocument(d, "positive", draft.scores.get(self._as_searched(d)), draft.taught.get(d))
                for d in draft.positives
            ),
            negatives=tuple(
                ScoredDocument(d, origin, draft.scores.get(d), draft.taught.get(d)) for d, origin in chosen
            ),
            considered=draft.considered,
            dropped=dict(sorted(draft.dropped.items())),
            reference=draft.reference.ratio,
            as_asked=draft.asked_easy,
            short=self._searcher is not None and len(draft.taken) < self._selection.negatives,
        )


# Draws that miss before the pool is looked through as a whole: enough that this is rare.
_TRIES = 20


class Barred:
    """Documents that must not be taken: some by id, some with all copies of their text.

    A text may have as many copies as the corpus has documents: they are never listed.

    Args:
        copies: for every document whose text stands more than once, all its copies.
        texts: documents whose text is barred.
        identities: further documents that are barred themselves.
    """

    def __init__(
        self, copies: Mapping[str, Sequence[str]], texts: Iterable[str], identities: Iterable[str] = ()
    ) -> None:
        self._copies = copies
        self.texts = {copies.get(identity, (identity,))[0] for identity in texts}
        self._count = sum(len(copies.get(first, (first,))) for first in self.texts)
        self._ids = set(identities)

    def __contains__(self, identity: str) -> bool:
        return identity in self._ids or self._copies.get(identity, (identity,))[0] in self.texts

    def __len__(self) -> int:
        """How many documents are barred, at most."""
        return self._count + len(self._ids)

    def update(self, identities: Iterable[str]) -> None:
        """Bar further documents themselves."""
        self._ids.update(identities)


class Pool:
    """Documents to draw from at random.

    Args:
        identities: their ids.
        max_uses: how often a document may be used; None: any number of times.
        copies: for every document whose text stands more than once, all its copies.
    """

    def __init__(
        self, identities: Iterable[str], max_uses: int | None, copies: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._ids = sorted(identities)
        self._texts: dict[str, list[str]] = {}
        for identity in self._ids:
            self._texts.setdefault((copies or {}).get(identity, (identity,))[0], []).append(identity)
        self._place = {identity: place for place, identity in enumerate(self._ids)} if max_uses else {}
        self._max = max_uses
        self._uses = Counter[str]()

    def draw(self, draw: random.Random, barred: Barred, count: int) -> list[str]:
        """``count`` different documents that are not barred, or as many as there are."""
        if count <= 0:
            return []
        found: dict[str, None] = {}
        if len(self._ids) > 2 * (count + len(barred)):
            for _ in range(_TRIES * count):
                candidate = self._ids[draw.randrange(len(self._ids))]
                if candidate not in barred:
                    found.setdefault(candidate)
                if len(found) == count:
                    return list(found)
        rest = [
            identity
            for text, copies in self._texts.items()
            if text not in barred.texts
            for identity in copies
            if self.is_free(identity) and identity not in barred and identity not in found
        ]
        return [*found, *draw.sample(rest, min(count - len(found), len(rest)))]

    def is_free(self, identity: str) -> bool:
        """Whether a document may be used once more."""
        return self._max is None or self._uses[identity] < self._max

    def use(self, identities: Iterable[str], times: int = 1) -> None:
        """Count uses; -1 takes them back."""
        if self._max is not None:
            for identity in identities:
                self._uses[identity] += times

    def retire(self, identities: Iterable[str]) -> None:
        """Draw the documents that are used up no more.

        The order of the pool, and so what is drawn from it, depends on the order of these calls: they
        are made as blocks of queries are finished, in a resumed run as in an unbroken one.
        """
        for identity in identities:
            place = None if self.is_free(identity) else self._place.pop(identity, None)
            if place is not None:
                last = self._ids.pop()
                if last != identity:
                    self._ids[place] = last
                    self._place[last] = place
