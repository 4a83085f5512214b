"""The format of Stanford's ColBERT (colbert-ai 0.2.22), which RAGatouille reads too.

config.json         of the encoder, with the architecture HF_ColBERT
model.safetensors   the encoder's weights under its class's prefix, and ``linear.weight``
artifact.metadata   markers, lengths and the like, with Tardif's exact rules under ``tardif``

colbert-ai inserts a marker behind the start of every text, fills every query up to ``query_maxlen`` with mask tokens,
scores all of these, and skips the first token of every punctuation symbol in documents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tardif.encoder.exchange_rules import KEY, METADATA, first_tokens
from tardif.folders import write_json
from tardif.integrations.checkpoints.parts import Parts, merged_projection, save_encoder

NAME = "stanford"
# The length that queries are filled up to if the model does not fill them: ColBERT's own.
_USUAL_LENGTH = 32
# Tokens that a note names.
_SHOWN = 4


def write(parts: Parts, folder: Path) -> list[str]:
    """Write a model.

    Returns:
        What colbert-ai will do differently from Tardif.

    Raises:
        ModelError: the format has no place for the model.
    """
    if not all(parts.markers.values()):
        parts.refuse(
            NAME, "it has no markers, and colbert-ai always inserts one. Train with markers (--set markers=true)"
        )
    if parts.tokenizer.mask_token_id is None or parts.tokenizer.pad_token_id is None:
        parts.refuse(NAME, "its tokenizer has no mask or padding token, and colbert-ai fills queries up with it")
    matrix = merged_projection(parts, NAME)  # [dim, width]
    save_encoder(parts, folder, architectures=["HF_ColBERT"])
    # The names of its weights begin with the base class's prefix (bert., roberta.), as in colbert-ai's HF_ColBERT.
    prefix = parts.encoder.base_model_prefix
    weights = {f"{prefix}.{name}": tensor for name, tensor in parts.encoder.state_dict().items()}
    # Cloned: safetensors refuses tensors that share memory, such as tied embeddings.
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    dtype = next(parts.encoder.parameters()).dtype
    weights["linear.weight"] = matrix.to(dtype) if dtype != torch.float64 else matrix.double()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    metadata, notes = _metadata(parts, len(matrix))
    write_json(folder / METADATA, metadata)
    return notes


def _metadata(parts: Parts, dim: int) -> tuple[dict[str, Any], list[str]]:
    length, attends, notes = _queries(parts)
    metadata = {
        "query_token_id": parts.markers["query"],
        "doc_token_id": parts.markers["document"],
        "query_token": str(parts.markers["query"]).strip(),
        "doc_token": str(parts.markers["document"]).strip(),
        "dim": dim,
        "query_maxlen": length,
        "doc_maxlen": parts.length("document"),
        # Without it colbert-ai 0.2.22 fails on the first document: it reads a list that it made only with it.
        "mask_punctuation": True,
        "attend_to_mask_tokens": attends,
        "interaction": "colbert",
        "similarity": "cosine",
        KEY: parts.rules.as_json(),
    }
    return metadata, [*notes, *_skipping(parts)]


def _queries(parts: Parts) -> tuple[int, bool, list[str]]:
    """Return the length of all queries, whether they attend to mask tokens, and what differs."""
    expansion, most = parts.rules.expansion, parts.length("query")
    if expansion is None:
        length = min(_USUAL_LENGTH, most)
        return (
            length,
            False,
            [
                f"colbert-ai fills every query up to {length} tokens with mask tokens and cuts longer ones "
                f"(query_maxlen); this model does not expand queries and reads {most} tokens."
            ],
        )
    token = expansion.get("token")
    if token is not None and token != parts.tokenizer.mask_token:
        parts.refuse(NAME, f"it fills queries up with {token!r}, and colbert-ai uses the mask token")
    length = int(expansion["length"])
    notes = []
    if most > length:
        notes.append(
            f"colbert-ai cuts queries at {length} tokens (query_maxlen); this model fills them up to {length} tokens, "
            f"and reads {most}."
        )
    return length, bool(expansion["attend"]), notes


def _skipping(parts: Parts) -> list[str]:
    """Say what differs in the tokens that are not scored."""
    rules, notes = parts.rules, []
    if "query" in rules.skipped_in and rules.skipped:
        notes.append("colbert-ai scores every token of a query; this model skips some.")
    known = parts.tokenizer.get_vocab()
    own = {token for token in rules.skipped if token in known} if "document" in rules.skipped_in else set()
    theirs = set(first_tokens(parts.tokenizer))
    skips, scores = sorted(theirs - own), sorted(own - theirs)
    if skips or scores:
        more = [f"skips {_named(skips)}"] if skips else []
        more += [f"scores {_named(scores)}"] if scores else []
        notes.append(
            f"In documents, colbert-ai also {' and '.join(more)}, unlike this model: it skips the first token of each "
            "punctuation symbol, and no other."
        )
    return notes


def _named(tokens: list[str]) -> str:
    more = f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else ""
    return f"the tokens {', '.join(repr(token) for token in tokens[:_SHOWN])}{more}"
