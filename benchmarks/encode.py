"""Encoding documents: Tardif against `MultiVectorEncoder.encode_document`, same model, texts and process.

    .venv/bin/python benchmarks/encode.py --data FOLDER_WITH_SCIFACT [--documents 256] [--turns 3]

The systems take turns and the median counts. The share of the peak: operations of the model's matrix products per
second, against what the machine reaches at the linear maps' shapes in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from peak import SHAPES, layer, work
from tardif.data.documents import stream_documents
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.encoding import SUB_BATCH_TOKENS, encode_texts
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.encoder.tokens import tokens_for


def theirs(model: Any, texts: list[str]) -> tuple[Any, list[int]]:
    found = model.encode_document(texts, convert_to_numpy=True, show_progress_bar=False)
    return np.concatenate(found), [len(vectors) for vectors in found]


def peak() -> float:
    """Operations a second, the best of several turns."""
    tokens = SUB_BATCH_TOKENS["cpu"]
    best = min(layer(tokens) for _ in range(12))
    return 3 * tokens * sum(2 * a * b for a, b in SHAPES) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="scifact's BEIR folder")
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    stream = stream_documents(options.data / "corpus.jsonl")
    texts = [document.content for _, document in itertools.islice(stream, options.documents)]
    library = build_model(resolve_base(MINILM), Recipe(document_length=256)).eval()
    model = build_model(resolve_base(MINILM), Recipe(document_length=256)).eval()
    systems = {
        "tardif": lambda: encode_texts(model, texts, "document"),
        "sentence-transformers": lambda: theirs(library, texts),
    }
    taken: dict[str, list[float]] = {name: [] for name in systems}
    found: dict[str, Any] = {}
    peaks = []
    for _ in range(options.turns):
        peaks.append(peak())
        for name, run in systems.items():
            began = time.perf_counter()
            found[name] = run()
            taken[name].append(time.perf_counter() - began)
    (mine, lengths), (other, other_lengths) = found["tardif"], found["sentence-transformers"]
    assert lengths == other_lengths
    tokens = [len(row) for row in tokens_for(model, 4096).ids(texts, "document")]
    ours = statistics.median(taken["tardif"])
    difference = abs(mine - other).max()
    print(f"{len(texts)} documents of {statistics.mean(tokens):.0f} tokens; largest difference {difference:.1e}")
    print("| system | documents/s | as long as Tardif |\n|---|---|---|")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"| {name} | {len(texts) / median:.1f} | {median / ours:.2f} x |")
    best = statistics.median(peaks)
    print(f"Peak: {best / 1e9:.0f} GFLOP/s. Of it Tardif reaches: {work(tokens, backward=False).shares(ours, best)}.")


if __name__ == "__main__":
    main()
