"""The sources in a set's manifest: what was read, whatever else a folder holds."""

import json
import os
from pathlib import Path

import pytest

from samples import write_beir, write_jsonl
from tardif.data.chunking import cutter
from tardif.data.regular import note_opened, noting_opened, open_regular
from tardif.errors import DataError, FolderError
from tardif.preparation import prepare_folder

ROWS = [{"query": f"question about thing{n}", "positive": f"thing{n} is a thing of kind{n % 7}"} for n in range(20)]
LATIN = os.fsdecode(b"caf\xe9")


def sources(folder):
    return json.loads((folder / "manifest.json").read_text("utf-8"))["sources"]


def names(folder):
    return [(source["name"], sorted(source.get("sha256", ()))) for source in sources(folder)]


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    (folder / "inside").mkdir(parents=True)
    for number, row in enumerate(ROWS):
        (folder / ("inside" if number % 2 else "") / f"{number}.txt").write_text(row["positive"], "utf-8")
    return folder


READ = sorted(f"inside/{number}.txt" if number % 2 else f"{number}.txt" for number in range(20))


def latin_text(folder):
    (folder / f"{LATIN}.txt").write_text("a text", "utf-8")


def latin_folder(folder):
    (folder / LATIN).mkdir()
    (folder / LATIN / "a.txt").write_text("a text", "utf-8")


def unreadable(folder):
    (folder / "memory.png").symlink_to("/proc/self/mem")  # a regular file, and an error when it is read


def other_kinds(folder):
    (folder / "photo.png").write_bytes(b"\x89PNG")
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"DIRC")


def pipe(folder):
    os.mkfifo(folder / "pipe.txt")


@pytest.mark.parametrize("miner", ["none", "lexical"])
@pytest.mark.parametrize("odd", [latin_text, latin_folder, unreadable, other_kinds, pipe])
def test_an_odd_file_among_documents_costs_nothing(odd, miner, documents, tmp_path):
    odd(documents)
    pairs = write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    out = prepare_folder([pairs], documents, tmp_path / "set", miner=miner)
    assert names(out) == [("pairs.jsonl", ["pairs.jsonl"]), ("documents", READ)]


def test_a_set_beside_its_documents_is_no_document(documents, monkeypatch):
    write_jsonl(documents / "pairs.jsonl", ROWS)
    monkeypatch.chdir(documents)
    first = prepare_folder(["pairs.jsonl"], ".", "set")
    # The folder's own name, and neither the set that is being written nor the work of its mining.
    assert names(first) == [("pairs.jsonl", ["pairs.jsonl"]), ("documents", sorted([*READ, "pairs.jsonl"]))]
    Path("set/report.html").write_text("<p>the page of a set</p>", "utf-8")
    held = {path.name: path.read_bytes() for path in first.glob("*.parquet")}
    again = prepare_folder(["pairs.jsonl"], ".", "set", overwrite=True)
    assert {path.name: path.read_bytes() for path in again.glob("*.parquet")} == held
    report = [json.loads(line) for line in (again / "report.jsonl").read_text("utf-8").splitlines()]
    assert any(row.get("detail") == "set: folders that Tardif made" for row in report)
    assert not any(".partial" in row.get("detail", "") for row in report)


@pytest.mark.parametrize("rows", [ROWS, [{**row, "positive": f"<b>{row['positive']}</b>"} for row in ROWS]])
def test_the_name_of_a_source_that_is_not_utf_8_is_escaped(rows, tmp_path):
    pairs = write_jsonl(tmp_path / f"{LATIN}.jsonl", rows)
    kept = write_jsonl(
        tmp_path / f"{LATIN} documents.jsonl", [{"id": n, "text": r["positive"]} for n, r in enumerate(rows)]
    )
    out = prepare_folder([pairs], kept, tmp_path / "set")
    escaped = [r"caf\udce9.jsonl", r"caf\udce9 documents.jsonl"]
    assert names(out) == [(name, [name]) for name in escaped]
    for line in (out / "report.jsonl").read_text("utf-8").splitlines():
        json.loads(line)


def test_a_place_that_is_not_utf_8_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(FolderError, match="is not UTF-8, which DuckDB needs: choose another"):
        prepare_folder(["absent.jsonl"], None, tmp_path / LATIN)


def test_a_document_of_such_a_name_is_told_apart_from_its_text(tmp_path):
    latin_text(tmp_path)
    pairs = write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    with pytest.raises(DataError, match="has a name that is not UTF-8: rename it"):
        prepare_folder([pairs], tmp_path / f"{LATIN}.txt", tmp_path / "set")


def test_a_collection_names_the_files_of_its_splits(tmp_path):
    judged = {"train": "q1\td1\t1", "dev": "q2\td3\t1", "test": "q2\td3\t1"}
    qrels = {split: f"query-id\tcorpus-id\tscore\n{line}\n" for split, line in judged.items()}
    folder = write_beir(tmp_path / "beir", qrels=qrels)
    (folder / "README.md").write_text("about it", "utf-8")
    out = prepare_folder([folder], None, tmp_path / "set", miner="none")
    read = ["corpus.jsonl", "qrels/dev.tsv", "qrels/train.tsv", "queries.jsonl"]
    assert names(out)[0] == ("beir", read)
    assert all(len(checksum) == 64 for checksum in sources(out)[0]["sha256"].values())


def test_a_file_that_goes_while_a_set_is_made_is_told_before_mining(documents, tmp_path, monkeypatch):
    pairs = write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    monkeypatch.setattr("tardif.preparation.steps.write_report", lambda *_: (documents / "2.txt").unlink())
    monkeypatch.setattr("tardif.mining.mining_plan.MiningPlan.run", lambda *_, **__: pytest.fail("mined"))
    with pytest.raises(DataError, match=r"documents/2\.txt: no such file"):
        prepare_folder([pairs], documents, tmp_path / "set")


def test_only_opened_files_are_noted(tmp_path):
    there, gone, found = tmp_path / "a", tmp_path / "b", set()
    there.write_text("a", "utf-8")
    with noting_opened(found):
        open_regular(there).close()
        with pytest.raises(DataError):
            open_regular(gone)
        with noting_opened(None):
            note_opened(gone)
    note_opened(gone)
    assert found == {there}


def test_a_page_of_a_set_makes_no_running_text_of_a_folder_of_tables(tmp_path):
    def base():
        raise LookupError("a base is needed to cut")

    write_jsonl(tmp_path / "documents.jsonl", [{"text": "one"}])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "report.html").write_text("<p>a page</p>", "utf-8")
    with pytest.raises(LookupError):
        cutter(tmp_path, "auto", base)
    (tmp_path / "set" / "manifest.json").write_text('{"format": "tardif-training-set"}', "utf-8")
    assert cutter(tmp_path, "auto", base) is None
