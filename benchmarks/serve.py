"""What a search service costs over the search in one's own process, beside a writer; and what it does under overload.

    .venv/bin/python benchmarks/serve.py scifact debian-desc --data FOLDER_OF_ARCHIVES --work DIR
        [--documents N] [--seconds 60] [--clients 16 64]

For each collection: an index of the first N documents (all-MiniLM-L6-v2, the recipe at step 0; built once, kept in
DIR), copied, and served by a real ``tardif serve``. First without a writer, then beside one that puts two documents
after the other into it all the time, and deletes every third of them: the same queries in this process (a Retriever on
the same folder) and by one client of the service, in turns, so that other work on the machine meets both. Between the
two, 1,000 searches show whether the memory grows. Beside the writer follow 16 and 64 clients that ask without a pause.
Then requests come at ten times the rate that was sustained with most clients, however many are unanswered. At the end
the service and its worker are killed by SIGKILL, and a new service is asked for every document whose writing or
deletion had been acknowledged.

The clients run in this process, on the same cores as the service.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from archives import unpacked
from serve_clients import MOST_OPEN, Latencies, Written, ask, closed_loop, open_loop, recovered, usual_seconds, write
from serve_process import held, served, work_of
from tardif import Document, Retriever
from tardif.data.judged import read_judged
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe

_OVERLOAD = 10
# Turns that searches in this process and through the service take.
_TURNS = 8
# Searches after which the memory is compared.
_MANY = 1_000


def built(name: str, options: argparse.Namespace) -> tuple[Path, Sequence[str], Sequence[Document]]:
    """The index of a collection, its queries and its documents."""
    beir = read_judged(unpacked(options.data / f"{name}.tar.gz", options.work / "collections"), "train")
    documents = list(beir.documents)[: options.documents]
    model, index = options.work / "model", options.work / f"{name}-{len(documents)}.index"
    if not model.exists():
        build_model(resolve_base(MINILM), Recipe(expansion=32)).save_pretrained(str(model), create_model_card=False)
    if not index.exists():
        Retriever.build(model, documents, index, chunk=None, hybrid=True).close()
    return index, list(beir.queries.values()), documents


@dataclass(frozen=True)
class Bench:
    """What is measured: a service of an index, its process, and the queries.

    Attributes:
        client: asks the service.
        url: of the index in the service.
        index: its folder.
        queries: asked again and again.
        process: the service's.
        seconds: of each measurement.
    """

    client: httpx2.AsyncClient
    url: str
    index: Path
    queries: Sequence[str]
    process: psutil.Process
    seconds: float


async def beside_the_process(bench: Bench, what: str) -> tuple[Latencies, str]:
    """One client of the service against searches in this process: the client's, and what the service adds."""
    ours, theirs = await in_turns(bench)
    print(f"{ours.row(f'in process{what}')}\n{theirs.row(f'1 client{what}')}", flush=True)
    return theirs, f"The service's median with 1 client{what} adds {theirs.median - ours.median:.1f} ms."


async def in_turns(bench: Bench) -> tuple[Latencies, Latencies]:
    """The same queries, one after the other, by a Retriever in this process and by one client of the service."""
    ours, theirs, queries = Latencies(), Latencies(), bench.queries
    with Retriever(bench.index) as retriever:

        def search(part: Sequence[str], found: Latencies) -> None:
            begun, worked = time.perf_counter(), time.process_time()
            for query in part:
                at = time.perf_counter()
                retriever.search(query)
                found.times.append(time.perf_counter() - at)
            found.seconds += time.perf_counter() - begun
            found.cpu += time.process_time() - worked

        async def ask_all(part: Sequence[str], found: Latencies) -> None:
            begun, worked = time.perf_counter(), work_of(bench.process)
            for query in part:
                await ask(bench.client, bench.url, query, found)
            found.seconds += time.perf_counter() - begun
            found.cpu += work_of(bench.process) - worked

        # Not measured: a first search reads the vectors from the disk. The second tells how many make a turn.
        for first in (Latencies(), Latencies()):
            search(queries[:4], first)
            await ask_all(queries[:4], Latencies())
        count = max(1, int(bench.seconds / _TURNS / max(first.seconds / 4, 1e-3)))
        for turn in range(_TURNS):
            part = [queries[(turn * count + place) % len(queries)] for place in range(count)]
            # In a thread: the writer runs on in this one.
            await asyncio.to_thread(search, part, ours)
            await ask_all(part, theirs)
    return ours, theirs


async def many(bench: Bench) -> str:
    """The memory before and after many searches."""
    before = held(bench.process)
    for number in range(_MANY):
        await ask(bench.client, bench.url, bench.queries[number % len(bench.queries)], Latencies())
    return f"Before {_MANY:,} searches more, without a writer: {before}; after them: {held(bench.process)}."


async def begun(client: httpx2.AsyncClient, url: str, documents: Sequence[Document], written: Written) -> Any:
    """A writer that has written: its worker has loaded the model."""
    writer = asyncio.ensure_future(write(client, url, documents, written))
    while not written.there:
        await asyncio.wait([writer], timeout=0.1)
        if writer.done():
            writer.result()  # raises why
    return writer


async def overload(bench: Bench, rate: float) -> None:
    """Requests at a rate that cannot be answered, and the time until a search is as fast as before."""
    usual = await usual_seconds(bench.client, bench.url, bench.queries[0])
    over, memory = await open_loop(bench.client, bench.url, bench.queries, rate, bench.seconds, bench.process)
    again = await recovered(bench.client, bench.url, bench.queries[0], usual)
    print(
        f"Overload, {rate:.0f} searches/s for {bench.seconds:g} s: {over.how()}; memory {memory[0]:.0f} MB at first, "
        f"{max(memory):.0f} at most, {memory[-1]:.0f} at last; as usual again after {again:.2f} s.",
        flush=True,
    )


async def measure(
    name: str, index: Path, queries: Sequence[str], documents: Sequence[Document], options: argparse.Namespace
) -> None:
    """Everything about one collection."""
    copy, log = options.work / f"{name}.served", options.work / "serve.log"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(index, copy)
    written = Written()
    with served(copy, log) as (process, url, seconds):
        watched = psutil.Process(process.pid)
        print(f"\n{name}, {len(documents):,} documents: open in {seconds:.1f} s, {held(watched)}\n")
        print("| | p50 ms | p99 ms | searches/s | CPU ms of a search | answers |\n|---|---|---|---|---|---|")
        limits = httpx2.Limits(max_connections=MOST_OPEN + 10, max_keepalive_connections=MOST_OPEN)
        async with httpx2.AsyncClient(limits=limits) as client, httpx2.AsyncClient() as other:
            bench = Bench(client, url, copy, queries, watched, options.seconds)
            _, alone = await beside_the_process(bench, ", no writer")
            memory = await many(bench)
            writer = await begun(other, url, documents, written)
            lone, adds = await beside_the_process(bench, "")
            found = [lone]
            for clients in options.clients:
                found.append(await closed_loop(client, url, queries, clients, options.seconds, watched))
                print(found[-1].row(f"{clients} clients"), flush=True)
            print(
                f"\n{alone} {adds} {memory} {len(written.there):,} documents were added meanwhile, and the writer was "
                f"refused {written.refused.total()} times. The service: {held(watched)}.",
                flush=True,
            )
            await overload(bench, _OVERLOAD * max(len(each.times) / each.seconds for each in found))
            for each in [*watched.children(recursive=True), watched]:
                each.kill()
            process.wait()
            (error,) = await asyncio.gather(writer, return_exceptions=True)
            assert isinstance(error, httpx2.HTTPError), error
    await check(copy, log, written)


async def check(index: Path, log: Path, written: Written) -> None:
    """Ask a new service for everything that was acknowledged."""

    async def with_status(names: set[str], status: int) -> int:
        return sum([(await client.get(f"{url}/documents/{name}")).status_code == status for name in names])

    there = written.there - written.unsure
    with served(index, log) as (_, url, _seconds):
        async with httpx2.AsyncClient() as client:
            found, absent = await with_status(there, 200), await with_status(written.gone, 404)
    print(
        f"Killed by SIGKILL and started again: of {len(there):,} acknowledged documents {len(there) - found} are lost, "
        f"of {len(written.gone):,} acknowledged deletions {len(written.gone) - absent}. The writer was refused "
        f"{written.refused.total()} times in all."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", help="names of archives")
    parser.add_argument("--data", type=Path, required=True, help="the folder of archives")
    parser.add_argument("--work", type=Path, required=True, help="for indexes and logs")
    parser.add_argument("--documents", type=int, help="the first so many of each collection; all by default")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 64])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.collections:
        index, queries, documents = built(name, options)
        asyncio.run(measure(name, index, queries, documents, options))


if __name__ == "__main__":
    main()
