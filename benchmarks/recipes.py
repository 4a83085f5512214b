"""Recipes against each other: mining, model and training settings, on held-out queries, with the evidence kept.

    .venv/bin/python benchmarks/recipes.py benchmarks/recipes/mining.json --data FOLDER_OF_ARCHIVES --work DIR [--table]

A plan is a JSON file: tasks (a collection, what of it is held out, how much of it is searched), what all runs have in
common, and runs by name, each with the settings that make it different, on all tasks or some of them. Every run is
logged in ``DIR/runs.jsonl`` with its settings, seed, figures and seconds, or with what it failed with; the values of
each query lie beside it. A run that is in the log is not made again, so an interrupted plan goes on, and a longer one
adds to it. ``--table`` prints what the log has, with the paired significance of every difference to the run that the
plan names.

Budgets are steps, not minutes, so other work on the machine changes no figure but the seconds. Models are measured in
the precision that this machine trains in. Tasks of one ``pool`` (the folds of a collection) have a table together, over
all of their held-out queries. Collections in a task's ``also`` are what its models are measured on besides, unseen:
their test queries.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from archives import unpacked
from tardif import Trainer
from tardif.data.judged import read_judged
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, fit_projection, open_model, raw_view
from tardif.encoder.precision import computing, resolve
from tardif.encoder.recipe import Recipe
from tardif.evaluation.measures import per_query, rank
from tardif.evaluation.paired import significance
from tardif.mining.mine import mine
from tardif.mining.miners import make_searcher
from tardif.mining.selection import Selection, ratio_for
from tardif.preparation import prepare_folder
from tardif.progress import Console
from tardif.text.languages import language
from tardif.text.normal import keyed_order, normalise
from tardif.training.validation import ValidationTask, validation_task
from tardif.types import Document, Run

ENGLISH = language("en")
MEASURES = ("nDCG@10", "R@100")
CONSOLE = Console()


@dataclass(frozen=True)
class Task:
    """A collection with a part of its queries held out.

    Args:
        collection: the archive's name.
        folds: queries are dealt to so many folds, equal questions to one.
        held_out: the folds that are held out.
        documents: the corpus is cut to so many, what held-out queries need among them; 0: all.
        searched: held-out queries are searched in so many, the hardest by BM25.
    """

    collection: str
    folds: int = 5
    held_out: Sequence[int] = (0,)
    documents: int = 0
    searched: int = 100_000

    def data(self, archives: Path, work: Path) -> TrainingSet:
        """The collection, split and cut, without negatives."""
        folder = work / "sets" / self.collection
        if not folder.exists():
            source = unpacked(archives / f"{self.collection}.tar.gz", work / "collections")
            prepare_folder([source], None, folder, miner="none", validation=0.0, console=CONSOLE)
        data = TrainingSet.load(folder)
        fold = {q: int.from_bytes(keyed_order(0, normalise(t))[:8]) % self.folds for q, t in data.queries.items()}
        split = {query: VALIDATION if fold[query] in self.held_out else TRAIN for query in data.queries}
        if self.documents:
            data, split = self._cut(data, split)
        kept = [example for example in data.examples if split[example.query_id] == TRAIN]
        return replace(data, split=split, examples=kept)

    def _cut(self, data: TrainingSet, split: dict[str, str]) -> tuple[TrainingSet, dict[str, str]]:
        kept = {d for query, side in split.items() if side == VALIDATION for d in data.qrels[query]}
        for identity in sorted(data.documents, key=lambda identity: keyed_order(1, identity)):
            if len(kept) >= self.documents:
                break
            kept.add(identity)
        split = {query: side for query, side in split.items() if set(data.qrels[query]) <= kept}
        documents = {identity: document for identity, document in data.documents.items() if identity in kept}
        queries = {query: text for query, text in data.queries.items() if query in split}
        qrels = {query: data.qrels[query] for query in queries}
        examples = [example for example in data.examples if example.query_id in split]
        return replace(data, documents=documents, queries=queries, qrels=qrels, examples=examples), split


@dataclass(frozen=True)
class One:
    """A run of a plan: a system with its settings on a task.

    ``source`` is ``queries``, or ``documents``: trained on queries made of the documents, and on no query of the task.
    ``also`` has what its models are measured on besides: a task's held-out queries, or (None) all test queries of the
    collection of that name.
    """

    name: str
    task_name: str
    task: Task
    base: str
    seed: int
    system: str = "tardif"
    source: str = "queries"
    also: Mapping[str, Task | None] = field(default_factory=dict)
    mining: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """All that decides the figures."""
        parts = {"mining": self.mining, "model": self.model, "training": self.training}
        if self.system == "bm25":
            parts = {}
        elif self.system in ("raw", "step 0"):
            parts = {"model": self.model}
        return {
            "system": self.system,
            "task": vars(self.task),
            "base": self.base,
            **parts,
            **({"seed": self.seed} if self.system == "tardif" else {}),
            **({"source": self.source} if self.source != "queries" else {}),
            **({"also": [vars(task) if task else name for name, task in self.also.items()]} if self.also else {}),
        }

    @property
    def key(self) -> str:
        """A short hash of the settings."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()[:12]


class Bench:
    """Makes runs, and keeps what several of them share."""

    def __init__(self, archives: Path, work: Path) -> None:
        self.archives = archives
        self.work = work

    @cache  # noqa: B019 - one bench in a process
    def data(self, task: Task) -> tuple[TrainingSet, ValidationTask]:
        """A task's training set and its held-out queries."""
        data = task.data(self.archives, self.work)
        held = validation_task(data, limit=task.searched, language=ENGLISH, seed=0)
        assert held is not None
        CONSOLE.say(f"{task.collection}: {data.counts()}; {held.describe()}")
        return data, held

    @cache  # noqa: B019 - as above
    def mined(self, task: Task, base: str, mining: str) -> TrainingSet:
        """The training set with the negatives of a miner and rules (JSON)."""
        data, _ = self.data(task)
        options = dict(json.loads(mining))
        miner, seed = options.pop("miner", "lexical"), options.pop("seed", 0)
        options.setdefault("ratio", ratio_for(len(data.query_ids(TRAIN)), data.is_mostly_made))
        done = mine(data, self.searcher(task, base, miner), Selection(**options), seed=seed)
        for line in done.report.lines():
            CONSOLE.say(f"  {line}")
        return done.data

    @cache  # noqa: B019 - as above
    def synthetic(self, task: Task, seed: int) -> TrainingSet:
        """A training set made of a task's documents alone."""
        folder = self.work / "sets" / f"{task.collection}-{task.documents}-synthetic-{seed}"
        if not folder.exists():
            documents = list(self.data(task)[0].documents.values())
            prepare_folder([], documents, folder, synthesize=True, validation=0.0, seed=seed, console=CONSOLE)
        return TrainingSet.load(folder)

    @cache  # noqa: B019 - as above
    def test(self, name: str) -> ValidationTask:
        """A collection's test queries over all of it."""
        beir = read_judged(unpacked(self.archives / f"{name}.tar.gz", self.work / "collections"), "test")
        queries = {query: beir.queries[query] for query in beir.qrels}
        return ValidationTask(queries, beir.qrels, list(beir.documents), len(beir.documents))

    @cache  # noqa: B019 - as above
    def searcher(self, task: Task, base: str, miner: str) -> Any:
        """A miner over a task's corpus."""
        documents = list(self.data(task)[0].documents.values())
        return make_searcher(
            miner, documents, language=ENGLISH, base=base, cache=self.work / "vectors", console=CONSOLE
        )

    def run(self, one: One) -> tuple[dict[str, tuple[Run, ValidationTask]], dict[str, float]]:
        """A system's runs, on the held-out queries (under no name) and on each collection besides, and how long its
        parts took."""
        places: dict[str, Task | str] = {"": one.task, **{name: task or name for name, task in one.also.items()}}
        tasks = {name: self.held_out(place) for name, place in places.items()}
        seconds: dict[str, float] = {}
        began = time.perf_counter()
        if one.system == "bm25":
            return {name: (held.bm25_run(ENGLISH), held) for name, held in tasks.items()}, seconds
        if one.system == "raw":
            options = json.dumps(one.model, sort_keys=True)
            return {name: (self.raw(one.base, options, place), tasks[name]) for name, place in places.items()}, seconds
        model = self._step_0(one) if one.system == "step 0" else None
        if model is None:
            if one.source == "documents":
                data = self.synthetic(one.task, one.seed)
            else:
                mining = {"miner": "lexical", "seed": one.seed, **one.mining}
                data = self.mined(one.task, one.base, json.dumps(mining, sort_keys=True))
            seconds["mining"] = time.perf_counter() - began
            began = time.perf_counter()
            model = self._trained(one, data)
            seconds["training"] = time.perf_counter() - began
            began = time.perf_counter()
        found = {name: (searched(model, held), held) for name, held in tasks.items()}
        seconds["searching"] = time.perf_counter() - began
        return found, seconds

    def held_out(self, place: Task | str) -> ValidationTask:
        """A task's held-out queries, or a collection's test queries."""
        return self.test(place) if isinstance(place, str) else self.data(place)[1]

    @cache  # noqa: B019 - as above
    def raw(self, base: str, model: str, place: Task | str) -> Run:
        """The run of a base's raw token vectors, which is the same for every task that measures it there."""
        return searched(raw_view(build_model(resolve_base(base), Recipe(**json.loads(model)))), self.held_out(place))

    def _step_0(self, one: One) -> Any:
        model = build_model(resolve_base(one.base), Recipe(**one.model))
        fit_projection(model, sample(self.data(one.task)[0].documents.values()))
        return model

    def _trained(self, one: One, data: TrainingSet) -> Any:
        # The harness does the judging: training sees no held-out query.
        alone = {query: side for query, side in data.split.items() if side == TRAIN}
        queries = {query: data.queries[query] for query in alone}
        qrels = {query: data.qrels[query] for query in alone}
        trainer = Trainer(
            one.key, one.base, "en", "cpu", out=self.work / "models", seed=one.seed, overwrite=True, **one.model
        )
        trainer.prepare(replace(data, split=alone, queries=queries, qrels=qrels))
        result = trainer.train(resume=True, **one.training)
        model = open_model(str(result.path))
        shutil.rmtree(result.path)
        return model


def searched(model: Any, held: ValidationTask) -> Run:
    """A model's run of held-out queries."""
    with CONSOLE.progress("Searching", len(held.documents), "documents") as bar, as_trained():
        return rank(model, held.queries, held.documents, advance=bar.advance)


def as_trained() -> AbstractContextManager[object]:
    """The context in which a model is measured: in the precision that this machine trains MiniLM's width in."""
    return computing(resolve("auto", "cpu", 384), "cpu")


def sample(documents: Any) -> list[str]:
    """The first texts by a keyed order, for the projection."""
    chosen: list[Document] = sorted(documents, key=lambda document: keyed_order(0, document.id))[:256]
    return [document.content for document in chosen]


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings one over the other; a mapping within goes key by key."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = merged(whole.get(name, {}), value) if isinstance(value, Mapping) else value
    return whole


def task_of(described: Mapping[str, Any]) -> Task:
    """The task that a plan describes."""
    return Task(**{**described, "held_out": tuple(described.get("held_out", (0,)))})


def runs_of(plan: Mapping[str, Any]) -> Iterator[One]:
    """A plan's runs: seed by seed, task by task."""
    elsewhere = {name: task_of(described) for name, described in plan.get("elsewhere", {}).items()}
    for seed in plan.get("seeds", [0]):
        for task_name, described in plan["tasks"].items():
            about = {name: value for name, value in described.items() if name != "pool"}
            over = {part: about.pop(part) for part in ("mining", "model", "training") if part in about}
            also = {name: elsewhere.get(name) for name in about.pop("also", ())}
            task = task_of(about)
            for name, described_run in plan["runs"].items():
                changes = dict(described_run)
                if task_name not in changes.pop("tasks", plan["tasks"]):
                    continue
                parts = merged({"mining": {}, "model": {}, "training": {}}, plan.get("common", {}), over, changes)
                made = One(name, task_name, task, plan["base"], seed, also=also, **parts)
                if made.system == "tardif" or seed == plan.get("seeds", [0])[0]:
                    yield made


class Log:
    """``runs.jsonl``, and the values of each query beside it."""

    def __init__(self, work: Path) -> None:
        self.path = work / "runs.jsonl"
        self.values = work / "values"
        self.values.mkdir(parents=True, exist_ok=True)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The finished runs, by key."""
        if not self.path.exists():
            return {}
        rows = [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]
        return {row["key"]: row for row in rows if "failed" not in row}

    def add(self, one: One, **row: Any) -> None:
        """Log a run."""
        said = {"key": one.key, "task": one.task_name, "name": one.name, **row, "settings": one.settings()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, sort_keys=False) + "\n")

    def write_values(self, key: str, values: Mapping[str, Mapping[str, float]]) -> None:
        """Keep a run's values, measure by measure and query by query."""
        (self.values / f"{key}.json").write_text(json.dumps(values), "utf-8")

    def read_values(self, key: str, measure: str) -> dict[str, float]:
        """One measure's value for each query."""
        return dict(json.loads((self.values / f"{key}.json").read_text("utf-8"))[measure])


def make(plan: Mapping[str, Any], bench: Bench, log: Log) -> None:
    """Make the runs that the log lacks."""
    for one in runs_of(plan):
        if one.key in log.rows():
            continue
        CONSOLE.say(f"==> {one.task_name}: {one.name}, seed {one.seed} ({one.key})")
        try:
            runs, seconds = bench.run(one)
        except Exception as error:
            log.add(one, failed=f"{type(error).__name__}: {error}")
            CONSOLE.say(traceback.format_exc())
            continue
        values = {
            f"{where} {measure}".strip(): of
            for where, (found, held) in runs.items()
            for measure, of in per_query(held.qrels, found, MEASURES).items()
        }
        means = {name: sum(of.values()) / len(of) for name, of in values.items()}
        log.write_values(one.key, values)
        log.add(one, figures=means, seconds={part: round(value, 1) for part, value in seconds.items()})
        CONSOLE.say(f"    {means}")


def table(plan: Mapping[str, Any], log: Log) -> None:
    """Print what the log has of a plan: means over seeds, and p against the run that the plan names."""
    ones = [one for one in runs_of(plan) if one.key in log.rows()]
    pools: dict[str, list[str]] = {}
    for task_name, described in plan["tasks"].items():
        pools.setdefault(described.get("pool", task_name), []).append(task_name)
    for pool, task_names in pools.items():
        mine = [one for one in ones if one.task_name in task_names]
        for where in ("", *dict.fromkeys(name for one in mine for name in one.also)):
            _print_table(pool + (f", then {where}" if where else ""), where, mine, plan["against"], log)


def _print_table(title: str, where: str, ones: Sequence[One], against: str, log: Log) -> None:
    by_name: dict[str, list[One]] = {}
    for one in ones:
        if not where or where in one.also:
            by_name.setdefault(one.name, []).append(one)
    if not by_name:
        return
    print(f"\n{title}: nDCG@10, difference to {against} (p), R@100\n")
    print("| run | queries | nDCG@10 | difference | p | R@100 |\n|---|---|---|---|---|---|")
    reference = _mean_values(by_name.get(against, []), log, f"{where} nDCG@10".strip())
    for name, made in by_name.items():
        values, recalls = (_mean_values(made, log, f"{where} {measure}".strip()) for measure in MEASURES)
        mean, recall = (sum(of.values()) / len(of) for of in (values, recalls))
        cells = "- | -"
        if reference.keys() == values.keys() and name != against:
            difference = mean - sum(reference.values()) / len(reference)
            cells = f"{difference:+.4f} | {significance(values, reference):.4f}"
        print(f"| {name} | {len(values)} | {mean:.4f} | {cells} | {recall:.4f} |")


def matrix(plan: Mapping[str, Any], log: Log) -> None:
    """Print how far every run moved from the run that the plan names, on its own task and on all others."""
    ones = [one for one in runs_of(plan) if one.key in log.rows()]
    columns = list(dict.fromkeys(name for one in ones for name in one.also))
    print(f"| trained on | run | itself | {' | '.join(columns)} | mean elsewhere |")
    print("|" + "---|" * (len(columns) + 4))
    made: dict[tuple[str, str], list[One]] = {}
    for one in ones:
        made.setdefault((one.task_name, one.name), []).append(one)
    for (task_name, name), runs in made.items():
        reference = made.get((task_name, plan["against"]), [])
        if name == plan["against"] or not reference:
            continue
        cells, moved = [_moved(runs, reference, log, "nDCG@10")[0]], []
        for column in columns:
            cell, difference = "-", None
            if column in runs[0].also:
                cell, difference = _moved(runs, reference, log, f"{column} nDCG@10")
                moved.append(difference)
            cells.append(cell)
        print(f"| {task_name} | {name} | {' | '.join(cells)} | {sum(moved) / max(len(moved), 1):+.4f} |")


def _moved(ones: Sequence[One], reference: Sequence[One], log: Log, measure: str) -> tuple[str, float]:
    """The mean of a measure, with its difference to the reference's and p; and the difference."""
    values, before = _mean_values(ones, log, measure), _mean_values(reference, log, measure)
    difference = (sum(values.values()) - sum(before.values())) / len(values)
    p = significance(values, before)
    return f"{sum(values.values()) / len(values):.4f} ({difference:+.4f}, p {p:.4f})", difference


def _mean_values(ones: Sequence[One], log: Log, measure: str) -> dict[str, float]:
    """A measure of each query, the mean over the runs that have it: over the seeds; folds have queries of their own."""
    found: dict[str, list[float]] = {}
    for one in ones:
        for query, value in log.read_values(one.key, measure).items():
            found.setdefault(query, []).append(value)
    return {query: sum(values) / len(values) for query, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the archives")
    parser.add_argument("--work", type=Path, required=True, help="where the log is, and what runs share")
    parser.add_argument("--table", action="store_true", help="print the table of what is in the log, and run nothing")
    parser.add_argument("--matrix", action="store_true", help="print how far runs moved, and run nothing")
    options = parser.parse_args()
    plan = json.loads(options.plan.read_text("utf-8"))
    log = Log(options.work)
    if not (options.table or options.matrix):
        make(plan, Bench(options.data, options.work), log)
    (matrix if options.matrix else table)(plan, log)


if __name__ == "__main__":
    main()
