"""A searcher whose scores are known, and a collection for it: d0 scores 100 for every query, d1 99, ..."""

from __future__ import annotations

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.types import Document


class Falling:
    """d0 scores 100, d1 99, ... for every query."""

    def search(self, queries, k):
        return [[(f"d{n}", 100.0 - n) for n in range(100)][:k] for _ in queries]

    def score(self, queries, documents):
        return [[100.0 - int(d[1:]) for d in ids] for ids in documents]


def collection(queries=40):
    """So many queries, each answered by d10."""
    documents = {f"d{n}": Document(f"d{n}", f"word{n} " + "long " * 100) for n in range(100)}
    texts = {f"q{n}": f"text {n}" for n in range(queries)}
    return TrainingSet(documents, texts, {q: {"d10": 1} for q in texts}, dict.fromkeys(texts, TRAIN))
