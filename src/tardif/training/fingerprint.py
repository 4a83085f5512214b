"""Fingerprints of a run's settings, base and data, which decide its weights. A resumed run must have the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tardif._version import __version__
from tardif.data.training_set import TrainingSet
from tardif.encoder.identity import add_weights
from tardif.errors import SettingError
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# What may differ when a run is resumed: how often it saves, where it reports to and what it is measured on afterwards
# change no weight.
_FREE_SETTINGS = frozenset({"save_steps", "save_minutes", "guard", "other"})
_FREE_ARGUMENTS = frozenset({"report_to", "run_name", "logging_steps", "logging_first_step", "logging_strategy"})


def check_alike(everywhere: Sequence[Mapping[str, Any]]) -> None:
    """Check that the processes that train together were given the same.

    Args:
        everywhere: by rank, what decides the weights.

    Raises:
        SettingError: one was given something else.
    """
    first = everywhere[0]
    for rank, given in enumerate(everywhere):
        if different := [name for name in first if given.get(name) != first[name]]:
            raise SettingError(
                f"Process {rank} was given other settings or files than process 0 ({', '.join(different)}): start all "
                "with the same command, on copies of the same prepared data and the same base."
            )


def deciding(settings: TrainingSettings) -> dict[str, Any]:
    """Return the settings that decide the weights of a run.

    >>> from tardif.training.settings import settings_from
    >>> deciding(settings_from({"save_steps": 5})) == deciding(settings_from({}))
    True
    """
    own = {name: value for name, value in settings.as_json().items() if name not in _FREE_SETTINGS}
    return {**own, **{name: value for name, value in settings.other.items() if name not in _FREE_ARGUMENTS}}


def versions() -> dict[str, str]:
    """Return the versions that may change the last bits of a weight."""
    import torch

    return {"tardif": __version__, "torch": torch.__version__}


def model_digest(model: MultiVectorEncoder) -> str:
    """Hash a model's weights and tokenizer, before training."""
    digest = hashlib.blake2b(digest_size=16)
    add_weights(digest, model)
    # Surrogates: a damaged tokenizer may hold half characters, which UTF-8 refuses.
    digest.update(repr(sorted(model.tokenizer.get_vocab().items())).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def data_digest(data: TrainingSet) -> str:
    """Hash what a training set holds, in its order: batches are drawn by position."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: object) -> None:
        digest.update(repr(values).encode("utf-8", "surrogatepass"))

    if data.parts:
        add(*data.parts)
    for document in data.documents.values():
        add(document.id, document.title, document.text)
    for query, text in data.queries.items():
        add(query, text, data.split[query], *data.qrels.get(query, {}).items())
    for example in data.examples:
        add(example.query_id, example.positive_id, example.negative_ids, example.scores)
    return digest.hexdigest()
