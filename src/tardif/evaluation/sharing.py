"""The blocks of a ranking, shared by processes: each opens the model, scores its blocks, and keeps the best hits.

Only files pass between them: what is asked, in the folder that they share, and the parts that they find. So a process
that dies takes nothing with it but its own last half minute.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.devices import own_rank, world_size
from tardif.errors import TardifError
from tardif.evaluation.exhaustive import Corpus
from tardif.evaluation.job import Job
from tardif.evaluation.modelled import Models, ModelSpec, rank_part, warn_of_truncation
from tardif.evaluation.work import PairWork, read_part
from tardif.folders import read_json, remove, writable, write_json
from tardif.processes.child import PipeConsole
from tardif.processes.parent import Team, failures, raise_cause, started, wait
from tardif.progress import Bar, Console
from tardif.ranking import TopK
from tardif.types import Document

_WORK = "tardif.evaluation.sharing:rank_share"
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
    asked: Mapping[str, Any] = read_json(place / "asked.json", what="what a process must know")
    number, spec = own_rank(), ModelSpec(**{**asked["spec"], "sample": tuple(asked["spec"]["sample"])})
    if spec.device == "cuda":  # each process has a GPU of its own
        spec = replace(spec, device=f"cuda:{number}")
    with (place / "documents.jsonl").open(encoding="utf-8") as file:
        documents = [Document(**json.loads(line)) for line in file]
    model = Models().open(spec)
    if number == 0 and spec.kind != "raw":  # of two untrained systems, which read alike, one says it
        warn_of_truncation(asked["name"], model, asked["data"], documents, pipe)
    corpus, best = spec.corpus(documents), TopK(*asked["shape"])
    score = spec.scorer(model, read_json(place / "queries.json", what="the queries"))
    blocks = asked["blocks"][number :: world_size()]
    rank_part(corpus, score, best, blocks, Path(asked["parts"][number]), lambda count: pipe.send("advance", count))
