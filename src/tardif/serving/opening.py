"""Opening of the indexes that a service is started with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tardif.errors import SettingError
from tardif.index.qdrant.places import check_own

# A part of a URL, a label of metrics, and a word that an agent can repeat.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_names(given: Sequence[str]) -> dict[str, Path]:
    """Return the folders of indexes by their names, as they are written on the command line.

    ``FOLDER`` is named as the folder is; ``NAME=FOLDER`` names it otherwise.

    Raises:
        SettingError: a name cannot be part of a URL, two are equal, or an index is in Qdrant.

    >>> list(read_names(["support.index", "law=archive/law of 2026"]))
    ['support.index', 'law']
    """
    found: dict[str, Path] = {}
    for text in given:
        check_own(text.partition("=")[2], "serving")
        check_own(text, "serving")
        # A folder may hold an equals sign, so it is a name only if it can be one, and no folder has the whole text.
        name, equals, folder = text.partition("=")
        if not equals or not _NAME.fullmatch(name) or Path(text).exists():
            folder = text
            name = Path(folder).resolve().name
        if not _NAME.fullmatch(name):
            raise SettingError(
                f"{text}: the folder's name cannot be part of a URL (letters, digits and . _ -): give the index a "
                f"name, as in docs={folder}."
            )
        if name in found:
            raise SettingError(
                f"{text}: another index is named {name}: give this one another name, as in {name}-2={folder}."
            )
        found[name] = Path(folder)
    return found
