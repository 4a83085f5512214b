"""The queries that a report shows: the biggest wins and losses, with both rankings and the words that matched.

Two systems were measured on the same queries. Those that differ most say most about what changed, so they are shown
with the texts of their first hits. An explainer, if the system has one, says which words earned a hit's score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tardif.errors import TardifError
from tardif.evaluation.evidence import ShownHit, ShownQuery, ShownRanking, ShownRelevant
from tardif.evaluation.outcome import FirstHits
from tardif.explanation import Explanation
from tardif.types import Document, Qrels

# Wins, and losses, that are shown; pairs that are explained token by token.
MOST, EXPLAINED = 20, 4
# Wins, and losses, whose matched words are marked: each hit is encoded for it, a fifth of a second on a busy CPU.
_MARKED = 8
# Characters of a passage, of the beginning of a relevant document, and of a query or title.
_PASSAGE, _BEGINNING, LINE = 600, 300, 1000
# Similarities of an explained pair: a heat map of more cannot be read, and would fill the file.
_LARGEST = 40_000
# Pairs that are tried until enough of them are small enough.
_TRIED = 12

# The explanation of a document's score for a query: the query's text, the document -> the explanation.
Explain = Callable[[str, Document], Explanation]


@dataclass(frozen=True)
class Side:
    """One of the two systems that are compared.

    Attributes:
        name: the system's.
        values: query id -> value of the measure.
        first: query id -> its first hits.
        explain: explains a score; None if the system cannot.
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
    plain = replace(ours, explain=None), replace(theirs, explain=None)
    marked = {*wins[:_MARKED], *losses[:_MARKED]}
    shown = {q: _query(judged, q, (ours, theirs) if q in marked else plain) for q in (*wins, *losses)}
    # Of the pairs to explain, wins come first: they show what was learnt. The best of the others fill up.
    others = sorted(ours.values, key=lambda query: (-ours.values[query], query))
    order = dict.fromkeys([*wins[: EXPLAINED - 1], *losses[:1], *wins, *others])
    return Shown(tuple(shown.values()), tuple(islice(_explained(judged, ours, order), EXPLAINED)))


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


def _query(judged: Judgements, query: str, sides: Sequence[Side]) -> ShownQuery:
    rankings = tuple(ShownRanking(side.name, side.values[query], tuple(_hits(judged, side, query))) for side in sides)
    seen = {hit.document_id for ranking in rankings for hit in ranking.hits}
    text = cut(judged.queries.get(query, ""), LINE)
    relevant = tuple(_unseen(judged, query, sides, seen))
    return ShownQuery(judged.data, query, text, judged.measure, rankings, relevant)


def _hits(judged: Judgements, side: Side, query: str) -> Iterator[ShownHit]:
    relevance = judged.qrels.get(query, {})
    first = side.first.get(query)
    for rank, (identity, score) in enumerate(first["hits"] if first else (), start=1):
        document = judged.document(identity)
        text, marks = _passage(side, judged.queries.get(query, ""), document)
        title = cut(document.title, LINE) if document else ""
        yield ShownHit(rank, identity, float(score), relevance.get(identity), title, text, marks)


def _passage(side: Side, query: str, document: Document | None) -> tuple[str, tuple[tuple[int, int, float], ...]]:
    """The passage of a document that earned most of its score, with the words that did; else its beginning."""
    if document is None:  # of a run file: nobody knows the text
        return "", ()
    if side.explain is not None:
        found = tried(side.explain, query, document)
        if found is not None and found.document.endswith(document.text):
            from tardif.search.snippet import passage

            # The title is shown apart.
            best = passage(found, _PASSAGE, start=len(found.document) - len(document.text))
            return best.text, tuple((mark.start, mark.end, mark.weight) for mark in best.marks)
    return cut(document.text, _PASSAGE), ()


def _unseen(judged: Judgements, query: str, sides: Sequence[Side], seen: set[str]) -> Iterator[ShownRelevant]:
    """The relevant documents that no shown hit is, with their ranks."""
    known = [side.first.get(query) for side in sides]
    ranks = {identity: None for first in known if first for identity in first["ranks"]}
    for identity in ranks:
        if identity not in seen and (document := judged.document(identity)) is not None:
            by = {side.name: first["ranks"].get(identity) for side, first in zip(sides, known, strict=True) if first}
            yield ShownRelevant(identity, cut(document.content, _BEGINNING), by)


def _explained(judged: Judgements, side: Side, order: Iterable[str]) -> Iterator[Explanation]:
    """Explain the best-ranked relevant document of some queries, in this order of preference."""
    pairs = ((query, found) for query in order if (found := _best_relevant(judged, side, query)) is not None)
    for query, document in islice(pairs, _TRIED if side.explain else 0):
        assert side.explain is not None
        explained = tried(side.explain, judged.queries.get(query, ""), document)
        if explained is not None and 0 < explained.similarities.size <= _LARGEST:
            # The model may read the beginning of a long text alone.
            read = max((token.end for token in explained.document_tokens if token.end is not None), default=_PASSAGE)
            yield replace(explained, document=explained.document[: read + _PASSAGE])


def _best_relevant(judged: Judgements, side: Side, query: str) -> Document | None:
    ranks = side.first[query]["ranks"] if query in side.first else {}
    found = sorted((rank, identity) for identity, rank in ranks.items() if rank is not None)
    return judged.document(found[0][1]) if found else None


def tried(explain: Explain, query: str, document: Document) -> Explanation | None:
    """Explain a score, or return None where the model cannot: a report does without."""
    try:
        return explain(query, document)
    except TardifError:
        return None


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
