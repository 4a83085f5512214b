"""`tardif serve` of an embedded shard of Qdrant as a process: it answers, changes nothing, and imports no PyTorch."""

from __future__ import annotations

import httpx
import pytest

from served_process import ServedProcess
from tardif import Retriever
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.types import Document

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

DOCUMENTS = [
    Document("tides", "The moon pulls the sea and makes the tides.", "Sea", {"lang": "en"}),
    Document("bread", "Bake the bread for forty minutes."),
]
TIME = 600


def test_an_embedded_shard_is_served(bert_tiny, tmp_path):
    model = build_model(resolve_base(str(bert_tiny)), Recipe(dim=32))
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    place = f"edge:{tmp_path / 'support'}"
    with Retriever.build(tmp_path / "model", DOCUMENTS, place, quiet=True) as built:
        wanted = [hit.document_id for hit in built.search("the moon and the sea")]
    with ServedProcess(place, "--limit", "answer_seconds=600") as service:
        url = f"{service.url}/indexes/support"
        asked = {"query": "the moon and the sea"}
        hits = httpx.post(f"{url}/search", json=asked, timeout=TIME).json()["hits"]
        assert [hit["document_id"] for hit in hits] == wanted
        ranked = httpx.post(f"{url}/rerank", json={**asked, "documents": ["bread", "tides"]}, timeout=TIME).json()
        assert sorted(hit["position"] for hit in ranked["hits"]) == [0, 1]
        refused = httpx.request("DELETE", f"{url}/documents", json={"document_ids": ["tides"]}, timeout=TIME)
        assert (refused.status_code, "embedded shard" in refused.json()["detail"]) == (403, True)
        assert [line for line in service.maps().splitlines() if "torch" in line] == []
        assert service.stop() == 0
    Retriever(place).close()
