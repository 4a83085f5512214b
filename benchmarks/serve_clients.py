"""The clients of a service that is measured (``serve.py``): they search one by one or at a rate, and one writes."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2
import numpy as np
import psutil

from serve_process import megabytes, work_of
from tardif import Document

# Requests that are under way at the same time while the service is overloaded; further ones count as not sent.
MOST_OPEN = 900


@dataclass
class Latencies:
    """Times of requests that were answered, in seconds, and how the others ended.

    Attributes:
        seconds: of the whole measurement.
        cpu: seconds of a core's work in the process that searched.
    """

    times: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0

    def how(self) -> str:
        """How the requests ended."""
        return ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))

    def row(self, what: str) -> str:
        """A row of the table."""
        middle, late = (f"{1000 * float(np.quantile(self.times, q)):.1f}" for q in (0.5, 0.99))
        count = len(self.times)
        work = f"{1000 * self.cpu / count:.1f}"
        return f"| {what} | {middle} | {late} | {count / self.seconds:.1f} | {work} | {self.how()} |"

    @property
    def median(self) -> float:
        """In milliseconds."""
        return 1000 * float(np.median(self.times))


@dataclass
class Written:
    """What the writer was told: documents that are there, those that are gone, and those that may be either."""

    there: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)


async def write(client: httpx2.AsyncClient, url: str, documents: Sequence[Document], written: Written) -> None:
    """Put documents into the index and delete some, until it is cancelled or the service has gone."""
    texts = itertools.cycle(documents)
    for number in itertools.count():
        names = [f"new-{number}-{part}" for part in range(2)]
        rows = [
            {"document_id": name, "title": source.title, "text": source.text}
            for name, source in zip(names, itertools.islice(texts, 2), strict=True)
        ]
        written.unsure.update(names)
        answer = await client.put(f"{url}/documents", json={"documents": rows}, timeout=600)
        if answer.status_code != 200:
            written.refused[str(answer.status_code)] += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
            continue
        written.unsure.difference_update(names)
        written.there.update(names)
        if number % 3 == 0:
            written.there.discard(names[0])
            written.unsure.add(names[0])
            body = json.dumps({"document_ids": names[:1]})
            head = {"content-type": "application/json"}
            answer = await client.request("DELETE", f"{url}/documents", content=body, headers=head, timeout=600)
            if answer.status_code == 200:
                written.unsure.discard(names[0])
                written.gone.add(names[0])


async def ask(client: httpx2.AsyncClient, url: str, query: str, found: Latencies) -> None:
    """One search."""
    begun = time.perf_counter()
    try:
        answer = await client.post(f"{url}/search", json={"query": query}, timeout=60)
    except httpx2.HTTPError as error:
        found.ends[type(error).__name__] += 1
        return
    found.ends[str(answer.status_code)] += 1
    if answer.status_code == 200:
        found.times.append(time.perf_counter() - begun)
    elif "retry-after" not in answer.headers:
        found.ends[f"{answer.status_code} without Retry-After"] += 1


async def closed_loop(
    client: httpx2.AsyncClient,
    url: str,
    queries: Sequence[str],
    clients: int,
    seconds: float,
    process: psutil.Process,
) -> Latencies:
    """Clients that ask one query after the other, and the work of the service's process."""
    found, stop = Latencies(), time.perf_counter() + seconds

    async def one(first: int) -> None:
        for number in itertools.count(first, clients):
            if time.perf_counter() >= stop:
                return
            await ask(client, url, queries[number % len(queries)], found)

    begun, worked = time.perf_counter(), work_of(process)
    await asyncio.gather(*(one(number) for number in range(clients)))
    found.seconds, found.cpu = time.perf_counter() - begun, work_of(process) - worked
    return found


async def open_loop(
    client: httpx2.AsyncClient, url: str, queries: Sequence[str], rate: float, seconds: float, process: psutil.Process
) -> tuple[Latencies, list[float]]:
    """Requests that come at a rate, answered or not; also the service's memory in MB, once a second."""
    found, memory, tasks = Latencies(), [], set()
    begun = time.perf_counter()
    sent, seen = 0, -1
    while (now := time.perf_counter() - begun) < seconds:
        if int(now) > seen:
            seen = int(now)
            memory.append(megabytes(process))
        while sent < rate * now:
            sent += 1
            if len(tasks) >= MOST_OPEN:
                found.ends["not sent"] += 1
                continue
            task = asyncio.ensure_future(ask(client, url, queries[sent % len(queries)], found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.002)
    found.seconds = time.perf_counter() - begun
    if tasks:
        found.ends["unanswered at the end"] = len(tasks)
    for task in list(tasks):
        task.cancel()
    return found, memory


async def usual_seconds(client: httpx2.AsyncClient, url: str, query: str) -> float:
    """The median seconds of a lone search. Those of queries differ tenfold."""
    found = Latencies()
    for _ in range(9):
        await ask(client, url, query, found)
    return statistics.median(found.times)


async def recovered(client: httpx2.AsyncClient, url: str, query: str, usual: float) -> float:
    """Seconds until a search is answered in three times its usual time (seconds)."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < 60:
        found = Latencies()
        await ask(client, url, query, found)
        if found.times and found.times[0] < 3 * usual:
            break
        await asyncio.sleep(0.02)
    return time.perf_counter() - begun
