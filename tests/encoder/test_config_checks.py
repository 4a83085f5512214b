"""What a model's configs name is refused before anything acts on it, through every entrance."""

import ast
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

import tardif
from samples import QRELS, write_beir
from tardif.encoder.base import resolve_base
from tardif.errors import ModelError
from tardif.mining.dense import DenseSearcher
from tardif.mining.miners import make_searcher
from tardif.mining.teacher import Teacher
from tardif.search.rerank import rerank
from tardif.text.languages import language
from tardif.types import Document

DOCUMENTS = [Document("d", "late interaction")]
RUN = "torch.distributed.run.main"
CANARY = "canary.Canary"
TRANSFORMER = "sentence_transformers.models.Transformer"
KERNEL = "someone/kernel"


def changed(folder, file, keys, value):
    """A field of a JSON file set, and what leads to it made where it is not there."""
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    config = json.loads(path.read_text()) if path.is_file() else {}
    place = config
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if following is None:
            place[key] = value
        else:
            place = place[key] if isinstance(place, list) else place.setdefault(key, {})
    path.write_text(json.dumps(config))


def add_module(folder):
    """Have modules.json list a transformer, and something in 1_Dense."""
    path = folder / "modules.json"
    modules = json.loads(path.read_text()) if path.is_file() else [{"name": "0", "path": "", "type": TRANSFORMER}]
    if not any(module["path"] == "1_Dense" for module in modules):
        modules.append({"name": "9", "path": "1_Dense", "type": "sentence_transformers.models.Dense"})
    path.write_text(json.dumps(modules))


# file, keys, value: each makes a library run, fetch or read what is not the model's own data.
CODE = [
    ("modules.json", [0, "type"], CANARY),
    ("modules.json", [1, "type"], CANARY),
    ("config.json", ["auto_map"], {"AutoModel": CANARY, "AutoConfig": CANARY}),
    ("config.json", ["auto_map"], {"AutoTokenizer": [None, f"someone/model--{CANARY}"]}),
    ("config.json", ["text_config"], {"auto_map": {"AutoModel": CANARY}}),
    ("config.json", ["custom_pipelines"], {"rank": {"impl": CANARY, "pt": ["AutoModel"]}}),
    ("tokenizer_config.json", ["auto_map"], {"AutoTokenizer": [CANARY, None]}),
    ("tokenizer_config.json", ["auto_map"], [CANARY, None]),
    ("processor_config.json", ["auto_map"], {"AutoProcessor": CANARY}),
    ("preprocessor_config.json", ["auto_map"], {"AutoProcessor": CANARY}),
    ("generation_config.json", ["custom_generate"], KERNEL),
    ("sentence_bert_config.json", ["model_args", "trust_remote_code"], True),
    ("sentence_bert_config.json", ["config_kwargs", "trust_remote_code"], True),
]
TRAPS = [
    ("modules.json", [0, "type"], RUN),
    ("modules.json", [1, "type"], "os.system"),
    ("modules.json", [0, "path"], "../elsewhere"),
    ("modules.json", [0, "path"], "/tmp"),
    ("config.json", ["sentence_transformers"], {"activation_fn": RUN}),
    ("config.json", ["sbert_ce_default_activation_function"], RUN),
    ("config.json", ["sentence_transformers"], {"activation_fn": "torch.hub.load"}),
    ("config.json", ["hidden_act"], "torch.load"),
    ("config.json", ["_attn_implementation"], KERNEL),
    ("config.json", ["attn_implementation"], f"{KERNEL}:flash"),
    ("config.json", ["attn_implementation"], {"": f"flash|{KERNEL}@main"}),
    ("config.json", ["text_config"], {"_attn_implementation_internal": KERNEL}),
    ("config.json", ["_attn_implementation"], "flash_attention_2"),
    ("config.json", ["use_kernels"], True),
    ("config.json", ["kernel_config"], {"RMSNorm": KERNEL}),
    ("config.json", ["fusion_config"], {"patch": True}),
    ("config.json", ["quantization_config"], {"quant_method": "torchao", "load_in_8bit": True}),
    ("config.json", ["transformers_weights"], "weights.bin"),
    ("config.json", ["base_model_name_or_path"], "someone/model"),
    ("config.json", ["dtype"], "save"),
    ("config.json", ["tokenizer_class"], CANARY),
    ("config.json", ["processor_class"], "AutoModel"),
    ("tokenizer_config.json", ["tokenizer_class"], CANARY),
    ("tokenizer_config.json", ["tokenizer_class"], "pipeline"),
    ("tokenizer_config.json", ["processor_class"], "CLIPProcessor"),
    ("tokenizer_config.json", ["vocab_file"], "/etc/passwd"),
    ("tokenizer_config.json", ["sp_model_kwargs"], {"model_file": "/etc/passwd"}),
    ("tokenizer_config.json", ["tokenizer_file"], "../tokenizer.json"),
    ("tokenizer_config.json", ["fast_tokenizer_files"], ["../tokenizer.1.json"]),
    ("tokenizer_config.json", ["gguf_file"], "model.gguf"),
    ("tokenizer_config.json", ["init_inputs"], ["/etc/passwd"]),
    ("sentence_bert_config.json", ["tokenizer_name_or_path"], "someone/model"),
    ("sentence_bert_config.json", ["model_args", "weights_only"], False),
    ("sentence_bert_config.json", ["model_kwargs", "attn_implementation"], KERNEL),
    ("sentence_bert_config.json", ["model_kwargs", "gguf_file"], "model.gguf"),
    ("sentence_bert_config.json", ["model_kwargs", "adapter_kwargs"], {"subfolder": "x"}),
    ("sentence_bert_config.json", ["config_args", "subfolder"], "../x"),
    ("sentence_bert_config.json", ["processor_kwargs", "tokenizer_type"], ["bert"]),
    ("sentence_bert_config.json", ["modality_config"], {"text": {"method": "push_to_hub", "method_output_name": "x"}}),
    ("1_Dense/config.json", ["activation_function"], RUN),
    ("1_Dense/config.json", ["activation_function"], CANARY),
    ("adapter_config.json", ["base_model_name_or_path"], "someone/model"),
    ("model.safetensors.index.json", ["weight_map"], {"a": "../model.safetensors"}),
    ("model.safetensors.index.json", ["weight_map"], {"a": "weights.bin"}),
]


@pytest.fixture(scope="module")
def teacher_folder(base_folder, tmp_path_factory):
    from sentence_transformers import CrossEncoder

    folder = tmp_path_factory.mktemp("checkpoint") / "teacher"
    CrossEncoder(str(base_folder("bert")), num_labels=1, device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def folders(multi_vector_folder, dense_folder, teacher_folder):
    return {"late": multi_vector_folder, "dense": dense_folder, "teacher": teacher_folder}


def _evaluate(folder):
    from tardif.evaluation.systems import SystemOptions, find_system
    from tardif.progress import Silent

    find_system(f"dense:{folder}", SystemOptions("en", "cpu", Silent(), exact=False, twice="best"))


ENTRANCES = {
    "base": ("late", resolve_base),
    "train": ("dense", lambda folder: tardif.Trainer("x", base=folder, out=folder.parent / "out")),
    "index": ("late", lambda folder: tardif.Retriever.build(folder, ["x"], folder.parent / "index", quiet=True)),
    "rerank": ("late", lambda folder: rerank(folder, "x", ["y"])),
    "evaluate": ("dense", _evaluate),
    "teacher": ("teacher", Teacher),
    "dense miner": ("dense", lambda folder: DenseSearcher(DOCUMENTS, model=folder)),
    "late miner": ("late", lambda folder: make_searcher("late", DOCUMENTS, language=language("en"), model=folder)),
    "hybrid miner": (
        "dense",
        lambda folder: make_searcher("hybrid", DOCUMENTS, language=language("en"), dense_model=folder),
    ),
}
entrances = pytest.mark.parametrize("entrance", ENTRANCES)


@pytest.fixture
def trap(tmp_path, monkeypatch, folders):
    """A copy of a good model beside a canary, which is imported from everywhere and sings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(kind):
        folder = shutil.copytree(folders[kind], tmp_path / "model")
        (folder / "1_Dense").mkdir(exist_ok=True)
        for place in (folder, tmp_path):
            (place / "canary.py").write_text(f"open({str(tmp_path / 'song')!r}, 'w').close()\nclass Canary: pass\n")
        return folder

    yield make
    assert not (tmp_path / "song").exists()


def refused(call):
    with pytest.raises(ModelError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 500
    assert "weights_only=" not in said
    return said


# All fields through two entrances, and some through the others; the slow set has all of them through all.
ALL = [
    pytest.param(
        entrance, *field, marks=[] if entrance in ("base", "teacher") or number % 8 == 0 else [pytest.mark.slow]
    )
    for entrance in ENTRANCES
    for number, field in enumerate([*CODE, *TRAPS])
]


@pytest.mark.parametrize(("entrance", "file", "keys", "value"), ALL)
def test_no_field_names_what_is_run_or_fetched(trap, entrance, file, keys, value):
    kind, open_it = ENTRANCES[entrance]
    folder = trap(kind)
    add_module(folder)
    changed(folder, file, keys, value)
    refused(lambda: open_it(folder))


@pytest.mark.parametrize(("file", "keys", "value"), [trap for trap in TRAPS if "tokenizer_type" not in trap[1]])
def test_trust_in_a_models_own_code_opens_no_trap(trap, file, keys, value):
    folder = trap("late")
    changed(folder, file, keys, value)
    refused(lambda: resolve_base(folder, trust_remote_code=True))


@pytest.mark.parametrize(("file", "keys", "value"), CODE)
def test_trust_lets_a_models_own_code_pass(trap, file, keys, value):
    folder = trap("late")
    changed(folder, file, keys, value)
    if file in ("processor_config.json", "preprocessor_config.json"):
        (folder / file).write_text(json.dumps({"auto_map": value}))
    resolve_base(folder, trust_remote_code=True)


@pytest.mark.parametrize("entrance", ["base", "train", "rerank", "teacher", "dense miner", "late miner"])
def test_a_good_model_passes(trap, entrance):
    kind, open_it = ENTRANCES[entrance]
    assert open_it(trap(kind)) is not None


def test_old_configs_that_name_their_authors_cache_pass(trap):
    folder = trap("late")
    for key in ("special_tokens_map_file", "tokenizer_file", "name_or_path"):
        changed(folder, "tokenizer_config.json", [key], "/home/nobody/.cache/huggingface/x.json")
    changed(folder, "config.json", ["_name_or_path"], "someone/model")
    assert resolve_base(folder)


# As they are on the hub.
PUBLISHED = [
    ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
    ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}),
    ("config.json", {"torch_dtype": "bfloat16", "hidden_act": "gelu_new", "classifier_activation": False}),
    ("config.json", {"pooler_hidden_act": "gelu", "summary_activation": "gelu", "summary_use_proj": True}),
    ("config.json", {"id2label": {"0": "LABEL_0"}, "label2id": {"auto_map": 0}, "quantization_config": None}),
    ("config.json", {"_name_or_path": "/home/somebody/bert", "gradient_checkpointing": False, "tokenizer_class": None}),
    ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "sp_model_kwargs": {}}),
    ("tokenizer_config.json", {"vocab_file": "/content/vocab.txt", "model_max_length": 1e30, "tokenizer_file": None}),
    ("tokenizer_config.json", {"mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": False}}),
    ("sentence_bert_config.json", {"max_seq_length": None, "do_lower_case": True}),
    ("sentence_bert_config.json", {"model_args": {"torch_dtype": "float32", "attn_implementation": "sdpa"}}),
    ("generation_config.json", {"transformers_version": "4.48.0", "pad_token_id": 0}),
    ("artifact.metadata", {"model_name": None, "checkpoint": "bert-base-uncased", "root": "/future", "meta": {"x": 1}}),
]


@pytest.mark.parametrize(("file", "values"), PUBLISHED)
def test_what_published_models_say_passes(trap, file, values):
    folder = trap("late")
    for key, value in values.items():
        changed(folder, file, [key], value)
    assert resolve_base(folder)


@entrances
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors", "README.md", "1_Dense"])
def test_a_link_out_of_the_folder_is_refused(trap, tmp_path, entrance, file):
    kind, open_it = ENTRANCES[entrance]
    folder = trap(kind)
    outside = tmp_path / "outside"
    add_module(folder)
    if (folder / file).exists():
        (folder / file).rename(outside)
    else:
        outside.write_text("x")
    (folder / file).symlink_to(outside)
    assert "points outside its own folder" in refused(lambda: open_it(folder))


@pytest.mark.parametrize("path", ["deep/1_Dense", "deep/deeper/1_Dense"])
def test_a_module_behind_a_link_out_of_the_folder_is_refused(trap, tmp_path, path):
    folder = trap("late")
    place = folder / path
    (tmp_path / "outside").mkdir()
    shutil.move(folder / "1_Dense", tmp_path / "outside" / "1_Dense")
    place.parent.parent.mkdir(exist_ok=True)
    place.parent.symlink_to(tmp_path / "outside")
    changed(folder, "modules.json", [1, "path"], path)
    assert "points outside its own folder" in refused(lambda: resolve_base(folder))


def test_an_adapter_in_the_transformers_own_folder_is_refused(trap):
    folder = trap("dense")
    (folder / "0").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        path.rename(folder / "0" / path.name)
    changed(folder, "modules.json", [0, "path"], "0")
    assert resolve_base(folder).transformer == folder / "0"
    changed(folder, "0/adapter_config.json", ["base_model_name_or_path"], "someone/model")
    assert "adapter" in refused(lambda: resolve_base(folder))


def test_an_installed_package_may_be_made_of_links(trap, tmp_path, monkeypatch):
    folder = trap("late")
    shutil.move(folder, tmp_path / "store")
    folder.mkdir()
    for path in (tmp_path / "store").iterdir():
        (folder / path.name).symlink_to(path)
    assert "points outside its own folder" in refused(lambda: resolve_base(folder))
    monkeypatch.setattr("tardif.encoder.base.offline_base", lambda: folder)
    assert resolve_base(folder)


def test_the_hubs_cache_is_made_of_links(folders, tmp_path, monkeypatch):
    """As huggingface_hub lays it out: a snapshot's files are links to blobs beside it."""
    revision, home = "a" * 40, tmp_path / "hub" / "models--someone--model"
    snapshot, blobs = home / "snapshots" / revision, home / "blobs"
    for folder in (home / "refs", blobs):
        folder.mkdir(parents=True)
    (home / "refs" / "main").write_text(revision)
    for path in folders["late"].rglob("*"):
        if path.is_file():
            blob = blobs / hashlib.sha256(str(path).encode()).hexdigest()
            shutil.copy(path, blob)
            link = snapshot / path.relative_to(folders["late"])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert resolve_base("someone/model").folder == snapshot
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("/etc/passwd")
    assert "points outside" in refused(lambda: resolve_base("someone/model"))


def test_a_link_within_the_folder_is_the_models_own(trap):
    folder = trap("late")
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    assert resolve_base(folder)


COMMANDS = {
    "train": ("dense", ["train", "{data}", "--name", "x", "--out", "out", "--base", "{model}"]),
    "dense miner": ("dense", ["prepare", "{data}", "--out", "out", "--miner", "dense", "--miner-model", "{model}"]),
    "late miner": ("late", ["prepare", "{data}", "--out", "out", "--miner", "late", "--miner-model", "{model}"]),
    "teacher": ("teacher", ["prepare", "{data}", "--out", "out", "--teacher", "{model}"]),
    "index": ("late", ["index", "{model}", "{data}/corpus.jsonl", "--out", "out"]),
    "rerank": ("late", ["rerank", "{model}", "a query", "--documents", "{data}/corpus.jsonl"]),
    "evaluate": ("late", ["evaluate", "{model}", "--data", "{data}"]),
    "evaluate dense": ("dense", ["evaluate", "dense:{model}", "--data", "{data}"]),
    "against": ("dense", ["evaluate", "bm25", "--data", "{data}", "--against", "{model}"]),
}


READ = [(command, "weights") for command in ("train", "teacher", "index", "evaluate dense")]


@pytest.mark.parametrize(
    ("command", "damage"),
    [*((command, damage) for command in COMMANDS for damage in ("code", "nested")), *READ],
)
def test_every_command_says_so_in_one_line(trap, tardif, fails, tmp_path, command, damage):
    kind, words = COMMANDS[command]
    folder, data = trap(kind), write_beir(tmp_path / "data", qrels={"train": QRELS, "test": QRELS})
    if damage == "code":
        changed(folder, "config.json", ["sentence_transformers"], {"activation_fn": RUN})
    elif damage == "weights":
        save_file({"other": np.zeros(1, dtype=np.float32)}, folder / "model.safetensors")
    else:
        (folder / "config.json").write_text("[" * 200_000)
    asked = [word.format(model=folder, data=data) for word in words]
    if damage == "weights":  # found when they are read, which may be after some work that is shown
        code, _, said = tardif(*asked)
        assert code == 1
        said = said.splitlines()[-1]
        assert re.match("tardif: .* lacks weights", said)
    else:
        said = fails(*asked)
    assert str(folder) in said
    left = tmp_path / "out"  # there training keeps what it has prepared, for the next try
    assert not (left / "x" if command == "train" else left).exists()


OPENERS = {
    "SentenceTransformer", "CrossEncoder", "MultiVectorEncoder", "Transformer", "InferenceSession", "from_pretrained",
    "from_file", "load_model", "snapshot_download",
}  # fmt: skip
# Where each is called, after check_files. Whoever opens a model elsewhere calls check_files first, and is listed here.
KNOWN = {
    "data/chunking.py", "encoder/onnx/encoder.py", "mining/dense.py", "encoder/base.py", "encoder/model.py",
    "encoder/coverage.py", "encoder/cross_encoder.py", "encoder/loading.py", "training/checkpoints.py",
    "integrations/checkpoints/onnx.py", "encoder/markers.py",
}  # fmt: skip


def test_models_are_opened_in_few_places():
    root = Path(tardif.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in OPENERS or re.match(r"Auto[A-Z]", name):
                    found.add(path.relative_to(root).as_posix())
    assert found == KNOWN
