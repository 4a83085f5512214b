"""Every miner through ``prepare``, with a tiny base."""

from __future__ import annotations

import dataclasses
import json

import pytest

import tiny
from tardif.data.training_set import TrainingSet
from tardif.mining import mining_plan, selection
from tardif.mining.miners import MINERS
from tardif.mining.mining_plan import MiningPlan
from tardif.mining.selection import Selection
from tardif.preparation import prepare, prepare_folder
from tardif.progress import Console
from tardif.text.languages import language
from tardif.types import Document

PAIRS = [(" ".join(text.split()[-4:]), text) for text in tiny.SENTENCES[:30]]
OPTIONS = {"validation": 0, "window": (1, 20), "near": False, "on": {"query-is-document": "keep"}, "negatives": 3}
# To random weights every text is nearly every other.
OPTIONS["ratio"] = None


@pytest.mark.parametrize("miner", MINERS)
def test_every_miner_gives_negatives_and_the_same_again(miner, base_folder, tmp_path):
    def made(name):
        folder = prepare_folder([PAIRS], None, tmp_path / name, miner=miner, base=str(base_folder("bert")), **OPTIONS)
        return folder, (folder / "examples.parquet").read_bytes()

    (folder, first), (_, again) = made("one"), made("two")
    assert first == again
    data = TrainingSet.load(folder)
    assert all(len(set(e.negative_ids) - {e.positive_id}) == 3 for e in data.examples)
    assert json.loads((folder / "mining.json").read_text())["settings"]["miner"] == miner
    assert (tmp_path / "one" / "mining.json").read_bytes() == (tmp_path / "two" / "mining.json").read_bytes()
    # A model that cannot be had is never replaced in silence.
    assert any("is not on this machine" in line for line in data.report) == (miner in ("dense", "hybrid"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(("queries", "ratio"), [(1000, 0.95), (1001, None)])
def test_over_a_thousand_queries_no_ratio_holds(queries, ratio):
    assert selection.ratio_for(queries, made=False) == ratio
    assert selection.ratio_for(queries, made=True) == 0.95


@pytest.mark.parametrize(
    ("queries", "made", "given", "ratio"),
    [(40, False, {}, 0.95), (41, False, {}, None), (41, True, {}, 0.95), (41, False, {"ratio": 0.9}, 0.9)],
)
def test_the_number_of_queries_decides_the_ratio_that_nobody_gives(monkeypatch, queries, made, given, ratio):
    for module in (selection, mining_plan):
        monkeypatch.setattr(module, "MANY", 40)
    documents = [Document(f"d{n}", f"text {n} of some words") for n in range(40)]
    rows = [(f"query {n} asks", documents[n % 40].text) for n in range(queries)]
    examples = prepare([rows], documents, validation=0, miner="none", near=False)
    plan = MiningPlan("lexical", language("en"), "none", selection=Selection(**given), decides_ratio=not given)
    data = dataclasses.replace(examples, made=queries if made else 0)
    mined, said = plan.run(data, Console(quiet=True))
    asked = mined.evidence["mining.json"]["settings"]["selection"]
    assert asked["ratio"] == ratio
    assert any("over 40 queries" in line for line in said) == (ratio is None)
