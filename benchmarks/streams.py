"""The memory of reading a corpus from a generator and indexing it, by the number of its documents.

    streams.py --work DIR [--documents 100000 1000000 10000000] [--hybrid]

Documents have six words; a fake encoder gives each four vectors of 16 components, so that the engine is measured and
not a model. Each size has a process of its own. Memory is RssAnon, which maps of files do not count in, read every
20 ms. The second call of a size continues an index that holds all documents: nothing is encoded.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tardif.index.disk import DiskIndex
from tardif.progress import Console
from tardif.search.build import DocumentVectors, fill
from tardif.search.corpus_reader import CorpusReader

DIM, TOKENS, WORDS = 16, 4, 50_000
FIELDS = (
    "documents",
    "reading s",
    "indexing s",
    "again s",
    "CPU s",
    "at first",
    "reading",
    "indexing",
    "again",
    "disk MB",
)


def say(*cells: object) -> None:
    sys.stdout.write("\t".join(map(str, cells)) + "\n")
    sys.stdout.flush()


def anonymous() -> float:
    """The anonymous memory of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("RssAnon"))


class Peak:
    """The most anonymous memory since it was last asked for."""

    def __init__(self) -> None:
        self._most, self._ended = 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self._most = max(self._most, anonymous())

    def taken(self) -> int:
        """Return it, and begin again."""
        most, self._most = max(self._most, anonymous()), 0.0
        return round(most)


def documents(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        # A different mixture for each document, without a generator of random numbers for each.
        words = (f"w{(number * 2654435761 + place * 40503 * (number % 97 + 1)) % WORDS}" for place in range(6))
        yield {"id": f"doc-{number:08d}", "text": " ".join(words)}


def encoded(texts: Sequence[str]) -> DocumentVectors:
    """Four vectors of each text, which depend on its words: near some thousand directions, as tokens are."""
    words = np.array([[int(word[1:]) for word in text.split()[:TOKENS]] for text in texts])  # [texts, TOKENS]
    axes = np.arange(1, DIM + 1)
    phase = words.reshape(-1, 1) % 4_001 * axes * 0.7548776662 + (words.reshape(-1, 1) % 13) * 0.01
    vectors = np.cos(phase).astype(np.float32)
    return DocumentVectors(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [TOKENS] * len(texts))


def measured(work: Path, count: int, words: str | None) -> dict[str, Any]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    encoded(["w1 w2 w3 w4 w5 w6"])
    found: dict[str, Any] = {"documents": f"{count:,}", "at first": round(anonymous())}
    peak = Peak()
    index = DiskIndex.create(work / "index", model={}, bits=2, words=words, threads=1)
    for call in ("indexing", "again"):
        reader = CorpusReader(documents(count), Console(quiet=True), None, {})
        start = time.monotonic()
        with reader.corpus(spool=work / call) as corpus:
            if call == "indexing":
                found |= {"reading s": round(time.monotonic() - start), "reading": peak.taken()}
            start = time.monotonic()
            fill(index, corpus, partial(map, encoded))
        found |= {f"{call} s": round(time.monotonic() - start), call: peak.taken()}
    index.close()
    size = sum(path.stat().st_size for path in (work / "index").rglob("*") if path.is_file())
    shutil.rmtree(work)
    return {**found, "CPU s": round(time.process_time()), "disk MB": round(size / 1e6)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--hybrid", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        say(json.dumps(measured(options.work, options.documents[0], "en" if options.hybrid else None)))
        return
    say(*FIELDS)
    for count in options.documents:
        given = ["--work", str(options.work), "--documents", str(count), *(["--hybrid"] if options.hybrid else [])]
        ran = subprocess.run([sys.executable, __file__, "--one", *given], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(ran.stdout)
        say(*(found[name] for name in FIELDS))


if __name__ == "__main__":
    main()
