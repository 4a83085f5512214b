from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from queries import QUERIES, assert_same_scores
from samples import content
from tardif.encoder.model import open_model
from tardif.encoder.onnx import convert as module
from tardif.encoder.onnx.convert import export_query_encoder, query_form
from tardif.encoder.token_vectors import encode_queries
from tardif.errors import FolderError, ModelError


@pytest.fixture
def model(multi_vector_folder):
    """A tiny late-interaction model, to be changed."""
    return open_model(str(multi_vector_folder))


@pytest.mark.parametrize("checkpoint", ["stanford_folder", "pylate_folder", "multi_vector_folder"])
def test_every_kind_of_checkpoint_is_exported(request, exported, tmp_path, checkpoint):
    model = open_model(str(request.getfixturevalue(checkpoint)))
    assert_same_scores(model, exported(model, tmp_path / "light"))


@pytest.mark.parametrize(
    "expansion",
    [
        None,
        {"strategy": "fixed", "length": 12, "attend": False},
        {"strategy": "fixed", "length": 40, "attend": True},
        {"strategy": "min", "length": 12, "attend": True},
        {"strategy": "min", "length": 40, "attend": False, "token": "[SEP]"},
    ],
)
@pytest.mark.parametrize("query_length", [40, None])
def test_every_kind_of_expansion_is_exported(model, exported, tmp_path, expansion, query_length):
    transformer = model[0]
    transformer.query_expansion = None
    transformer.query_length = query_length
    transformer.query_expansion = expansion
    light = exported(model, tmp_path / "light")
    assert_same_scores(model, light)
    if expansion and "token" in expansion:
        assert light.form.expansion.token_id == model.tokenizer.sep_token_id


def test_tokens_that_queries_skip_have_no_vector(model, exported, tmp_path):
    mask = next(part for part in model if type(part).__name__ == "MultiVectorMask")
    before = encode_queries(model, QUERIES)[1]
    mask.skiplist_tasks = ["query", "document"]
    light = exported(model, tmp_path / "light")
    assert light.form.skipped_ids
    assert sum(light.encode_queries(QUERIES)[1]) < sum(before)
    assert_same_scores(model, light)


def test_without_a_mask_unattended_tokens_have_no_vector(model, exported, tmp_path):
    del model[next(number for number, part in enumerate(model) if type(part).__name__ == "MultiVectorMask")]
    light = exported(model, tmp_path / "light")
    assert light.form.expansion.scored is False
    assert_same_scores(model, light)


def test_a_prompt_is_read_before_every_query(model, exported, tmp_path):
    model.prompts["query"] = "question: "
    assert_same_scores(model, exported(model, tmp_path / "marked"))
    model.prompts["query"] = None
    assert_same_scores(model, exported(model, tmp_path / "bare"))


def test_lowercasing_of_the_library_is_kept(base_folder, exported, tmp_path):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer

    transformer = Transformer(str(base_folder("modernbert")), do_lower_case=True)
    modules = [transformer, Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=modules, device="cpu", similarity_fn_name="maxsim")
    light = exported(model, tmp_path / "light")
    assert light.token_ids(["LATE Été"]) == light.token_ids(["late été"])
    assert_same_scores(model, light)


def test_a_model_in_half_precision_is_exported_in_single(model, exported, tmp_path):
    halved = copy.deepcopy(model).to(torch.bfloat16)
    light = exported(halved, tmp_path / "light")
    assert_same_scores(copy.deepcopy(halved).float(), light)
    assert next(halved.parameters()).dtype == torch.bfloat16


def test_the_model_is_as_it_was(model, tmp_path):
    encode_queries(model, ["a"])  # which chooses an attention of its own
    model.train()
    weights = {name: (weight.data_ptr(), weight.clone()) for name, weight in model.named_parameters()}
    attention = model[0].model.config._attn_implementation
    export_query_encoder(model, tmp_path / "light")
    assert all(part.training for part in model.modules())
    assert model[0].model.config._attn_implementation == attention
    for name, weight in model.named_parameters():
        place, before = weights[name]
        assert weight.data_ptr() == place
        assert weight.requires_grad
        assert torch.equal(weight, before)


def test_same_model_same_bytes(model, tmp_path):
    for name in ("one", "other"):
        export_query_encoder(model, tmp_path / name)
    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_nothing_is_said(model, tmp_path, capfd, caplog):
    capfd.readouterr()
    export_query_encoder(model, tmp_path / "light")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_folder_that_holds_something_is_left_alone(model, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FolderError, match=r"holds note\.txt"):
        export_query_encoder(model, tmp_path)
    assert content(tmp_path) == {"note.txt": b"mine"}


def refused(model, folder, why):
    with pytest.raises(ModelError, match=f"^The query encoder cannot be exported to ONNX: .*{why}") as raised:
        export_query_encoder(model, folder / "light")
    assert "\n" not in str(raised.value)
    assert list(folder.iterdir()) == []


class Foreign(nn.Module):
    """A module that no library knows."""

    def forward(self, features):
        return features


def test_modules_that_are_not_of_the_recipe_are_refused(model, tmp_path):
    model.append(Foreign())
    refused(model, tmp_path, "its modules are Transformer, Dense, MultiVectorMask, Normalize, Foreign")


def test_vectors_that_are_not_unit_are_refused(model, tmp_path):
    del model[len(model) - 1]
    refused(model, tmp_path, "its modules are Transformer, Dense, MultiVectorMask")


def test_code_of_its_own_is_refused(model, tmp_path):
    kind = type(model[0].model)
    model[0].model.__class__ = type("Own", (kind,), {"__module__": "transformers_modules.own"})
    refused(model, tmp_path, "it contains custom code")


def test_a_tokenizer_in_python_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(type(model.tokenizer), "is_fast", False)
    refused(model, tmp_path, "not a fast one of the tokenizers library")


def test_padding_on_the_left_is_refused(model, tmp_path):
    model.tokenizer.padding_side = "left"
    refused(model, tmp_path, "pads on the left")


def test_preparing_texts_in_another_way_is_refused(model, tmp_path):
    model[0].processing_kwargs = {"text": {"max_length": 5}}
    refused(model, tmp_path, "has its own tokenizer options")


def test_queries_without_a_cap_are_refused(model, tmp_path):
    model[0].query_length = None
    model.tokenizer.model_max_length = 10**30
    refused(model, tmp_path, "query_length")


def test_weights_that_no_file_can_hold_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 1000)
    refused(model, tmp_path, "more than one file may hold")


def test_a_graph_that_the_exporter_gets_wrong_is_refused(model, tmp_path, monkeypatch):
    right = module._save_graph

    def wrong(graph, path):
        weight = graph.heads[0].linear.weight
        weight.data = weight.data * torch.linspace(1, 1.01, len(weight)).unsqueeze(1)
        right(graph, path)

    monkeypatch.setattr(module, "_save_graph", wrong)
    refused(model, tmp_path, "its scores would be off by")


def test_a_tokenizer_that_reads_otherwise_is_refused(model, tmp_path, monkeypatch):
    from tokenizers import Tokenizer, normalizers

    right = module._save_tokenizer

    def wrong(model, path):
        right(model, path)
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.save(str(path))

    monkeypatch.setattr(module, "_save_tokenizer", wrong)
    refused(model, tmp_path, "its tokenizer gives other token ids outside of transformers")


@pytest.mark.parametrize("error", [RuntimeError("first\nsecond"), NotImplementedError(), KeyError("x")])
def test_whatever_the_exporter_raises_is_one_line(model, tmp_path, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(torch.onnx, "export", fail)
    refused(model, tmp_path, "")


def test_the_form_says_how_a_query_is_read(model):
    form = query_form(model)
    assert (form.prompt, form.max_tokens, form.dim) == ("[Q] ", 40, 16)
    assert (form.expansion.length, form.expansion.attend, form.expansion.scored) == (32, False, True)
    assert form.expansion.token_id == model.tokenizer.mask_token_id
    assert form.skipped_ids == ()
