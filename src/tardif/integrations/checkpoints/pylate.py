"""PyLate's format (1.6.0): a folder of sentence-transformers with a Dense module and the recipe at its top level.

modules.json, 1_Dense/...             encoder and projections
config_sentence_transformers.json     prefixes, lengths, expansion, skipped words; Tardif's exact rules under ``tardif``

PyLate inserts a prefix token behind the start, fills queries up to ``query_length`` or not at all, and normalises.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tardif.encoder.exchange_rules import KEY, SETTINGS
from tardif.folders import write_json
from tardif.integrations.checkpoints.parts import Parts, save_encoder

NAME = "pylate"
_IDENTITY = "torch.nn.modules.linear.Identity"
# The versions that PyLate 1.6.0 pins, which its own saves name.
_VERSIONS = {"sentence_transformers": "5.3.0"}


def write(parts: Parts, folder: Path) -> list[str]:
    """Write a model.

    Returns:
        What PyLate will do differently from Tardif.

    Raises:
        ModelError: the format has no place for the model.
    """
    settings, notes = _settings(parts)
    save_encoder(parts, folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, (config, weights) in enumerate(_projections(parts), start=1):
        place = folder / f"{number}_Dense"
        place.mkdir()
        write_json(place / "config.json", config)
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
        module = {"idx": number, "name": str(number), "path": place.name, "type": "pylate.models.Dense.Dense"}
        modules.append(module)
    write_json(folder / "modules.json", modules)
    most = parts.length("document")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": most - 1, "do_lower_case": False})
    write_json(folder / SETTINGS, settings)
    return notes


def _projections(parts: Parts) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Return config and weights of each layer; the identity if there is none, or PyLate would add a random one."""
    width = int(parts.encoder.config.hidden_size)
    if not parts.projections:
        return [(_dense(width, width), {"linear.weight": torch.eye(width)})]
    found = []
    for layer in parts.projections:
        described: Any = layer  # the library's method has no annotation
        config = described.get_config_dict()
        plain = _dense(layer.in_features, layer.out_features)
        plain |= {name: config[name] for name in ("bias", "activation_function", "use_residual") if name in config}
        weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in layer.state_dict().items()}
        found.append((plain, weights))
    return found


def _dense(width_in: int, width_out: int) -> dict[str, Any]:
    return {
        "in_features": width_in,
        "out_features": width_out,
        "bias": False,
        "activation_function": _IDENTITY,
        "use_residual": False,
    }


def _settings(parts: Parts) -> tuple[dict[str, Any], list[str]]:
    rules, notes = parts.rules, []
    expansion, most = rules.expansion, parts.length("query")
    length = most if expansion is None else int(expansion["length"])
    if expansion is not None:
        token, usual = expansion.get("token"), parts.tokenizer.mask_token or parts.tokenizer.eos_token
        if token not in (None, usual):
            parts.refuse(NAME, f"it fills queries up with {token!r}, and PyLate uses {usual!r}")
        if most > length:
            notes.append(
                f"PyLate cuts queries at {length} tokens (query_length); this model fills them up to {length} tokens, "
                f"and reads {most}."
            )
    known = parts.tokenizer.get_vocab()
    # PyLate reads a word outside the vocabulary as the unknown token, and would skip that.
    skipped = [word for word in rules.skipped if word in known] if "document" in rules.skipped_in else []
    if "query" in rules.skipped_in and rules.skipped:
        notes.append("PyLate scores every token of a query; this model skips some.")
    settings = {
        "__version__": _VERSIONS,
        "prompts": {},
        "default_prompt_name": None,
        "model_type": "ColBERT",
        "similarity_fn_name": "MaxSim",
        "query_prefix": parts.markers["query"] or "",
        "document_prefix": parts.markers["document"] or "",
        "query_length": length,
        "document_length": parts.length("document"),
        "attend_to_expansion_tokens": bool(expansion and expansion["attend"]),
        "do_query_expansion": expansion is not None,
        "skiplist_words": skipped,
        KEY: rules.as_json(),
    }
    return settings, notes
