"""An index that is replaced while it is open: whoever holds it is told, and harms nothing of what stands there now."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import token_vectors as plain
from tardif.errors import FolderError, ReplacedError
from tardif.index import compaction, disk
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Segments are coded and compacted at sizes that a test reaches."""
    for module in (disk, compaction):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 60)
    monkeypatch.setattr(compaction, "MOST_PLAIN", 3)


def built(folder, seed=0, count=30):
    index = DiskIndex.create(folder, model={"path": "here"}, bits=8, threads=1)
    index.add(*plain.some(count, seed=seed))
    index.wait()
    return index


def overwrite(folder, seed=7):
    """Another index in the place of one, as ``tardif index --overwrite`` puts it there."""
    built(folder.with_name("new"), seed).close()
    folder.rename(folder.with_name("old"))
    folder.with_name("new").rename(folder)
    shutil.rmtree(folder.with_name("old"))


def copy_over(folder, seed=7):
    """Another index's files written into those of one, as ``cp -r`` does."""
    built(folder.with_name("new"), seed).close()
    shutil.copytree(folder.with_name("new"), folder, dirs_exist_ok=True)


QUERY = plain.vectors_of(3, 6)

CALLS = {
    "add": lambda index: index.add(*plain.some(1, seed=99)),
    "delete": lambda index: index.delete(["d0-1", "d7-1"]),
    "search": lambda index: index.search(QUERY, [6], 5),
    "exact": lambda index: index.search(QUERY, [6], 5, exact=True),
    "score": lambda index: index.score(QUERY, ["d0-1"]),
    "get": lambda index: index.get(["d0-1"]),
    "ids": lambda index: index.ids(),
    "length": len,
    "moment": lambda index: index.moment().__enter__(),
    "expect": lambda index: index.expect(1000),
    "compact": lambda index: index.compact(),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_of_a_handle_says_that_another_was_copied_over_it(tmp_path, call):
    folder = tmp_path / "index"
    with built(folder) as stale:
        copy_over(folder)
        with pytest.raises(ReplacedError, match="open it again"):
            CALLS[call](stale)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_of_a_handle_whose_index_was_replaced_says_so(tmp_path, call):
    folder = tmp_path / "index"
    with built(folder) as stale:
        overwrite(folder)
        with pytest.raises(ReplacedError, match="open it again"):
            CALLS[call](stale)
        with DiskIndex(folder, threads=1) as fresh:
            assert sorted(fresh.ids()) == sorted(f"d7-{n}" for n in range(30))
            assert fresh.search(QUERY, [6], 9, exact=True)[0] == plain.by_definition(plain.stored(fresh), QUERY, 9)
    assert examine_index(folder).problems == []


def test_a_handle_whose_folder_is_gone_says_so(tmp_path):
    with built(tmp_path / "index") as stale:
        (tmp_path / "index").rename(tmp_path / "elsewhere")
        with pytest.raises(ReplacedError):
            stale.search(QUERY, [6], 5)
    with DiskIndex(tmp_path / "elsewhere", threads=1) as index:
        assert len(index) == 30


def test_a_stale_handle_can_open_what_stands_there_now(tmp_path):
    folder = tmp_path / "index"
    with built(folder) as index:
        overwrite(folder)
        with pytest.raises(ReplacedError):
            index.add(*plain.some(1, seed=99))
        index.reopen()
        assert index.add(*plain.some(1, seed=99)) == 0
        assert len(index) == 31
        assert index.search(QUERY, [6], 9, exact=True)[0] == plain.by_definition(plain.stored(index), QUERY, 9)


def test_what_a_search_began_with_it_ends_with(tmp_path):
    folder = tmp_path / "index"
    with built(folder) as index:
        expected = index.search(QUERY, [6], 9)
        with index.moment():
            overwrite(folder)
            assert index.search(QUERY, [6], 9) == expected
        with pytest.raises(ReplacedError):
            index.search(QUERY, [6], 9)


def test_an_index_that_takes_the_place_within_a_write_loses_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    with built(folder) as index:
        real = index._files.sweep

        def overtaken(living):
            overwrite(folder)
            real(living)

        monkeypatch.setattr(index._files, "sweep", overtaken)
        with pytest.raises(FolderError):
            index.add(*plain.some(5, seed=99))
    assert examine_index(folder).problems == []
    with DiskIndex(folder, threads=1) as fresh:
        assert len(fresh) == 30


def test_names_of_segments_are_never_used_twice(tmp_path):
    names = []
    for seed in (0, 0, 1):  # the same writes, too
        with built(tmp_path / "index", seed) as index:
            names += index.view().names
        shutil.rmtree(tmp_path / "index")
    assert len(set(names)) == len(names)


_WRITER = """
import sys, pathlib
import token_vectors as plain
from tardif.errors import ReplacedError
from tardif.index.disk import DiskIndex
folder = pathlib.Path(sys.argv[1])
index = DiskIndex(folder, threads=1)
print("open", flush=True)
sys.stdin.readline()
try:
    index.add(*plain.some(1, seed=50))
    print("acknowledged", flush=True)
except ReplacedError:
    print("replaced", flush=True)
    index.reopen()
    index.add(*plain.some(1, seed=50))
"""


def test_two_processes_one_of_which_builds_again(tmp_path):
    folder = tmp_path / "index"
    built(folder, count=10).close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        overwrite(folder)
        with DiskIndex(folder, threads=1) as other:
            other.add(*plain.some(10, seed=8))
        answer, _ = writer.communicate("go\n", timeout=120)
        assert answer == "replaced\n"
    with DiskIndex(folder, threads=1) as index:
        wanted = {f"d7-{n}" for n in range(30)} | {f"d8-{n}" for n in range(10)} | {"d50-0"}
        assert {identity for identity, _ in index.search(QUERY, [6], 100, exact=True)[0]} == wanted
