"""Tardif trains late-interaction (ColBERT) retrievers on your own texts, and searches with them.

>>> import tardif
>>> tardif.Document("1", "Late interaction keeps one vector per token.")
Document(id='1', text='Late interaction keeps one vector per token.', title='', metadata={}, piece=None)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tardif._version import __version__ as __version__

if TYPE_CHECKING:
    from tardif.client import Client as Client
    from tardif.data.training_set import TrainingSet as TrainingSet
    from tardif.errors import DataError as DataError
    from tardif.errors import FolderError as FolderError
    from tardif.errors import ModelError as ModelError
    from tardif.errors import ServiceError as ServiceError
    from tardif.errors import SettingError as SettingError
    from tardif.errors import TardifError as TardifError
    from tardif.errors import TrainingError as TrainingError
    from tardif.report.leaving import evaluate as evaluate
    from tardif.report.leaving import prepare_folder as prepare_folder
    from tardif.search.rerank import rerank as rerank
    from tardif.search.retriever import Retriever as Retriever
    from tardif.training.result import TrainingResult as TrainingResult
    from tardif.training.trainer import Trainer as Trainer
    from tardif.types import Document as Document
    from tardif.types import Example as Example
    from tardif.types import Hit as Hit
    from tardif.types import Query as Query

# Names are imported on first use: `import tardif` must not import torch.
_HOMES = {
    **dict.fromkeys(("DataError", "FolderError", "ModelError"), "tardif.errors"),
    **dict.fromkeys(("ServiceError", "SettingError", "TardifError", "TrainingError"), "tardif.errors"),
    **dict.fromkeys(("Document", "Example", "Hit", "Query"), "tardif.types"),
    "Client": "tardif.client",
    **dict.fromkeys(("evaluate", "prepare_folder"), "tardif.report.leaving"),
    "Retriever": "tardif.search.retriever",
    "rerank": "tardif.search.rerank",
    "Trainer": "tardif.training.trainer",
    "TrainingResult": "tardif.training.result",
    "TrainingSet": "tardif.data.training_set",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  the keys are strings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tardif' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
