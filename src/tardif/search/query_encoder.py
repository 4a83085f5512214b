"""The query encoder inside an index's folder: exported for searches without PyTorch, and bound by its checksum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tardif.checksums import checksum
from tardif.encoder.onnx.folder import INSIDE, SETTINGS
from tardif.errors import FolderError, ModelError
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.sharded_folder import FolderIndex
from tardif.progress import Console

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The folder inside an index that holds the encoder, and the index's note of the checksum of its settings. The settings
# hold the checksums of the encoder's other files.
ENCODER = INSIDE


def export_encoder(encoder: MultiVectorEncoder, folder: Path, console: Console) -> None:
    """Export a model's query encoder to a folder, unless the folder exists.

    A model that cannot be exported is reported to ``console``: searches then load PyTorch.
    """
    from tardif.encoder.onnx.convert import export_query_encoder

    if folder.exists():
        return
    try:
        export_query_encoder(encoder, folder)
    except ModelError as error:
        console.say(f"{error} Searches load PyTorch.")


def bind_encoder(index: FolderIndex | QdrantIndex) -> None:
    """Note in an index the checksum of the query encoder in its folder; "" if there is none."""
    settings = _settings(Path(index.folder))
    index.note(ENCODER, checksum(settings) if settings.is_file() else "")


def encoder_of(index: FolderIndex | QdrantIndex) -> Path | None:
    """Return the folder of an index's query encoder; None if it was built without one.

    Raises:
        FolderError: the encoder is missing, or is another one than the index was built with.
    """
    known = index.note(ENCODER)
    return check_encoder(Path(index.folder), known) if known else None


def check_encoder(index: Path, known: str) -> Path:
    """Return the folder of the query encoder in an index's folder, if its checksum is ``known``.

    Raises:
        FolderError: the encoder is missing, or is another one than the index was built with.
    """
    settings = _settings(index)
    if not settings.is_file() or checksum(settings) != known:
        what = "is not the one that the index was built with" if settings.exists() else "is missing"
        raise FolderError(f"{settings.parent} is damaged (the query encoder {what}): see tardif doctor {index}.")
    return settings.parent


def _settings(index: Path) -> Path:
    return index / ENCODER / SETTINGS
