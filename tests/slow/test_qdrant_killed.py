"""A process that writes into Qdrant's embedded engine is killed: what was acknowledged is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import token_vectors as plain
from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.qdrant_index import QdrantIndex

pytestmark = pytest.mark.slow

WRITER = """
import sys
from pathlib import Path
import token_vectors as plain
from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.qdrant_index import QdrantIndex

index = QdrantIndex(EdgeEngine(Path(sys.argv[1]), threads=1), about={})
for seed in range(10_000):
    index.add(*plain.some(20, seed=seed))
    print(seed, flush=True)
"""


def test_what_was_acknowledged_survives_kills(tmp_path):
    folder = tmp_path / "index"
    # The program imports from where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for most in (3, 9, 14):
        command = [sys.executable, "-c", WRITER, folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for line in process.stdout:
            if int(line) == most:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        process.wait()
        with QdrantIndex(EdgeEngine(folder, threads=1)) as index:
            for seed in range(most + 1):
                documents, vectors, lengths = plain.some(20, seed=seed)
                assert not index.unlike(documents)
                (hits,) = index.search(vectors[: lengths[0]], [lengths[0]], 1, exact=True)
                assert hits[0][1] == pytest.approx(lengths[0], abs=1e-4)
