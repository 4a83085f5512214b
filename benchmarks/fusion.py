"""MaxSim of a trained model fused with BM25: by ranks, and by scores with different shares of BM25.

    .venv/bin/python benchmarks/fusion.py scifact medquad --data FOLDER_OF_ARCHIVES --work DIR [--folds 0 1]

For each fold a model is trained with the defaults on the others, and searches the whole corpus for the fold's queries;
then, unseen, cranfield for its test queries. Rankings are kept in ``DIR/fusion``; what is there is not made again. The
tables are over the queries of all folds: nDCG@10, the difference to MaxSim alone, and its paired p-value.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recipes import CONSOLE, ENGLISH, Bench, One, Task
from tardif.encoder import MINILM
from tardif.evaluation.measures import DEPTH, per_query
from tardif.evaluation.paired import significance
from tardif.ranking import blend, fuse

TASKS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "scifact": ({"folds": 5}, {}),
    "medquad": ({"folds": 10, "documents": 5000}, {"max_steps": 160}),
}
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
UNSEEN = "cranfield"

Ranking = list[tuple[str, float]]


def made(bench: Bench, name: str, fold: int) -> None:
    """Train without a fold, and keep both rankings of its queries and of the unseen collection's."""
    about, training = TASKS[name]
    task = Task(name, held_out=(fold,), **about)
    CONSOLE.say(f"==> {name}, fold {fold}")
    runs, _ = bench.run(One(f"fold {fold}", name, task, MINILM, 0, also=(UNSEEN,), training=training))
    for where, (run, held) in runs.items():
        found = {"late": run, "bm25": held.bm25_run(ENGLISH), "qrels": held.qrels}
        kept_in(bench.work, name, fold, where or name).write_text(json.dumps(found), "utf-8")


def kept_in(work: Path, name: str, fold: int, where: str) -> Path:
    """Where the rankings of a fold's model are."""
    return work / "fusion" / f"{name}-{fold}-{where}.json"


def table(work: Path, name: str, folds: list[int], where: str) -> None:
    """Print what every way of fusing gives, over the queries of all folds."""
    parts = [json.loads(kept_in(work, name, fold, where).read_text("utf-8")) for fold in folds]

    def ndcg(way: Callable[[Ranking, Ranking], Ranking]) -> dict[str, float]:
        values = {}
        for fold, part in zip(folds, parts, strict=True):
            run = {q: dict(way(list(hits.items()), list(part["bm25"][q].items()))) for q, hits in part["late"].items()}
            by_query = per_query(part["qrels"], run, ("nDCG@10",))["nDCG@10"]
            values |= {f"{fold} {query}": value for query, value in by_query.items()}
        return values

    alone = ndcg(lambda late, _: late)
    mean = sum(alone.values()) / len(alone)
    print(f"\n{where}, {len(alone)} queries, models trained on {name}: MaxSim alone {mean:.4f}\n")
    print("| fused with BM25 | nDCG@10 | difference | p |\n|---|---|---|---|")
    ways: dict[str, Callable[[Ranking, Ranking], Ranking]] = {"by ranks": lambda *both: fuse(both, DEPTH)}
    for share in SHARES:
        ways[f"share {share}"] = lambda late, words, share=share: blend(late, words, DEPTH, share)
    ways["BM25 alone"] = lambda _, words: words
    for way, fused in ways.items():
        values = ndcg(fused)
        found = sum(values.values()) / len(values)
        print(f"| {way} | {found:.4f} | {found - mean:+.4f} | {significance(values, alone):.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=list(TASKS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the archives")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    bench = Bench(options.data, options.work)
    (options.work / "fusion").mkdir(parents=True, exist_ok=True)
    for name in options.tasks:
        for fold in options.folds:
            if not kept_in(options.work, name, fold, UNSEEN).exists():
                made(bench, name, fold)
        for where in (name, UNSEEN):
            table(options.work, name, options.folds, where)


if __name__ == "__main__":
    main()
