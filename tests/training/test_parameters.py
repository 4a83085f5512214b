from __future__ import annotations

import importlib.util

import pytest
import torch

import tiny
from tardif import SettingError, Trainer
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, set_dropout, transformer_of
from tardif.encoder.recipe import Recipe
from tardif.training import averaging, checkpoints, library_trainer
from tardif.training.arguments import ADAPTERS
from tardif.training.parameters import learning_rates, set_up, weight_names, without_adapters
from tardif.training.settings import settings_from

PAIRS = [(" ".join(text.split()[-4:]), text) for text in tiny.SENTENCES[:20]]
SHORT = {"epochs": 1, "batch_size": 8, "lr": 1e-3}


def fresh(base, dim=16):
    return build_model(resolve_base(base), Recipe(dim=dim))


@pytest.fixture
def model(base_folder):
    return fresh(base_folder("bert"))


@pytest.fixture
def trainer(base_folder, tmp_path):
    made = Trainer("tiny", base_folder("bert"), devices="cpu", out=tmp_path, dim=16, quiet=True, overwrite=True)
    made.prepare(PAIRS, validation=0, near=False, on={"query-is-document": "keep"})
    return made


def state(path):
    from sentence_transformers import MultiVectorEncoder

    return {name: weight.clone() for name, weight in MultiVectorEncoder(str(path), device="cpu").named_parameters()}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_weight_is_in_one_part(family, base_folder):
    model = fresh(base_folder(family))
    parts = weight_names(model)
    names = [*parts.encoder, *parts.projection]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len(parts.layers) == 2
    assert len(parts.layers[0]) == len(parts.layers[1]) > 4 or family == "modernbert"  # its first has no norm
    assert any("embeddings" in name for name in parts.embeddings)
    assert parts.projection == ["1.linear.weight"]


@pytest.fixture(scope="module")
def one_step(base_folder, tmp_path_factory):
    """The weights after one step."""
    made = Trainer("one", base_folder("bert"), devices="cpu", out=tmp_path_factory.mktemp("one"), dim=16, quiet=True)
    made.prepare(PAIRS, validation=0, near=False, on={"query-is-document": "keep"})
    made.train(**SHORT, max_steps=1)
    return state(made.path)


@pytest.mark.parametrize("freeze", ["embeddings", 1, 2, "encoder"])
def test_frozen_weights_stay_and_the_others_move(freeze, trainer, one_step):
    result = trainer.train(**SHORT, freeze=freeze)
    assert result.settings["freeze"] == freeze
    model = fresh(trainer.base.folder)
    parts, after = weight_names(model), state(trainer.path)
    layers = {"embeddings": 0, "encoder": 2}.get(freeze, freeze)
    still = {*parts.embeddings, *(name for layer in parts.layers[:layers] for name in layer)}
    before = dict(model.named_parameters())
    for name in parts.encoder:
        if "pooler" not in name and "token_type" not in name:
            assert torch.equal(after[name], before[name]) == (name in still), name
    assert not torch.equal(after["1.linear.weight"], one_step["1.linear.weight"])


def test_more_layers_than_there_are_cannot_be_frozen(model):
    with pytest.raises(SettingError, match="the base has 2 layers"):
        set_up(model, settings_from({"freeze": 3}))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_all_layers_can_be_frozen_beside_a_projection_only(family, base_folder, tmp_path):
    set_up(fresh(base_folder(family)), settings_from({"freeze": 2}))
    with pytest.raises(SettingError, match="freeze=2 leaves nothing to train: the base has 2 layers"):
        set_up(fresh(base_folder(family), dim=None), settings_from({"freeze": 2}))
    set_up(fresh(base_folder(family), dim=None), settings_from({"freeze": 1}))


def test_weights_that_the_vectors_do_not_depend_on_are_nothing_to_train(base_folder):
    model = fresh(base_folder("bert"), dim=None)
    for name, weight in model.named_parameters():
        weight.requires_grad_("pooler" in name)
    with pytest.raises(SettingError, match="freeze=embeddings leaves nothing to train"):
        set_up(model, settings_from({"freeze": "embeddings"}))


def test_looking_for_what_is_trained_draws_no_random_numbers(base_folder):
    model = fresh(base_folder("bert"))
    set_dropout(model, 0.5)
    before = torch.random.get_rng_state()
    set_up(model.train(), settings_from({"freeze": 1}))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_model_without_projection_has_nothing_to_train_beside_its_encoder(base_folder):
    model = fresh(base_folder("bert"), dim=None)
    with pytest.raises(SettingError, match="no projection"):
        set_up(model, settings_from({"freeze": "encoder"}))
    with pytest.raises(SettingError, match="no projection"):
        learning_rates(model, settings_from({"projection_lr": 1e-3}))


@pytest.mark.parametrize("scheduled", [False, True])
def test_learning_rates_by_layer_reach_the_optimizer(trainer, monkeypatch, scheduled):
    seen = {}

    class Watched(library_trainer.LibraryTrainer):
        def create_optimizer(self, *args, **kwargs):
            made = super().create_optimizer(*args, **kwargs)
            names = {id(weight): name for name, weight in self.model.named_parameters()}
            for group in made.param_groups:
                seen.update({names[id(w)]: (group["lr"], group["weight_decay"]) for w in group["params"]})
            return made

    monkeypatch.setattr(library_trainer, "LibraryTrainer", Watched)
    options = {"layer_lr_decay": 0.5, "projection_lr": 0.02} if scheduled else {}
    trainer.train(**SHORT, max_steps=1, **options)
    parts = weight_names(fresh(trainer.base.folder))
    factors = [0.25, 0.5, 1.0, 1.0] if scheduled else [1.0] * 4
    for names, factor in zip([parts.embeddings, *parts.layers, parts.top], factors, strict=True):
        assert {seen[name][0] for name in names} == {factor * 1e-3}
    assert seen["1.linear.weight"] == (0.02 if scheduled else 1e-3, 0.01)
    assert seen["0.model.encoder.layer.0.output.dense.bias"][1] == 0.0  # no decay of biases
    assert seen["0.model.encoder.layer.0.output.dense.weight"][1] == 0.01


@pytest.mark.parametrize("family", ["bert", "modernbert", "distilbert", "deberta-v2"])
def test_gradient_checkpointing_takes_effect_and_changes_no_gradient(family, base_folder):
    found, calls = [], []
    for checkpointing in (False, True):
        model = fresh(base_folder(family)).double().train()
        set_dropout(model, 0.0)
        set_up(model, settings_from({"gradient_checkpointing": checkpointing}))
        called = []
        linear = next(m for n, m in model.named_modules() if "layer" in n and isinstance(m, torch.nn.Linear))
        linear.register_forward_hook(lambda *_, called=called: called.append(1))
        features = model.preprocess(tiny.SENTENCES[:3], prompt=model.prompts["document"], task="document")
        out = model(features, task="document")
        out["token_embeddings"].cos().sum().backward()
        calls.append(len(called))
        found.append({name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None})
    assert calls[1] == 2 * calls[0] > 0
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[1][name], found[0][name], rtol=1e-12, atol=1e-12, msg=name)


def test_gradient_checkpointing_and_grad_cache_train_alike(trainer):
    states = []
    for options in ({}, {"gradient_checkpointing": True}, {"grad_cache": True}):
        trainer.train(**SHORT, max_steps=2, dropout=0.1, **options)
        states.append(state(trainer.path))
    for other in states[1:]:
        for name, weight in states[0].items():
            # Adam's first steps have one size whatever the gradient's: where it is rounding, so is its sign.
            close = torch.isclose(other[name], weight, rtol=1e-3, atol=1e-4)
            assert close.float().mean() > 0.98, name


def test_a_model_without_adapters_is_itself(model):
    assert without_adapters(model) is model


@pytest.mark.skipif(importlib.util.find_spec("peft") is not None, reason="peft is installed")
def test_without_peft_the_extra_is_named(model):
    with pytest.raises(SettingError, match=r"tardif\[lora\]"):
        set_up(model, settings_from({"lora": 4}))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_adapters_are_trained_and_merged(family, base_folder):
    pytest.importorskip("peft")
    model = fresh(base_folder(family))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    set_up(model, settings_from({"lora": 4}))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all("lora_" in name or name == "1.linear.weight" for name in trained)
    assert sum("lora_" in name for name in trained) >= 2 * 2 * 4
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    merged = without_adapters(model)
    assert {name: weight.shape for name, weight in merged.named_parameters()} == {
        name: weight.shape for name, weight in before.items()
    }
    assert any(not torch.equal(weight, before[name]) for name, weight in merged.named_parameters())
    for ours, theirs in zip(
        model.encode_document(tiny.SENTENCES[:3]), merged.encode_document(tiny.SENTENCES[:3]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert any(hasattr(module, "lora_A") for module in transformer_of(model).modules()), "the model keeps its own"


_LORA: list[dict[str, object]] = [
    {"r": 2},
    {"lora_alpha": 0.5},
    {"lora_dropout": 0.2},
    {"use_rslora": True},
    {"use_dora": True},
    {"init_lora_weights": True},
    {"init_lora_weights": "gaussian", "r": 2},
    {"target_modules": ["query", "value"]},
    {"target_modules": r".*layer\.1\..*(query|dense)"},
    {"exclude_modules": ["key"]},
    {"layers_to_transform": [1], "target_modules": ["query"]},
    {"rank_pattern": {"query": 3}, "alpha_pattern": {"query": 7.5}},
]


def test_every_argument_of_lora_that_is_taken_is_tested():
    assert {name for options in _LORA for name in options} == set(ADAPTERS)


@pytest.mark.parametrize("options", _LORA, ids=str)
def test_adapters_begin_at_the_base_go_back_to_it_and_are_saved_whole(base_folder, tmp_path, options):
    pytest.importorskip("peft")
    model = fresh(base_folder("bert")).eval()
    base = model.encode_document(tiny.SENTENCES[:2])
    set_up(model, settings_from({"lora": options}))

    def assert_reads_like(other, wanted, **close):
        for mine, theirs in zip(other.encode_document(tiny.SENTENCES[:2]), wanted, strict=True):
            torch.testing.assert_close(mine, theirs, **(close or {"rtol": 1e-5, "atol": 1e-6}))

    assert_reads_like(model, base)
    averaging.save_start(model, tmp_path / "start")
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    trained = model.encode_document(tiny.SENTENCES[:2])
    with averaging.averaged(model, tmp_path / "start", 1.0):
        assert_reads_like(model, base)
    assert_reads_like(model, trained, rtol=0, atol=0)
    assert_reads_like(without_adapters(model), trained, rtol=1e-4, atol=1e-5)
    checkpoints.write_whole(tmp_path / "step", lambda aside: checkpoints.save_weights(model, aside))
    resumed = fresh(base_folder("bert")).eval()
    set_up(resumed, settings_from({"lora": options}))
    checkpoints.load_weights(resumed, tmp_path / "step")
    assert_reads_like(resumed, trained, rtol=0, atol=0)


@pytest.mark.parametrize("target", ["word_embeddings", "pooler.dense"])
def test_adapters_are_of_the_layers_alone(model, target):
    pytest.importorskip("peft")
    with pytest.raises(SettingError, match=f"{target}.*no linear map of a layer: name some of them, such as .*layer"):
        set_up(model, settings_from({"lora": {"target_modules": ["query", target]}}))


def test_a_checkpoint_trained_with_adapters_opens_without_peft(trainer):
    pytest.importorskip("peft")
    result = trainer.train(**SHORT, lora={"r": 4, "lora_dropout": 0.0}, gradient_checkpointing=True)
    assert result.settings["lora"] == {"r": 4, "lora_dropout": 0.0}
    before, after = dict(fresh(trainer.base.folder).named_parameters()), state(trainer.path)
    assert before.keys() == after.keys()
    name = "0.model.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[name], after[name])
    assert not list(trainer.path.rglob("adapter*"))


def test_a_target_that_is_not_there_is_a_setting_error(model):
    pytest.importorskip("peft")
    with pytest.raises(SettingError, match="lora.*nothing"):
        set_up(model, settings_from({"lora": {"target_modules": ["nothing"]}}))
