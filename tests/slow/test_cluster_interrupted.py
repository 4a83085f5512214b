"""Ctrl-C while a Ray cluster encodes: the command ends with one line and without processes, and then continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import ray_nodes
import tiny
from tardif.index.disk import DiskIndex
from tardif.index.manifest import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

COUNT = 8_000


def test_an_index_that_ctrl_c_interrupted_is_continued(multi_vector_folder, tmp_path):
    pytest.importorskip("ray")
    corpus, out = tmp_path / "corpus.jsonl", tmp_path / "index"
    rows = ({"_id": f"d{n}", "text": f"{tiny.SENTENCES[n % 30]} Number {n} of them."} for n in range(COUNT))
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "tardif", "index", multi_vector_folder, corpus, "--out", out, "--ray", "local"]
    environment = {**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # A Ctrl-C at a terminal is for every process of the command: they have a group of their own here.
    started = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    work = tmp_path / ".index.indexing"
    try:
        for _ in range(ray_nodes.PATIENCE * 10):
            if list(work.rglob("*.segment")) or started.poll() is not None:
                break
            time.sleep(0.1)
        assert started.poll() is None
        workers = psutil.Process(started.pid).children(recursive=True)
        assert workers
        os.killpg(started.pid, signal.SIGINT)
        _, err = started.communicate(timeout=ray_nodes.PATIENCE)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 130, err
    assert err.splitlines()[-1].startswith("Interrupted")
    assert "Traceback" not in err
    assert psutil.wait_procs(workers, timeout=ray_nodes.PATIENCE)[1] == []
    assert not out.exists()
    begun = read_manifest(work)["identity"]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    # The same index: what was in it was not encoded again.
    assert read_manifest(out)["identity"] == begun
    with DiskIndex(out, threads=1) as index:
        assert len(index) == COUNT
