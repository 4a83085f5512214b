"""Checks of a model's weight files without torch: complete, inside the model's folder, and finite.

The format is safetensors 0.x: eight bytes with the header's length, the header in JSON, the tensors.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.encoder.config_checks import read_config
from tardif.errors import ModelError, reason
from tardif.file_reading import parse_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The library's own limit of a header.
_LARGEST_HEADER = 100_000_000
# The types that can hold NaN: the integers that they are read as, and the exponent bits, which are all set in NaN and
# infinity only. Integers are tested instead of floats because NumPy has no bfloat16.
_EXPONENTS: dict[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
_BLOCK = 1 << 18  # numbers tested at a time: about the size of a processor's cache


def check_weights(what: str, folder: Path) -> dict[str, Any]:
    """Check a folder's safetensors weights, and return their headers by tensor; none for other formats.

    Args:
        what: the model in an error, such as "The base NAME".
        folder: the folder with the weights.

    Raises:
        ModelError: there are no weights, a file is damaged or outside the folder, or a number is NaN or infinite.
    """
    files = _files(folder, "model.safetensors")
    if not files:
        if _files(folder, "pytorch_model.bin"):  # read with weights_only when the model is loaded
            return {}
        raise ModelError(f"{what} has no weights in {folder} (model.safetensors).")
    header: dict[str, Any] = {}
    for file in files:
        path = folder / file
        try:
            status = path.stat()
            header.update(_read(path, status.st_size, status.st_mtime_ns))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ModelError(f"{path} is damaged ({reason(error)}): fetch or save the model again.") from error
    if not header:
        raise ModelError(f"{folder / files[0]} is damaged (it holds no weights): fetch or save the model again.")
    return header


def _files(folder: Path, name: str) -> list[str]:
    """Return the file of weights with this name, or the parts that its index lists; none if neither exists."""
    path = folder / f"{name}.index.json"
    index = read_config(path)
    if index is None:
        return [name] if (folder / name).is_file() else []
    listed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(listed, dict) or not listed or not all(isinstance(value, str) for value in listed.values()):
        raise ModelError(f"{path} is damaged (it lists no weights): fetch or save the model again.")
    files = sorted(set(listed.values()))
    for file in files:
        if Path(file).name != file or "\\" in file or Path(file).suffix != Path(name).suffix:
            raise ModelError(f"{path} points outside its own folder ({file}): put the weights into the folder.")
    return files


@lru_cache(maxsize=64)  # trainer, miner and model check the same base: read its numbers once
def _read(path: Path, size: int, changed: int) -> dict[str, Any]:
    """Read a file's header. Check that its tensors fill the file, and that all their numbers are finite."""
    with path.open("rb") as file:
        # The format: eight bytes with the length of the header, the header as JSON, then the tensors without gaps.
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size:
            raise ValueError("its header is longer than the file")
        if length > _LARGEST_HEADER:
            raise ValueError("its header is larger than the format allows")
        header: dict[str, Any] = parse_json(file.read(length))
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    # A header that fits the file's own length: cut off or padded files end here.
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
