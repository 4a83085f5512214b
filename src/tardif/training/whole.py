"""Complete folders: a mark, written last, lists the size and checksum of each file. Unmarked folders do not count."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from tardif.checksums import checksum
from tardif.errors import FolderError
from tardif.folders import read_json

MARK = "complete.json"
# The way out of errors of a run's own folder.
START_AGAIN = "start again with --overwrite (in Python overwrite=True)"


def mark_whole(folder: Path) -> Path:
    """Mark a folder as complete, with its present files; return the mark."""
    held = {name: {"size": size, "xxh3": checksum(folder / name)} for name, size in sorted(_files(folder).items())}
    (folder / MARK).write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    return folder / MARK


def is_whole(folder: Path) -> bool:
    """Whether a folder was marked complete and has every file at its full size. No byte of them is read."""
    return not _difference(folder)


def checksums(folder: Path) -> dict[str, str]:
    """Return the checksum that each file had when the folder was marked complete.

    Raises:
        FolderError: the folder has no mark.
    """
    return {name: str(about["xxh3"]) for name, about in read_json(folder / MARK, what="a checkpoint").items()}


def damage(folder: Path) -> str:
    """Describe what is wrong with a folder that was marked complete, reading every byte; empty if nothing is."""
    if problem := _difference(folder):
        return problem
    try:
        for name, expected in checksums(folder).items():
            if checksum(folder / name) != expected:
                return f"{name} is damaged: its checksum is wrong"
    except (OSError, KeyError, TypeError, AttributeError, FolderError) as error:
        return f"it cannot be read: {error}"
    return ""


def _difference(folder: Path) -> str:
    """How a folder's files differ from its mark, by names and sizes."""
    try:
        mark: dict[str, Any] = read_json(folder / MARK, what="a checkpoint")
        sizes = {name: about["size"] for name, about in mark.items()}
        there = _files(folder)
    except FileNotFoundError:
        return "it is missing"
    except (OSError, KeyError, TypeError, AttributeError, FolderError):
        return f"{MARK} is missing or damaged"
    # Files that were added count as damage too: a library might load them.
    for name in sorted({*sizes, *there}):
        if name not in there:
            return f"{name} is missing"
        if sizes.get(name) != there[name]:
            return f"{name} is not as it was written"
    return ""


def _files(folder: Path) -> dict[str, int]:
    """The size of each file in a folder except the mark; -1 for what is no regular file.

    Raises:
        OSError: the folder cannot be read.
    """
    found = {}
    for path in folder.rglob("*"):
        # Not stat: a link in place of a file was not written here.
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            is_file = stat.S_ISREG(status.st_mode)
            found[path.relative_to(folder).as_posix()] = status.st_size if is_file else -1
    found.pop(MARK, None)
    return found
