"""An index's codebooks on disk: centroids and residuals, in one NumPy archive each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.codes import Codebook
from tardif.index.segment import sync_folder


def centroid_count(tokens: int) -> int:
    """How many centroids so many vectors get: twice the square root, as a power of two from 256 to 65,536.

    More would make estimates better, and learning and assigning them dearer in proportion.
    """
    return int(2 ** np.clip(np.rint(np.log2(2 * np.sqrt(max(tokens, 1)))), 8, 16))


def write_codebook(folder: Path, book: Codebook) -> str:
    """Write a codebook, named by its content; it is on disk when this returns.

    Returns:
        The file's name: the same codebook has the same one.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {"centroids": book.centroids}
    for bits in book.cuts:
        arrays |= {f"cuts_{bits}": book.cuts[bits], f"values_{bits}": book.values[bits]}
    digest = xxhash.xxh3_64()
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).data)
    name = f"{digest.hexdigest()}.npz"
    aside = folder / f".{name}.{os.getpid()}"
    with aside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / name)
    sync_folder(folder)
    return name


def read_codebook(path: Path) -> Codebook:
    """Read a codebook; each array has a checksum in the archive.

    Raises:
        FolderError: it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            bits = [b for b in (4, 2) if f"cuts_{b}" in file.files]
            cuts = {b: np.ascontiguousarray(file[f"cuts_{b}"]) for b in bits}
            values = {b: np.ascontiguousarray(file[f"values_{b}"]) for b in bits}
            return Codebook(np.ascontiguousarray(file["centroids"]), cuts, values)
    except Exception as error:  # whatever a damaged archive makes numpy and zipfile raise
        raise FolderError(f"{path} is damaged ({error}): see tardif doctor {path.parent.parent}.") from error
