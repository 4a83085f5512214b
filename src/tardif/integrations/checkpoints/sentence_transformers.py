"""The format of sentence-transformers: what training publishes, saved again from any other format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.encoder.base import Base
from tardif.encoder.loading import quiet_libraries
from tardif.encoder.published import published_files

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def write(model: MultiVectorEncoder, folder: Path, base: Base) -> list[str]:
    """Write a model. The format keeps everything, so there is nothing to return.

    A checkpoint of Tardif in this format is copied: an index that was built with it accepts the copy.
    """
    files = published_files(base.folder)
    if files and base.kind == "multi-vector":
        for name in files:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.folder / name, place)
        return []
    with quiet_libraries():
        model.save_pretrained(str(folder), create_model_card=False)
    return []
