"""A service and its worker killed for real: nothing that was acknowledged is lost, and the next one continues."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import tiny
from tardif import Retriever
from tardif.errors import ServiceError
from tardif.index.checking import examine_index
from tardif.index.disk import DiskIndex
from tardif.serving.served_index import ServedIndex
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


def test_a_killed_worker_fails_what_it_had_not_done_and_is_started_again(folder):
    many = [Document(f"many{number}", f"Number {number}. " * 50) for number in range(500)]

    async def ask():
        index = ServedIndex.open(folder)
        await index.put([Document("before", "Before.")])
        first = index._worker.pid
        waiting = [asyncio.ensure_future(index.put(many)), asyncio.ensure_future(index.delete(["before"]))]
        while index._worker.waiting < len(waiting):
            await asyncio.sleep(0.01)
        os.kill(first, signal.SIGKILL)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, ServiceError) and "killed by signal 9" in str(error) for error in found), found
        assert (await index.search(["before"], k=1))[0]
        assert await index.put([Document("after", "After.")]) == {"added": 1, "replaced": 0}
        assert index._worker.pid != first
        assert await index.get("before")
        await index.close()
        assert not psutil.pid_exists(first)

    asyncio.run(ask())
    assert {"before", "after"} <= ids(folder)
