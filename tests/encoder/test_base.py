import hashlib
import json
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save_file

from samples import write_encoder
from tardif.encoder import MINILM, base
from tardif.encoder.base import resolve_base
from tardif.errors import ModelError

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
DENSE = {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.base.modules.dense.Dense"}


def with_modules(folder, *modules, saved=None):
    (folder / "modules.json").write_text(json.dumps(modules))
    if saved is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(saved))
    for module in modules:
        (folder / module["path"]).mkdir(exist_ok=True)
        if "Dense" in module["type"]:
            (folder / module["path"] / "config.json").write_text('{"in_features": 4, "out_features": 3}')
            weights = {"linear.weight": np.zeros((3, 4), dtype=np.float32)}
            save_file(weights, folder / module["path"] / "model.safetensors")
    return folder


@pytest.fixture
def encoder(tmp_path):
    return write_encoder(tmp_path / "base")


def test_a_plain_encoder(encoder):
    found = resolve_base(encoder)
    assert (found.kind, found.family, found.hidden_size) == ("encoder", "bert", 4)
    assert (found.max_tokens, found.dim, found.note) == (64, None, "")
    assert found.folder == found.transformer == encoder
    assert not found.is_colbert


@pytest.mark.parametrize(
    ("config", "hidden_size", "max_tokens"),
    [
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 4, 512),
        ({"model_type": "distilbert", "hidden_size": None, "dim": 6}, 6, 64),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"]}, 4, 64),
        ({"model_type": "modernbert", "max_position_embeddings": 8192}, 4, 8192),
    ],
)
def test_what_an_encoder_reads(tmp_path, config, hidden_size, max_tokens):
    folder = write_encoder(tmp_path / "base", **config)
    if config.get("hidden_size", 0) is None:
        stored = json.loads((folder / "config.json").read_text())
        del stored["hidden_size"]
        (folder / "config.json").write_text(json.dumps(stored))
    found = resolve_base(folder)
    assert (found.hidden_size, found.max_tokens) == (hidden_size, max_tokens)


def test_a_dense_model(encoder):
    assert resolve_base(with_modules(encoder, TRANSFORMER, POOLING)).kind == "dense"


def test_a_dense_model_whose_transformer_is_in_a_folder(tmp_path):
    write_encoder(tmp_path / "base" / "0_Transformer")
    folder = with_modules(tmp_path / "base", {**TRANSFORMER, "path": "0_Transformer"}, POOLING)
    found = resolve_base(folder)
    assert (found.folder, found.transformer) == (folder, folder / "0_Transformer")


def test_a_multi_vector_model_keeps_its_width(encoder):
    found = resolve_base(with_modules(encoder, TRANSFORMER, DENSE, saved={"model_type": "MultiVectorEncoder"}))
    assert (found.kind, found.dim, found.is_colbert) == ("multi-vector", 3, True)


@pytest.mark.parametrize(
    ("dense", "saved"),
    [({**DENSE, "type": "pylate.models.Dense.Dense"}, {}), (DENSE, {"model_type": "ColBERT"})],
)
def test_a_pylate_model_keeps_its_width(encoder, dense, saved):
    found = resolve_base(with_modules(encoder, TRANSFORMER, dense, saved=saved))
    assert (found.kind, found.dim, found.is_colbert) == ("pylate", 3, True)


def test_a_stanford_model_keeps_its_width(tmp_path):
    folder = write_encoder(tmp_path / "base", architectures=["HF_ColBERT"])
    save_file({"linear.weight": np.zeros((2, 4), dtype=np.float32)}, folder / "model.safetensors")
    found = resolve_base(folder)
    assert (found.kind, found.dim, found.is_colbert) == ("stanford", 2, True)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "gpt2"},
        {"model_type": "t5", "is_encoder_decoder": True},
        {"model_type": "bert", "is_encoder_decoder": True},
        {"model_type": "clip"},
    ],
)
def test_what_is_no_encoder_is_refused(tmp_path, config):
    with pytest.raises(ModelError, match=f"is not an encoder .*{config['model_type']}"):
        resolve_base(write_encoder(tmp_path / "base", **config))


def test_code_of_its_own_needs_trust(tmp_path):
    folder = write_encoder(tmp_path / "base", model_type="special", auto_map={"AutoModel": "modeling.Special"})
    for trust in (False, True):  # trust is in the model's own Python files, and it has none yet
        with pytest.raises(ModelError):
            resolve_base(folder, trust_remote_code=trust)
    (folder / "modeling.py").write_text("")
    with pytest.raises(ModelError, match="comes with its own Python code .*auto_map"):
        resolve_base(folder)
    assert resolve_base(folder, trust_remote_code=True).family == "special"


def test_a_foreign_module_class_needs_trust(encoder):
    with_modules(encoder, TRANSFORMER, {**POOLING, "type": "code.Pooling"})
    (encoder / "code.py").write_text("")
    with pytest.raises(ModelError, match=r"code\.Pooling.*trust_remote_code"):
        resolve_base(encoder)
    assert resolve_base(encoder, trust_remote_code=True).kind == "dense"


def test_trust_does_not_reach_a_class_of_an_installed_package(encoder):
    with_modules(encoder, TRANSFORMER, {**POOLING, "type": "torch.distributed.run.main"})
    with pytest.raises(ModelError, match="its own Python files do not define"):
        resolve_base(encoder, trust_remote_code=True)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding", "no transformer reads"),
        ("sentence_transformers.models.WordEmbeddings", "no transformer reads"),
        ("sentence_transformers.models.Router", "Router .*none of those that are known"),
        ("pylate.models.Something.Something", "Something .*none of those that are known"),
    ],
)
def test_a_module_of_a_library_is_not_called_the_models_own_code(encoder, named, said, trust):
    with_modules(encoder, {**TRANSFORMER, "type": named})
    with pytest.raises(ModelError, match=said) as caught:
        resolve_base(encoder, trust_remote_code=trust)
    assert "trust_remote_code" not in str(caught.value)


@pytest.mark.parametrize("path", ["../..", "a/../../b", "/etc"])
@pytest.mark.parametrize("trust", [False, True])
def test_a_module_outside_the_folder_is_refused(encoder, path, trust):
    (encoder / "modules.json").write_text(json.dumps([{**TRANSFORMER, "path": path}]))
    with pytest.raises(ModelError, match="points outside its own folder"):
        resolve_base(encoder, trust_remote_code=trust)


@pytest.mark.parametrize("name", ["missing/deep/base", "./missing", "/missing", "~/missing-base"])
def test_a_missing_folder(name):
    with pytest.raises(ModelError, match="does not exist"):
        resolve_base(name)


@pytest.mark.parametrize("name", ["missing", "nobody/missing"])
def test_a_hub_id_that_is_not_here_without_a_hub(name):
    with pytest.raises(ModelError, match=f"The base {name} is neither a folder nor in the local model cache"):
        resolve_base(name)


def test_a_file_is_no_base(encoder):
    with pytest.raises(ModelError, match="is a file, not a folder"):
        resolve_base(encoder / "config.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "holds no transformer"),
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
    ],
)
def test_a_missing_file_is_named(tmp_path, name, message):
    with pytest.raises(ModelError, match=message):
        resolve_base(write_encoder(tmp_path / "base", leave_out=[name]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "config.json cannot be read .* damaged"),
        ("config.json", "[]", "holds no transformer"),
        ("config.json", '{"hidden_size": 4}', "holds no transformer"),
        ("config.json", '{"model_type": "bert"}', "does not give the encoder.s width"),
        ("config.json", '{"model_type": "bert", "hidden_size": 4, "max_position_embeddings": "x"}', "config.json"),
        ("modules.json", "{", "modules.json cannot be read"),
        ("modules.json", '{"0": 1}', "lists no modules"),
        ("modules.json", "[1]", "lists no modules"),
        ("config_sentence_transformers.json", "[1]", "config_sentence_transformers.json"),
        ("model.safetensors.index.json", '{"metadata": {}}', "model.safetensors.index.json"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "missing.safetensors"}}', "missing.safetensors"),
        ("model.safetensors", "", "is damaged"),
        ("model.safetensors", "x" * 40, "is damaged .*header is longer"),
        ("model.safetensors", "\x02\0\0\0\0\0\0\0[]", "is damaged"),
    ],
)
def test_damaged_files_are_named(encoder, name, content, message):
    (encoder / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        resolve_base(encoder)


@pytest.mark.parametrize("cut", [1, 100, -1])
def test_weights_of_the_wrong_length_are_damaged(encoder, cut):
    path = encoder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut] if cut > 0 else whole + b"x")
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        resolve_base(encoder)


def test_weights_in_several_files(encoder):
    (encoder / "model.safetensors").rename(encoder / "part.safetensors")
    (encoder / "model.safetensors.index.json").write_text('{"weight_map": {"embeddings.weight": "part.safetensors"}}')
    assert resolve_base(encoder).kind == "encoder"
    (encoder / "part.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"part\.safetensors is damaged"):
        resolve_base(encoder)


def test_weights_of_the_older_format_are_accepted(encoder):
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    assert resolve_base(encoder).kind == "encoder"


def test_a_wrong_base_is_refused_without_importing_torch(tmp_path):
    folder = write_encoder(tmp_path / "base", model_type="gpt2")
    code = f"""
import sys
from tardif.errors import ModelError
from tardif.encoder import base
from tardif.encoder.base import resolve_base
for name in ({str(folder)!r}, "nobody/missing"):
    try:
        resolve_base(name)
    except ModelError:
        print("refused")
print(*{{"torch", "transformers"}} & set(sys.modules))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["refused", "refused"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The offline package, with weights of the published checksum; the cache has half a download, the hub is away."""
    folder = write_encoder(tmp_path / "package")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (tmp_path / "half").mkdir()
    monkeypatch.setattr(base, "offline_base", lambda: folder)
    monkeypatch.setattr(base, "_OFFLINE_SHA256", digest)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path / "half"))
    return folder


def test_the_default_base_is_found_in_the_offline_package(package):
    found = resolve_base(MINILM)
    assert found.folder == package
    assert "checksum verified" in found.note


def test_an_offline_package_with_other_weights_is_refused(package):
    save_file({"a": np.zeros(1, dtype=np.float32)}, package / "model.safetensors")
    with pytest.raises(ModelError, match="does not have the published checksum"):
        resolve_base(MINILM)


def test_half_a_download_is_no_base(package):
    with pytest.raises(ModelError, match="holds no transformer"):
        resolve_base("nobody/half")
