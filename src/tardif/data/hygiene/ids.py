"""Ids in a column of texts: a value that is the id of a document, or of a listed query, means that document or query.

A column of ids that is read as texts would give documents that read ``kb-78``. So the values of each column are
compared with the known ids first. A column of ids is joined, and the report counts it; a column of ids and texts is
refused. Numbers are compared as numbers: a frame with gaps writes 17 as 17.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tardif.data.extraction.extract import KINDS
from tardif.data.formats.columns import columns_option
from tardif.data.staging import Staging
from tardif.errors import DataError

# The share of a column's values that must be ids, or look like ids, for it to be a column of ids.
NEARLY_ALL = 0.95

# ASCII without white space, with a digit or a mark that words do not have; for DuckDB and for Python.
_LIKE_AN_ID = r"[!-~]*[0-9_/:#.-][!-~]*"
_LONGEST = 200  # characters of what looks like an id

# Names of columns of ids: doc_id, articleId, docid.
_NAMED_ID = re.compile(r"(^|[^a-z])ids?$|[a-z](Id|ID|Ids|IDs)$|^(doc|p|page|url)ids?$|url$")

# A file's name is the id of the document that is read from it; judgements often leave the suffix out.
_SUFFIX = rf"\.({'|'.join(sorted(suffix[1:] for suffix in KINDS))})"


def looks_like_an_id(text: str) -> bool:
    """Whether a text looks like an id.

    >>> looks_like_an_id("kb-78"), looks_like_an_id("Paris"), looks_like_an_id("see kb-78")
    (True, False, False)
    """
    return len(text) <= _LONGEST and re.fullmatch(_LIKE_AN_ID, text) is not None


@dataclass(frozen=True, slots=True)
class IdKind:
    """One of two kinds of things that ids are joined to: documents or queries.

    Attributes:
        name: ``document`` or ``query``.
        table: of the staging database.
        made: SQL for the rows of the table with an id that was made from their text.
        given: SQL for the rows that the user gave as documents, or as a list of queries.
    """

    name: str
    table: str
    made: str
    given: str

    @property
    def column(self) -> str:
        """The column of judgements."""
        return f"{self.name}_id"


DOCUMENTS = IdKind("document", "documents", "NOT own_id AND NOT corpus", "corpus")
QUERIES = IdKind("query", "queries", "NOT own_id", "listed")


@dataclass(frozen=True, slots=True)
class _Column:
    """The values of one column of a source.

    Attributes:
        staging, kind, source: where it is.
        is_negative: it is a column of negatives.
        rows: the number of values.
        ids: the number of values that are known ids.
        alike: the number of other values that look like ids.
    """

    staging: Staging
    kind: IdKind
    source: int
    is_negative: bool
    rows: int
    ids: int
    alike: int

    @property
    def are_ids(self) -> bool:
        """Whether the column holds ids, some of which may be unknown."""
        return self.ids > 0 and (self.ids + self.alike == self.rows or self.ids >= NEARLY_ALL * self.rows)

    @property
    def is_foreign(self) -> bool:
        """Whether the values look like ids, and none is a known one."""
        # Nearly all and not all: a column of ids often has a few notes such as "see above".
        return not self.ids and self.alike >= NEARLY_ALL * self.rows

    @property
    def _judgements(self) -> str:
        """SQL for the condition on the judgements of the column."""
        side = "" if self.kind is QUERIES else f" AND (role = 'negative') = {self.is_negative}"
        return f"source = {self.source}{side}"

    @property
    def _texts(self) -> str:
        """SQL that joins the judgements with the texts that ids were made from, and the ids that these are."""
        return f"""FROM (SELECT * FROM judgements WHERE {self._judgements}) j
            JOIN {_values(self.kind)} v ON v.id = j.{self.kind.column}
            LEFT JOIN given_ids g ON g.given = v.id"""

    @property
    def _names(self) -> Sequence[str]:
        """The names of the column in its source; none where rows have no names."""
        columns = self.staging.columns.get(self.source, {})
        if self.kind is QUERIES:
            return columns.get("query", ())
        return columns.get("negative" if self.is_negative else "positive") or columns.get("documents", ())

    def __str__(self) -> str:
        if names := self._names:
            return f"column {', '.join(names[:3])}"
        return "the queries" if self.kind is QUERIES else "the negatives" if self.is_negative else "the documents"

    def join(self, *, rest: bool) -> str:
        """Replace ids by what they name; returns what was done. With ``rest`` all other values are unknown ids."""
        column, table = self.kind.column, self.kind.table
        self.staging.run(
            f"UPDATE judgements SET {column} = g.id FROM given_ids g "
            f"WHERE judgements.{column} = g.given AND {self._judgements}"
        )
        if rest and self.ids < self.rows:
            self.staging.run(
                f"UPDATE judgements SET {column} = v.text FROM {_values(self.kind)} v "
                f"WHERE judgements.{column} = v.id AND {self._judgements}"
            )
        many = f"the {self.ids:,} values" if self.ids == self.rows else f"{self.ids:,} of the {self.rows:,} values"
        return f"{many} of {self} are ids of the {table}: joined"

    def drop(self) -> None:
        """Note the judgements of ids and, if no id is known, of what looks like one."""
        ids = f"g.id IS NOT NULL OR ({not self.ids} AND {_like('v.text')})"
        self.staging.run(f"INSERT INTO id_texts SELECT j.row {self._texts} WHERE {ids}")

    def _example(self, which: str = "true") -> tuple[int, str]:
        """The place and text of the first value."""
        place, text = self.staging.all(
            f"SELECT j.place, v.text {self._texts} WHERE {which} ORDER BY j.place, j.row LIMIT 1"
        )[0]
        return place, text

    def mixed_error(self) -> DataError:
        """The error for a column of ids and texts."""
        role = "query_id" if self.kind is QUERIES else "negative_id" if self.is_negative else "document_id"
        name = next(iter(self._names), "")
        declare = f'If all are ids, say so with columns={{"{role}": "{name}"}} (--columns {role}={name}); '
        place, identity = self._example("g.id IS NOT NULL")
        other_place, text = self._example("g.id IS NULL")
        return self.staging.error(
            self.source,
            place,
            f"{self} holds {self.ids:,} ids of the {self.kind.table}, such as {identity!r:.60}, and "
            f"{self.rows - self.ids:,} other values, such as {text!r:.60} in line {other_place}. "
            f'{declare if name else ""}join the ids and read the others as texts with on={{"id-as-text": "join"}} '
            "(--on id-as-text=join), or read all as texts with id-as-text=keep.",
        )

    def foreign_error(self) -> DataError:
        """The error for a column of what looks like ids, none of which is known."""
        table = self.kind.table
        place, text = self._example()
        known = self.staging.one(f"SELECT min(id) FROM {table} WHERE {self.kind.given}")
        hint = _elsewhere(self.staging, text) if self.kind is DOCUMENTS else ""
        return self.staging.error(
            self.source,
            place,
            f"the {self.rows:,} values of {self} look like ids, such as {text!r:.60}, but none is the id of a "
            f"{self.kind.name} (ids like {known!r:.60}): {hint}give the {table} with these ids, or read them as texts "
            'with on={"id-as-text": "keep"} (--on id-as-text=keep).',
        )


def join(staging: Staging, action: str) -> list[str]:
    """Turn judgements with an id in place of a text into judgements of that document or query.

    The temporary table ``id_texts`` (row) holds the judgements that ``action`` drops.

    Args:
        staging: the collection.
        action: of the rule ``id-as-text``. ``refuse`` refuses a column of ids and texts; ``join`` joins its ids and
            keeps its texts; ``keep`` reads all as texts; ``drop`` drops rows with an id in place of a text.

    Returns:
        What was done, for a reader.

    Raises:
        DataError: the rule refuses.
    """
    staging.run("CREATE TEMP TABLE id_texts (row BIGINT)")
    lines: list[str] = []
    for kind in (DOCUMENTS, QUERIES):
        is_given = kind.table in staging.given
        has_ids = is_given or kind.table in staging.named
        if has_ids:
            _find_ids(staging, kind)
        if is_given and action != "keep":
            lines += _join_kind(staging, kind, action)
        elif kind is DOCUMENTS and action != "keep":
            lines += _without_corpus(staging, action)
        lines += _join_numbers(staging, kind) if has_ids else []
    return lines


def _find_ids(staging: Staging, kind: IdKind) -> None:
    """Leave the table KIND_ids (form, id): every id as it is written, and in its plain form if only one id has that."""
    staging.run(
        f"""CREATE TEMP TABLE {kind.name}_ids AS
        WITH own AS (SELECT DISTINCT id FROM {kind.table} WHERE own_id)
        SELECT id AS form, id FROM own
        UNION
        SELECT {_form("id")} AS form, min(id) FROM own GROUP BY 1
        HAVING count(*) = 1 AND {_form("min(id)")} NOT IN (SELECT id FROM own)"""
    )


def _form(value: str) -> str:
    """SQL for an id as it is compared: without white space around it, without the fraction of a whole number, and
    without the suffix of a file."""
    number = rf"regexp_replace(trim({value}), '^([+-]?[0-9]+)\.0+$', '\1')"
    return rf"regexp_replace({number}, '(?i)(.){_SUFFIX}$', '\1')"


def _like(text: str) -> str:
    """SQL for whether a text looks like an id."""
    return f"strlen({text}) <= {_LONGEST} AND regexp_full_match({text}, '{_LIKE_AN_ID}')"


def _values(kind: IdKind) -> str:
    """SQL for the texts that ids were made from, with these ids."""
    return f"(SELECT DISTINCT id, text FROM {kind.table} WHERE {kind.made})"


def _join_kind(staging: Staging, kind: IdKind, action: str) -> list[str]:
    # A text of the corpus is that document, whatever it looks like.
    corpus = "SELECT content_id FROM documents WHERE corpus UNION SELECT body_id FROM documents WHERE corpus"
    given = "SELECT NULL::VARCHAR WHERE false" if kind is QUERIES else corpus
    # A text longer than every id is none: long texts are not compared.
    longest = int(staging.one(f"SELECT coalesce(max(strlen(form)), 0) FROM {kind.name}_ids")) + max(map(len, KINDS))
    staging.run(
        f"""CREATE OR REPLACE TEMP TABLE given_ids AS
        SELECT made.id AS given, known.id AS id
        FROM (SELECT DISTINCT id, text FROM {kind.table} WHERE {kind.made} AND strlen(text) <= {longest}) AS made
        JOIN {kind.name}_ids AS known ON known.form = {_form("made.text")}
        WHERE made.id NOT IN ({given})"""
    )
    columns = staging.all(
        f"""SELECT j.source, j.role = 'negative' AND {kind is DOCUMENTS}, count(*), count(g.id),
          count(*) FILTER (g.id IS NULL AND {_like("v.text")} AND v.id NOT IN ({given}))
        FROM judgements j
        JOIN {_values(kind)} v ON v.id = j.{kind.column}
        LEFT JOIN given_ids g ON g.given = v.id
        GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    lines = []
    for row in columns:
        column = _Column(staging, kind, *row)
        if column.are_ids and action in ("refuse", "join"):
            lines.append(column.join(rest=action == "refuse"))
        elif (column.ids or column.is_foreign) and action == "refuse":
            raise column.mixed_error() if column.ids else column.foreign_error()
        elif column.ids and action == "join":
            lines.append(column.join(rest=False))
        elif column.ids or column.is_foreign:
            column.drop()
    if lines:
        staging.run(
            f"""DELETE FROM {kind.table} WHERE {kind.made} AND id NOT IN (
              SELECT {kind.column} FROM judgements WHERE {kind.column} IS NOT NULL)"""
        )
    return lines


def _without_corpus(staging: Staging, action: str) -> list[str]:
    """Report documents that look like ids where no corpus was given; refuse them if their column's name means ids."""
    # Without a corpus there are no ids to compare with, so only the looks of the texts remain.
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


def _join_numbers(staging: Staging, kind: IdKind) -> list[str]:
    """Join ids that are written differently from those given (17.0 for 17)."""
    count = staging.one(
        f"""CREATE OR REPLACE TEMP TABLE written AS
        SELECT u.given, k.id FROM (
          SELECT DISTINCT {kind.column} AS given FROM judgements
          WHERE {kind.column} NOT IN (SELECT id FROM {kind.table}) AND {kind.column} IS NOT NULL
        ) u JOIN {kind.name}_ids k ON k.form = {_form("u.given")}"""
    )
    if not count:
        return []
    given, identity = staging.all("SELECT min(given), arg_min(id, given) FROM written")[0]
    staging.run(f"UPDATE judgements SET {kind.column} = w.id FROM written w WHERE judgements.{kind.column} = w.given")
    return [
        f"{count:,} ids are written differently from those of the {kind.table} ({given!r} for {identity!r}): joined"
    ]


def unknown(kind: IdKind) -> str:
    """SQL for the rows of ``stated`` with a document or query that nothing gives."""
    return f"SELECT s.row FROM stated s ANTI JOIN {kind.table} t ON s.{kind.column} = t.id WHERE s.fate IS NULL"


def unknown_error(staging: Staging, kind: IdKind) -> DataError:
    """The error for the first of these rows."""
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
        theirs = staging.one(f"SELECT min(id) FROM {kind.table} WHERE own_id")
        examples = ", ".join(f"{name!r:.60}" for name in some) + (", ..." if ids > len(some) else "")
        many = f"{_counted(count, 'row')}, {_counted(ids, 'id')}: {examples}"
        many += "" if theirs is None else f"; known ids look like {theirs!r:.60}"
        what = (
            f" ({many}): {elsewhere}give the {kind.table} with these ids, or leave the rows out with "
            'on={"unknown-id": "drop"} (--on unknown-id=drop)'
        )
    return staging.error(source, place, f"the {kind.name} id {identity!r:.200} is not in {holder}{what}.")


def _elsewhere(staging: Staging, identity: str) -> str:
    """The way out where the documents have the id in a column that is not read as their id; else empty."""
    rows = staging.all(
        "SELECT metadata FROM documents WHERE corpus AND contains(metadata, ?) LIMIT 20",
        [json.dumps(identity, ensure_ascii=False).strip('"')],
    )
    for (metadata,) in rows:
        for name, value in json.loads(metadata).items():
            if str(value) == identity:
                return (
                    f'the documents have it in {name}: read that column as their id with columns={{"id": "{name}"}} '
                    f"(--columns id={name}), or "
                )
    for columns in staging.columns.values():
        if "id" in columns:  # of a corpus whose rows are read as queries with documents
            (text,), (name,) = columns["text"], columns["id"]
            return (
                f"the documents are of a table of queries with documents, whose column {name} is not their id: if it "
                f"is, read the rows as documents with {columns_option(text=text, id=name)}, or "
            )
    return ""


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
