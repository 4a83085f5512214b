"""Evaluate a checkpoint with mteb on a BEIR folder of your own.

    python mteb_local.py CHECKPOINT FOLDER [SPLIT]

mteb opens the checkpoint with sentence-transformers; Tardif is not imported. Nothing is downloaded, and no result is
cached. Prints nDCG@10.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers import MultiVectorEncoder


def read_beir(folder: Path, split: str) -> RetrievalSplitData:
    """Read a BEIR folder as mteb wants it: documents, the judged queries, and their judgements."""
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    documents, queries = (
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").split("\n") if line]
        for name in ("corpus.jsonl", "queries.jsonl")
    )
    return RetrievalSplitData(
        corpus=Dataset.from_list(
            [{"id": row["_id"], "title": row.get("title", ""), "text": row["text"]} for row in documents]
        ),
        queries=Dataset.from_list([{"id": row["_id"], "text": row["text"]} for row in queries if row["_id"] in qrels]),
        relevant_docs=qrels,
        top_ranked=None,
    )


class LocalRetrieval(AbsTaskRetrieval):
    """A retrieval task whose data lie in a BEIR folder."""

    folder: Path
    metadata = TaskMetadata(
        name="LocalRetrieval",
        description="A collection in BEIR layout on this machine.",
        dataset={"path": "local", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )

    def load_data(self, **kwargs: Any) -> None:
        """Fill ``dataset`` instead of downloading it."""
        if not self.data_loaded:
            self.dataset = {"default": {split: read_beir(self.folder, split) for split in self.eval_splits}}
            self.data_loaded = True


def main(checkpoint: str, folder: str, split: str = "test") -> None:
    """Print the nDCG@10 of a checkpoint on a folder."""
    task = LocalRetrieval()
    task.folder = Path(folder)
    task.filter_eval_splits([split])
    model = MultiVectorEncoder(checkpoint)
    result = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
    print(result[0].scores[split][0]["ndcg_at_10"])


if __name__ == "__main__":
    main(*sys.argv[1:])
