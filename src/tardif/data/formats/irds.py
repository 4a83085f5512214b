"""Collections by their ids in ir-datasets (MacAvaney et al., SIGIR 2021): ``irds:beir/scifact/test``.

The package ``ir_datasets`` (the extra ``collections``) downloads a collection into its own folder
(``IR_DATASETS_HOME``, by default ``~/.ir_datasets``) and reads it. It is imported when an id is asked for.

A document is what ``default_text()`` gives, the text that ir-datasets itself recommends. Where it begins with the field
``title``, that is the title and the rest the text. Other fields are left out. The queries are read in the same way.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from tardif.data.records import Judgement
from tardif.errors import DataError, first_line
from tardif.extras import need
from tardif.types import Document, Query

Made = TypeVar("Made", Document, Query)

PREFIXES = ("irds:", "ir-datasets:", "ir_datasets:")
# What ir_datasets logs of each attempt to download: the error says it once.
_NOISE = ("download error", "Download failed", "[starting]", "[finished]", "[error]", "If you have a local copy")


def irds_id(source: Any) -> str | None:
    """The id of a collection in ir-datasets; None for any other source.

    >>> irds_id("irds:beir/scifact/test"), irds_id(Path("ir-datasets:vaswani")), irds_id("vaswani")
    ('beir/scifact/test', 'vaswani', None)
    """
    text = str(source) if isinstance(source, str | Path) else ""
    return next((text.removeprefix(prefix).strip("/") for prefix in PREFIXES if text.startswith(prefix)), None)


def open_irds(identity: str, group_by: str | None = None, *, corpus_only: bool = False) -> IrdsSource:
    """Open a collection. Nothing is downloaded before it is read.

    Args:
        identity: the id, without a prefix.
        group_by: must be None: there is no field to group by.
        corpus_only: queries and judgements are not needed.

    Raises:
        MissingExtraError: the package is not installed.
        DataError: the id is unknown, the collection has no documents, queries or
            judgements, or ``group_by`` is given.
    """
    if group_by is not None:
        raise DataError(f"a collection of ir-datasets has no field {group_by} to group by.", f"irds:{identity}")
    library = _library(identity)
    try:
        with redirect_stdout(sys.stderr):
            dataset = library.load(identity)
    except KeyError:
        raise DataError(_unknown(identity, library), f"irds:{identity}") from None
    parts = ("docs",) if corpus_only else ("docs", "queries", "qrels")
    missing = [part for part in parts if not dataset.has(part)]
    if missing:
        whole = [name for name in _children(identity, library) if all(map(library.load(name).has, parts))]
        advice = f"give a part that has them: {_listed(whole)}" if whole else "give another collection"
        raise DataError(f"has no {' and no '.join(missing)}: {advice}.", f"irds:{identity}")
    return IrdsSource(identity, dataset)


class IrdsSource:
    """A collection of ir-datasets, as a source of judgements.

    Args:
        identity: its id.
        dataset: what ``ir_datasets.load`` gives.
    """

    def __init__(self, identity: str, dataset: Any) -> None:
        self.name = f"irds:{identity}"
        self.shape = f"ir-datasets: documents, queries and judgements of {identity}"
        self._identity, self._dataset = identity, dataset

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The corpus, numbered from 1."""
        for number, found in self._read("docs_iter"):
            title, text = _texts(found)
            yield number, self._made(Document, number, found.doc_id, text, title)

    def queries(self) -> Iterator[tuple[int, Query]]:
        """The queries, numbered from 1, with those that have no judgement."""
        for number, found in self._read("queries_iter"):
            title, text = _texts(found)
            yield number, self._made(Query, number, found.query_id, f"{title} {text}".strip())

    def judgements(self) -> Iterator[Judgement]:
        """The judgements, numbered from 1.

        Raises:
            DataError: there is none, or a relevance is no whole number.
        """
        count = 0
        for count, found in self._read("qrels_iter"):
            label = found.relevance
            if isinstance(label, bool) or not isinstance(label, int):
                raise DataError(f"the relevance {label!r:.60} is no whole number.", self.name, count)
            yield Judgement(None, None, "labelled", count, str(found.query_id), str(found.doc_id), label)
        if not count:
            raise DataError("holds no judgement: give another collection.", self.name)
        self.shape += f" ({count} judgements)"

    def _read(self, method: str) -> Iterator[tuple[int, Any]]:
        """The items of a part, numbered from 1."""
        with _watched(self._identity):
            items = iter(getattr(self._dataset, method)())
        number = 0
        # Watched item by item: a generator must not hold the process's stdout between two of them.
        while True:
            with _watched(self._identity):
                found = next(items, None)
            if found is None:
                return
            number += 1
            yield number, found

    def _made(self, kind: Callable[..., Made], number: int, *fields: str) -> Made:
        try:
            return kind(*fields)
        except DataError as error:  # an id is empty, or a text cannot be stored
            raise DataError(error.what, self.name, number) from None


@contextmanager
def _watched(identity: str) -> Iterator[None]:
    """Send what the library prints to stderr, and turn its errors into ours."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # downloads, archives and parsers each have errors of their own
        raise _failed(identity, error) from error


def _texts(found: Any) -> tuple[str, str]:
    """The title and the text of a document or query.

    >>> from collections import namedtuple
    >>> _texts(namedtuple("Doc", "doc_id title body url")("d1", "The sea", "It is deep.", "https://sea"))
    ('The sea', 'It is deep.')
    """
    title = getattr(found, "title", "")
    body = next((text for name in ("text", "body") if isinstance(text := getattr(found, name, None), str)), None)
    if not callable(default := getattr(found, "default_text", None)):
        own = [value for name, value in zip(found._fields, found, strict=True) if not name.endswith("_id")]
        texts = [value for value in own if isinstance(value, str)]
        return (title or "", body) if body is not None else ("", "\n\n".join(texts))
    # default_text() of a document without a title would be "None ...".
    if title is None and body is not None:
        return "", body
    whole = str(default()).strip()
    title = title.strip() if isinstance(title, str) else ""
    has_title = title and title != whole and whole.startswith(title)
    return (title, whole.removeprefix(title).strip()) if has_title else ("", whole)


def _library(identity: str) -> Any:
    """The package, with what it logs of each attempt to download kept quiet."""
    need("collections", f"Reading irds:{identity}")
    log = logging.getLogger("ir_datasets")
    if _is_news not in log.filters:
        log.addFilter(_is_news)
    try:
        with redirect_stdout(sys.stderr):
            import ir_datasets
    except ImportError as error:
        raise DataError(f"ir-datasets cannot be imported ({error}): install it again.", f"irds:{identity}") from None
    except OSError as error:  # it makes its folder when it is imported
        raise _failed(identity, error) from error
    return ir_datasets


def _is_news(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _NOISE)


def _unknown(identity: str, library: Any) -> str:
    names = sorted(library.registry)
    near = difflib.get_close_matches(identity, names, 5, 0.5) or [name for name in names if identity in name]
    listed = f"nearest: {_listed(near)}" if near else "ir-datasets.com lists all ids"
    return f"ir-datasets knows no collection of this id ({listed})."


def _children(identity: str, library: Any) -> list[str]:
    return sorted(name for name in library.registry if name.startswith(f"{identity}/"))


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > 5 else ""
    return ", ".join(f"irds:{name}" for name in names[:5]) + more


def _failed(identity: str, error: BaseException) -> DataError:
    """An error with the way out that fits the library's."""
    why = first_line(error).partition(" (Caused by")[0]
    home = os.environ.get("IR_DATASETS_HOME") or "~/.ir_datasets"
    page = f"https://ir-datasets.com/{identity.split('/', maxsplit=1)[0]}.html"
    if isinstance(error, ImportError):
        what = f"needs a package that is not installed ({why}): install it"
    elif isinstance(error, FileNotFoundError):
        what = f"has no file at {error.filename or error}: it must be put there by hand ({page} says how)"
    elif isinstance(error, PermissionError):
        what = f"cannot be kept ({why}): set IR_DATASETS_HOME to a folder that can be written (now {home})"
    else:
        what = (
            f"cannot be read or downloaded ({why:.200}): try again with a network, copy {home} from a machine that has "
            f"the collection (IR_DATASETS_HOME names the folder), or give a folder in BEIR or TREC form ({page})"
        )
    return DataError(f"{what}.", f"irds:{identity}")
