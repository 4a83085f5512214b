"""The errors that Tardif raises.

    TardifError
    ├── SettingError    an argument or option cannot be used as given
    │   └── OtherRunError   the unfinished run was started with something else
    ├── DataError       the input cannot be read or makes no sense; names the file and line
    │   └── UnknownDocumentError    a document is not in the index
    ├── ModelError      a base or checkpoint is missing, broken or of the wrong kind
    ├── FolderError     an output folder cannot be written, or holds something else
    │   ├── ReplacedError   another index replaced the open one: open it again
    │   └── ShardError      a shard of an index does not answer; names it
    ├── ServiceError    a search service cannot be reached, refuses, or fails
    │   ├── BusyError       too many requests wait: ask again later
    │   └── ReadOnlyError   the service changes no index
    ├── ClusterError    a Ray cluster cannot be reached, or a part of it died and cannot be replaced
    ├── MissingExtraError   a package is not installed; names the extra that brings it. Also an ImportError
    └── TrainingError   training failed: the loss is NaN, the device ran out of memory

Every message says what is wrong, where, and the way out. The command line prints it as one line and exits with code 1.
Messages quote input, so they are made safe to show (:mod:`tardif.escaping`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tardif.escaping import visible


class TardifError(Exception):
    """The parent of every error that Tardif raises on purpose."""

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n\t")


class SettingError(TardifError):
    """An argument or option cannot be used as given.

    >>> import tardif
    >>> tardif.Trainer("new", language="klingon")
    Traceback (most recent call last):
    ...
    tardif.errors.SettingError: ...klingon...
    """


class OtherRunError(SettingError):
    """The unfinished run cannot be resumed: it was started with something else."""

    WAY_OUT = "Give what it was started with"

    @property
    def what(self) -> str:
        """What differs, without the way out."""
        return str(self).partition(self.WAY_OUT)[0].strip()


class ModelError(TardifError):
    """A base or checkpoint is missing, broken, or of the wrong kind."""


class FolderError(TardifError):
    """An output folder cannot be written, or holds something that may not be replaced."""


class ReplacedError(FolderError):
    """Another index replaced the one that was opened.

    Args:
        folder: the index's folder.

    >>> print(ReplacedError("support.index"))
    support.index was replaced or removed since it was opened: open it again.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(f"{folder} was replaced or removed since it was opened: open it again.")


class ShardError(FolderError):
    """A shard of an index does not answer.

    Args:
        shards: the names of those that do not, each with the reason.
        changing: the index was to be changed, which cannot leave a shard out.

    >>> print(ShardError({"shard-02": "the connection was lost"}))
    shard-02 does not answer (the connection was lost): bring it back; a search with partial=True leaves it out.
    """

    def __init__(self, shards: Mapping[str, str], *, changing: bool = False) -> None:
        self.shards, self.changing = dict(shards), changing
        verb, them = ("does", "it") if len(self.shards) == 1 else ("do", "them")
        reason = next(iter(self.shards.values()), "")
        instead = f"a search with partial=True leaves {them} out."
        if changing:
            instead = f"without {them} this change cannot be made. If there is no copy, build the index again."
        super().__init__(f"{', '.join(self.shards)} {verb} not answer ({reason}): bring {them} back; {instead}")

    def __reduce__(self) -> tuple[Callable[..., ShardError], tuple[dict[str, str]]]:
        return partial(ShardError, changing=self.changing), (self.shards,)


class PartialWarning(UserWarning):
    """Shards of an index did not answer, and their documents could not be found.

    Args:
        shards: the names of the shards, each with the reason.

    >>> print(PartialWarning({"shard-02": "the connection was lost"}))
    The hits are those of the other shards: shard-02 does not answer (the connection was lost).
    """

    def __init__(self, shards: Mapping[str, str]) -> None:
        self.shards = dict(shards)
        listed = ", ".join(f"{name} does not answer ({why})" for name, why in self.shards.items())
        super().__init__(visible(f"The hits are those of the other shards: {listed}."))


class ServiceError(TardifError):
    """A search service cannot be reached, refuses, or fails.

    Args:
        message: what is wrong, where, and the way out.
        status: the HTTP status of its answer; None if there was no answer.

    >>> ServiceError("http://host:8000 is busy: try again later.", 503).status
    503
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class BusyError(ServiceError):
    """More requests wait than a service takes.

    Args:
        what: what waits, and the way out.
        retry_after: seconds after which the waiting requests should be done; at least 1.
    """

    def __init__(self, what: str, retry_after: int = 1) -> None:
        super().__init__(what, 503)
        self.retry_after = retry_after


class ReadOnlyError(ServiceError):
    """A service that changes no index was asked to change one."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 403)


class ClusterError(TardifError):
    """A Ray cluster cannot be reached, or a part of it died and cannot be replaced."""


class MissingExtraError(TardifError, ImportError):
    """A package of an extra is not installed (:mod:`tardif.extras`). Also an ``ImportError``."""


class TrainingError(TardifError):
    """Training failed."""


class DataError(TardifError):
    """Input that cannot be read or makes no sense.

    Args:
        what: what is wrong, and the way out.
        path: the file with the fault, if it is in a file.
        line: the line or row in that file, from 1.

    >>> print(DataError("a query without an id.", "train.jsonl", 7))
    train.jsonl, line 7: a query without an id.
    """

    def __init__(self, what: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.what = what
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(f"{where}{what}")


class UnknownDocumentError(DataError):
    """A document is not in the index.

    Args:
        identity: the id that was asked for.

    >>> print(UnknownDocumentError("article-99"))
    The document 'article-99' is not in the index: give the id of a document or of a piece, as a search shows it.
    """

    def __init__(self, identity: str) -> None:
        super().__init__(
            f"The document {identity!r:.200} is not in the index: give the id of a document or of a piece, as a search "
            "shows it."
        )


def is_failure(error: BaseException) -> bool:
    """Return whether a library failed, rather than the user interrupted or the program is exiting.

    A Rust library that panics on a damaged file raises ``PanicException``, which is not an ``Exception``.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def reason(error: BaseException) -> str:
    """Return why an operation failed: the system's words for an OSError, else the first line of the error.

    >>> import errno
    >>> reason(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.json"))
    'No such file or directory'
    """
    return getattr(error, "strerror", None) or first_line(error)


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, or the error's class name if its message is empty."""
    return visible(next(iter(str(error).strip().splitlines()), "")) or type(error).__name__
