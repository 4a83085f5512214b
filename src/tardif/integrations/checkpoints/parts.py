"""A model taken apart for a format with less room: encoder, projections, markers, and the rules for reading texts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from tardif.encoder.exchange_rules import ReadingRules, mask_of, rules_of
from tardif.encoder.loading import quiet_libraries
from tardif.encoder.markers import keeps, name_of
from tardif.errors import ModelError
from tardif.folders import read_json, write_json

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense

TASKS = ("query", "document")
# A text behind a prompt.
_PROBE = "late interaction"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a late-interaction model.

    Attributes:
        what: the model in an error.
        encoder: the transformer.
        tokenizer: its tokenizer.
        projections: the layers behind it, in order.
        rules: how texts become ids, and which ids have vectors.
        markers: by task, the token that follows the start of every text, or None.
        max_tokens: the positions that the model uses at most.
    """

    what: str
    encoder: Any
    tokenizer: Any
    projections: Sequence[Dense]
    rules: ReadingRules
    markers: dict[str, str | None]
    max_tokens: int

    def length(self, task: str) -> int:
        """Return the most tokens of a text."""
        expansion = self.rules.expansion if task == "query" else None
        own = self.rules.query_length if task == "query" else self.rules.document_length
        if expansion is not None and expansion["strategy"] == "fixed":
            return int(expansion["length"])
        floor = 0 if expansion is None else int(expansion["length"])
        return max(own or self.max_tokens, floor)

    def refuse(self, form: str, why: str) -> NoReturn:
        """Raise a ModelError."""
        raise ModelError(f"{self.what} cannot be exported to the format {form}: {why}.")


def take_apart(model: MultiVectorEncoder, what: str, form: str) -> Parts:
    """Take a model apart.

    Args:
        model: the model.
        what: the model in an error, such as "The checkpoint NAME".
        form: the format in an error.

    Raises:
        ModelError: it has a part or a rule that the formats of other tools have no place for.
    """
    from sentence_transformers.base.modules import Dense, Normalize, Transformer

    transformer: Any = model[0]
    tokenizer, mask = transformer.tokenizer, mask_of(model)
    projections: list[Any] = [module for module in model if isinstance(module, Dense)]
    parts = Parts(
        what=what,
        encoder=transformer.model,
        tokenizer=tokenizer,
        projections=projections,
        rules=rules_of(model),
        markers=dict.fromkeys(TASKS),
        max_tokens=min(int(tokenizer.model_max_length), _positions(transformer.model.config)),
    )
    chain = [type(module) for module in model if module is not mask]
    if chain != [Transformer, *[Dense] * len(projections), Normalize]:
        parts.refuse(form, f"its modules are {', '.join(kind.__name__ for kind in chain)}")
    if any({layer.module_input_name, layer.module_output_name} != {"token_embeddings"} for layer in projections):
        parts.refuse(form, "its projection does not act on token vectors")
    if not getattr(tokenizer, "is_fast", False):
        parts.refuse(form, "its tokenizer is not a fast one of the tokenizers library")
    if any(transformer.processing_kwargs.values()) or getattr(tokenizer, "split_special_tokens", False):
        parts.refuse(form, "it has its own tokenizer options")
    if mask is not None and mask.keep_only_token_ids:
        parts.refuse(form, "it scores only some tokens of a document (keep_only_token_ids)")
    for task in TASKS:
        parts.markers[task] = _marker(parts, task, form)
    return parts


def _positions(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", None) or 512)


def _marker(parts: Parts, task: str, form: str) -> str | None:
    """Return the one token that a task's prompt adds behind the start, or None without a prompt."""
    prompt = parts.rules.prompts.get(task) or ""
    if not prompt:
        return None
    # Checked by the tokens: other tools insert the marker themselves, and prepend no text.
    ids = parts.tokenizer(prompt + _PROBE)["input_ids"]
    marker = name_of(parts.tokenizer, ids[1])
    if not keeps(parts.tokenizer, prompt, marker):
        parts.refuse(form, f"its prompt {prompt!r} is not one token behind the start, and other tools insert just one")
    return marker


def merged_projection(parts: Parts, form: str) -> Tensor:
    """Return the projections as one matrix ``[dim, width]``: the identity if there is none.

    Raises:
        ModelError: they are not linear, or have a bias.
    """
    matrix = torch.eye(int(parts.encoder.config.hidden_size))  # [width, width]
    for layer in parts.projections:
        bias: Any = layer.linear.bias  # None without one, which the library's annotation leaves out
        if bias is not None or not isinstance(layer.activation_function, nn.Identity):
            parts.refuse(form, "its projection has a bias or an activation, and the format holds one matrix")
        weight = layer.linear.weight.detach().float().cpu()  # [out, in]
        if layer.use_residual:
            own = getattr(layer, "residual", None)
            weight = weight + (torch.eye(len(weight)) if own is None else own.weight.detach().float().cpu())
        # Layers apply from the first on: the last one's matrix is the leftmost factor.
        matrix = weight if len(parts.projections) == 1 else weight @ matrix
    return matrix.contiguous()


def save_encoder(parts: Parts, folder: Path, *, architectures: Sequence[str] | None = None) -> None:
    """Write config, tokenizer and, without ``architectures``, the weights of the encoder.

    Args:
        parts: the model.
        folder: the folder.
        architectures: the value of that name in the config, if another class than the encoder's reads it.
    """
    with quiet_libraries(), warnings.catch_warnings(action="ignore"):
        if architectures is None:
            parts.encoder.save_pretrained(str(folder))
        else:
            parts.encoder.config.save_pretrained(str(folder))
    _write_config(parts, folder / "config.json", architectures)
    _save_tokenizer(parts.tokenizer, folder)


def _write_config(parts: Parts, path: Path, architectures: Sequence[str] | None) -> None:
    config = read_json(path, what="a config")
    if architectures is not None:
        config["architectures"] = list(architectures)
    if "dtype" in config:  # the name until transformers 4.56
        config["torch_dtype"] = config["dtype"]
    # ModernBERT's rotations, by their names until transformers 5.
    rotations = config.get("rope_parameters") or {}
    for kind, name in (("full_attention", "global_rope_theta"), ("sliding_attention", "local_rope_theta")):
        if isinstance(rotations.get(kind), dict):
            config[name] = rotations[kind]["rope_theta"]
    write_json(path, config)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer so that transformers 4 and 5 read it as it is.

    Version 5 names classes and lists that version 4 does not know. The class ``PreTrainedTokenizerFast`` takes
    ``tokenizer.json`` as it is in both, and builds nothing from the family's vocabulary.
    """
    from tokenizers import Tokenizer

    with quiet_libraries():
        tokenizer.save_pretrained(str(folder))
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()  # the last call left its settings
    backend.no_truncation()
    backend.save(str(folder / "tokenizer.json"))
    roles = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    named = {role: str(getattr(tokenizer, role)) for role in roles if getattr(tokenizer, role) is not None}
    extra = [token for token in tokenizer.all_special_tokens if token not in named.values()]
    settings = {
        **named,
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": False,
        "model_input_names": list(tokenizer.model_input_names),
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "truncation_side": tokenizer.truncation_side,
    }
    write_json(folder / "tokenizer_config.json", settings)
    for name in ("special_tokens_map.json", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)
