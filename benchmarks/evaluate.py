"""Peak memory and speed of the evaluation of many queries: ranking, measuring, writing the run.

    .venv/bin/python benchmarks/evaluate.py [--queries 100000] [--documents 500] [--depth 100]

The encoder is a stand-in: each word has a fixed random unit vector of 64 dimensions, so what is measured is the
evaluation itself. Queries have 8 words, documents 40. Needs no data and no model.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

WORDS, DIM = 5000, 64


class Words:
    """Texts of numbers as words, and their vectors."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(WORDS, DIM)).astype(np.float32)
        self.random, self.vectors = random, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def texts(self, count: int, words: int) -> list[str]:
        """Draw texts of so many words."""
        return [" ".join(map(str, row)) for row in self.random.integers(0, WORDS, size=(count, words)).tolist()]

    def encode(self, model: object, texts: list[str]) -> tuple[np.ndarray, list[int]]:
        """Look the vectors of texts up."""
        rows = [list(map(int, text.split())) for text in texts]
        return self.vectors[[word for row in rows for word in row]], [len(row) for row in rows]

    def encode_parts(self, model: object, texts: list[str], take: Callable[..., object]) -> list[int]:
        """Look the vectors of texts up, some at a time."""
        for first in range(0, len(texts), 512):
            take(*self.encode(model, texts[first : first + 512]))
        return list(range(len(texts)))


def stand_in(words: Words) -> object:
    """Put the stand-in where the evaluation encodes; return what passes for its model."""
    from tardif.evaluation import measures

    try:
        from tardif.evaluation import exhaustive

        exhaustive.encode_documents, exhaustive.encode_query_parts = words.encode, words.encode_parts
    except ImportError:  # an earlier version
        measures.encode_documents = measures.encode_queries = words.encode
    return SimpleNamespace(get_embedding_dimension=lambda: DIM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--depth", type=int, default=100)
    asked = parser.parse_args()

    from tardif.evaluation.measures import means, per_query, rank
    from tardif.evaluation.runs import write_run
    from tardif.types import Document

    words, found = Words(), {}
    documents = [Document(f"d{n:07}", text) for n, text in enumerate(words.texts(asked.documents, 40))]
    queries = {f"q{n:07}": text for n, text in enumerate(words.texts(asked.queries, 8))}
    qrels = {query: {documents[n % len(documents)].id: 1} for n, query in enumerate(queries)}
    model = stand_in(words)
    found["MB before"] = peak()
    began = time.process_time()
    run = rank(model, queries, documents, k=asked.depth)
    found["CPU seconds of ranking"] = round(time.process_time() - began, 1)
    found["million scores per CPU second"] = round(
        len(queries) * len(documents) / found["CPU seconds of ranking"] / 1e6, 2
    )
    found["MB after ranking"] = peak()
    began = time.process_time()
    found["measures"] = means(per_query(qrels, run, ["nDCG@10", "R@100"]))
    found["CPU seconds of measuring"] = round(time.process_time() - began, 1)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        write_run(Path(folder, "all.run"), run)
        found["CPU seconds of writing"] = round(time.process_time() - began, 1)
    found["MB at the end"] = peak()
    print(json.dumps(found, indent=1))


def peak() -> int:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
