"""Codebooks on disk: centroids and residuals, in one NumPy archive each.

A file's name holds the beginning of the index's identity and the checksum of the content, which is verified on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.folders import replacing
from tardif.index.codes import Codebook

# Digits of an index's identity that the names of its files begin with.
IDENTITY = 12
# A vector's centroid is stored in two bytes.
MOST_CENTROIDS = 1 << 16


def centroid_count(tokens: int) -> int:
    """Return the number of centroids for a number of vectors: twice its square root, as a power of two.

    It is at least 256 and at most 65,536. More centroids would give better estimates, but take proportionally longer to
    learn and to assign.

    >>> centroid_count(1_000_000)
    2048
    """
    return int(2 ** np.clip(np.rint(np.log2(2 * np.sqrt(max(tokens, 1)))), 8, 16))


def write_codebook(folder: Path, book: Codebook, identity: str) -> str:
    """Write a codebook; it is on disk when this returns.

    Args:
        folder: for the file.
        book: the codebook.
        identity: of the index, because every index has its own file.

    Returns:
        The checksum of the content, which is the codebook's name.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {"centroids": book.centroids}
    for bits in book.cuts:
        arrays |= {f"cuts_{bits}": book.cuts[bits], f"values_{bits}": book.values[bits]}
    name = _digest(arrays)
    path = _file(folder, identity, name)
    with replacing(path, durable=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return name


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """The checksum (XXH3) of arrays with their names, types and shapes."""
    digest = xxhash.xxh3_64()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.data)
    return digest.hexdigest()


def _file(folder: Path, identity: str, name: str) -> Path:
    return folder / f"{identity[:IDENTITY]}-{name}.npz"


def read_codebook(folder: Path, identity: str, name: str) -> Codebook:
    """Read a codebook and verify its content by its name.

    Args:
        folder: of the file.
        identity: of the index.
        name: from :func:`write_codebook`.

    Raises:
        FolderError: the file is missing or damaged, or holds another codebook.
    """
    path = _file(folder, identity, name)
    try:
        if not path.is_file():
            raise ValueError("it is no file" if path.exists() else "it is missing")
        # allow_pickle: an archive from elsewhere must not run code.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.ascontiguousarray(file[name]) for name in file.files}
        if _digest(arrays) != name:
            raise ValueError("its content is not what its name says")
        return _codebook(arrays)
    except Exception as error:  # whatever a damaged archive makes numpy and zipfile raise
        raise FolderError(f"{path} is damaged ({error}): see tardif doctor {path.parent.parent}.") from error


def _codebook(arrays: Mapping[str, NDArray[Any]]) -> Codebook:
    """The codebook of a file's arrays, verified to have types and shapes that kernels can read without checks."""
    bits = [b for b in (4, 2) if f"cuts_{b}" in arrays]
    _expect(arrays["centroids"], np.int16, (None, None))
    if len(arrays["centroids"]) > MOST_CENTROIDS or not arrays["centroids"].size or arrays["centroids"].shape[1] % 4:
        raise ValueError("it has no or too many centroids, or of a width that no codes have")
    for b in bits:
        _expect(arrays[f"cuts_{b}"], np.int32, (2**b - 1,))
        _expect(arrays[f"values_{b}"], np.int16, (2**b,))
    cuts, values = {b: arrays[f"cuts_{b}"] for b in bits}, {b: arrays[f"values_{b}"] for b in bits}
    return Codebook(arrays["centroids"], cuts, values)


def _expect(array: NDArray[Any], dtype: Any, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        raise ValueError("an array has a wrong type or shape")
