"""What a Ray cluster of this machine adds to a build in shards: the same index here, and with ``ray="local"``.

    .venv/bin/python benchmarks/ray_overhead.py scifact --data FOLDER_OF_ARCHIVES [--documents 100 400] [--turns 3]
        [--shards 2]

The model is all-MiniLM-L6-v2 with the recipe at step 0. Both builds have the same cores: here PyTorch's threads, over
Ray a worker of one thread for each. They take turns. The cluster runs before the clock starts; its workers start, and
open the model, within the time of each build. Processor time is of this process and everything that it has started: a
sample ten times a second, so that of a worker that ends its last tenth may be missed.

Fewer documents show what is paid once for a build, more show what is paid for each document.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from archives import unpacked
from collection_vectors import model_folder
from tardif import Document, Retriever
from tardif.cluster.connection import connected
from tardif.data.judged import read_judged

_EVERY = 0.1  # seconds between two samples of processor time
_QUERIES, _K = 50, 20


@dataclass
class Times:
    """Seconds of each build, on the clock and of processors."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Time a block."""
        before, found, ended = _cpu(), dict[tuple[int, float], float](), threading.Event()

        def sample() -> None:
            while not ended.wait(_EVERY):
                found.update(_cpu())

        sampling = threading.Thread(target=sample, daemon=True)
        began = time.perf_counter()
        sampling.start()
        try:
            yield
        finally:
            self.clock.append(time.perf_counter() - began)
            ended.set()
            sampling.join()
            found.update(_cpu())
            self.cpu.append(sum(seconds - before.get(process, 0.0) for process, seconds in found.items()))


def _cpu() -> dict[tuple[int, float], float]:
    """Seconds of processors of this process and of all below it, by their numbers and when they began."""
    own, found = psutil.Process(), {}
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid, process.create_time()] = times.user + times.system
    return found


def build(model: Path, documents: Sequence[Document], out: Path, shards: int, ray: str | None) -> None:
    """Build an index in shards."""
    Retriever.build(model, list(documents), out, shards=shards, quiet=True, ray=ray).close()


def compared(documents: Sequence[Document], one: Path, other: Path) -> tuple[int, int, float]:
    """How many queries have the same hits in the same order in two indexes, of how many, and the largest difference of
    a document's scores. PyTorch's sums depend on its number of threads, so scores may differ in their last digits."""
    queries = {str(number): document.content[:200] for number, document in enumerate(documents[:_QUERIES])}
    with Retriever(one) as first, Retriever(other) as second:
        pairs = [(a, b) for a, b in zip(first.run(queries, _K).values(), second.run(queries, _K).values(), strict=True)]
    apart = max(abs(a[name] - b[name]) for a, b in pairs for name in a.keys() & b.keys())
    return sum(list(a) == list(b) for a, b in pairs), len(pairs), apart


def rows(name: str, here: Times, over: Times) -> Iterator[str]:
    """The rows of a table: medians, and the medians of the ratios turn by turn with their range."""
    ways = {"here": here, "over Ray": over}
    for way, times in ways.items():
        cells = []
        for own, base in ((times.clock, here.clock), (times.cpu, here.cpu)):
            ratios = [a / b for a, b in zip(own, base, strict=True)]
            spread = "" if times is here else f" ({min(ratios):.2f} to {max(ratios):.2f})"
            cells.append(f"{statistics.median(own):.1f} | {statistics.median(ratios):.2f}{spread}")
        yield f"| {name} | {way} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tardif-") as folder, connected("local") as cluster:
        work = Path(folder)
        judged = read_judged(unpacked(options.data / f"{options.collection}.tar.gz", work / "collections"), "train")
        model = model_folder(work, judged.documents, 128)
        build(model, judged.documents[:8], work / "first", options.shards, None)  # imports, untimed
        table, same = list[str](), list[str]()
        for count in options.documents:
            documents, here, over = judged.documents[:count], Times(), Times()
            for turn in range(options.turns):
                places = [work / f"{way}-{count}-{turn}" for way in ("here", "over")]
                for times, place, ray in zip((here, over), places, (None, "local"), strict=True):
                    with times.taken():
                        build(model, documents, place, options.shards, ray)
            table += rows(f"{len(documents):,}", here, over)
            equal, asked, apart = compared(documents, *places)
            same.append(
                f"{len(documents):,} documents: equal hits of {equal} of {asked} queries, scores within {apart:.1e}"
            )
        print(f"{options.shards} shards, {cluster.actors} workers, {options.turns} turns\n")
        print("| documents | build | s | times here | processor s | times here |")
        print("|---|---|---|---|---|---|")
        print("\n".join([*table, "", *same]))


if __name__ == "__main__":
    main()
