"""What every index keeps to: in memory; on disk, in every number of bits, scanned and searched by centroids; in Qdrant,
embedded and through its client; and in shards of these."""

from __future__ import annotations

import random

import numpy as np
import pytest

import token_vectors as plain
from qdrant_here import KINDS, QUIET, empty_index
from tardif.errors import DataError
from tardif.index import compaction, disk
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.index.sharded import ShardedIndex
from tardif.scoring import LOWEST
from tardif.types import Document

# How far a score of 5 query tokens may be from that of the float vectors.
ERROR = {"memory": 1e-3, "edge": 1e-3, "client": 1e-3, "16": 1e-3, "8": 0.05, "4": 0.4, "2": 1.5}

pytestmark = QUIET


ENGINES = ["memory", *KINDS, "16", "8", "4", "2", "8 coded", "4 coded", "2 coded", "16 coded"]
SHARDED = ["memory of 1", "memory of 3", "edge of 2", "8 of 3", "16 coded of 3", "4 coded of 2", "2 of 3"]


@pytest.fixture(params=ENGINES + SHARDED)
def index(request, tmp_path, monkeypatch):
    kind, _, shards = request.param.partition(" of ")
    if kind.endswith("coded"):
        for module in (disk, compaction):
            monkeypatch.setattr(module, "PLAIN_TOKENS", 100 if not shards else 30)
    made = [engine(kind, tmp_path / f"index-{number}") for number in range(int(shards or 1))]
    opened = ShardedIndex(made) if shards else made[0]
    yield opened
    opened.close()


def engine(kind, folder):
    if kind == "memory":
        return MemoryIndex()
    if kind in KINDS:
        return empty_index(kind, folder)
    return DiskIndex.create(folder, model={}, bits=int(kind.split()[0]), threads=1)


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


def check_matches(index, query, documents):
    """The similarities of every document's matches sum to its score, in any order; a search and score() agree."""
    (hits,) = index.search(query, [len(query)], len(documents), exact=True)
    found = index.matches(query, [identity for identity, _ in hits])
    for (identity, score), matches in zip(hits, found, strict=True):
        values = matches.values.tolist()
        assert matches.score == score == index.score(query, [identity])[0]
        for order in (values, values[::-1], sorted(values), random.Random(3).sample(values, len(values))):
            assert sum(order) == score
        best = matches.similarities.max(axis=1)
        np.testing.assert_allclose(values, best, atol=1e-5 * max(1, float(np.abs(best).max())))
        rows = np.arange(len(values))
        assert (matches.similarities[rows, matches.best] == best).all()
    (pruned,) = index.search(query, [len(query)], 5)
    assert dict(pruned).items() <= dict(hits).items()
    return dict(zip([identity for identity, _ in hits], found, strict=True))


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_similarities_of_matches_sum_to_the_score(index, scale):
    documents, vectors, lengths = plain.some(60)
    index.add(documents[:40], scale * vectors[: sum(lengths[:40])], lengths[:40])
    index.add(documents[40:], 1.5 * vectors[sum(lengths[:40]) :], lengths[40:])
    for tokens, longer in ((1, 1.0), (7, 1.0), (33, 3.0)):
        check_matches(index, longer * plain.vectors_of(tokens, tokens), documents)


def test_a_match_names_the_tokens_of_a_pooled_vector_through_every_change(index):
    documents, vectors, lengths = plain.some(60)
    made = np.random.default_rng(5)
    # Each vector stands for one to three tokens, in any order.
    groups = [made.permutation(np.repeat(np.arange(n), made.integers(1, 4, size=n))) for n in lengths]
    for begin in range(0, 60, 12):  # many segments, which are merged
        part = slice(sum(lengths[:begin]), sum(lengths[: begin + 12]))
        index.add(documents[begin : begin + 12], vectors[part], lengths[begin : begin + 12], groups[begin : begin + 12])
    index.add([Document("d0-7", "unpooled")], plain.vectors_of(9, 3), [3])
    index.delete(["d0-3"])
    for part in index.shards if isinstance(index, ShardedIndex) else [index]:
        if isinstance(part, DiskIndex):
            part.wait()
            while part.compact():
                pass
    found = check_matches(index, plain.vectors_of(7, 5), documents)
    assert len(found) == 59
    for document, labels in zip(documents, groups, strict=True):
        if document.id not in ("d0-3", "d0-7"):
            tokens = found[document.id].groups
            assert [[labels[token] for token in group] for group in tokens] == [
                [vector] * len(group) for vector, group in enumerate(tokens)
            ]
            assert sorted(token for group in tokens for token in group) == list(range(len(labels)))
    assert found["d0-7"].groups is None


@pytest.mark.parametrize("groups", [[], [[0, 1], [0]], [[0, 0]], [[0, 2]], [[-1, 0]]])
def test_groups_that_do_not_fit_the_vectors_are_refused(index, groups):
    with pytest.raises(DataError, match="groups"):
        index.add([Document("a", "text")], plain.vectors_of(1, 2), [2], groups)
    assert len(index) == 0


def test_matches_of_what_has_no_token_are_none_and_of_what_is_not_there_refused(index):
    index.add([Document("empty", ""), Document("full", "words")], plain.vectors_of(1, 4), [0, 4])
    empty, full = index.matches(plain.vectors_of(1, 4), ["empty", "full"])
    assert (empty.values.tolist(), empty.score, empty.similarities.shape) == ([], LOWEST, (4, 0))
    assert full.score > 3.9
    (nothing,) = index.matches(plain.vectors_of(1, 4)[:0], ["full"])
    assert (nothing.values.tolist(), nothing.similarities.shape) == ([], (0, 4))
    with pytest.raises(DataError, match="'nobody' is not in the index"):
        index.matches(plain.vectors_of(1, 4), ["full", "nobody"])


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
