"""Copies of a work folder on nodes that do not see rank 0's: processes as threads, nodes as folders."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import pytest

from tardif import FolderError, SettingError
from tardif.training import replicas
from tardif.training.checkpoints import write_whole
from tardif.training.distributed import ProcessGroup
from tardif.training.fingerprint import check_alike
from tardif.training.replicas import Replicas
from tardif.training.run_folder import RunFolder
from tardif.training.whole import is_whole


class World:
    """What the threads of one run share."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.values = [None] * size
        self.sent = {(a, b): queue.Queue() for a in range(size) for b in range(size)}


class Group(ProcessGroup):
    """A thread in place of a process."""

    def __init__(self, world, rank):
        super().__init__(rank, world.size)
        self.world = world

    def gather_everywhere(self, value):
        self.world.values[self.rank] = value
        self.world.barrier.wait()
        found = list(self.world.values)
        self.world.barrier.wait()
        return found

    def gather(self, value):
        found = self.gather_everywhere(value)
        return found if self.is_main else []

    def on_main(self, make):
        outcome = None
        if self.is_main:
            try:
                outcome = ("made", make())
            except FolderError as error:
                outcome = ("failed", error)
        kind, value = self.gather_everywhere(outcome)[0]
        if kind == "failed":
            raise value
        return value

    def send(self, value, rank):
        self.world.sent[self.rank, rank].put(value)

    def receive(self, rank):
        return self.world.sent[rank, self.rank].get(timeout=60)


def together(outs, work):
    """What ``work(replicas)`` gives in each process; ``outs`` has the output of each."""
    world, found = World(len(outs)), {}

    def run(rank):
        try:
            found[rank] = work(Replicas.find(Group(world, rank), RunFolder(outs[rank])))
        except FolderError as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(outs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [found[rank] for rank in range(len(outs))]


def write(folder: Path, **files):
    def fill(aside):
        for name, content in files.items():
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_bytes(content)

    write_whole(folder, fill)


def content(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_processes_that_see_the_same_folder_have_one_leader(tmp_path):
    outs = [tmp_path / node / "model" for node in ("a", "a", "b", "b", "c")]
    found = together(outs, lambda one: (list(one.leaders), one.is_leader))
    assert found == [([0, 0, 2, 2, 4], leads) for leads in (True, False, True, False, True)]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_place_that_cannot_be_written_is_told_to_all(tmp_path):
    (tmp_path / "file").write_text("")
    found = together([tmp_path / "a" / "model", tmp_path / "file" / "model"], lambda one: one)
    assert [type(one) for one in found] == [FolderError, FolderError]
    assert str(tmp_path / "file") in str(found[0])


def test_a_copy_has_what_rank_0_has(tmp_path, monkeypatch):
    monkeypatch.setattr(replicas, "_PART_BYTES", 3)
    outs = [tmp_path / node / "model" for node in ("a", "b", "b")]
    first, copy = RunFolder(outs[0]), RunFolder(outs[1])
    write(first.start, **{"weights": b"0123456789", "1_Dense/empty": b""})
    write(first.step(8), state=b"new")
    write(first.best(8), model=b"best")
    (first.path / "run.json").write_text("{}")
    (first.path / "processes").mkdir()  # not the run's
    write(copy.step(8), state=b"old")
    write(copy.step(4), state=b"older")
    kept = copy.start
    assert together(outs, lambda one: one.update()) == [None, None, None]
    (first.path / "processes").rmdir()
    assert content(copy.path) == content(first.path)
    assert is_whole(kept)
    before = (kept / "weights").stat().st_mtime_ns
    assert together(outs, lambda one: one.update()) == [None, None, None]
    assert (kept / "weights").stat().st_mtime_ns == before  # what is there is not sent again


def test_a_copy_that_cannot_be_written_is_told_to_all(tmp_path, monkeypatch):
    monkeypatch.setattr(replicas, "_PART_BYTES", 3)
    outs = [tmp_path / node / "model" for node in ("a", "b")]
    first, copy = RunFolder(outs[0]), RunFolder(outs[1])
    write(first.start, weights=b"0123456789")
    copy.path.parent.mkdir()
    copy.path.write_text("a file in its place")
    found = together(outs, lambda one: one.update())
    assert [type(one) for one in found] == [FolderError, FolderError]
    assert str(copy.start) in str(found[0])


@pytest.mark.parametrize(("steps", "refused"), [((8, 8), False), ((8, 4), False), ((4, 8), True), ((None, 8), True)])
def test_a_later_checkpoint_of_another_node_is_not_thrown_away(tmp_path, steps, refused):
    outs = [tmp_path / node / "model" for node in ("a", "b")]

    def check(one):
        step = steps[one.group.rank]
        one.folder.chosen = None if step is None else one.folder.step(step)
        return one.check_newest()

    found = together(outs, check)
    if refused:
        assert "Process 1 has a checkpoint of step 8" in str(found[0])
    else:
        assert found == [None, None]


def test_processes_with_other_data_do_not_train_together():
    check_alike([{"data": "a", "lr": 1}, {"data": "a", "lr": 1}])
    with pytest.raises(SettingError, match=r"Process 1 was given other settings or files than process 0 \(data\)"):
        check_alike([{"data": "a", "lr": 1}, {"data": "b", "lr": 1}])
