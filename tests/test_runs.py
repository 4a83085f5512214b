import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.errors import DataError, FolderError
from tardif.runs import read_run, write_run

ids = st.text("aB7é中-./#\u200b", min_size=1, max_size=4)
runs = st.dictionaries(
    ids, st.dictionaries(ids, st.integers(-1000, 1000).map(float), min_size=1, max_size=4), min_size=1, max_size=3
)


@settings(deadline=None, max_examples=40)
@given(run=runs)
def test_a_run_is_read_as_it_was_written(tmp_path_factory, run):
    path = tmp_path_factory.getbasetemp() / "run.txt"
    write_run(path, run)
    assert read_run(path) == run


def test_hits_are_ranked_by_score_then_id(tmp_path):
    write_run(tmp_path / "run.txt", {"q": {"b": 1.0, "c": 2.0, "a": 1.0}}, name="mine")
    assert (tmp_path / "run.txt").read_text() == ("q Q0 c 1 2.0 mine\nq Q0 a 2 1.0 mine\nq Q0 b 3 1.0 mine\n")


@pytest.mark.parametrize("run", [{"a query": {"d": 1.0}}, {"q": {"a\tdocument": 1.0}}, {"": {"d": 1.0}}])
def test_ids_with_white_space_are_refused_and_nothing_is_written(tmp_path, run):
    with pytest.raises(DataError, match="white space"):
        write_run(tmp_path / "run.txt", run)
    assert not list(tmp_path.iterdir())


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
    {"q": {"a\nq Q0 b 1 9.0 x": 1.0}},
    {"q\u2028": {"d": 1.0}},
    {"q": {"a\ud800": 1.0}},
]


@pytest.mark.parametrize("run", [*NO_HIT, {"q": {"d": float("nan")}}, {"q": {"d": "1"}}, {"q": {"d": True}}], ids=repr)
def test_what_could_not_be_read_back_is_not_written(tmp_path, run):
    with pytest.raises(DataError, match="cannot stand in a run file"):
        write_run(tmp_path / "run.txt", run)
    assert not list(tmp_path.iterdir())


def test_a_name_and_numpys_scores_stand_in_one_column(tmp_path):
    write_run(tmp_path / "run.txt", {"q": {"d": np.float64(0.5)}}, name="my own\nrun")
    assert (tmp_path / "run.txt").read_text() == "q Q0 d 1 0.5 my-own-run\n"
    assert read_run(tmp_path / "run.txt") == {"q": {"d": 0.5}}
