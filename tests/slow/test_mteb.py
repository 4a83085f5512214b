"""mteb measures a checkpoint as `tardif evaluate` does."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tardif
from tardif.evaluation.comparison import compare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("mteb") is None, reason="mteb is not installed: it is in the extra dev"
    ),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "mteb_local.py"


def test_mteb_gives_the_figure_of_evaluate(collection, bert_tiny, tmp_path):
    folder = collection("adi")
    documents, queries = (
        {row["_id"]: row["text"] for row in map(json.loads, (folder / name).read_text("utf-8").strip().split("\n"))}
        for name in ("corpus.jsonl", "queries.jsonl")
    )
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        judged = list(csv.DictReader(file, delimiter="\t"))
    trainer = tardif.Trainer("adi", str(bert_tiny), out=tmp_path, quiet=True)
    trainer.prepare([(queries[row["query-id"]], documents[row["corpus-id"]]) for row in judged], validation=0)
    checkpoint = str(trainer.train(epochs=1).path)

    ended = subprocess.run(
        [sys.executable, str(EXAMPLE), checkpoint, str(folder)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "MTEB_CACHE": str(tmp_path / "mteb")},
        text=True,
        capture_output=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr
    (figures,) = compare([checkpoint], [folder], measures=["nDCG@10"])
    # mteb rounds to five digits.
    assert float(ended.stdout.splitlines()[-1]) == pytest.approx(figures.measures["nDCG@10"], abs=5.1e-6)
