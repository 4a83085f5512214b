"""Locks between real processes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tardif.errors import FolderError
from tardif.locks import hold, is_held, lock_file

HOLDER = """
import os, sys, time
from tardif.locks import hold
with hold(sys.argv[1]):
    child = os.fork() if sys.argv[2] == "forks" else 1
    if child:
        print(child, flush=True)
    sys.stdin.read()
"""
LOOK = "import sys; from tardif.locks import is_held; print(is_held(sys.argv[1]))"


@contextlib.contextmanager
def holder(path, *, forks=False, within=()):
    """Another process that holds ``path``, and the number of its child, if it is to have one."""
    command = [*within, sys.executable, "-c", HOLDER, str(path), "forks" if forks else ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            process.stdin.close()
            process.wait()


def test_a_held_place_is_refused_and_says_who_holds_it(tmp_path):
    with holder(tmp_path / "x") as (process, _):
        assert is_held(tmp_path / "x")
        with pytest.raises(FolderError, match=rf"x is being written by process {process.pid} on '.+' since 20\d\d-"):
            hold(tmp_path / "x", wait=0)
        with pytest.raises(FolderError, match="^the index is being built by process"):
            hold(tmp_path / "x", what="the index is being built", wait=0)
        hold(tmp_path / "y").release()
    hold(tmp_path / "x").release()
    assert not list(tmp_path.iterdir())


def test_the_lock_goes_with_its_process_however_that_ends(tmp_path):
    with holder(tmp_path / "x") as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lock_file(tmp_path / "x").exists()
        assert not is_held(tmp_path / "x")
        with hold(tmp_path / "x"):
            assert is_held(tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_neither_keeps_the_lock_nor_lets_go_of_it(tmp_path):
    with holder(tmp_path / "x", forks=True) as (process, child):
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives, and waits on the same standard input
        end = time.monotonic() + 10  # a busy machine may not have run it yet since the fork
        while is_held(tmp_path / "x") and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_held(tmp_path / "x")
    with hold(tmp_path / "x") as lock:
        child = os.fork()
        if not child:
            lock.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert lock_file(tmp_path / "x").exists()
        assert is_held(tmp_path / "x")


def test_neither_the_number_of_a_process_nor_the_clock_decides(tmp_path):
    """What the file says is for a person."""
    file = lock_file(tmp_path / "x")
    said = {"process": os.getppid(), "host": "here", "since": "2100-01-01T00:00:00+00:00"}
    for text in (json.dumps(said), "", "[", "[]", "9" * 5000):
        file.write_text(text)
        assert not is_held(tmp_path / "x")
        hold(tmp_path / "x").release()
    with holder(tmp_path / "x"):
        for text in ("", "[]", '{"process": "me"}'):
            file.write_text(text)
            with pytest.raises(FolderError, match="by another process"):
                hold(tmp_path / "x", wait=0)


def test_it_holds_across_process_namespaces(tmp_path):
    apart = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces of processes cannot be made here")
    with holder(tmp_path / "x", within=apart):
        assert is_held(tmp_path / "x")
        with pytest.raises(FolderError, match="process 1 on"):
            hold(tmp_path / "x", wait=0)
    with hold(tmp_path / "x"):
        seen = subprocess.run([*apart, sys.executable, "-c", LOOK, tmp_path / "x"], capture_output=True, check=True)
        assert seen.stdout.strip() == b"True"


def test_what_is_held_can_be_renamed_replaced_and_removed(tmp_path):
    place = tmp_path / "x"
    place.mkdir()
    with hold(place):
        place.rename(tmp_path / "old")
        assert is_held(place)
        assert not is_held(tmp_path / "old")
        (tmp_path / "old").rmdir()
    assert not list(tmp_path.iterdir())


def test_two_names_of_one_place_are_one_lock(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    with hold(tmp_path / "link"):
        assert is_held(tmp_path / "x")
        assert is_held(tmp_path / "x" / ".." / "link")


def test_one_of_many_gets_it_though_its_file_comes_and_goes(tmp_path):
    """The file is removed with each release: whoever waits must not take the one that has no name any more."""
    failed = []

    def work():
        for _ in range(30):
            try:
                with hold(tmp_path / "x", wait=60):
                    (tmp_path / "inside").mkdir()
                    time.sleep(0.001)
                    (tmp_path / "inside").rmdir()
            except BaseException as error:  # told by the test
                failed.append(error)
                raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert not list(tmp_path.iterdir())


def test_a_lock_is_let_go_of_once(tmp_path):
    first = hold(tmp_path / "x")
    first.release()
    with hold(tmp_path / "x"):
        first.release()
        assert is_held(tmp_path / "x")


def test_a_file_removed_by_hand_leaves_the_next_ones_lock_alone(tmp_path):
    first = hold(tmp_path / "x")
    lock_file(tmp_path / "x").unlink()
    with hold(tmp_path / "x"):
        first.release()
        assert is_held(tmp_path / "x")


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_lock_file_is_left_alone(tmp_path, kind):
    file = lock_file(tmp_path / "x")
    if kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(tmp_path / "mine")
    assert is_held(tmp_path / "x")
    with pytest.raises(FolderError, match=rf"x cannot be locked \({re.escape(str(file))}"):
        hold(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_without_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, caplog):
    import fcntl

    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with hold(tmp_path / "x") as lock:
        assert not lock.is_firm
        assert "without locks (No locks available)" in caplog.text
    assert not list(tmp_path.iterdir())
    lock_file(tmp_path / "x").touch()
    assert is_held(tmp_path / "x")  # nobody can tell
