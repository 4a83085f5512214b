import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.data.rows import read_lines, read_rows
from tardif.errors import DataError


@pytest.fixture
def rows(tmp_path):
    def read(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [(row.line, row.fields) for row in read_rows(path)]

    return read


def test_jsonl_rows_know_their_lines(rows):
    assert rows("a.jsonl", '{"a": 1}\n\n  \n{"a": [2], "b": null}') == [(1, {"a": 1}), (4, {"a": [2], "b": None})]


def test_a_byte_order_mark_and_windows_line_ends_are_no_content(rows):
    assert rows("a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n") == [(2, {"a": "1", "b": "2"})]
    assert rows("a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n') == [(1, {"a": 1})]


def test_csv_may_be_quoted_over_lines(rows):
    found = rows("a.csv", 'a,b\n"x, ""y""\nz",1\n\n3,4\n')
    assert found == [(2, {"a": 'x, "y"\nz', "b": "1"}), (5, {"a": "3", "b": "4"})]


def test_a_quote_in_tsv_is_a_character(rows):
    assert rows("a.tsv", 'a\tb\n"x\ty"\n') == [(2, {"a": '"x', "b": 'y"'})]


def test_suffixes_are_read_in_any_case(rows):
    assert rows("a.JSONL", '{"a": 1}') == rows("a.ndjson", '{"a": 1}') == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "is empty"),
        ("a.jsonl", "\n \n", "is empty"),
        ("a.csv", "a,b\n", "is empty"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2: malformed JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2: each line must be one JSON object"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"line 2: is not UTF-8 \(byte 8"),
        ("a.jsonl", '{"a": 1}\n{"a": "\\ud800"}\n', "line 2: "),
        ("a.jsonl", "[" * 100_000, "line 1: malformed JSON"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "line 3: has 3 columns where the header has 2"),
        ("a.tsv", "a\tb\n1\n", "line 2: has 1 columns where the header has 2"),
        ("a.csv", 'a,b\n1,2\n"1,2\n3,4\n', "line 3: malformed line"),
        ("a.csv", 'a,b\n"1"x,2\n', "line 2: malformed line"),
        ("a.csv", "a,a\n1,2\n", "line 1: the header names a column twice"),
        ("a.xlsx", "x", r"of a kind that is not read \(.xlsx\)"),
        ("a", "x", r"of a kind that is not read \(no suffix\)"),
    ],
)
def test_what_cannot_be_read_says_where(rows, name, content, message):
    with pytest.raises(DataError, match=message):
        rows(name, content)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_rows(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        list(read_lines(tmp_path / "a.txt"))


cells = st.text("ab ,;'\"\n\t", max_size=4)


@settings(deadline=None, max_examples=40)
@given(table=st.lists(st.tuples(cells, cells), min_size=1, max_size=4))
def test_csv_is_read_as_the_standard_library_writes_it(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("a", "b"), *table])
    assert [tuple(row.fields.values()) for row in read_rows(path)] == table
