"""Python rows: any iterable of dicts or tuples, read once and one by one."""

from collections import namedtuple
from decimal import Decimal
from itertools import count

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tardif.data.formats import open_source
from tardif.data.records import Judgement
from tardif.errors import DataError


def read(source, **options):
    return list(open_source(source, **options).judgements())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("a", "b"), [Judgement("a", "b", "positive", 1)]),
        (["a", "b"], [Judgement("a", "b", "positive", 1)]),
        (("a", "b", 0), [Judgement("a", "b", "labelled", 1, label=0)]),
        (("a", "b", np.True_), [Judgement("a", "b", "labelled", 1, label=True)]),
        (("a", "b", np.float32(0.5)), [Judgement("a", "b", "labelled", 1, label=0.5)]),
        (("a", "b", "c"), [Judgement("a", "b", "positive", 1), Judgement("a", "c", "negative", 1)]),
        (("a", "b", "No"), [Judgement("a", "b", "labelled", 1, label="No")]),
        (("a", 17), [Judgement("a", None, "positive", 1, document_id="17")]),
        (
            ("a", ["b", 17.0]),
            [Judgement("a", "b", "positive", 1), Judgement("a", None, "positive", 1, document_id="17")],
        ),
        (("a", "b", "c", "d"), [Judgement("a", text, "negative" if text > "b" else "positive", 1) for text in "bcd"]),
        (("a", ["b", "c"], [1, 0]), [Judgement("a", t, "labelled", 1, label=n) for t, n in (("b", 1), ("c", 0))]),
        (("a", ["b", "c"]), [Judgement("a", "b", "positive", 1), Judgement("a", "c", "positive", 1)]),
        ({"query": "a", "answer": "b"}, [Judgement("a", "b", "positive", 1)]),
        (namedtuple("Row", "passage question")("b", "a"), [Judgement("a", "b", "positive", 1)]),
    ],
)
def test_rows(row, expected):
    assert read([row]) == expected


def test_rows_are_streamed():
    taken = []

    def rows():
        for number in count(1):
            taken.append(number)
            yield (f"query {number}", "d")

    stream = open_source(rows()).judgements()
    assert [next(stream).place for _ in range(500)] == list(range(1, 501))
    assert len(taken) <= 601


def test_dicts_are_streamed_once_and_numbered():
    source = open_source({"query": str(number), "answer": "d"} for number in range(1, 251))
    assert [(found.query, found.place) for found in source.judgements()] == [(str(n), n) for n in range(1, 251)]
    assert source.shape == "dicts: pairs: query from query, positive from answer (250 rows)"


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ([("a", "b", 1), ("a", "b", "c")], 2, "give one shape"),
        ([("a", "b"), ("a", "b", "c")], 2, "give one shape"),
        ([("a", "b"), {"query": "a", "answer": "b"}], 2, "each row must be"),
        ([{"query": "a", "answer": "b"}, ("a", "b")], 2, "is no dict"),
        ([("a", "b"), "ab"], 2, "each row must be"),
        ([("a", "b"), None], 2, "each row must be"),
        ([("a", "b", None)], 1, "third item is missing"),
        ([("a", "\ud800")], 1, "lone surrogate"),
        ([("a", b"b")], 1, "must be text, not bytes"),
        ([("a", "b", float("inf"))], 1, "not finite"),
        ([{"query": "a", 3: "b"}], 1, "the column name 3 is no text"),
        ([{"query": "a", "answer": "b", "label": object()}], 1, "must be a label"),
        (["ab"], 1, "each row must be"),
        ("rows", None, "no such file"),
    ],
)
def test_refusals_name_the_row(rows, line, what):
    with pytest.raises(DataError, match=what) as error:
        read(rows)
    assert error.value.line == line


def test_what_holds_no_rows():
    with pytest.raises(DataError, match="holds no row"):
        open_source([])
    with pytest.raises(DataError, match="holds no rows"):
        open_source(3)
    with pytest.raises(DataError, match="column answer has 2 values where query has 1: .* list of dicts"):
        open_source({"query": ["a"], "answer": ["b", "c"]})
    with pytest.raises(DataError, match="list of dicts"):
        open_source({"query": "a", "answer": "b"})
    with pytest.raises(DataError, match="no named columns"):
        open_source([("a", "b")], columns={"query": "q"})


def test_odd_names_do_not_pile_up():
    rows = [{"query": "a", "answer": "b", f"extra {number}": 1} for number in range(2500)]
    source = open_source(rows)
    assert len(list(source.judgements())) == 2500
    assert source.shape.endswith("extra 18, extra 19, ... (2500 rows)")
    assert "query from query, positive from answer;" in source.shape


MISSING = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, Decimal("NaN"), pa.scalar(None, pa.string())]


@pytest.mark.parametrize("missing", MISSING, ids=lambda value: type(value).__name__)
def test_what_is_missing_is_missing_in_every_role(missing):
    row = {"query": "q", "positive": "p", "query_id": missing, "document_id": missing, "negative_1": missing}
    assert read([row]) == [Judgement("q", "p", "positive", 1)]
    for row in ({"query": missing, "positive": "p"}, (missing, "p")):  # for the rule "empty" to judge
        assert read([row]) == [Judgement("", "p", "positive", 1)]
    assert read([{"query": "q", "positive": missing}]) == [Judgement("q", "", "positive", 1)]
    scored = {"query": "q", "positive": "p", "negative": "n", "scores": missing}
    assert [judgement.score for judgement in read([scored])] == [None, None]
    for wrong, what in (
        ({"query": "q", "document": "p", "label": missing}, "column label is missing"),
        ({**scored, "scores": [1.0, missing]}, "column scores is missing"),
        (("q", "p", missing), "third item is missing"),
    ):
        with pytest.raises(DataError, match=what):
            read([wrong])
    with pytest.raises(DataError, match="is to group by"):
        read([{"query": "q", "positive": "p", "from": missing}], group_by="from")
