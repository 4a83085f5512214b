"""Killed at any moment, ``prepare`` leaves the whole set or none (``TARDIF_KILLS`` sets how many moments)."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tardif.data.training_set import TrainingSet
from tardif.errors import FolderError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed")]  # on one worker: what they share is dear

KILLS = int(os.environ.get("TARDIF_KILLS", "5"))
PAIRS = 20_000


def content(folder):
    """The bytes of every file of a set, by name. Its report comes after it, and names the command."""
    own = [path for path in sorted(folder.iterdir()) if path.name not in ("report", "report.html")]
    return {path.name: path.read_bytes() for path in own if not path.name.startswith(".report")}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "pairs.jsonl"
    draw = random.Random(7)
    words = [f"word{n}" for n in range(3000)]
    with path.open("w", encoding="utf-8") as file:
        for n in range(PAIRS):
            query = " ".join(draw.choices(words, k=6))
            row = {"query": f"{query} {n % 15_000}", "positive": " ".join(draw.choices(words, k=25))}
            file.write(json.dumps(row) + "\n")
    return path


def start(pairs, out, *more):
    command = [sys.executable, "-m", "tardif", "prepare", str(pairs), "--out", str(out), "--miner", "none"]
    # Without near-duplicates, which take longer than all the rest: the kills are to hit every part.
    return subprocess.Popen(
        [*command, "--no-near", "--quiet", *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(pairs, out):
    running = start(pairs, out)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said.decode()


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """What an uninterrupted run gives, and how long one takes."""
    folder = tmp_path_factory.mktemp("whole")
    finish(pairs, folder / "first")
    began = time.monotonic()
    finish(pairs, folder / "set")
    seconds = time.monotonic() - began
    assert content(folder / "first") == content(folder / "set")
    TrainingSet.load(folder / "set")
    return content(folder / "set"), seconds


def check(folder, out, whole):
    """What stands at ``out`` is whole; what stands beside it is whole too, or refused."""
    found = 0
    for path in folder.iterdir():
        if path == out:
            assert content(path) == whole
        else:
            assert path.name.startswith(f".{out.name}.")
            if path.suffix == ".lock":
                continue
            assert path.suffix == ".partial"
            found += 1
            try:
                TrainingSet.load(path)
            except FolderError:
                continue
            # Killed between the last file and the rename, maybe while a folder in it asked for the umask.
            assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == whole
    return found


def test_a_killed_run_leaves_the_whole_set_or_none(pairs, whole, tmp_path):
    expected, seconds = whole
    draw = random.Random(2024)
    left = published = 0
    for _ in range(KILLS):
        out = tmp_path / "kills" / "set"
        out.parent.mkdir()
        running = start(pairs, out)
        try:
            running.wait(timeout=draw.uniform(0.05, 1.05) * seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
        left += check(out.parent, out, expected)
        published += out.exists()
        shutil.rmtree(out.parent)
    assert left + published > 0 or KILLS < 5  # some were killed while they wrote


def test_a_later_run_succeeds_whatever_was_left(pairs, whole, tmp_path):
    expected, seconds = whole
    out = tmp_path / "set"
    for part in (0.5, 0.7, 0.9):
        running = start(pairs, out)
        deadline = time.monotonic() + part * seconds
        while time.monotonic() < deadline and running.poll() is None and not out.exists():
            time.sleep(0.02)
        running.kill()
        running.communicate(timeout=60)
        check(tmp_path, out, expected)
        if out.exists():
            shutil.rmtree(out)
    # One of a name that is not ours stays.
    (tmp_path / ".settings.partial").mkdir()
    finish(pairs, out)
    assert content(out) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".settings.partial"}


def test_a_killed_run_leaves_the_set_that_stood_there(pairs, whole, tmp_path):
    """With ``--overwrite`` the old set stands until the new one is whole."""
    expected, seconds = whole
    out = tmp_path / "set"
    small = tmp_path / "small.jsonl"
    small.write_text('{"query": "q", "positive": "a"}\n' * 2)
    finish(small, out)
    old = content(out)
    for part in (0.4, 0.6, 0.8):
        running = start(pairs, out, "--overwrite")
        try:
            running.wait(timeout=part * seconds)
        except subprocess.TimeoutExpired:
            running.kill()
        running.communicate(timeout=60)
        assert content(out) in (old, expected)
