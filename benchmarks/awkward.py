"""What prepare costs on awkward collections: one template for all texts, one query, one document, texts all the same.

    .venv/bin/python benchmarks/awkward.py [NAME ...] [--count 4000] [--miner none]

Processor seconds of ``prepare`` and the lines of ``report.jsonl``, each in a process of its own.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tardif.preparation import prepare_folder

TEMPLATE = (
    "The product numbered {} is made in our factory by hand and comes in three sizes with a warranty of two years on "
    "all parts and labour, and it ships within five days to every country. Whoever is not content with it sends "
    "it back within thirty days, unused and in its box, and is paid the whole price but for what sending it has cost; "
    "a part that breaks is replaced by our workshop, which answers every letter within a week"
)
QUESTION = "What is the current retail price, taxes included, of the item with the number {}?"
NAMES = ("documents", "queries", "one-query", "one-document", "equal")


def rows_of(name: str, count: int) -> tuple[list[Any], list[Any] | None]:
    """The pairs and, where there is one, the corpus."""
    draw = random.Random(0)
    syllables = [
        a + b for a in ("ka", "lo", "mi", "ne", "pu", "ra") for b in ("bel", "dor", "fin", "gar", "hul", "jan")
    ]

    def words(many: int) -> str:
        return " ".join(draw.choice(syllables) for _ in range(many))

    if name == "documents":
        corpus = [{"id": f"d{n}", "text": TEMPLATE.format(n)} for n in range(count)]
        return [(words(6), row["text"]) for row in corpus[:300]], corpus
    if name == "queries":
        return [(QUESTION.format(n), words(20)) for n in range(count)], None
    if name == "one-query":
        return [("the one query", f"{words(20)} {n}") for n in range(count)], None
    if name == "one-document":
        return [(f"{words(6)} {n}", "the one document that answers all of them") for n in range(count)], None
    same = "the same text everywhere"
    return [(f"{words(6)} {n}", same) for n in range(count)], [{"id": f"d{n}", "text": same} for n in range(count)]


def one(name: str, count: int, miner: str) -> str:
    rows, corpus = rows_of(name, count)
    with tempfile.TemporaryDirectory() as place:
        begin = time.process_time()
        out = prepare_folder([rows], corpus, Path(place) / "set", miner=miner)
        seconds = time.process_time() - begin
        with (out / "report.jsonl").open(encoding="utf-8") as file:
            lines = sum(1 for _ in file)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"| {name} | {count:,} | {seconds:.1f} | {peak} | {lines:,} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--miner", default="none")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(one(options.one, options.count, options.miner))
        return
    sys.stdout.write("| collection | rows | processor seconds | peak MB | report lines |\n|---|---|---|---|---|\n")
    sys.stdout.flush()
    for name in options.names or NAMES:
        given = ["--count", str(options.count), "--miner", options.miner, "--one", name]
        subprocess.run([sys.executable, __file__, *given], check=True)


if __name__ == "__main__":
    main()
