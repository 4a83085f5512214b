"""The field's words as immutable values: document, query, example, hit, qrels, run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Judgements: query id -> document id -> relevance (1 and above: relevant; 0 and below: not)."""

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""A system's answers: query id -> document id -> score (higher is better)."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus.

    ``title`` and ``text`` are what the model reads, joined by a space as BEIR does
    (:attr:`content`); ``metadata`` travels with the document and is never read by the model.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Title and text as one string: what every searcher and model reads."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Query:
    """One information need."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """What one training step learns from: a query, one positive, and its hard negatives (ids).

    ``scores`` are a teacher's, of the positive and then of each negative; empty without a teacher.
    """

    query_id: str
    positive_id: str
    negative_ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found for a query. ``rank`` counts from 1; ``score`` is MaxSim."""

    rank: int
    document_id: str
    score: float
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The hit as the command contract prints it."""
        return {
            "rank": self.rank,
            "document_id": self.document_id,
            "score": self.score,
            "title": self.title,
            "text": self.text,
            "metadata": dict(self.metadata),
        }
