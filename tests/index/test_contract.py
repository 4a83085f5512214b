"""What every index keeps to, in memory and on disk, in every number of bits, scanned and searched by centroids."""

from __future__ import annotations

import numpy as np
import pytest

import token_vectors as plain
from tardif.errors import DataError
from tardif.index import compaction, disk
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.types import Document

# How far a score of 5 query tokens may be from that of the float vectors.
ERROR = {"memory": 1e-3, "16": 1e-3, "8": 0.05, "4": 0.4, "2": 1.5}


@pytest.fixture(params=["memory", "16", "8", "4", "2", "8 coded", "4 coded", "2 coded", "16 coded"])
def index(request, tmp_path, monkeypatch):
    if request.param == "memory":
        yield MemoryIndex()
        return
    if request.param.endswith("coded"):
        for module in (disk, compaction):
            monkeypatch.setattr(module, "PLAIN_TOKENS", 100)
    with DiskIndex.create(tmp_path / "index", model={}, bits=int(request.param.split()[0]), threads=1) as made:
        yield made


@pytest.fixture
def error(request):
    return ERROR[request.node.callspec.params["index"].split()[0]]


def by_floats(documents, vectors, lengths, query, k):
    ends = np.cumsum(lengths)
    scores = {
        document.id: float((query @ vectors[end - length : end].T).max(axis=1).sum())
        for document, length, end in zip(documents, lengths, ends, strict=True)
        if length
    }
    return scores, sorted(scores, key=lambda identity: (scores[identity], identity), reverse=True)[:k]


def test_scores_are_maxsim(index, error):
    documents, vectors, lengths = plain.some(60)
    index.add(documents, vectors, lengths)
    query = plain.vectors_of(7, 5)
    scores, _ = by_floats(documents, vectors, lengths, query, 60)
    (hits,) = index.search(query, [5], 60, exact=True)
    assert len(hits) == 60
    assert all(abs(score - scores[identity]) < error for identity, score in hits)
    assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)


def test_several_queries_are_answered_as_one_by_one(index):
    index.add(*plain.some(60))
    queries = [plain.vectors_of(seed, tokens) for seed, tokens in ((1, 3), (2, 40), (3, 9))]
    together = index.search(np.concatenate(queries), [3, 40, 9], 5)
    assert together == [index.search(query, [len(query)], 5)[0] for query in queries]


def test_equal_documents_are_ordered_by_id(index):
    rows = plain.vectors_of(1, 4)
    ids = [f"twin {n}" for n in (3, 1, 2, 5, 4)]
    index.add([Document(i, "same") for i in ids], np.concatenate([rows] * 5), [4] * 5)
    (hits,) = index.search(rows, [4], 3)
    assert [identity for identity, _ in hits] == ["twin 5", "twin 4", "twin 3"]


def test_an_id_that_is_added_again_is_replaced(index):
    documents, vectors, lengths = plain.some(40)
    assert index.add(documents, vectors, lengths) == 0
    new = plain.vectors_of(99, 3)
    assert index.add([Document("d0-7", "new text")], new, [3]) == 1
    assert len(index) == 40
    assert index.get(["d0-7"])["d0-7"].text == "new text"
    (hits,) = index.search(new, [3], 40, exact=True)
    assert hits[0][0] == "d0-7"
    assert len({identity for identity, _ in hits}) == len(hits) == 40


def test_a_deleted_document_is_gone(index):
    documents, vectors, lengths = plain.some(40)
    index.add(documents, vectors, lengths)
    assert index.delete(["d0-3", "d0-5", "nobody", "d0-3"]) == 2
    assert index.delete(["d0-3"]) == 0
    assert len(index) == 38
    assert index.get(["d0-3", "d0-4"]).keys() == {"d0-4"}
    for exact in (True, False):
        (hits,) = index.search(vectors[: lengths[0]], [lengths[0]], 40, exact=exact)
        assert {identity for identity, _ in hits}.isdisjoint({"d0-3", "d0-5"})


def test_documents_and_queries_without_a_token_never_meet(index):
    rows = plain.vectors_of(1, 4)
    index.add([Document("empty", ""), Document("full", "words")], rows, [0, 4])
    assert [[identity for identity, _ in hits] for hits in index.search(rows, [0, 4], 5)] == [[], ["full"]]
    assert index.get(["empty"])["empty"].text == ""


def test_an_empty_index_finds_nothing(index):
    assert index.search(plain.vectors_of(1, 4), [4], 5) == [[]]
    assert len(index) == 0
    assert index.add([], np.zeros((0, plain.DIM), np.float32), []) == 0


def test_a_filter_is_applied_before_scoring(index):
    documents, vectors, lengths = plain.some(60)
    index.add(documents, vectors, lengths)
    where = parse_filter("even = true and n < 20")
    allowed = {d.id for d in documents if d.metadata["even"] and d.metadata["n"] < 20}
    for exact in (True, False):
        (hits,) = index.search(plain.vectors_of(5, 6), [6], 60, where=where, exact=exact)
        assert {identity for identity, _ in hits} == allowed


def test_a_filter_follows_what_is_replaced_refused_and_deleted(index):
    def found(expression):
        (hits,) = index.search(plain.vectors_of(5, 6), [6], 60, where=parse_filter(expression))
        return sorted(identity for identity, _ in hits)

    documents, vectors, lengths = plain.some(4)
    index.add(documents, vectors, lengths)
    second = Document(documents[1].id, "anew", metadata={"n": 7, "tags": ["x"]})
    assert index.add([second], plain.vectors_of(2, 3), [3]) == 1
    assert (found("n = 1"), found("n > 1")) == ([], [d.id for d in documents[1:]])
    with pytest.raises(DataError, match="same id"):
        index.add([Document(documents[0].id, "", metadata={"n": 9})] * 2, plain.vectors_of(2, 4), [2, 2])
    assert (found("n = 9"), found("n = 0")) == ([], [documents[0].id])
    assert index.delete_where(parse_filter("tags exists or n = 2")) == 2
    assert found("n >= 0") == [documents[0].id, documents[3].id]
    assert (index.keys(), index.has(parse_filter("tags exists"))) == (["even", "n"], False)


@pytest.mark.parametrize(
    "identity", ["a/b\\c", "../../up", "nul\0inside", "x" * 10_000, "'; DROP TABLE documents; --", "ü\n"]
)
def test_ids_may_be_any_text(index, identity):
    document = Document(identity, "text\0with nul", "title", {"k'ey": [1, None, {"deep": "ü"}]})
    rows = plain.vectors_of(3, 2)
    index.add([document], rows, [2])
    assert index.search(rows, [2], 1)[0][0][0] == identity
    assert index.get([identity])[identity] == document
    assert index.delete([identity]) == 1


def test_what_does_not_fit_is_refused_and_nothing_changes(index):
    documents, vectors, lengths = plain.some(10)
    index.add(documents, vectors, lengths)
    bad = plain.vectors_of(2, 3)
    bad[1, 2] = np.nan
    new = [Document("new", "text")]
    with pytest.raises(DataError, match="NaN"):
        index.add(new, bad, [3])
    with pytest.raises(DataError, match="dimensions"):
        index.add(new, plain.vectors_of(2, 3, dim=8), [3])
    with pytest.raises(DataError, match="same id"):
        index.add(new * 2, plain.vectors_of(2, 3), [1, 2])
    with pytest.raises(DataError, match="half a character"):
        index.add([Document("new", "half \ud800")], plain.vectors_of(2, 3), [3])
    with pytest.raises(DataError, match="fit"):
        index.add(new, plain.vectors_of(2, 3), [2])
    with pytest.raises(DataError, match="NaN"):
        index.search(bad, [3], 5)
    with pytest.raises(DataError, match="dimensions"):
        index.search(plain.vectors_of(2, 3, dim=8), [3], 5)
    assert len(index) == 10
    assert "new" not in index.get(["new"])


def test_vectors_longer_than_one_are_scored_for_what_they_are(index, error):
    documents, vectors, lengths = plain.some(40)
    index.add(documents, vectors, lengths)
    long = 5 * plain.vectors_of(3, 2)
    index.add([Document("long", "text")], long, [2])
    (hits,) = index.search(2 * plain.vectors_of(3, 2), [2], 1)
    assert hits[0][0] == "long"
    assert abs(hits[0][1] - 20) < 10 * error
