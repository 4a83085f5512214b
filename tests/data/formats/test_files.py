import gzip
import json
from pathlib import Path

import pytest

from tardif.cli.shared_options import lines_of
from tardif.data.documents import read_documents
from tardif.data.formats import cells, files, json_files, open_source, trec
from tardif.data.queries import read_queries
from tardif.data.records import Judgement
from tardif.errors import DataError
from tardif.evaluation.runs import read_run

ODD = ["\u2028", "\x85", "\x1c", "\x0b", "\x00", "\r", "\ufeff", "é", "\U0001f600"]


@pytest.mark.parametrize("odd", ODD)
def test_only_a_line_feed_ends_a_line(tmp_path, odd):
    path = tmp_path / "r.txt"
    path.write_bytes(f"a{odd}b\nc{odd}d\r\n{odd}x".encode())
    assert list(files.bare_lines(path)) == [(1, f"a{odd}b"), (2, f"c{odd}d"), (3, f"{odd}x")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_line_end_ends_every_line(tmp_path, end, last):
    lines = ["one\u2028\x0b\x0c\x1c\x1d\x1e\x85", "", "two\x1b é"]
    text = "\ufeff" + end.join(lines) + (end if last else "")
    for name in ("r.txt", "r.txt.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        for how in ({}, {"any_end": True}):
            assert list(files.bare_lines(path, **how)) == list(enumerate(lines, start=1))


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_mixed_line_ends(tmp_path, monkeypatch, block):
    monkeypatch.setattr(files, "_BLOCK", block)
    (tmp_path / "r.txt").write_bytes(b"a\rb\r\nc\n\rd")
    assert [line for _, line in files.bare_lines(tmp_path / "r.txt", any_end=True)] == ["a", "b", "c", "", "d"]
    assert [line for _, line in files.bare_lines(tmp_path / "r.txt")] == ["a\rb", "c", "\rd"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_reader_takes_any_line_end_and_a_mark(tmp_path, end):
    odd = "the\u2028sea\x85"

    def write(name, *lines):
        (tmp_path / name).write_bytes("".join(f"{line}{end}" for line in ("\ufeff" + lines[0], *lines[1:])).encode())
        return tmp_path / name

    rows = [json.dumps({"_id": n, "text": odd}, ensure_ascii=False) for n in "ab"]
    queries = {"a": odd, "b": odd}
    assert read_queries(write("q.jsonl", *rows)) == queries
    assert read_queries(write("q.csv", "_id,text", f"a,{odd}", f'b,"{odd}"')) == queries
    assert read_queries(write("q.tsv", f"a\t{odd}", f"b\t{odd}")) == queries
    assert read_queries(write("h.tsv", "_id\ttext", f"a\t{odd}", f"b\t{odd}")) == queries
    assert lines_of(write("ids.txt", "a", "", "b\x1cc")) == ["a", "b\x1cc"]
    assert read_run(write("run.txt", "q Q0 a 1 2.5 x", "q Q0 b 2 1 x")) == {"q": {"a": 2.5, "b": 1.0}}
    assert len(list(trec.read_trec_qrels(write("q.trec", "q 0 a 1", "q 0 b 0")))) == 2
    assert len(list(trec.read_beir_qrels(write("test.tsv", "query-id\tcorpus-id\tscore", "q\ta\t1")))) == 1
    pairs = [Judgement("a", odd, "positive", 2)]
    for name, mark in (("p.csv", ","), ("p.tsv", "\t")):
        assert list(open_source(write(name, f"query{mark}positive", f"a{mark}{odd}")).judgements()) == pairs
    array = write("p.json", "[", json.dumps({"query": "a", "positive": odd}), "]")
    assert list(open_source(array).judgements()) == [Judgement("a", odd, "positive", 1)]
    assert [d.text for d in read_documents(tmp_path / "q.csv")] == [odd, odd]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_arrays_read_alike_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(files, "_BLOCK", block)
    rows = [{"query": "".join(ODD), "answer": '[{"}]\\"'}, {"n": 12.5, "x": [1, {"y": None}]}, {}]
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf \n" + json.dumps(rows, indent=2, ensure_ascii=False).encode() + b"\n\n")
    assert list(json_files.json_objects(path)) == list(enumerate(rows, start=1))
    assert json_files.is_json_array(path)


def test_what_has_no_end_is_refused(tmp_path, monkeypatch):
    for module in (files, json_files, cells):
        monkeypatch.setattr(module, "LONGEST", 100)
    monkeypatch.setattr(files, "_BLOCK", 10)
    (tmp_path / "r.jsonl").write_bytes(b"short\n" + b"x" * 150)
    with pytest.raises(DataError, match="line 2: is longer than"):
        list(files.raw_lines(tmp_path / "r.jsonl"))
    (tmp_path / "r.json").write_bytes(b'[{"a": "' + b"x" * 10_000)
    with pytest.raises(DataError, match="line 1: malformed JSON"):
        list(json_files.json_objects(tmp_path / "r.json"))


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
    assert [(line, [len(cell) for cell in row]) for line, row in cells.open_cells(path).rows()] == [(2, [300_000, 1])]
