"""The evidence behind a report: what is written is read again, twice the same bytes; what is damaged is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tardif.errors import FolderError
from tardif.evaluation.evidence import (
    Evidence,
    RunFacts,
    SetValues,
    ShownHit,
    ShownQuery,
    ShownRanking,
    ShownRelevant,
    read_evidence,
    write_evidence,
)
from tardif.explanation import Explanation, Match, Token

HOSTILE = "<b>&amp;\u202e\x00\nü"
HIT = ShownHit(1, "d1", 12.5, 1, "Title", "the red fox", ((4, 7, 1.0), (8, 11, 0.25)))
QUERY = ShownQuery(
    "support",
    "q1",
    HOSTILE,
    "nDCG@10",
    (
        ShownRanking("after", 1.0, (HIT,)),
        ShownRanking("before", 0.25, (ShownHit(1, HOSTILE, -0.5, None, "", HOSTILE),)),
    ),
    (ShownRelevant("d9", "unseen", {"after": None, "before": 17}),),
)
EXPLANATION = Explanation(
    query="red",
    document="a red fox",
    query_tokens=(Token("[Q]"), Token("red", 0, 3, 0)),
    document_tokens=(Token("a", 0, 1, 0), Token("red", 2, 5, 1), Token("fox", 6, 9, 2)),
    matches=(Match(0, (0,), 0.1234567), Match(1, (1, 2), 0.75)),
    score=0.8734567,
    similarities=np.array([[0.1234567, 0.0, -1.0], [0.1, 0.75, 0.75]], dtype=np.float32),
    document_id="d1",
    note="a note",
)
VALUES = SetValues(
    "support",
    {"q1": HOSTILE, "q2": "a voucher"},
    {
        "after": {"nDCG@10": {"q1": 1.0, "q2": 0.1}, "RR@10": {"q1": 1.0, "q2": 0.0}},
        "bm25": {"nDCG@10": {"q1": 0.3, "q2": 0.2}, "RR@10": {"q1": 1 / 3, "q2": 0.0}},
    },
)
RUN = RunFacts("training", "new", {"python": "3.12", "cores": 2}, "tardif train data --name new --out .", 0)


def evidence(**changed):
    return Evidence(**{"values": (VALUES,), "queries": (QUERY,), "explanations": (EXPLANATION,), "run": RUN, **changed})


@pytest.fixture
def folder(tmp_path):
    write_evidence(tmp_path, evidence())
    return tmp_path


def test_what_is_written_is_read_again(folder):
    found = read_evidence(folder)
    assert (found.values, found.queries, found.run) == ((VALUES,), (QUERY,), RUN)
    (explained,) = found.explanations
    assert explained.as_json() == EXPLANATION.as_json()
    assert np.abs(explained.similarities - EXPLANATION.similarities).max() <= 0.0005
    assert found.queries[0].difference == 0.75


def test_the_same_evidence_gives_the_same_bytes_and_replaces_what_was_there(folder):
    before = {path.name: path.read_bytes() for path in (folder / "report").iterdir()}
    (folder / "report" / "old.json").write_text("{}")
    write_evidence(folder, evidence())
    assert {path.name: path.read_bytes() for path in (folder / "report").iterdir()} == before
    assert sorted(before) == ["examples.json", "run.json", "values.parquet"]
    assert [path.name for path in folder.iterdir()] == ["report"]  # no lock, nothing partial


def test_nothing_measured_is_evidence_too_and_no_folder_is_none(tmp_path):
    assert read_evidence(tmp_path) is None
    write_evidence(tmp_path, Evidence(run=RUN))
    assert read_evidence(tmp_path) == Evidence(run=RUN)


def test_values_are_one_table_that_any_tool_reads(folder):
    rows = pq.read_table(folder / "report" / "values.parquet").to_pylist()
    assert len(rows) == 2 * 2 * 2
    assert rows[0] == {
        **{"data": "support", "query_id": "q1", "query": HOSTILE},
        **{"system": "after", "measure": "nDCG@10", "value": 1.0},
    }


def changed_json(name, change):
    def damage(place):
        read = json.loads((place / name).read_text())
        change(read)
        (place / name).write_text(json.dumps(read))

    return damage


def without_a_row(place):
    table = pq.read_table(place / "values.parquet")
    pq.write_table(table.slice(1), place / "values.parquet")


def with_a_gap(place):
    table = pq.read_table(place / "values.parquet")
    gap = pa.array([None, *table["value"].to_pylist()[1:]], pa.float64())
    pq.write_table(table.set_column(5, "value", gap), place / "values.parquet")


def hit(read):
    return read["queries"][0]["rankings"][0]["hits"][0]


DAMAGE = {
    "a file is missing": lambda place: (place / "values.parquet").unlink(),
    "the examples are missing": lambda place: (place / "examples.json").unlink(),
    "the facts are missing": lambda place: (place / "run.json").unlink(),
    "a file is cut": lambda place: (place / "values.parquet").write_bytes((place / "values.parquet").read_bytes()[:-9]),
    "no JSON": lambda place: (place / "examples.json").write_text("{"),
    "a list": lambda place: (place / "examples.json").write_text("[]"),
    "a number": lambda place: (place / "run.json").write_text("7"),
    "a row is missing": without_a_row,
    "a value is missing": with_a_gap,
    "another format": changed_json("run.json", lambda read: read.update(format="x")),
    "a version that is a text": changed_json("run.json", lambda read: read.update(version="1")),
    "no environment": changed_json("run.json", lambda read: read.pop("environment")),
    "a rank of 0": changed_json("examples.json", lambda read: hit(read).update(rank=0)),
    "a score of NaN": changed_json("examples.json", lambda read: hit(read).update(score=float("nan"))),
    "a mark outside the text": changed_json("examples.json", lambda read: hit(read).update(marks=[[0, 99, 1.0]])),
    "a mark of two": changed_json("examples.json", lambda read: hit(read).update(marks=[[0, 1]])),
    "no hits": changed_json("examples.json", lambda read: read["queries"][0]["rankings"][0].pop("hits")),
    "a match of no token": changed_json(
        "examples.json", lambda read: read["explanations"][0]["matches"][0].update(document_token=3)
    ),
    "too few similarities": changed_json("examples.json", lambda read: read["explanations"][0].update(similarities=[])),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_the_folder_and_the_way_out(folder, damage):
    damage(folder / "report")
    with pytest.raises(FolderError) as error:
        read_evidence(folder)
    assert str(folder / "report") in str(error.value)


def test_what_a_newer_version_wrote_is_not_misread(folder):
    changed_json("run.json", lambda read: read.update(version=2))(folder / "report")
    with pytest.raises(FolderError, match="newer Tardif"):
        read_evidence(folder)
