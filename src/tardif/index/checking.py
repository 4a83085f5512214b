"""Verify every byte of an index, and repair what can be restored from the rest of it.

Damage is of three kinds. A damaged text is lost, because nothing else holds it. Damaged vectors can be encoded again
from the texts (:mod:`tardif.search.repair`). Everything else (deletions, words, the database's own indexes) is made
again here from texts and segments.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tardif.display import Short, table
from tardif.errors import FolderError
from tardif.folders import expanded
from tardif.index.codebooks import read_codebook
from tardif.index.fulltext import words_of
from tardif.index.manifest import read_manifest
from tardif.index.rows import damaged_of, mixed_sum, terms_checksum
from tardif.index.segment import Segment, check_segment, serial_of
from tardif.index.snapshot import without
from tardif.index.store import Store
from tardif.types import Document

# Problems that a notebook shows.
MOST_PROBLEMS = 20


@dataclass(repr=False)
class Examination(Short):
    """The result of examining an index: its counts, and the damage found.

    Attributes:
        documents: how many have an intact text; a document that was cut counts once.
        tokens: token vectors in the living segments.
        segments: the number of living segments.
        problems: one line per problem; empty for an intact index.
        texts: numbers and ids of rows with damaged text.
        unreadable: segments that cannot be opened.
        bare: ids of documents and pieces with damaged or missing vectors.
        words_differ: the words are not those of the documents.
        is_malformed: SQLite reports a malformed database.
        encoder: the checksum of the index's query encoder; "" for none.
        encoder_is_damaged: the query encoder cannot be read, or is another one (checked by
            :mod:`tardif.search.repair`).
        shards: of an index in shards, the examination of each shard that can be read, by its name.
        remarks: what could not be examined; empty for an index of Tardif's own.
    """

    documents: int = 0
    tokens: int = 0
    segments: int = 0
    problems: list[str] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    words_differ: bool = False
    is_malformed: bool = False
    encoder: str = ""
    encoder_is_damaged: bool = False
    shards: dict[str, Examination] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def _repr_html_(self) -> str:
        rows = [("documents", self.documents), ("token vectors", self.tokens), ("segments", self.segments)]
        problems = [("problem", line) for line in self.problems[:MOST_PROBLEMS]]
        left = len(self.problems) - len(problems)
        return table((), [*rows, *(problems or [("problems", "none")])], caption="Index", left=left)

    def as_json(self) -> dict[str, Any]:
        """Return the counts and problems, for scripts."""
        counts = {"documents": self.documents, "tokens": self.tokens, "segments": self.segments}
        unchecked = {"unchecked": list(self.remarks)} if self.remarks else {}
        return {**counts, "problems": list(self.problems), **unchecked}


def examine_index(folder: str | Path) -> Examination:
    """Read every byte of an index and compare it with its checksum. Nothing is changed.

    Raises:
        FolderError: the folder is not an index, its manifest is damaged, or it was written by another version.
    """
    folder = expanded(folder)
    manifest = read_manifest(folder)
    found = Examination()
    try:
        # One transaction: all parts are of one state, whatever others write meanwhile.
        with closing(_store(folder, manifest)) as store, store.reading() as database:
            _structure(database, found)
            if store.fact("manifest") != manifest["checksum"]:
                found.problems.append(f"{folder / 'manifest.json'} is not the one that was written.")
            found.encoder = store.fact("encoder") or ""
            numbers = _texts(store, found)
            _vectors(folder, manifest, store, numbers, found)
            _words(database, store, found)
    except FolderError as error:
        found.is_malformed = True
        found.problems.append(str(error))
    return found


def _store(folder: Path, manifest: Mapping[str, Any]) -> Store:
    return Store(folder / "index.sqlite", words_of(manifest.get("words")), manifest["identity"])


def _structure(database: sqlite3.Connection, found: Examination) -> None:
    # At most 20 faults: a page that is lost breaks thousands of rows.
    lines = [str(row[0]) for row in database.execute("PRAGMA integrity_check(20)")]
    if lines != ["ok"]:
        found.is_malformed = True
        found.problems.append(f"index.sqlite is malformed: {'; '.join(' '.join(lines).split())[:300]}")


def _texts(store: Store, found: Examination) -> dict[int, str]:
    """Verify the texts. Returns the ids of the intact rows by number."""
    numbers: dict[int, str] = {}
    checksums: list[int] = []
    wholes: set[str] = set()
    for row in store.all_rows():
        if damaged_of([row]):
            found.texts.append((int(row.number), str(row.id)))
        else:
            numbers[row.number] = row.id
            wholes.add(row.document)
        checksums.append(row.checksum if isinstance(row.checksum, int) else 0)
    found.documents = len(wholes)
    # A sum does not depend on the order of the rows, so it can be kept up to date by each write.
    counted = (len(checksums), mixed_sum(np.array(checksums, dtype=np.int64)))
    if not found.texts and counted != (store.rows(), store.number("documents sum")):
        found.problems.append(f"{store.rows()} texts were written; {len(checksums)} are there.")
    if found.texts:
        found.problems.append(f"The texts of {len(found.texts)} documents are damaged: {_some(found.texts)}.")
    return numbers


def _some(numbered: list[tuple[int, str]]) -> str:
    named = [repr(identity[:80]) for _, identity in numbered[:5]]
    return ", ".join(named) + (" and others" if len(numbered) > 5 else "")


def _vectors(
    folder: Path, manifest: Mapping[str, Any], store: Store, numbers: Mapping[int, str], found: Examination
) -> None:
    """Verify segments and codebooks, and that texts and vectors belong to each other."""
    try:
        store.living()
    except FolderError as error:
        found.problems.append(str(error))
    # Read once for all of their segments.
    book = cache(lambda name: read_codebook(folder / "codebooks", manifest["identity"], name))
    have, deleted = [np.zeros(0, dtype=np.int64)], store.deleted()
    for name in store.segments():
        found.segments += 1
        try:
            segment = Segment(folder / "segments" / name, book)
            check_segment(segment, manifest["bits"], store.number("dim"), store.fact("codebook"))
        except (FileNotFoundError, FolderError) as error:
            found.unreadable.append(name)
            is_missing = isinstance(error, FileNotFoundError)
            found.problems.append(f"{folder / 'segments' / name} is missing." if is_missing else str(error))
            continue
        found.tokens += segment.tokens
        living = np.flatnonzero(without(segment.numbers, deleted))
        bad = segment.damaged_rows(living)
        if len(bad):
            found.problems.append(f"{segment.path} is damaged: the vectors of {len(bad)} documents.")
        have.append(np.setdiff1d(segment.numbers[living], segment.numbers[bad]))
    known = np.array(sorted(numbers), dtype=np.int64)
    there = np.concatenate(have)
    found.bare = [numbers[number] for number in known[~np.isin(known, there)].tolist()]
    if found.bare:
        found.problems.append(f"{len(found.bare)} documents are without whole vectors.")
    # Vectors of a damaged text have their document still: they are not counted as stray.
    stray = ~np.isin(there, np.array([*numbers, *(number for number, _ in found.texts)], dtype=np.int64))
    if stray.any():
        found.problems.append(f"The vectors of {int(stray.sum())} documents are without a text.")


def _words(database: sqlite3.Connection, store: Store, found: Examination) -> None:
    if store.words is None:
        return
    try:
        store.check_words(database)
        held = {int(row[0]): terms_checksum(row[1]) for row in database.execute("SELECT rowid, terms FROM words")}
        wanted = {int(row[0]): row[1] for row in database.execute("SELECT number, terms FROM documents")}
        found.words_differ = held != wanted
    except (FolderError, sqlite3.DatabaseError, TypeError, ValueError, AttributeError):
        found.words_differ = True
    if found.words_differ:
        found.problems.append("The words are not those of the documents.")


def mend(folder: str | Path, found: Examination) -> list[str]:
    """Remove what is damaged from an index, so that it opens again. :func:`to_encode` returns what must be added then.

    Args:
        folder: the index.
        found: what is wrong with it.

    Returns:
        A line for each repair.

    Raises:
        FolderError: the database cannot be read, or the folder cannot be written.
    """
    folder = expanded(folder)
    done: list[str] = []
    manifest = read_manifest(folder)
    with closing(_store(folder, manifest)) as store, store.writing() as database:
        if found.is_malformed:
            _reindex(store, database)
            done.append("The database's own indexes were rebuilt.")
        done += _give_up(store, database, found)
        for name in found.unreadable:
            database.execute("DELETE FROM segments WHERE name = ?", (name,))
        _recount(folder, manifest["identity"], store, database)
        if store.words is not None and found.words_differ:
            store.rebuild_words(database)
            done.append("The words were indexed again.")
        else:
            store.sign_words(database)
    return done


def _give_up(store: Store, database: sqlite3.Connection, found: Examination) -> list[str]:
    """Remove the documents with damaged texts. If one piece is lost, all pieces of its document are removed: a part of
    a document must not pass for the whole."""
    store.remove_numbers(database, [number for number, _ in found.texts])
    held: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    for row in store.all_rows():
        counts[row.document] = row.siblings()
        held.setdefault(row.document, []).append(row.number)
    parts = {identity: numbers for identity, numbers in held.items() if len(numbers) < counts[identity]}
    store.remove_numbers(database, [number for numbers in parts.values() for number in numbers])
    lost = [i for _, i in found.texts if not any(i.startswith(f"{document}#") for document in parts)]
    return [f"The document {identity!r} was given up: add it again." for identity in [*lost, *parts]]


def _reindex(store: Store, database: sqlite3.Connection) -> None:
    database.execute("REINDEX")
    left = Examination()
    _structure(database, left)
    if left.is_malformed:
        raise FolderError(f"{store.path} cannot be mended, build the index again: {left.problems[0]}")


def _recount(folder: Path, identity: str, store: Store, database: sqlite3.Connection) -> None:
    """Derive the facts from segments and texts again: a damaged fact must not be sealed as right."""
    if (codebook := store.fact("codebook")) is not None:
        try:
            read_codebook(folder / "codebooks", identity, codebook)
        except FolderError:
            database.execute("DELETE FROM facts WHERE name = 'codebook'")  # a new one is learned
    names = store.segments()
    numbers = [Segment(folder / "segments" / name).numbers for name in names]
    rows = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *numbers]))
    living = np.array([row[0] for row in database.execute("SELECT number FROM documents")], dtype=np.int64)
    store.set_deleted(database, rows[~np.isin(rows, living)])
    # Numbers of removed documents are never given again: a reader's old view may still name them.
    store.set_fact(database, "next", 1 + max([-1, *rows.tolist(), *living.tolist()]))
    store.set_fact(database, "serial", max([0, *(serial_of(name) for name in names)]))
    if not names:
        database.execute("DELETE FROM facts WHERE name = 'dim'")
    store.recount(database)
    store.touch(database)


def to_encode(folder: str | Path, found: Examination) -> list[Document]:
    """Return the documents of a mended index with damaged or missing vectors, each with all of its pieces."""
    with closing(_store(Path(folder), read_manifest(Path(folder)))) as store:
        bare = store.documents(found.bare).values()
        return list(store.documents([document.whole_id for document in bare]).values())
