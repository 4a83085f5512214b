"""The engine: scanning, pruned search, building, size, memory, writes, start-up; beside peers in the same process.

    .venv/bin/python benchmarks/search.py PART ... --data FOLDER_OF_ARCHIVES --work DIR
    make bench-search            all parts; make bench-search-peers adds the peers that can be installed

Parts: ``scan`` (exhaustive exact scoring: packed GEMM, maxsim-cpu and colbandit beside it), ``random`` (the same over
random vectors; needs no model), ``growth`` (pruned search of 1,000 to 43,001 documents), ``bits`` (build, size, recall
and nDCG@10 for each number of bits), ``writes``, ``memory``, ``words`` (BM25 over 43,001 documents; needs no vectors),
``hybrid`` (the same by vectors, by words and by both, with and without a filter), ``cold`` (the command line),
``explain`` (hits explained from their stored vectors, on scifact). One
thread, real token vectors (:mod:`collection_vectors`), queries filled to 32 tokens one at a time; times are processor
time of the median query, without encoding. Growth is also measured with bare queries, of their own tokens alone: an
untrained model's filling says little, and is the hardest to prune.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import dataclasses
import importlib.util
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archives import unpacked
from collection_vectors import Collection, collection, model_folder
from tardif.data.judged import read_judged
from tardif.evaluation.measures import measure
from tardif.index.codes import TiledQuery, encode, scan, to_fixed
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.fulltext import words_of
from tardif.index.spool import SpooledCorpus
from tardif.index.store import Store
from tardif.ranking import DEPTH, WORD_SHARE, blend
from tardif.scoring import maxsim_arrays
from tardif.search.build import DocumentVectors, fill
from tardif.types import Document

K = 10
QUERIES = 100


def said(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def header(*cells: str) -> None:
    print()
    said(*cells)
    said(*["---"] * len(cells))


def median_ms(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Processor time of the median item, in milliseconds; the first warms up."""
    work(items[0])
    taken = []
    for item in items:
        began = time.process_time()
        work(item)
        taken.append(time.process_time() - began)
    return 1e3 * statistics.median(taken)


def limits() -> None:
    """What this machine reaches on one thread: fp32 products of large matrices, and reading memory."""
    import torch

    torch.set_num_threads(1)
    a = torch.randn(2048, 2048)
    _ = a @ a
    gemm = min(_timed(lambda: a @ a) for _ in range(5))
    big = np.ones(1 << 27, dtype=np.int64)  # 1 GB
    read = min(_timed(big.sum) for _ in range(3))
    print(
        f"\nlimits: fp32 GEMM {2 * 2048**3 / gemm / 1e9:.0f} GFLOP/s, reading memory {big.nbytes / read / 1e9:.1f} GB/s"
    )


def _timed(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


# Scanning


def drawn(dim: int) -> Collection:
    """4,000 documents of 120 random unit vectors, 40 queries of 32: a scan takes as long for any vectors."""
    rows = np.random.default_rng(0).standard_normal((4000 * 120 + 40 * 32, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    documents = [Document(str(n), "random") for n in range(4000)]
    queries, asked = rows[: 40 * 32], [str(n) for n in range(40)]
    return Collection(
        documents, rows[40 * 32 :], np.full(4000, 120), queries, asked, np.full(40, 32), {}, np.split(queries, 40)
    )


def scanning(data: Collection) -> None:
    """Every document scored exactly."""
    import torch

    torch.set_num_threads(1)
    queries = list(data.one_by_one())[:40]
    starts = np.concatenate([[0], np.cumsum(data.lengths)])
    rows = np.array(data.vectors)
    fixed, everything = to_fixed(rows), np.arange(len(data.documents))
    coded = encode(fixed, 8, None, None)
    exact = [_by_gemm(rows, starts, query) for query in queries]
    systems: dict[str, Callable[[NDArray[np.float32]], Any]] = {
        "Tardif, 16 bits": lambda q: scan(TiledQuery.of(q), {"codes": fixed}, 16, None, starts, everything),
        "Tardif, 8 bits": lambda q: scan(TiledQuery.of(q), coded, 8, None, starts, everything),
        "packed torch GEMM, maximum.reduceat": lambda q: _by_gemm(rows, starts, q),
    }
    if importlib.util.find_spec("maxsim_cpu"):
        import maxsim_cpu

        parts = np.split(rows, starts[1:-1])
        systems["maxsim-cpu"] = lambda q: maxsim_cpu.maxsim_scores_variable(q, parts)
    header("exact scan", "ms per query", "GFLOP/s of fp32 work", "as long as Tardif (8 bits)", "same best 10")
    flops = 2 * 32 * len(rows) * rows.shape[1]
    taken = {name: median_ms(work, queries) for name, work in systems.items()}
    for name, work in systems.items():
        same = statistics.mean(_overlap(np.asarray(work(q)), e) for q, e in zip(queries, exact, strict=True))
        ratio = taken[name] / taken["Tardif, 8 bits"]
        said(name, f"{taken[name]:.1f}", f"{flops / taken[name] / 1e6:.0f}", f"{ratio:.2f}", f"{same:.3f}")
    if importlib.util.find_spec("colbandit"):
        _colbandit(rows, starts, queries, exact, flops, taken["Tardif, 8 bits"])


def _by_gemm(rows: NDArray[np.float32], starts: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    products = (torch.from_numpy(rows) @ torch.from_numpy(query).T).numpy()  # [tokens, query tokens]
    scores: NDArray[np.float32] = np.maximum.reduceat(products, starts[:-1], axis=0).sum(axis=1)
    return scores


def _colbandit(
    rows: NDArray[np.float32],
    starts: NDArray[np.int64],
    queries: Sequence[NDArray[np.float32]],
    exact: Sequence[NDArray[np.float32]],
    flops: float,
    ours: float,
) -> None:
    from colbandit import ColBandit

    bandit = ColBandit()
    bandit.index(np.split(rows, starts[1:-1]))
    ms = median_ms(lambda q: bandit.search(q, k=K), queries)
    found = [set(np.asarray(bandit.search(q, k=K)[0]).tolist()) for q in queries]
    same = statistics.mean(len(f & set(_best(e))) / K for f, e in zip(found, exact, strict=True))
    said("colbandit (prunes)", f"{ms:.1f}", f"{flops / ms / 1e6:.0f}", f"{ms / ours:.2f}", f"{same:.3f}")


def _best(scores: NDArray[Any]) -> list[int]:
    return np.argsort(-scores, kind="stable")[:K].tolist()


def _overlap(found: NDArray[Any], exact: NDArray[Any]) -> float:
    return len(set(_best(found)) & set(_best(exact))) / K


# Indexes on disk


def built(data: Collection, folder: Path, bits: int, words: str | None = None) -> tuple[DiskIndex, float]:
    """An index of a collection, made anew, and the processor time of making it without encoding."""
    shutil.rmtree(folder, ignore_errors=True)
    index = DiskIndex.create(folder, model={}, bits=bits, words=words, threads=1)
    ends = np.cumsum(data.lengths)
    place = {document.content: number for number, document in enumerate(data.documents)}  # equal texts, equal vectors
    spent = 0.0

    def encoded(texts: Sequence[str]) -> DocumentVectors:
        nonlocal spent
        began = time.process_time()
        numbers = [place[text] for text in texts]
        vectors = np.concatenate([data.vectors[ends[n] - data.lengths[n] : ends[n]] for n in numbers])
        spent += time.process_time() - began
        return DocumentVectors(vectors, [int(data.lengths[n]) for n in numbers])

    began = time.process_time()
    with SpooledCorpus.of(data.documents) as corpus:
        fill(index, corpus, partial(map, encoded))
    return index, time.process_time() - began - spent


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for name in ("segments", "codebooks") for path in (folder / name).iterdir())


def hits_of(index: DiskIndex, queries: Sequence[NDArray[np.float32]], **how: Any) -> list[set[str]]:
    return [{i for i, _ in index.search(query, [len(query)], K, **how)[0]} for query in queries]


def recall(found: Sequence[set[str]], exact: Sequence[set[str]]) -> str:
    return f"{statistics.mean(len(f & e) / max(len(e), 1) for f, e in zip(found, exact, strict=True)):.3f}"


def growth(data: Collection, pieces: Collection, work: Path, plot: Path | None) -> None:
    """How a search's time grows with the corpus."""
    header(
        "documents",
        "queries",
        "search, ms",
        "recall@10",
        "recall=0.95, ms",
        "recall@10",
        "exact, ms",
        "build, CPU-s per 1,000",
    )
    points = []
    for name, part in [
        *((f"debian-desc, {count:,}", data.first(count)) for count in (1000, 10_000, len(data.documents))),
        (f"{len(pieces.documents):,} of 120 tokens (scifact)", pieces),
    ]:
        index, seconds = built(part, work / "bench.index", 8)
        per = 1000 * seconds / len(part.documents)
        with index:
            for kind, asked in (("filled to 32", list(part.one_by_one())[:QUERIES]), ("bare", part.bare[:QUERIES])):
                ms = [
                    median_ms(lambda q, i=index, r=r: i.search(q, [len(q)], K, recall=r), asked) for r in (0.99, 0.95)
                ]
                whole = median_ms(lambda q, i=index: i.search(q, [len(q)], K, exact=True), asked[:20])
                exact = hits_of(index, asked, exact=True)
                found = [recall(hits_of(index, asked, recall=share), exact) for share in (0.99, 0.95)]
                said(name, kind, f"{ms[0]:.1f}", found[0], f"{ms[1]:.1f}", found[1], f"{whole:.1f}", f"{per:.2f}")
                if part is not pieces and kind == "bare":
                    points.append((len(part.documents), ms[0], whole))
    if plot is not None:
        _plot(points, plot)


def _plot(points: Sequence[tuple[int, float, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.5, 3.6), layout="constrained")
    sizes = [point[0] for point in points]
    axes.loglog(sizes, [point[2] for point in points], "o--", color="#9aa0a6", label="exact scan")
    axes.loglog(sizes, [point[1] for point in points], "o-", color="#1a56b0", label="default search")
    axes.set(xlabel="documents", ylabel="CPU ms per query", title="debian-desc, bare queries, one thread, 8 bits")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def by_bits(data: Collection, work: Path) -> None:
    """What fewer bits cost: size, recall of the float vectors' hits, nDCG@10."""
    queries = list(data.one_by_one())
    rows = np.array(data.vectors)
    exact = list(maxsim_arrays(data.queries, data.query_lengths.tolist(), rows, data.lengths.tolist()))
    ids = [document.id for document in data.documents]
    run = {q: {ids[n]: float(e[n]) for n in _best(e)} for q, e in zip(data.query_ids, exact, strict=True)}
    figure = measure(data.qrels, run, ["nDCG@10"])["nDCG@10"]
    header(
        "bits", "bytes per token", "recall@10 of float", "nDCG@10", "difference", "search, ms", "build, CPU-s per 1,000"
    )
    said("float, exact", rows.shape[1] * 4, "1.000", f"{figure:.4f}", "-", "-", "-")
    for bits in (16, 8, 4, 2):
        index, seconds = built(data, work / "bench.index", bits)
        with index:
            found = [index.search(query, [len(query)], K)[0] for query in queries]
            ms = median_ms(lambda q, i=index: i.search(q, [len(q)], K), queries[:100])
        same = [
            len({i for i, _ in hits} & {ids[n] for n in _best(e)}) / K for hits, e in zip(found, exact, strict=True)
        ]
        mine = measure(data.qrels, {q: dict(h) for q, h in zip(data.query_ids, found, strict=True)}, ["nDCG@10"])
        said(
            bits,
            f"{size_of(work / 'bench.index') / len(rows):.1f}",
            f"{statistics.mean(same):.3f}",
            f"{mine['nDCG@10']:.4f}",
            f"{mine['nDCG@10'] - figure:+.4f}",
            f"{ms:.1f}",
            f"{1000 * seconds / len(ids):.2f}",
        )


def writes(data: Collection, work: Path) -> None:
    """Adding and deleting in an index of 10,000 documents, wall clock with all syncing."""
    part = data.first(10_000)
    index, _ = built(part, work / "bench.index", 8)
    header("write to 10,000 documents", "ms")
    ends = np.cumsum(data.lengths)
    with index:
        added, deleted = [], []
        for turn in range(20):
            first, last = 10_000 + 100 * turn, 10_100 + 100 * turn
            rows = np.array(data.vectors[ends[first - 1] : ends[last - 1]])
            began = time.perf_counter()
            index.add(data.documents[first:last], rows, data.lengths[first:last].tolist())
            added.append(time.perf_counter() - began)
            index.wait()
        for turn in range(50):
            began = time.perf_counter()
            index.delete([data.documents[turn].id])
            deleted.append(time.perf_counter() - began)
    said("add 100", f"{1e3 * statistics.median(added):.1f}")
    said("delete 1", f"{1e3 * statistics.median(deleted):.2f}")
    path, synced = work / "fsync", []
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            synced.append(time.perf_counter() - began)
    said("(fsync of 4 kB alone)", f"{1e3 * statistics.median(synced):.2f}")


SEARCHING = """
import sys, numpy as np
from tardif.index.disk import DiskIndex
def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024
with np.load(sys.argv[2]) as file:
    queries, ends = file["queries"], np.cumsum(file["lengths"])
before = anonymous()
most, hits = 0, []
with DiskIndex(sys.argv[1], threads=1) as index:
    for n, end in enumerate(ends):
        query = queries[(ends[n - 1] if n else 0):end]
        hits.append(index.search(query, [len(query)], 10, exact=n % 10 == 0)[0])
        most = max(most, anonymous())
import hashlib
print(before, most, hashlib.sha256(repr(hits).encode()).hexdigest())
"""


def memory(data: Collection, work: Path) -> None:
    """Anonymous memory while searching, and the same answers where a cap leaves half of the index in memory."""
    folder, asked = work / "bench.index", work / "queries.npz"
    built(data, folder, 8)[0].close()
    count = 50
    np.savez(asked, queries=data.queries[: int(data.query_lengths[:count].sum())], lengths=data.query_lengths[:count])
    size = size_of(folder) / 2**20
    command = [sys.executable, "-c", SEARCHING, str(folder), str(asked)]
    header("searching 43,001 documents", "anonymous MB", "before opening", "index, MB", "goal: 150 + 0.1 x index")
    before, most, digest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    said("no cap", f"{float(most):.0f}", f"{float(before):.0f}", f"{size:.0f}", f"{150 + 0.1 * size:.0f}")
    group = Path("/sys/fs/cgroup/memory/tardif-bench")
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(int(size / 2 * 2**20)))
    except OSError as error:
        print(f"no cap can be set here: {error}")
        return
    join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    capped = subprocess.run(["sh", "-c", join, "sh", *command], capture_output=True, text=True, check=False)
    same = capped.returncode == 0 and capped.stdout.split()[2] == digest
    verdict = "same answers" if same else f"failed: {capped.returncode}"
    said(f"cap of {size / 2:.0f} MB: {verdict}", capped.stdout.split()[1][:4] if same else "-", "-", "-", "-")
    group.rmdir()


# Searching by words


def in_turn(ways: dict[str, Callable[[Any], Any]], items: Sequence[Any]) -> dict[str, str]:
    """Median processor time of each way in milliseconds, all ways taking turns with every item; the first warms up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for item in [items[0], *items]:
        for name, way in ways.items():
            taken[name].append(_timed(lambda way=way, item=item: way(item)))
    return {name: f"{1e3 * statistics.median(times[1:]):.1f}" for name, times in taken.items()}


def even(documents: Sequence[Document]) -> list[Document]:
    """The documents, every other of which a filter lets through."""
    return [dataclasses.replace(d, metadata={"even": n % 2 == 0}) for n, d in enumerate(documents)]


def asked_by_words(documents: Sequence[Document], queries: Sequence[str]) -> dict[str, list[str]]:
    """Queries of several lengths, the last of frequent words alone."""
    draw = random.Random(0)
    counts: dict[str, int] = {}
    for document in documents:
        for word in dict.fromkeys(document.content.lower().split()):
            if word.isalpha() and len(word) > 3:
                counts[word] = counts.get(word, 0) + 1
    frequent = sorted(counts, key=lambda word: -counts[word])[:200]
    chosen = draw.sample(list(documents), QUERIES)
    return {
        "the collection's": draw.sample(list(queries), QUERIES),
        **{f"a document's first {n}": [" ".join(d.content.split()[:n]) for d in chosen] for n in (10, 20, 30)},
        "30 of the 200 most frequent": [" ".join(draw.sample(frequent, 30)) for _ in range(QUERIES)],
    }


def by_words(archives: Path, work: Path) -> None:
    """BM25 over all of debian-desc, beside FTS5's own bm25(); no vectors are needed."""
    beir = read_judged(unpacked(archives / "debian-desc.tar.gz", work / "collections"), "train")
    documents, path, engine = even(beir.documents), work / "words.sqlite", words_of("en")
    assert engine is not None
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    Store.create(path, {}, engine)
    store = Store(path, engine)
    for begin in range(0, len(documents), 1000):
        part = documents[begin : begin + 1000]
        with store.writing() as database:
            store.insert(database, part, range(begin, begin + len(part)), "")
            store.touch(database)
    where = parse_filter("even = true")
    with store.reading() as database:
        once = _timed(lambda: store.check_words(database))
        lengths = store.check_words(database)
        filtering = _timed(lambda: store.matching(where))
        allowed = np.array(sorted(store.matching(where)), dtype=np.int64)

        def plainly(query: str) -> list[Any]:
            wanted = " OR ".join(f'"{term}"' for term in engine.terms(Document("query", query)).split()) or '""'
            ranked = "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank, rowid LIMIT ?"
            return database.execute(ranked, (wanted, DEPTH)).fetchall()

        ways = {
            "Tardif": lambda query: engine.search(database, query, lengths),
            "filtered": lambda query: engine.search(database, query, lengths, allowed),
            "bm25()": plainly,
        }
        header(f"words of a query, {len(documents):,} documents", "ms", "filtered, ms", "FTS5's bm25(), ms")
        for name, queries in asked_by_words(documents, list(beir.queries.values())).items():
            said(name, *in_turn(ways, queries).values())
    print(f"\nonce after a change: checking the words {1e3 * once:.1f} ms, a filter {1e3 * filtering:.1f} ms")
    store.close()


def hybrid(data: Collection, archives: Path, work: Path) -> None:
    """Searching by vectors, by words, and by both."""
    beir = read_judged(unpacked(archives / "debian-desc.tar.gz", work / "collections"), "train")
    asked = [
        (beir.queries[query], vectors)
        for query, vectors in zip(data.query_ids[:QUERIES], data.bare[:QUERIES], strict=True)
    ]
    index, _ = built(dataclasses.replace(data, documents=even(data.documents)), work / "bench.index", 8, "en")
    half = parse_filter("even = true")

    def both(item: tuple[str, NDArray[np.float32]], **how: Any) -> Any:
        found = index.search(item[1], [len(item[1])], DEPTH, **how)[0]
        return blend(found, index.search_words(item[0], DEPTH, **how), K, WORD_SHARE)

    ways = {
        "vectors, 10": lambda item: index.search(item[1], [len(item[1])], K),
        f"vectors, {DEPTH}": lambda item: index.search(item[1], [len(item[1])], DEPTH),
        f"words, {DEPTH}": lambda item: index.search_words(item[0], DEPTH),
        "both": both,
        "both, filtered": lambda item: both(item, where=half),
    }
    header(f"searching {len(data.documents):,} documents, bare queries", "ms")
    with index:
        for name, ms in in_turn(ways, asked).items():
            said(name, ms)


def cold(data: Collection, work: Path) -> None:
    """The command line, from nothing to hits."""
    from tardif.search.retriever import Retriever

    dim = data.vectors.shape[1]
    folder = work / f"cold-{dim}.index"
    if not folder.exists():
        Retriever.build(model_folder(work, data.documents, dim), data.documents[:1000], folder, quiet=True).close()
    command = [sys.executable, "-m", "tardif", "search", str(folder), "a program that plays music", "--json"]
    script = (
        "import resource, subprocess, sys, time; began = time.perf_counter(); "
        "done = subprocess.run(sys.argv[1:], capture_output=True, check=True); seconds = time.perf_counter() - began; "
        "print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    header("tardif search, cold process", "seconds", "peak memory, MB")
    for turn in range(3):
        seconds, most = subprocess.run(
            [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
        ).stdout.split()
        said(f"run {turn + 1}", f"{float(seconds):.2f}", f"{float(most):.0f}")


def explaining(archives: Path, work: Path, dim: int, count: int) -> None:
    """Hits of scifact's queries explained, beside their search: encoding of the query included in both."""
    from tardif.search.retriever import Retriever

    beir = read_judged(unpacked(archives / "scifact.tar.gz", work / "collections"), "train")
    documents, folder = list(beir.documents)[:count], work / f"explain-{dim}-{count}.index"
    if not folder.exists():
        Retriever.build(model_folder(work, documents, dim), documents, folder, quiet=True).close()
    header("an explanation, ms of processor time", "median", "slowest of ten")
    with Retriever(folder, threads=1) as retriever:
        queries = list(beir.queries.values())[:QUERIES]
        hits = {query: retriever.search(query, k=1)[0] for query in queries}
        for query in queries:
            found = retriever.explain(query, hits[query])
            assert sum(match.similarity for match in found.matches) == hits[query].score
        for name, call in {
            "search, k = 10": lambda query: retriever.search(query, k=10),
            "search, k = 10, explain=True": lambda query: retriever.search(query, k=10, explain=True),
            "explain the best hit": lambda query: retriever.explain(query, hits[query]),
        }.items():
            times = sorted(_milliseconds(call, query) for query in queries)
            said(name, f"{statistics.median(times):.1f}", f"{times[len(times) * 9 // 10]:.1f}")


def _milliseconds(call: Callable[[str], Any], query: str) -> float:
    began = time.process_time()
    call(query)
    return 1000 * (time.process_time() - began)


def export(data: Collection, work: Path) -> None:
    """Write what :mod:`search_peers` reads: documents, queries of 32 tokens, and the exact best ten."""
    folder = work / "export"
    folder.mkdir(exist_ok=True)
    asked = [query for query in data.one_by_one() if len(query) == 32][:50]
    for count in (1000, 10_000):
        part = data.first(count)
        starts, rows = np.concatenate([[0], np.cumsum(part.lengths)]), np.array(part.vectors)
        best = np.array([_best(_by_gemm(rows, starts, query)) for query in asked])
        np.savez(folder / f"{count}.npz", rows=rows, lengths=part.lengths, queries=np.stack(asked), best=best)


def main() -> None:
    parts = ("scan", "growth", "bits", "writes", "memory", "words", "hybrid", "cold", "explain")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=parts, help=f"of {', '.join(parts)}; random; export, for the peers")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=128, help="width of the vectors; the goals are stated at 128")
    parser.add_argument("--documents", type=int, default=1000, help="how many the part explain has")
    parser.add_argument("--plot", type=Path, help="where the growth's plot goes")
    options = parser.parse_args()
    if "random" in options.parts:
        limits()
        scanning(drawn(options.dim))
    if "words" in options.parts:
        by_words(options.data, options.work)
    if "explain" in options.parts:
        explaining(options.data, options.work, options.dim, options.documents)
    if not set(options.parts) - {"random", "words", "explain"}:
        return
    scifact = collection("scifact", options.data, options.work, options.dim)
    pieces = scifact.pieces(120, 10_000)
    further = set(options.parts) - {"scan", "bits", "random", "words", "explain"}
    debian = collection("debian-desc", options.data, options.work, options.dim) if further else None
    limits()
    for part in options.parts:
        if part == "scan":
            scanning(pieces)
        elif part == "bits":
            by_bits(scifact, options.work)
        elif debian is not None and part == "growth":
            growth(debian, pieces, options.work, options.plot)
        elif debian is not None and part == "hybrid":
            hybrid(debian, options.data, options.work)
        elif part not in ("random", "words", "explain") and debian is not None:
            {"writes": writes, "memory": memory, "cold": cold, "export": export}[part](debian, options.work)


if __name__ == "__main__":
    main()
