"""Packed batches: texts side by side in one row, without padding.

Only attention needs to know where a text ends; everything else in an encoder is computed per token. So an attention
function is registered with Transformers. If a batch has lengths, it attends within each text. Otherwise it is PyTorch's
``scaled_dot_product_attention``.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

ATTENTION = "tardif_packed"
# The key of a packed batch with the number of tokens of each text.
LENGTHS = "packed_lengths"
# Encoders that compute something else when packed.
_UNPACKED: WeakSet[nn.Module] = WeakSet()
_HALF = (torch.float16, torch.bfloat16)


def enable(model: MultiVectorEncoder) -> bool:
    """Let a model's encoder take packed batches. The saved model does not change.

    Returns:
        False if its family computes attention in its own way, if the user has chosen another attention, or if its
        config asks for what packing does not know, such as attention to earlier tokens alone (``is_decoder``).
    """
    transformer: Any = model[0]
    encoder = transformer.model
    takes = inspect.signature(encoder.forward).parameters
    compatible = getattr(encoder, "is_backend_compatible", lambda: False)()
    if not compatible or "position_ids" not in takes or encoder.config.is_encoder_decoder:
        return False
    given = encoder.config._attn_implementation
    if given not in ("sdpa", ATTENTION) or encoder in _UNPACKED:
        return False  # the user's choice, or found out before
    if given != ATTENTION:
        _register()
        # Once for an encoder: some 20 tokens.
        if not _computes_the_same(encoder, first_position(model)):
            _UNPACKED.add(encoder)
            return False
    if transformer.model_forward_params is not None:
        transformer.model_forward_params |= {LENGTHS}
    return True


@torch.no_grad()
def _computes_the_same(encoder: Any, first: int) -> bool:
    """Let an encoder compute attention packed, unless its vectors of two short texts then differ from those that
    anybody else gets from it."""
    if any(getattr(module, "is_causal", False) for module in encoder.modules()):
        return False  # in any precision
    embeddings = encoder.get_input_embeddings()
    padding = getattr(embeddings, "padding_idx", None)
    known = [number for number in range(min(embeddings.weight.shape[0], 16)) if number != padding]
    device, modes = embeddings.weight.device, [(module, module.training) for module in encoder.modules()]
    texts = [torch.tensor((known * length)[:length]) for length in (9, 4)]
    features = {name: _to(value, device) for name, value in pack(texts, first).items() if name != "modality"}
    encoder.eval()  # without dropout
    try:
        with torch.autocast(device.type, enabled=False):
            alone = [encoder(**_to(_unpacked(ids), device))[0][0] for ids in texts]  # [tokens, width] each
            encoder.set_attn_implementation(ATTENTION)
            packed = encoder(**features)[0][0]  # [tokens of both, width]
    finally:
        for module, mode in modes:
            module.training = mode
    expected = torch.cat(alone).float()  # [tokens of both, width]
    # A GPU may round products to 10 bits, and 16-bit numbers have 8 or 11.
    close = 1e-4 if device.type == "cpu" and packed.dtype not in _HALF else 0.05
    differs = bool((packed.float() - expected).norm() > close * expected.norm())
    if differs:
        encoder.set_attn_implementation("sdpa")
    return not differs


def _unpacked(ids: Tensor) -> dict[str, Tensor]:
    return {"input_ids": ids.unsqueeze(0), "attention_mask": torch.ones_like(ids).unsqueeze(0)}


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: _to(item, device) for name, item in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value


def first_position(model: MultiVectorEncoder) -> int:
    """Return the position of a text's first token. RoBERTa's family counts from after the padding id."""
    transformer: Any = model[0]
    for module in transformer.model.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), nn.Embedding):
            return padding + 1
    return 0


def pack(texts: Sequence[Tensor], first: int = 0) -> dict[str, Any]:
    """Return the features of one packed batch.

    Args:
        texts: the token ids of each text, ``[tokens]``.
        first: the position of a text's first token (:func:`first_position`).

    >>> features = pack([torch.tensor([1, 5, 2]), torch.tensor([1, 2])])
    >>> features["input_ids"], features["position_ids"], features[LENGTHS]
    (tensor([[1, 5, 2, 1, 2]]), tensor([[0, 1, 2, 0, 1]]), [3, 2])
    """
    lengths = [len(ids) for ids in texts]
    input_ids = torch.cat(list(texts)).long().unsqueeze(0)  # [1, tokens of all texts]
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        # Each text counts its positions from the beginning, wherever it is in the row.
        "position_ids": torch.cat([torch.arange(first, first + length) for length in lengths]).unsqueeze(0),
        LENGTHS: lengths,
        "modality": "text",
    }


def lengths_of(mask: Tensor, lengths: Sequence[int]) -> list[int]:
    """Return the number of tokens of each text that a mask ``[1, tokens of all texts]`` keeps."""
    kept = functional.pad(mask[0].cumsum(0), (1, 0))  # [tokens + 1]
    ends = torch.tensor([0, *itertools.accumulate(lengths)], device=mask.device)
    found: list[int] = kept[ends].diff().tolist()
    return found


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, _mask)


def _mask(attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Return no mask if no token is padding. :func:`_attention` itself keeps to windows and texts."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None or bool(attention_mask.all()):
        return None
    found: Tensor | None = sdpa_mask(attention_mask=attention_mask, **kwargs)
    return found


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention for Transformers: ``[n, heads, tokens, width] -> [n, tokens, heads, width]``."""
    lengths = kwargs.get(LENGTHS)
    if lengths is None:
        if attention_mask is None and sliding_window is not None:
            attention_mask = _band(query.shape[2], sliding_window, query.device)
        out = functional.scaled_dot_product_attention(query, key, value, attention_mask, dropout, scale=scaling)
        return out.transpose(1, 2).contiguous(), None
    # [1, heads, tokens, width] -> [tokens, heads, width]
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    # FlashAttention takes no dropout in this form, and no float32.
    if q.is_cuda and q.dtype in _HALF and not dropout:
        return _on_cuda(q, k, v, lengths, scaling, sliding_window).unsqueeze(0), None
    runs = [(length, len(list(group))) for length, group in itertools.groupby(lengths)]
    sizes = [length * count for length, count in runs]
    pieces = (torch.split(states, sizes) for states in (q, k, v))
    found = []
    for (length, count), parts in zip(runs, zip(*pieces, strict=True), strict=True):
        # Neighbours of equal length form a batch: [n * tokens, heads, width] -> [n, heads, tokens, width].
        one, other, third = (part.unflatten(0, (count, length)).transpose(1, 2) for part in parts)
        band = None if sliding_window is None or length <= sliding_window else _band(length, sliding_window, q.device)
        # On a CPU, PyTorch's fused backward pass converts 16 bits to float32 and back. Plain products do not.
        products = q.dtype in _HALF and q.device.type == "cpu" and module.training and band is None and not dropout
        if products:
            out = _by_products(one, other, third, scaling)
        else:
            out = functional.scaled_dot_product_attention(one, other, third, band, dropout, scale=scaling)
        found.append(out.transpose(1, 2).flatten(0, 1))  # [n * tokens, heads, width]
    return torch.cat(found).unsqueeze(0), None


def _by_products(q: Tensor, k: Tensor, v: Tensor, scaling: float | None) -> Tensor:
    """Compute attention as two matrix products around a softmax: ``[n, heads, tokens, width]`` in and out."""
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    weights = torch.softmax(torch.matmul(q * scale, k.transpose(-1, -2)), dim=-1)  # [n, heads, tokens, tokens]
    return torch.matmul(weights, v)


def _on_cuda(
    q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int], scaling: float | None, window: int | None
) -> Tensor:
    """Compute attention of packed texts by FlashAttention: ``[tokens, heads, width]`` in and out."""
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=q.device)
    # FlashAttention takes the number of neighbours on either side; -1 is all.
    reach = (-1, -1) if window is None else (window - 1, window - 1)
    longest = max(lengths)
    out: Any = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, window_size=reach)
    return out  # type: ignore[no-any-return]


def _band(tokens: int, window: int, device: torch.device) -> Tensor:
    """Return the mask of a sliding window, ``[tokens, tokens]``: true for tokens less than ``window`` apart."""
    place = torch.arange(tokens, device=device)
    return (place.unsqueeze(0) - place.unsqueeze(1)).abs() < window
