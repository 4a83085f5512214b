"""Tardif: from a pile of text to a late-interaction (ColBERT) retriever trained for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tardif._version import __version__ as __version__

if TYPE_CHECKING:
    from tardif.data.training_set import TrainingSet as TrainingSet
    from tardif.errors import DataError as DataError
    from tardif.errors import FolderError as FolderError
    from tardif.errors import ModelError as ModelError
    from tardif.errors import SettingError as SettingError
    from tardif.errors import TardifError as TardifError
    from tardif.errors import TrainingError as TrainingError
    from tardif.search.rerank import rerank as rerank
    from tardif.search.retriever import Retriever as Retriever
    from tardif.training.result import TrainingResult as TrainingResult
    from tardif.training.trainer import Trainer as Trainer
    from tardif.types import Document as Document
    from tardif.types import Example as Example
    from tardif.types import Hit as Hit
    from tardif.types import Query as Query

# Lazy: importing the package must cost nothing until a verb computes.
_HOMES = {
    "DataError": "tardif.errors",
    "FolderError": "tardif.errors",
    "ModelError": "tardif.errors",
    "SettingError": "tardif.errors",
    "TardifError": "tardif.errors",
    "TrainingError": "tardif.errors",
    "Document": "tardif.types",
    "Example": "tardif.types",
    "Hit": "tardif.types",
    "Query": "tardif.types",
    "Retriever": "tardif.search.retriever",
    "rerank": "tardif.search.rerank",
    "Trainer": "tardif.training.trainer",
    "TrainingResult": "tardif.training.result",
    "TrainingSet": "tardif.data.training_set",
}

__all__ = [
    "DataError",
    "Document",
    "Example",
    "FolderError",
    "Hit",
    "ModelError",
    "Query",
    "Retriever",
    "SettingError",
    "TardifError",
    "Trainer",
    "TrainingError",
    "TrainingResult",
    "TrainingSet",
    "__version__",
    "rerank",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tardif' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
