"""What a lower precision loses on a real collection, and what time it saves: nDCG@10 against the model in float32.

    .venv/bin/python benchmarks/precision.py MODEL DATA [--split test] [--queries N] [--documents N]
        [--encoders torch bfloat16 onnx-fp32 onnx-int8]

``bfloat16`` is ``tardif index --precision bf16``: the documents are encoded in it, the queries in float32. For the
graphs the checkpoint is exported (``tardif export CHECKPOINT --format onnx``), and they encode the split's queries and
its corpus by the recipe alone. A base that is no ColBERT gets Tardif's recipe, untrained. The table has nDCG@10 of each
encoder, its difference to the first, the paired p-value, the queries whose ten best documents stay the same ten, in any
order, and documents encoded in a second of processor time. ``--queries`` draws some of the queries, with a fixed
seed; ``--documents`` cuts the corpus to all that is relevant to them and others, drawn so, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archives import unpacked
from tardif.data.judged import JudgedSet, read_judged
from tardif.encoder.base import resolve_base
from tardif.encoder.encoding import encode_texts
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe
from tardif.evaluation.measures import per_query
from tardif.evaluation.paired import significance
from tardif.integrations.checkpoints import export_checkpoint
from tardif.integrations.checkpoints.onnx import OnnxEncoder
from tardif.ranking import TopK
from tardif.scoring import maxsim_arrays
from tardif.search.build import document_vectors
from tardif.text.normal import keyed_order
from tardif.types import Document, Run

MEASURE, K, BLOCK = "nDCG@10", 10, 128
ENCODERS = ["torch", "bfloat16", "onnx-fp32", "onnx-int8"]
# Encodes texts for a task: packed vectors [tokens, dim], and the number of rows of each text.
Encode = Callable[[Sequence[str], str], tuple[np.ndarray, list[int]]]


def encoder(name: str, model: Any, folder: Path) -> Encode:
    """What encodes, by its name in the table."""
    if name.startswith("onnx"):
        return by_graph(OnnxEncoder(folder, precision=name.removeprefix("onnx-")))

    def encode(texts: Sequence[str], task: str) -> tuple[np.ndarray, list[int]]:
        if task == "query" or name == "torch":
            return encode_texts(model, texts, task)
        vectors, lengths, _ = document_vectors(model, texts, 1.0, "bf16")
        return vectors, lengths

    return encode


class Timed:
    """Encodes, and counts documents and the seconds of processor time that they took."""

    def __init__(self, encode: Encode) -> None:
        self._encode, self.documents, self.seconds = encode, 0, 0.0

    def __call__(self, texts: Sequence[str], task: str) -> tuple[np.ndarray, list[int]]:
        """Encode texts."""
        begun = time.process_time()
        found = self._encode(texts, task)
        if task == "document":
            self.documents += len(texts)
            self.seconds += time.process_time() - begun
        return found


def by_graph(encoder: OnnxEncoder) -> Encode:
    def encode(texts: Sequence[str], task: str) -> tuple[np.ndarray, list[int]]:
        found = encoder.encode(texts, task)
        return np.concatenate(found), [len(vectors) for vectors in found]

    return encode


def ranked(encode: Encode, judged: JudgedSet, documents: Sequence[Document]) -> Run:
    """Rank the documents for every query by exact MaxSim, a block at a time."""
    vectors, lengths = encode(list(judged.queries.values()), "query")
    best, ids = TopK(len(lengths), K), sorted(document.id for document in documents)
    for begin in range(0, len(documents), BLOCK):
        block = documents[begin : begin + BLOCK]
        d_vectors, d_lengths = encode([document.content for document in block], "document")
        places = np.searchsorted(ids, [document.id for document in block])
        filled = np.flatnonzero(d_lengths)  # a text without tokens is no hit
        best.add(maxsim_arrays(vectors, lengths, d_vectors, d_lengths)[:, filled], places[filled])
        sys.stderr.write(f"\r{begin + len(block)} of {len(documents)} documents")
    return {query: dict(hits) for query, hits in zip(judged.queries, best.hits(ids), strict=True)}


def cut(judged: JudgedSet, count: int) -> list[Document]:
    """The relevant documents and others, ``count`` in all; 0: the whole corpus. Longest first."""
    relevant = {d for found in judged.qrels.values() for d, relevance in found.items() if relevance > 0}
    first = sorted(judged.documents, key=lambda document: (document.id not in relevant, keyed_order(0, document.id)))
    kept = first[: max(count, len(relevant))] if count else first
    return sorted(kept, key=lambda document: (-len(document.content), document.id))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint or base")
    parser.add_argument("data", type=Path, help="a BEIR folder, or an archive of one")
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=0, help="0: all")
    parser.add_argument("--documents", type=int, default=0, help="0: all")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS, help="among: " + ", ".join(ENCODERS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        judged = read_judged(unpacked(options.data, place), options.split)
        drawn = sorted(judged.queries, key=lambda query: keyed_order(0, query))[: options.queries or None]
        queries, qrels = ({query: known[query] for query in drawn} for known in (judged.queries, judged.qrels))
        judged = replace(judged, queries=queries, qrels=qrels)
        documents = cut(judged, options.documents)
        model = build_model(resolve_base(options.model), Recipe()).eval()
        model.save_pretrained(str(place / "model"), create_model_card=False)
        if any(name.startswith("onnx") for name in options.encoders):
            export_checkpoint(place / "model", place / "onnx", "onnx")
        table(judged, documents, {name: encoder(name, model, place / "onnx") for name in options.encoders})


def table(judged: JudgedSet, documents: Sequence[Document], encoders: dict[str, Encode]) -> None:
    """Print what each encoder gives; the first is what the others are compared with."""
    print(f"{len(judged.queries)} queries, {len(documents)} documents\n")
    print(f"| encoder | {MEASURE} | difference | p | same {K} | documents/s |\n|---|---|---|---|---|---|", flush=True)
    runs: list[Run] = []
    values: list[dict[str, float]] = []
    for name, given in encoders.items():
        encode = Timed(given)
        runs.append(ranked(encode, judged, documents))
        values.append(per_query(judged.qrels, runs[-1], [MEASURE])[MEASURE])
        mean, first = (sum(found.values()) / len(found) for found in (values[-1], values[0]))
        same = np.mean([set(runs[-1][query]) == set(runs[0][query]) for query in judged.queries])
        p = significance(values[-1], values[0])
        beside = f"{mean - first:+.4f} | {p:.3f} | {same:.0%}" if runs[1:] else " | | "
        print(f"| {name} | {mean:.4f} | {beside} | {encode.documents / encode.seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
