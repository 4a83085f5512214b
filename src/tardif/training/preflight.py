"""Checks before any data are read: whether base, device and machine support the settings of a run.

Mining may take an hour, and a setting that the base does not support must fail before it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from tardif.encoder.base import Base
from tardif.encoder.config_checks import read_config
from tardif.encoder.recipe import Recipe
from tardif.errors import SettingError
from tardif.training.settings import TrainingSettings

# The names of the number of layers in models' configs.
# Most models', that of DistilBERT and XLM, and T5's.
_LAYERS = ("num_hidden_layers", "n_layers", "num_layers")


def check_run(settings: TrainingSettings, base: Base, recipe: Recipe, device: str) -> None:
    """Raise if a base cannot be trained with these settings on a device.

    Args:
        settings: checked already.
        base, recipe: what is trained.
        device: ``cpu``, ``mps`` or ``cuda``.

    Raises:
        SettingError: base, device or machine lack what a setting needs.
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
    """Return the number of layers in an encoder's config, or None."""
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
