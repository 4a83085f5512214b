"""Checkpoints out and in: whatever Tardif writes, Tardif reads back equal."""

from __future__ import annotations

import json
import shutil
from functools import cache

import pytest
import torch
from safetensors import safe_open
from torch import nn

import tiny
from tardif.encoder.base import resolve_base
from tardif.encoder.exchange_rules import ReadingRules
from tardif.encoder.loading import quiet_libraries
from tardif.encoder.model import build_model, open_model
from tardif.encoder.recipe import Recipe
from tardif.errors import FolderError, ModelError, SettingError
from tardif.integrations.checkpoints import export_checkpoint

FORMATS = ("stanford", "pylate", "sentence-transformers")
TEXTS = [
    "Rivers carry sand, down to the sea.",
    "moon",
    "",
    "Été à Zürich: (two) items!",
    "晚期交互",
    "one contract " * 60,
]
EXPANSIONS = {
    "fixed": {"strategy": "fixed", "length": 20, "attend": False},
    "attended": {"strategy": "fixed", "length": 20, "attend": True},
    "min": {"strategy": "min", "length": 16, "attend": False},
    "none": None,
}


def vectors(model):
    return [*model.encode_query(TEXTS), *model.encode_document(TEXTS)]


def assert_equal(model, expected, tolerance=1e-6):
    """The model has the vectors of another, or these."""
    expected = expected if isinstance(expected, list) else vectors(expected)
    for mine, yours in zip(vectors(model), expected, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=tolerance)


def save(base, folder, expansion="fixed", *, markers=True, dim=16, edit=lambda model: None):
    recipe = Recipe(dim=dim, query_length=24, document_length=40, markers=markers)
    model = build_model(resolve_base(base), recipe)
    model[0].query_expansion = EXPANSIONS[expansion]
    edit(model)
    with quiet_libraries():
        model.save_pretrained(str(folder), create_model_card=False)
    return model


@pytest.fixture(scope="module")
def saved(base_folder, tmp_path_factory):
    """A checkpoint of Tardif's own, by family and expansion, and its vectors. Not to be changed."""

    @cache
    def made(family, expansion):
        folder = tmp_path_factory.mktemp("own") / "model"
        return folder, vectors(save(base_folder(family), folder, expansion))

    return lambda family="bert", expansion="fixed": made(family, expansion)


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory):
    """What such a checkpoint was written as, by format. Not to be changed."""

    @cache
    def made(form, family, expansion):
        return export_checkpoint(saved(family, expansion)[0], tmp_path_factory.mktemp("exported") / form, form)

    return lambda form, family="bert", expansion="fixed": made(form, family, expansion)


@pytest.fixture(scope="module")
def own(saved):
    """A checkpoint of Tardif's own with the usual expansion of ColBERT. Not to be changed."""
    return saved()[0]


@pytest.fixture(scope="module")
def vectors_in():
    """The vectors of the checkpoint in a folder that does not change."""
    return cache(lambda folder: vectors(open_model(str(folder))))


def settings(folder):
    path = folder / "artifact.metadata"
    return json.loads((path if path.exists() else folder / "config_sentence_transformers.json").read_text())


def without_key(folder, copy):
    """The folder as the other tool reads it: without Tardif's own rules."""
    shutil.copytree(folder, copy)
    (copy / "checksums.json").unlink()
    name = "artifact.metadata" if (copy / "artifact.metadata").exists() else "config_sentence_transformers.json"
    found = json.loads((copy / name).read_text())
    del found["tardif"]
    (copy / name).write_text(json.dumps(found))
    return copy


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_what_is_written_is_read_back_equal(saved, exported, family):
    _, expected = saved(family)
    for form in ("stanford", "pylate"):
        written = exported(form, family)
        assert_equal(open_model(str(written.folder)), expected)
        # Nothing of a newer library than the other tools have.
        tokenizer = json.loads((written.folder / "tokenizer_config.json").read_text())
        assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert not isinstance(tokenizer.get("extra_special_tokens"), list)


@pytest.mark.parametrize("expansion", EXPANSIONS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_expansion_comes_back(saved, exported, form, expansion):
    _, expected = saved(expansion=expansion)
    written = exported(form, expansion=expansion)
    assert_equal(open_model(str(written.folder)), expected)
    # What the other tool would do differently is said, and nothing else.
    differs = {"stanford": expansion in ("min", "none"), "pylate": expansion == "min"}
    assert bool(written.notes) == differs.get(form, False), written.notes


@pytest.mark.parametrize("form", ["stanford", "pylate"])
@pytest.mark.parametrize("expansion", ["fixed", "attended"])
def test_the_formats_own_keys_say_it_too(saved, exported, form, expansion, tmp_path):
    _, expected = saved(expansion=expansion)
    written = exported(form, expansion=expansion)
    assert_equal(open_model(str(without_key(written.folder, tmp_path / "plain"))), expected)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("checkpoint", ["multi_vector_folder", "stanford_folder", "pylate_folder"])
def test_any_format_goes_to_any_other(form, checkpoint, request, vectors_in, tmp_path):
    folder = request.getfixturevalue(checkpoint)
    written = export_checkpoint(folder, tmp_path / "out", form)
    assert_equal(open_model(str(written.folder)), vectors_in(folder))
    assert resolve_base(written.folder).kind == {"sentence-transformers": "multi-vector"}.get(form, form)


@pytest.mark.parametrize("form", ["stanford", "pylate"])
def test_a_model_without_projection_gets_the_identity(base_folder, form, tmp_path):
    model = save(base_folder("bert"), tmp_path / "own", dim=None)
    export_checkpoint(tmp_path / "own", tmp_path / "out", form)
    name = {"stanford": "model.safetensors", "pylate": "1_Dense/model.safetensors"}[form]
    with safe_open(tmp_path / "out" / name, "pt") as opened:
        assert torch.equal(opened.get_tensor("linear.weight"), torch.eye(tiny.HIDDEN))
    assert_equal(open_model(str(tmp_path / "out")), model, tolerance=0)


def test_several_linear_projections_become_one_matrix(base_folder, tmp_path):
    from sentence_transformers.base.modules import Dense

    def widen(model):
        second = Dense(16, 8, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings")
        model.insert(2, second)

    model = save(base_folder("bert"), tmp_path / "own", edit=widen)
    for form in ("stanford", "pylate"):
        export_checkpoint(tmp_path / "own", tmp_path / form, form)
        assert_equal(open_model(str(tmp_path / form)), model, tolerance=1e-5)
    assert settings(tmp_path / "stanford")["dim"] == 8


def test_stanfords_folder_holds_what_colbert_ai_reads(exported):
    folder = exported("stanford").folder
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["HF_ColBERT"]
    with safe_open(folder / "model.safetensors", "pt") as opened:
        names = set(opened.keys())
    assert "linear.weight" in names
    assert all(name.startswith("bert.") for name in names - {"linear.weight"})
    found = settings(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert {found["query_token_id"], found["doc_token_id"]} <= {token["content"] for token in tokenizer["added_tokens"]}
    assert (found["query_maxlen"], found["doc_maxlen"], found["dim"]) == (20, 40, 16)
    assert (found["mask_punctuation"], found["attend_to_mask_tokens"], found["similarity"]) == (True, False, "cosine")


def test_pylates_folder_holds_what_pylate_reads(exported):
    folder = exported("pylate").folder
    types = [module["type"] for module in json.loads((folder / "modules.json").read_text())]
    assert types == ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    found = settings(folder)
    assert (found["model_type"], found["similarity_fn_name"]) == ("ColBERT", "MaxSim")
    assert (found["query_length"], found["document_length"], found["do_query_expansion"]) == (20, 40, True)
    assert (found["query_prefix"].strip(), found["document_prefix"].strip()) == ("[Q]", "[D]")
    assert "." in found["skiplist_words"]


def test_the_same_checkpoint_gives_the_same_bytes(own, exported, tmp_path):
    for form in FORMATS:
        one, other = exported(form).folder, export_checkpoint(own, tmp_path / form, form).folder
        files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".metadata", ".md"}


def test_without_markers_colbert_ai_has_nothing_to_insert(base_folder, tmp_path):
    model = save(base_folder("bert"), tmp_path / "own", markers=False)
    with pytest.raises(ModelError, match="no markers"):
        export_checkpoint(tmp_path / "own", tmp_path / "out", "stanford")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    assert_equal(open_model(str(export_checkpoint(tmp_path / "own", tmp_path / "out", "pylate").folder)), model)


def test_a_text_prompt_cannot_be_inserted_as_a_marker(base_folder, tmp_path):
    save(base_folder("bert"), tmp_path / "own", edit=lambda model: model.prompts.update(query="the query: "))
    for form in ("stanford", "pylate"):
        with pytest.raises(ModelError, match="not one token"):
            export_checkpoint(tmp_path / "own", tmp_path / "out", form)
    assert export_checkpoint(tmp_path / "own", tmp_path / "out", "sentence-transformers").notes == ()


def test_a_projection_with_a_bias_is_no_matrix(base_folder, tmp_path):
    from sentence_transformers.base.modules import Dense

    def bend(model):
        model[1] = Dense(tiny.HIDDEN, 8, bias=True, activation_function=nn.Tanh(), module_input_name="token_embeddings")

    model = save(base_folder("bert"), tmp_path / "own", edit=bend)
    with pytest.raises(ModelError, match="bias"):
        export_checkpoint(tmp_path / "own", tmp_path / "out", "stanford")
    assert_equal(open_model(str(export_checkpoint(tmp_path / "own", tmp_path / "out", "pylate").folder)), model)


def test_refusals_come_before_work(own, tmp_path, base_folder):
    with pytest.raises(SettingError, match="stanford, pylate"):
        export_checkpoint(own, tmp_path / "out", "beir")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FolderError, match=r"holds mine\.txt"):
            export_checkpoint(own, tmp_path / "full", "stanford", overwrite=overwrite)
    assert (tmp_path / "full" / "mine.txt").exists()
    for form, file in (("vespa", "services.xml"), ("stanford", "artifact.metadata"), ("onnx", "recipe.json")):
        export_checkpoint(own, tmp_path / "out", form, overwrite=True)
        assert (tmp_path / "out" / file).is_file()
        with pytest.raises(FolderError, match="already exists"):
            export_checkpoint(own, tmp_path / "out", form)
    with pytest.raises(ModelError, match="late-interaction"):
        export_checkpoint(base_folder("bert"), tmp_path / "new", "stanford")


def test_damaged_rules_are_one_readable_error(exported, tmp_path):
    folder = shutil.copytree(exported("stanford").folder, tmp_path / "out")
    (folder / "checksums.json").unlink()
    whole = settings(folder)
    for change in (
        {"version": 99},
        {"prompts": None},
        {"query_expansion": {"strategy": "often", "length": 8, "attend": False}},
        {"query_expansion": {"strategy": "fixed", "length": 10_000, "attend": False}},
        {"document_length": 10_000},
        {"skipped_tokens": [5]},
    ):
        damaged = {**whole, "tardif": {**whole["tardif"], **change}}
        (folder / "artifact.metadata").write_text(json.dumps(damaged))
        with pytest.raises(ModelError, match="damaged|positions"):
            open_model(str(folder))


def test_rules_come_back_from_json():
    rules = ReadingRules({"query": "[Q] "}, 24, None, EXPANSIONS["min"], (".", "!"), ("document",))
    assert ReadingRules.from_json(json.loads(json.dumps(rules.as_json()))) == rules


@pytest.mark.parametrize("family", ["roberta", "modernbert", "xlm-roberta"])
def test_a_marker_of_a_foreign_checkpoint_leaves_the_text_as_it_is(exported, family, tmp_path):
    """Inserting by id, as colbert-ai does, leaves the first word's tokens; a marker and a space before it would not."""
    written = exported("stanford", family)
    plain = without_key(written.folder, tmp_path / "plain")
    model = open_model(str(plain))
    start, *rest = model.tokenizer("late moon")["input_ids"]
    ids = model.preprocess(["late moon"], prompt=model.prompts["document"], task="document")["input_ids"][0].tolist()
    marker = model.tokenizer.convert_tokens_to_ids(settings(plain)["doc_token_id"])
    assert ids == [start, marker, *rest]


def test_the_command_line_exports_a_checkpoint(tardif, fails, own, tmp_path):
    code, out, err = tardif("export", own, "--format", "pylate", "--out", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    assert "pylate" in err
    assert "exists" in fails("export", own, "--format", "pylate", "--out", tmp_path / "out")
    # WHAT decides which formats there are.
    assert "stanford, pylate" in fails("export", own, "--format", "beir", "--out", tmp_path / "other")
    rows = [{"query": f"q {number}", "positive": f"answer {number}"} for number in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tardif("prepare", tmp_path / "pairs.jsonl", "--out", tmp_path / "set", "--quiet")
    line = fails("export", tmp_path / "set", "--format", "stanford", "--out", tmp_path / "other")
    assert "colbert, ragatouille" in line
    assert "does not exist" in fails(
        "export", tmp_path / "nothing", "--format", "stanford", "--out", tmp_path / "other"
    )
