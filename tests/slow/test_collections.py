"""Real collections become training sets in one run, and the report says what is in them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from samples import read_lines
from tardif.preparation import prepare_folder
from tardif.text.normal import normalise

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["scifact", "squad-train-sent", "medquad"])
def test_a_collection_is_prepared_whole(collection, tmp_path, name):
    folder = collection(name)
    judgements = len((folder / "qrels" / "train.tsv").read_text().splitlines()) - 1
    documents = read_lines(folder / "corpus.jsonl")
    queries = Counter(normalise(query["text"]) for query in read_lines(folder / "queries.jsonl"))
    repeated = sum(count for count in queries.values() if count > 1)
    out = prepare_folder([folder], None, tmp_path / "set", near=False)
    manifest = json.loads((out / "manifest.json").read_text())
    report = manifest["report"]
    assert report[0].startswith(f"{name}: BEIR folder: documents from corpus.jsonl, queries from queries.jsonl")
    assert f"{judgements} judgements read: {judgements} used, 0 not" in report
    assert f"{len(documents)} documents" in report
    rules = Counter(row["rule"] for row in read_lines(out / "report.jsonl"))
    assert rules["duplicate-query"] == repeated
    for rule, count in rules.items():
        assert any(line.startswith(f"{rule}: {count} (") for line in report)
