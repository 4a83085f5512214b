"""A corpus on disk while it is indexed: taken from a stream once, read in blocks as often as needed.

documents   a row per document: its id and place, and its text, or the pieces that it was cut into
pieces      the ids of pieces, each with its document
dropped     documents that no block holds

SQLite keeps it: unique ids, a document by its number, and blocks in order, with a page cache of some megabytes. The
file is private and temporary, so it has no journal and nothing waits for the disk. Where the system allows it, the file
has no name: not even a killed process leaves one.
"""

from __future__ import annotations

import heapq
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from tardif.batching import batched
from tardif.errors import FolderError
from tardif.index.document_columns import as_kept, metadata_json
from tardif.index.pieces import check_pieces, incomplete, shared_id
from tardif.text.normal import keyed_order
from tardif.types import Document, Piece

_SCHEMA = """
CREATE TABLE documents (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, place INTEGER NOT NULL, rows INTEGER NOT NULL, digest BLOB,
  title TEXT, text TEXT, metadata TEXT, pieces TEXT
);
CREATE TABLE pieces (id TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dropped (number INTEGER PRIMARY KEY);
"""
_SELECT = "SELECT number, id, title, text, metadata, pieces FROM documents"
# No journal and no waiting: a file that is lost with its process needs neither. The cache is 16 MiB.
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -16384")
# Documents read at a time, and values in one statement: older SQLites bind at most 999.
_TOGETHER = 500


class Held(NamedTuple):
    """An earlier document with the same id.

    Attributes:
        place: of the document in its source.
        digest: of its content (:func:`text_digest`).
        metadata: as stored.
    """

    place: int
    digest: bytes
    metadata: dict[str, Any]


class SpooledCorpus(AbstractContextManager["SpooledCorpus"]):
    """Documents and their pieces on disk. ``len`` counts rows: documents, or pieces of those that were cut.

    Args:
        path: a new file, on a disk with room for all texts; None for a temporary file of the system.

    Raises:
        FolderError: the file cannot be written.

    >>> with SpooledCorpus.of([Document("a", "first"), Document("b", "second")]) as corpus:
    ...     [[document.id for document in block] for block in corpus.blocks(1)], len(corpus)
    ([['a'], ['b']], 2)
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._rows, self.wholes, self._named, self._given = path, 0, 0, False, False
        with self._writable():
            self._database = sqlite3.connect("" if path is None else path, isolation_level=None)
        try:
            with self._writable():
                for pragma in _PRAGMAS:
                    self._database.execute(f"PRAGMA {pragma}")
                self._database.executescript(_SCHEMA)
                # One transaction without an end: pages leave the cache when it is full, and not for each document.
                self._database.execute("BEGIN")
            if path is not None and os.name != "nt":
                path.unlink(missing_ok=True)  # a write to the index at this moment may have swept it: nobody needs it
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, documents: Iterable[Document], path: Path | None = None) -> SpooledCorpus:
        """Take documents and pieces, with unique ids.

        Raises:
            DataError: as for :meth:`put` and :meth:`check`, or two documents have the same id.
        """
        corpus = cls(path)
        try:
            for place, document in enumerate(documents, start=1):
                if corpus.put(place, document, [document]) is not None:
                    raise shared_id(document.id, document.id)
            corpus.check()
        except BaseException:
            corpus.close()
            raise
        return corpus

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the corpus."""
        self._database.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            place = "the system's folder for temporary files" if self._path is None else self._path.parent
            raise FolderError(
                f"The corpus could not be written to {place} ({error}): it needs room for all texts there."
            ) from error

    # Writing

    def put(self, place: int, document: Document, pieces: Sequence[Document]) -> Held | None:
        """Add a document. One with an id that is there is not added.

        Args:
            place: of the document in its source.
            document: as it was read: a whole document, or a piece.
            pieces: what it was cut into, or the document itself.

        Returns:
            What is there of a document with this id; None if the document was added.

        Raises:
            DataError: the id of a document is that of a piece, or two pieces have the same id, or metadata is nested
                too deeply.
            FolderError: the disk is full.
        """
        whole = pieces[0].whole_id
        with self._writable():
            if self._named:
                self._check_name(whole, whole)
            row = (None, whole, place, len(pieces), *_columns(document, pieces))
            added = self._database.execute("INSERT OR IGNORE INTO documents VALUES (?,?,?,?,?,?,?,?,?)", row)
            if not added.rowcount:
                return self._again(document, whole)
            self._add_names(pieces, int(added.lastrowid or 0), whole)
        self.wholes += 1
        self._rows += len(pieces)
        self._given |= document.piece is not None
        return None

    def join(self, document: Document, pieces: Sequence[Document]) -> None:
        """Replace a document that is there by the same text with other metadata."""
        with self._writable():
            ((number, rows),) = self._database.execute(
                "SELECT number, rows FROM documents WHERE id = ?", [document.id]
            ).fetchall()
            self._database.execute("DELETE FROM pieces WHERE number = ?", [number])
            self._database.execute(
                "UPDATE documents SET rows = ?, digest = ?, title = ?, text = ?, metadata = ?, pieces = ?"
                " WHERE number = ?",
                (len(pieces), *_columns(document, pieces), number),
            )
            self._add_names(pieces, number, document.id)
        self._rows += len(pieces) - int(rows)

    def check(self) -> None:
        """Raise unless every document that was given in pieces has all of them. Call it after the last document.

        Raises:
            DataError: pieces are missing.
        """
        if not self._given:  # a document that was cut here has all of them
            return
        for block in self._stored("digest IS NULL"):
            for _, documents in block:
                check_pieces(documents)

    def _again(self, document: Document, whole: str) -> Held | None:
        """Another document with an id that is there: the next piece of a document that is given in pieces, or Held."""
        ((number, place, digest, metadata, pieces),) = self._database.execute(
            "SELECT number, place, digest, metadata, pieces FROM documents WHERE id = ?", [whole]
        ).fetchall()
        is_given = digest is None
        if document.piece is None and not is_given:
            return Held(place, digest, json.loads(metadata or "{}"))
        if document.piece is None or not is_given:
            raise incomplete(whole, len(json.loads(pieces)) if document.piece is None else document.piece.of)
        self._add_names([document], number, whole)
        record = json.dumps([*json.loads(pieces), record_of(document)], ensure_ascii=False)
        self._database.execute("UPDATE documents SET rows = rows + 1, pieces = ? WHERE number = ?", (record, number))
        self._rows += 1
        return None

    def _add_names(self, pieces: Sequence[Document], number: int, whole: str) -> None:
        for piece in pieces:
            if piece.piece is None:
                return
            self._named = True
            if self._database.execute(
                "SELECT 1 FROM documents WHERE id = ? AND number <> ?", [piece.id, number]
            ).fetchone():
                raise shared_id(piece.id, piece.id, whole)
            self._check_name(piece.id, whole)
            if not self._database.execute("INSERT OR IGNORE INTO pieces VALUES (?, ?)", [piece.id, number]).rowcount:
                raise shared_id(piece.id, piece.id)

    def _check_name(self, name: str, whole: str) -> None:
        """Raise if a name is that of a piece of another document."""
        owner = self._database.execute(
            "SELECT d.id FROM pieces AS p JOIN documents AS d USING (number) WHERE p.id = ?", [name]
        ).fetchone()
        if owner is not None and owner[0] != whole:
            raise shared_id(name, owner[0], whole)

    def drop(self, ids: Sequence[str]) -> None:
        """Leave documents out of all blocks from now on; their ids stay known."""
        with self._writable():
            for identity in ids:
                number, rows = self._database.execute(
                    "SELECT number, rows FROM documents WHERE id = ?", [identity]
                ).fetchone()
                self._database.execute("INSERT INTO dropped VALUES (?)", [number])
                self.wholes -= 1
                self._rows -= rows

    # Reading

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[Document]:
        for _, documents in self._each():
            yield from documents

    def blocks(self, size: int) -> Iterator[list[Document]]:
        """Yield the documents in blocks of about ``size`` rows, in order; all pieces of a document are in one block."""
        return joined((documents for _, documents in self._each()), size)

    def sample_first(self, sample: int, size: int) -> Iterator[list[Document]]:
        """Yield a random sample of at least ``sample`` rows as the first block, then the rest in blocks of about
        ``size``. The sample is drawn by the ids (:func:`tardif.text.normal.keyed_order`): the same corpus gives it
        again."""
        chosen = self._sampled(sample)
        if chosen:
            yield [piece for _, documents in self._numbered(chosen) for piece in documents]
        drawn = frozenset(chosen)
        yield from joined((documents for number, documents in self._each() if number not in drawn), size)

    def unknown(self, ids: Iterable[str]) -> Iterator[str]:
        """Yield the ids that no whole document here has."""
        for block in batched(ids, _TOGETHER):
            known = {row[0] for row in self._in("SELECT id FROM documents WHERE id", block)}
            yield from (identity for identity in block if identity not in known)

    def _sampled(self, sample: int) -> list[int]:
        """The numbers of the documents of a sample, ascending."""
        # Read from SQLite's index of the ids, which is smaller than the texts.
        ids = self._database.execute("SELECT id, number FROM documents WHERE number NOT IN dropped")
        first = heapq.nsmallest(sample, ((keyed_order(0, identity), number) for identity, number in ids))
        chosen, held = [], 0
        for _, number in first:
            if held >= sample:
                break
            chosen.append(number)
            held += self._database.execute("SELECT rows FROM documents WHERE number = ?", [number]).fetchone()[0]
        return sorted(chosen)

    def _numbered(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[Document]]]:
        for block in batched(numbers, _TOGETHER):
            yield from sorted(map(_documents, self._in(f"{_SELECT} WHERE number", block)), key=lambda one: one[0])

    def _each(self) -> Iterator[tuple[int, list[Document]]]:
        for block in self._stored("number NOT IN dropped"):
            yield from block

    def _stored(self, condition: str) -> Iterator[list[tuple[int, list[Document]]]]:
        """Documents with their numbers. Each block is a statement of its own: others may write in between."""
        last = -1
        statement = f"{_SELECT} WHERE number > ? AND {condition} ORDER BY number LIMIT {_TOGETHER}"
        while rows := self._database.execute(statement, [last]).fetchall():
            yield list(map(_documents, rows))
            last = rows[-1][0]

    def _in(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        marks = ", ".join("?" * len(values))
        return self._database.execute(f"{statement} IN ({marks})", values).fetchall()


def text_digest(document: Document) -> bytes:
    """Return a digest of a document's content, from which an id is made where a document has none."""
    return blake2b(document.content.encode("utf-8"), digest_size=16).digest()


def _columns(document: Document, pieces: Sequence[Document]) -> tuple[bytes | None, *tuple[str | None, ...]]:
    """The columns digest, title, text, metadata and pieces. A document that was given in pieces has no digest."""
    digest = None if document.piece is not None else text_digest(document)
    metadata = metadata_json(document.metadata) if document.metadata else None
    if pieces[0].piece is None:
        return digest, pieces[0].title, pieces[0].text, metadata, None
    return digest, None, None, metadata, json.dumps(list(map(record_of, pieces)), ensure_ascii=False)


def record_of(document: Document) -> list[Any]:
    """Return a document or piece as JSON holds it: id, title, text, metadata, and its place as a piece."""
    kept = as_kept(document)
    place = None if kept.piece is None else kept.piece.as_json()
    return [kept.id, kept.title, kept.text, dict(kept.metadata), place]


def document_from(record: Sequence[Any]) -> Document:
    """Return the document or piece of a :func:`record_of`."""
    identity, title, text, metadata, place = record
    return Document(identity, text, title, metadata, None if place is None else Piece.from_json(place))


def _documents(row: Sequence[Any]) -> tuple[int, list[Document]]:
    """The number of a row, and the document or its pieces."""
    number, identity, title, text, metadata, pieces = row
    if pieces is None:
        return number, [Document(identity, text, title, json.loads(metadata or "{}"))]
    return number, list(map(document_from, json.loads(pieces)))


def joined(wholes: Iterable[list[Document]], size: int) -> Iterator[list[Document]]:
    """Yield documents, each a list of its pieces, in blocks of about ``size`` rows."""
    for block in batched(wholes, size, len):
        yield [document for pieces in block for document in pieces]
