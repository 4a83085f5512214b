"""What shards cost: an index in 1 to 16 shards beside one index over the same documents, in the same run.

    .venv/bin/python benchmarks/shards.py cranfield --data FOLDER_OF_ARCHIVES --work DIR [--documents N] [--queries Q]
        [--copies C] [--shards 1 2 4 8 16]

The index is all-MiniLM-L6-v2 with the recipe at step 0, built once and kept in DIR (as in serve.py). Its stored vectors
are put into indexes in shards, with its codebook. Documents can be repeated under other ids, for a larger collection.
Then each query is asked of every index in turn, so that whatever else the machine does slows all of them alike. Times
are of the index alone, with queries that are encoded already; processor time is of all threads of the process.

Exact hits must be equal, ids and scores. The recall of a pruned search is over the exact hits of the one index.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from serve import built
from tardif import Document, Retriever
from tardif.index.disk import DiskIndex
from tardif.index.protocol import Index
from tardif.index.sharded_folder import ShardedFolder
from tardif.index.stored import stored_blocks

_K = 10
_BLOCK = 200_000  # token vectors added together


@dataclass
class Times:
    """Seconds of each search, on the clock and of processors; and what it found."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    found: list[list[tuple[str, float]]] = field(default_factory=list)

    def take(self, search: Callable[[], list[list[tuple[str, float]]]]) -> None:
        """Do one search."""
        clock, cpu = time.perf_counter(), time.process_time()
        hits = search()
        self.cpu.append(time.process_time() - cpu)
        self.clock.append(time.perf_counter() - clock)
        self.found.append(hits[0])

    def cells(self, one: Times) -> str:
        """The median and the 99th percentile in milliseconds, and processor time, as cells of a table; the median as a
        multiple of the one index's, query by query."""
        middle, late = (1000 * float(np.quantile(self.clock, q)) for q in (0.5, 0.99))
        times = float(np.median(np.array(self.clock) / np.array(one.clock)))
        work = float(np.mean(self.cpu) / np.mean(one.cpu))
        return f"{middle:.2f} | {late:.2f} | {times:.2f} | {work:.2f}"


def blocks(index: DiskIndex, copies: int) -> Iterator[tuple[list[Document], Any, list[int]]]:
    """The documents of an index with their vectors, repeated under other ids."""
    for copy in range(copies):
        for block in stored_blocks(index, _BLOCK):
            named = [
                replace(document, id=f"{document.id} {copy}" if copy else document.id) for document in block.documents
            ]
            # Rounding in 8 bits makes some longer than 1. An index scales such vectors by the longest that is added
            # with them, which differs from shard to shard.
            norms = np.maximum(np.linalg.norm(block.vectors, axis=1, keepdims=True), 1)
            yield named, block.vectors / norms, block.lengths


def filled(made: Any, index: DiskIndex, copies: int) -> Any:
    """An index with the documents of another, and its codebook."""
    book = index.codebook()
    for part in getattr(made, "stored", [made]):
        if book is not None:
            part.use_codebook(book)
    for block in blocks(index, copies):
        made.add(*block)
    for part in getattr(made, "stored", [made]):
        part.wait()
        while part.compact():
            pass
    return made


def measured(
    indexes: dict[str, Index], queries: Sequence[Any], *, exact: bool, words: Sequence[str] | None = None
) -> dict[str, Times]:
    """The times of all queries on each index, in turn."""
    found = {name: Times() for name in indexes}
    for place in range(-3, len(queries)):  # three unmeasured, for kernels and caches
        query = queries[place]
        for name, index in indexes.items():
            times = found[name] if place >= 0 else Times()
            if words is not None:
                text = words[place]
                times.take(lambda index=index, text=text: [index.search_words(text, _K)])  # type: ignore[misc]
            else:
                times.take(lambda index=index, query=query: index.search(query, [len(query)], _K, exact=exact))  # type: ignore[misc]
    return found


def recall(found: Times, exact: Times) -> float:
    """The mean share of hits that are as good as the exact ones: copies of a document tie, and any of them will do."""
    shares = [
        sum(score >= best[-1][1] for _, score in some) / len(best)
        for some, best in zip(found.found, exact.found, strict=True)
        if best
    ]
    return float(np.mean(shares))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=None)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()
    folder, asked, _ = built(options.collection, options)
    asked = asked[: options.queries]
    with ExitStack() as closing:
        retriever = closing.enter_context(Retriever(folder))
        vectors, lengths = retriever._model.encode_queries(asked)
        queries = np.split(vectors, np.cumsum(lengths)[:-1])
        source = retriever.index
        assert isinstance(source, DiskIndex)
        work = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=options.work)))
        about: dict[str, Any] = {"model": {}, "bits": source.bits, "words": "en"}
        indexes: dict[str, Any] = {"one index": filled(DiskIndex.create(work / "one", **about), source, options.copies)}
        for count in options.shards:
            name = f"{count} shard{'s' * (count > 1)}"
            indexes[name] = filled(ShardedFolder.create(work / f"{count}", count, **about), source, options.copies)
        for made in indexes.values():
            closing.callback(made.close)
        one = indexes["one index"]
        print(f"{len(one):,} documents, {one.tokens:,} token vectors in {one.bits} bits, {len(queries)} queries\n")
        kinds = {
            "exact": measured(indexes, queries, exact=True),
            "pruned": measured(indexes, queries, exact=False),
            "BM25": measured(indexes, queries, exact=True, words=asked),
        }
        print("| search | index | median ms | 99% ms | times one index | processor time, times | recall | equal hits |")
        print("|---|---|---|---|---|---|---|---|")
        for kind, found in kinds.items():
            best = found if kind == "BM25" else kinds["exact"]
            for name, times in found.items():
                equal = sum(a == b for a, b in zip(times.found, best["one index"].found, strict=True))
                share = recall(times, best["one index"])
                print(
                    f"| {kind} | {name} | {times.cells(found['one index'])} | {share:.4f} | {equal} of {len(queries)} |"
                )
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
