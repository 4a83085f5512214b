"""A service and its worker killed for real: nothing that was acknowledged is lost, and the next one continues."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from tardif import Retriever
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.types import Document

pytestmark = pytest.mark.slow
DOCUMENTS = [Document(f"d{number}", text) for number, text in enumerate(tiny.SENTENCES[:26])]
SCRIPT = Path(__file__).parents[1] / "serving_process.py"
KILLS, CHANGES = 3, 8


@pytest.fixture
def folder(multi_vector_folder, tmp_path):
    folder = tmp_path / "support"
    Retriever.build(multi_vector_folder, DOCUMENTS, folder, chunk=None, hybrid=True, quiet=True).close()
    return folder


def ids(folder):
    with DiskIndex(folder) as index:
        return set(index.ids())


def test_nothing_acknowledged_is_lost_when_all_processes_are_killed(folder):
    told = {"put": {document.id for document in DOCUMENTS}, "going": set(), "gone": set()}
    for kill in range(KILLS):
        command = [sys.executable, str(SCRIPT), str(folder), str(1000 * kill)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            worker, changes = 0, 0
            # To its end: what was acknowledged until the process was killed counts.
            for line in process.stdout:
                what, *rest = line.split()
                if what == "loaded":
                    assert not rest  # the process that serves never loads torch
                elif what == "worker":
                    worker = int(rest[0])
                elif rest:
                    told[what].add(rest[0])
                    changes += 1
                    if changes == CHANGES + kill:
                        # Both, whatever they are doing; in turn one or the other first.
                        for pid in (worker, process.pid)[:: 1 if kill % 2 else -1]:
                            os.kill(pid, signal.SIGKILL)
        found = ids(folder)
        assert told["put"] - told["going"] <= found
        assert not told["gone"] & found
        assert not examine_index(folder).problems
    assert told["gone"]
    assert len(told["put"]) > len(DOCUMENTS) + KILLS
