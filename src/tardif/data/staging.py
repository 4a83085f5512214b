"""The staging database: a collection on disk, before it becomes a training set.

Memory is bounded whatever the size of the input: rows go in by batches, and DuckDB sorts, groups and joins, and spills
to the folder at its memory limit.

    documents   source, place, id, title, text, metadata, key, content_id, body_id, own_id, corpus,
                parent (it was cut into pieces), piece_of (the parent's id)
    queries     source, place, id, text, key, own_id, listed (it comes from a list of queries)
    judgements  row, source, place, query_id, document_id, role, label, score, family, clicks, shown

``key`` is the hash of the normalised text. A text without an id gets one that is made from the text
(``own_id`` is false); :mod:`tardif.data.hygiene.cleaning` then joins it to the document with this text and its own id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.data.chunking import marked
from tardif.data.json_metadata import metadata_json
from tardif.data.markup import clean_document, treated
from tardif.data.records import Judgement, Source
from tardif.errors import DataError
from tardif.text.normal import normalise, text_id
from tardif.types import Document, Query

if TYPE_CHECKING:
    import duckdb

Chunk = Callable[[Document], list[Document]]

# DuckDB's limit. Ten million pairs are then prepared in 1.1 GB (benchmarks/RESULTS.md).
MEMORY = "700MB"
# Rows inserted at a time, and characters of their texts: 50,000 rows of 100 kB would be 5 GB.
_BATCH, _CHARACTERS = 50_000, 32 << 20

_COLUMNS = {
    "documents": "source INT, place BIGINT, id VARCHAR, title VARCHAR, text VARCHAR, metadata VARCHAR, "
    "key VARCHAR, content_id VARCHAR, body_id VARCHAR, own_id BOOLEAN, corpus BOOLEAN, "
    "parent BOOLEAN, piece_of VARCHAR",
    "queries": "source INT, place BIGINT, id VARCHAR, text VARCHAR, key VARCHAR, own_id BOOLEAN, listed BOOLEAN",
    "judgements": "row BIGINT, source INT, place BIGINT, query_id VARCHAR, document_id VARCHAR, role VARCHAR, "
    "label VARCHAR, score DOUBLE, family VARCHAR, clicks DOUBLE, shown DOUBLE",
    "report": "rule VARCHAR, action VARCHAR, source INT, place BIGINT, row BIGINT, query_id VARCHAR, "
    "document_id VARCHAR, detail VARCHAR",
}


def connect(folder: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """Open a new database in a folder, which is also where it spills to."""
    import duckdb

    return duckdb.connect(
        str(folder / "staging.duckdb"),
        config={
            "memory_limit": memory,
            "temp_directory": folder.as_posix(),
            # The tables are sorted when they are written. Until then an order would only cost memory.
            "preserve_insertion_order": False,
        },
    )


class Staging(AbstractContextManager["Staging"]):
    """The database of a collection. Closing it removes it.

    Attributes:
        sources: the names of the sources; their places are their numbers in every table.
        columns: by source, the columns that rows were read from, by role.
        rows: the number of judgements.
        cut: a document was cut into pieces.
        given: the tables ("documents", "queries") with a corpus or a list of queries.
        named: those with a row that has an id of its own.
        marked: the number of texts with markup.
        example: the first of these.
    """

    def __init__(self, folder: Path, *, memory: str = MEMORY, markup: str = "keep") -> None:
        """Open an empty database.

        Args:
            folder: an existing folder for the database and what spills from memory.
            memory: DuckDB's limit.
            markup: the action for markup in texts: ``keep``, ``clean`` or ``refuse``.
        """
        self.folder = folder
        self.sources: list[str] = []
        self.columns: dict[int, Mapping[str, Sequence[str]]] = {}
        self.rows = 0
        self.cut = False
        self.given: set[str] = set()
        self.named: set[str] = set()
        self.markup, self.marked, self.example = markup, 0, ""
        self.database = connect(folder, memory)
        self.run("PRAGMA disable_checkpoint_on_shutdown")  # closing removes the file
        for table, columns in _COLUMNS.items():
            self.run(f"CREATE TABLE {table} ({columns})")
        self._pending: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _COLUMNS}
        self._characters = dict.fromkeys(_COLUMNS, 0)  # of the pending rows
        # One thread inserts a batch while Python reads the next: DuckDB releases the interpreter's lock.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="staging")
        self._writing: Future[None] | None = None

    def __exit__(self, *error: object) -> None:
        """Close and remove the database."""
        self._writer.shutdown()
        self.database.close()
        for path in self.folder.glob("staging.duckdb*"):
            path.unlink(missing_ok=True)

    def run(self, statement: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run one statement."""
        return self.database.execute(statement, list(values))

    def all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query at once."""
        return self.run(statement, values).fetchall()

    def one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None without a row. Of a table made of a query, the number of its rows."""
        rows = self.all(statement, values)
        return rows[0][0] if rows else None

    def source(self, name: str) -> int:
        """Add a source; returns its number."""
        self.sources.append(name)
        return len(self.sources) - 1

    def add_documents(
        self, source: int, documents: Iterable[tuple[int, Document]], *, chunk: Chunk | None = None, rows: bool = True
    ) -> None:
        """Add a corpus.

        Args:
            source: its number.
            documents: with their places.
            chunk: cuts a document into pieces.
            rows: look for markup. False where the reader has done so.
        """
        for place, given in documents:
            document = clean_document(given, partial(self._cleaned, source, place)) if rows else given
            # An id that was made from the text is not the document's own: such texts join documents with an own id.
            own_id = document.id not in (text_id("d-", document.content), text_id("d-", document.text))
            pieces = [document] if chunk is None else chunk(document)
            is_cut = len(pieces) > 1
            self.cut |= is_cut
            # The whole document stays in the table: texts are looked for in it, and its pieces name it.
            self._document(source, place, document, own_id=own_id or is_cut, corpus=True, parent=is_cut)
            for piece in pieces if is_cut else ():
                self._document(source, place, marked(piece), own_id=True, corpus=True, piece_of=document.id)
        self.flush()

    def add_queries(self, source: int, queries: Iterable[tuple[int, Query]]) -> int:
        """Add a list of queries; returns their number."""
        count = 0
        for place, query in queries:
            text = self._cleaned(source, place, query.text)
            self._query(source, place, query.id, text, _hashes(text)[1], own_id=True, listed=True)
            count += 1
        self.flush()
        return count

    def add(self, opened: Source, *, advance: Callable[[int], None] | None = None, chunk: Chunk | None = None) -> int:
        """Read a source to its end; returns the number of its judgements' source."""
        # A collection in several files names each of them, so that a place is a line of the right file.
        files: dict[str, str] = getattr(opened, "files", {})
        numbers = {name: self.source(name) for name in dict.fromkeys([*files.values(), opened.name])}
        documents, queries, judgements = (
            numbers[files.get(part, opened.name)] for part in ("documents", "queries", "judgements")
        )
        self.add_documents(documents, opened.documents(), chunk=chunk)
        self.add_queries(queries, opened.queries())
        before = self.rows
        for judgement in opened.judgements():
            self._judgement(judgements, judgement)
            if advance is not None and (self.rows - before) % _BATCH == 0:
                advance(_BATCH)
        self.flush()
        # The names of the rows' columns, for messages; the judgements of a collection have none.
        self.columns[judgements] = getattr(opened, "columns", {})
        return judgements

    def table(self, name: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        """Make a temporary table of rows in one insert: single inserts take a millisecond each.

        Args:
            name: of the table.
            columns: names and types, as in SQL.
            rows: the values.
        """
        self.run(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
        if values := list(zip(*rows, strict=True)):
            self._insert(name, _batch(columns, values))

    def documents(self, statement: str) -> list[Document]:
        """The documents of a query for id, title, text and metadata."""
        rows = self.all(statement)
        return [Document(identity, text, title, json.loads(metadata)) for identity, title, text, metadata in rows]

    def note(self, rule: str, action: str, source: int, place: int, detail: str) -> None:
        """Report one row that a rule concerns."""
        self._put("report", (rule, action, source, place, None, None, None, detail))

    def error(self, source: int, place: int, what: str) -> DataError:
        """An error that points at a row."""
        return DataError(what, self.sources[source], place)

    def stream(self, statement: str, size: int = 2_000) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one. Memory holds ``size`` of them at a time."""
        for batch in self.database.sql(statement).to_arrow_reader(size):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _judgement(self, source: int, judgement: Judgement) -> None:
        j, query_id, document_id = judgement, judgement.query_id, judgement.document_id
        if j.query is not None:
            query = self._cleaned(source, j.place, j.query)
            exact, key = _hashes(query)
            query_id = f"q-{exact}" if query_id is None else query_id
            self._query(source, j.place, query_id, query, key, own_id=j.query_id is not None)
        if j.document is not None:
            text = self._cleaned(source, j.place, j.document)
            document_id = text_id("d-", text) if document_id is None else document_id
            self._document(source, j.place, Document(document_id, text), own_id=j.document_id is not None)
        label = None if j.label is None else str(j.label)
        row = (self.rows, source, j.place, query_id, document_id, j.role, label, j.score, j.group, j.clicks, j.shown)
        self._put("judgements", row)
        self.rows += 1

    def _cleaned(self, source: int, place: int, text: str) -> str:
        """Count the markup of a text, and take it out where the action is ``clean``.

        Raises:
            DataError: there is some, and the action is ``refuse``.
        """

        def note(found: str) -> None:
            self.note("markup", self.markup, source, place, found)
            self.mark(f"{found!r} in {Path(self.sources[source]).name}, line {place}")

        return treated(text, self.markup, self.sources[source], place, note)

    def mark(self, example: str) -> None:
        """Count a text with markup."""
        self.marked += 1
        self.example = self.example or example

    def _document(
        self,
        source: int,
        place: int,
        document: Document,
        *,
        own_id: bool,
        corpus: bool = False,
        parent: bool = False,
        piece_of: str | None = None,
    ) -> None:
        exact, key = _hashes(document.content)
        content_id = f"d-{exact}"
        body_id = text_id("d-", document.text) if document.title else content_id
        metadata = metadata_json(document.metadata) if document.metadata else "{}"
        row = (source, place, document.id, document.title, document.text, metadata, key)
        self._put("documents", (*row, content_id, body_id, own_id, corpus, parent, piece_of))
        self._note_kind("documents", own_id=own_id, given=corpus)

    def _query(
        self, source: int, place: int, identity: str, text: str, key: str, *, own_id: bool, listed: bool = False
    ) -> None:
        self._put("queries", (source, place, identity, text, key, own_id, listed))
        self._note_kind("queries", own_id=own_id, given=listed)

    def _note_kind(self, table: str, *, own_id: bool, given: bool) -> None:
        if own_id:
            self.named.add(table)
        if given:
            self.given.add(table)

    def _put(self, table: str, row: tuple[Any, ...]) -> None:
        pending = self._pending[table]
        pending.append(row)
        # Every text of the row, whatever its column: titles, metadata and labels may be long too.
        self._characters[table] += sum([len(value) for value in row if value.__class__ is str])
        if len(pending) >= _BATCH or self._characters[table] >= _CHARACTERS:
            self._write(table)

    def flush(self) -> None:
        """Write all pending rows."""
        for table in self._pending:
            self._write(table)
        self._settle()

    def _write(self, table: str) -> None:
        """Give pending rows to the writer once it is done with the last batch, so that two are held at most."""
        pending = self._pending[table]
        if not pending:
            return
        batch = _batch(_COLUMNS[table], list(zip(*pending, strict=True)))
        pending.clear()
        self._characters[table] = 0
        self._settle()
        self._writing = self._writer.submit(self._insert, table, batch)

    def _insert(self, table: str, batch: Any) -> None:
        # DuckDB scans the Arrow table where it is: nothing is copied.
        self.database.register("batch", batch)
        self.run(f"INSERT INTO {table} SELECT * FROM batch")
        self.database.unregister("batch")

    def _settle(self) -> None:
        """Wait for the writer; raise what it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _batch(columns: str, values: Sequence[Sequence[Any]]) -> Any:
    """Columns of values as an Arrow table."""
    import pyarrow as pa

    names = [column.split()[0] for column in columns.split(", ")]
    return pa.table({name: list(column) for name, column in zip(names, values, strict=True)})


def _hashes(text: str) -> tuple[str, str]:
    """The hashes of a text and of its normalised form."""
    exact, flat = text_id("", text), normalise(text)
    return exact, exact if flat == text else text_id("", flat)
