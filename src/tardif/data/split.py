"""The split into training, validation and test: seeded, by group, and no text on two sides.

Queries with the same normalised text are one group. Groups are joined if they share a family (the value of a field to
split by), are nearly the same text or, on request, share a relevant document. A hash of seed and text decides which
groups are held out. So the split depends neither on the order of the input nor on the process. Cross-validation holds
out each query once, in folds that keep the same groups together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tardif.data.formats.values import Cell
from tardif.data.staging import Staging
from tardif.data.synthetic import PARENT
from tardif.data.training_set import TEST, TRAIN, VALIDATION, TrainingSet
from tardif.errors import DataError, SettingError
from tardif.text.near import LIMIT, near_duplicates
from tardif.text.normal import keyed_order, normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray


# More held-out queries cost evaluation time and narrow the error of the figures little.
MAX_HELD_OUT = 500
# The share for validation that depends on the number of queries: see enough().
AUTO = "auto"
# With "auto" a tenth is held out; where that is less than 50 queries, 50 but at most one in three.
SHARE, LEAST_HELD_OUT, MOST_OF_FEW = 0.1, 50, 3
# On fewer queries no difference can be told from chance, not even if all are won: p is 2 / 2 ** 5.
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Split:
    """The shares of the sides.

    Args:
        validation: the share of queries for validation, at most :data:`MAX_HELD_OUT` queries. 0 holds out none;
            ``auto`` lets :func:`enough` decide.
        test: the share of queries for a test that training never sees; the same cap.
        seed: the key of the hash.
        documents_apart: no document is relevant to queries on two sides.
    """

    validation: float | str = AUTO
    test: float = 0.0
    seed: int = 0
    documents_apart: bool = False

    def check(self) -> None:
        """Raise if a share is out of range.

        Raises:
            SettingError: names the share.
        """
        for name in ("validation", "test"):
            value = getattr(self, name)
            if name == VALIDATION and value == AUTO:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise SettingError(f"{name}={value!r}: give a share from 0 up to (not with) 1.")
        if not isinstance(self.validation, str) and self.validation + self.test >= 1:
            raise SettingError("validation and test together leave nothing to train on.")


def enough(queries: int) -> int:
    """The number of queries to hold out by default.

    A tenth of many queries is enough to measure a gain. A tenth of few is not, so 50 are held out, but at most a third.
    If a third is less than :data:`FEWEST`, none is: it could not tell any gain from chance.

    >>> [enough(queries) for queries in (15, 60, 200, 1000, 100_000)]
    [0, 20, 50, 100, 500]
    """
    few = min(LEAST_HELD_OUT, queries // MOST_OF_FEW)
    return 0 if few < FEWEST else min(max(round(queries * SHARE), few), MAX_HELD_OUT)


def split(staging: Staging, how: Split, *, held_out: Sequence[int] = (), alike: Sequence[Sequence[str]] = ()) -> None:
    """Give every row of ``asked`` its side, in the new table ``sides`` (id, side).

    Args:
        staging: a cleaned collection.
        how: the shares.
        held_out: the numbers of sources that the user holds out. Then the only other queries held out are those in a
            group with one of theirs.
        alike: groups of query ids with nearly the same text.

    Raises:
        DataError: nothing is left to train on.
    """
    _group(staging, how, alike)
    queries = int(staging.one("SELECT count(*) FROM units"))
    if not queries:
        raise DataError("No query is left to train on: no row that was read can be used.")
    if held_out:
        staging.run(
            """CREATE TABLE chosen AS SELECT DISTINCT u.unit, 'validation' AS side
            FROM units u JOIN stated s ON s.query_id = u.id WHERE s.source IN (SELECT unnest(?))""",
            [list(held_out)],
        )
    else:
        _draw(staging, how, queries)
    staging.run(
        """CREATE TABLE sides AS SELECT u.id, coalesce(c.side, 'train') AS side
        FROM units u LEFT JOIN chosen c ON u.unit = c.unit"""
    )
    if not staging.one("SELECT count(*) FROM sides WHERE side = 'train'"):
        raise DataError("No query is left to train on: the held-out data covers them all.")


def take_groups(staging: Staging, field: str) -> int:
    """Give the judgements without a group that of their document, a field of its metadata; returns their number.

    Rows of a table and judgements of a collection have groups of their own. Those of a file of TREC qrels, and queries
    that were made from documents, name documents alone.

    Args:
        staging: a cleaned collection.
        field: the name of the field.

    Raises:
        DataError: a relevant document has no such field, or its value can be no group.
    """
    without = """SELECT row, source, place, document_id FROM stated
      WHERE fate IS NULL AND relevance > 0 AND family IS NULL"""
    rows = staging.stream(
        f"""SELECT t.id, any_value(t.metadata), min(s.source), min(s.place) FROM ({without}) s
        JOIN texts t ON t.id = s.document_id GROUP BY t.id ORDER BY min(s.source), min(s.place), t.id"""
    )
    groups = []
    for identity, metadata, source, place in rows:
        fields = json.loads(metadata)
        value = fields.get(field)
        if value is None:
            named = fields.get(PARENT, identity)  # a document that was made with a query has its parent's fields
            raise staging.error(
                source,
                place,
                f"has no {field} to group by, and neither has its document {named!r:.200}: give the documents that "
                "field, or leave --group-by out (in Python group_by=). --documents-apart (documents_apart=True) keeps "
                "the queries of one document on one side.",
            )
        groups.append((identity, Cell(value, field, staging.sources[source], place).group()))
    staging.table("groups", "id VARCHAR, family VARCHAR", groups)
    count = int(staging.one(f"SELECT count(*) FROM ({without})"))
    staging.run(
        f"""UPDATE stated SET family = g.family FROM groups g
        WHERE g.id = stated.document_id AND stated.row IN (SELECT row FROM ({without}))"""
    )
    return count


def why_nothing_is_held_out(staging: Staging, how: Split, *, near: bool) -> str:
    """Explain a split without validation, and the way out.

    Args:
        staging: a collection after :func:`split`.
        how: the shares.
        near: queries that are nearly the same were kept together.
    """
    queries = int(staging.one("SELECT count(*) FROM units"))
    smallest = int(staging.one("SELECT min(size) FROM (SELECT count(*) AS size FROM units GROUP BY unit)"))
    room = _room(how, queries)
    if isinstance(how.validation, str) and not room:
        return (
            f"no query is held out: a third of {queries} is fewer than {FEWEST}, and could not tell any gain from "
            "chance. Hold out rows of your own (--validation FILE)"
        )
    why = f"the smallest group of queries that belong together has {smallest}, and the share has room for {room}"
    or_near = "; with --no-near (near=False), queries that are nearly the same may be on two sides" if near else ""
    return f"no query is held out: {why}. Hold out rows of your own (--validation FILE), or a larger share{or_near}"


def _room(how: Split, queries: int) -> int:
    """The most queries for validation."""
    if isinstance(how.validation, str):
        return enough(queries - _share(queries, how.test))
    return _share(queries, how.validation)


def _share(queries: int, share: float) -> int:
    return min(round(queries * share), MAX_HELD_OUT)


def _draw(staging: Staging, how: Split, queries: int) -> None:
    """Leave the table ``chosen`` (unit, side): whole groups in the order of the hash, as many as fit each share."""
    room = {VALIDATION: _room(how, queries), TEST: _share(queries, how.test)}
    # At least one query is left to train on.
    room[TEST] = min(room[TEST], max(queries - 1 - room[VALIDATION], 0))
    # A share has room for at most MAX_HELD_OUT groups: the first few thousand that fit are enough.
    # The seed and the group's first text decide the order, and nothing else does.
    candidates = staging.all(
        """SELECT unit, count(*) AS size FROM units GROUP BY unit HAVING count(*) <= $1
        ORDER BY md5($2 || chr(10) || min(key)), min(key) LIMIT 5000""",
        [min(max(room.values()), queries - 1), str(how.seed)],
    )
    chosen = []
    for unit, size in candidates:
        side = next((name for name, left in room.items() if size <= left), None)
        if side is not None:
            room[side] -= size
            chosen.append([unit, side])
    staging.table("chosen", "unit VARCHAR, side VARCHAR", chosen)


def _group(staging: Staging, how: Split, alike: Sequence[Sequence[str]]) -> None:
    """Leave the table ``units`` (id, key, unit): queries that must stay on one side have one unit."""
    import pyarrow as pa

    has_families = bool(staging.one("SELECT count(family) FROM stated"))
    if not (how.documents_apart or has_families or alike):
        staging.run("CREATE TABLE units AS SELECT id, key, key AS unit FROM asked")
        return
    # Queries are nodes; what they share is a hub: a text, a family, a relevant document, a group of near-duplicates.
    staging.run("CREATE TABLE nodes AS SELECT id, key, row_number() OVER (ORDER BY id) - 1 AS node FROM asked")
    members = ((number, identity) for number, group in enumerate(alike) for identity in group)
    staging.table("alike", "number BIGINT, id VARCHAR", members)
    found = staging.run(
        """SELECT node, dense_rank() OVER (ORDER BY hub) - 1 AS hub FROM (
          SELECT node, 'k' || key AS hub FROM nodes
          UNION ALL SELECT DISTINCT n.node, 'f' || s.family FROM nodes n JOIN stated s ON s.query_id = n.id
            WHERE s.family IS NOT NULL
          UNION ALL SELECT n.node, 'd' || t.key FROM nodes n JOIN judged j ON j.query_id = n.id
            JOIN texts t ON t.id = j.document_id WHERE j.relevance > 0 AND ?
          UNION ALL SELECT n.node, 'n' || x.number FROM nodes n JOIN alike x USING (id))""",
        [how.documents_apart],
    ).fetchnumpy()
    units = components(found["node"], found["hub"])
    # Arrow takes the array as it is: ten million tuples of Python would need a gigabyte.
    staging.database.register("found", pa.table({"node": pa.array(range(len(units))), "unit": pa.array(units)}))
    staging.run("CREATE TABLE units AS SELECT id, key, unit::VARCHAR AS unit FROM nodes JOIN found USING (node)")
    staging.database.unregister("found")


def components(nodes: NDArray[Any], hubs: NDArray[Any]) -> NDArray[Any]:
    """The connected component of each node, where nodes with a common hub are connected.

    Args:
        nodes: the node of each edge, ``[edges]``, numbered from 0. Every node has an edge.
        hubs: the hub of each edge, ``[edges]``, numbered from 0.

    Returns:
        The number of the component of each node.

    >>> import numpy as np
    >>> components(np.array([0, 1, 2]), np.array([0, 0, 1])).tolist()
    [0, 0, 1]
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(nodes.max(initial=-1)) + 1
    size = count + int(hubs.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(nodes), dtype=np.int8), (nodes, hubs + count)), shape=(size, size))
    found: NDArray[Any] = connected_components(graph, directed=False)[1][:count]
    return found


def fold_sets(data: TrainingSet, folds: int, seed: int) -> list[TrainingSet]:
    """Hold out each training query once.

    Queries that belong together (:mod:`tardif.data.split`) are in one fold. The folds depend on the texts and the
    seed, not on the order of the queries.

    Args:
        data: a set without held-out queries.
        folds: the number of folds.
        seed: of the draw.

    Returns:
        One set for each fold, with the queries of this fold held out.

    Raises:
        SettingError: queries are held out already, belong together by a field that is not kept, or are too few.
    """
    if held := len(data.query_ids(VALIDATION)):
        raise SettingError(
            f"folds={folds} judges every query with a model that was trained without it, and {held} queries are held "
            "out already: prepare with --validation 0 (validation=0)."
        )
    if _keeps_no_groups(data):
        raise SettingError(
            f"folds={folds}: the set was split by a field (group_by), which a prepared set does not keep: hold out a "
            "share instead (--validation)."
        )
    groups = _together(data)
    if len(groups) < folds:
        raise SettingError(
            f"folds={folds}: there are {len(groups)} groups of training queries that do not belong together: give "
            f"{len(groups)} folds or fewer."
        )
    parts: list[set[str]] = [set() for _ in range(folds)]
    for key in sorted(groups, key=lambda key: (keyed_order(seed, key), key)):
        min(parts, key=len).update(groups[key])
    return [_without(data, part) for part in parts]


def most_folds(data: TrainingSet, most: int) -> int:
    """Return how many folds :func:`fold_sets` would make of a set that is prepared again with nothing held out.

    Args:
        data: a set as it is.
        most: no more are asked for.

    Returns:
        The number, at most ``most``; 0 if it would refuse any.
    """
    if _keeps_no_groups(data):
        return 0
    whole = replace(data, split={query: TRAIN if side == VALIDATION else side for query, side in data.split.items()})
    found = min(len(_together(whole)), most)
    return found if found > 1 else 0


def _keeps_no_groups(data: TrainingSet) -> bool:
    """Whether queries belong together by a field, which a prepared set does not keep."""
    return any(made.get("group_by") for made in _made_with(data))


def _made_with(data: TrainingSet) -> Iterator[dict[str, object]]:
    """The settings of a set, or of each set mixed into it."""
    for settings in data.settings.get("mixed") or [data.settings]:
        yield dict(settings)


def _together(data: TrainingSet) -> dict[str, list[str]]:
    """Training queries that must be in one fold, by the first of their normalised texts."""
    near, apart = rules_of(data)
    asked = {query: data.queries[query] for query in data.query_ids(TRAIN)}
    groups = groups_of(asked, near=near, answers=answers_of(data, asked) if apart else {})
    return {min(normalise(asked[query]) for query in group): group for group in groups}


def rules_of(data: TrainingSet) -> tuple[bool, bool]:
    """Whether a set, or one mixed into it, keeps queries that are nearly the same together, and those that share a
    relevant document."""
    made = list(_made_with(data))
    return any(how.get("near", True) for how in made), any(how.get("documents_apart") for how in made)


def answers_of(data: TrainingSet, queries: Iterable[str]) -> dict[str, list[str]]:
    """The normalised texts of the relevant documents of some queries."""
    return {
        query: [normalise(data.documents[identity].content) for identity in data.positives(query)] for query in queries
    }


def groups_of(
    queries: Mapping[str, str], *, near: bool, answers: Mapping[str, Sequence[str]] | None = None
) -> list[list[str]]:
    """Group queries as :func:`split` does: those of a group must be on one side.

    Args:
        queries: texts by id.
        near: queries with nearly the same text belong together, not only those with the same. It is not looked for
            among more than :data:`tardif.text.near.LIMIT`.
        answers: the texts that answer a query, by its id: queries that share one belong together.
    """
    import numpy as np

    shared: dict[str, list[str]] = {}  # what queries have in common -> these queries
    for query, text in queries.items():
        shared.setdefault(f"q{normalise(text)}", []).append(query)
    if near and len(queries) <= LIMIT:
        links = near_duplicates(queries.items()).links
        shared.update({f"n{number}": list(link) for number, link in enumerate(links)})
    for query, texts in (answers or {}).items():
        for text in texts:
            shared.setdefault(f"d{text}", []).append(query)
    places = {query: place for place, query in enumerate(queries)}
    edges = [(places[query], hub) for hub, members in enumerate(shared.values()) for query in members]
    units = components(*np.array(edges, dtype=np.int64).reshape(-1, 2).T)
    groups: dict[int, list[str]] = {}
    for query, unit in zip(queries, units.tolist(), strict=True):
        groups.setdefault(unit, []).append(query)
    return list(groups.values())


def _without(data: TrainingSet, held: set[str]) -> TrainingSet:
    """The set with some of its training queries held out."""
    trained = [example.query_id not in held for example in data.examples]
    parts, first = [], 0
    for size, weight in data.parts:
        parts.append((sum(trained[first : first + size]), weight))
        first += size
    kept = [example for example, used in zip(data.examples, trained, strict=True) if used]
    return replace(
        data,
        split={query: VALIDATION if query in held else side for query, side in data.split.items()},
        examples=kept,
        made=round(data.made * len(kept) / max(len(trained), 1)),
        parts=tuple(part for part in parts if part[0]),
    )
