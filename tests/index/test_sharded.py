"""An index in shards is one index: the same hits, scores, ties and errors, whatever holds the shards."""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import token_vectors as plain
from tardif.errors import DataError, PartialWarning, SettingError, ShardError
from tardif.index import compaction, disk
from tardif.index.codes import to_fixed, train
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.index.sharded import ShardedIndex, answered, shard_of
from tardif.search.hits import SearchOptions, rank_queries
from tardif.types import Document

WORDS = ["moon", "tide", "bread", "oven", "parcel"]


def alike(count, *, seed, kinds=4):
    """Documents with packed vectors and lengths: many of them have the same vectors and the same text."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(kinds, size=count).tolist()
    documents = [
        Document(f"d{n}", " ".join(WORDS[: k + 1] * (k + 1)), metadata={"kind": k, "n": n}) for n, k in enumerate(kind)
    ]
    vectors = [plain.vectors_of(50 + k, k + 1) for k in kind]
    return documents, np.concatenate([np.zeros((0, plain.DIM), np.float32), *vectors]), [k + 1 for k in kind]


def check_same(sharded, one, *, words=False):
    """Every read of an index in shards gives what one index gives."""
    queries, lengths = np.concatenate([plain.vectors_of(s, n) for s, n in ((3, 2), (4, 7), (50, 1))]), [2, 7, 1]
    assert len(sharded) == len(one)
    ids = sorted(one.sources())
    assert sharded.sources() == one.sources()
    assert (sharded.get(ids), sharded.keys()) == (one.get(ids), one.keys())
    for where in (None, parse_filter("kind >= 2"), parse_filter("n < 5 or kind = 0")):
        assert where is None or sharded.has(where) == one.has(where)
        for k in (1, 3, 1000):
            how = {"exact": True, "where": where}
            assert sharded.search(queries, lengths, k, **how) == one.search(queries, lengths, k, **how)
            if words:
                for query in ("moon", "bread oven moon", "absent", "the"):
                    assert sharded.search_words(query, k, where=where) == one.search_words(query, k, where=where)
    rows = [identity for (identity, _) in one.search(queries[:2], [2], 1000, exact=True)[0]]
    assert sharded.wholes([*rows, "nobody"]) == one.wholes([*rows, "nobody"])
    mixed = [*rows[::-1], *rows[:2]]
    assert sharded.score(queries[:2], mixed) == one.score(queries[:2], mixed)
    for own, other in zip(sharded.matches(queries[:2], mixed), one.matches(queries[:2], mixed), strict=True):
        assert own.score == other.score
        assert (own.values == other.values).all()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30), st.integers(0, 9)),
        st.tuples(st.just("cut"), st.integers(1, 4), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 30), max_size=8), st.just(0)),
        st.tuples(st.just("filter"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("adopt"), st.lists(st.integers(0, 30), max_size=8), st.just(0)),
    ),
    min_size=1,
    max_size=6,
)


def do(index, step, count, seed):
    """One change. Returns what it said."""
    if step == "add":
        return index.add(*alike(count, seed=seed), source=f"source {seed}")
    if step == "cut":
        return index.add(*plain.cut(f"page-{seed % 3}.md", count, seed=seed, metadata={"kind": 9}))
    if step == "filter":
        return index.delete_where(parse_filter(f"n > {count} and kind < 3"))
    ids = [f"d{n}" for n in count]
    return index.delete(ids) if step == "delete" else index.adopt(ids, "elsewhere")


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(1, 5))
def test_shards_in_memory_are_one_index_after_any_changes(steps, shards):
    one, sharded = MemoryIndex(), ShardedIndex([MemoryIndex() for _ in range(shards)])
    for step in steps:
        assert do(sharded, *step) == do(one, *step)
    check_same(sharded, one)
    sharded.close()


@settings(max_examples=4, deadline=None)
@given(STEPS, st.integers(2, 3), st.sampled_from([16, 8, 4, 2]))
def test_shards_on_disk_are_one_index_after_any_changes(tmp_path_factory, steps, shards, bits):
    folder = tmp_path_factory.mktemp("shards")
    parts = [DiskIndex.create(folder / f"{n}", model={}, bits=bits, words="en", threads=1) for n in range(shards + 1)]
    with parts[0] as one:
        sharded = ShardedIndex(parts[1:])
        for step in steps:
            assert do(sharded, *step) == do(one, *step)
        check_same(sharded, one, words=True)
        sharded.close()


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_shards_of_one_codebook_score_as_one_index(tmp_path, monkeypatch, bits):
    for module in (disk, compaction):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 100)
    with DiskIndex.create(tmp_path / "one", model={}, bits=bits, words="en", threads=1) as one:
        one.add(*alike(200, seed=1))
        parts = [DiskIndex.create(tmp_path / f"{n}", model={}, bits=bits, words="en", threads=1) for n in range(3)]
        for part in parts:
            part.use_codebook(one.codebook())
        sharded = ShardedIndex(parts)
        sharded.add(*alike(200, seed=1))
        # Few documents, which neither would code if it had no codebook.
        for index in (one, sharded):
            index.add(*plain.cut("page.md", 3, seed=5))
            index.add(*plain.some(4, seed=7))
            index.delete(["d3", "d7"])
        check_same(sharded, one, words=True)
        assert sharded.prunes
        sharded.close()


def noisy(count, tokens, *, seed, dim=32):
    """Unit vectors [count * tokens, dim] of which a few centroids say little: pruned searches must work for hits."""
    of_all, draw = np.random.default_rng(0), np.random.default_rng(seed)
    words, topics = of_all.standard_normal((400, dim)), of_all.standard_normal((60, dim))
    topic = np.repeat(draw.integers(60, size=count), tokens)
    rows = words[draw.integers(400, size=count * tokens)] + 0.3 * topics[topic]
    rows += 1.2 * draw.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_pruned_search_of_shards_meets_its_recall_over_the_whole(tmp_path, monkeypatch):
    for module in (disk, compaction):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 100)
    vectors = noisy(6000, 7, seed=1)
    parts = [DiskIndex.create(tmp_path / f"{n}", model={}, threads=1) for n in range(3)]
    book = train(to_fixed(vectors, 1.0), 64)
    for part in parts:
        part.use_codebook(book)
    sharded = ShardedIndex(parts)
    sharded.add([Document(f"d{n}", "") for n in range(6000)], vectors, [7] * 6000)
    queries, lengths = noisy(60, 8, seed=2), [8] * 60
    exact = [{name for name, _ in hits} for hits in sharded.search(queries, lengths, 10, exact=True)]
    found = {}
    for recall in (0.5, 0.7, 0.9, 0.99):
        hits = sharded.search(queries, lengths, 10, recall=recall)
        shares = [len(best & {name for name, _ in own}) / 10 for best, own in zip(exact, hits, strict=True)]
        found[recall] = float(np.mean(shares))
    sharded.close()
    assert [recall for recall, share in found.items() if share < recall] == []
    assert found[0.5] < found[0.7] < 1  # hits were missed: the searches were pruned


def test_a_hybrid_and_a_grouped_ranking_are_those_of_one_index(tmp_path):
    parts = [DiskIndex.create(tmp_path / f"{n}", model={}, words="en", threads=1) for n in range(4)]
    sharded = ShardedIndex(parts[1:])
    for index in (parts[0], sharded):
        index.add(*alike(50, seed=2))
        for n in range(4):
            index.add(*plain.cut(f"page-{n}.md", 3, seed=n, text="the moon and the tide"))
    for hybrid in (True, False):
        options = SearchOptions.of(8, None, True, 0.99, hybrid, 0.4 if hybrid else None, group=True)
        rankings = [
            rank_queries(index, lambda texts: (plain.vectors_of(9, 3 * len(texts)), [3] * len(texts)), WORDS, options)
            for index in (parts[0], sharded)
        ]
        assert rankings[0] == rankings[1]
    parts[0].close()
    sharded.close()


def test_pooled_vectors_name_their_tokens(tmp_path):
    groups = [np.array([0, 1, 0]), np.array([1, 0, 1, 0]), np.array([0, 0])]
    documents = [Document(f"d{n}", "text") for n in range(3)]
    index = ShardedIndex([MemoryIndex(), DiskIndex.create(tmp_path / "1", model={}, threads=1)])
    index.add(documents, plain.vectors_of(1, 5), [2, 2, 1], groups)
    found = index.matches(plain.vectors_of(2, 3), ["d2", "d0", "d1"])
    assert [matches.groups for matches in found] == [((0, 1),), ((0, 2), (1,)), ((1, 3), (0, 2))]
    index.close()


def test_a_document_is_in_one_shard_whatever_its_neighbours():
    documents, vectors, lengths = plain.some(60)
    index = ShardedIndex([MemoryIndex() for _ in range(4)])
    index.add(documents, vectors, lengths)
    assert {shard_of(document.id, 4) for document in documents} == {0, 1, 2, 3}
    for place, shard in enumerate(index.shards):
        assert list(shard.sources()) == [document.id for document in documents if shard_of(document.id, 4) == place]
    # A folder on disk depends on it, so it never changes.
    assert [shard_of(name, 1000) for name in ("a", "page.md", "ü")] == [719, 210, 302]
    index.close()


def test_an_id_is_unique_over_all_shards():
    index = ShardedIndex([MemoryIndex() for _ in range(5)])
    index.add(*plain.cut("a", 4, seed=1))
    vectors = plain.vectors_of(3, 1)
    for n in range(1, 5):  # pieces that are elsewhere than documents of their names would be
        with pytest.raises(DataError, match=f"'a#{n}'"):
            index.add([Document(f"a#{n}", "text")], vectors, [1])
        with pytest.raises(DataError, match="piece of the document 'a'"):
            index.delete(["a", f"a#{n}"])
    index.add([Document("b#1", "text")], vectors, [1])
    with pytest.raises(DataError, match="'b#1'"):
        index.add(*plain.cut("b", 2, seed=1))
    assert (len(index), list(index.get(["a"]))) == (2, ["a#1", "a#2", "a#3", "a#4"])
    assert index.get(["b#1", "a#3", "b"]).keys() == {"b#1", "a#3"}
    index.close()


def test_what_one_shard_would_refuse_changes_none():
    index = ShardedIndex([MemoryIndex() for _ in range(3)])
    index.add([Document("first", "text")], plain.vectors_of(1, 2), [2])
    documents, vectors, lengths = plain.some(20, seed=3)
    broken = vectors.copy()
    broken[-1, 0] = np.nan
    deep: dict[str, object] = {}
    for _ in range(2000):
        deep = {"in": deep}
    for bad in (
        (documents, broken, lengths),
        (documents, vectors[:, :8], lengths),
        ([*documents[:-1], Document("deep", "text", metadata=deep)], vectors, lengths),
        ([*documents[:-1], documents[0]], vectors, lengths),
    ):
        with pytest.raises(DataError):
            index.add(*bad)
        assert list(index.sources()) == ["first"]
    with pytest.raises(SettingError, match="words"):
        index.search_words("moon", 3)
    with pytest.raises(SettingError, match="at least one"):
        ShardedIndex([])
    index.close()


class Silent(MemoryIndex):
    """A shard that stops answering."""

    def __init__(self):
        super().__init__()
        self.left = None

    def _scores(self, query, ids):
        self.answer()
        return super()._scores(query, ids)

    def get(self, ids):
        self.answer()
        return super().get(ids)

    def __len__(self):
        self.answer()
        return super().__len__()

    def wholes(self, ids):
        self.answer()
        return super().wholes(ids)

    def sources(self):
        self.answer()
        return super().sources()

    def answer(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ConnectionError("no route to host")


def test_a_shard_that_does_not_answer_is_named_or_left_out():
    shards = [MemoryIndex(), Silent(), MemoryIndex()]
    index = ShardedIndex(shards, ["left", "middle", "right"])
    documents, vectors, lengths = plain.some(30)
    index.add(documents, vectors, lengths)
    query = plain.vectors_of(1, 4)
    (whole,) = index.search(query, [4], 30)
    kept = [hit for hit in whole if shard_of(hit[0], 3) != 1]
    shards[1].left = 0
    with pytest.raises(ShardError, match=r"middle does not answer \(no route to host\)") as raised:
        index.search(query, [4], 30)
    assert raised.value.shards == {"middle": "no route to host"}
    with index.partial() as missing:
        assert index.search(query, [4], 30) == [kept]
        assert missing == {"middle": "no route to host"}
        assert index.search(query, [4], 3) == [kept[:3]]
        with pytest.raises(ShardError, match="middle"):  # a change is whole or raises
            index.add([Document("new", "text")], query, [4])
    # Nor is a part of it done: who deletes by ids or by a filter asks first.
    gone = next(document.id for document in documents if shard_of(document.id, 3) == 1)
    for change in (
        lambda: index.delete([kept[0][0], gone]),
        lambda: index.delete([kept[0][0], "unknown"]),
        lambda: index.delete_where(parse_filter(f"@id in ('{kept[0][0]}', '{kept[1][0]}')")),
        lambda: index.adopt([kept[0][0], gone], "elsewhere"),
        index.check_changeable,
    ):
        with pytest.raises(ShardError, match="middle .* build the index again") as raised:
            change()
        assert pickle.loads(pickle.dumps(raised.value)).args == raised.value.args
        with index.partial():
            assert index.search(query, [4], 30) == [kept]
            assert "elsewhere" not in index.sources().values()
    assert index.delete([kept[-1][0]]) == 1  # in a shard that answers
    with pytest.raises(DataError, match="dimensions"), index.partial():  # the question is wrong
        index.search(query[:, :8], [4], 3)
    with pytest.raises(ShardError, match="middle"):
        index.search(query, [4], 30)
    index.close()


@pytest.mark.parametrize("answers", [0, 1])
def test_a_partial_answer_is_of_the_shards_that_answer_to_its_end(answers):
    shards = [MemoryIndex(), Silent()]
    index = ShardedIndex(shards)
    index.add(*plain.some(30))
    query = plain.vectors_of(1, 4)

    def read():
        ((*hits,),) = index.search(query, [4], 30)
        found = index.get([identity for identity, _ in hits])
        return [found[identity].id for identity, _ in hits]

    shards[1].left = answers  # not even the search, or the search and not its documents
    with pytest.warns(PartialWarning, match="shard 1 does not answer") as warned:
        found = answered(index, read, partial=True)
    assert sorted(found) == sorted(shards[0].sources())
    assert warned[0].message.shards == {"shard 1": "no route to host"}
    with pytest.raises(ShardError):
        answered(index, read, partial=False)
    for shard in shards:
        shard.search = shard.get = lambda *_, **how: 1 / 0
    with pytest.raises(ShardError, match="do not answer"):
        answered(index, read, partial=True)
    index.close()


def test_every_call_of_a_moment_asks_a_shard_from_one_thread():
    class Noted(MemoryIndex):
        @contextmanager
        def moment(self):
            self.inside = threading.get_ident()
            yield
            assert self.inside == threading.get_ident()

        def keys(self):
            assert self.inside == threading.get_ident()
            return super().keys()

    index = ShardedIndex([Noted(), Noted(), Noted()])
    with index.moment():
        with index.moment():
            index.keys()
        index.keys()
        others = threading.Thread(target=lambda: index.search(plain.vectors_of(1, 1), [1], 1))
        others.start()
        others.join()
        index.keys()
    assert len({shard.inside for shard in index.shards}) == 3
    index.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_asks_with_threads_of_its_own(tmp_path):
    index = ShardedIndex([DiskIndex.create(tmp_path / f"{n}", model={}, threads=1) for n in range(3)])
    index.add(*plain.some(30))
    (hits,) = index.search(plain.vectors_of(1, 3), [3], 5)
    child = os.fork()
    if not child:
        os._exit(0 if index.search(plain.vectors_of(1, 3), [3], 5) == [hits] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert index.search(plain.vectors_of(1, 3), [3], 5) == [hits]
    index.close()
