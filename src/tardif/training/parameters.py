"""The weights that are trained: frozen ones, learning rates by layer, and low-rank adapters."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tardif.encoder.encoding import SUB_BATCH_TOKENS, Block, encode, to_device
from tardif.encoder.model import transformer_of
from tardif.encoder.tokens import tokens_for
from tardif.errors import SettingError, first_line
from tardif.extras import need
from tardif.training.preflight import check_layers
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


@dataclass(frozen=True)
class WeightNames:
    """The names of a model's weights, by part.

    Attributes:
        embeddings: of tokens and positions, and what is between them and the lowest layer.
        layers: of each layer, the lowest first.
        top: of the encoder above its layers: a last norm, a pooler.
        projection: after the encoder.
    """

    embeddings: Sequence[str]
    layers: Sequence[Sequence[str]]
    top: Sequence[str]
    projection: Sequence[str]

    @property
    def encoder(self) -> list[str]:
        """All but the projection."""
        return [*self.embeddings, *(name for layer in self.layers for name in layer), *self.top]


def weight_names(model: MultiVectorEncoder) -> WeightNames:
    """Sort the weights of a BERT-like model by part.

    Raises:
        SettingError: the encoder keeps no list of layers.
    """
    prefix, layers = _layers(model)
    names = [name for name, _ in model.named_parameters()]
    in_layers = [[name for name in names if name.startswith(f"{prefix}.{number}.")] for number in range(len(layers))]
    # By identity: the names of the encoder's weights differ by the modules around it.
    inside = {id(weight) for weight in transformer_of(model).parameters()}
    encoder = [name for name, weight in model.named_parameters() if id(weight) in inside]
    rest = [name for name in encoder if not name.startswith(f"{prefix}.")]
    embeddings = [name for name in rest if "embed" in name]
    return WeightNames(
        embeddings=embeddings,
        layers=in_layers,
        top=[name for name in rest if name not in set(embeddings)],
        projection=[name for name in names if name not in set(encoder)],
    )


def _layers(model: MultiVectorEncoder) -> tuple[str, nn.ModuleList]:
    """Find the encoder's list of layers, and its name in ``model``."""
    encoder: Any = transformer_of(model).model
    count = getattr(encoder.config, "num_hidden_layers", 0)
    for name, module in model.named_modules():
        # The name of this list differs by family (layer, layers, block), so it is found by its length.
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise SettingError(
        f"The layers of a {encoder.config.model_type} model were not found, and freeze, layer_lr_decay and lora need "
        "them: leave these out."
    )


def set_up(model: MultiVectorEncoder, settings: TrainingSettings) -> None:
    """Freeze weights, add adapters and checkpoint activations as set; call it before the optimizer is made.

    Raises:
        SettingError: the model has no such part, its vectors would depend on no trained weight, or peft is missing.
    """
    if settings.freeze is not None:
        frozen = _frozen(weight_names(model), settings.freeze)
        for name, weight in model.named_parameters():
            if name in frozen:
                weight.requires_grad_(False)
    if settings.lora is not None:
        _add_adapters(model, {"r": settings.lora} if isinstance(settings.lora, int) else dict(settings.lora))
    if settings.freeze is not None or settings.lora is not None:
        _check_trained(model, settings)
    if settings.gradient_checkpointing:
        encoder: Any = transformer_of(model).model
        # transformers 5 renamed it and warns about the old name, which sentence-transformers still calls.
        enable = getattr(encoder, "activation_checkpointing_enable", None) or encoder.gradient_checkpointing_enable
        enable({"use_reentrant": False})  # the reentrant form needs inputs with gradients, which token ids are not


def _frozen(parts: WeightNames, freeze: str | int) -> set[str]:
    if freeze == "encoder":
        if not parts.projection:
            raise SettingError("freeze=encoder leaves nothing to train: this model has no projection.")
        return set(parts.encoder)
    layers = 0 if isinstance(freeze, str) else freeze
    check_layers(layers, len(parts.layers), projects=bool(parts.projection))
    return {*parts.embeddings, *(name for layer in parts.layers[:layers] for name in layer)}


def _check_trained(model: MultiVectorEncoder, settings: TrainingSettings) -> None:
    """Raise if the vectors depend on no weight that is trained. A pooler, say, is above the layers and is not read."""
    training = model.training
    model.eval()  # dropout would draw random numbers, and change those of the run
    try:
        blocks, _ = tokens_for(model, SUB_BATCH_TOKENS[model.device.type]).blocks(["a"], "query")
        with torch.enable_grad():
            vectors = encode(model, Block(to_device(blocks[0], model.device), "query")).vectors
    finally:
        model.train(training)
    if not vectors.requires_grad:
        what = f"lora={settings.lora}" if settings.freeze is None else f"freeze={settings.freeze}"
        raise SettingError(
            f"{what} leaves nothing to train: no trained weight acts on the vectors of texts. Name other weights, or "
            "leave it out."
        )


def learning_rates(model: MultiVectorEncoder, settings: TrainingSettings) -> dict[str, float]:
    """Return the learning rates that are not ``lr``: pattern of weights' names -> rate.

    That is the form of sentence-transformers' ``learning_rate_mapping``. With ``layer_lr_decay`` the highest layer,
    what is above it and the projection learn at ``lr``. Each layer below learns at that fraction of the rate of the one
    above it; the embeddings are below the lowest (ULMFiT, Howard and Ruder, ACL 2018, for transformers as in ELECTRA).

    Raises:
        SettingError: the model has no projection for ``projection_lr``, or no weight matches a pattern of
            ``learning_rate_mapping``.
    """
    rates: dict[str, float] = dict(settings.other.get("learning_rate_mapping", {}))
    weights = [f"model.{name}" for name, _ in model.named_parameters()]  # as the trainer names them
    for pattern in rates:
        if not any(_matches(pattern, name) for name in weights):
            raise SettingError(
                f"learning_rate_mapping: no weight of this model is called {pattern!r}: its first is {weights[0]}, its "
                f"last {weights[-1]}."
            )
    if settings.layer_lr_decay is None and settings.projection_lr is None:
        return rates
    parts = weight_names(model)
    if settings.layer_lr_decay is not None:
        rate = settings.lr  # of the highest layer
        # From the highest layer down, the embeddings last: each is one factor slower than the one above it.
        for names in reversed([parts.embeddings, *parts.layers]):
            rates[_pattern(names)] = rate
            rate *= settings.layer_lr_decay
    if settings.projection_lr is not None:
        if not parts.projection:
            raise SettingError(f"projection_lr={settings.projection_lr}: this model has no projection.")
        rates[_pattern(parts.projection)] = settings.projection_lr
    return rates


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error as error:
        raise SettingError(f"learning_rate_mapping: {pattern!r} is no regular expression ({error}).") from None


def _pattern(names: Sequence[str]) -> str:
    # The trainer's names begin with the modules around the model: match at any dot.
    return rf"(^|\.)({'|'.join(re.escape(name) for name in names)})$"


def _add_adapters(model: MultiVectorEncoder, options: dict[str, Any]) -> None:
    """Add low-rank adapters to every linear map of the layers; the rest of the encoder is frozen."""
    need("lora", "lora")
    import peft

    encoder: Any = transformer_of(model).model
    _, layers = _layers(model)
    inside = {id(module) for module in layers.modules()}
    linear = [
        name for name, module in encoder.named_modules() if isinstance(module, nn.Linear) and id(module) in inside
    ]
    # alpha = 2 r scales an adapter's product by 2 at any rank, so that the learning rate need not change with it.
    defaults = {"lora_alpha": 2 * options.get("r", 8), "target_modules": linear}
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(**{**defaults, **options}), encoder)
    except (TypeError, ValueError) as error:
        raise SettingError(f"lora={options}: {first_line(error)}") from error
    adapted = [name for name, module in encoder.named_modules() if hasattr(module, "lora_A")]
    if others := sorted(set(adapted) - set(linear)):
        raise SettingError(
            f"lora: target_modules={options['target_modules']!r} names {others[0]}, which is no linear map of a layer: "
            f"name some of them, such as {linear[0]}, or leave target_modules out for all."
        )


def without_adapters(model: MultiVectorEncoder) -> MultiVectorEncoder:
    """Return a copy of the model with its adapters merged into the weights, which opens without peft; or the model
    itself, if it has none.

    A copy: subtracting the adapters from the weights again would leave rounding errors.
    """
    if not any(hasattr(module, "lora_A") for module in model.modules()):
        return model
    merged = copy.deepcopy(model)
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            adapted: Any = child
            if hasattr(child, "lora_A"):
                # safe_merge refuses a merge that gives weights which are not finite.
                adapted.merge(safe_merge=True)
                setattr(parent, name, adapted.get_base_layer())
    encoder: Any = transformer_of(merged).model
    if hasattr(encoder, "peft_config"):
        del encoder.peft_config
    return merged
