"""RAGatouille's helpers that scripts import: a seeded shuffle, and the text of a Wikipedia page."""

from __future__ import annotations

import json
import random
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tardif._version import __version__
from tardif.errors import DataError

T = TypeVar("T")

_WIKIPEDIA = "https://en.wikipedia.org/w/api.php"


def seeded_shuffle(collection: list[T], seed: int = 42) -> list[T]:
    """Shuffle a list in place, the same way in every process, and return it.

    >>> seeded_shuffle(["a", "b", "c", "d"])
    ['c', 'b', 'd', 'a']
    """
    random.Random(seed).shuffle(collection)
    return collection


def get_wikipedia_page(title: str) -> str | None:
    """Fetch the plain text of an English Wikipedia page; None where there is no such page.

    Raises:
        DataError: Wikipedia cannot be reached.
    """
    # Wikimedia's policy asks for a User-Agent that names the program.
    asked = {"action": "query", "format": "json", "titles": title, "prop": "extracts", "explaintext": "1"}
    request = Request(f"{_WIKIPEDIA}?{urlencode(asked)}", headers={"User-Agent": f"tardif/{__version__}"})
    try:
        with urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
    except (URLError, TimeoutError, ValueError) as error:
        raise DataError(f"The Wikipedia page {title!r} cannot be fetched: {error}. Pass the text itself.") from error
    # The answer has one page, under a number that is not known before.
    page = next(iter(found["query"]["pages"].values()))
    text: str | None = page.get("extract")
    return text
