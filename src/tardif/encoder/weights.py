"""Weights on disk, judged without torch: whole, inside the model's folder, and numbers.

The format is safetensors 0.x: eight bytes with the header's length, the header in JSON, the tensors.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.encoder.config_checks import read_config
from tardif.errors import ModelError
from tardif.folders import parse_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The library's own limit of a header.
_LARGEST_HEADER = 100_000_000
# Of the types that can hold NaN: as which whole numbers they are looked at, and the bits that are all set in one.
_EXPONENTS: dict[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
_BLOCK = 1 << 18  # numbers looked at together: what a processor's caches hold


def check_weights(what: str, folder: Path) -> dict[str, Any]:
    """The headers of a folder's safetensors weights by tensor, checked against the files; empty for other formats.

    Args:
        what: the model in an error: "The base NAME".
        folder: where the weights are.

    Raises:
        ModelError: there are none, a file is damaged or outside the folder, or a number is NaN or infinite.
    """
    index = read_config(folder / "model.safetensors.index.json")
    files = ["model.safetensors"] if index is None else _listed(folder, index)
    if index is None and not (folder / files[0]).is_file():
        if (folder / "pytorch_model.bin").is_file() or (folder / "pytorch_model.bin.index.json").is_file():
            _check_pickled(folder)
            return {}
        raise ModelError(f"{what} has no weights in {folder} (model.safetensors).")
    header: dict[str, Any] = {}
    for file in files:
        path = folder / file
        try:
            status = path.stat()
            header.update(_read(path, status.st_size, status.st_mtime_ns))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            why = getattr(error, "strerror", None) or error
            raise ModelError(f"{path} is damaged ({why}): fetch or save the model again.") from error
    if not header:
        raise ModelError(f"{folder / files[0]} is damaged (it holds no weights): fetch or save the model again.")
    return header


def _listed(folder: Path, index: Any) -> list[str]:
    """The files of an index; none but names in the same folder."""
    listed = index.get("weight_map") if isinstance(index, dict) else None
    files = set(listed.values()) if isinstance(listed, dict) and _are_texts(listed) else set()
    if not files:
        raise ModelError(f"{folder / 'model.safetensors.index.json'} lists no weights: the model is damaged.")
    for file in files:
        if Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise ModelError(
                f"{folder / 'model.safetensors.index.json'} points outside its own folder ({file}): it is refused."
            )
    return sorted(files)


def _check_pickled(folder: Path) -> None:
    index = read_config(folder / "pytorch_model.bin.index.json")
    listed = index.get("weight_map") if isinstance(index, dict) else {}
    files = set(listed.values()) if isinstance(listed, dict) and _are_texts(listed) else {""}
    if any(Path(file).name != file or not file.endswith(".bin") for file in files):
        raise ModelError(f"{folder / 'pytorch_model.bin.index.json'} names what are no weights of its own folder.")


def _are_texts(listed: dict[str, Any]) -> bool:
    return all(isinstance(value, str) for value in listed.values())


@lru_cache(maxsize=64)  # a base is looked at by the trainer, the miner and the model: its numbers are read once
def _read(path: Path, size: int, changed: int) -> dict[str, Any]:
    """Read a file's header; check that its tensors fill the file and that all their numbers are finite."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size:
            raise ValueError("its header is longer than the file")
        if length > _LARGEST_HEADER:
            raise ValueError("its header is larger than the format allows")
        header: dict[str, Any] = parse_json(file.read(length))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(f"it should be {8 + length + end} bytes long and is {size}")
    for name, tensor in header.items():
        _check_tensor(path, 8 + length, name, tensor)
    return header


def _check_tensor(path: Path, start: int, name: str, tensor: dict[str, Any]) -> None:
    import numpy as np

    kind, shape = tensor["dtype"], tensor["shape"]
    begin, end = tensor["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"{name} has no shape")
    code, bits = _EXPONENTS.get(kind, ("", 0))
    width = np.dtype(code).itemsize if code else _SIZES.get(kind)
    if width is not None and end - begin != width * math.prod(shape):
        raise ValueError(f"{name} does not fill its place")
    if not code or begin == end:
        return
    numbers: NDArray[Any] = np.memmap(path, code, "r", offset=start + begin, shape=((end - begin) // width,))
    for first in range(0, len(numbers), _BLOCK):
        if np.any((numbers[first : first + _BLOCK] & bits) == bits):
            raise ValueError(f"{name} holds NaN or infinity")
