"""Qdrant's embedded engine beside Tardif's own: the same vectors, in the same process, by turns.

    .venv/bin/python benchmarks/qdrant.py scifact --data FOLDER_OF_ARCHIVES --work DIR [--documents 2000] [--queries 50]

The vectors of an index of the collection's first documents (all-MiniLM-L6-v2, the recipe at step 0; built once by
:mod:`serve`, kept in DIR) are given to both: to Tardif in 8 bits, its default; to Qdrant in 32 bits, its default, and
in 16. Tardif's shards have no graph, so Qdrant scores every document. Queries are of the collection, one at a
time, on one thread. Times are processor time of the median query, which other work on the machine hardly changes.
Recall is the share of the best ten by exact MaxSim over the given vectors in floats.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collection_vectors import Collection
from search import K, built, header, hits_of, median_ms, recall, said
from serve import built as index_of
from tardif import Retriever
from tardif.encoder.token_vectors import encode_queries
from tardif.index.disk import DiskIndex
from tardif.index.protocol import Index
from tardif.index.qdrant.edge_engine import EdgeEngine
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.index.stored import stored_blocks
from tardif.scoring import maxsim_arrays

_BLOCK = 512


def stored(folder: Path, queries: Sequence[str]) -> Collection:
    """The documents and vectors of an index, and queries encoded as it encodes them."""
    with Retriever(folder) as retriever:
        rows, lengths = encode_queries(retriever.encoder, list(queries))
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    with DiskIndex(folder) as index:
        blocks = list(stored_blocks(index, 1 << 16))
    documents = [document for block in blocks for document in block.documents]
    sizes = np.array([length for block in blocks for length in block.lengths])
    vectors = np.concatenate([block.vectors for block in blocks])
    return Collection(documents, vectors, sizes, rows, list(queries), np.array(lengths), {}, parts)


def in_qdrant(data: Collection, folder: Path, bits: int) -> tuple[QdrantIndex, float, float]:
    """An embedded shard of a collection, and the processor time of storing it and of optimizing it."""
    shutil.rmtree(folder, ignore_errors=True)
    index = QdrantIndex(EdgeEngine(folder, threads=1), about={}, bits=bits)
    ends = np.cumsum(data.lengths)
    began = time.process_time()
    for begin in range(0, len(data.documents), _BLOCK):
        lengths = data.lengths[begin : begin + _BLOCK].tolist()
        first = int(ends[begin]) - lengths[0]
        rows = np.array(data.vectors[first : first + sum(lengths)])
        index.add(data.documents[begin : begin + _BLOCK], rows, lengths)
    stored = time.process_time() - began
    began = time.process_time()
    index.engine.settle()
    return index, stored, time.process_time() - began


def by_floats(data: Collection, queries: Sequence[NDArray[np.float32]]) -> list[set[str]]:
    """The best ten of each query by the float vectors."""
    names = [document.id for document in data.documents]
    asked = [len(query) for query in queries]
    scores = maxsim_arrays(np.concatenate(queries), asked, data.vectors, data.lengths.tolist())
    return [{names[place] for place in np.argsort(-row, kind="stable")[:K]} for row in scores]


def size_on_disk(folder: Path) -> float:
    """MB that the files of an index take: blocks, because Qdrant's files have holes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6


def compare(name: str, data: Collection, work: Path) -> None:
    queries = data.bare
    exact = by_floats(data, queries)
    tokens = len(data.vectors)
    header(
        f"{name}: {len(data.documents):,} documents, {tokens:,} vectors of {data.vectors.shape[1]}",
        "exact, CPU-ms",
        "recall@10",
        "as searched by default, CPU-ms",
        "recall@10",
        "build, CPU-s",
        "MB on disk",
    )

    def row(what: str, index: Index, folder: Path, build: str) -> None:
        cells: list[str] = []
        for how in ({"exact": True}, {}):
            searched: Callable[[Any], Any] = lambda q, how=how: index.search(q, [len(q)], K, **how)  # noqa: E731
            cells += [f"{median_ms(searched, queries):.1f}", recall(hits_of(index, queries, **how), exact)]  # type: ignore[arg-type]
        said(what, *cells, build, f"{size_on_disk(folder):.0f}")

    own, seconds = built(data, work / "own.index", 8)
    with own:
        row("Tardif, 8 bits", own, work / "own.index", f"{seconds:.1f}")
    for bits in (32, 16):
        index, stored, optimized = in_qdrant(data, work / "shard", bits)
        with index:
            row(f"Qdrant, {bits} bits", index, work / "shard", f"{stored:.1f} + {optimized:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    for name in options.names:
        folder, queries, _ = index_of(name, options)
        compare(name, stored(folder, queries[: options.queries]), options.work)


if __name__ == "__main__":
    main()
