"""An index as frameworks' components are given it: a folder, an address of a search service, or an open one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from tardif.client import Client
from tardif.errors import SettingError
from tardif.search.retriever import Retriever

Searcher: TypeAlias = Retriever | Client


def open_searcher(index: Any, token: str | None = None) -> Searcher:
    """Return what searches an index.

    Args:
        index: a folder; the address of a search service (``http://host:8000/indexes/law``); or an opened
            :class:`tardif.Retriever` or :class:`tardif.Client`.
        token: the service's token.

    Raises:
        FolderError: the folder cannot be opened.
        SettingError: a token is given where there is no service.

    >>> open_searcher("http://127.0.0.1:8000/indexes/law")
    Client(http://127.0.0.1:8000/indexes/law)
    """
    if is_address(index):
        return Client(index, token)
    if token is not None:
        raise SettingError(f"token: only a search service takes one, and {index} is none: leave it out.")
    return index if isinstance(index, Retriever | Client) else Retriever(index)


def is_address(given: str | Path | Any) -> bool:
    """Return whether something is the address of a service.

    >>> is_address("https://search.example/indexes/law"), is_address("law.index")
    (True, False)
    """
    return isinstance(given, str) and given.startswith(("http://", "https://"))
