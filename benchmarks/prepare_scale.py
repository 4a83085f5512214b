"""How `tardif prepare` grows: seconds and peak memory on synthetic pairs, 0.1, 1 and 10 million of them.

    .venv/bin/python benchmarks/prepare_scale.py [--millions 0.1 1 10] [--folder SCRATCH]

Each query has 8 to 12 words and each document 20 to 40, drawn with a skewed distribution from 50,000
words; 2 % of the pairs repeat another, 5 % of the queries have a second positive. Nothing is mined:
memory then has a bound (mining holds the queries; ``mining_streams.py`` measures it).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "ar", "en") for c in
         ("ba", "co", "di", "fu", "ga", "li", "mo", "na", "po", "ra", "sel", "tin", "vor", "zan")]  # fmt: skip


def write_pairs(path: Path, count: int) -> None:
    draw = random.Random(0)
    vocabulary = [f"{word}{number}" if number else word for number in range(40) for word in WORDS][:50_000]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    pool = draw.choices(vocabulary, weights, k=1_000_000)

    def text(least: int, most: int) -> str:
        begin = draw.randrange(len(pool) - most)
        return " ".join(pool[begin : begin + draw.randint(least, most)])

    query = document = ""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            kind = draw.random()
            if kind > 0.02 or not number:
                document = f"{text(20, 40)} {number}"
                if kind > 0.07 or not number:
                    query = f"{text(8, 12)} {number}"
            file.write(f'{{"query": "{query}", "positive": "{document}"}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[0.1, 1, 10])
    parser.add_argument("--folder", type=Path, help="where to write; needs some 10 GB for 10 million")
    options = parser.parse_args()
    print("| pairs | file | seconds | pairs/s | peak memory |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        pairs = Path(scratch) / "pairs.jsonl"
        for millions in options.millions:
            write_pairs(pairs, int(millions * 1_000_000))
            out = Path(scratch) / f"set-{millions}"
            command = [sys.executable, "-m", "tardif", "prepare", str(pairs), "--out", str(out)]
            began = time.monotonic()
            subprocess.run([*command, "--miner", "none", "--quiet"], check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - began
            # The children's maximum: sizes run from small to large, so it is this run's.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            counts = json.loads((out / "manifest.json").read_text())["counts"]
            assert counts["qrels"] > 0.95 * millions * 1_000_000, counts
            size = pairs.stat().st_size / 1e6
            rate = millions * 1e6 / seconds
            print(f"| {millions:g} M | {size:,.0f} MB | {seconds:,.0f} | {rate:,.0f} | {peak:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
