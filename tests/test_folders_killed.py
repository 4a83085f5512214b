"""Output folders under two processes at once, and under a process that is killed at any of its steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tardif import folders
from tardif.errors import FolderError
from tardif.exchange import exchange
from tardif.folders import check_output, is_made_here, mark, recover, staged, write_output

KILLED = Path(__file__).with_name("killed.py")
STAGING = """
import sys
from pathlib import Path
from tardif.folders import mark, staged
with staged(Path(sys.argv[1]), overwrite=True) as aside:
    mark(aside, "test")
    print(aside.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What became of every kind of publication that was killed: one process tries all, which imports once."""
    folder = tmp_path_factory.mktemp("killed")
    ways = ["swap", "rename"] if swaps(folder) else ["rename"]
    command = [sys.executable, str(KILLED), str(folder), *ways]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {(said["way"], said["what"]): said for said in found}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("what", ["staged", "index", "file"])
@pytest.mark.parametrize("way", ["swap", "rename"])
def test_killed_at_any_step_the_old_one_or_the_new_one_is_there_whole(tmp_path, killed, way, what):
    if way == "swap" and not swaps(tmp_path):
        pytest.skip("this file system swaps no names")
    said = killed[way, what]
    assert said.get("steps", 0) > 5, said.get("wrong")


def swaps(place):
    for name in "ab":
        (place / f".{name}").mkdir()
    done = exchange(place / ".a", place / ".b")
    for name in "ab":
        (place / f".{name}").rmdir()
    return done


def test_names_are_swapped_or_left_as_they_are(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").touch()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b").mkdir()
    where = "b" if exchange(tmp_path / "a", tmp_path / "b") else "a"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")] == [f"{where}/mine"]


def test_the_second_of_two_processes_is_refused_and_disturbs_nothing(tmp_path):
    place = tmp_path / "set"
    with subprocess.Popen(
        [sys.executable, "-c", STAGING, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        aside = other.stdout.readline().strip()
        message = rf"^{re.escape(str(place))} is being written by process {other.pid} on .*: wait until"
        for write in (lambda: check_output(place, overwrite=True), lambda: staged(place).__enter__()):
            with pytest.raises(FolderError, match=message):
                write()
        assert is_made_here(tmp_path / aside)
        other.communicate()
    assert other.returncode == 0
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["set", "set/.tardif.json"]
    with pytest.raises(FolderError, match="already exists"), staged(place):
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_came_to_be_there_meanwhile_is_not_replaced(tmp_path, overwrite):
    place = tmp_path / "set"
    with pytest.raises(FolderError, match="set holds mine"), staged(place, overwrite=overwrite) as aside:
        (aside / "a.txt").touch()
        place.mkdir()
        (place / "mine").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["set", "set/mine"]


def test_leftovers_are_swept_those_of_others_stay(tmp_path):
    ours = [".set.0123abcd.partial", ".set.0123abcd.old"]
    others = [".set.b.0123abcd.partial", ".settings.partial", ".set.training", ".set.0123abcd.partial.txt", ".other"]
    for name in (*ours, *others):
        (tmp_path / name).mkdir()
    (tmp_path / "set").mkdir()
    with staged(tmp_path / "set"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"set", *others}


def test_without_locks_nothing_is_swept(tmp_path, monkeypatch):
    import fcntl

    def refuse(*args):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".set.0123abcd.partial").mkdir()
    with staged(tmp_path / "set"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.0123abcd.partial"}


def test_the_newest_of_what_was_moved_aside_is_put_back_and_said(tmp_path, caplog):
    for number, name in enumerate(["ffffffff", "00000000"]):
        (tmp_path / f".set.{name}.old").mkdir()
        (tmp_path / f".set.{name}.old" / str(number)).touch()
        os.utime(tmp_path / f".set.{name}.old", (number, number))
    assert recover(tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["1"]
    assert "set was put back: a process was killed" in caplog.text
    assert not recover(tmp_path / "set")


def test_what_is_being_replaced_is_not_put_back(tmp_path):
    (tmp_path / ".set.0123abcd.old").mkdir()
    with folders.hold(tmp_path / "set"):
        assert not recover(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_replacement_that_fails_keeps_the_old_one(tmp_path, monkeypatch):
    place, aside = tmp_path / "set", tmp_path / "aside"
    for folder in (place, aside):
        folder.mkdir()
        (folder / folder.name).touch()
    monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    rename = Path.rename

    def refused(path, target):
        if path == aside:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="No space left"):
        folders.publish(aside, place)
    assert [path.name for path in place.iterdir()] == ["set"]


@pytest.fixture
def linked(tmp_path):
    (tmp_path / "far").mkdir()
    mark(tmp_path / "far", "test")
    (tmp_path / "link").symlink_to("far")
    return tmp_path / "link"


@pytest.mark.parametrize("way", ["swap", "rename"])
def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path, linked, monkeypatch, way):
    if way == "rename":
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    with pytest.raises(FolderError, match="link already exists"), staged(linked):
        pass
    with staged(linked, overwrite=True) as aside:
        (aside / "new.txt").touch()
    assert linked.is_symlink()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["new.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "link"]


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    for overwrite in (False, True):
        with pytest.raises(FolderError, match="which does not exist: make that folder, or remove the link"):
            check_output(tmp_path / "link", overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_link_to_a_file_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(FolderError, match="is a file: give a folder"):
        check_output(tmp_path / "link", overwrite=True)


def test_a_file_is_written_through_a_link_which_stays(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "run.txt").symlink_to("far/run.txt")
    for text in ("first", "second"):  # the link leads nowhere at first
        write_output(tmp_path / "run.txt", text)
        assert (tmp_path / "run.txt").is_symlink()
        assert [path.read_text() for path in (tmp_path / "far").iterdir()] == [text]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True) as reader:
        write_output(tmp_path / "pipe", "a run")
        assert reader.communicate()[0] == "a run"
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_is_no_file_and_a_mounted_disk_no_folder(tmp_path, monkeypatch):
    for check in (folders.check_file, lambda path: write_output(path, "a run")):
        with pytest.raises(FolderError, match="is a folder: give a file"):
            check(tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(FolderError, match="where a disk is mounted"):
        check_output(tmp_path / "disk", overwrite=True)
    check_output(tmp_path / "disk", overwrite=True, replaced=False)
