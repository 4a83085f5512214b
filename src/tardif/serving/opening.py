"""Opening of the indexes that a service is started with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tardif.errors import SettingError
from tardif.folders import expanded
from tardif.index.qdrant.places import Edge, Service, qdrant_place

# A part of a URL, a label of metrics, and a word that an agent can repeat.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_names(given: Sequence[str]) -> dict[str, Path | str]:
    """Return the places of indexes by their names, as they are written on the command line.

    ``FOLDER`` is named as the folder is, and an index in Qdrant as its collection or folder; ``NAME=PLACE`` names it
    otherwise.

    Returns:
        The folder of an index; of one in Qdrant, its place as text.

    Raises:
        SettingError: a name cannot be part of a URL, two are equal, or an address is none of an index.

    >>> list(read_names(["support.index", "law=archive/law of 2026", "http://localhost:6333/articles"]))
    ['support.index', 'law', 'articles']
    """
    found: dict[str, Path | str] = {}
    for text in given:
        # A folder may hold an equals sign, so it is a name only if it can be one, and no folder has the whole text.
        name, equals, place = text.partition("=")
        # A shell replaces the ~ of a home folder only where an argument begins with it: not in NAME=~/FOLDER.
        if not equals or not _NAME.fullmatch(name) or expanded(text).exists():
            name, place = "", text
        there = qdrant_place(place)
        name = name or (expanded(place).resolve().name if there is None else name_of(there))
        if not _NAME.fullmatch(name):
            raise SettingError(
                f"{text}: the folder's name cannot be part of a URL (letters, digits and . _ -): give the index a "
                f"name, as in docs={place}."
            )
        if name in found:
            raise SettingError(
                f"{text}: another index is named {name}: give this one another name, as in {name}-2={place}."
            )
        found[name] = expanded(place) if there is None else str(there)
    return found


def name_of(place: Service | Edge) -> str:
    """Return the name that an index in Qdrant has by itself."""
    return place.collection if isinstance(place, Service) else place.folder.name
