"""The verbs around an index, as they are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import tiny
from tardif.folders import mark
from tardif.index.disk import DiskIndex

ROWS = [
    {"_id": f"d{n}", "text": text, "metadata": {"number": n, "lang": "en" if n % 2 else "fr"}}
    for n, text in enumerate(tiny.SENTENCES[:20])
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def index(tardif, multi_vector_folder, tmp_path):
    corpus, out = write(tmp_path / "corpus.jsonl", ROWS), tmp_path / "index"
    assert tardif("index", multi_vector_folder, corpus, "--out", out, "--hybrid", "--quiet")[:2] == (0, f"{out}\n")
    return out


@pytest.fixture
def found(tardif):
    """Search; gives the ids of the hits."""

    def search(*arguments):
        code, out, _ = tardif("search", *arguments, "--json")
        assert code == 0
        answer = json.loads(out)
        assert [hit["rank"] for hit in answer["hits"]] == list(range(1, len(answer["hits"]) + 1))
        return [hit["document_id"] for hit in answer["hits"]]

    return search


def test_what_is_added_is_found_and_what_is_deleted_is_not(index, tardif, found, tmp_path):
    more = write(tmp_path / "more.jsonl", [{"_id": "new", "text": "zebra"}, {"_id": "d3", "text": "zebra zebra"}])
    code, out, err = tardif("add", index, more)
    assert (code, out) == (0, "21\n")
    assert "2 documents added; 1 of them replaced others." in err
    assert set(found(index, "zebra", "-k", 100)) == {"new"} | {row["_id"] for row in ROWS}
    hits = json.loads(tardif("search", index, "zebra", "-k", 100, "--json")[1])["hits"]
    assert {"zebra", "zebra zebra"} <= {hit["text"] for hit in hits}
    code, out, err = tardif("delete", index, "new", "nobody")
    assert (code, out) == (0, "20\n")
    assert "1 documents deleted; 1 were not in the index." in err
    assert "new" not in found(index, "zebra", "-k", 100)
    (tmp_path / "ids.txt").write_text("d3\nd4\n")
    assert tardif("delete", index, "--ids", tmp_path / "ids.txt", "--quiet")[:2] == (0, "18\n")
    assert not {"d3", "d4"} & set(found(index, "zebra", "-k", 100))


def test_a_filter_holds_for_every_hit(index, found, fails):
    wanted = {row["_id"] for row in ROWS if row["metadata"]["lang"] == "fr" and row["metadata"]["number"] >= 10}
    for how in ([], ["--exact"], ["--hybrid"]):
        assert (
            set(found(index, "how long to bake bread", "-k", 50, "--filter", "lang = 'fr' and number >= 10", *how))
            == wanted
        )
    assert "filter" in fails("search", index, "a query", "--filter", "lang = ").lower()


def test_hybrid_finds_words_and_ranks_by_both(index, found):
    word = max(tiny.SENTENCES[7].split(), key=len)
    having = {row["_id"] for row in ROWS if word in row["text"]}
    assert found(index, word, "--hybrid", "--word-share", 0.6)[0] in having
    # What vectors alone find is there, too.
    assert len(found(index, word, "--hybrid", "-k", 20)) == 20 > len(having)
    assert found(index, word, "--hybrid", "--word-share", 0) == found(index, word)


def test_a_query_that_nothing_matches_finds_nothing_and_that_is_said(index, tardif, tmp_path):
    code, out, err = tardif("search", index, "?!")
    assert (code, out) == (0, "")
    assert err == "The query '?!' has no token that can be matched, only punctuation or the like: it finds nothing.\n"
    assert tardif("search", index, "?!", "--quiet")[1:] == ("", "")
    assert json.loads(tardif("search", index, "?!", "--json")[1])["hits"] == []
    assert tardif("search", index, "bread", "--filter", "lang = 'none'")[1:] == ("", "No document passes the filter.\n")
    queries = write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "..."}, {"_id": "2", "text": "bread"}])
    for run in ([], ["--run", tmp_path / "run.txt"]):
        assert "1 of 2 queries found nothing.\n" in tardif("search", index, "--queries", queries, *run)[2]


def test_a_run_is_written_neither_over_what_is_read_nor_over_another_run(index, tardif, fails, tmp_path):
    queries = write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "bread"}])
    (tmp_path / "link").symlink_to(queries)
    command = ("search", index, "--queries", queries, "--run")
    for place in (queries, tmp_path / "link", index / "manifest.json"):
        before = place.read_bytes()
        for more in ([], ["--overwrite"]):
            assert "is read here: give another file" in fails(*command, place, *more)
        assert place.read_bytes() == before
    run = tmp_path / "a.run"
    assert tardif(*command, run)[0] == 0
    assert tardif(*command, run, "-k", 1)[0] == 0  # the same command can be run again
    assert run.read_text().count("\n") == 1
    run.write_text("my notes\n")
    assert "already exists" in fails(*command, run)
    assert run.read_text() == "my notes\n"
    assert tardif(*command, run, "--overwrite")[0] == 0
    assert run.read_text().startswith("1 Q0 ")
    assert "only for the file of --run" in tardif("search", index, "bread", "--overwrite")[2]
    code, printed, _ = tardif(*command, tmp_path / "b.run", "--json")
    (found,) = json.loads(printed)
    assert (code, (tmp_path / "b.run").read_bytes()) == (0, run.read_bytes())
    assert [hit["document_id"] for hit in found["hits"]] == [line.split()[2] for line in run.read_text().splitlines()]


def test_a_report_is_not_written_over_what_is_read_or_into_what_is_written(
    index, fails, multi_vector_folder, tmp_path, tardif
):
    corpus, new = tmp_path / "corpus.jsonl", tmp_path / "new.index"
    build = ("index", multi_vector_folder, corpus, "--out", new, "--report")
    for place in (corpus, multi_vector_folder / "config.json"):
        before = place.read_bytes()
        for command in (build, ("rerank", multi_vector_folder, "bread", "--documents", corpus, "--report")):
            assert "is read here" in fails(*command, place)
        assert place.read_bytes() == before
    assert "is read here" in fails("add", index, corpus, "--report", index / "manifest.json")
    assert "is read here" in fails("explain", index, "bread", "--html", index / "manifest.json")
    for place in (new, new / "report.jsonl"):
        assert "give a file outside it" in fails(*build, place)
    assert not new.exists()
    for _ in range(2):
        assert tardif("add", index, corpus, "--report", tmp_path / "report.jsonl")[0] == 0


def test_no_index_replaces_the_folder_that_it_is_made_of(index, fails, multi_vector_folder, tmp_path):
    home = tmp_path / "home"
    (home / "docs").mkdir(parents=True)
    (home / "docs" / "a.txt").write_text("The sea is blue.")
    for folder in (home, home / "docs"):
        mark(folder, "export")
    (tmp_path / "link").symlink_to(home / "docs")
    for documents in (home / "docs", home / "docs" / "a.txt", tmp_path / "link"):
        for out in (home, home / "docs"):
            failed = fails("index", multi_vector_folder, documents, "--out", out, "--overwrite")
            assert "would be replaced, and" in failed
    assert "would be replaced" in fails("export", index, "--format", "vectors", "--out", index, "--overwrite")
    assert (home / "docs" / "a.txt").read_text() == "The sea is blue."


def test_paths_of_options_are_in_the_home_folder(index, tardif, monkeypatch, tmp_path):
    write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "bread"}])
    (tmp_path / "ids.txt").write_text("d3\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir("/")
    assert tardif("search", "~/index", "--queries=~/queries.jsonl", "--run=~/a.run")[:2] == (0, f"{tmp_path}/a.run\n")
    assert (tmp_path / "a.run").is_file()
    assert tardif("delete", "~/index", "--ids=~/ids.txt")[1] == "19\n"
    assert tardif("explain", "~/index", "bread", "--html=~/a.html")[0] == 0
    assert (tmp_path / "a.html").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--word-share", 0.5], "only with --hybrid"),
        (["--exact", "--recall", 0.9], "leave one out"),
    ],
)
def test_an_option_that_cannot_apply_is_refused(index, tardif, options, said):
    code, out, err = tardif("search", index, "bread", *options)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_in_the_place_of_an_index_is_called_a_file(fails, tmp_path):
    (tmp_path / "a.txt").write_text("The sea is blue.")
    for verb in (("search", tmp_path / "a.txt", "sea"), ("doctor", tmp_path / "a.txt"), ("serve", tmp_path / "a.txt")):
        said = fails(*verb)
        assert "a.txt is a file: give the folder of an index." in said
        assert "damaged" not in said


def test_reranking_says_when_nothing_can_be_matched(tardif, multi_vector_folder, tmp_path):
    corpus = write(tmp_path / "corpus.jsonl", ROWS[:2])
    code, out, err = tardif("rerank", multi_vector_folder, "...", "--documents", corpus)
    assert (code, out) == (0, "")
    assert "No hits: the query, or every document, has no token" in err


def test_a_word_share_that_is_none_is_refused(index, fails):
    assert "word_share=2.0" in fails("search", index, "a query", "--hybrid", "--word-share", 2)


def test_hybrid_needs_an_index_with_words(tardif, fails, multi_vector_folder, tmp_path):
    corpus = write(tmp_path / "corpus.jsonl", ROWS[:3])
    tardif("index", multi_vector_folder, corpus, "--out", tmp_path / "plain", "--quiet", "--bits", 4, "--pool", 2)
    assert "--hybrid" in fails("search", tmp_path / "plain", "a query", "--hybrid")
    with DiskIndex(tmp_path / "plain") as made:
        assert (made.bits, made.manifest["pool"]) == (4, 2)


def test_queries_of_a_file_are_answered_as_one_by_one(index, tardif, found, tmp_path):
    queries = write(
        tmp_path / "queries.jsonl", [{"_id": str(n), "text": text} for n, text in enumerate(tiny.SENTENCES[:3])]
    )
    code, out, err = tardif("search", index, "--queries", queries, "-k", 5, "--json")
    assert code == 0
    assert "Searching: 3/3 queries" in err
    for answer in json.loads(out):
        assert [hit["document_id"] for hit in answer["hits"]] == found(index, answer["query"], "-k", 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bits", "3"], "bits=3"),
        (["--pool", "0.5"], "pool=0.5"),
        (["--hybrid", "--language", "klingon"], "language 'klingon'"),
        (["--device", "toaster"], "toaster"),
    ],
)
def test_index_refuses_wrong_settings(fails, multi_vector_folder, tmp_path, options, message):
    corpus = write(tmp_path / "corpus.jsonl", ROWS[:3])
    assert message in fails("index", multi_vector_folder, corpus, "--out", tmp_path / "index", *options)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("arguments", [["search", "{}", "q"], ["add", "{}", "{}"], ["delete", "{}", "d1"]])
def test_what_is_no_index_is_refused(fails, tmp_path, arguments):
    (tmp_path / "place").mkdir()
    line = fails(*[text.format(tmp_path / "place") for text in arguments])
    assert "index" in line


def test_a_search_loads_neither_torch_nor_transformers(index):
    heavy = {"torch", "transformers", "sentence_transformers", "datasets", "pandas", "pyarrow"}
    code = (
        "import sys; from tardif.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code\n"
        f"assert not {heavy} & sys.modules.keys(), {heavy} & sys.modules.keys()"
    )
    for arguments in (["search", str(index), "a query", "--hybrid"], ["delete", str(index), "d1"]):
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ, check=False
        )
        assert ended.returncode == 0, ended.stderr
