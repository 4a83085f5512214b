"""`tardif serve --ray`: replicas on a cluster that is started for it; one is killed, and Ctrl-C ends everything."""

from __future__ import annotations

import contextlib
import signal
import time

import httpx
import psutil
import pytest

import ray_nodes
from served_process import ServedProcess
from tardif import Retriever
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

DOCUMENTS = [
    Document("tides", "The moon pulls the sea and makes the tides.", "Sea"),
    Document("bread", "Bake the bread for forty minutes."),
    Document("late", "The train is late."),
]
TOKEN = "correct-horse-battery-staple"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def folder(bert_tiny, tmp_path_factory):
    pytest.importorskip("ray")
    root = tmp_path_factory.mktemp("serve")
    model = build_model(resolve_base(str(bert_tiny)), Recipe(dim=32))
    model.save_pretrained(str(root / "model"), create_model_card=False)
    Retriever.build(root / "model", DOCUMENTS, root / "support.index", quiet=True).close()
    return root / "support.index"


def replicas(process):
    """The processes that answer."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ServeReplica" in " ".join(child.cmdline()):
                found.append(child)
    return found


def ask(service, headers=ALLOWED):
    body = {"query": "what makes the tides", "k": 2}
    url = f"{service.url}/indexes/support.index/search"
    return httpx.post(url, json=body, headers=headers, timeout=ray_nodes.PATIENCE)


def test_replicas_answer_with_the_token_also_after_one_was_killed_and_end_with_ctrl_c(folder, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    limits = ["--limit", "answer_seconds=600"]
    environment = {"RAY_worker_niceness": "0"}
    with ServedProcess(
        folder, "--ray", "local", "--replicas", "2", "--token-file", token, *limits, **environment
    ) as service:
        with Retriever(folder) as here:
            expected = [(hit.document_id, hit.score) for hit in here.search("what makes the tides", k=2)]
        assert ask(service, {}).status_code == 401
        found = [(hit["document_id"], hit["score"]) for hit in ask(service).json()["hits"]]
        assert found == expected
        running = replicas(service.process)
        assert len(running) == 2
        running[0].kill()
        # Ray Serve notices it, asks the other one, and starts another.
        for _ in range(ray_nodes.PATIENCE):
            if ask(service).status_code == 200 and len(replicas(service.process)) == 2:
                break
            time.sleep(1)
        else:
            pytest.fail("the replica was not started again")
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert service.stop(signal.SIGINT) == 130, service.log()
        _, alive = psutil.wait_procs(children, timeout=ray_nodes.PATIENCE)
        assert not alive
        assert "Traceback" not in service.log()
