"""Indexes on a full disk and in a folder that cannot be written: real ones, where this user may mount them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

import token_vectors as plain
from tardif.errors import FolderError
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.types import Document


@pytest.fixture
def disk(tmp_path):
    """A small disk, and how it is mounted anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")

    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    yield place, lambda options: mount("-o", f"remount,{options}")
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def create(folder):
    return DiskIndex.create(folder, model={}, bits=8, threads=1)


def test_a_full_disk_is_an_error_and_what_was_written_stays(disk):
    place, _ = disk
    index, written = create(place / "index"), 0
    with pytest.raises(FolderError, match="full|space"):
        for seed in range(1000):
            index.add(*plain.some(100, seed=seed))
            written += 1
    assert written
    assert len(index) == 100 * written
    query = plain.vectors_of(1, 5)
    assert index.search(query, [5], 10, exact=True)[0] == plain.by_definition(plain.stored(index), query, 10)
    with contextlib.suppress(FolderError):  # a compaction in the background had no room either
        index.close()
    assert examine_index(place / "index").problems == []


def test_a_full_disk_that_has_room_again_is_written_again(disk):
    place, _ = disk
    with create(place / "index") as index:
        index.add(*plain.some(20))
        free = shutil.disk_usage(place).free
        ballast = place / "ballast"
        ballast.write_bytes(b"\0" * (free - 8192))
        with pytest.raises(FolderError, match="full|space"):
            index.add(*plain.some(200, seed=1))
        ballast.unlink()
        index.add(*plain.some(200, seed=1))
        assert len(index) == 220
        index.wait()
    assert examine_index(place / "index").problems == []


def test_a_folder_that_cannot_be_written_is_searched_and_not_changed(disk):
    place, remount = disk
    with create(place / "index") as index:
        index.add(*plain.some(20))
        query = plain.vectors_of(1, 5)
        expected = index.search(query, [5], 5)
    remount("ro")
    with DiskIndex(place / "index", threads=1) as index:
        assert index.search(query, [5], 5) == expected
        with pytest.raises(FolderError):
            index.add(*plain.some(1, seed=1))
        with pytest.raises(FolderError):
            index.delete(["d0-1"])
    assert examine_index(place / "index").problems == []


def test_what_a_killed_writer_left_is_not_overlooked_where_it_cannot_be_read(disk):
    place, remount = disk
    with create(place / "index") as index:
        index.add(*plain.some(20))
        # As after a kill: the log holds what the database does not.
        shutil.copytree(place / "index", place / "copy")
        assert (place / "copy" / "index.sqlite-wal").stat().st_size
    (place / "copy" / "index.sqlite-shm").unlink(missing_ok=True)
    remount("ro")
    with pytest.raises(FolderError, match="killed"):
        DiskIndex(place / "copy", threads=1)
    remount("rw")
    with DiskIndex(place / "copy", threads=1) as index:
        assert len(index) == 20


@pytest.fixture
def view(tmp_path):
    """A folder, and a place where it can be read and not written, as a container has a volume."""
    place, seen = tmp_path / "place", tmp_path / "seen"
    place.mkdir()
    seen.mkdir()

    def mount(*options):
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")

    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    mount("--bind", str(place), str(seen))
    mount("-o", "remount,ro,bind", str(seen))
    yield place, seen
    subprocess.run(["umount", "--lazy", str(seen)], check=True)


@pytest.mark.parametrize("stays_open", [True, False])
@pytest.mark.parametrize("opened_first", [True, False])
def test_a_reader_that_cannot_write_sees_every_acknowledged_write(view, stays_open, opened_first):
    place, seen = view
    rows = plain.vectors_of(1, 3)
    writer = create(place / "index")
    writer.add([Document("n0", "text")], rows, [3])
    if opened_first:  # while nobody writes: there is no log that the reader could share
        writer.close()
    with DiskIndex(seen / "index", threads=1) as reader:
        assert len(reader) == 1
        for number in range(1, 6):
            if opened_first and (number == 1 or not stays_open):
                writer = DiskIndex(place / "index", threads=1)
            writer.add([Document(f"n{number}", "text")], rows, [3])
            if opened_first and not stays_open:
                writer.close()
            assert len(reader) == number + 1
            assert len(reader.search(rows, [3], 10)[0]) == number + 1
            assert reader.get([f"n{number}"])
        with contextlib.suppress(FolderError):
            writer.close()


def test_a_database_that_changes_under_a_reader_without_locks_is_an_error(view):
    place, seen = view
    with create(place / "index") as index:
        index.add(*plain.some(20))
    with DiskIndex(seen / "index", threads=1) as reader:
        held = reader.moment()
        held.__enter__()
        with DiskIndex(place / "index", threads=1) as index:
            index.add(*plain.some(20, seed=1))
        with pytest.raises(FolderError, match="search again"):
            held.__exit__(None, None, None)
        assert len(reader) == 40
