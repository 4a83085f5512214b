import pytest

from samples import write_jsonl
from tardif.data.pairs import read_pairs
from tardif.errors import DataError


def judged(source):
    return [(pair.query, pair.document, pair.relevance) for pair in read_pairs(source)[0]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("q", "d")], [("q", "d", 1)]),
        ([["q", "d", 0], ["q", "e", 2.0]], [("q", "d", 0), ("q", "e", 2)]),
        ([("q", "d", "n")], [("q", "d", 1), ("q", "n", 0)]),
        ([{"query": "q", "positive": "d"}], [("q", "d", 1)]),
        ([{"Question": "q", "Answer": "d"}], [("q", "d", 1)]),
        ([{"anchor": "q", "positive": ["d", "e"]}], [("q", "d", 1), ("q", "e", 1)]),
        ([{"query": "q", "positives": ["d"], "negatives": ["n", "m"]}], [("q", "d", 1), ("q", "n", 0), ("q", "m", 0)]),
        ([{"query": "q", "document": "d", "label": "0.9"}], [("q", "d", 0)]),
        ([{"query": "q", "document": "d", "score": True}], [("q", "d", 1)]),
        (
            [{"query": "q", "positive": "d", "negative_1": "n", "negative_2": "m"}],
            [("q", "d", 1), ("q", "n", 0), ("q", "m", 0)],
        ),
        (
            [{"query": "q", "positive": "d", "negative": ""}, {"query": "r", "positive": "e"}],
            [("q", "d", 1), ("r", "e", 1)],
        ),
    ],
)
def test_shapes(rows, expected):
    assert judged(rows) == expected


def test_files_read_like_values(tmp_path):
    rows = [{"query": "q", "document": "d", "label": "1"}, {"query": "q", "document": "e", "label": "0"}]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    (tmp_path / "pairs.csv").write_text("query,document,label\nq,d,1\nq,e,0\n")
    assert judged(path) == judged(str(tmp_path / "pairs.csv")) == judged(iter(rows)) == [("q", "d", 1), ("q", "e", 0)]


def test_what_was_read_as_what_is_said():
    _, line = read_pairs([{"question": "q", "answer": "d", "label": 1, "negative": "n"}])
    assert line == "data: 1 rows read as question -> answer, judged by label, negatives from negative"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (["a text"], "line 1: each row must be"),
        ([("q", "d"), ("q",)], "line 2: each row must be"),
        ([("q", "d"), ("q", "d", 1)], "mixes rows"),
        ([("q", "d", 1), ("q", "d", "n")], "line 1: "),
        ([("q", None)], "line 1: missing column positive"),
        ([("q", 3)], "line 1: column positive must be text, and is int"),
        ([("q", "d"), (" ", "d")], "line 2: column query is empty"),
        ([{"text": "q", "positive": "d"}], r"missing column query\|question\|anchor; it has text, positive"),
        ([{"query": "q"}], r"missing column positive\|"),
        ([{"query": "q", "positive": "d"}, {"query": "q"}], "line 2: missing column positive"),
        ([{"query": "q", "positive": ""}], "line 1: column positive is empty"),
        ([{"query": "q", "positive": []}], "line 1: column positive is empty"),
        ([{"query": "q", "positive": ["d", " "]}], "line 1: column positive is empty"),
        ([{"query": "q", "positive": "d", "negatives": ["n", ""]}], "line 1: column negatives is empty"),
        ([{"query": "q", "document": "d", "label": "yes"}], "line 1: label 'yes' is no number"),
        ([{"query": "q", "document": "d", "label": None}], "line 1: label None is no number"),
        ([{"query": "q", "document": "d", "label": "nan"}], "line 1: label 'nan' is no finite number"),
    ],
)
def test_rows_that_make_no_sense_say_where(rows, message):
    with pytest.raises(DataError, match=message):
        read_pairs(rows)
