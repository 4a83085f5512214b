"""schemathesis against a real service: no 5xx, and no answer outside the schema (``TARDIF_EXAMPLES``: per route)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import httpx
import pytest

from served_process import ServedProcess
from tardif import Retriever
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

TOKEN = "correct-horse-battery-staple"
EXAMPLES = int(os.environ.get("TARDIF_EXAMPLES", "8"))
DOCUMENTS = [
    Document("article-3", "Open your account and choose Security.", "Password", {"lang": "en", "year": 2024}),
    Document("tides", "The moon pulls the sea and makes the tides.", metadata={"lang": "en", "year": 2020}),
    Document("bread", "Bake the bread for forty minutes.", metadata={"tags": ["food", None], "deep": {"a": 1.5}}),
]


@pytest.fixture
def service(bert_tiny, tmp_path):
    model = build_model(resolve_base(str(bert_tiny)), Recipe(dim=32))
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    Retriever.build(tmp_path / "model", DOCUMENTS, tmp_path / "support", hybrid=True, quiet=True).close()
    # Documents are encoded while the caller waits, and this machine may have other work.
    options = ["--feedback", tmp_path / "judged.jsonl", "--limit", "answer_seconds=900"]
    with ServedProcess(tmp_path / "support", *options, TARDIF_TOKEN=TOKEN) as running:
        url = f"{running.url}/indexes/support/rerank"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.post(url, json={"query": "a", "documents": ["b"]}, headers=headers, timeout=900).status_code == 200
        yield running


def test_no_answer_is_outside_the_schema(service, tmp_path):
    command = shutil.which("schemathesis", path=os.path.dirname(sys.executable))  # noqa: PTH120
    if command is None:
        pytest.skip("schemathesis is not installed")
    arguments = [
        *(command, "run", f"{service.url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
        # Whether a filter or an id that fits the schema means something, no schema can say.
        # One DELETE has the ids in its body: what its path names is still there. No test looks at the clock.
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance,use_after_free"),
        *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--no-color"),
        *("--request-timeout", "900", "--max-response-time", "900"),
    ]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, cwd=tmp_path)
    refused = [line for line in service.lines() if line.get("status", 200) >= 500]
    assert not refused
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    asked = {(line["method"], line["route"]) for line in service.lines() if line.get("status", 500) < 300}
    # It came through to every route, not only to the checks before it.
    missing = {
        *(("POST", f"/indexes/{{name}}/{verb}") for verb in ("search", "rerank", "explain", "feedback")),
        *((method, "/indexes/{name}/documents") for method in ("PUT", "DELETE")),
        *(("GET", path) for path in ("/indexes", "/indexes/{name}", "/healthz", "/readyz", "/metrics")),
    } - asked
    assert not missing
    assert service.stop() == 0
