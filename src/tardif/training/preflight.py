"""What can be known of a run before any data are read: whether base, device and machine can do what the settings ask.

Mining may take an hour; a setting that the base cannot serve must not wait for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from tardif.encoder.base import Base
from tardif.encoder.config_checks import read_config
from tardif.encoder.recipe import Recipe
from tardif.errors import SettingError
from tardif.training.settings import TrainingSettings

# What configs call the number of layers.
_LAYERS = ("num_hidden_layers", "n_layers", "num_layers")


def check_run(settings: TrainingSettings, base: Base, recipe: Recipe, device: str) -> None:
    """Raise if a base cannot be trained so on a device.

    Args:
        settings: how to train, checked.
        base: what is trained.
        recipe: what is made of it.
        device: its kind: ``cpu``, ``mps`` or ``cuda``.

    Raises:
        SettingError: says what is missing, and the way out.
    """
    if settings.precision == "fp16" and device != "cuda":
        raise SettingError(f"precision=fp16 needs a CUDA GPU, and training is on {device}: use bf16 or fp32.")
    settings.check_width(recipe.width(base))
    layers = layers_of(base)
    if isinstance(settings.freeze, int) and layers is not None and settings.freeze > layers:
        raise SettingError(f"freeze={settings.freeze}: the base has {layers} layers.")
    if not (base.is_colbert or recipe.projects(base)):
        if settings.freeze == "encoder":
            raise SettingError(
                "freeze=encoder leaves nothing to train: this model has no projection. Freeze a number of layers, or "
                "give it one (--dim 128, in Python dim=128)."
            )
        if settings.projection_lr is not None:
            raise SettingError(
                f"projection_lr={settings.projection_lr}: this model has no projection. Leave it out, or give it one "
                "(--dim 128, in Python dim=128)."
            )
    if settings.lora is not None:
        _check_adapters(settings.lora)


def layers_of(base: Base) -> int | None:
    """How many layers an encoder has, by its config; None where that does not say."""
    config = read_config(base.transformer / "config.json") or {}
    return next((config[name] for name in _LAYERS if isinstance(config.get(name), int)), None)


def _check_adapters(lora: object) -> None:
    if importlib.util.find_spec("peft") is None:
        raise SettingError("lora needs peft: pip install 'tardif[lora]'.")
    if not isinstance(lora, Mapping):
        return
    import inspect

    import peft

    known = list(inspect.signature(peft.LoraConfig).parameters)
    for name in lora:
        if name not in known:
            raise SettingError(f"lora: peft's LoraConfig has no {name!r}: leave it out, or check its name.")
