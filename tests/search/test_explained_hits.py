"""Searches that explain their hits: snippets and matches, and nothing of it without being asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tiny
from explained import explained
from tardif.display import Hits
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever
from tardif.search.snippet import explained_hit, marks
from tardif.types import Document, Hit, Mark

TEXTS = [
    Document(f"d{n}", f" {text}\n" * 9, title=f"Title {n}\n" * (n % 2)) for n, text in enumerate(tiny.SENTENCES[:8])
]
QUERY = "what makes the tides"


@pytest.fixture(scope="module")
def retriever(multi_vector_folder, tmp_path_factory):
    opened = Retriever.build(
        multi_vector_folder, TEXTS, tmp_path_factory.mktemp("snippets") / "index", hybrid=True, quiet=True
    )
    yield opened
    opened.close()


def plain(hits):
    return [{**hit.as_json(), "snippet": None, "matches": None, "title_matches": None} for hit in hits]


def test_explained_hits_are_the_same_hits_with_snippets(retriever):
    for how in ({}, {"hybrid": True}, {"group": True}, {"exact": True}):
        hits = retriever.search(QUERY, k=4, **how)
        with_snippets = retriever.search(QUERY, k=4, explain=True, **how)
        assert plain(with_snippets) == plain(hits)
        assert all(hit.snippet is None and "snippet" not in hit.as_json() for hit in hits)
        for hit in with_snippets:
            assert hit.snippet.removesuffix(" ...").removeprefix("... ") in " ".join(hit.text.split())
            assert "Title" not in hit.snippet
    many = retriever.search_many([QUERY, "bread"], k=4, explain=True)
    assert many[0] == retriever.search(QUERY, k=4, explain=True)
    reranked = retriever.rerank(QUERY, ["d1", "d3"], explain=True)
    assert {hit.document_id: hit.snippet for hit in reranked}.keys() == {"d1", "d3"}
    assert all(hit.snippet for hit in reranked)


def test_matches_are_those_of_the_hits_explanation(retriever):
    for hit in retriever.search("capital of France Paris", k=5, explain=True):
        explanation = retriever.explain("capital of France Paris", hit)
        earned = {explanation.document[mark.start : mark.end] for mark in marks(explanation)}
        for text, found in ((hit.snippet, hit.matches), (hit.title, hit.title_matches)):
            for mark, row in zip(found, (mark.as_json(text) for mark in found), strict=True):
                assert row["text"] == text[mark.start : mark.end]
                assert row["text"] in earned


@pytest.fixture
def unsteady(retriever, monkeypatch):
    """A query encoder whose vectors are others in every batch, far more so than by rounding; and its batches."""
    encode, batches = retriever._model.lightest().encode_queries, []

    def encode_queries(texts):
        batches.append(list(texts))
        vectors, lengths = encode(texts)
        return vectors * np.float32(1 - 1e-4 * len(batches)), lengths

    monkeypatch.setattr(retriever._model.lightest(), "encode_queries", encode_queries)
    return batches


def test_hits_are_explained_by_the_vectors_that_scored_them(retriever, unsteady):
    found = retriever.search_many([QUERY, "bread"], k=3)
    for query, hits in zip([QUERY, "bread"], found, strict=True):
        for hit, explanation in zip(hits, retriever.explain_many([(query, hit) for hit in hits]), strict=True):
            assert explanation.score == hit.score
            assert "hybrid" not in explanation.note
    assert unsteady == [[QUERY, "bread"]]
    for how in ({}, {"hybrid": True}):
        unsteady.clear()
        assert all(hit.snippet for hit in retriever.search(QUERY, k=3, explain=True, **how))
        assert unsteady == [[QUERY]]
    retriever.rerank(QUERY, ["d1"], explain=True)
    assert unsteady == [[QUERY], [QUERY]]


def test_a_hit_of_another_process_is_not_taken_for_a_hybrid_searchs(retriever, unsteady):
    (hit,) = retriever.search(QUERY, k=1)
    with Retriever(retriever.index.folder) as other:
        explanation = other.explain(QUERY, hit)
    assert explanation.score != hit.score
    assert "hybrid" not in explanation.note


def test_documents_that_are_reranked_without_an_index_are_explained(multi_vector_folder):
    found = rerank(multi_vector_folder, QUERY, TEXTS, k=3, explain=True, quiet=True)
    assert plain(found) == plain(rerank(multi_vector_folder, QUERY, TEXTS, k=3, quiet=True))
    assert all(hit.snippet for hit in found)


def test_title_and_snippet_have_their_own_marks():
    hit = Hit(1, "d", 1.8, "Grass grows on hills. The moon pulls.", "  Tides of the sea")
    content = Document("d", hit.text, hit.title).content
    found = explained_hit(hit, explained("moon tides", content, {("moon", "moon"): 0.9, ("tides", "tides"): 0.9}))
    assert [hit.title[mark.start : mark.end] for mark in found.title_matches] == ["Tides"]
    assert [found.snippet[mark.start : mark.end] for mark in found.matches] == ["moon"]
    assert found.snippet == hit.text
    assert found.as_json()["matches"][0]["text"] == "moon"


def test_a_notebook_shows_the_snippet_with_its_marks_and_no_markup_of_texts():
    text = "<script>alert(1)</script> moon \u202e"
    start = text.index("moon")
    hit = Hit(1, "<b>", 1.0, text, "<i>", snippet=text, matches=(Mark(start, start + 4, 0.9),))
    shown = Hits([hit])._repr_html_()
    assert ">moon</mark>" in shown
    assert [part for part in ("<script", "<i>", "\u202e") if part in shown] == []
    assert "&lt;i&gt;" in shown


def test_the_terminal_marks_words_of_title_and_snippet(retriever, tardif):
    index = retriever.index.folder
    code, out, _ = tardif("search", index, "capital of France Paris", "--explain", "-k", "2")
    plainly = tardif("search", index, "capital of France Paris", "-k", "2")[1]
    assert code == 0
    assert out.splitlines()[0] == plainly.splitlines()[0]
    assert len(out.splitlines()) > len(plainly.splitlines())
    read = json.loads(tardif("search", index, "capital of France Paris", "--explain", "-k", "2", "--json")[1])["hits"]
    assert {"snippet", "matches", "title_matches"} <= read[0].keys()
    words = {match["text"] for hit in read for match in hit["matches"]}
    assert all(f"[{word}]" in out for word in words)


def test_a_run_is_not_explained(retriever, tardif, tmp_path):
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q", "text": "tides"}\n', encoding="utf-8")
    run = tmp_path / "run"
    assert tardif("search", retriever.index.folder, "--queries", queries, "--run", run)[0] == 0
    code, _, err = tardif("search", retriever.index.folder, "--queries", queries, "--run", run, "--explain")
    assert code == 2
    assert "a run holds no texts" in err


def test_explain_writes_a_page(retriever, tardif, tmp_path):
    page = tmp_path / "why.html"
    code, out, _ = tardif("explain", retriever.index.folder, QUERY, "--id", "d1", "--html", page)
    assert (code, out) == (0, f"{page}\n")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, _ = tardif("explain", retriever.index.folder, QUERY, "--id", "d1", "--html", page, "--json")
    assert json.loads(out)["document_id"] == "d1"
    assert tardif("explain", retriever.index.folder, QUERY, "--id", "d1", "--html", tmp_path)[0] == 1
    assert 'class="explained' in retriever.explain(QUERY, "d1")._repr_html_()
