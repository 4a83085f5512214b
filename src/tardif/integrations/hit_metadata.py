"""The metadata of a hit as every framework's documents carry them."""

from __future__ import annotations

from typing import Any

from tardif.types import Hit


def hit_metadata(hit: Hit) -> dict[str, Any]:
    """Return the index's metadata of a hit, with ``title`` where it has one and ``piece`` where the document was cut.

    >>> hit_metadata(Hit(1, "a", 2.5, "A text.", title="A", metadata={"lang": "en"}))
    {'lang': 'en', 'title': 'A'}
    """
    title = {"title": hit.title} if hit.title else {}
    piece = {} if hit.piece is None else {"piece": hit.piece.as_json()}
    return {**hit.metadata, **title, **piece}
