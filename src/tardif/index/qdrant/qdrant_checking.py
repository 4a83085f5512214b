"""Examine an index in Qdrant: every point is read back, with its vectors, and compared with what Tardif stores of it.

Qdrant gives no checksum of a vector, so vectors that are sound in form are taken for those that were stored.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from tardif.batching import batched
from tardif.index.checking import Examination
from tardif.index.qdrant.payload import Record, document_of, payload_of, point_id
from tardif.index.qdrant.qdrant_index import EVERY, QdrantIndex

_FIELDS = ("id", "document", "title", "text", "metadata", "piece", "source", "tardif")
# Points that are read together, with their vectors: a service sends some 20 bytes for each component.
_TOGETHER = 32
_UNCHECKED = (
    "Qdrant gives no checksums of vectors: whether they are the ones that were stored is not checked, nor are "
    "Qdrant's own files."
)


def examine_qdrant(index: QdrantIndex) -> Examination:
    """Read every point of an index in Qdrant. Nothing is changed.

    Found are points that Tardif did not write or that were changed since, pieces that are missing, and vectors that no
    search can compare. What another program writes meanwhile may be reported.

    Raises:
        FolderError, ServiceError: Qdrant cannot read its points, or does not answer.
    """
    found, pieces, wanted = Examination(remarks=[_UNCHECKED]), Counter[str](), dict[str, int]()
    dim = index.dim
    for part in batched(index.engine.select(EVERY, ("tardif.of",)), _TOGETHER):
        for record in index.engine.vectors([point.id for point in part], _FIELDS):
            problem = _problem(record, dim)
            if problem:
                found.problems.append(problem)
                continue
            whole = record.payload["document"]
            pieces[whole] += 1
            wanted[whole] = record.payload["tardif"]["of"]
            found.tokens += 0 if record.vectors is None else len(record.vectors)
    found.documents = len(pieces)
    for whole, count in wanted.items():
        if pieces[whole] != count:
            found.problems.append(f"The document {whole!r:.80} has {pieces[whole]} of its {count} pieces.")
    return found


def _problem(record: Record, dim: int) -> str:
    """What is wrong with a point; "" for nothing."""
    held: dict[str, Any] = record.payload
    try:
        document, own = document_of(held), held["tardif"]
        groups = None if own.get("groups") is None else np.array(own["groups"], np.int64)
        written = payload_of(document, groups, held["source"], own["order"])
        is_ours = point_id(document.id) == record.id
    except (LookupError, TypeError, ValueError, AttributeError):
        is_ours = False
    if not is_ours:
        return f"The point {record.id} is none that Tardif wrote: delete it in Qdrant."
    if not _alike(written, held):
        return f"The document {document.id!r:.80} was changed by another program."
    vectors = record.vectors
    if vectors is None:
        return ""
    if vectors.ndim != 2 or vectors.shape[1] != dim or not np.isfinite(vectors).all():
        return f"The document {document.id!r:.80} has vectors that cannot be compared."
    if groups is not None and len(groups) and int(groups.max()) >= len(vectors):
        return f"The document {document.id!r:.80} has fewer vectors than were stored."
    return ""


def _alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal. Qdrant reads the text of a double with a rounded last digit."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-14)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)
