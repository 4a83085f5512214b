"""The verbs around an index, on one in Qdrant's embedded engine."""

from __future__ import annotations

import json

import pytest

import tiny

ROWS = [{"_id": f"d{n}", "text": text, "metadata": {"n": n}} for n, text in enumerate(tiny.SENTENCES[:6])]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_the_verbs_take_an_index_in_qdrant(tardif, multi_vector_folder, corpus, tmp_path):
    place = f"edge:{tmp_path / 'docs'}"
    built = tardif("index", multi_vector_folder, corpus, "--to", "qdrant", "--out", place, "--quiet")
    assert built[:2] == (0, f"{place}\n")
    hits = json.loads(tardif("search", place, "the cat", "--filter", "n >= 2", "--json")[1])["hits"]
    assert {hit["document_id"] for hit in hits} == {"d2", "d3", "d4", "d5"}
    assert json.loads(tardif("explain", place, "the cat", "--id", "d2", "--json")[1])["matches"]
    assert tardif("delete", place, "d0", "--quiet")[:2] == (0, "5\n")
    assert tardif("delete", place, "--filter", "n = 1", "--quiet")[:2] == (0, "4\n")
    code, _, err = tardif("search", place, "the cat", "--hybrid")
    assert (code, err.count("\n")) == (1, 1)
    assert "holds no words" in err


def test_an_index_is_exported_to_qdrant(tardif, multi_vector_folder, corpus, tmp_path):
    own, place = tmp_path / "own", f"edge:{tmp_path / 'docs'}"
    assert tardif("index", multi_vector_folder, corpus, "--out", own, "--quiet")[0] == 0
    code, out, err = tardif("export", own, "--format", "qdrant", "--out", place)
    assert (code, out) == (0, f"{place}\n")
    assert f"{place}: 6 documents" in err
    found = [json.loads(tardif("search", index, "the cat", "--exact", "--json")[1])["hits"] for index in (own, place)]
    assert [hit["document_id"] for hit in found[0]] == [hit["document_id"] for hit in found[1]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("index", "model", "corpus", "--to", "qdrant", "--out", "docs"),
            "give http://HOST:6333/COLLECTION or edge:FOLDER",
        ),
        (("index", "model", "corpus", "--to", "tardif", "--out", "edge:docs"), "give a folder"),
    ],
)
def test_an_engine_and_a_place_must_agree(tardif, arguments, said):
    code, _, err = tardif(*arguments)
    assert code == 2
    assert said in " ".join(err.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "edge:docs"),
        ("mcp", "docs=edge:docs"),
        ("doctor", "edge:docs"),
        ("evaluate", "edge:docs", "--data", "pairs.jsonl"),
        ("evaluate", "hybrid:edge:docs", "--data", "pairs.jsonl"),
        ("export", "edge:docs", "--format", "vectors", "--out", "vectors"),
    ],
)
def test_a_verb_for_own_indexes_says_so(fails, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
    assert "in Qdrant" in fails(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize(
    "address",
    ["http://h:99999/x", "http://h:abc/x", "http:///x", "http://[::1/x", "http://h/..", "http://h/x?api_key=s3cret"],
)
def test_an_address_that_is_none_is_refused_without_what_may_be_a_key(fails, address):
    said = fails("search", address, "tides")
    assert "http://HOST:6333/COLLECTION" in said
    assert "s3cret" not in said
