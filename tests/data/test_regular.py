"""Files that a user names or a folder holds: regular ones are read, others refused or counted, none is waited for."""

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from samples import CORPUS, QUERIES, write_beir, write_jsonl
from tardif.cli.shared_options import lines_of
from tardif.data.chunking import cutter
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.extraction import extract
from tardif.data.extraction.extract import KINDS
from tardif.data.formats import SUFFIXES, open_source
from tardif.data.judged import read_judged
from tardif.data.queries import read_queries
from tardif.data.regular import check_regular, is_folder, open_regular, user_path
from tardif.data.training_set import is_training_set
from tardif.errors import DataError
from tardif.evaluation.comparison import compare
from tardif.evaluation.runs import read_run
from tardif.preparation import prepare
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")

PACKED = tuple(f"{suffix}{packing}" for suffix in (".jsonl", ".csv", ".tsv", ".json") for packing in (".gz", ".zst"))
NAMES = [f"a{suffix}" for suffix in (*KINDS, *SUFFIXES, *PACKED, ".xml", "")]


@pytest.fixture(autouse=True)
def nothing_waits():
    """A hang fails the test: the alarm rings inside a call that waits for a pipe's other end."""

    def ring(*_):
        raise AssertionError("waits for a pipe")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def device(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")
    return path


def socket(path):
    import socket

    path.parent.mkdir(parents=True, exist_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)
    return path


odd = pytest.mark.parametrize("odd", [pipe, device, socket])


@contextmanager
def refused():
    with pytest.raises(DataError, match="is a pipe or device: write it to a file first"):
        yield


@odd
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_kind(odd, name, tmp_path):
    path = odd(tmp_path / name)
    with refused():
        read_documents(path)
    with refused():
        open_source(path)
    with refused():
        prepare([[("query", "positive")]], path, miner="none")


READERS = {
    "queries.jsonl": read_queries,
    "queries.tsv": read_queries,
    "run.txt": read_run,
    "ids.txt": lines_of,
    "page.html": extract.extract,
    "page.pdf": extract.extract,
    "page.md": extract.extract,
    "a file": open_regular,
}


@odd
@pytest.mark.parametrize("name", READERS)
def test_every_reader(odd, name, tmp_path):
    with refused():
        READERS[name](odd(tmp_path / name))


@odd
def test_verbs_that_read_documents(odd, tmp_path, encoder, multi_vector_folder, fails):
    path = odd(tmp_path / "a.txt")
    for use in (
        lambda: rerank(encoder, "query", path),
        lambda: Retriever.build(multi_vector_folder, path, tmp_path / "index", quiet=True),
    ):
        with refused():
            use()
    for arguments in (
        ["prepare", path, "--out", tmp_path / "out"],
        ["index", multi_vector_folder, path, "--out", tmp_path / "index"],
        ["rerank", multi_vector_folder, "query", "--documents", path],
    ):
        assert "pipe or device" in fails(*arguments)
    assert not (tmp_path / "index").exists()


@odd
@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_part_of_a_beir_folder(odd, name, tmp_path):
    folder = write_beir(tmp_path / "beir")
    (folder / name).unlink()
    odd(folder / name)
    with refused():
        read_judged(folder, "test")
    with pytest.raises(DataError):
        prepare([folder], split="test", miner="none")


@odd
@pytest.mark.parametrize("part", ["qrels", "queries", "corpus", "run"])
def test_a_part_of_a_trec_collection(odd, part, tmp_path):
    files = {
        "qrels": tmp_path / "qrels.txt",
        "queries": write_jsonl(tmp_path / "queries.jsonl", QUERIES),
        "corpus": write_jsonl(tmp_path / "corpus.jsonl", CORPUS),
        "run": tmp_path / "run.txt",
    }
    files["qrels"].write_text("q1 0 d1 1\n")
    files["run"].write_text("q1 Q0 d2 1 0.5 x\n")
    files[part].unlink()
    odd(files[part])
    with refused():
        prepare([files], miner="none")
    with refused():
        prepare([tmp_path], miner="none")


@odd
@pytest.mark.parametrize("name", ["queries.tsv", "collection.tsv", "triples.jsonl", "qrels.tsv", "id-maps.json"])
def test_a_part_of_a_colbert_folder(odd, name, tmp_path):
    for file, text in {
        "queries.tsv": "0\tq\n",
        "collection.tsv": "0\ta\n1\tb\n",
        "triples.jsonl": "[0, 0, 1]\n",
    }.items():
        if file != name:
            (tmp_path / file).write_text(text)
    odd(tmp_path / name)
    with refused():
        prepare([tmp_path], miner="none")


@odd
def test_shards_and_saved_datasets(odd, tmp_path):
    odd(tmp_path / "shards" / "train-0.parquet")
    with refused():
        open_source(tmp_path / "shards")
    saved = tmp_path / "saved"
    saved.mkdir()
    for name in ("state.json", "dataset_info.json"):
        (saved / name).write_text("{}")
    odd(saved / "data-00000.arrow")
    with refused():
        open_source(saved)


@odd
def test_what_only_looks(odd, tmp_path):
    odd(tmp_path / "manifest.json")
    assert not is_training_set(tmp_path)
    assert cutter(tmp_path, "auto", lambda: None) is None


@odd
def test_a_run_to_evaluate(odd, tmp_path):
    with refused():
        compare([str(odd(tmp_path / "run.txt"))], [write_beir(tmp_path / "beir")])


@odd
def test_in_a_folder_they_are_counted(odd, tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    for name in ("b.txt", "c.html", "d.pdf", "e.jsonl", "inside/f.md"):
        odd(tmp_path / name)
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["a.txt"]
    reason = "links out of the folder" if odd is device else "no regular files"
    assert report.skipped == {reason: 5}
    assert any(reason in line and "b.txt" in line for line in report.lines())


def test_a_pipe_that_takes_the_place_of_a_file(tmp_path, monkeypatch):
    path = pipe(tmp_path / "a.txt")
    monkeypatch.setattr("tardif.data.regular.check_regular", lambda path: None)  # it was one a moment ago
    with refused():
        open_regular(path)


def test_links_in_a_ring(tmp_path):
    (tmp_path / "a.txt").symlink_to("b.txt")
    (tmp_path / "b.txt").symlink_to("a.txt")
    (tmp_path / "c.txt").write_text("some text")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["c.txt"]
    assert report.skipped == {"links to nothing": 2, "links to a folder inside": 1}
    for use in (read_documents, open_source, check_regular):
        with pytest.raises(DataError, match="cannot be read"):
            use(tmp_path / "a.txt")


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    (tmp_path / "b.txt").symlink_to("a.txt")
    assert read_documents(tmp_path / "b.txt")[0].text == "some text"


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b.txt", "~nobody-of-that-name/a.txt", "", "missing/a.txt"], ids=ascii)
def test_paths_that_lead_nowhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (read_documents, open_source, lambda p: prepare([[("q", "p")]], p), lambda p: prepare([p])):
        with pytest.raises(DataError) as raised:
            use(path)
        assert len(str(raised.value)) < 500


def test_a_document_file_too_large_to_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "LARGEST", 100)
    (tmp_path / "a.txt").write_text("x" * 101)
    (tmp_path / "b.txt").write_text("x" * 100)
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["b.txt"]
    assert report.skipped == {"too large": 1}
    with pytest.raises(DataError, match="too large"):
        read_documents(tmp_path / "a.txt")


def test_the_helpers(tmp_path):
    assert is_folder(tmp_path) and not is_folder(tmp_path / "no")
    assert user_path("~") == Path.home()
    (tmp_path / "a").write_bytes(b"ab")
    with open_regular(tmp_path / "a") as file:
        assert file.read() == b"ab"
    with pytest.raises(DataError, match="is a folder"):
        open_regular(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        open_regular(tmp_path / "a")
