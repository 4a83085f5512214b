"""Ids in place of texts: a value that is the id of a document, or of a listed query, stands for it.

Whoever names a column of ids as a column of texts would train on documents that read ``kb-78``. So the values of
each column are compared with the ids that were given before any is taken for a text: a column of ids is joined, which
is said; a column that holds both is refused. Numbers are compared as such: a frame with gaps writes 17 as 17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tardif.data.staging import Staging
from tardif.errors import DataError

NEARLY_ALL = 0.95
"""The share of a column's values that must be ids, or look like ids, for it to be a column of ids."""

LIKE_AN_ID = r"[!-~]*[0-9_/:#.-][!-~]*"
"""No white space, plain characters, and a digit or a mark that words do not hold; for DuckDB and for Python."""

LONGEST = 200
"""Characters of what looks like an id."""

_WHOLE = re.compile(LIKE_AN_ID)


def looks_like_an_id(text: str) -> bool:
    """Whether a text looks like an id."""
    return len(text) <= LONGEST and _WHOLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Kind:
    """What is joined: documents, or queries. ``made``: the rows whose id was made from their text."""

    name: str
    table: str
    made: str
    known: str
    given: str

    @property
    def column(self) -> str:
        """The column of judgements."""
        return f"{self.name}_id"


DOCUMENTS = Kind("document", "documents", "NOT own_id AND NOT corpus", "own_id", "corpus")
QUERIES = Kind("query", "queries", "NOT own_id", "own_id", "listed")


@dataclass(frozen=True, slots=True)
class _Slot:
    """The values of one column: how many, how many are ids, and how many more look like ids."""

    kind: Kind
    source: int
    against: bool
    rows: int
    ids: int
    alike: int

    @property
    def are_ids(self) -> bool:
        """Whether the column is one of ids, some of which may not be known."""
        return self.ids > 0 and (self.ids + self.alike == self.rows or self.ids >= NEARLY_ALL * self.rows)

    @property
    def is_foreign(self) -> bool:
        """Whether the values look like ids, and none is one."""
        return not self.ids and self.alike >= NEARLY_ALL * self.rows

    @property
    def where(self) -> str:
        """The judgements of the column."""
        side = "" if self.kind is QUERIES else f" AND (role = 'negative') = {self.against}"
        return f"source = {self.source}{side}"


def take_the_corpus(staging: Staging) -> None:
    """Let a text that stands beside the id of a document of the corpus be that document, where it is its text, its
    text without the title, or a part of it."""
    staging.run(
        """DELETE FROM documents WHERE NOT corpus AND own_id AND EXISTS (
          SELECT 1 FROM documents c WHERE c.corpus AND c.id = documents.id AND (
            documents.content_id IN (c.content_id, c.body_id) OR contains(c.title || ' ' || c.text, documents.text)
          )
        )"""
    )


def join(staging: Staging, action: str) -> list[str]:
    """Make judgements of documents and queries out of those whose texts are ids; returns what was done.

    The temporary table ``id_texts`` (row) holds the judgements that ``action`` drops.

    Args:
        staging: what was read.
        action: of the rule ``id-as-text``: ``refuse`` a column that holds ids and texts; ``join`` its ids and leave
            its texts; ``keep`` all as texts; ``drop`` the rows whose text is an id.

    Raises:
        DataError: the rule refuses.
    """
    staging.run("CREATE TEMP TABLE id_texts (row BIGINT)")
    said: list[str] = []
    for kind in (DOCUMENTS, QUERIES):
        _know(staging, kind)
        is_given = staging.one(f"SELECT 1 FROM {kind.table} WHERE {kind.given} LIMIT 1")
        if is_given and action != "keep":
            said += _join_kind(staging, kind, action)
        elif kind is DOCUMENTS and not is_given and action != "keep":
            said += _without_corpus(staging, action)
        said += _join_numbers(staging, kind)
    return said


def _know(staging: Staging, kind: Kind) -> None:
    """The table ``KIND_ids`` (form, id): every id as it is written, and in its plain form where that is one id's."""
    staging.run(
        f"""CREATE TEMP TABLE {kind.name}_ids AS
        WITH own AS (SELECT DISTINCT id FROM {kind.table} WHERE {kind.known})
        SELECT id AS form, id FROM own
        UNION
        SELECT {_form("id")} AS form, min(id) FROM own GROUP BY 1
        HAVING count(*) = 1 AND {_form("min(id)")} NOT IN (SELECT id FROM own)"""
    )


_FILES = r"\.(md|markdown|rst|txt|html?|pdf|docx)"


def _form(value: str) -> str:
    """An id as it is compared, in SQL: without white space around it, the fraction of a whole number, and the suffix of
    a file, whose name is the id of the document read from it."""
    number = rf"regexp_replace(trim({value}), '^([+-]?[0-9]+)\.0+$', '\1')"
    return rf"regexp_replace({number}, '(?i)(.){_FILES}$', '\1')"


def _join_kind(staging: Staging, kind: Kind, action: str) -> list[str]:
    given = _given(kind)
    longest = int(staging.one(f"SELECT coalesce(max(strlen(form)), 0) FROM {kind.name}_ids")) + len(".markdown")
    staging.run(
        f"""CREATE OR REPLACE TEMP TABLE given_ids AS
        SELECT made.id AS given, known.id AS id
        FROM (SELECT DISTINCT id, text FROM {kind.table} WHERE {kind.made} AND strlen(text) <= {longest}) AS made
        JOIN {kind.name}_ids AS known ON known.form = {_form("made.text")}
        WHERE made.id NOT IN ({given})"""
    )
    like = _like("v.text")
    slots = staging.all(
        f"""SELECT j.source, j.role = 'negative' AND {kind is DOCUMENTS} AS against, count(*), count(g.id),
          count(*) FILTER (g.id IS NULL AND {like} AND v.id NOT IN ({given}))
        FROM judgements j
        JOIN {_values(kind)} v ON v.id = j.{kind.column}
        LEFT JOIN given_ids g ON g.given = v.id
        GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    said = []
    for source, against, rows, ids, alike in slots:
        slot = _Slot(kind, source, against, rows, ids, alike)
        if slot.are_ids and action in ("refuse", "join"):
            said.append(_join_slot(staging, slot, rest=action == "refuse"))
        elif (ids or slot.is_foreign) and action == "refuse":
            raise _mixed(staging, slot) if ids else _foreign(staging, slot)
        elif ids and action == "join":
            said.append(_join_slot(staging, slot, rest=False))
        elif ids or slot.is_foreign:
            _drop_slot(staging, slot, like)
    if said:
        staging.run(
            f"""DELETE FROM {kind.table} WHERE {kind.made} AND id NOT IN (
              SELECT {kind.column} FROM judgements WHERE {kind.column} IS NOT NULL)"""
        )
    return said


def _like(text: str) -> str:
    """Whether a text looks like an id, in SQL."""
    return f"strlen({text}) <= {LONGEST} AND regexp_full_match({text}, '{LIKE_AN_ID}')"


def _values(kind: Kind) -> str:
    """The texts that ids were made of, with these, in SQL."""
    return f"(SELECT DISTINCT id, text FROM {kind.table} WHERE {kind.made})"


def _given(kind: Kind) -> str:
    """The ids that a text would get which is given as a text of the corpus: it is that document, whatever it looks
    like."""
    if kind is QUERIES:
        return "SELECT NULL::VARCHAR WHERE false"
    return "SELECT content_id FROM documents WHERE corpus UNION SELECT body_id FROM documents WHERE corpus"


def _join_slot(staging: Staging, slot: _Slot, *, rest: bool) -> str:
    """Let the ids of a column stand for what they name; with ``rest`` its other values are ids that are not known."""
    kind = slot.kind
    staging.run(
        f"UPDATE judgements SET {kind.column} = g.id FROM given_ids g "
        f"WHERE judgements.{kind.column} = g.given AND {slot.where}"
    )
    if rest and slot.ids < slot.rows:
        staging.run(
            f"""UPDATE judgements SET {kind.column} = v.text
            FROM {_values(kind)} v
            WHERE judgements.{kind.column} = v.id AND {slot.where}"""
        )
    many = f"the {slot.ids:,} values" if slot.ids == slot.rows else f"{slot.ids:,} of the {slot.rows:,} values"
    return f"{many} of {_column(staging, slot)} are ids of the {kind.table}: joined"


def _drop_slot(staging: Staging, slot: _Slot, like: str) -> None:
    kind = slot.kind
    staging.run(
        f"""INSERT INTO id_texts SELECT j.row FROM (SELECT * FROM judgements WHERE {slot.where}) j
        JOIN {_values(kind)} v ON v.id = j.{kind.column}
        LEFT JOIN given_ids g ON g.given = v.id WHERE g.id IS NOT NULL OR ({not slot.ids} AND {like})"""
    )


def _mixed(staging: Staging, slot: _Slot) -> DataError:
    """A column that holds ids and texts."""
    name, role = _column(staging, slot), _role(slot)
    column = next(iter(_names(staging, slot)), "")
    declare = f'If all are ids, say so with columns={{"{role}": "{column}"}} (--columns {role}={column}); '
    (source, place, identity), *_ = _examples(staging, slot, "g.id IS NOT NULL")
    (_, other_place, text), *_ = _examples(staging, slot, "g.id IS NULL")
    return staging.error(
        source,
        place,
        f"{name} holds {slot.ids:,} ids of the {slot.kind.table}, such as {identity!r:.60}, and "
        f"{slot.rows - slot.ids:,} other values, such as {text!r:.60} in line {other_place}. "
        f'{declare if column else ""}join the ids and read the others as texts with on={{"id-as-text": "join"}} '
        "(--on id-as-text=join), or read all as texts with id-as-text=keep.",
    )


def _foreign(staging: Staging, slot: _Slot) -> DataError:
    """A column of what looks like ids, none of which is known."""
    (source, place, text), *_ = _examples(staging, slot, "true")
    known = staging.one(f"SELECT min(id) FROM {slot.kind.table} WHERE {slot.kind.given}")
    hint = _elsewhere(staging, text) if slot.kind is DOCUMENTS else ""
    return staging.error(
        source,
        place,
        f"the {slot.rows:,} values of {_column(staging, slot)} look like ids, such as {text!r:.60}, and none is the id "
        f"of one of the {slot.kind.table} (theirs are such as {known!r:.60}): {hint}give the {slot.kind.table} "
        'that they name, or read them as texts with on={"id-as-text": "keep"} (--on id-as-text=keep).',
    )


def _examples(staging: Staging, slot: _Slot, which: str) -> list[tuple[int, int, str]]:
    kind = slot.kind
    return staging.all(
        f"""SELECT j.source, j.place, v.text FROM (SELECT * FROM judgements WHERE {slot.where}) j
        JOIN {_values(kind)} v ON v.id = j.{kind.column}
        LEFT JOIN given_ids g ON g.given = v.id WHERE {which} ORDER BY j.place, j.row LIMIT 1"""
    )


def _without_corpus(staging: Staging, action: str) -> list[str]:
    """Say that documents look like ids where no corpus was given that they could be ids of; refuse them where their
    column is named as one of ids."""
    like = _like("text")
    count, alike, first = staging.all(
        f"SELECT count(*), count(*) FILTER ({like}), min(text) FILTER ({like}) FROM documents WHERE NOT own_id"
    )[0]
    if not alike or alike < NEARLY_ALL * count:
        return []
    for source, columns in sorted(staging.columns.items()):
        names = [*columns.get("positive", ()), *columns.get("documents", ())]
        if action == "refuse" and names and all(_NAMED_ID.search(name) for name in names):
            place = int(staging.one("SELECT min(place) FROM judgements WHERE source = ?", [source]) or 1)
            raise staging.error(
                source,
                place,
                f"column {', '.join(names[:3])} holds ids, such as {first!r:.60}, and no documents were given: give "
                'them with --documents (documents=), or read the ids as texts with on={"id-as-text": "keep"} '
                "(--on id-as-text=keep).",
            )
    return [
        f"the documents look like ids, such as {first!r:.60}, and are read as texts: if they are ids, give the "
        "documents with --documents (documents=)"
    ]


_NAMED_ID = re.compile(r"(^|[^a-z])ids?$|[a-z](Id|ID|Ids|IDs)$|^(doc|p|page|url)ids?$|url$")
"""Names of columns of ids: ``doc_id``, ``articleId``, ``docid``."""


def _join_numbers(staging: Staging, kind: Kind) -> list[str]:
    """Let ids that are written otherwise than they were given (17.0 for 17) stand for what they name."""
    staging.run(
        f"""CREATE OR REPLACE TEMP TABLE written AS
        SELECT u.given, k.id FROM (
          SELECT DISTINCT {kind.column} AS given FROM judgements
          WHERE {kind.column} NOT IN (SELECT id FROM {kind.table}) AND {kind.column} IS NOT NULL
        ) u JOIN {kind.name}_ids k ON k.form = {_form("u.given")}"""
    )
    if not (found := staging.all("SELECT count(*), min(given), arg_min(id, given) FROM written"))[0][0]:
        return []
    count, given, identity = found[0]
    staging.run(f"UPDATE judgements SET {kind.column} = w.id FROM written w WHERE judgements.{kind.column} = w.given")
    return [f"{count:,} ids are written otherwise than those of the {kind.table} ({given!r} for {identity!r}): joined"]


def unknown(kind: Kind) -> str:
    """The rows of ``stated`` whose document or query nothing gives."""
    table = "texts" if kind is DOCUMENTS else "queries"
    return f"SELECT s.row FROM stated s ANTI JOIN {table} t ON s.{kind.column} = t.id WHERE s.fate IS NULL"


def unknown_error(staging: Staging, kind: Kind) -> DataError:
    """What is said of the first of these rows."""
    rows = f"SELECT s.* FROM stated s WHERE s.row IN ({unknown(kind)})"
    source, place, identity = staging.all(
        f"SELECT source, place, {kind.column} FROM ({rows}) ORDER BY source, place LIMIT 1"
    )[0]
    count, ids = staging.all(f"SELECT count(*), count(DISTINCT {kind.column}) FROM ({rows})")[0]
    some = [row[0] for row in staging.all(f"SELECT DISTINCT {kind.column} FROM ({rows}) ORDER BY 1 LIMIT 3")]
    holder = "the corpus" if kind is DOCUMENTS else "the list of queries"
    if not staging.one(f"SELECT 1 FROM {kind.table} LIMIT 1"):
        what = f", and no {kind.table} were given: give them with --{kind.table} ({kind.table}=)"
    else:
        elsewhere = _elsewhere(staging, identity) if kind is DOCUMENTS else ""
        theirs = staging.one(f"SELECT min(id) FROM {kind.table} WHERE {kind.known}")
        many = f"{_counted(count, 'row')}, {_counted(ids, 'id')}: {_some(some, ids)}"
        many += "" if theirs is None else f"; theirs are such as {theirs!r:.60}"
        what = (
            f" ({many}): {elsewhere}give the {kind.table} that they name, or leave the rows out with "
            'on={"unknown-id": "drop"} (--on unknown-id=drop)'
        )
    return staging.error(source, place, f"the {kind.name} id {identity!r:.200} is not in {holder}{what}.")


def _elsewhere(staging: Staging, identity: str) -> str:
    """What to do where the documents have the id in a column that is not read as theirs."""
    rows = staging.all(
        "SELECT metadata FROM documents WHERE corpus AND contains(metadata, ?) LIMIT 20",
        [json.dumps(identity, ensure_ascii=False).strip('"')],
    )
    for (metadata,) in rows:
        for name, value in json.loads(metadata).items():
            if str(value) == identity:
                return (
                    f'the documents have it in {name}: read that as their id with columns={{"id": "{name}"}} '
                    f"(--columns id={name}); or else "
                )
    return ""


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(f"{name!r:.60}" for name in names) + (", ..." if count > len(names) else "")


def _role(slot: _Slot) -> str:
    return "query_id" if slot.kind is QUERIES else "negative_id" if slot.against else "document_id"


def _names(staging: Staging, slot: _Slot) -> Sequence[str]:
    """The columns of a slot; none where rows have no names for them."""
    columns = staging.columns.get(slot.source, {})
    role = "query" if slot.kind is QUERIES else "negative" if slot.against else "positive"
    return columns.get(role) or (() if role == "query" else columns.get("documents", ()))


def _column(staging: Staging, slot: _Slot) -> str:
    """The column of a slot, as its source names it."""
    if names := _names(staging, slot):
        return f"column {', '.join(names[:3])}"
    return "the queries" if slot.kind is QUERIES else "the negatives" if slot.against else "the documents"
