"""Hub ids wherever a model is named, on a hub of this machine with an empty cache."""

from __future__ import annotations

import json
import shutil

import pytest

from tardif import Retriever, Trainer, rerank
from tardif.encoder.base import resolve_base
from tardif.errors import FolderError, ModelError

TEXTS = ["The moon pulls the sea.", "Bake the bread."]


@pytest.fixture
def published(hub, multi_vector_folder, base_folder):
    """Two models on the hub, and the hub."""
    hub.add("org/late", multi_vector_folder)
    hub.add("org/bert", base_folder("bert"))
    return hub


@pytest.fixture
def index(published, tmp_path):
    folder = tmp_path / "index"
    Retriever.build("org/late", TEXTS, folder, quiet=True).close()
    return folder


def test_a_trainer_takes_a_hub_id(published, tmp_path):
    trainer = Trainer("tuned", "org/bert", devices="cpu", out=tmp_path, quiet=True)
    assert (trainer.base.name, trainer.base.hub_id) == ("org/bert", "org/bert")
    assert trainer.base.note == "Base org/bert: fetched from the hub."
    gets = published.paths("GET")
    assert sum(path.endswith("model.safetensors") for path in gets) == 1
    # Fetched once: the second one needs no hub.
    del published.requests[:]
    assert Trainer("again", "org/bert", devices="cpu", out=tmp_path, quiet=True).base.note == ""
    assert not published.requests


def test_an_index_is_built_and_opened_by_hub_ids(index, published):
    with Retriever(index) as retriever:
        expected = [(hit.document_id, hit.score) for hit in retriever.search("the sea", k=2)]
    with Retriever(index, model="org/late") as retriever:
        assert [(hit.document_id, pytest.approx(hit.score, abs=1e-3)) for hit in retriever.search("the sea", k=2)] == [
            (identity, score) for identity, score in expected
        ]


def test_the_model_of_an_index_is_fetched_again_where_the_cache_was_emptied(index, published, tmp_path):
    shutil.rmtree(tmp_path / "hub-home")
    with Retriever(index) as retriever:
        retriever.add(["A new one."])
        assert len(retriever) == 3
    # Another commit of the same id is another model.
    shutil.rmtree(tmp_path / "hub-home")
    published.repositories.clear()
    with pytest.raises(FolderError, match="is not in .* any more"), Retriever(index) as retriever:
        retriever.add(["Another."])


def test_texts_are_reranked_by_a_hub_id(published):
    assert len(rerank("org/late", "what pulls the sea?", TEXTS, k=2)) == 2


def test_the_command_line_takes_hub_ids(published, tmp_path, tardif):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"id": t[:4], "text": t}) + "\n" for t in TEXTS))
    code, out, err = tardif("rerank", "org/late", "the sea", "--documents", tmp_path / "texts.jsonl", "--json")
    assert (code, len(json.loads(out)["hits"])) == (0, 2), err
    code, out, err = tardif("index", "org/late", tmp_path / "texts.jsonl", "--out", tmp_path / "i", "--quiet")
    assert code == 0, err
    code, out, err = tardif("search", tmp_path / "i", "the sea", "--model", "org/late", "--json")
    assert (code, len(json.loads(out)["hits"])) == (0, 2), err


def test_a_revision_is_named_behind_an_at_sign(published, stanford_folder):
    commit = published.add("org/late", stanford_folder, branch="refs/pr/1")
    assert resolve_base("org/late").kind == "multi-vector"
    assert resolve_base("org/late@refs/pr/1").kind == "stanford"
    assert resolve_base(f"org/late@{commit}").kind == "stanford"
    assert resolve_base("org/late@main").hub_id == "org/late"
    with pytest.raises(ModelError, match="could not be fetched from the hub"):
        resolve_base("org/late@nothing")


def test_what_the_hub_has_not_is_one_clear_error(published):
    with pytest.raises(ModelError, match="^The base org/nothing could not be fetched from the hub: ") as caught:
        resolve_base("org/nothing")
    assert "\n" not in str(caught.value)
    published.refuse["/org/bert/resolve"] = 403
    with pytest.raises(ModelError, match="could not be fetched"):
        resolve_base("org/bert")


def test_an_index_names_a_hub_id_that_is_not_there(index):
    with pytest.raises(ModelError, match="org/nothing"):
        Retriever(index, model="org/nothing")
