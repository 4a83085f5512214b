"""The format of sentence-transformers: what training publishes, saved again from any other format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tardif.encoder.loading import quiet_libraries

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def write(model: MultiVectorEncoder, folder: Path) -> list[str]:
    """Write a model. The format keeps everything, so there is nothing to return."""
    with quiet_libraries():
        model.save_pretrained(str(folder), create_model_card=False)
    return []
