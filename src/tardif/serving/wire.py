"""Documents and explanations as JSON, on their way to the process that encodes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tardif.data.json_metadata import as_stored
from tardif.explanation import Explanation
from tardif.types import Document


def document_to(document: Document) -> dict[str, Any]:
    """Return a whole document as JSON can hold it.

    >>> document_from(document_to(Document("a", "The sea.", metadata={"tags": ("blue",)}))).metadata
    {'tags': ['blue']}

    Raises:
        DataError: its metadata cannot be stored.
    """
    return {
        "id": document.id,
        "text": document.text,
        "title": document.title,
        "metadata": as_stored(document.metadata),
    }


def document_from(given: Mapping[str, Any]) -> Document:
    """Return the document of :func:`document_to`."""
    return Document(given["id"], given["text"], given["title"], given["metadata"])


def explanation_to(explanation: Explanation) -> list[Any]:
    """Return an explanation as JSON can hold it, with every similarity."""
    # A float32 is written with all the digits of a float64, so it is read back exactly.
    return [explanation.as_json(), explanation.similarities.tolist()]


def explanation_from(given: Sequence[Any]) -> Explanation:
    """Return the explanation of :func:`explanation_to`."""
    return Explanation.from_json(*given)
