"""Queries held out: seeded, by group, and never a text on both sides.

Queries with the same normalised text are one group. Groups are joined where they share a family (a
field to split by), are nearly the same text, or, where asked, share a relevant document. Which
groups are held out, a hash of seed and text decides: it depends neither on the order of the input
nor on the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tardif.data.staging import Staging
from tardif.data.training_set import TEST, VALIDATION
from tardif.errors import DataError, SettingError

MAX_HELD_OUT = 500
AUTO = "auto"
"""The share for validation that the number of queries decides."""

SHARE, LEAST_HELD_OUT, MOST_OF_FEW = 0.1, 50, 3
"""With ``auto``: a tenth is held out; where that is less than 50, 50, but at most one in three."""

FEWEST = 6
"""On fewer queries no difference can be told from chance, not even if all are won: p is 2 / 2 ** 5."""


@dataclass(frozen=True, slots=True)
class Split:
    """How queries are held out.

    Args:
        validation: share of the queries for validation, at most :data:`MAX_HELD_OUT`: more costs
            evaluation time and narrows the error little. 0 holds out none; ``auto`` as many as :func:`enough` says.
        test: share of the queries for a test that training never sees; the same cap.
        seed: key of the hash.
        documents_apart: no document is relevant on two sides.
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
    """How many of so many queries are held out where nobody says it.

    A tenth tells enough where there are many. Where there are few, a tenth of them tells nothing, and a training
    whose gain is not known is worth little: then 50, but at most a third. Where a third is less than :data:`FEWEST`,
    none: it would be taken from the training for nothing.
    """
    few = min(LEAST_HELD_OUT, queries // MOST_OF_FEW)
    return 0 if few < FEWEST else min(max(round(queries * SHARE), few), MAX_HELD_OUT)


def split(staging: Staging, how: Split, *, held_out: Sequence[int] = (), alike: Sequence[Sequence[str]] = ()) -> None:
    """Give every row of ``asked`` its side, in the new table ``sides`` (id, side).

    Args:
        staging: a cleaned collection.
        how: the shares.
        held_out: numbers of sources that the user holds out; then no other query is, but those in a
            group with one of them.
        alike: pairs or groups of query ids whose texts are nearly the same.

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


def why_nothing_is_held_out(staging: Staging, how: Split, *, near: bool) -> str:
    """What a reader does about a split without validation.

    Args:
        staging: a collection that :func:`split` has split.
        how: the shares.
        near: whether queries were kept together because they are nearly the same.
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
    """How many queries there is room for in validation."""
    if isinstance(how.validation, str):
        return enough(queries - _share(queries, how.test))
    return _share(queries, how.validation)


def _share(queries: int, share: float) -> int:
    return min(round(queries * share), MAX_HELD_OUT)


def _draw(staging: Staging, how: Split, queries: int) -> None:
    """The table ``chosen`` (unit, side): whole groups, in a keyed order, as many as fit into each share."""
    room = {VALIDATION: _room(how, queries), TEST: _share(queries, how.test)}
    room[TEST] = min(room[TEST], max(queries - 1 - room[VALIDATION], 0))
    # A share holds at most MAX_HELD_OUT groups, so the first few thousand that fit are enough.
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
    """The table ``units`` (id, key, unit): what must stay on one side has one unit."""
    has_families = bool(staging.one("SELECT count(family) FROM stated"))
    if not (how.documents_apart or has_families or alike):
        staging.run("CREATE TABLE units AS SELECT id, key, key AS unit FROM asked")
        return
    staging.run("CREATE TABLE nodes AS SELECT id, key, row_number() OVER (ORDER BY id) - 1 AS node FROM asked")
    links = ["SELECT node, 'k' || key AS hub FROM nodes"]
    if has_families:
        links.append(
            "SELECT DISTINCT n.node, 'f' || s.family FROM nodes n JOIN stated s ON s.query_id = n.id "
            "WHERE s.family IS NOT NULL"
        )
    if how.documents_apart:
        links.append(
            "SELECT n.node, 'd' || t.key FROM nodes n JOIN judged j ON j.query_id = n.id "
            "JOIN texts t ON t.id = j.document_id WHERE j.relevance > 0"
        )
    if alike:
        members = ((number, identity) for number, group in enumerate(alike) for identity in group)
        staging.table("alike", "number BIGINT, id VARCHAR", members)
        links.append("SELECT n.node, 'n' || x.number FROM nodes n JOIN alike x USING (id)")
    staging.run(
        "CREATE TABLE links AS SELECT node, dense_rank() OVER (ORDER BY hub) - 1 AS hub FROM "
        f"({' UNION ALL '.join(links)})"
    )
    found = staging.database.sql("SELECT node, hub FROM links").fetchnumpy()
    units = _components(found["node"], found["hub"])
    import pyarrow as pa

    staging.database.register("found", pa.table({"node": pa.array(range(len(units))), "unit": pa.array(units)}))
    staging.run(
        "CREATE TABLE units AS SELECT n.id, n.key, f.unit::VARCHAR AS unit FROM nodes n JOIN found f USING (node)"
    )
    staging.database.unregister("found")


def _components(nodes: Any, hubs: Any) -> Any:
    """The connected component of each node, where nodes that share a hub are connected."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(nodes.max()) + 1
    size = count + int(hubs.max()) + 1
    graph = coo_array((np.ones(len(nodes), dtype=np.int8), (nodes, hubs + count)), shape=(size, size))
    return connected_components(graph, directed=False)[1][:count]
