"""One text for each id: what stands beside an id and differs in case and spacing alone is the same text.

Rows often hold a text beside its id that another tool has passed on: without the end of its line, or with other spaces.
"""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from tardif.data.hygiene.ids import DOCUMENTS, QUERIES, IdKind
from tardif.data.staging import Staging
from tardif.text.normal import normalise

_SHOWN, _BEFORE = 60, 20  # characters of a text in a message, and of these before a difference

# The columns of a text, and SQL for all of it.
_COLUMNS = {DOCUMENTS: ("title", "text", "content_id", "body_id", "parent"), QUERIES: ("text",)}
_WRITTEN = {DOCUMENTS: "title || chr(0) || text", QUERIES: "text"}
_READ = {DOCUMENTS: "trim(title || ' ' || text)", QUERIES: "text"}
# The rows in which an id may have several texts. An id that is made of a text has one, unless a document of the corpus
# has the same content: title and text may divide it differently.
_ROWS = {
    DOCUMENTS: "piece_of IS NULL AND (own_id OR id IN (SELECT id FROM documents WHERE corpus AND NOT own_id))",
    QUERIES: "own_id",
}


def settle(staging: Staging) -> list[str]:
    """Leave one text for each id.

    A text beside the id of a document of the corpus means that document, if it is its text, with or without its title,
    or a part of it. Of other texts with one id, which differ in case and spacing only, that of the corpus or of the
    list of queries is taken, else the first in alphabetical order.

    Returns:
        What differed, for a reader.

    Raises:
        DataError: an id has two texts, or two documents of a corpus have one id.
    """
    lines = []
    for kind in (DOCUMENTS, QUERIES):
        differ = _take_the_corpus(staging) if kind is DOCUMENTS and kind.table in staging.given else set()
        differ |= _take_one(staging, kind)
        if differ:
            many = "1 id" if len(differ) == 1 else f"{len(differ):,} ids"
            lines.append(
                f"{many} of {kind.table}, such as {min(differ)!r:.60}, with texts that differ in case and spacing only"
                f": that of the {kind.table} given is read, else the first in alphabetical order"
            )
        _refuse_two_texts(staging, kind)
    for identity, source, place in staging.all(
        "SELECT id, max(source), max(place) FROM documents WHERE corpus GROUP BY id, source "
        "HAVING count(*) > 1 ORDER BY id LIMIT 1"
    ):
        raise staging.error(source, place, f"two documents have the id {identity!r:.200}: ids must be unique.")
    return lines


def _take_the_corpus(staging: Staging) -> set[str]:
    """Drop texts that come with the id of a document of the corpus; returns the ids of those that differed."""
    staging.run(
        """DELETE FROM documents WHERE NOT corpus AND own_id AND EXISTS (
          SELECT 1 FROM documents c WHERE c.corpus AND c.id = documents.id AND (
            documents.content_id IN (c.content_id, c.body_id) OR contains(c.title || ' ' || c.text, documents.text)
          )
        )"""
    )
    # Those that are left are compared as the rules compare texts, each once.
    count = staging.one(
        """CREATE OR REPLACE TEMP TABLE left_over AS
        SELECT r.row, c.rowid AS document FROM (
          SELECT id, min(rowid) AS row FROM documents WHERE NOT corpus AND own_id GROUP BY id, content_id
        ) r JOIN documents c ON c.corpus AND c.id = r.id"""
    )
    if not count:
        return set()
    rows = staging.stream(
        """SELECT r.id, r.content_id, r.text, c.title || ' ' || c.text FROM left_over
        JOIN documents r ON r.rowid = row JOIN documents c ON c.rowid = document"""
    )
    alike = [(identity, made) for identity, made, text, content in rows if normalise(text) in normalise(content)]
    staging.table("alike", "id VARCHAR, content_id VARCHAR", alike)
    staging.run(
        """DELETE FROM documents WHERE NOT corpus AND own_id
        AND (id, content_id) IN (SELECT (id, content_id) FROM alike)"""
    )
    return {identity for identity, _ in alike}


def _take_one(staging: Staging, kind: IdKind) -> set[str]:
    """Give all rows of an id the same text, where these differ in case and spacing only; returns such ids."""
    table, rows = kind.table, _ROWS[kind]
    # Digests are compared: groups of texts would have to fit into memory.
    count = staging.one(
        f"""CREATE OR REPLACE TEMP TABLE several AS
        SELECT id, min(md5({_READ[kind]})) <> max(md5({_READ[kind]})) AS differ FROM {table} WHERE {rows} GROUP BY id
        HAVING min(md5({_WRITTEN[kind]})) <> max(md5({_WRITTEN[kind]})) AND min(key) = max(key)"""
    )
    if not count:
        return set()
    columns = ", ".join(_COLUMNS[kind])
    staging.run(
        f"""CREATE OR REPLACE TEMP TABLE taken AS
        SELECT source, place, id, {columns} FROM {table} WHERE {rows} AND id IN (SELECT id FROM several)
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY NOT {kind.given}, {columns}, source, place) = 1"""
    )
    changes = ", ".join(f"{name} = taken.{name}" for name in _COLUMNS[kind])
    rowids = f"SELECT rowid FROM {table} WHERE {rows}"
    staging.run(f"UPDATE {table} SET {changes} FROM taken WHERE {table}.id = taken.id AND {table}.rowid IN ({rowids})")
    if kind is DOCUMENTS:
        # The pieces of a text that was not taken go with it.
        staging.run(
            """DELETE FROM documents WHERE piece_of IN (SELECT id FROM taken)
            AND (source, place, piece_of) NOT IN (SELECT (source, place, id) FROM taken)"""
        )
    return {row[0] for row in staging.all("SELECT id FROM several WHERE differ")}


class _Row(NamedTuple):
    """A row with one of two texts; ``given``: it is of the corpus, or of a list of queries."""

    source: int
    place: int
    text: str
    given: bool
    key: str


def _refuse_two_texts(staging: Staging, kind: IdKind) -> None:
    identity = staging.one(f"SELECT id FROM {kind.table} GROUP BY id HAVING min(key) <> max(key) ORDER BY id LIMIT 1")
    if identity is None:
        return
    rows = f"SELECT source, place, {_READ[kind]}, {kind.given}, key FROM {kind.table} WHERE id = ?"
    last = _Row(*staging.all(f"{rows} ORDER BY source DESC, place DESC LIMIT 1", [identity])[0])
    other = _Row(*staging.all(f"{rows} AND key <> ? ORDER BY source, place LIMIT 1", [identity, last.key])[0])
    # What they begin with alike tells nothing.
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last.text, other.text, strict=False)))
    begin = max(alike - _BEFORE, 0)
    one, two = (row.text[begin : begin + _SHOWN] for row in (last, other))
    where = "" if other.source == last.source else f"{staging.sources[other.source]}, "
    raise staging.error(
        last.source,
        last.place,
        f"the {kind.name} id {identity!r:.200} has two texts, here {one!r} and in {where}line {other.place} {two!r}: "
        f"ids must be unique. Mend one of them{_way_out(staging, kind, identity, last, other)}.",
    )


def _way_out(staging: Staging, kind: IdKind, identity: str, last: _Row, other: _Row) -> str:
    """How to read the rows of one of two texts by their ids alone, or without these; empty where it is not possible."""
    row = next((row for row in (last, other) if not row.given), None)
    roles = {} if row is None else staging.columns.get(row.source, {})
    if row is None or not roles:
        return ""
    texts: tuple[str, ...] = ("query",)
    ids: tuple[str, ...] = ("query_id",)
    is_negative = False
    if kind is DOCUMENTS:
        texts, ids = ("positive", "documents"), ("document_id", "document_ids")
        side = "SELECT role = 'negative' FROM judgements WHERE source = ? AND place = ? AND document_id = ?"
        is_negative = bool(staging.one(side, [row.source, row.place, identity]))
    if is_negative:
        texts, ids = ("negative",), ("negative_id",)
    # The ids alone will do where all of that column are known.
    unknown = f"""SELECT 1 FROM judgements j ANTI JOIN (SELECT id FROM {kind.table} WHERE {kind.given}) known
        ON known.id = j.{kind.column} WHERE j.source = ? AND ({kind is QUERIES} OR (role = 'negative') = ?) LIMIT 1"""
    if staging.one(unknown, [row.source, is_negative]):
        role = next((role for role in ids if role in roles), None)
        how = "leave the ids out"
    else:
        role = next((role for role in texts if role in roles), None)
        how = f"read the {kind.table} by their ids alone"
    return "" if role is None else f', or {how} with columns={{"{role}": None}} (--columns {role}=)'
