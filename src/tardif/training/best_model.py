"""The best model so far: kept in the run's folder with checksums, and copied from there when it is published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.encoder.loading import quiet_libraries
from tardif.encoder.published import write_checksums
from tardif.errors import FolderError
from tardif.training.checkpoints import write_whole
from tardif.training.parameters import without_adapters
from tardif.training.whole import MARK, checksums, damage

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def keep_model(model: MultiVectorEncoder, folder: Path) -> None:
    """Save a model at ``folder``, whole or not at all."""

    def fill(aside: Path) -> None:
        with quiet_libraries():
            without_adapters(model).save_pretrained(str(aside), create_model_card=False)

    write_whole(folder, fill)


def copy_model(folder: Path, into: Path) -> None:
    """Copy what :func:`keep_model` saved into an empty folder.

    The published model gets the checksums from the time of saving, not new ones: damage since then must show.

    Raises:
        FolderError: the saved model is damaged.
    """
    if problem := damage(folder):
        raise FolderError(
            f"The best model, {folder}, is damaged ({problem}): start again with --overwrite (in Python "
            "overwrite=True)."
        )
    shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARK))
    write_checksums(into, checksums(folder))
