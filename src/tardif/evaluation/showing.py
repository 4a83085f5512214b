"""The queries that a report shows: the biggest wins and losses, with both rankings and the words that matched.

Two systems were measured on the same queries. Those that differ most say most about what changed, so they are shown
with the texts of their first hits. An explainer, if the system has one, says which words earned a hit's score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tardif.evaluation.evidence import ShownHit, ShownQuery, ShownRanking, ShownRelevant
from tardif.evaluation.outcome import FirstHits
from tardif.explanation import Explanation
from tardif.types import Document, Qrels

# Wins, and losses, that are shown; pairs that are explained token by token.
MOST, EXPLAINED = 20, 4
# Wins, and losses, whose matched words are marked: each hit is encoded for it.
_MARKED = 8
# Characters of a passage, of the beginning of a relevant document, and of a query or title.
_PASSAGE, _BEGINNING, LINE = 600, 300, 1000
# Similarities of an explained pair: a heat map of more cannot be read, and would fill the file.
_LARGEST = 40_000
# Pairs that are tried until enough of them are small enough.
_TRIED = 12

# Explanations of documents' scores for queries, all together: pairs of a query's text and a document -> for each pair
# the explanation, or None where there is none. Texts that are encoded together cost least.
Explain = Callable[[Sequence[tuple[str, Document]]], Sequence[Explanation | None]]
# Explanations by the ids of query and document.
_Explained = Mapping[tuple[str, str], Explanation]


@dataclass(frozen=True)
class Side:
    """One of the two systems that are compared.

    Attributes:
        name: the system's.
        values: query id -> value of the measure.
        first: query id -> its first hits.
        explain: explains scores; None if the system cannot.
    """

    name: str
    values: Mapping[str, float]
    first: Mapping[str, FirstHits]
    explain: Explain | None = None


@dataclass(frozen=True)
class Judgements:
    """The data set that the systems were measured on.

    Attributes:
        data: its name.
        queries: texts by id.
        qrels: the judgements.
        document: returns the document of an id, or None if the corpus has none.
        measure: what the values are of.
    """

    data: str
    queries: Mapping[str, str]
    qrels: Qrels
    document: Callable[[str], Document | None]
    measure: str


@dataclass(frozen=True)
class Shown:
    """What a report shows of two systems: queries side by side, and explained pairs of the first system."""

    queries: Sequence[ShownQuery] = ()
    explanations: Sequence[Explanation] = ()


def show(judged: Judgements, ours: Side, theirs: Side, most: int = MOST) -> Shown:
    """Choose the queries with the biggest wins and losses, and show them.

    Args:
        judged: the data set.
        ours: the system that is judged.
        theirs: the one that it is compared with.
        most: the most wins, and the most losses.
    """
    wins, losses = biggest(ours.values, theirs.values, most)
    marked = {*wins[:_MARKED], *losses[:_MARKED]}
    # Of the pairs to explain, wins come first: they show what was learnt. The best of the others fill up.
    others = sorted(ours.values, key=lambda query: (-ours.values[query], query))
    order = dict.fromkeys([*wins[: EXPLAINED - 1], *losses[:1], *wins, *others])
    pairs = list(islice(_best_pairs(judged, ours, order), _TRIED))
    # The other system first: it was measured last, and its model may still be open.
    their = _explained(judged, theirs, _shown_pairs(theirs, marked))
    our = _explained(judged, ours, [*_shown_pairs(ours, marked), *pairs[:EXPLAINED]])
    # A query that is not marked shows nothing of a pair that is explained for itself.
    shown = tuple(
        _query(judged, q, [(ours, our if q in marked else {}), (theirs, their if q in marked else {})])
        for q in (*wins, *losses)
    )
    found = [our[pair] for pair in pairs[:EXPLAINED] if pair in our and _is_small(our[pair])]
    if len(found) < EXPLAINED:
        found += filter(_is_small, _explained(judged, ours, pairs[EXPLAINED:]).values())
    return Shown(shown, tuple(map(_cut_to_what_is_read, found[:EXPLAINED])))


def biggest(ours: Mapping[str, float], theirs: Mapping[str, float], most: int) -> tuple[list[str], list[str]]:
    """Return the queries with the biggest wins and those with the biggest losses, the biggest first.

    >>> biggest({"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 0.5, "b": 0.5, "c": 0.1}, 5)
    (['a'], ['c'])
    """
    by = {query: ours[query] - theirs[query] for query in ours if query in theirs}
    wins = sorted((query for query in by if by[query] > 0), key=lambda query: (-by[query], query))
    losses = sorted((query for query in by if by[query] < 0), key=lambda query: (by[query], query))
    return wins[:most], losses[:most]


def biggest_shown(queries: Sequence[ShownQuery], most: int = MOST) -> tuple[ShownQuery, ...]:
    """Return the biggest wins, then the biggest losses, of queries that were shown apart: by fold or by data set."""
    wins = sorted((q for q in queries if q.difference > 0), key=lambda q: (-q.difference, q.data, q.query_id))
    losses = sorted((q for q in queries if q.difference < 0), key=lambda q: (q.difference, q.data, q.query_id))
    return (*wins[:most], *losses[:most])


def _shown_pairs(side: Side, queries: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The first hits of some queries."""
    for query in sorted(queries):
        if first := side.first.get(query):
            yield from ((query, identity) for identity, _ in first["hits"])


def _explained(judged: Judgements, side: Side, wanted: Iterable[tuple[str, str]]) -> _Explained:
    """Explain pairs of a query and a document, all together. What nobody has the texts of is left out."""
    texts = ((pair, judged.queries.get(pair[0], ""), judged.document(pair[1])) for pair in dict.fromkeys(wanted))
    known = {pair: (query, document) for pair, query, document in texts if query.strip() and document is not None}
    if side.explain is None or not known:
        return {}
    found = zip(known, side.explain(list(known.values())), strict=True)
    return {pair: explanation for pair, explanation in found if explanation is not None}


def _query(judged: Judgements, query: str, sides: Sequence[tuple[Side, _Explained]]) -> ShownQuery:
    rankings = tuple(
        ShownRanking(side.name, side.values[query], tuple(_hits(judged, side, query, explained)))
        for side, explained in sides
    )
    seen = {hit.document_id for ranking in rankings for hit in ranking.hits}
    text = cut(judged.queries.get(query, ""), LINE)
    relevant = tuple(_unseen(judged, query, [side for side, _ in sides], seen))
    return ShownQuery(judged.data, query, text, judged.measure, rankings, relevant)


def _hits(judged: Judgements, side: Side, query: str, explained: _Explained) -> Iterator[ShownHit]:
    relevance = judged.qrels.get(query, {})
    first = side.first.get(query)
    for rank, (identity, score) in enumerate(first["hits"] if first else (), start=1):
        document = judged.document(identity)
        text, marks = _passage(document, explained.get((query, identity)))
        title = cut(document.title, LINE) if document else ""
        yield ShownHit(rank, identity, float(score), relevance.get(identity), title, text, marks)


def _passage(
    document: Document | None, explanation: Explanation | None
) -> tuple[str, tuple[tuple[int, int, float], ...]]:
    """The passage of a document that earned most of its score, with the words that did; else its beginning."""
    if document is None:  # of a run file: nobody knows the text
        return "", ()
    # Of a document that was cut, an index explains the best piece.
    if explanation is not None and (begin := _body(explanation.document, document)) is not None:
        from tardif.search.snippet import passage

        best = passage(explanation, _PASSAGE, start=begin)
        return best.text, tuple((mark.start, mark.end, mark.weight) for mark in best.marks)
    return cut(document.text, _PASSAGE), ()


def _body(explained: str, document: Document) -> int | None:
    """Where the text begins in what was explained, which has the title in front: the title is shown apart.

    Returns:
        The place; None if that is another text.
    """
    title = document.title.lstrip()
    begins = [len(title) + 1] if title and explained.startswith(f"{title} ") else []
    return next((begin for begin in (*begins, 0) if explained[begin:].strip() in document.text), None)


def _unseen(judged: Judgements, query: str, sides: Sequence[Side], seen: set[str]) -> Iterator[ShownRelevant]:
    """The relevant documents that no shown hit is, with their ranks."""
    known = [side.first.get(query) for side in sides]
    ranks = {identity: None for first in known if first for identity in first["ranks"]}
    for identity in ranks:
        if identity not in seen and (document := judged.document(identity)) is not None:
            by = {side.name: first["ranks"].get(identity) for side, first in zip(sides, known, strict=True) if first}
            yield ShownRelevant(identity, cut(document.content, _BEGINNING), by)


def _best_pairs(judged: Judgements, side: Side, order: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Some queries with their best-ranked relevant documents, in this order of preference."""
    return ((query, found) for query in order if (found := _best_relevant(judged, side, query)) is not None)


def _is_small(explanation: Explanation) -> bool:
    return 0 < explanation.similarities.size <= _LARGEST


def _cut_to_what_is_read(explanation: Explanation) -> Explanation:
    """An explanation without the end of a long text, of which a model may read the beginning alone."""
    read = max((token.end for token in explanation.document_tokens if token.end is not None), default=_PASSAGE)
    return replace(explanation, document=explanation.document[: read + _PASSAGE])


def _best_relevant(judged: Judgements, side: Side, query: str) -> str | None:
    ranks = side.first[query]["ranks"] if query in side.first else {}
    found = sorted((rank, identity) for identity, rank in ranks.items() if rank is not None)
    return found[0][1] if found and judged.document(found[0][1]) is not None else None


def cut(text: str, most: int) -> str:
    """Return a text on one line, cut between words where it is longer.

    >>> cut("Press the  red button.", 12)
    'Press the ...'
    """
    line = " ".join(text[: 4 * most].split())
    if len(line) <= most and len(text) <= 4 * most:
        return line
    begin = line[:most]
    space = begin.rfind(" ")
    return f"{begin[:space] if space > most // 2 else begin} ..."
