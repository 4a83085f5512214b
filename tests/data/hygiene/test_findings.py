"""``hygiene.json``: the rows of ``report.jsonl`` counted, and some of them with the texts that the set has not."""

import json
from collections import Counter

from tardif.preparation import prepare_folder
from tardif.report.sources import read_source


def test_what_was_dropped_is_counted_and_shown_with_its_texts(tmp_path):
    rows = [{"query": f"who wrote book {n}?", "positive": f"Book {n} was written by author {n}."} for n in range(9)]
    rows += [{"query": "dropped and gone", "positive": "   "}] * 7 + rows[:2]
    out = prepare_folder([rows], None, tmp_path / "set", miner="none", near=False, on={"empty": "drop"})
    found = {one["rule"]: one for one in json.loads((out / "hygiene.json").read_text())["rules"]}
    listed = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert {rule: one["rows"] for rule, one in found.items()} == Counter(row["rule"] for row in listed)
    assert {rule: one["action"] for rule, one in found.items()} == {row["rule"]: row["action"] for row in listed}
    assert found["empty"]["rows"] == 7
    assert len(found["empty"]["examples"]) == 5
    assert {row["query"] for row in found["empty"]["examples"]} == {"dropped and gone"}
    assert found["empty"]["what"] == "a query or document without text"
    assert "dropped and gone" not in (out / "report.jsonl").read_text()
    hygiene = read_source(out).hygiene
    assert hygiene.counts["empty"] == {"drop": 7}
    assert hygiene.examples["empty"] == found["empty"]["examples"]


def test_a_set_without_findings_has_no_file(tmp_path):
    rows = [("who wrote book one?", "Book one was written by an author."), ("who reads?", "Everybody reads at times.")]
    out = prepare_folder([rows], None, tmp_path / "set", miner="none", near=False)
    assert not (out / "hygiene.json").exists()
