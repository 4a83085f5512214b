"""The blocks of a ranking, shared by processes or by a Ray cluster: each opens the model, scores its blocks, and keeps
the best hits.

Only files pass between them: what is asked, in the folder that they share, and the parts that they find. So a process
that dies takes nothing with it but its own last half minute.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.cluster.connection import Cluster
from tardif.cluster.pool import Pool
from tardif.cluster.shipping import ship
from tardif.devices import own_rank, world_size
from tardif.errors import TardifError
from tardif.evaluation.exhaustive import Corpus
from tardif.evaluation.job import Job
from tardif.evaluation.modelled import Models, ModelSpec, rank_part, warn_of_truncation
from tardif.evaluation.work import PairWork, read_part, write_part
from tardif.folders import read_json, remove, writable, write_json
from tardif.processes.child import PipeConsole
from tardif.processes.parent import Team, failures, raise_cause, started, wait
from tardif.progress import Bar, Console
from tardif.ranking import TopK
from tardif.types import Document

_WORK = "tardif.evaluation.sharing:rank_share"
# Parts that a worker of a cluster gets, about: what a lost one had is done again.
_PARTS = 16
_WAY_OUT = " Evaluate again: with --out (in Python out=) it continues where it stopped."


@dataclass(frozen=True)
class Share:
    """The blocks of a ranking that are left.

    Attributes:
        spec: the model.
        name: of the system.
        corpus: the documents.
        blocks: the numbers of the blocks.
        shape: of the keys of the best hits.
    """

    spec: ModelSpec
    name: str
    corpus: Corpus
    blocks: Sequence[int]
    shape: tuple[int, int]


def in_processes(share: Share, job: Job, count: int, console: Console) -> Iterator[NDArray[np.uint64]]:
    """Score blocks in processes; yield the keys of the best hits that each of them found.

    Args:
        share: the blocks.
        job: queries and documents.
        count: the number of processes, at most that of the blocks.
        console: shows what they say.

    Raises:
        TardifError: a process died, or what one of them failed with.
        KeyboardInterrupt: it was interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="tardif-", ignore_cleanup_errors=True) as temporary:
        work = job.work if job.work.folder else PairWork(Path(temporary))
        place = Path(temporary if work.folder is None else work.folder) / "processes"
        paths = [work.new_part() for _ in range(count)]
        try:
            remove(place)  # left by a killed evaluation
            with writable(place):
                _write(place, share, job, [str(path) for path in paths])
                team = Team(count, _WORK, place, console, _Shown(job), heard=count)
                with started(team) as processes:
                    codes = wait(processes, place)
            if any(codes) or failures(place):
                raise_cause(codes, place, TardifError, _WAY_OUT)
            yield from (read_part(path) for path in paths if path is not None)
        finally:
            remove(place)


def in_cluster(share: Share, job: Job, cluster: Cluster, console: Console) -> Iterator[NDArray[np.uint64]]:
    """Score blocks over a Ray cluster; yield the keys of the best hits among some of them after the other.

    Args:
        share: the blocks.
        job: queries and documents. It keeps every part as soon as it is there.
        cluster: where.
        console: says when workers are lost.

    Raises:
        TardifError: what a worker failed with.
    """
    size = max(len(share.blocks) // (cluster.actors * _PARTS), 1)
    parts = [share.blocks[begin : begin + size] for begin in range(0, len(share.blocks), size)]
    with tempfile.TemporaryDirectory(prefix="tardif-", ignore_cleanup_errors=True) as temporary:
        place = Path(temporary) / "asked"
        with writable(place):
            _write(place, share, job, [])
        shipments = [ship(place), ship(Path(share.spec.folder))]
        make = partial(_opened_share, cluster.device)
        with Pool(cluster, make, shipments, console, most=len(parts)) as pool:
            for number, keys in pool.unordered(parts):
                blocks = parts[number]
                if (path := job.work.new_part()) is not None:
                    write_part(path, keys, blocks)
                job.documents_done(sum(map(share.corpus.size, blocks)))
                yield keys


def _opened_share(device: str, place: Path, folder: Path) -> Callable[[Sequence[int]], NDArray[np.uint64]]:
    """Open a ranking in a worker of a cluster; return what gives the keys of the best hits in some blocks."""
    asked, spec, documents = _read(place)
    spec = replace(spec, folder=str(folder), device=device)
    corpus, score = spec.corpus(documents), spec.scorer(Models().open(spec), _queries(place))

    def ranked(blocks: Sequence[int]) -> NDArray[np.uint64]:
        best = TopK(*asked["shape"])
        for block in blocks:
            corpus.add(best, score, block)
        return best.keys

    return ranked


class _Shown(Bar):
    """Shows on the job's bar what several processes advance."""

    def __init__(self, job: Job) -> None:
        super().__init__("", None, "documents")
        self._job, self._lock = job, threading.Lock()

    def advance(self, count: int = 1, note: str = "") -> None:
        with self._lock:
            self._job.documents_done(count)


def _write(place: Path, share: Share, job: Job, paths: Sequence[str]) -> None:
    """Write what the processes must know."""
    place.mkdir(parents=True)
    with (place / "documents.jsonl").open("w", encoding="utf-8") as file:
        for document in job.judged.documents:
            file.write(json.dumps({"id": document.id, "title": document.title, "text": document.text}) + "\n")
    write_json(place / "queries.json", list(job.judged.queries.values()))
    asked = {"spec": asdict(share.spec), "name": share.name, "data": job.judged.name, "shape": share.shape}
    write_json(place / "asked.json", {**asked, "blocks": list(share.blocks), "parts": list(paths)})


def rank_share(place: Path, pipe: PipeConsole) -> None:
    """Score every block that is this process's turn: what :func:`in_processes` starts."""
    asked, spec, documents = _read(place)
    number = own_rank()
    if spec.device == "cuda":  # each process has a GPU of its own
        spec = replace(spec, device=f"cuda:{number}")
    model = Models().open(spec)
    if number == 0 and spec.kind != "raw":  # of two untrained systems, which read alike, one says it
        warn_of_truncation(asked["name"], model, asked["data"], documents, pipe)
    corpus, best = spec.corpus(documents), TopK(*asked["shape"])
    score = spec.scorer(model, _queries(place))
    blocks = asked["blocks"][number :: world_size()]
    rank_part(corpus, score, best, blocks, Path(asked["parts"][number]), lambda count: pipe.send("advance", count))


def _read(place: Path) -> tuple[Mapping[str, Any], ModelSpec, list[Document]]:
    """What :func:`_write` wrote: what is asked, the model, and the documents."""
    asked: Mapping[str, Any] = read_json(place / "asked.json", what="what a process must know")
    spec = ModelSpec(**{**asked["spec"], "sample": tuple(asked["spec"]["sample"])})
    with (place / "documents.jsonl").open(encoding="utf-8") as file:
        return asked, spec, [Document(**json.loads(line)) for line in file]


def _queries(place: Path) -> list[str]:
    queries: list[str] = read_json(place / "queries.json", what="the queries")
    return queries
