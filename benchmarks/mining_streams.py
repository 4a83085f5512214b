"""The memory of mining hard negatives, by the number of documents in the corpus.

    mining_streams.py --work DIR [--documents 100000 300000 1000000] [--stages lexical prepare ...]

The corpus is that of ``streams.py``: documents of six words. A thousand queries are asked, each with four words of the
document that answers it. A fake encoder gives a document one vector or four of 16 components, so that the miner is
measured and not a model. Each stage of each size has a process of its own. Memory is RssAnon, the most of the stage.

lexical   a searcher by words, made of a generator, and a search
dense     the same by one vector per document, kept in a cache
late      the same by four vectors per document, kept in a cache
prepare   ``prepare_folder`` of pairs beside a file of documents, with the lexical miner
mine      the prepared set, opened and mined for again, and written
train     the prepared set as a training reads it before its first step: opened, hashed, its validation task chosen
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams import Peak, anonymous, documents, encoded, say
from tardif.data.training_set import TrainingSet
from tardif.mining import dense, late
from tardif.mining.miners import make_searcher
from tardif.mining.mining_plan import MiningPlan
from tardif.preparation import prepare_folder
from tardif.progress import Console
from tardif.text.languages import language
from tardif.training.fingerprint import data_digest
from tardif.training.validation import validation_task
from tardif.types import Document

QUERIES = 1_000
ENGLISH = language("en")
FIELDS = ("stage", "documents", "at first", "peak", "CPU s")


def corpus(count: int) -> Iterator[Document]:
    return (Document(row["id"], row["text"]) for row in documents(count))


def asked(count: int) -> Iterator[tuple[str, str]]:
    """Queries, each with the id of its answer."""
    step = max(count // QUERIES, 1)
    for place, row in enumerate(documents(count)):
        if place % step == 0:
            yield " ".join(row["text"].split()[1:5]), row["id"]


def mean(texts: Sequence[str], **_: Any) -> NDArray[np.float32]:
    """The mean of each text's vectors."""
    means = encoded(texts).vectors.reshape(len(texts), 4, -1).mean(axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


def lexical(work: Path, count: int) -> None:
    searched("lexical", corpus(count), count)


def of_dense(work: Path, count: int) -> None:
    dense.fingerprint = lambda *_: "fake"  # type: ignore[assignment]
    searched(
        "dense",
        corpus(count),
        count,
        dense_model=SimpleNamespace(encode_document=mean, encode_query=mean),
        cache=work / "cache",
    )


def of_late(work: Path, count: int) -> None:
    late.fingerprint = lambda *_: "fake"  # type: ignore[assignment]

    def encode(self: Any, texts: Sequence[str], task: str) -> tuple[NDArray[np.float32], Sequence[int]]:
        found = encoded(texts)
        return found.vectors, found.lengths

    late.LateSearcher._encode = encode  # type: ignore[method-assign, assignment]
    searched("late", corpus(count), count, model=SimpleNamespace(), cache=work / "cache")


def searched(name: str, given: Any, count: int, **options: Any) -> None:
    searcher = make_searcher(name, given, language=ENGLISH, **options)
    searcher.search([query for query, _ in asked(count)][:100], 50)


def prepared(work: Path, count: int) -> None:
    with (work / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in documents(count))
    with (work / "pairs.jsonl").open("w") as file:
        rows = ({"query": query, "document_id": answer} for query, answer in asked(count))
        file.writelines(json.dumps(row) + "\n" for row in rows)
    prepare_folder([work / "pairs.jsonl"], work / "corpus.jsonl", work / "set", base="none")


def mined(work: Path, count: int) -> None:
    data = TrainingSet.load(work / "set")
    done, _ = MiningPlan("lexical", ENGLISH, "none").run(data, Console(quiet=True))
    assert len(done.examples) >= QUERIES // 2, len(done.examples)
    done.save(work / "mined")


def trained(work: Path, count: int) -> None:
    data = TrainingSet.load(work / "set")
    data_digest(data)
    task = validation_task(data, limit=1_000, language=ENGLISH, seed=0)
    assert task is not None and len(task.documents) == 1_000


STAGES: dict[str, Callable[[Path, int], None]] = {
    "lexical": lexical,
    "dense": of_dense,
    "late": of_late,
    "prepare": prepared,
    "mine": mined,
    "train": trained,
}


def measured(stage: str, work: Path, count: int) -> dict[str, Any]:
    encoded(["w1 w2 w3 w4 w5 w6"])
    found: dict[str, Any] = {"stage": stage, "documents": f"{count:,}", "at first": round(anonymous())}
    peak, before = Peak(), time.process_time()
    STAGES[stage](work, count)
    return {**found, "peak": peak.taken(), "CPU s": round(time.process_time() - before)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="mine and train need prepare")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        say(json.dumps(measured(options.stages[0], options.work, options.documents[0])))
        return
    say(*FIELDS)
    for count in options.documents:
        shutil.rmtree(options.work, ignore_errors=True)
        options.work.mkdir(parents=True)
        for stage in options.stages:
            given = ["--work", str(options.work), "--documents", str(count), "--stages", stage]
            command = [sys.executable, __file__, "--one", *given]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(ran.stdout.splitlines()[-1])
            say(*(found[name] for name in FIELDS))
        shutil.rmtree(options.work)


if __name__ == "__main__":
    main()
