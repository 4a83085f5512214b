from __future__ import annotations

import itertools
import json
import math
import random
import sqlite3
import subprocess
import sys
import unicodedata
from contextlib import closing

import numpy as np
import pytest
import torch

import tiny
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import DataError, FolderError, ModelError, SettingError
from tardif.index import compaction, disk
from tardif.index.token_matches import TokenMatches
from tardif.progress import Console
from tardif.scoring import maxsim_arrays
from tardif.search import build
from tardif.search.build import document_vectors
from tardif.search.explain import explain_text
from tardif.search.repair import examine, repair
from tardif.search.retriever import Retriever
from tardif.types import Document

TEXT = "How  do Été I reset the ﬁle? e\u0301te 晚期交互 x [MASK] 東京は日本\n\n  İstanbul don't covid19 🤦‍♀️ ok."
HARD = [
    TEXT,
    "a",
    " ",
    "...",
    "e\u0301\u0301 ñ",
    "\ufeff x\u200b y\x00z",
    "ﷺ ｆｕｌｌ ½ ǆ",
    "हिन्दी में ภาษาไทย 한국어 텍스트",
]


def by_hand(query, document):
    """Best match of each query token by the plain double loop."""
    found = []
    for q in query.astype(float):
        values = [math.fsum(q * d) for d in document.astype(float)]
        found.append((values.index(max(values)), max(values)))
    return found


def in_any_order(values):
    for order in (values, values[::-1], sorted(values), random.Random(1).sample(values, len(values))):
        yield sum(order)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_matches_are_the_models_own_and_sum_to_its_maxsim(family, fresh):
    model = fresh(family)
    query, text = tiny.SENTENCES[3], tiny.SENTENCES[2] + " " + tiny.SENTENCES[3]
    found = explain_text(model, query, text)
    asked, _ = encode_queries(model, [query])
    vectors, lengths = encode_documents(model, [text])
    assert (len(found.query_tokens), len(found.document_tokens)) == (len(asked), len(vectors))
    expected = by_hand(asked, vectors)
    assert [match.query_token for match in found.matches] == list(range(len(asked)))
    for match, (_, value) in zip(found.matches, expected, strict=True):
        assert match.similarity == pytest.approx(value, abs=1e-6)
        (token,) = match.document_tokens
        assert found.similarities[match.query_token, token] == pytest.approx(value, abs=1e-6)
    assert found.score == pytest.approx(maxsim_arrays(asked, [len(asked)], vectors, lengths)[0, 0], abs=1e-4)
    assert set(in_any_order([match.similarity for match in found.matches])) == {found.score}


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_token_covers_its_own_characters_of_the_text(family, fresh):
    model = fresh(family)
    # A side is read without the other: each query and each text once.
    for query, text in zip(itertools.cycle(("what is it?", TEXT, "\ud83d half")), HARD, strict=False):
        found = explain_text(model, query, text)
        for side, tokens in ((found.query, found.query_tokens), (found.document, found.document_tokens)):
            placed = [token for token in tokens if token.start is not None]
            for token in placed:
                assert 0 <= token.start < token.end <= len(side)
                shown = side[token.start : token.end].encode("utf-8", "replace").decode()
                assert token.text == shown
            starts = [token.start for token in placed]
            assert starts == sorted(starts), "tokens follow the text"
            words = [token.word for token in placed if token.word is not None]
            assert sorted(set(words)) == list(range(len(set(words)))) and words == sorted(words)
            for token in tokens:
                assert token.start is not None or token.word is None
        assert found.as_json()["document"] == text


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_word_pieces_are_joined_to_words_and_words_of_unspaced_scripts_to_nothing(family, fresh):
    text = "password passwords covid19, the Zürich-Berlin train 東京は日本 e\u0301te\u0301"
    found = explain_text(fresh(family), "train", text)
    words = {}
    for token in found.document_tokens:
        if token.word is not None:
            begin, end = words.get(token.word, (len(text), 0))
            words[token.word] = min(begin, token.start), max(end, token.end)
    shown = [text[begin:end] for begin, end in words.values()]
    for word in ("password", "passwords", "covid19", "the", "Zürich", "Berlin", "train"):
        assert word in shown, shown
    assert "e\u0301te\u0301" in shown
    assert all(len(word) <= 2 for word in shown if any(unicodedata.name(c, "").startswith("CJK") for c in word))


def test_markers_and_expansion_are_in_no_place(fresh):
    found = explain_text(fresh("bert"), "the tides", "The moon makes the tides.")
    assert [token.text for token in found.query_tokens[:4]] == ["[CLS]", "[Q]", "the", "ti"]
    assert len(found.query_tokens) == 32
    assert {token.text for token in found.query_tokens[-5:]} == {"[MASK]"}
    outside = [token for token in found.query_tokens if token.start is None]
    assert {token.text for token in outside} == {"[CLS]", "[Q]", "[SEP]", "[MASK]"}
    assert [token.text for token in found.document_tokens if token.start is None] == ["[CLS]", "[D]", "[SEP]"]
    assert "." not in [token.text for token in found.document_tokens]  # punctuation has no vector
    assert not found.note


def test_a_text_longer_than_the_model_reads_ends_where_it_stops_reading(fresh):
    model, text = fresh("bert"), "moon " * 300
    found = explain_text(model, "moon", text)
    last = max(token.end for token in found.document_tokens if token.end is not None)
    assert last < len(text)
    assert found.note == f"The model does not read the document to its end: {len(text) - last} characters are left out."


@pytest.mark.parametrize(("query", "text"), [("...", "the moon"), ("the moon", " "), ("the moon", ""), ("?", "!")])
def test_what_has_no_token_has_no_match(query, text, fresh):
    found = explain_text(fresh("bert"), query, text)
    assert (list(found.matches), found.score) == ([], 0.0)
    assert "has no token that can be matched" in found.note
    assert found.similarities.shape == (len(found.query_tokens), len(found.document_tokens))


def test_what_is_no_query_or_text_is_refused(fresh):
    for query in ("", " ", None):
        with pytest.raises(SettingError, match="query"):
            explain_text(fresh("bert"), query, "text")
    for text in (None, 3, "\ud83d"):
        with pytest.raises(DataError, match="document"):
            explain_text(fresh("bert"), "query", text)


def test_a_tokenizer_without_places_is_said_to_have_none(fresh, monkeypatch):
    model = fresh("bert")
    expected = explain_text(model, "the tides", "The moon makes the tides.")
    monkeypatch.setattr(type(model[0].tokenizer), "is_fast", False)
    found = explain_text(model, "the tides", "The moon makes the tides.")
    assert "does not say where its tokens stand" in found.note
    assert [token.text for token in found.document_tokens][:3] == ["[CLS]", "[D]", "the"]
    assert {(token.start, token.word) for token in found.document_tokens} == {(None, None)}
    assert (found.score, list(found.matches)) == (expected.score, list(expected.matches))


def test_a_model_that_pools_its_own_tokens_is_refused(fresh):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    model = fresh("bert")
    pooling = MultiVectorEncoder(modules=[*model, HierarchicalTokenPooling(2.0)], device="cpu", prompts=model.prompts)
    with pytest.raises(ModelError, match="only a model without token pooling"):
        explain_text(pooling, "the tides", "The moon makes the tides.")


@pytest.mark.parametrize("seed", range(20))
def test_similarities_sum_to_the_score_in_any_order_whatever_the_vectors(seed):
    made = np.random.default_rng(seed)
    scale = 10.0 ** made.integers(-6, 6)
    query, document = (
        (made.normal(size=(count, 8)) * scale).astype(np.float32) for count in made.integers(1, 40, size=2)
    )
    found = TokenMatches.of_vectors(query, document)
    assert set(in_any_order(found.values.tolist())) == {found.score}
    best = (query.astype(float) @ document.astype(float).T).max(axis=1)
    np.testing.assert_allclose(found.values, best, atol=1e-8 * max(scale**2, 1), rtol=0)


def test_a_pair_worked_out_by_hand():
    query = np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)
    document = np.array([[0.0, 1.0], [0.8, 0.6], [-1.0, 0.0]], dtype=np.float32)
    found = TokenMatches.of_vectors(query, document)
    np.testing.assert_allclose(found.similarities, [[0.8, 0.96, -0.6], [0.0, 0.8, -1.0]], atol=1e-7)
    assert found.best.tolist() == [1, 1]
    assert found.score == pytest.approx(1.76, abs=1e-7)


LONG = Document(
    "manual", "\n\n".join(f"Part {n}: {text}" for n, text in enumerate(tiny.SENTENCES[:12])), title="Manual"
)
DOCUMENTS = [*(Document(f"s{n}", text) for n, text in enumerate(tiny.SENTENCES[:24])), LONG, Document("dots", "...")]
QUERIES = ["what makes the tides of the moon?", "a", "東京は日本", "[MASK] password\ud83d"]


def built(model, tmp_path, **how):
    return Retriever.build(model, DOCUMENTS, tmp_path / "index", chunk=32, quiet=True, **how)


@pytest.mark.parametrize(
    ("bits", "pool"), [(16, 1), (8, 1), (4, 1), (2, 1), (8, 2), (2, 3.5), ("memory", 1), ("memory", 2)]
)
def test_an_indexs_matches_sum_to_its_scores_exactly(bits, pool, multi_vector_folder, tmp_path, monkeypatch):
    for module in (disk, compaction):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 100)
    if bits == "memory":
        retriever = Retriever.encode(multi_vector_folder, DOCUMENTS, chunk=32, pool=pool, quiet=True)
    else:
        retriever = built(multi_vector_folder, tmp_path, bits=bits, pool=pool)
    texts, seen = {"s3": "How do I reset it?", "s4": "Bread."}, set()
    with retriever:
        retriever.add([Document(identity, text) for identity, text in texts.items()], quiet=True)
        for query in QUERIES:
            for group, exact in ((False, True), (True, False)):
                for hit in retriever.search(query, k=40, group=group, exact=exact):
                    if (found := (query, hit.document_id, hit.text, hit.score)) in seen:
                        continue  # both ways find most documents, with the same score
                    seen.add(found)
                    check_explained(retriever.explain(query, hit), query, hit.score, pool)
            (hit,) = retriever.rerank(query, ["s4"])
            check_explained(retriever.explain(query, hit), query, hit.score, pool)
            assert retriever.explain(query, "s4").document == "Bread."


def check_explained(found, query, score, pool):
    similarities = [match.similarity for match in found.matches]
    assert set(in_any_order(similarities)) == {score} == {found.score}
    assert [match.query_token for match in found.matches] == list(range(len(found.query_tokens)))
    assert (found.query, found.note) == (query, "")
    named = {token for match in found.matches for token in match.document_tokens}
    assert named <= set(range(len(found.document_tokens)))
    assert (pool > 1) == any(len(match.document_tokens) > 1 for match in found.matches) or pool == 1 or len(named) < 4
    for match in found.matches:
        for token in match.document_tokens:
            assert abs(found.similarities[match.query_token, token] - match.similarity) <= 1e-6


def test_an_index_explains_as_its_model_does(multi_vector_folder, encoder, tmp_path):
    with (
        built(multi_vector_folder, tmp_path, bits=16) as retriever,
        Retriever(tmp_path / "index", device="cpu") as by_torch,
    ):
        for query in QUERIES[:3]:
            for identity in ("s2", "s13", "s14"):
                found, torch_found = retriever.explain(query, identity), by_torch.explain(query, identity)
                expected = explain_text(encoder, query, found.document)
                for side in ("query_tokens", "document_tokens"):
                    assert getattr(found, side) == getattr(expected, side) == getattr(torch_found, side)
                np.testing.assert_allclose(found.similarities, expected.similarities, atol=2e-3)


def test_pieces_are_explained_by_their_own_id_and_whole_documents_by_their_best_piece(multi_vector_folder, tmp_path):
    with built(multi_vector_folder, tmp_path) as retriever:
        query = "the moon pulls the sea"
        pieces = [hit for hit in retriever.search(query, k=60, exact=True) if hit.document_id.startswith("manual#")]
        assert len(pieces) > 3
        assert retriever.explain(query, "manual").document_id == pieces[0].document_id
        last = pieces[-1]
        assert retriever.explain(query, last.document_id).score == last.score
        assert retriever.explain(query, last.document_id).document == f"Manual {last.text}"
        (grouped,) = [hit for hit in retriever.search(query, k=60, group=True) if hit.document_id == "manual"]
        assert retriever.explain(query, grouped).document_id == pieces[0].document_id


def test_what_is_not_in_the_index_or_has_changed_is_said(multi_vector_folder, tmp_path):
    with built(multi_vector_folder, tmp_path, hybrid=True) as retriever:
        for unknown in ("nobody", "manual#99"):
            with pytest.raises(DataError, match=f"'{unknown}' is not in the index: give the id"):
                retriever.explain("moon", unknown)
        (hit,) = retriever.search("moon", k=1)
        retriever.add([{"id": hit.document_id, "text": "Another text."}], quiet=True)
        with pytest.raises(DataError, match="has changed since it was found: search again"):
            retriever.explain("moon", hit)
        with pytest.raises(SettingError, match="query is empty"):
            retriever.explain(" ", "s1")
        nothing = retriever.explain("moon", "dots")
        assert (list(nothing.matches), nothing.score) == ([], 0.0)
        assert nothing.note == "The document has no token that can be matched."
        blended = retriever.search("moon sea", k=1, hybrid=True)[0]
        assert "a hybrid search blends" in retriever.explain("moon sea", blended).note


def test_vectors_of_another_text_are_not_explained(multi_vector_folder, tmp_path):
    with built(multi_vector_folder, tmp_path) as retriever:
        vectors = np.eye(2, 16, dtype=np.float32)
        retriever.index.add([Document("foreign", "a text of some more tokens")], vectors, [2])
        with pytest.raises(FolderError, match="has vectors of 2 tokens, and the model reads"):
            retriever.explain("moon", "foreign")


SEARCHING = """
import json, sys
from tardif.search.retriever import Retriever
with Retriever(sys.argv[1]) as retriever:
    hit = retriever.search("the moon", k=1)[0]
    found = retriever.explain("the moon", hit)
    heavy = sorted({"torch", "transformers", "sentence_transformers", "matplotlib", "jinja2"} & sys.modules.keys())
    print(json.dumps([heavy, found.score == hit.score, len(found.matches)]))
"""


def test_an_index_is_explained_without_torch(multi_vector_folder, tmp_path):
    built(multi_vector_folder, tmp_path, pool=2).close()
    shown = subprocess.run(
        [sys.executable, "-c", SEARCHING, str(tmp_path / "index")], capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout) == [[], True, 32]


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "deberta-v2", "modernbert"])
def test_other_tokenizers_give_the_same_places_from_an_index(family, fresh, tmp_path):
    fresh(family).save_pretrained(str(tmp_path / "model"), create_model_card=False)
    texts = [Document(f"h{n}", text) for n, text in enumerate(HARD) if text.strip()]
    with Retriever.build(tmp_path / "model", texts, tmp_path / "index", bits=16, quiet=True) as retriever:
        for query, text in zip(itertools.cycle(("Été", TEXT)), texts, strict=False):
            found, expected = retriever.explain(query, text.id), explain_text(retriever.model, query, text.content)
            assert found.query_tokens == expected.query_tokens
            assert found.document_tokens == expected.document_tokens
            assert sum(match.similarity for match in found.matches) == found.score


def test_pooling_keeps_the_vectors_and_says_which_tokens_they_stand_for(encoder):
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    texts = [*tiny.SENTENCES[:6], "a", "..."]
    plain, lengths = encode_documents(encoder, texts)
    parts = np.split(plain, np.cumsum(lengths)[:-1])
    for pool in (1.5, 2, 7, 1000):
        found = document_vectors(encoder, texts, pool)
        pooling = HierarchicalTokenPooling(pool_factor=pool)
        expected = [pooling.pool_one(torch.from_numpy(part)).numpy() for part in parts]
        assert found.lengths == [len(part) for part in expected]
        np.testing.assert_array_equal(found.vectors, np.concatenate(expected))
        rows = np.split(found.vectors, np.cumsum(found.lengths)[:-1])
        for own, pooled, labels in zip(parts, rows, found.groups, strict=True):
            for number, vector in enumerate(pooled):
                mean = own[labels == number].mean(axis=0)
                np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def explained(folder):
    with Retriever(folder) as retriever:
        return [retriever.explain("the moon", hit).as_json() for hit in retriever.search("the moon", k=50)]


def test_a_repaired_pooled_index_still_names_the_tokens_of_its_vectors(multi_vector_folder, tmp_path):
    built(multi_vector_folder, tmp_path, pool=2).close()
    folder = tmp_path / "index"
    before = explained(folder)
    assert any("document_tokens" in match for found in before for match in found["matches"])
    assert examine(folder).problems == []
    (segment,) = (folder / "segments").glob("*.segment")
    segment.unlink()
    _, found = repair(folder, console=Console(quiet=True))
    assert found.problems == []
    for one, other in zip(before, explained(folder), strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert sum(match["similarity"] for match in other["matches"]) == other["score"]


@pytest.mark.parametrize("tokens", [None, b"", b"\x00\x00"])
def test_changed_groups_of_tokens_are_damage(tokens, multi_vector_folder, tmp_path):
    built(multi_vector_folder, tmp_path, pool=2).close()
    with closing(sqlite3.connect(tmp_path / "index" / "index.sqlite")) as database, database:
        database.execute("UPDATE documents SET tokens = ? WHERE id = 's3'", [tokens])
    with Retriever(tmp_path / "index") as retriever, pytest.raises(FolderError, match=r"checksum of the document 's3'"):
        retriever.explain("the moon", "s3")


def test_an_interrupted_pooled_build_goes_on_with_groups(multi_vector_folder, tmp_path, monkeypatch):
    for name, value in {"BLOCK": 5, "_PART": 5, "centroid_count": lambda tokens: 10}.items():
        monkeypatch.setattr(build, name, value)
    encoded, make = [], build.document_vectors

    def interrupted(model, texts, *how):
        if len(encoded) >= 10:
            raise KeyboardInterrupt
        encoded.extend(texts)
        return make(model, texts, *how)

    with monkeypatch.context() as patch:
        patch.setattr(build, "document_vectors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            built(multi_vector_folder, tmp_path, pool=2)
    with built(multi_vector_folder, tmp_path, pool=2) as retriever:
        for hit in retriever.search("the moon", k=50):
            check_explained(retriever.explain("the moon", hit), "the moon", hit.score, 2)
