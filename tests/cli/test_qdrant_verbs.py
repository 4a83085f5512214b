"""The verbs around an index, on one in Qdrant's embedded engine."""

from __future__ import annotations

import json

import pytest

import tiny
from tardif.index.qdrant.conditions import all_of, one_of
from tardif.index.qdrant.places import open_qdrant, qdrant_place

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


@pytest.fixture
def judged(tmp_path):
    """A collection in BEIR layout, with the documents of the corpus."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    queries = {f"q{n}": " ".join(row["text"].split()[:3]) for n, row in enumerate(ROWS)}
    lines = [json.dumps({"_id": name, "text": text}) + "\n" for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("".join(lines), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore\n", *(f"{name}\td{(n + 1) % 6}\t1\n" for n, name in enumerate(queries))]
    (folder / "qrels" / "test.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


def test_an_index_in_qdrant_is_evaluated_as_its_model_is(tardif, multi_vector_folder, corpus, judged, tmp_path):
    place, out = f"edge:{tmp_path / 'docs'}", tmp_path / "evaluation"
    tardif("index", multi_vector_folder, corpus, "--out", place, "--quiet")
    given = ("--data", judged, "--measures", "nDCG@10,RR@10,R@2", "--device", "cpu", "--quiet", "--json")
    code, said, err = tardif("evaluate", place, multi_vector_folder, *given, "--out", out)
    assert code == 0, err
    there, model = (system["measures"] for system in json.loads(said)["systems"])
    assert there == pytest.approx(model, abs=1e-6)
    assert 0 < there["RR@10"] < 1
    assert sorted(path.name for path in (out / "runs").iterdir())[0] == "edge-docs.judged.run"
    # The shard is closed again: it is open in one place at a time.
    assert tardif("search", place, "the cat", "--json")[0] == 0


def test_a_hybrid_evaluation_of_an_index_in_qdrant_is_refused_before_anything_is_read(fails, tmp_path):
    said = fails("evaluate", "hybrid:edge:docs", "--data", tmp_path / "none")
    assert "holds no words" in said
    assert "by its vectors" in said


def test_an_index_in_qdrant_is_examined(tardif, fails, multi_vector_folder, corpus, tmp_path):
    place = f"edge:{tmp_path / 'docs'}"
    tardif("index", multi_vector_folder, corpus, "--out", place, "--quiet")
    code, out, _ = tardif("doctor", place)
    head, unchecked, verdict = out.splitlines()
    assert (code, verdict) == (0, "All is well.")
    assert head.startswith(f"{place}: 6 documents, ")
    assert unchecked.startswith("not checked: ")
    assert json.loads(tardif("doctor", place, "--json")[1])["documents"] == 6
    assert "leave out --repair" in fails("doctor", place, "--repair")
    with open_qdrant(qdrant_place(place)) as opened:
        opened.engine.assign({"text": "another"}, all_of(one_of("id", ["d1"])))
    code, out, said = tardif("doctor", place)
    assert (code, "problem: The document 'd1' was changed by another program." in out) == (1, True)
    assert "is damaged (1 problems)" in said
    assert "--overwrite" in said
    (tmp_path / "docs" / "encoder" / "encoder.json").write_text("{}", encoding="utf-8")
    assert any("query encoder" in line for line in tardif("doctor", place)[1].splitlines())


@pytest.mark.parametrize("verb", ["doctor", "evaluate", "search", "serve", "mcp"])
def test_a_place_in_qdrant_that_is_not_there_is_named_with_the_way_out(fails, corpus, judged, tmp_path, verb):
    place = f"edge:{tmp_path / 'none'}"
    more = {"evaluate": ("--data", judged), "search": ("cat",), "serve": ("--port", 0)}.get(verb, ())
    said = fails(verb, place, *more)
    assert f"{place} is not there: build it" in said


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


def test_a_verb_for_own_indexes_says_so(fails, tmp_path):
    assert "in Qdrant" in fails("export", "edge:docs", "--format", "vectors", "--out", tmp_path / "vectors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    ["http://h:99999/x", "http://h:abc/x", "http:///x", "http://[::1/x", "http://h/..", "http://h/x?api_key=s3cret"],
)
def test_an_address_that_is_none_is_refused_without_what_may_be_a_key(fails, address):
    said = fails("search", address, "tides")
    assert "http://HOST:6333/COLLECTION" in said
    assert "s3cret" not in said
