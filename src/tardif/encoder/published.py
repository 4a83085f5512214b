"""What a published checkpoint says of its own files, so that damage to them is noticed.

checksums.json   format, version, and the checksum of every file that determines the model's vectors

It lies beside the model and no other library reads it. A flipped bit in a weight is a weight like any other: nothing
but a checksum tells it from what was trained. A folder without the file is opened as it is: other tools write none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tardif.checksums import checksum
from tardif.errors import ModelError
from tardif.folders import is_regular, parse_json, read_bounded, write_json

CHECKSUMS = "checksums.json"
_FORMAT, _VERSION = "tardif-checksums", 1
_LARGEST = 1 << 24


def write_checksums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write what a model's folder holds.

    Args:
        folder: of the model.
        sums: the checksum of each file (:func:`tardif.checksums.checksum`) by its path in the folder.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / CHECKSUMS, {"format": _FORMAT, "version": _VERSION, "files": dict(sorted(sums.items()))})


def check_published(folder: Path) -> None:
    """Compare the files of a model with their checksums, where it has any. Every byte of them is read.

    Raises:
        ModelError: one is missing or is not what was written; or the checksums are damaged, or a newer version's.
    """
    for name, expected in _written(folder).items():
        path = folder / name
        try:
            if not is_regular(path):
                raise ModelError(f"{path} is no file: {_way_out(folder)}.")
            actual = checksum(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelError(f"{path} is missing: {_way_out(folder)}.") from None
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror or error}): {_way_out(folder)}.") from error
        if actual != expected:
            raise ModelError(f"{path} is not what training wrote (its checksum is wrong): {_way_out(folder)}.")


def _written(folder: Path) -> Mapping[str, str]:
    """The checksums by file; none where the folder has no such file."""
    path = folder / CHECKSUMS
    try:
        found = parse_json(read_bounded(path, _LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read ({why}): {_way_out(folder)}.") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not isinstance(found.get("version"), int):
        raise ModelError(f"{path} is damaged (it is no list of checksums): {_way_out(folder)}.")
    if found["version"] > _VERSION:
        raise ModelError(f"{path} was written by a newer Tardif: upgrade to read it.")
    files = found.get("files")
    if not isinstance(files, dict) or not files or not all(_is_sum(*item) for item in files.items()):
        raise ModelError(f"{path} is damaged (it names no files of this folder): {_way_out(folder)}.")
    return files


def _is_sum(name: str, value: Any) -> bool:
    place = PurePosixPath(name)
    is_inside = place.parts and not place.is_absolute() and ".." not in place.parts and "\\" not in name
    return bool(is_inside) and isinstance(value, str) and "\0" not in name


def _way_out(folder: Path) -> str:
    return f"copy the model again or train it again, or remove {folder / CHECKSUMS} if the change is meant"
