"""Searching and writing after a fork: in the child as in the parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import pytest

import tiny
import token_vectors as plain
from tardif import Retriever
from tardif.errors import SettingError
from tardif.index import connections
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.index.workers import _CHUNK

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python warns of forks beside threads, which are what is tested here.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

QUERY = plain.vectors_of(3, 6)
# Enough for a search that shares its work out to threads.
MANY = 2 * _CHUNK + 50


def child(work, *given):
    """What ``work`` returns in a forked child."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=lambda: send.send(work(*given)))
    process.start()
    try:
        assert receive.poll(60), "the child hangs"
        return receive.recv()
    finally:
        process.join(1)
        process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forks") / "index"
    with DiskIndex.create(folder, model={}, bits=8, threads=2) as index:
        index.add(*plain.some(MANY))
    return folder


def test_a_search_after_a_threaded_one_works_in_a_child(folder):
    with DiskIndex(folder, threads=2) as index:
        expected = index.search(QUERY, [6], 9, exact=True)
        assert child(index.search, QUERY, [6], 9) == expected
        assert child(lambda: child(index.search, QUERY, [6], 9)) == expected
        assert index.search(QUERY, [6], 9, exact=True) == expected


def test_a_child_forked_within_a_moment_searches(folder):
    with DiskIndex(folder, threads=2) as index:
        expected = index.search(QUERY, [6], 9)
        with index.moment():
            assert child(index.search, QUERY, [6], 9) == expected
            assert index.search(QUERY, [6], 9) == expected
        assert index.search(QUERY, [6], 9) == expected


def test_parent_and_child_write_and_see_each_other(tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, bits=8, threads=2) as index:
        index.add(*plain.some(5))
        for seed in range(1, 5):
            assert child(lambda seed=seed: index.add(*plain.some(5, seed=seed))) == 0
            assert len(index) == 10 * seed
            index.add(*plain.some(5, seed=100 + seed))
            assert child(lambda: len(index)) == 10 * seed + 5
    assert examine_index(tmp_path / "index").problems == []


def test_forks_while_other_threads_search_and_write(tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, bits=8, threads=2) as index:
        index.add(*plain.some(MANY))
        failures, done = [], threading.Event()

        def again(work):
            try:
                while not done.wait(0.001):
                    work()
            except BaseException as error:
                failures.append(error)

        numbers = iter(range(1, 10**6))
        threads = [
            threading.Thread(target=again, args=(work,))
            for work in (
                lambda: index.search(QUERY, [6], 9, exact=True),
                lambda: index.add(*plain.some(2, seed=next(numbers))),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(4):
                assert len(child(index.search, QUERY, [6], 9)[0]) == 9
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert failures == []
        assert len(index) == MANY + 2 * (next(numbers) - 1)
    assert examine_index(tmp_path / "index").problems == []


# In a new process, where filelock is not imported yet.
LOCKING = """
import os, sys, threading
from tardif.forks import ForkAware, register
from tardif.locks import hold

def taken():
    hold(sys.argv[1], what="A test works").release()

class Transactions(ForkAware):
    def before_fork(self):
        other = threading.Thread(target=taken, daemon=True)
        other.start()
        other.join(10)
        print("waits" if other.is_alive() else "goes on", flush=True)

transactions = Transactions()
register(transactions)
taken()
if os.fork():
    os.wait()
else:
    os._exit(0)
"""


def test_a_fork_waits_for_transactions_that_take_a_lock_and_they_do_not_wait_for_it(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", LOCKING, str(tmp_path / "path")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("goes on\n", "")


def test_threads_that_never_pause_leave_a_fork_a_gap(folder, monkeypatch):
    monkeypatch.setattr(connections, "_GAP", 60)
    with DiskIndex(folder, threads=1) as index:
        shared, events, ended = index.store._connections, [], threading.Event()

        def forking():
            shared.before_fork()
            events.append("forks")
            shared.after_fork(in_child=False)

        def reading():
            with shared.reading():
                events.append("reads")

        def until(done):
            while not done():
                ended.wait(0.001)

        others = [threading.Thread(target=work) for work in (forking, reading)]
        with shared.reading():  # a fork waits for this, and whatever else begins now for the fork
            others[0].start()
            until(lambda: shared._gate._waiters)
            others[1].start()
            until(lambda: len(shared._gate._waiters) == 2 or events)
            assert events == []
        for thread in others:
            thread.join()
    assert events == ["forks", "reads"]


def test_indexes_in_memory_are_made_and_asked_in_a_child_while_other_threads_do_so():
    index, where, done = MemoryIndex(), parse_filter("even = true"), threading.Event()
    few = plain.some(20)
    index.add(*plain.some(300))
    expected = index.search(QUERY, [6], 9, where=where)

    def again():
        while not done.wait(0.001):
            index.has(parse_filter("m exists"))
            MemoryIndex().add(*few)

    def made():
        another = MemoryIndex()
        another.add(*few)
        return another.has(where)

    threads = [threading.Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert child(lambda: (made(), index.search(QUERY, [6], 9, where=where))) == (True, expected)
        assert child(lambda: (index.delete_where(where), index.has(where))) == (150, False)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert index.search(QUERY, [6], 9, where=where) == expected


@pytest.mark.parametrize("open_it", [Retriever, lambda folder: Retriever(folder, device="cpu")], ids=["light", "torch"])
def test_a_retriever_searches_hybrid_and_adds_in_a_child(open_it, multi_vector_folder, tmp_path):
    documents = [f"{text} {n}" for n, text in enumerate(tiny.SENTENCES * 30)]
    Retriever.build(multi_vector_folder, documents, tmp_path / "index", hybrid=True, quiet=True).close()
    with open_it(tmp_path / "index") as retriever:

        def found():
            return [hit.document_id for hit in retriever.search("bread and the sea", 9, hybrid=True)]

        expected = found()
        assert child(found) == expected
        assert child(lambda: retriever.add(["more of the sea"], quiet=True)) == (1, 0)
        assert len(retriever) == len(documents) + 1
        assert found()


def test_a_retriever_that_is_sent_to_another_process_is_opened_there(multi_vector_folder, tmp_path):
    with Retriever.build(multi_vector_folder, tiny.SENTENCES, tmp_path / "index", quiet=True) as retriever:
        expected = [hit.document_id for hit in retriever.search("bread", 5)]
        with pickle.loads(pickle.dumps(retriever)) as sent:
            assert [hit.document_id for hit in sent.search("bread", 5)] == expected
    with pytest.raises(SettingError, match="build an index"):
        pickle.dumps(Retriever.encode(multi_vector_folder, tiny.SENTENCES[:2], quiet=True))
