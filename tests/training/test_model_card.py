"""Model cards: valid for the hub, honest, the same bytes each time, and without a text of the user's."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from huggingface_hub import ModelCard, metadata_load

from tardif.encoder.base import Base, resolve_base
from tardif.encoder.identity import fingerprint
from tardif.training.model_card import CARD, USE, ModelFacts, dataset_names, model_card, write_card
from tardif.training.result import TrainingResult


@pytest.fixture(scope="module")
def result(unbroken):
    return unbroken(epochs=1, batch_size=8)[1]


@pytest.fixture
def facts(encoder):
    return ModelFacts.of(encoder)


def recorded(result):
    """The result as the checkpoint's ``results.json`` gives it back."""
    return TrainingResult.from_json(result.path, json.loads((result.path / "results.json").read_text()))


def test_a_published_checkpoint_has_a_card_that_the_hub_reads(result):
    found = metadata_load(result.path / CARD)
    assert found["library_name"] == "sentence-transformers"
    assert found["pipeline_tag"] == "feature-extraction"
    assert found["license"] == "unknown"
    assert found["language"] == "en"
    assert {"tardif", "colbert", "late-interaction", "multi-vector"} <= set(found["tags"])
    assert "base_model" not in found  # a folder of the user's is no hub id
    card = ModelCard.load(result.path / CARD)
    assert card.data.model_name == "whole"
    by_name = {found.metric_name: found for found in card.data.eval_results}
    for measure, value in result.after.items():
        assert by_name[measure].metric_value == value
        assert by_name[f"{measure} before training"].metric_value == result.before[measure]
        assert by_name[measure].metric_args == {"queries": result.comparison.queries}
        assert by_name[measure].dataset_split == "validation"
        assert f"| {measure} | {result.before[measure]:.4f} |" in card.text
    assert f"Verdict: {result.comparison.words()}." in card.text


def test_a_card_holds_no_text_and_no_path(result, data, base_folder):
    text = (result.path / CARD).read_text(encoding="utf-8")
    for content in [*data.queries.values(), *(document.text for document in data.documents.values())]:
        assert content not in text
    assert str(base_folder("bert").parent) not in text
    assert str(result.path.parent) not in text


def test_the_same_run_has_the_same_card(result):
    from tardif.encoder.model import open_model

    again = model_card("whole", ModelFacts.of(open_model(str(result.path))), recorded(result))
    assert (result.path / CARD).read_bytes() == again.encode()


def test_a_changed_card_is_no_damage(result, tmp_path):
    folder = shutil.copytree(result.path, tmp_path / "model")
    before = fingerprint(folder)
    (folder / CARD).write_text("Mine.")
    assert resolve_base(folder).dim == 16
    (folder / CARD).unlink()
    assert fingerprint(folder) == before


def test_sentence_transformers_opens_a_checkpoint_with_its_card(result):
    from sentence_transformers import MultiVectorEncoder

    assert MultiVectorEncoder(str(result.path), device="cpu").get_embedding_dimension() == 16


def test_what_was_not_measured_is_said(result, facts):
    bare = dataclasses.replace(result, before={}, after={}, comparison=None, reason="no query is held out")
    text = model_card("bare", facts, bare)
    assert "not measured (no query is held out)" in text
    assert "model-index" not in text
    assert "The quality of this model: not measured." in model_card("converted", facts)


def test_the_untrained_model_and_a_broken_run_are_said(result, facts):
    text = model_card("kept", facts, dataclasses.replace(result, kept=0, failure="ValueError: a private text"))
    assert "this is the untrained one (step 0)" in text
    assert "did not reach its end" in text
    assert "a private text" not in text


def test_a_base_from_the_hub_is_named(result, facts, tmp_path):
    settings = {**result.settings, "base_hub_id": "org/small"}
    text = model_card("org/tuned", facts, dataclasses.replace(result, settings=settings))
    write_card(tmp_path, text)
    assert metadata_load(tmp_path / CARD)["base_model"] == "org/small"
    assert ModelCard(text).data.model_name == "tuned"
    assert f'{USE}\n' in text and 'MultiVectorEncoder("org/tuned")' in text  # fmt: skip


def test_a_hub_id_is_read_from_the_cache(tmp_path):
    def base(folder):
        return Base("any", folder, folder, "encoder", "bert", 8, 8)

    assert base(tmp_path / "models--org--small" / "snapshots" / "0a1b").hub_id == "org/small"
    assert base(tmp_path / "models--small" / "snapshots" / "0a1b").hub_id == "small"
    assert base(tmp_path / "small").hub_id is None


def test_names_of_sources_become_names_of_data_sets(result, facts):
    assert dataset_names(["/home/me/My Fragen_2025.v2.xlsx", "scifact", "a--b..c", "ü", "none"]) == [
        "My-Fragen_2025.v2",
        "scifact",
        "a-b-c",
    ]
    data = {**result.settings["data"], "sources": ["faq|2025.csv", "values"]}
    text = model_card("m", facts, dataclasses.replace(result, settings={**result.settings, "data": data}))
    assert ModelCard(text).data.datasets == ["faq-2025"]
    assert "| sources | `faq\\|2025.csv` |" in text


def test_a_training_set_remembers_the_names_of_its_sources(tmp_path, pairs):
    from tardif.data.training_set import TrainingSet
    from tardif.preparation import prepare, prepare_folder

    (tmp_path / "faq.jsonl").write_text("".join(json.dumps({"query": q, "positive": d}) + "\n" for q, d in pairs))
    how = {"miner": "none", "validation": 0.1}
    assert prepare([tmp_path / "faq.jsonl"], **how).sources == ("faq.jsonl",)
    folder = prepare_folder([tmp_path / "faq.jsonl"], None, tmp_path / "set", **how)
    assert TrainingSet.load(folder).sources[0] == "faq.jsonl"
    again = TrainingSet.load(folder).save(tmp_path / "again")
    assert TrainingSet.load(again).sources == TrainingSet.load(folder).sources
