from __future__ import annotations

import itertools
import math
import random
import unicodedata

import numpy as np
import pytest

import tiny
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import DataError, ModelError, SettingError
from tardif.index.token_matches import TokenMatches
from tardif.scoring import maxsim_arrays
from tardif.search.explain import explain_text

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
    for query, text in itertools.product(("what is it?", TEXT, "\ud83d half"), HARD):
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
