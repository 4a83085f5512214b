"""Checkpoints as ONNX graphs and as an application package for Vespa."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tardif.encoder.base import resolve_base
from tardif.encoder.encoding import encode_texts
from tardif.encoder.loading import quiet_libraries
from tardif.encoder.model import build_model, open_model
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.encoder.recipe import Recipe
from tardif.errors import FolderError, SettingError
from tardif.integrations.checkpoints import export_checkpoint
from tardif.integrations.checkpoints.onnx import OnnxEncoder

TEXTS = ["Rivers carry sand, down to the sea.", "", "Été à Zürich: (two) items!", "one contract " * 60]


def split(model, task):
    packed, lengths = encode_texts(model, TEXTS, task)
    return np.split(packed, np.cumsum(lengths)[:-1])


@pytest.fixture(scope="module")
def onnx_folder(multi_vector_folder, tmp_path_factory):
    return export_checkpoint(multi_vector_folder, tmp_path_factory.mktemp("onnx") / "out", "onnx").folder


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_the_recipe_alone_gives_the_models_vectors(base_folder, family, tmp_path):
    recipe = Recipe(dim=16, query_length=24, document_length=40, expansion=12)
    with quiet_libraries():
        build_model(resolve_base(base_folder(family)), recipe).save_pretrained(
            str(tmp_path / "own"), create_model_card=False
        )
    folder = export_checkpoint(tmp_path / "own", tmp_path / "out", "onnx").folder
    model = open_model(str(tmp_path / "own"))
    for task in ("query", "document"):
        for mine, yours in zip(OnnxEncoder(folder).encode(TEXTS, task), split(model, task), strict=True):
            np.testing.assert_allclose(mine, yours, atol=1e-5)


def test_int8_is_measured(onnx_folder, multi_vector_folder):
    recipe = json.loads((onnx_folder / "recipe.json").read_text())
    measured = recipe["int8"]
    assert 0 < measured["vector_distance_mean"] <= measured["vector_distance_max"] < 0.5
    assert measured["score_max"] <= measured["vector_distance_max"]
    assert measured["texts"] > 20
    coarse = OnnxEncoder(onnx_folder, precision="int8").encode(TEXTS, "document")
    for mine, yours in zip(coarse, split(open_model(str(multi_vector_folder)), "document"), strict=True):
        assert mine.shape == yours.shape
    assert (onnx_folder / "model_int8.onnx").stat().st_size < (onnx_folder / "model.onnx").stat().st_size
    marker = recipe["query"]["prompt_ids"]
    assert len(marker) == 1
    assert (recipe["query"]["prompt_tokens"], recipe["query"]["expansion"]["length"]) == (2, 32)


def test_a_search_opens_the_same_folder(onnx_folder, multi_vector_folder):
    vectors, lengths = LightEncoder(onnx_folder).encode_queries(TEXTS)
    expected, counts = encode_texts(open_model(str(multi_vector_folder)), TEXTS, "query")
    assert lengths == counts
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_damage_is_noticed(onnx_folder, tmp_path):
    import shutil

    copy = shutil.copytree(onnx_folder, tmp_path / "copy")
    (copy / "model_int8.onnx").write_bytes((copy / "model_int8.onnx").read_bytes()[:-1])
    with pytest.raises(FolderError, match="damaged"):
        OnnxEncoder(copy, precision="int8")


def test_vespas_package_holds_schema_services_and_exact_vectors(multi_vector_folder, index_folder, tmp_path):
    written = export_checkpoint(multi_vector_folder, tmp_path / "out", "vespa", documents=index_folder)
    folder = written.folder
    schema = (folder / "schemas" / "doc.sd").read_text()
    assert schema.count("{") == schema.count("}")
    assert "tensor<float>(token{}, v[16])" in schema
    assert "rank-profile maxsim" in schema
    component = ET.parse(folder / "services.xml").getroot().find("container/component")
    values = {child.tag: child.text for child in component}
    model = open_model(str(multi_vector_folder))
    markers = [str(model.tokenizer.convert_tokens_to_ids(name)) for name in ("[Q] ", "[D] ")]
    assert [values["query-token-id"], values["document-token-id"]] == markers
    assert (folder / component.find("transformer-model").get("path")).is_file()
    feed = [json.loads(line) for line in (folder / "feed.jsonl").read_text().splitlines()]
    assert {row["fields"]["id"] for row in feed} == {"moon", "bread", "paris", "zug"}
    query = json.loads((folder / "query.json").read_text())["input.query(qt)"]["blocks"]
    moon = next(row["fields"] for row in feed if row["fields"]["id"] == "moon")
    theirs = np.array(list(moon["colbert"]["blocks"].values()))
    mine, _ = encode_texts(model, [moon["text"]], "document")
    np.testing.assert_allclose(theirs, mine, atol=1e-5)
    assert np.allclose(np.linalg.norm(np.array(list(query.values())), axis=1), 1, atol=1e-5)
    assert any("colbert-embedder" in note for note in written.notes)


def test_documents_go_with_a_feed_only(multi_vector_folder, tmp_path):
    with pytest.raises(SettingError, match="documents"):
        export_checkpoint(multi_vector_folder, tmp_path / "out", "pylate", documents=[{"text": "a"}])
