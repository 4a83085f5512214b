"""Tardif: from a pile of text to a late-interaction (ColBERT) retriever trained for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tardif.errors import DataError, FolderError, ModelError, SettingError, TardifError
    from tardif.retrieval import Retriever
    from tardif.training.trainer import Trainer
    from tardif.training.result import TrainingResult
    from tardif.data.training_set import TrainingSet
    from tardif.types import Document, Example, Hit, Query

# Lazy: importing the package must cost nothing until a verb computes.
_HOMES = {
    "DataError": "tardif.errors",
    "FolderError": "tardif.errors",
    "ModelError": "tardif.errors",
    "SettingError": "tardif.errors",
    "TardifError": "tardif.errors",
    "Document": "tardif.types",
    "Example": "tardif.types",
    "Hit": "tardif.types",
    "Query": "tardif.types",
    "Retriever": "tardif.retrieval",
    "Trainer": "tardif.training.trainer",
    "TrainingResult": "tardif.training.result",
    "TrainingSet": "tardif.data.training_set",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tardif' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
