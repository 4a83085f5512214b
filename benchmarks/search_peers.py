"""Engines that need an environment of their own: fast-plaid, on the vectors that :mod:`search` uses.

    make bench-search-peers      makes .venv-peers with what fast-plaid asks for, and runs this there

Needs no Tardif: ``search.py export`` has written documents, queries and the exact best ten.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| fast-plaid, documents | search, CPU-ms | recall@10 | build, CPU-s per 1,000 |\n|---|---|---|---|")
    for path in sorted((options.work / "export").glob("*.npz"), key=lambda path: path.stat().st_size):
        with np.load(path) as file:
            documents = [torch.from_numpy(part) for part in np.split(file["rows"], np.cumsum(file["lengths"])[:-1])]
            queries = torch.from_numpy(file["queries"][: options.queries])  # [queries, tokens, dim]
            best = file["best"][: options.queries]
        folder = options.work / "fast-plaid"
        shutil.rmtree(folder, ignore_errors=True)
        began = time.process_time()
        engine = search.FastPlaid(index=str(folder), device="cpu")
        engine.create(documents_embeddings=documents)
        build = time.process_time() - began
        taken, shares = [], []
        for query, wanted in zip(queries, best, strict=True):
            began = time.process_time()
            (hits,) = engine.search(queries_embeddings=query[None], top_k=10)
            taken.append(time.process_time() - began)
            shares.append(len({hit[0] for hit in hits} & set(wanted.tolist())) / 10)
        per = 1000 * build / len(documents)
        ms = 1e3 * statistics.median(taken)
        print(f"| {len(documents):,} | {ms:.0f} | {statistics.mean(shares):.3f} | {per:.1f} |", flush=True)


if __name__ == "__main__":
    main()
