"""What can go wrong, in words a user can act on.

    TardifError
    ├── SettingError    an argument or option cannot be used as given
    ├── DataError       what came in cannot be read or makes no sense: says file and line
    ├── ModelError      a base or checkpoint is missing, broken or of the wrong kind
    ├── FolderError     an output folder cannot be written, or holds something else
    │   └── ReplacedError   another index stands where one was opened: open it again
    └── TrainingError   training itself failed: the loss is no number, the device ran out of memory

Every message says what was wrong, where, and the way out. The command line prints it as one line
and exits with 1; nothing else derives from these. Messages quote what came in, so they are made safe to show
(:mod:`tardif.escaping`).
"""

from __future__ import annotations

from pathlib import Path

from tardif.escaping import visible


class TardifError(Exception):
    """The parent of every error that Tardif raises on purpose."""

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n\t")


class SettingError(TardifError):
    """An argument or option cannot be used as given."""


class ModelError(TardifError):
    """A base or checkpoint is missing, broken, or of the wrong kind."""


class FolderError(TardifError):
    """An output folder cannot be written, or holds something that is not ours to replace."""


class ReplacedError(FolderError):
    """Another index stands where one was opened.

    Args:
        folder: where.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(f"{folder} was replaced or removed since it was opened: open it again.")


class TrainingError(TardifError):
    """Training itself failed."""


class DataError(TardifError):
    """Input that cannot be read or makes no sense.

    Args:
        what: what is wrong, and the way out.
        path: the file it is in, if it is in a file.
        line: the line (or row) in that file, counted from 1.
    """

    def __init__(self, what: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.what = what
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(f"{where}{what}")


def is_failure(error: BaseException) -> bool:
    """Whether a library failed, and not the user who interrupts or a program that ends.

    A library in Rust that panics on a damaged file raises what is no ``Exception``.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says, or its name where it says nothing."""
    return visible(next(iter(str(error).strip().splitlines()), "")) or type(error).__name__
