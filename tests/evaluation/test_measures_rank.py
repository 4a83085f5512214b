from __future__ import annotations

import numpy as np
import pytest

import tiny
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import FolderError
from tardif.evaluation import exhaustive
from tardif.evaluation.measures import rank
from tardif.types import Document

QUERIES = {"q1": "what makes the tides", "q2": "bread", "q3": "晚期交互"}
CORPUS = [Document(f"d{n}", text, title="Title" * (n % 2)) for n, text in enumerate(tiny.SENTENCES[:23])]


@pytest.fixture(scope="module")
def expected(encoder):
    """Every score by the library's own MaxSim."""
    scores = encoder.similarity(
        encoder.encode_query(list(QUERIES.values())), encoder.encode_document([d.content for d in CORPUS])
    ).tolist()
    return {q: dict(zip((d.id for d in CORPUS), row, strict=True)) for q, row in zip(QUERIES, scores, strict=True)}


@pytest.mark.parametrize("block", [1, 5, 1024])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_rank_equals_brute_force(encoder, expected, monkeypatch, block, k):
    monkeypatch.setattr(exhaustive, "BLOCK", block)
    done = []
    run = rank(encoder, QUERIES, CORPUS, k=k, advance=done.append)
    assert sum(done) == len(CORPUS)
    assert run.keys() == expected.keys()
    for query, hits in run.items():
        best = sorted(expected[query].values(), reverse=True)[:k]
        assert list(hits.values()) == pytest.approx(best, rel=1e-4)
        assert hits == pytest.approx({d: expected[query][d] for d in hits}, rel=1e-4)


def test_equal_scores_are_ordered_by_id_across_blocks(encoder, monkeypatch):
    # Products of matrices of other shapes may add up in another order: the vectors here are whole numbers, whose sums
    # are exact in any.
    def ones(_model, texts):
        return np.ones((len(texts), 8), np.float32), [1] * len(texts)

    def parts(_model, texts, take):
        take(*ones(_model, texts))
        return list(range(len(texts)))

    monkeypatch.setattr(exhaustive, "BLOCK", 2)
    monkeypatch.setattr(exhaustive, "encode_query_parts", parts)
    monkeypatch.setattr(exhaustive, "encode_documents", ones)
    copies = [Document(identity, "the" + " " * n + "moon") for n, identity in enumerate("abcde", start=1)]
    run = rank(encoder, {"q": "moon"}, copies, k=3)
    assert list(run["q"].items()) == [("e", 8.0), ("d", 8.0), ("c", 8.0)]


def test_blank_documents_are_never_hits_and_blank_queries_have_none(encoder):
    corpus = [*CORPUS, Document("empty", ""), Document("dots", "...")]
    assert rank(encoder, {**QUERIES, "blank": "?"}, corpus) == {**rank(encoder, QUERIES, CORPUS), "blank": {}}


def test_no_query_and_no_document(encoder):
    assert rank(encoder, {}, CORPUS) == {}
    assert rank(encoder, QUERIES, []) == {query: {} for query in QUERIES}
    vectors, lengths = encode_documents(encoder, [])
    assert (vectors.shape, lengths) == ((0, encoder.get_embedding_dimension()), [])


def test_packed_vectors_are_those_of_each_text_in_its_place(encoder):
    texts = [d.content for d in CORPUS[:5]]
    for pack, encode in ((encode_queries, encoder.encode_query), (encode_documents, encoder.encode_document)):
        vectors, lengths = pack(encoder, [*texts, texts[0]])
        assert vectors.dtype == "float32"
        begin = 0
        for text, length in zip([*texts, texts[0]], lengths, strict=True):
            assert vectors[begin : begin + length] == pytest.approx(encode(text, convert_to_numpy=True), abs=1e-5)
            begin += length
        assert begin == len(vectors)


def test_equal_texts_are_encoded_once_and_tie_wherever_they_stand(encoder, monkeypatch):
    monkeypatch.setattr(exhaustive, "BLOCK", 2)
    corpus = [Document(f"d{n}", tiny.SENTENCES[n % 3]) for n in range(9)]
    encoded = []
    encode = exhaustive.encode_documents
    monkeypatch.setattr(exhaustive, "encode_documents", lambda m, texts: encoded.extend(texts) or encode(m, texts))
    (hits,) = rank(encoder, {"q": "tides"}, corpus, k=7).values()
    assert sorted(encoded) == sorted(tiny.SENTENCES[:3])
    assert len(hits) == 7
    assert len(set(hits.values())) == 3
    assert list(hits)[:3] == sorted(list(hits)[:3], reverse=True)


def test_vectors_of_many_queries_are_in_a_file_and_scored_in_parts(encoder, monkeypatch):
    queries = {f"q{n}": text for n, text in enumerate([*tiny.SENTENCES[:9], "?", *tiny.SENTENCES[3:12]])}
    expected = rank(encoder, queries, CORPUS, k=5)
    monkeypatch.setattr(exhaustive, "_IN_MEMORY", 0)
    assert rank(encoder, queries, CORPUS, k=5) == expected
    monkeypatch.setattr(exhaustive, "_QUERY_TOKENS", 20)
    run = rank(encoder, queries, CORPUS, k=5)
    assert list(run) == list(expected)
    assert not run["q9"]
    assert all(run[query] == pytest.approx(expected[query], rel=1e-5) for query in queries)


def test_a_full_disk_is_an_error_with_a_way_out(encoder, monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exhaustive, "_IN_MEMORY", 0)
    monkeypatch.setattr(exhaustive.tempfile, "TemporaryFile", full)
    with pytest.raises(FolderError, match="No space left on device.*TMPDIR"):
        rank(encoder, QUERIES, CORPUS)
