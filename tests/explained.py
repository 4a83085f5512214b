"""Explanations made by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from tardif.explanation import Explanation, Match, Token

WEAK = 0.1


def tokens_of(text):
    """One token for each word and each sign."""
    return [
        Token(found[0], found.start(), found.end(), number)
        for number, found in enumerate(re.finditer(r"\w+|[^\w\s]", text))
    ]


def explained(
    query: str, document: str, similar: Mapping[tuple[str, str], float], *, document_id: str = ""
) -> Explanation:
    """An explanation in which words are as similar as is said, and all others hardly."""
    asked, words = tokens_of(query), tokens_of(document)
    found = {(one.casefold(), other.casefold()): value for (one, other), value in similar.items()}
    rows = [[found.get((q.text.casefold(), d.text.casefold()), WEAK) for d in words] for q in asked]
    similarities = np.array(rows, dtype=np.float32).reshape(len(asked), len(words))
    best = similarities.argmax(axis=1) if words else []
    matches = [Match(row, (int(column),), float(similarities[row, column])) for row, column in enumerate(best)]
    score = float(sum(match.similarity for match in matches))
    return Explanation(query, document, asked, words, matches, score, similarities, document_id)
