"""Checks before a training: that base, device and machine support its settings, and that its examples have negatives.

Mining may take an hour, and a setting that the base does not support must fail before it. An example without any
negative has a loss of 0 in every step and teaches nothing.
"""

from __future__ import annotations

from tardif.data.training_set import TrainingSet
from tardif.encoder.base import Base
from tardif.encoder.config_checks import read_config
from tardif.encoder.recipe import Recipe
from tardif.errors import DataError, SettingError
from tardif.extras import need
from tardif.text.normal import normalise
from tardif.training.settings import AUTO_GUARD, PYTHON_GUARD, TAUGHT, TrainingSettings
from tardif.types import Example

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
    projects = base.is_colbert or recipe.projects(base)
    if isinstance(settings.freeze, int) and layers is not None:
        check_layers(settings.freeze, layers, projects=projects)
    if not projects:
        if settings.freeze == "encoder":
            raise SettingError(
                "freeze=encoder leaves nothing to train: this model has no projection. Freeze a number of layers, or "
                "give it one (a --dim, in Python dim=, that is not its own width)."
            )
        if settings.projection_lr is not None:
            raise SettingError(
                f"projection_lr={settings.projection_lr}: this model has no projection. Leave it out, or give it one "
                "(a --dim, in Python dim=, that is not its own width)."
            )
    _check_guards(settings)
    if settings.lora is not None:
        need("lora", "lora")


def check_layers(frozen: int, layers: int, *, projects: bool) -> None:
    """Raise if so many of the lowest layers cannot be frozen.

    Args:
        frozen: their number.
        layers: of the encoder.
        projects: the model has a projection, which is trained beside the layers.

    Raises:
        SettingError: there are fewer, or nothing would be left to train.
    """
    if frozen > layers:
        raise SettingError(f"freeze={frozen}: the base has {layers} layers.")
    if frozen == layers and not projects:
        raise SettingError(
            f"freeze={frozen} leaves nothing to train: the base has {layers} layers, and this model has no projection. "
            "Freeze fewer layers, or give it one (a --dim, in Python dim=, that is not its own width)."
        )


def layers_of(base: Base) -> int | None:
    """Return the number of layers in an encoder's config, or None."""
    config = read_config(base.transformer / "config.json") or {}
    return next((config[name] for name in _LAYERS if isinstance(config.get(name), int)), None)


def _check_guards(settings: TrainingSettings) -> None:
    paths = [asked for asked in settings.guards if asked not in (AUTO_GUARD, PYTHON_GUARD)]
    if not paths:
        return
    from tardif.data.formats.irds import irds_id
    from tardif.data.regular import user_path

    for path in paths:
        if irds_id(path) is None and not user_path(path).exists():
            raise SettingError(
                f"guard={path}: there is no such file or folder. Give the path of a judged set, python or none."
            )


def check_negatives(data: TrainingSet, settings: TrainingSettings) -> str:
    """Return a warning about examples without negatives; empty if every example has some.

    Raises:
        DataError: no example has a negative, whatever the settings.
        SettingError: no example has a negative, because of the settings.
    """
    count, stuck = len(data.examples), without_negatives(data, settings)
    if stuck < count:
        share = f"{stuck} of {count} examples teach nothing"
        return f"{share}: no step can have a negative for them." if stuck else ""
    # With default settings some would have negatives: the settings are to blame, not the data.
    if without_negatives(data, TrainingSettings(loss=settings.loss)) < count:
        raise SettingError(
            f"Nothing can be learnt: with batch_size={settings.batch_size}, "
            f"negatives_per_example={settings.negatives_per_example} and "
            f"other_negatives={settings.other_negatives} no example has any negative. Raise batch_size (--batch-size) "
            "or negatives_per_example."
        )
    asked = len({example.query_id for example in data.examples})
    raise DataError(
        f"Nothing can be learnt from {count} examples of {asked} queries: no query has a document that does not "
        "answer it, so the loss of every step would be 0. Give documents that answer something else (--documents, in "
        "Python documents=), from which negatives are mined, or questions with other answers."
    )


def without_negatives(data: TrainingSet, settings: TrainingSettings) -> int:
    """Count the examples without a negative in any batch: neither hard ones of their own nor others' documents."""
    contrastive = "contrastive" in settings.terms
    others = _others(data, settings) if contrastive and settings.batch_size > 1 else set()
    if others is None:
        return 0
    own = settings.negatives_per_example > 0
    taught = any(name in TAUGHT for name in settings.terms)

    def learns(example: Example) -> bool:
        # A teacher's loss compares scores, so it needs a positive and a negative with one each.
        if own and taught and example.scores and example.negative_ids:
            return True
        if not contrastive:
            return False
        known = _known(data, example, masked=settings.mask_known_positives)
        hard = {_text(data, identity) for identity in example.negative_ids} if own else set()
        return not (hard | others) <= known

    return sum(not learns(example) for example in data.examples)


def _others(data: TrainingSet, settings: TrainingSettings) -> set[str] | None:
    """The texts that examples bring into each other's batches; None if they are more than answer any query.

    It stops as soon as that is certain: after the first few examples of a usual set.
    """
    most = max((len(judged) for judged in data.qrels.values()), default=0)
    found: set[str] = set()
    for example in data.examples:
        found.add(_text(data, example.positive_id))
        if settings.other_negatives and settings.negatives_per_example:
            found.update(_text(data, identity) for identity in example.negative_ids)
        if len(found) > max(most, 1):
            return None
    return found


def _known(data: TrainingSet, example: Example, *, masked: bool) -> set[str]:
    """The texts that are not negatives of an example: its positive and, if masked, all that answer the query."""
    answers = [example.positive_id, *(data.positives(example.query_id) if masked else ())]
    return {_text(data, identity) for identity in answers}


def _text(data: TrainingSet, identity: str) -> str:
    return normalise(data.documents[identity].content)
