"""A build that is killed in the middle of a stream, and continued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tardif.index.disk import DiskIndex

pytestmark = pytest.mark.slow

BUILD = """
import os, signal, sys
from pathlib import Path
import tiny
from tardif import Retriever
from tardif.search import build

model, out, blocks = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
build.BLOCK, build._PART, build.centroid_count = 7, 7, lambda tokens: 8
vectors, calls = build.document_vectors, []

def counted(encoder, texts, *how):
    calls.append(len(texts))
    if len(calls) > blocks:
        os.kill(os.getpid(), signal.SIGKILL)
    return vectors(encoder, texts, *how)

build.document_vectors = counted
rows = ({"id": f"d{n:02}", "text": f"{tiny.SENTENCES[n % 20]} {n}"} for n in range(60))
Retriever.build(model, rows, out, bits=8, quiet=True).close()
print(len(calls))
"""


def build(model, out, blocks=1000):
    command = [sys.executable, "-c", BUILD, str(model), str(out), str(blocks)]
    # The program imports from where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)


def contents(folder):
    """Documents in their order with their vectors as stored."""
    with DiskIndex(folder, threads=1) as index:
        view = index.view()
        rows = [(row.id, row.text, *view.stored(row.number)) for row in index.store.all_rows()]
    return [(identity, text, vectors.tobytes(), scale) for identity, text, vectors, scale in rows]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_build_is_continued_to_the_same_index(multi_vector_folder, tmp_path):
    whole = build(multi_vector_folder, tmp_path / "whole")
    assert (whole.returncode, whole.stdout) == (0, "9\n"), whole.stderr
    killed = build(multi_vector_folder, tmp_path / "index", blocks=4)
    assert killed.returncode == -signal.SIGKILL
    # Only the half-made index is left: the corpus on disk had no name.
    left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert left == {"whole", ".index.indexing"}
    # The stream is read again, and what was indexed is not encoded again.
    continued = build(multi_vector_folder, tmp_path / "index")
    assert (continued.returncode, continued.stdout) == (0, "5\n"), continued.stderr
    assert contents(tmp_path / "index") == contents(tmp_path / "whole")
