"""Readers in several processes and threads while one writes (``TARDIF_LOAD_SECONDS`` sets how long)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import index_reader
import token_vectors as plain
from index_writer import small_segments
from tardif.index import compaction, disk
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("index")]

SECONDS = float(os.environ.get("TARDIF_LOAD_SECONDS", "8"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for module, name in (
        (disk, "PLAIN_TOKENS"),
        (compaction, "PLAIN_TOKENS"),
        *((compaction, f"MOST_{kind}") for kind in ("PLAIN", "CODED")),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # restored afterwards
    small_segments()


def test_no_reader_fails_or_misses_what_was_acknowledged(tmp_path):
    folder, told = tmp_path / "index", tmp_path / "acknowledged"
    told.write_text("-1")
    with DiskIndex.create(folder, model={}, bits=8, threads=1) as index:
        command = [sys.executable, index_reader.__file__, str(folder), str(SECONDS)]
        readers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        number, ends = 0, time.monotonic() + SECONDS + 5
        while any(reader.poll() is None for reader in readers) and time.monotonic() < ends + 60:
            rows = plain.vectors_of(number, 4)
            # Gone before the number is told, so that who reads the number finds it deleted.
            index.delete([f"n{number - index_reader.KEPT}", f"n{number - index_reader.KEPT - 1}"])
            index.add([Document(f"n{number}", f"text of n{number}", metadata={"n": number})], rows, [4])
            aside = Path(f"{told}.new")
            aside.write_text(str(number))
            aside.replace(told)
            number += 1
        for reader in readers:
            out, err = reader.communicate(timeout=60)
            assert reader.returncode == 0, err[-3000:]
            assert int(out) > 10
        index.wait()
    assert number > 50
    assert examine_index(folder).problems == []
