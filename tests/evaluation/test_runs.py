import itertools

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.errors import DataError, FolderError
from tardif.evaluation.measure_names import parse_measures
from tardif.evaluation.measures import per_query
from tardif.evaluation.runs import read_run, run_notes, write_run

ids = st.text("aB7é中-./#\u200b", min_size=1, max_size=4)
spaced = st.text("a% \t\n\r\u2028\x85\xa0é2", min_size=1, max_size=4)
scores = st.integers(-3, 3).map(float) | st.floats(-2, 2) | st.sampled_from([1 + 1e-12, 1 - 1e-9, 1e-50, 3e38, -3e38])
runs = st.dictionaries(ids, st.dictionaries(ids, scores, min_size=1, max_size=4), min_size=1, max_size=3)
MEASURES = ["nDCG@1", "P@1", "P@2", "RR@1", "RR@2", "RR", "AP", "nDCG", "Success@1", "Judged@2"]


def order(hits):
    return sorted(hits, key=lambda identity: (hits[identity], identity), reverse=True)


@settings(deadline=None, max_examples=60)
@given(run=runs)
def test_every_reader_of_a_written_run_sees_its_order(tmp_path_factory, run):
    path = tmp_path_factory.getbasetemp() / "run.txt"
    lowered = write_run(path, run)
    lines = [line.split(" ") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    notes = []
    again = read_run(path, notes=notes)
    assert notes == []
    for query, hits in run.items():
        written = [(int(rank), document, float(score)) for q, _, document, rank, score, _ in lines if q == query]
        assert [document for _, document, _ in written] == order(hits) == order(again[query])
        assert [rank for rank, _, _ in written] == list(range(1, len(hits) + 1))
        single = [np.float32(score) for _, _, score in written]
        assert all(one > other for one, other in itertools.pairwise(single))
        assert all(abs(score - hits[document]) <= 2e-6 * abs(hits[document]) + 1e-44 for _, document, score in written)
    kept = sum(float(line[4]) == run[line[0]][line[2]] for line in lines)
    assert lowered >= len(lines) - kept


def test_measures_of_a_written_run_are_those_of_the_run_and_of_other_tools(tmp_path):
    run = {"q": dict.fromkeys("abcde", 2.0) | {"f": 3.0}, "r": {"a": 1.0, "b": 1 - 1e-12, "c": 0.5}}
    qrels = {"q": {"d": 2, "a": 1}, "r": {"b": 1}}
    assert write_run(tmp_path / "run.txt", run) == 5
    own = per_query(qrels, run, MEASURES)
    assert per_query(qrels, read_run(tmp_path / "run.txt"), MEASURES) == own
    other = ir_measures.iter_calc(
        parse_measures(MEASURES), qrels, list(ir_measures.read_trec_run(str(tmp_path / "run.txt")))
    )
    assert {(str(m.measure), m.query_id): m.value for m in other} == pytest.approx(
        {(name, query): value for name, values in own.items() for query, value in values.items()}
    )


def test_hits_are_ranked_by_score_then_the_highest_id_and_no_two_scores_are_equal(tmp_path):
    assert write_run(tmp_path / "run.txt", {"q": {"b": 1.0, "c": 2.0, "a": 1.0}}, name="mine") == 1
    assert (tmp_path / "run.txt").read_text() == "q Q0 c 1 2.0 mine\nq Q0 b 2 1.0 mine\nq Q0 a 3 0.99999994 mine\n"


def test_a_document_listed_twice_keeps_its_best_score_or_is_refused(tmp_path):
    path, notes = tmp_path / "run.txt", []
    path.write_text("q Q0 a 1 3 x\nq Q0 b 2 2 x\nq Q0 a 3 1 x\nr Q0 a 1 1 x\n")
    assert read_run(path, notes=notes) == {"q": {"a": 3.0, "b": 2.0}, "r": {"a": 1.0}}
    assert len(notes) == 1 and notes[0].startswith("1 lines list a document again")
    with pytest.raises(DataError, match=r"line 3: .*'q' lists the document 'a' twice.*--on duplicate-hit=best"):
        read_run(path, twice="refuse")


@pytest.mark.parametrize(
    ("ranked", "said"),
    [
        ("q Q0 b 1 1 x\nq Q0 a 2 1 x\n", 0),
        ("q Q0 a 1 1 x\nq Q0 b 2 1 x\n", 1),  # a tie that the scores do not break this way
        ("q Q0 a 1 1 x\nq Q0 b 2 2 x\n", 1),
        ("q Q0 a 0 1 x\nq Q0 b 0 1 x\n", 0),  # these ranks say nothing
        ("q Q0 a - 1 x\nq Q0 b - 1 x\n", 0),
    ],
)
def test_ranks_that_say_another_order_than_scores_are_said(tmp_path, ranked, said):
    (tmp_path / "run.txt").write_text(ranked)
    notes = []
    assert order(read_run(tmp_path / "run.txt", notes=notes)["q"]) == ["b", "a"]
    assert len(notes) == said


@settings(deadline=None, max_examples=40)
@given(run=st.dictionaries(spaced, st.dictionaries(spaced, scores, min_size=1, max_size=3), min_size=1, max_size=3))
def test_ids_with_white_space_are_encoded_and_read_back(tmp_path_factory, run):
    path, notes = tmp_path_factory.getbasetemp() / "spaced.txt", []
    lowered = write_run(path, run)
    again = read_run(path, notes=notes)
    assert notes == []
    assert {query: order(hits) for query, hits in run.items()} == {query: list(hits) for query, hits in again.items()}
    ours = {identity for query, hits in run.items() for identity in (query, *hits)}
    said = [line for line in run_notes(run, lowered) if "hold white space" in line]
    assert bool(said) is any(identity.split() != [identity] for identity in ours)
    assert all(len(line.split(" ")) == 6 for line in path.read_text(encoding="utf-8").split("\n")[:-1])


def test_the_user_hears_which_ids_are_encoded(tmp_path):
    run = {"q": {"my notes.txt": 2.0, "100%": 1.0}}
    (line,) = run_notes(run, write_run(tmp_path / "a.run", run))
    assert line.startswith("1 ids hold white space, such as 'my notes.txt'") and "(my%20notes.txt)" in line
    assert [row.split()[2] for row in (tmp_path / "a.run").read_text().splitlines()] == ["my%20notes.txt", "100%25"]
    write_run(tmp_path / "b.run", {"q": {"my%20notes.txt": 2.0, "100%": 1.0}})
    assert list(read_run(tmp_path / "b.run")["q"]) == ["my%20notes.txt", "100%"]


@pytest.mark.parametrize("below", ["run.txt", "deep/run.txt"])
def test_a_place_that_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match="cannot be written"):
        write_run(tmp_path / "file" / below, {"q": {"d": 1.0}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("q Q0 d 1 0.5 x\nq Q0 d 1 0.5\n", "line 2: malformed"),
        ("q Q0 d 1 high x\n", "line 1: malformed line"),
        ("q Q0 d 1 nan x\n", "line 1: malformed line"),
    ],
)
def test_a_malformed_run_is_refused(tmp_path, text, message):
    path = tmp_path / "run.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(path)


def test_a_missing_run(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_run(tmp_path / "run.txt")


NO_HIT = [
    {"q": {1: 1.0}},
    {1: {"d": 1.0}},
    {"q": {b"d": 1.0}},
    {"q": {None: 1.0}},
    {"q": {"": 1.0}},
    {"": {"d": 1.0}},
    {"q": {"a\ud800": 1.0}},
]


@pytest.mark.parametrize(
    "run", [*NO_HIT, *({"q": {"d": score}} for score in (float("nan"), 1e39, "1", True))], ids=repr
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, run):
    with pytest.raises(DataError, match="cannot be in a run file"):
        write_run(tmp_path / "run.txt", run)
    assert not list(tmp_path.iterdir())


def test_a_name_and_numpys_scores_stand_in_one_column(tmp_path):
    write_run(tmp_path / "run.txt", {"q": {"d": np.float64(0.5)}}, name="my own\nrun")
    assert (tmp_path / "run.txt").read_text() == "q Q0 d 1 0.5 my-own-run\n"
    assert read_run(tmp_path / "run.txt") == {"q": {"d": 0.5}}
