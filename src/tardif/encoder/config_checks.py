"""Checks of a model's configs, before a library acts on them.

A model's folder is data that somebody else wrote, and the libraries that open it obey it: they import the classes that
its configs name, fetch kernels and other models, and pass saved options to their loaders. Here each such field is
either allowed, or the model is refused. The lists name what is allowed, not what is known to be bad, so unknown values
are refused wherever a library would act on them. Neither torch nor a library that opens models is imported.
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

from tardif.checks import is_int
from tardif.encoder.published import check_published
from tardif.errors import ModelError, reason
from tardif.file_reading import parse_json, read_bounded
from tardif.folders import expanded

# Bytes of a config; real ones have thousands.
# Read whole before a library parses it: a file of gigabytes would fill the memory.
LARGEST_CONFIG = 1 << 24
# Bytes of other files that are read whole; a vocabulary of a million tokens has about 100 MB.
_LARGEST_TEXT = 1 << 29
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ckpt", ".gguf", ".tar", ".zip")

# Module classes that only compute. Not among them: Router and others that name further classes.
_MODULES = frozenset({
    "Dense", "Dropout", "HierarchicalTokenPooling", "LayerNorm", "LogitScore", "MultiVectorMask", "Normalize",
    "Pooling", "Transformer", "WeightedLayerPooling",
})  # fmt: skip
_MODULE = re.compile(r"sentence_transformers\.(?:[a-z_]+\.)+(?:[A-Za-z]+\.)?([A-Za-z]+)")
_LIBRARIES = ("sentence_transformers", "pylate")
# Modules of which a model is built that has no transformer.
_WITHOUT_ENCODER = dict.fromkeys(
    ("BoW", "CNN", "LSTM", "StaticEmbedding", "WordEmbeddings", "WordWeights"),
    "so no transformer reads each token in its text, and there are no token vectors to compare",
)
_PYLATE = ("pylate.models.Dense.Dense",)

_ACTIVATIONS = frozenset({
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
    "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink",
})  # fmt: skip
# Torch's own name of an activation class; transformers' names of functions (gelu_new) are plain words.
_ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.(?:activation|linear)\.)?([A-Za-z0-9]+)")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_TOKENIZER = re.compile(r"[A-Za-z0-9]*Tokenizer(?:Fast)?|(?:Tokenizers|Python|SentencePiece)Backend")
# Without flash attention: where its package is missing, transformers fetches a kernel from the hub.
_ATTENTION = frozenset({"eager", "sdpa", "flex_attention"})
_DTYPES = frozenset({"auto", "float16", "bfloat16", "float32", "float64"})

# Fields by which a model brings its own code. They need trust_remote_code.
_OWN_CODE = frozenset({"auto_map", "custom_generate", "custom_pipelines", "trust_remote_code"})
_REFERENCE = re.compile(r"(?:[\w.-]+(?:/[\w.-]+)?--)?\w+\.\w+")
# Fields that ask for another model, a file elsewhere, a kernel, or another way of loading.
_ELSEWHERE = frozenset({
    "adapter_kwargs", "base_model_name_or_path", "cache_dir", "compression_config", "device_map",
    "distributed_config", "fusion_config", "gguf_file", "init_inputs", "kernel_config", "mistral_format", "proxies",
    "quantization_config", "state_dict", "subfolder", "tokenizer_name_or_path", "tokenizer_object",
    "transformers_weights", "use_kernels",
})  # fmt: skip
_OTHER_READERS = ("processor_class", "image_processor_type", "feature_extractor_type", "video_processor_type")
# The targets of a hub snapshot's links, named by the hash of their content, per model or shared.
_BLOB = re.compile(r"/models--[^/]+/blobs/[0-9a-f]{40,64}$|/blobs/[0-9a-f]{2}/[0-9a-f]{64}$")
# Fields with keys that users choose: no library acts on those.
_FREE = frozenset({"added_tokens_decoder", "id2label", "label2id", "prompts"})

# The largest value of a number: above any model's, and below what fills a memory before weights are compared.
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
# The saved settings that sentence-transformers' Transformer accepts, and the options it passes to transformers.
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
class _Model:
    """A model to check: its name in errors, its folder, whether its own code may run (None: the user cannot be asked),
    and whether its files may be links to anywhere."""

    what: str
    folder: Path
    trust: bool | None
    links: bool

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"{self.what} {why}")

    def code(self, named: str) -> ModelError:
        advice = "use a model without any" if self.trust is None else "pass trust_remote_code if you trust it"
        return self.refuse(f"comes with its own Python code ({named}): {advice}.")


def check_files(what: str, folder: Path, *, trust_remote_code: bool | None = False, links: bool = False) -> None:
    """Check everything that a model's configs name: code, kernels, other models and files.

    Args:
        what: the model in an error, such as "The base NAME".
        folder: the folder of the whole checkpoint.
        trust_remote_code: allow Python files in the folder to run. Everything else stays refused. ``None`` if the user
            cannot be asked: own code is refused, and the error does not advise trust.
        links: allow links out of the folder, which some installers put in place of a package's files.

    Raises:
        ModelError: a field names something that is not allowed; or a file is damaged, differs from its published
            checksum, is not regular, or lies outside the folder.
    """
    try:
        _check(_Model(what, folder, trust_remote_code, links))
    except OSError as error:
        raise ModelError(f"{what} cannot be read in {folder} ({error.strerror or error}).") from error


def _check(model: _Model) -> None:
    folder = model.folder
    _check_entries(model, folder)
    check_published(folder)
    places = [folder]
    for place in (*_module_folders(model), folder / _TEMPLATES):
        if place not in places and place.is_dir():
            _check_inside(model, place)
            _check_entries(model, place)
            places.append(place)
    for place in places:
        if (place / "adapter_config.json").exists():
            raise model.refuse("is an adapter of another model (adapter_config.json): merge it with that one first.")
        check_tokenizer(place / "tokenizer.json")
        for path in sorted(place.iterdir()):
            # Some file systems ignore case in names.
            if path.name == "artifact.metadata" or re.fullmatch(r".*config.*\.json", path.name.lower()):
                _check_config(model, path, read_config(path))


def read_config(path: Path) -> Any:
    """Read a config; None if the file does not exist.

    Raises:
        ModelError: it is damaged, not a regular file, or far larger than any config.
    """
    try:
        return parse_json(read_bounded(path, LARGEST_CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, reason(error)) from error


def check_tokenizer(path: Path) -> None:
    """Check the part of a tokenizer.json that would make the library panic on its first text.

    Raises:
        ModelError: the file is damaged, or its template names tokens that it does not define.
    """
    try:
        text = read_bounded(path, _LARGEST_TEXT).decode("utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _unreadable(path, reason(error)) from error
    # Not parsed as a whole: a vocabulary of a million tokens takes seconds, and this part alone can panic.
    found = re.search(r'"post_processor"\s*:\s*', text)
    if found is None:
        return
    try:
        processor, _ = json.JSONDecoder().raw_decode(text, found.end())
        _check_template(processor)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, "post_processor") from error


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} cannot be read ({why}): the model is damaged, fetch or save it again.")


def _check_template(processor: Any) -> None:
    """Raise a LookupError or the like if a template's tokens are not defined."""
    for one in [processor, *((processor or {}).get("processors") or [])]:
        if one and one["type"] == "TemplateProcessing":
            for piece in [*one["single"], *one["pair"]]:
                if "SpecialToken" in piece:
                    one["special_tokens"][piece["SpecialToken"]["id"]]


def _check_entries(model: _Model, place: Path) -> None:
    """Raise unless every entry of a folder is a regular file or folder of the model, and not too large."""
    for entry in sorted(place.iterdir()):
        try:
            status = entry.stat()
        except OSError:  # a broken link: the reader of the file reports it
            continue
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise model.refuse(f"holds {entry}, which is not a regular file: remove it.")
        if entry.is_symlink():
            _check_inside(model, entry)
        if status.st_size > _LARGEST_TEXT and stat.S_ISREG(status.st_mode) and entry.suffix not in _WEIGHTS:
            raise model.refuse(f"is damaged ({entry} is larger than any vocabulary): fetch or save it again.")


def _check_inside(model: _Model, entry: Path) -> None:
    """Raise if a link leads out of the model's folder. The hub's cache is allowed: its snapshots are links."""
    target = Path(os.path.realpath(entry))
    if model.links or target.is_relative_to(os.path.realpath(model.folder)):
        return
    if not _BLOB.search(target.as_posix()):
        raise model.refuse(f"points outside its own folder ({entry.name} -> {target}): put the file itself there.")


def _module_folders(model: _Model) -> Iterator[Path]:
    """Yield the folders of the modules in modules.json, after checking their classes and paths."""
    modules = read_config(model.folder / "modules.json")
    if modules is None:
        return
    if not isinstance(modules, list) or not modules or not all(isinstance(module, dict) for module in modules):
        raise model.refuse("has a damaged modules.json (it lists no modules): fetch or save it again.")
    names = [module.get("name") for module in modules]
    if not all(isinstance(name, str | int) for name in names) or len(set(names)) != len(names):
        raise model.refuse(
            "has a damaged modules.json (modules without a name, or two with one): fetch or save it again."
        )
    for module in modules:
        named, path = module.get("type"), module.get("path")
        if not isinstance(named, str) or not isinstance(path, str | None):
            raise model.refuse("has a damaged modules.json (a module without type or path): fetch or save it again.")
        place = Path(path or "")
        if place.is_absolute() or ".." in place.parts or "\\" in str(path):
            raise model.refuse(f"points outside its own folder ({place}): put the module into the folder.")
        _check_module(model, named)
        yield model.folder / place


def _check_module(model: _Model, named: str) -> None:
    found = _MODULE.fullmatch(named)
    if named in _PYLATE or (found and found[1] in _MODULES):
        return
    # A class of these libraries is no code of the model's own, which trust would let run.
    library, _, rest = named.partition(".")
    if library in _LIBRARIES and rest:
        name = named.rpartition(".")[2]
        why = _WITHOUT_ENCODER.get(name, "which is none of those that are known here")
        raise model.refuse(f"is built from {name} of {library} (modules.json: {named}), {why}: use another model.")
    if not model.trust:
        raise model.code(f"modules.json: {named}")
    # A class of an installed package is not the model's own code, so trust in the model does not cover it.
    if not _is_own(model, named):
        raise model.refuse(
            f"names a class that its own Python files do not define (modules.json: {named}): use another model."
        )


def _is_own(model: _Model, named: object) -> bool:
    """Return whether a reference names a class in a Python file of the model, or of another model on the hub."""
    if not isinstance(named, str) or not _REFERENCE.fullmatch(named):
        return False
    return "--" in named or (model.folder / f"{named.split('.')[0]}.py").is_file()


def _check_config(model: _Model, path: Path, config: Any) -> None:
    where = path.relative_to(model.folder).as_posix()
    if not isinstance(config, dict):
        if path.name in ("config.json", "data_config.json"):
            return  # the reader of config.json reports it; data_config.json is a list
        raise model.refuse(f"has a damaged {where} (it is not a JSON object): fetch or save it again.")
    _check_shape(model, where, config)
    if _SETTINGS.fullmatch(path.name):
        _check_transformer_settings(model, where, config)
    left: list[tuple[str, Any]] = list(config.items())
    while left:  # a stack, because a config may be nested deeper than Python can recurse
        key, value = left.pop()
        if key in _FREE:
            continue
        _check_field(model, where, key, value)
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(key, item) for item in value if isinstance(item, dict | list)]


def _check_field(model: _Model, where: str, key: str, value: Any) -> None:
    """Raise if a field names something that a library would run, load or fetch."""
    # Only "weights_only: true" is harmless; any other value may allow pickles.
    if key == "weights_only" and value is not True:
        raise model.refuse(f"asks for pickled weights ({where}: weights_only): save it again as safetensors.")
    shown = f"{where}: {key} {value!r:.60}"
    if key in _NUMBERS and value is not None and not (is_int(value) and 0 <= value <= _NUMBERS[key]):
        raise model.refuse(f"is damaged ({shown}, not a whole number up to {_NUMBERS[key]:,}): fetch or save it again.")
    if value is None or value is False or value in ("", [], {}):
        return
    if key in _OWN_CODE:
        if not model.trust:
            raise model.code(f"{where}: {key}")
        if key == "auto_map" and not all(_is_own(model, named) for named in _leaves(value)):
            raise model.refuse(f"names code that its own Python files do not define ({shown}): use another model.")
    elif key in _ELSEWHERE:
        raise model.refuse(f"asks for more than its own files ({shown}): save the whole model without that field.")
    elif key.endswith(("_file", "_files", "file_name")) and any(_leads_out(model, name) for name in _leaves(value)):
        raise model.refuse(f"points outside its own folder ({shown}): put the file into the folder.")
    for concerns, allows, kind in _NAMES:
        named = (name for name in _leaves(value) if not isinstance(name, int | float))
        if concerns(key) and not all(isinstance(name, str) and allows(name) for name in named):
            raise model.refuse(f"names {kind} that is not allowed ({shown}): use another model.")


def _is_activation(name: str) -> bool:
    found = _ACTIVATION.fullmatch(name)
    return _PLAIN.fullmatch(name) is not None or (found is not None and found[1] in _ACTIVATIONS)


# Keys that name something by a string; the strings that are allowed; and what they name, for the error.
_NAMES: tuple[tuple[Callable[[str], bool], Callable[[str], bool], str], ...] = (
    (lambda key: "activation" in key or key.endswith("_act") or key == "act_fn", _is_activation, "a function"),
    (
        lambda key: "attn_implementation" in key or "experts_implementation" in key,
        _ATTENTION.__contains__,
        "a kernel",
    ),
    (lambda key: key.endswith("dtype"), lambda name: name.removeprefix("torch.") in _DTYPES, "a type of number"),
    (lambda key: key == "tokenizer_class", lambda name: _TOKENIZER.fullmatch(name) is not None, "a tokenizer"),
    (lambda key: key in _OTHER_READERS, lambda name: False, "a processor of images, audio or video"),
)


def _check_transformer_settings(model: _Model, where: str, settings: dict[str, Any]) -> None:
    """Check the saved settings that sentence-transformers passes on to its class, to transformers and to methods."""
    unknown = [] if model.trust else sorted(settings.keys() - _TRANSFORMER_SETTINGS)
    for name in _SAVED_OPTIONS:
        options = settings.get(name) or {}
        if not isinstance(options, dict):
            raise model.refuse(f"is damaged ({where}: {name} is not a JSON object): fetch or save it again.")
        unknown += [] if model.trust else sorted(f"{name}.{key}" for key in options.keys() - _OPTIONS)
    if unknown:
        raise model.refuse(f"has settings that are not known ({where}: {', '.join(unknown[:3])}): leave them out.")
    reading = settings.get("modality_config") or {}
    parts = reading.values() if isinstance(reading, dict) else [None]
    if any(not isinstance(part, dict) or part.get("method") != "forward" for part in parts):
        raise model.refuse(f"reads texts by another method than forward ({where}: modality_config): use another model.")


def _check_shape(model: _Model, where: str, config: dict[str, Any]) -> None:
    """Check the types of values that are used as they were saved, long after loading."""
    prompts, words = config.get("prompts") or {}, config.get("skiplist_words") or []
    names = ("query_token_id", "doc_token_id", "query_prefix", "document_prefix", "default_prompt_name")
    right = {
        "prompts": isinstance(prompts, dict) and all(isinstance(prompt, str | None) for prompt in prompts.values()),
        "model_max_length": isinstance(config.get("model_max_length", 0), int | float),
        "skiplist_words": isinstance(words, list) and all(isinstance(word, str) for word in words),
        **{name: isinstance(config.get(name), str | None) for name in names},
    }
    for name, is_right in right.items():
        if not is_right:
            raise model.refuse(f"is damaged ({where}: {name} has the wrong type): fetch or save it again.")


def _leads_out(model: _Model, name: object) -> bool:
    """Return whether a named file is outside the folder. Old configs name their author's cache, which is not here."""
    if not isinstance(name, str):
        return False
    path = expanded(name)
    if path.is_absolute():
        return path.exists()
    return ".." in path.parts or "\\" in name


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the values in lists and objects at any depth, except None."""
    left = [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            left += found.values()
        elif isinstance(found, list):
            left += found
        elif found is not None:
            yield found
