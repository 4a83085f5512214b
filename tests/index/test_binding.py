"""The files of an index belong together: what is another index's, or makes no sense, is an error, never an answer."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import xxhash

import token_vectors as plain
from tardif.errors import FolderError
from tardif.index import compaction, disk
from tardif.index import segment as segments
from tardif.index.checking import examine_index
from tardif.index.codebooks import write_codebook
from tardif.index.codes import Codebook
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.segment import living_name
from tardif.index.store import Store

QUERY = plain.vectors_of(3, 6)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Segments are coded at sizes that a test reaches."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (disk, compaction):
            patch.setattr(module, "PLAIN_TOKENS", 60)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Copy an index, which is built once, to a folder: ``built(folder, seed, bits)``."""

    @cache
    def original(seed, bits):
        folder = tmp_path_factory.mktemp("built") / "index"
        with DiskIndex.create(folder, model={"path": "here"}, bits=bits, words="en", threads=1) as index:
            documents, vectors, lengths = plain.some(40, seed=seed)
            index.add([replace(d, text=f"text of cats {n}") for n, d in enumerate(documents)], vectors, lengths)
            index.add(*plain.some(3, seed=seed + 100))
        return folder

    return lambda folder, seed, bits=8: shutil.copytree(original(seed, bits), folder)


def answers(folder):
    """Everything that can be asked of an index."""
    with DiskIndex(folder, threads=1) as index:
        ids = index.ids()
        return [
            ids,
            index.get(ids),
            index.search(QUERY, [6], 50, exact=True),
            index.search(QUERY, [6], 3),
            index.search(QUERY, [6], 50, where=parse_filter("n < 20")),
            index.score(QUERY, ids[::-1]),
            index.search_words("cats text", 50),
            index.search_words("cats", 50, where=parse_filter("n < 20")),
        ]


def kind(path, folder):
    return path.relative_to(folder).parts[0] + path.suffix


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("what", ["manifest.json.json", "index.sqlite.sqlite", "segments.segment", "codebooks.npz"])
def test_a_file_of_another_index_is_refused_when_it_is_opened(built, tmp_path, what, bits):
    ours, theirs = built(tmp_path / "ours", 0, bits), built(tmp_path / "theirs", 1, bits)
    mine = sorted(path for path in ours.rglob("*") if path.is_file() and kind(path, ours) == what)
    others = sorted(path for path in theirs.rglob("*") if path.is_file() and kind(path, theirs) == what)
    assert mine and len(mine) == len(others)
    for one, other in zip(mine, others, strict=True):
        shutil.copyfile(other, one)
    with pytest.raises(FolderError, match="damaged"):
        answers(ours)
    try:
        assert examine_index(ours).problems
    except FolderError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize("what", ["segments.segment", "codebooks.npz"])
def test_a_file_of_another_index_with_its_own_name_is_left_alone(built, tmp_path, what):
    ours, theirs = built(tmp_path / "ours", 0), built(tmp_path / "theirs", 1)
    expected = answers(ours)
    for path in theirs.rglob(f"*{what[what.index('.') :]}"):
        shutil.copyfile(path, ours / path.relative_to(theirs))
    assert answers(ours) == expected
    assert examine_index(ours).problems == []


def test_a_copy_that_was_broken_off_is_noticed_whichever_files_came_through(built, tmp_path):
    old, new = built(tmp_path / "old", 0), built(tmp_path / "new", 1)
    names = sorted(path.relative_to(new) for path in new.rglob("*") if path.is_file())
    for count in range(1, len(names)):
        place = tmp_path / f"copy{count}"
        shutil.copytree(old, place)
        for name in names[:count]:
            shutil.copyfile(new / name, place / name)
        changed = {path.parts[0] for path in names[:count]} & {"manifest.json", "index.sqlite"}
        if changed == {"manifest.json", "index.sqlite"} and names[count - 1].parts[0] == "segments":
            continue  # all but files that nobody needs: it came through
        if not changed:
            assert answers(place) == answers(old)
            continue
        with pytest.raises(FolderError, match="damaged|missing"):
            answers(place)


def _forged(folder, change):
    """Have an index's coded segment say other things, with checksums that are right wherever they stand."""
    with DiskIndex(folder, threads=1) as index:
        view = index.view()
        found = next(segment for segment in view.segments if segment.has_postings)
        identity, name = index.identity, found.path.name
    raw = bytearray(found.path.read_bytes())
    header = json.loads(raw[16:4096])
    tables = {key: np.array(table) for key, table in found.tables.items()}
    described = copy.deepcopy(header["tables"])
    change(header, tables)
    for key, table in tables.items() if isinstance(header["tables"], dict) else ():
        about = header["tables"][key]
        if about != described[key]:
            continue
        data = np.ascontiguousarray(table).tobytes()
        raw[about["place"] : about["place"] + len(data)] = data
        if about["check"] is not None:
            size = int(np.prod(about["shape"])) * table.dtype.itemsize
            about["check"] = xxhash.xxh3_64_hexdigest(bytes(raw[about["place"] : about["place"] + size]))
    text = json.dumps(header).encode().ljust(4080)
    raw[:4096] = segments.MAGIC + xxhash.xxh3_64_digest(text) + text
    found.path.unlink()
    aside = folder / "forged"
    aside.write_bytes(raw)
    forged = living_name(identity[:12], int(name.split("-")[1]), aside)
    aside.rename(found.path.with_name(forged))
    store = Store(folder / "index.sqlite")
    with store.writing() as database:
        database.execute("UPDATE segments SET name = ? WHERE name = ?", (forged, name))
    store.close()


def _checks(tables):
    """StoredRow checksums that fit the rows."""
    rows = {name: tables[name] for name in ("codes", "steps", "nearest") if name in tables}
    ends = tables["starts"]
    if (np.diff(ends) >= 0).all() and ends[-1] <= len(rows["codes"]):
        found = [segments.rows_checksum(rows, int(a), int(b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        tables["checks"] = np.array(found, dtype=np.uint64)


def setting(table, place, value):
    def change(header, tables):
        tables[table][place] = value
        _checks(tables)

    return change


def heading(**values):
    def change(header, tables):
        header |= values

    return change


def shape(table, **values):
    def change(header, tables):
        header["tables"][table] |= values

    return change


FORGERIES = {
    "a document begins beyond the rows": setting("starts", 3, 10**12),
    "a document begins before the rows": setting("starts", 0, -5),
    "the last document ends beyond the rows": setting("starts", -1, 10**9),
    "documents overlap": setting("starts", 5, 0),
    "numbers do not ascend": setting("numbers", 4, 0),
    "a number is negative": setting("numbers", 0, -1),
    "postings of a centroid begin beyond the table": setting("posting_starts", 2, 10**12),
    "postings of a centroid begin before the table": setting("posting_starts", 1, -7),
    "the last postings end beyond the table": setting("posting_starts", -1, 10**9),
    "a posting names no document": setting("postings", 0, 65_535),
    "other bits": heading(bits=16),
    "bits that there are not": heading(bits=7),
    "bits that are no number": heading(bits="eight"),
    "no bits": heading(bits=None),
    "no scale": heading(scale=0.0),
    "a negative scale": heading(scale=-1.0),
    "an infinite scale": heading(scale=1e999),
    "a scale that is no number": heading(scale=[1]),
    "fewer documents": heading(documents=3),
    "more documents": heading(documents=10**15),
    "negative documents": heading(documents=-1),
    "more tokens": heading(tokens=10**12),
    "a newer version": heading(version=99),
    "a version that is no number": heading(version={}),
    "no codebook": heading(codebook=None),
    "another codebook": heading(codebook="0" * 16),
    "a codebook elsewhere": heading(codebook="../../x"),
    "tables that are none": heading(tables=[1]),
    "codes of another type": shape("codes", dtype="<f8"),
    "codes that hold objects": shape("codes", dtype="|O"),
    "codes of another shape": shape("codes", shape=[1, 1]),
    "codes with a negative shape": shape("codes", shape=[-1, 12]),
    "codes of an endless shape": shape("codes", shape=[2**62, 2**62]),
    "codes in the header": shape("codes", place=0),
    "codes beyond the file": shape("codes", place=2**40),
    "codes of no place": shape("codes", place=None),
    "starts of another type": shape("starts", dtype="<u4"),
    "postings of another type": shape("postings", dtype="<u4"),
}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_segment_with_right_checksums_that_makes_no_sense_is_refused(built, tmp_path, forgery, bits):
    folder = built(tmp_path / "index", 0, bits)
    _forged(folder, FORGERIES[forgery])
    with pytest.raises(FolderError, match="damaged|newer|missing"):
        answers(folder)
    assert examine_index(folder).problems


def test_a_row_whose_centroid_there_is_not_is_refused(built, tmp_path):
    folder = built(tmp_path / "index", 0, 4)
    _forged(folder, setting("nearest", 7, 65_535))
    with pytest.raises(FolderError, match="damaged"):
        answers(folder)
    assert examine_index(folder).problems


CODEBOOKS = {
    "shortened": lambda book: replace(book, centroids=book.centroids[:3]),
    "of another width": lambda book: replace(book, centroids=np.ascontiguousarray(book.centroids[:, :8])),
    "without residuals": lambda book: replace(book, cuts={}, values={}),
    "with fewer residuals": lambda book: replace(book, values={4: book.values[4][:3], 2: book.values[2]}),
    "of another type": lambda book: replace(book, centroids=book.centroids.astype(np.float64)),
    "empty": lambda book: replace(book, centroids=book.centroids[:0]),
}


@pytest.mark.parametrize("change", CODEBOOKS)
def test_a_codebook_that_does_not_fit_is_refused(built, tmp_path, change):
    folder = built(tmp_path / "index", 0, 4)
    with DiskIndex(folder, threads=1) as index:
        identity, name = index.identity, index.store.fact("codebook")
        book: Codebook = next(s.codebook for s in index.view().segments if s.has_postings)
    (path,) = (folder / "codebooks").iterdir()
    path.unlink()
    forged = write_codebook(folder / "codebooks", CODEBOOKS[change](book), identity)
    # In its place under its name, and named wherever it is named.
    shutil.copyfile(folder / "codebooks" / f"{identity[:12]}-{forged}.npz", path)
    with pytest.raises(FolderError, match="damaged"):
        answers(folder)
    assert examine_index(folder).problems
    store = Store(folder / "index.sqlite")
    with store.writing() as database:
        store.set_fact(database, "codebook", forged)
    store.close()

    def rename(header, tables):
        header["codebook"] = forged

    shutil.copyfile(folder / "codebooks" / f"{identity[:12]}-{forged}.npz", tmp_path / "kept")
    path.unlink()
    assert name != forged
    with pytest.raises(FolderError, match="damaged"):
        answers(folder)
    assert examine_index(folder).problems


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE words_data SET block = NULL WHERE id = (SELECT max(id) FROM words_data)",
        "UPDATE words_data SET block = x'00' || substr(block, 2) WHERE id = (SELECT max(id) FROM words_data)",
        "DELETE FROM words_data WHERE id = (SELECT max(id) FROM words_data)",
        "UPDATE words_docsize SET sz = x'09'",
        "DELETE FROM words_docsize WHERE id = 3",
        "UPDATE words_config SET v = 3 WHERE k = 'version'",
        "DELETE FROM words_idx",
    ],
)
def test_words_that_are_not_what_was_written_are_an_error(built, tmp_path, damage):
    folder = built(tmp_path / "index", 0)
    before = answers(folder)
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        assert database.execute(damage).rowcount
    with DiskIndex(folder, threads=1) as index:
        assert index.search(QUERY, [6], 50, exact=True) == before[2]
        with pytest.raises(FolderError, match="damaged"):
            index.search_words("cats", 50)
    assert any("words" in problem for problem in examine_index(folder).problems)


def test_words_that_a_document_was_not_indexed_by_are_not_what_it_is_deleted_by(built, tmp_path):
    folder = built(tmp_path / "index", 0)
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        assert database.execute("UPDATE words_content SET c0 = 'dogs' WHERE id = 3").rowcount
    assert examine_index(folder).problems
    with DiskIndex(folder, threads=1) as index:
        with pytest.raises(FolderError, match="damaged"):
            index.delete([index.ids()[3]])
        assert len(index) == 43


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE facts SET value = value + 1 WHERE name = 'changes'",
        "UPDATE facts SET value = value + 1 WHERE name = 'next'",
        "UPDATE facts SET value = value + 4 WHERE name = 'dim'",
        "UPDATE facts SET value = value + 1 WHERE name = 'documents'",
        "UPDATE facts SET value = 'x' WHERE name = 'changes'",
        "UPDATE facts SET value = '-1' WHERE name = 'dim'",
        "UPDATE facts SET value = x'ff' WHERE name = 'documents'",
        "UPDATE facts SET value = 'x' WHERE name = 'codebook'",
        "UPDATE facts SET value = 'x' WHERE name = 'identity'",
        "UPDATE facts SET value = 'x' WHERE name = 'manifest'",
        "DELETE FROM facts WHERE name = 'state'",
        "DELETE FROM facts",
        "UPDATE segments SET tokens = tokens + 1",
        "INSERT INTO deleted VALUES (3)",
        "DROP TABLE facts",
    ],
)
def test_facts_that_are_not_what_was_written_are_an_error(built, tmp_path, damage):
    folder = built(tmp_path / "index", 0)
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        database.execute(damage)
    with pytest.raises(FolderError, match=r"damaged|cannot be used"):
        answers(folder)
    assert examine_index(folder).problems


def test_an_id_that_its_index_has_lost_is_an_error_never_a_document_that_is_not_there(built, tmp_path):
    folder = built(tmp_path / "index", 0)
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        # As a flipped bit in the tree does: the index of the ids leads from one id to another's row.
        database.execute("PRAGMA writable_schema = ON")
        page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_documents%'")
        root, size = page.fetchone()[0], database.execute("PRAGMA page_size").fetchone()[0]
    path = folder / "index.sqlite"
    raw = bytearray(path.read_bytes())
    begin = (root - 1) * size
    at = raw.index(b"d0-7", begin, begin + size)
    raw[at : at + 4] = b"d0-q"
    path.write_bytes(raw)
    with DiskIndex(folder, threads=1) as index:
        for call in (
            lambda: index.get(["d0-7"]),
            lambda: index.delete(["d0-7"]),
            lambda: index.score(QUERY, ["d0-7"]),
            lambda: index.get(["d0-q"]),
        ):
            with pytest.raises(FolderError, match="damaged"):
                call()
    assert examine_index(folder).problems


@pytest.mark.parametrize("at", [b"d0-7", b"d0-31"])
def test_ids_are_not_listed_that_were_never_written(built, tmp_path, at):
    path = built(tmp_path / "index", 0) / "index.sqlite"
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_doc%'"
        ).fetchone()
        size = database.execute("PRAGMA page_size").fetchone()[0]
    raw = bytearray(path.read_bytes())
    # In a row, not in the index of the ids.
    place = next(n for n in range(len(raw)) if raw[n:].startswith(at + b"text") and n // size != root - 1)
    raw[place] = ord("q")
    path.write_bytes(raw)
    with DiskIndex(path.parent, threads=1) as index, pytest.raises(FolderError, match="damaged"):
        index.ids()


@pytest.mark.parametrize(
    ("what", "bit"),
    [
        (b"CREATE TABLE deleted (number INTEGER PRIMARY", 0x01),  # the column has no numbers any more
        (b"CREATE TABLE documents (\n  number   INTEGER PRIMARY", 0x01),
        (b"CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT", 0x80),  # no UTF-8
        (b"CREATE TABLE segments (name TEXT PRIMARY KEY, documents INTEGER NOT NULL, tokens", 0x04),
        (b"CREATE TABLE documents (\n  number   INTEGER PRIMARY KEY,\n  id ", 0x40),  # said in two lines by SQLite
    ],
)
def test_a_damaged_schema_is_told_in_one_line(built, tmp_path, what, bit):
    path = built(tmp_path / "index", 0) / "index.sqlite"
    raw = bytearray(path.read_bytes())
    raw[raw.index(what) + len(what) - 1] ^= bit
    path.write_bytes(raw)
    for ask in (answers, examine_index):
        try:
            found = ask(path.parent)
        except FolderError as error:
            said = str(error)
        else:
            (said,) = found.problems
        assert "index.sqlite" in said
        assert "\n" not in said
