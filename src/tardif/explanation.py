"""The explanation of a score: which document token each query token matched, and how similar they are.

MaxSim is a sum over the query's tokens: each counts with its most similar document token (Khattab and Zaharia, ColBERT,
SIGIR 2020). So a score can be taken apart exactly.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.display import Short


@dataclass(frozen=True, slots=True, repr=False)
class Token(Short):
    """A token with a vector, and its place in the text.

    Attributes:
        text: what a reader sees: the characters of the text that it covers, or the token's name, such as ``[MASK]``,
            where it is not in the text.
        start: the place of its first character in the text; None for a token that is not in the text (markers, the
            expansion of a query), or where the tokenizer gives no offsets.
        end: the place after its last character.
        word: the number of the word that it is part of, from 0; None for a token that is in no word.
    """

    text: str
    start: int | None = None
    end: int | None = None
    word: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the token as ``explain --json`` prints it."""
        return {"text": self.text, "start": self.start, "end": self.end, "word": self.word}


@dataclass(frozen=True, slots=True, repr=False)
class Match(Short):
    """The match of one query token: its most similar vector of the document.

    Attributes:
        query_token: the number of the query's token, from 0.
        document_tokens: the numbers of the document's tokens that the vector stands for: one, or several where tokens
            were pooled.
        similarity: the inner product of the two vectors. The similarities of all matches sum to the score.
    """

    query_token: int
    document_tokens: tuple[int, ...]
    similarity: float

    def as_json(self) -> dict[str, Any]:
        """Return the match as ``explain --json`` prints it."""
        tokens = list(self.document_tokens)
        return {
            "query_token": self.query_token,
            "document_token": tokens[0],
            "similarity": self.similarity,
            **({"document_tokens": tokens} if len(tokens) > 1 else {}),
        }


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Explanation(Short):
    """A score taken apart.

    Attributes:
        query: the query's text.
        document: the document's text as the model reads it: title and text.
        query_tokens: the query's tokens with a vector.
        document_tokens: the document's.
        matches: one for each query token, in their order.
        score: the sum of the matches' similarities.
        similarities: of each query token with each document token, ``[query tokens, document tokens]``; a pooled
            vector's stand at each of its tokens.
        document_id: the document's id; empty for a text without one.
        note: what a reader must know, such as that the tokenizer gives no places in the text.
    """

    query: str
    document: str
    query_tokens: Sequence[Token]
    document_tokens: Sequence[Token]
    matches: Sequence[Match]
    score: float
    similarities: NDArray[np.float32] = field(repr=False)
    document_id: str = ""
    note: str = ""

    def _repr_html_(self) -> str:
        # By its name: the package that draws pages lies above this module, and only a notebook asks for it.
        drawn = importlib.import_module("tardif.report.explained_pair").explanation_block(self)
        return str(drawn)

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as ``explain --json`` prints it."""
        return {
            "query": self.query,
            "document": self.document,
            **({"document_id": self.document_id} if self.document_id else {}),
            "query_tokens": [token.as_json() for token in self.query_tokens],
            "document_tokens": [token.as_json() for token in self.document_tokens],
            "matches": [match.as_json() for match in self.matches],
            "score": self.score,
            **({"note": self.note} if self.note else {}),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], similarities: Sequence[Sequence[float]]) -> Explanation:
        """Return the explanation that :meth:`as_json` wrote.

        Args:
            fields: what it wrote.
            similarities: ``[query tokens, document tokens]``, which it leaves out.
        """
        query, document = ([Token(**token) for token in fields[f"{side}_tokens"]] for side in ("query", "document"))
        matches = [
            Match(
                match["query_token"],
                tuple(match.get("document_tokens") or [match["document_token"]]),
                match["similarity"],
            )
            for match in fields["matches"]
        ]
        return cls(
            query=fields["query"],
            document=fields["document"],
            query_tokens=query,
            document_tokens=document,
            matches=matches,
            score=fields["score"],
            similarities=np.array(similarities, dtype=np.float32).reshape(len(query), len(document)),
            document_id=fields.get("document_id", ""),
            note=fields.get("note", ""),
        )
