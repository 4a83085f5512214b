"""The index on disk: equal to the definition whatever happens to it, and whole whoever writes."""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import token_vectors as plain
from tardif.errors import FolderError, SettingError
from tardif.index import compaction, connections, disk
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.locks import hold
from tardif.types import Document


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Segments are coded and compacted at sizes that a test reaches."""
    for module in (disk, compaction):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 60)
    monkeypatch.setattr(compaction, "MOST_PLAIN", 3)
    monkeypatch.setattr(compaction, "MOST_CODED", 3)


def create(folder, bits=8, **options):
    return DiskIndex.create(folder, model={"path": "here"}, bits=bits, threads=1, **options)


def files(folder):
    return sorted(path.name for path in (folder / "segments").iterdir())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 40), st.integers(0, 5)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
        st.tuples(st.just("compact"), st.just(0), st.just(0)),
    ),
    min_size=3,
    max_size=12,
)


@given(steps=STEPS, bits=st.sampled_from([16, 8, 4, 2]), data=st.data())
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_sequence_of_writes_search_is_the_definition(tmp_path_factory, steps, bits, data):
    folder = tmp_path_factory.mktemp("index") / "index"
    index, expected = create(folder, bits), {}
    for number, (what, size, seed) in enumerate(steps):
        if what == "add":
            documents, vectors, lengths = plain.some(size, seed=seed, least=0)
            documents = [Document(d.id, f"step {number}") for d in documents]
            assert index.add(documents, vectors, lengths) == len(expected.keys() & {d.id for d in documents})
            expected |= {d.id: d for d in documents}
        elif what == "delete":
            ids = [f"d{seed}-{n}" for n in range(size % 7, size)]
            assert index.delete(ids) == len(expected.keys() & set(ids))
            expected = {identity: d for identity, d in expected.items() if identity not in ids}
        elif what == "reopen":
            index.close()
            index = DiskIndex(folder, threads=1)
        else:
            index.wait()
            while index.compact():
                pass
    index.wait()  # a compaction that codes plain vectors changes what is stored
    query = plain.vectors_of(data.draw(st.integers(0, 99)), data.draw(st.integers(1, 40)))
    k = data.draw(st.integers(1, 50))
    assert len(index) == len(expected)
    assert index.get(list(expected)) == expected
    documents = plain.stored(index)
    assert documents.keys() == expected.keys()
    (exact,) = index.search(query, [len(query)], k, exact=True)
    assert exact == plain.by_definition(documents, query, k)
    (pruned,) = index.search(query, [len(query)], k)
    assert {identity for identity, _ in pruned} <= expected.keys()
    scores = dict(plain.by_definition(documents, query, len(documents)))
    assert all(scores[identity] == score for identity, score in pruned)
    index.close()


def test_the_same_writes_give_the_same_search_and_segments(tmp_path):
    contents = []
    for name in ("a", "b"):
        with create(tmp_path / name, 4) as index:
            for seed in range(6):
                index.add(*plain.some(30, seed=seed))
                index.wait()
            segments = (tmp_path / name / "segments").iterdir()
            contents.append([path.read_bytes() for path in sorted(segments)])
    assert contents[0] == contents[1]


def test_small_writes_are_compacted_in_the_background_and_nothing_is_lost(tmp_path):
    with create(tmp_path / "index") as index:
        for seed in range(12):
            index.add(*plain.some(5, seed=seed))
        index.wait()
        assert len(index.view().segments) < 12
        assert plain.stored(index).keys() == {f"d{seed}-{n}" for seed in range(12) for n in range(5)}
        assert set(files(tmp_path / "index")) >= set(index.view().names)


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_compaction_comes_to_an_end(tmp_path, monkeypatch, most):
    monkeypatch.setattr(compaction, "MOST_CODED", most)
    with create(tmp_path / "index") as index:
        for seed in range(12):
            index.add(*plain.some(30, seed=seed))
        index.wait()
        turns = 0
        while index.compact():
            turns += 1
            assert turns < 12
        assert len(index.view().segments) <= most


def test_a_compaction_that_is_not_committed_removes_nothing(tmp_path, monkeypatch):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        index.delete([f"d0-{n}" for n in range(30)])
        before = plain.stored(index)

        def broken(database):
            raise OSError("the machine stops here")

        with monkeypatch.context() as patched:
            patched.setattr(index.store, "seal", broken)
            with pytest.raises(FolderError, match="stops here"):
                index.compact()
    with DiskIndex(tmp_path / "index", threads=1) as index:
        after = plain.stored(index)
        assert before.keys() == after.keys()


def test_a_reader_that_was_overtaken_by_a_compaction_looks_again(tmp_path, monkeypatch):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        with DiskIndex(tmp_path / "index", threads=1) as reader:
            index.add(*plain.some(40, seed=1))
            real = reader.store.living

            def overtaken():
                names = real()
                monkeypatch.setattr(reader.store, "living", real)
                index.delete([f"d0-{n}" for n in range(30)] + [f"d1-{n}" for n in range(30)])
                while index.compact():
                    pass
                index.add(*plain.some(1, seed=2))  # sweeps what was compacted
                return names

            monkeypatch.setattr(reader.store, "living", overtaken)
            with reader.moment():
                assert len(reader.search(plain.vectors_of(1, 3), [3], 100, exact=True)[0]) == 21


def test_compaction_forgets_what_was_deleted(tmp_path):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        index.delete([f"d0-{n}" for n in range(30)])
        before = plain.stored(index)
        while index.compact():
            pass
        assert index.store.deleted().tolist() == []
        assert sum(len(segment) for segment in index.view().segments) == 10
        after = plain.stored(index)
        assert before.keys() == after.keys()
        assert all((before[i][0] == after[i][0]).all() for i in before)


def test_another_handle_sees_a_write_at_once(tmp_path):
    with create(tmp_path / "index") as writer, DiskIndex(tmp_path / "index", threads=1) as reader:
        rows = plain.vectors_of(1, 3)
        for number in range(5):
            writer.add([Document(f"n{number}", "text")], rows, [3])
            assert len(reader.search(rows, [3], 10)[0]) == number + 1
        writer.delete(["n2"])
        assert [identity for identity, _ in reader.search(rows, [3], 10)[0]] == ["n4", "n3", "n1", "n0"]


def test_a_database_that_another_holds_for_itself_is_an_error_never_an_old_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "WAIT", 0.05)
    create(tmp_path / "index").close()
    with closing(sqlite3.connect(tmp_path / "index" / "index.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FolderError, match="locked"):
            len(DiskIndex(tmp_path / "index", threads=1))


def test_threads_read_while_others_write(tmp_path):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        failures, done = [], threading.Event()

        def read():
            query = plain.vectors_of(3, 6)
            while not done.is_set():
                try:
                    (hits,) = index.search(query, [6], 200, exact=True)
                    assert len({identity for identity, _ in hits}) == len(hits) >= 40
                except BaseException as error:
                    failures.append(error)
                    return

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()

        def write(seed):
            for turn in range(5):
                index.add(*plain.some(10, seed=seed * 100 + turn))

        writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        done.set()
        for reader in readers:
            reader.join()
        assert failures == []
        assert len(index) == 140


def test_files_of_dead_writers_are_swept_by_the_next_write(tmp_path):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(5))
        folder = tmp_path / "index" / "segments"
        left, worked_on = folder / "0123456789ab.partial", folder / "ba9876543210.partial"
        orphan, foreign = folder / f"{index.identity[:12]}-000000000099-00.segment", folder / "another-1-00.segment"
        lock = folder / ".111111111111.partial.lock"
        for path in (left, worked_on, orphan, foreign, lock):
            path.write_bytes(b"half")
        with hold(worked_on):
            index.add(*plain.some(5, seed=1))
        assert not left.exists()
        assert not lock.exists()
        assert not orphan.exists()
        assert worked_on.exists()
        assert foreign.exists()
        assert len(index) == 10


@pytest.mark.parametrize("words", [None, "en"])
def test_a_flipped_bit_is_an_error_never_another_answer(tmp_path, words):
    good, query = tmp_path / "good", plain.vectors_of(3, 6)
    with create(good, 4, words=words) as index:
        index.add(*plain.some(40))
        ids = index.ids()

    def answers(folder):
        with DiskIndex(folder, threads=1) as index:
            yield index.search(query, [6], 40, exact=True)
            yield index.search(query, [6], 40, where=parse_filter("even = true"))
            yield index.get(ids)
            if words:
                yield index.search_words("text 7", 40)

    expected = list(answers(good))
    draw = np.random.default_rng(0)
    files = [path for path in good.rglob("*") if path.is_file()]
    assert len(files) == 4
    for number in range(80):
        path = files[number % len(files)]
        at = int(draw.integers(path.stat().st_size))
        copy = tmp_path / f"bad{number}"
        shutil.copytree(good, copy)
        with (copy / path.relative_to(good)).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << number % 8]))
        try:
            for got, wanted in zip(answers(copy), expected, strict=True):
                assert got == wanted, f"byte {at} of {path}"
        except FolderError as error:
            assert re.search("damaged|cannot be used|not an index|missing|newer|older", str(error)), error
        shutil.rmtree(copy)


@pytest.mark.parametrize("damage", ["UPDATE documents SET metadata = '{\"n\":90}'", "DELETE FROM documents"])
@pytest.mark.parametrize("late", [False, True])
def test_a_filter_turns_no_document_down_for_what_was_never_written(tmp_path, damage, late):
    documents, vectors, lengths = plain.some(20)
    documents = [replace(d, text=f"cats {n}", metadata={"n": n}) for n, d in enumerate(documents)]
    where, query = parse_filter("n < 50"), plain.vectors_of(3, 6)
    with create(tmp_path / "index", words="en") as index:
        index.add(documents[:10], vectors[: sum(lengths[:10])], lengths[:10])
        if late:  # what was checked before is not looked at again, what came after it is
            assert len(index.search(query, [6], 50, where=where)[0]) == 10
        index.add(documents[10:], vectors[sum(lengths[:10]) :], lengths[10:])
        with closing(sqlite3.connect(tmp_path / "index" / "index.sqlite")) as database, database:
            database.execute(f"{damage} WHERE id = ?", [documents[15].id])
        for search in (
            lambda: index.search(query, [6], 5, where=where),
            lambda: index.search_words("cats", 50, where=where),
        ):
            with pytest.raises(FolderError, match="damaged"):
                search()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_segment_is_an_error(tmp_path, share):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        (name,) = index.view().names
    path = tmp_path / "index" / "segments" / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FolderError, match="damaged"):
        DiskIndex(tmp_path / "index")


def test_a_missing_segment_is_an_error(tmp_path):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(40))
        (name,) = index.view().names
    (tmp_path / "index" / "segments" / name).unlink()
    with pytest.raises(FolderError, match="missing"):
        DiskIndex(tmp_path / "index")


def test_a_database_that_is_none_is_an_error(tmp_path):
    with create(tmp_path / "index") as index:
        index.add(*plain.some(4))
    (tmp_path / "index" / "index.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(FolderError, match="damaged"):
        DiskIndex(tmp_path / "index")


def test_scores_of_given_documents(tmp_path):
    with create(tmp_path / "index", 4) as index:
        index.add(*plain.some(40, least=0))
        query = plain.vectors_of(3, 6)
        wanted = [f"d0-{n}" for n in (7, 3, 20, 3)]
        scores = dict(plain.by_definition(plain.stored(index), query, 40))
        lowest = float(np.finfo(np.float32).min)
        assert index.score(query, wanted) == [scores.get(identity, lowest) for identity in wanted]


def test_bits_are_checked_before_a_folder_is_made(tmp_path):
    with pytest.raises(SettingError, match="bits=3"):
        create(tmp_path / "index", 3)
    assert not (tmp_path / "index").exists()
