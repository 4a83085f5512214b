"""The gate that every model passes: its small files are read and judged before a library acts on them.

A model's folder is data that somebody else wrote, and the libraries that open it do what it says: they
import the classes that its configs name, fetch kernels and other models, and hand saved options to their
loaders. Here each such field is allowed or the model is refused. What is not known here is refused as
well where a library would act on it: lists of what is allowed, not of what is known to be bad. Neither
torch nor a library that opens models is imported.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.encoder.published import check_published
from tardif.errors import ModelError
from tardif.folders import expanded, parse_json, read_bounded

LARGEST_CONFIG = 1 << 24
"""Bytes of a config; real ones hold thousands."""

# Bytes of what is read whole besides: a vocabulary of a million tokens has some 100 MB.
_LARGEST_TEXT = 1 << 29
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ckpt", ".gguf", ".tar", ".zip")

# Classes of modules that only compute. A Router and others that name further classes are not among them.
_MODULES = frozenset({
    "Dense", "Dropout", "HierarchicalTokenPooling", "LayerNorm", "LogitScore", "MultiVectorMask", "Normalize",
    "Pooling", "Transformer", "WeightedLayerPooling",
})  # fmt: skip
_MODULE = re.compile(r"sentence_transformers\.(?:[a-z_]+\.)+(?:[A-Za-z]+\.)?([A-Za-z]+)")
_PYLATE = ("pylate.models.Dense.Dense",)

_ACTIVATIONS = frozenset({
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
    "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink",
})  # fmt: skip
_ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.(?:activation|linear)\.)?([A-Za-z0-9]+)")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TOKENIZER = re.compile(r"[A-Za-z0-9]*Tokenizer(?:Fast)?|(?:Tokenizers|Python|SentencePiece)Backend")
# Flash attention is not among them: where its package is missing, transformers fetches a kernel from the hub.
_ATTENTION = frozenset({"eager", "sdpa", "flex_attention"})
_DTYPES = frozenset({"auto", "float16", "bfloat16", "float32", "float64"})

# Code that a model brings itself: what trust is asked for.
_OWN_CODE = frozenset({"auto_map", "custom_generate", "custom_pipelines", "trust_remote_code"})
_REFERENCE = re.compile(r"(?:[\w.-]+(?:/[\w.-]+)?--)?\w+\.\w+")
# Fields by which a config would have another model, a file, a kernel or a way of loading.
_ELSEWHERE = frozenset({
    "adapter_kwargs", "base_model_name_or_path", "cache_dir", "compression_config", "device_map",
    "distributed_config", "fusion_config", "gguf_file", "init_inputs", "kernel_config", "mistral_format", "proxies",
    "quantization_config", "state_dict", "subfolder", "tokenizer_name_or_path", "tokenizer_object",
    "transformers_weights", "use_kernels",
})  # fmt: skip
_OTHER_READERS = ("processor_class", "image_processor_type", "feature_extractor_type", "video_processor_type")
# Where the hub's cache keeps what a snapshot links to: by the hash of its content, for a model or for all.
_BLOB = re.compile(r"/models--[^/]+/blobs/[0-9a-f]{40,64}$|/blobs/[0-9a-f]{2}/[0-9a-f]{64}$")
# What users name, not libraries: nothing acts on a key in here.
_FREE = frozenset({"added_tokens_decoder", "id2label", "label2id", "prompts"})

# The most that a number may be: above what any model has, below what fills a memory before weights are compared.
_NUMBERS: Mapping[str, int] = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "num_attention_heads", "n_heads"), 1 << 10),
    **dict.fromkeys(("hidden_size", "embedding_size", "in_features", "out_features", "dim"), 1 << 16),
    **dict.fromkeys(("embedding_dimension", "word_embedding_dimension", "type_vocab_size"), 1 << 16),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "num_labels"), 1 << 20),
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), 1 << 25),
    **dict.fromkeys(("query_length", "document_length", "query_maxlen", "doc_maxlen", "max_seq_length"), 1 << 25),
}
_TEMPLATES = "additional_chat_templates"
_SETTINGS = re.compile(r"sentence_[\w-]+_config\.json")
_SAVED_OPTIONS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
# What sentence-transformers' Transformer may be given by its saved settings, and what of it goes to transformers.
_TRANSFORMER_SETTINGS = frozenset({
    *_SAVED_OPTIONS, "do_lower_case", "document_length", "max_seq_length", "modality_config", "module_output_name",
    "processing_kwargs", "query_expansion", "query_length", "tokenizer_name_or_path", "transformer_task",
    "unpad_inputs",
})  # fmt: skip
_OPTIONS = frozenset({
    "add_pooling_layer", "add_prefix_space", "attn_implementation", "do_lower_case", "dtype", "low_cpu_mem_usage",
    "model_max_length", "padding_side", "torch_dtype", "trust_remote_code", "truncation_side", "use_cache",
    "use_fast", "use_safetensors",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Gate:
    """One model's check: what it is called, where it is, whether its own code may run (None: never asked), and
    whether its files may be links to anywhere."""

    what: str
    folder: Path
    trust: bool | None
    links: bool

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"{self.what} {why}")

    def code(self, named: str) -> ModelError:
        advice = "give a model without" if self.trust is None else "pass trust_remote_code if you trust it"
        return self.refuse(f"needs code of its own ({named}): {advice}.")


def check_files(what: str, folder: Path, *, trust_remote_code: bool | None = False, links: bool = False) -> None:
    """Check all that a model's configs name: code, kernels, other models and files.

    Args:
        what: the model in an error: "The base NAME".
        folder: of the whole checkpoint.
        trust_remote_code: let Python files in the folder be run; what else is refused here stays refused.
            ``None`` where the user cannot be asked: refused, and no advice to trust.
        links: let files be links out of the folder, as some installers lay out packages.

    Raises:
        ModelError: a field names what is not allowed, a file is damaged (or is not the one that Tardif
            published), is no regular file, or lies outside the folder.
    """
    try:
        _check(_Gate(what, folder, trust_remote_code, links))
    except OSError as error:
        raise ModelError(f"{what} cannot be read in {folder} ({error.strerror or error}).") from error


def _check(gate: _Gate) -> None:
    folder = gate.folder
    _check_entries(gate, folder)
    check_published(folder)
    places = [folder]
    for place in (*_module_folders(gate), folder / _TEMPLATES):
        if place not in places and place.is_dir():
            _check_inside(gate, place)
            _check_entries(gate, place)
            places.append(place)
    for place in places:
        if (place / "adapter_config.json").exists():
            raise gate.refuse("is an adapter of another model (adapter_config.json): merge it with that one first.")
        check_tokenizer(place / "tokenizer.json")
        for path in sorted(place.iterdir()):
            # Some file systems take any case for the same name.
            if path.name == "artifact.metadata" or re.fullmatch(r".*config.*\.json", path.name.lower()):
                _check_config(gate, path, read_config(path))


def read_config(path: Path) -> Any:
    """The value of a config, None where there is no such file.

    Raises:
        ModelError: it is damaged, no regular file, or far larger than any config.
    """
    try:
        return parse_json(read_bounded(path, LARGEST_CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read ({why}): the model is damaged, fetch or save it again.") from error


def check_tokenizer(path: Path) -> None:
    """Check the part of a tokenizer.json that makes the library panic on its first text, instead of an error.

    Raises:
        ModelError: it is damaged, or its template names tokens that it does not explain.
    """
    try:
        text = read_bounded(path, _LARGEST_TEXT).decode("utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read ({why}): the model is damaged, fetch or save it again.") from error
    found = re.search(r'"post_processor"\s*:\s*', text)
    if found is None:
        return
    try:
        processor, _ = json.JSONDecoder().raw_decode(text, found.end())
        _check_template(processor)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read (post_processor): the model is damaged, fetch it again.") from error


def _check_template(processor: Any) -> None:
    """Raise a LookupError or another one if a template's tokens are not explained."""
    for one in [processor, *((processor or {}).get("processors") or [])]:
        if one and one["type"] == "TemplateProcessing":
            for piece in [*one["single"], *one["pair"]]:
                if "SpecialToken" in piece:
                    one["special_tokens"][piece["SpecialToken"]["id"]]


def _check_entries(gate: _Gate, place: Path) -> None:
    """Raise unless all that lies in a folder can be read in finite time and is the model's own."""
    for entry in sorted(place.iterdir()):
        try:
            status = entry.stat()
        except OSError:  # a link that leads nowhere: whoever needs the file says so
            continue
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise gate.refuse(f"holds {entry}, which is no regular file: remove it.")
        if entry.is_symlink():
            _check_inside(gate, entry)
        if status.st_size > _LARGEST_TEXT and stat.S_ISREG(status.st_mode) and entry.suffix not in _WEIGHTS:
            raise gate.refuse(f"holds {entry}, which is larger than any vocabulary: the model is damaged.")


def _check_inside(gate: _Gate, entry: Path) -> None:
    """Raise if a link leads out of the model's folder, unless to the hub's cache, whose snapshots are links."""
    target = Path(os.path.realpath(entry))
    if gate.links or target.is_relative_to(os.path.realpath(gate.folder)):
        return
    if not _BLOB.search(target.as_posix()):
        raise gate.refuse(f"points outside its own folder ({entry.name} -> {target}): put the file itself there.")


def _module_folders(gate: _Gate) -> Iterator[Path]:
    """The folders of the modules that modules.json lists, their classes and places checked."""
    modules = read_config(gate.folder / "modules.json")
    if modules is None:
        return
    if not isinstance(modules, list) or not modules or not all(isinstance(module, dict) for module in modules):
        raise gate.refuse("has a modules.json that lists no modules: it is damaged.")
    names = [module.get("name") for module in modules]
    if not all(isinstance(name, str | int) for name in names) or len(set(names)) != len(names):
        raise gate.refuse("has a modules.json whose modules have no names of their own: it is damaged.")
    for module in modules:
        named, path = module.get("type"), module.get("path")
        if not isinstance(named, str) or not isinstance(path, str | None):
            raise gate.refuse("has a modules.json that lists a module without type or path: it is damaged.")
        place = Path(path or "")
        if place.is_absolute() or ".." in place.parts or "\\" in str(path):
            raise gate.refuse(f"points outside its own folder ({place}): it is refused.")
        _check_module(gate, named)
        yield gate.folder / place


def _check_module(gate: _Gate, named: str) -> None:
    found = _MODULE.fullmatch(named)
    if named in _PYLATE or (found and found[1] in _MODULES):
        return
    if not gate.trust:
        raise gate.code(f"modules.json: {named}")
    # A class of an installed package is not the model's own code: trust in the model does not reach it.
    if not _is_own(gate, named):
        raise gate.refuse(f"names a class that is in no Python file of its own (modules.json: {named}): it is refused.")


def _is_own(gate: _Gate, named: object) -> bool:
    """Whether a reference is to a class in a Python file of the model, or of another one on the hub."""
    if not isinstance(named, str) or not _REFERENCE.fullmatch(named):
        return False
    return "--" in named or (gate.folder / f"{named.split('.')[0]}.py").is_file()


def _check_config(gate: _Gate, path: Path, config: Any) -> None:
    where = path.relative_to(gate.folder).as_posix()
    if not isinstance(config, dict):
        if path.name in ("config.json", "data_config.json"):
            return  # who needs it says what is missing; the other is a list
        raise gate.refuse(f"has a {where} that holds no settings: it is damaged.")
    _check_shape(gate, where, config)
    if _SETTINGS.fullmatch(path.name):
        _check_transformer_settings(gate, where, config)
    left: list[tuple[str, Any]] = list(config.items())
    while left:  # a stack: a config may be nested deeper than functions can call one another
        key, value = left.pop()
        if key in _FREE:
            continue
        _check_field(gate, where, key, value)
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(key, item) for item in value if isinstance(item, dict | list)]


def _check_field(gate: _Gate, where: str, key: str, value: Any) -> None:
    """Raise if a field names what a library would run, load or fetch."""
    if key == "weights_only" and value is not True:
        raise gate.refuse(f"asks for pickled weights ({where}: weights_only): it is refused.")
    shown = f"{where}: {key} {_short(value)}"
    if key in _NUMBERS and value is not None and not _counts(value, _NUMBERS[key]):
        raise gate.refuse(f"is damaged ({shown} is no number of the kind).")
    if value is None or value is False or value in ("", [], {}):
        return
    if key in _OWN_CODE:
        if not gate.trust:
            raise gate.code(f"{where}: {key}")
        if key == "auto_map" and not all(_is_own(gate, named) for named in _leaves(value)):
            raise gate.refuse(f"names code that is in no Python file of its own ({shown}): it is refused.")
    elif key in _ELSEWHERE:
        raise gate.refuse(f"asks for more than its own files ({shown}): save the whole model, and leave that out.")
    elif key.endswith(("_file", "_files", "file_name")) and any(_leads_out(gate, name) for name in _leaves(value)):
        raise gate.refuse(f"points outside its own folder ({shown}): it is refused.")
    for concerns, allows, kind in _NAMES:
        named = (name for name in _leaves(value) if not isinstance(name, int | float))
        if concerns(key) and not all(isinstance(name, str) and allows(name) for name in named):
            raise gate.refuse(f"names {kind} that is not allowed ({shown}): it is refused.")


def _counts(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_activation(name: str) -> bool:
    found = _ACTIVATION.fullmatch(name)
    return _PLAIN.fullmatch(name) is not None or (found is not None and found[1] in _ACTIVATIONS)


# Which keys name something by a string, which strings are allowed, and what they name.
_NAMES: tuple[tuple[Callable[[str], bool], Callable[[str], bool], str], ...] = (
    (
        lambda key: "activation" in key or key.endswith("_act") or key == "act_fn",
        _is_activation,
        "a function",
    ),
    (
        lambda key: "attn_implementation" in key or "experts_implementation" in key,
        _ATTENTION.__contains__,
        "a kernel",
    ),
    (lambda key: key.endswith("dtype"), lambda name: name.removeprefix("torch.") in _DTYPES, "a type of number"),
    (lambda key: key == "tokenizer_class", lambda name: _TOKENIZER.fullmatch(name) is not None, "a tokenizer"),
    (lambda key: key in _OTHER_READERS, lambda name: False, "a reader of something else than text"),
)


def _check_transformer_settings(gate: _Gate, where: str, settings: dict[str, Any]) -> None:
    """What sentence-transformers hands on from its saved settings: to its own class, to transformers, to methods."""
    unknown = [] if gate.trust else sorted(settings.keys() - _TRANSFORMER_SETTINGS)
    for name in _SAVED_OPTIONS:
        options = settings.get(name) or {}
        if not isinstance(options, dict):
            raise gate.refuse(f"is damaged ({where}: {name} holds no options).")
        unknown += [] if gate.trust else sorted(f"{name}.{key}" for key in options.keys() - _OPTIONS)
    if unknown:
        raise gate.refuse(f"has settings that are not known ({where}: {', '.join(unknown[:3])}): leave them out.")
    reading = settings.get("modality_config") or {}
    parts = reading.values() if isinstance(reading, dict) else [None]
    if any(not isinstance(part, dict) or part.get("method") != "forward" for part in parts):
        raise gate.refuse(f"reads texts in a way of its own ({where}: modality_config): it is refused.")


def _check_shape(gate: _Gate, where: str, config: dict[str, Any]) -> None:
    """What is used as it was saved, long after loading, must have its type."""
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str | None) for prompt in prompts.values()):
        raise gate.refuse(f"is damaged ({where}: prompts are no texts).")
    for key in ("query_token_id", "doc_token_id", "query_prefix", "document_prefix", "default_prompt_name"):
        if not isinstance(config.get(key), str | None):
            raise gate.refuse(f"is damaged ({where}: {key} is no text).")
    if not isinstance(config.get("model_max_length", 0), int | float):
        raise gate.refuse(f"is damaged ({where}: model_max_length is no number).")
    words = config.get("skiplist_words") or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise gate.refuse(f"is damaged ({where}: skiplist_words are no words).")


def _leads_out(gate: _Gate, name: object) -> bool:
    """Whether a named file is outside the folder. Old configs name their author's cache, which is not here."""
    if not isinstance(name, str):
        return False
    path = expanded(name)
    if path.is_absolute():
        return path.exists()
    return ".." in path.parts or "\\" in name


def _leaves(value: Any) -> Iterator[Any]:
    """The values in lists and objects, however deep; no None."""
    left = [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            left += found.values()
        elif isinstance(found, list):
            left += found
        elif found is not None:
            yield found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
