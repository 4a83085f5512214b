"""A document that was cut is one document: every index adds, replaces, deletes and reads it with all of its pieces."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import token_vectors as plain
from qdrant_here import KINDS, QUIET, empty_index
from tardif.errors import DataError
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.types import Document, Piece

pytestmark = QUIET


@pytest.fixture(params=["memory", *KINDS, "disk", "words"])
def index(request, tmp_path):
    if request.param == "memory":
        yield MemoryIndex()
        return
    if request.param in KINDS:
        with empty_index(request.param, tmp_path / "index") as made:
            yield made
        return
    words = "en" if request.param == "words" else None
    with DiskIndex.create(tmp_path / "index", model={}, words=words, threads=1) as made:
        yield made


def found(index, where=None):
    """The ids of all that is found."""
    where = None if where is None else parse_filter(where)
    (hits,) = index.search(plain.vectors_of(1, 4), [4], 1000, exact=True, where=where)
    return sorted(identity for identity, _ in hits)


def test_a_document_is_replaced_with_all_of_its_pieces(index):
    index.add(*plain.some(4))
    assert index.add(*plain.cut("page.md", 5, seed=1), source="/folder") == 0
    assert len(index) == 5
    assert index.add(*plain.cut("page.md", 2, seed=2)) == 1
    assert found(index, "@id = 'page.md'") == ["page.md#1", "page.md#2"]
    assert len(index) == 5
    assert index.sources()["page.md"] == ""
    # Whole, where it was cut; and cut again.
    _, vectors, lengths = plain.some(1, seed=3)
    assert index.add([Document("page.md", "short")], vectors, lengths) == 1
    assert found(index, "@id = 'page.md'") == ["page.md"]
    assert index.add(*plain.cut("page.md", 3, seed=4)) == 1
    assert list(index.get(["page.md"])) == ["page.md#1", "page.md#2", "page.md#3"]
    assert len(found(index)) == 7


def test_a_document_is_deleted_with_all_of_its_pieces(index):
    index.add(*plain.some(4))
    index.add(*plain.cut("a", 3, seed=1))
    assert index.delete(["a", "nobody", "a"]) == 1
    assert found(index) == [f"d0-{n}" for n in range(4)]
    assert index.get(["a", "a#1"]) == {}
    assert index.delete(["a"]) == 0
    assert "a" not in index.sources()


def test_a_piece_is_not_deleted_alone(index):
    index.add(*plain.some(1))
    index.add(*plain.cut("a", 3, seed=1))
    with pytest.raises(DataError, match=r"'a#2' is a piece of the document 'a'"):
        index.delete(["d0-0", "a#2"])
    assert len(index) == 2


def test_a_filter_deletes_what_passes_whole(index):
    index.add(*plain.some(4))
    index.add(*plain.cut("a", 3, seed=1, metadata={"lang": "en"}))
    index.add(*plain.cut("b", 2, seed=2, metadata={"lang": "en"}))
    assert index.delete_where(parse_filter("@piece.number = 1")) == 0
    assert index.delete_where(parse_filter("lang = 'fr'")) == 0
    assert index.delete_where(parse_filter("lang = 'en' and @piece.of = 3")) == 1
    assert index.delete_where(parse_filter("@id = 'b' or even = true")) == 3
    assert found(index) == ["d0-1", "d0-3"]
    assert len(index) == 2


def test_what_is_read_back_is_what_was_added(index):
    documents, vectors, lengths = plain.cut("a", 3, seed=1, metadata={"parent": "mine", "piece": "my own"})
    index.add(documents, vectors, lengths)
    assert list(index.get(["a"]).values()) == documents
    assert index.get(["a#2"]) == {"a#2": documents[1]}
    assert found(index, "parent = 'mine' and piece = 'my own'") == ["a#1", "a#2", "a#3"]
    assert found(index, "@piece.page = 3 and @piece.headings = 'Top'") == ["a#3"]
    assert index.wholes(["a#1", "a#3", "nobody"]) == {"a#1": "a", "a#3": "a"}


def test_an_id_is_that_of_one_document_or_of_one_piece(index):
    index.add(*plain.cut("a", 3, seed=1))
    _, vectors, lengths = plain.some(1, seed=2)
    for name in ("a#2", "b"):
        index.add(*plain.cut("b", 2, seed=4))
        with pytest.raises(DataError, match=r"'a#2' is that of a (piece of 'a'|document) and of a (piece|document)"):
            index.add([Document("a#2", "a row of its own")], vectors, lengths)
        index.delete([name] if name == "b" else [])
    index.delete(["a"])
    index.add([Document("a#2", "a row of its own")], vectors, lengths)
    with pytest.raises(DataError, match=r"'a#2' is that of a document and of a piece of 'a': give one of them another"):
        index.add(*plain.cut("a", 3, seed=1))
    assert found(index) == ["a#2"]
    # The name of a document that was cut is taken too.
    index.add(*plain.cut("a#2", 2, seed=5))
    with pytest.raises(DataError, match="'a#2' is that of"):
        index.add(*plain.cut("a", 3, seed=1))
    assert found(index) == ["a#2#1", "a#2#2"]


def test_pieces_are_given_all_together(index):
    documents, vectors, lengths = plain.cut("a", 3, seed=1)
    index.add(documents, vectors, lengths)
    for wrong in ([0, 1], [1], [0, 1, 1], [0, 2]):
        some = [documents[n] for n in wrong]
        with pytest.raises(DataError, match=r"3 pieces: give all together, and no whole one|same id"):
            index.add(some, plain.vectors_of(1, len(some)), [1] * len(some))
    with pytest.raises(DataError, match="give all together, and no whole one"):
        index.add([*documents, Document("a", "")], plain.vectors_of(1, 4), [1] * 4)
    assert len(found(index)) == 3


IDS = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(IDS, st.integers(0, 3)), max_size=3, unique_by=lambda it: it[0])),
        st.tuples(st.just("delete"), st.lists(IDS, max_size=3)),
        st.tuples(st.just("where"), st.integers(0, 3)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=8,
)


@settings(max_examples=12, deadline=None)
@given(steps=STEPS, words=st.booleans(), seed=st.integers(0, 99))
def test_after_any_writes_a_search_finds_the_pieces_that_are_there(tmp_path_factory, steps, words, seed):
    folder = tmp_path_factory.mktemp("law") / "index"
    memory, expected = MemoryIndex(), {}
    disk = DiskIndex.create(folder, model={}, bits=16, words="en" if words else None, threads=1)
    for number, (what, given_) in enumerate(steps):
        if what == "add":
            parts = [
                plain.cut(identity, pieces, seed=10 * number + n, text=f"write {number}", metadata={"n": number % 4})
                if pieces
                else (
                    [Document(identity, f"write {number}", metadata={"n": number % 4})],
                    plain.vectors_of(number, 2),
                    [2],
                )
                for n, (identity, pieces) in enumerate(given_)
            ]
            documents = [document for part in parts for document in part[0]]
            vectors = np.concatenate([np.zeros((0, plain.DIM), np.float32), *(part[1] for part in parts)])
            lengths = [length for part in parts for length in part[2]]
            replaced = len({identity for identity, _ in given_} & {d.whole_id for d in expected.values()})
            for index in (memory, disk):
                assert index.add(documents, vectors, lengths) == replaced
            touched = {identity for identity, _ in given_}
            expected = {i: d for i, d in expected.items() if d.whole_id not in touched} | {d.id: d for d in documents}
        elif what == "reopen":
            disk.close()
            disk = DiskIndex(folder, threads=1)
        else:
            gone = (
                set(given_)
                if what == "delete"
                else {d.whole_id for d in expected.values() if d.metadata["n"] == given_}
            )
            for index in (memory, disk):
                count = index.delete(given_) if what == "delete" else index.delete_where(parse_filter(f"n = {given_}"))
                assert count == len(gone & {d.whole_id for d in expected.values()})
            expected = {i: d for i, d in expected.items() if d.whole_id not in gone}
    query = plain.vectors_of(seed, 5)
    for index in (memory, disk):
        assert len(index) == len({d.whole_id for d in expected.values()})
        assert index.get(sorted({d.whole_id for d in expected.values()})).keys() == expected.keys()
        assert index.get(list(expected)) == expected
    stored = plain.stored(disk)
    (hits,) = disk.search(query, [5], 100, exact=True)
    assert hits == plain.by_definition(stored, query, 100)
    assert stored.keys() == expected.keys()
    disk.close()
    assert examine_index(folder).problems == []


def killed_at(step, folder):
    """Replace a document in a process that is killed at a step; whether it came so far."""
    child = os.fork()
    if not child:
        seen = 0

        def hook(event, arguments):
            nonlocal seen
            if event.startswith(("os.", "open", "sqlite3.", "shutil.", "fcntl.")):
                seen += 1
                if seen == step + 1:
                    os.kill(os.getpid(), signal.SIGKILL)

        index = DiskIndex(folder, threads=1)
        sys.addaudithook(hook)
        index.add(*plain.cut("a", 2, seed=2, text="new"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_document_is_old_or_new_whenever_its_writer_is_killed(tmp_path):
    folder, seen = tmp_path / "index", set()
    with DiskIndex.create(folder, model={}, words="en", threads=1) as index:
        index.add(*plain.cut("a", 9, seed=1, text="old"))
    step = 0
    while killed_at(step, folder):
        with DiskIndex(folder, threads=1) as index:
            texts = [document.text for document in index.get(["a"]).values()]
            assert texts in (["old"] * 9, ["new"] * 2), step
            seen.add(texts[0])
            if texts[0] == "new":
                index.add(*plain.cut("a", 9, seed=1, text="old"))
        step += 2
    assert step > 5
    assert "old" in seen
    assert examine_index(folder).problems == []


def test_a_damaged_piece_column_is_an_error(tmp_path):
    import sqlite3

    from tardif.errors import FolderError

    for column, value in (("piece", '{"number":1}'), ("document", "b"), ("source", "elsewhere")):
        folder = tmp_path / column
        with DiskIndex.create(folder, model={}, threads=1) as index:
            index.add(*plain.cut("a", 3, seed=1))
        with sqlite3.connect(folder / "index.sqlite") as database:
            database.execute(f"UPDATE documents SET {column} = ? WHERE id = 'a#2'", [value])
        database.close()
        with DiskIndex(folder, threads=1) as index, pytest.raises(FolderError, match="damaged"):
            index.get(["a#2"])
        with DiskIndex(folder, threads=1) as index, pytest.raises(FolderError, match="damaged"):
            index.delete_where(parse_filter("@piece.page = 2"))
        assert examine_index(folder).problems


def test_a_piece_says_what_it_is_as_json():
    piece = Piece("a", 2, 3, 10, 20, ("Top",), None)
    assert piece.as_json() == {
        "document": "a",
        "number": 2,
        "of": 3,
        "start": 10,
        "end": 20,
        "headings": ["Top"],
        "page": None,
    }
