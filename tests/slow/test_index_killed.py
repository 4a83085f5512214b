"""A writer killed at random moments: what it was told is written is there, and nothing is half there
(``TARDIF_KILLS`` sets how many moments)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import index_writer
import token_vectors as plain
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("index")]

KILLS = int(os.environ.get("TARDIF_KILLS", "10"))
WRITER = Path(index_writer.__file__)


def written_until_killed(folder, seed, writes, seconds):
    """The lines of a writer that was killed so many seconds after it had done so many writes."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(folder), str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines, enough = [], threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line.split())
            if sum(line[0] == "done" for line in lines) >= writes:
                enough.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert enough.wait(120), process.stderr.read()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    errors = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert errors == ""
    return lines[1:]


def after(state, line):
    """What the index holds after a write: id -> text."""
    _, number, what, *ids = line
    if what == "delete":
        return {identity: text for identity, text in state.items() if identity not in ids}
    return state | dict.fromkeys(ids, f"write {number}")


def test_what_was_acknowledged_is_there_and_nothing_is_half_there(tmp_path):
    folder, expected, draw, writes = tmp_path / "index", {}, random.Random(5), 0
    DiskIndex.create(folder, model={}, bits=4, threads=1).close()
    for kill in range(KILLS):
        lines = written_until_killed(folder, kill, draw.randint(0, 6), draw.uniform(0, 0.1))
        done = [line for line in lines if line[0] == "done"]
        writes += len(done)
        for line in done:
            expected = after(expected, line)
        begun = lines[-1] if lines and lines[-1][0] == "begin" else None
        with DiskIndex(folder, threads=1) as index:
            there = {identity: document.text for identity, document in index.get(index.ids()).items()}
            if there != expected:
                assert begun is not None, kill
                assert there == after(expected, begun), kill  # it was written, and killed before it could say so
                expected = there
            query = plain.vectors_of(kill, 6)
            stored = plain.stored(index)
            assert stored.keys() == expected.keys()
            assert index.search(query, [6], 200, exact=True)[0] == plain.by_definition(stored, query, 200)
        assert examine_index(folder).problems == [], kill
    assert writes > KILLS
    with DiskIndex(folder, threads=1) as index:  # what the killed ones left is swept by the next write
        living = set(index.store.segments())
        index.add(*plain.some(1, seed=1))
        index.wait()
        left = {path.name for path in (folder / "segments").iterdir()} - set(index.store.segments())
        assert all(name in living or name > max(living) for name in left)  # taken in by the compaction just now
        assert not any(name.endswith(".partial") for name in left)
