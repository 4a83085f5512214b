"""The checksums of a published checkpoint's files, so that damage to them is noticed.

checksums.json   format, version, and the checksum of every file that determines the model's vectors

The file lies beside the model, and no other library reads it. Only a checksum tells a weight with a flipped bit from a
trained one. A folder without the file is opened unchecked, because other tools do not write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tardif.checksums import fault
from tardif.errors import ModelError, reason
from tardif.file_reading import parse_json, read_bounded
from tardif.folders import write_json

CHECKSUMS = "checksums.json"
# The folder of what a report is drawn from (:mod:`tardif.evaluation.evidence`): it is no part of the model.
REPORT = "report"
_FORMAT, _VERSION = "tardif-checksums", 1
_LARGEST = 1 << 24  # bytes of the file


def write_checksums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the checksums of a model's files.

    Args:
        folder: the model's folder.
        sums: the checksum of each file (:func:`tardif.checksums.checksum`) by its path in the folder.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(folder / CHECKSUMS, {"format": _FORMAT, "version": _VERSION, "files": dict(sorted(sums.items()))})


def check_published(folder: Path) -> None:
    """Compare a model's files with their checksums, if it has any. Every byte is read.

    Raises:
        ModelError: a file is missing or damaged, or the checksums are damaged or from a newer version.
    """
    for name, expected in published_files(folder).items():
        if problem := fault(folder / name, expected):
            raise ModelError(f"{folder / name} {problem}: {_way_out(folder)}.")


def published_files(folder: Path) -> Mapping[str, str]:
    """Return the checksum of each file of a published model; none if the folder has no checksums.

    Raises:
        ModelError: the checksums are damaged or from a newer version.
    """
    path = folder / CHECKSUMS
    try:
        found = parse_json(read_bounded(path, _LARGEST))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({reason(error)}): {_way_out(folder)}.") from error
    # "format" tells the file from another tool's checksums.json.
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
