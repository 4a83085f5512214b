import json
from pathlib import Path

import pytest

from tardif.data.formats import cells, files, json_files
from tardif.errors import DataError

ODD = ["\u2028", "\x85", "\x1c", "\x0b", "\x00", "\r", "\ufeff", "é", "\U0001f600"]


@pytest.mark.parametrize("odd", ODD)
def test_only_a_line_feed_ends_a_line(tmp_path, odd):
    path = tmp_path / "r.txt"
    path.write_bytes(f"a{odd}b\nc{odd}d\r\n{odd}x".encode())
    assert list(files.bare_lines(path)) == [(1, f"a{odd}b"), (2, f"c{odd}d"), (3, f"{odd}x")]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_arrays_read_alike_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(files, "_BLOCK", block)
    rows = [{"query": "".join(ODD), "answer": '[{"}]\\"'}, {"n": 12.5, "x": [1, {"y": None}]}, {}]
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf \n" + json.dumps(rows, indent=2, ensure_ascii=False).encode() + b"\n\n")
    assert list(json_files.json_array(path)) == list(enumerate(rows, start=1))
    assert json_files.first_character(path) == "["


def test_what_has_no_end_is_refused(tmp_path, monkeypatch):
    for module in (files, json_files, cells):
        monkeypatch.setattr(module, "LONGEST", 100)
    monkeypatch.setattr(files, "_BLOCK", 10)
    (tmp_path / "r.jsonl").write_bytes(b"short\n" + b"x" * 150)
    with pytest.raises(DataError, match="line 2: is longer than"):
        list(files.raw_lines(tmp_path / "r.jsonl"))
    (tmp_path / "r.json").write_bytes(b'[{"a": "' + b"x" * 10_000)
    with pytest.raises(DataError, match="line 1: malformed JSON"):
        list(json_files.json_array(tmp_path / "r.json"))


def test_folders_and_odd_paths(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        files.check_file(tmp_path)
    with pytest.raises(DataError, match="pipe or device"):
        files.check_file(Path("/dev/null"))
    with pytest.raises(DataError, match="no such file"):
        files.check_file(tmp_path / "r.csv" / "x")
    with pytest.raises(DataError, match="cannot be read"):
        files.check_file(tmp_path / "a\0b")
    with pytest.raises(DataError, match="no such file"):
        list(files.text_lines(tmp_path / "gone.txt"))


def test_cells_longer_than_the_csv_module_takes_by_itself(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("query,answer\n" + "q" * 300_000 + ",a\n", encoding="utf-8")
    assert [(line, [len(cell) for cell in row]) for line, row in cells.csv_rows(path)][1] == (2, [300_000, 1])
