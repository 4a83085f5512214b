from __future__ import annotations

import contextlib

import numpy as np
import pytest

import token_vectors as plain
from tardif.errors import SettingError
from tardif.index import fulltext
from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter
from tardif.index.memory import MemoryIndex
from tardif.ranking import best_first
from tardif.types import Document

TEXTS = {
    "cats": "Cats chase mice, and a cat sleeps.",
    "dogs": "Dogs chase cats.",
    "sea": "The sea rises with the moon.",
    "cjk": "晚期交互检索",
    "odd": 'under_score "quoted" OR NEAR(cats*) AND NOT -moon:x^2',
}


def add(index, texts):
    documents = [Document(i, text, metadata={"long": len(text) > 20}) for i, text in texts.items()]
    index.add(documents, plain.vectors_of(1, 2 * len(documents)), [2] * len(documents))


@pytest.fixture
def index(tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, words="en", threads=1) as made:
        add(made, TEXTS)
        yield made


def ids(index, query, k=10, **how):
    return [identity for identity, _ in index.search_words(query, k, **how)]


def test_documents_are_found_by_the_terms_of_the_language(index):
    assert set(ids(index, "chasing cat")) == {"cats", "dogs", "odd"}
    assert ids(index, "chasing cat")[-1] == "odd"
    assert ids(index, "the") == []  # a stopword
    assert ids(index, "互检") == ["cjk"]
    assert ids(index, "under_score") == ["odd"]


def test_scores_fall_and_k_holds(index):
    hits = index.search_words("cats chase the moon", 10)
    scores = [score for _, score in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)
    assert index.search_words("cats chase the moon", 2) == hits[:2]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '" OR "',
        "cats*",
        "NEAR(cats dogs)",
        "terms : cats",
        "-cats",
        "^cats",
        "cats AND",
        "'; DROP TABLE words; --",
    ],
)
def test_nothing_in_a_query_is_syntax(index, query):
    assert set(ids(index, query)) <= set(TEXTS)
    assert set(ids(index, "cats")) == {"cats", "dogs", "odd"}


def test_a_query_of_a_hundred_thousand_words_is_answered(index):
    assert "sea" in ids(index, "moon " + " ".join(f"word{n}" for n in range(100_000)))


def test_words_follow_every_change(index, tmp_path):
    add(index, {"dogs": "Birds sing.", "new": "A cat sings."})
    assert set(ids(index, "cat")) == {"cats", "new", "odd"}
    assert set(ids(index, "sing")) == {"dogs", "new"}
    index.delete(["new", "cats"])
    assert ids(index, "cat") == ["odd"]
    with DiskIndex(tmp_path / "index", threads=1) as other:
        assert ids(other, "cat") == ["odd"]


def test_a_filter_chooses_before_the_best_are_taken(index):
    assert ids(index, "cats", k=1, where=parse_filter("long = false")) == ["dogs"]


def test_an_index_without_words_says_so(tmp_path):
    with DiskIndex.create(tmp_path / "plain", model={}) as plainly, pytest.raises(SettingError, match="hybrid"):
        plainly.search_words("cats", 3)
    with pytest.raises(SettingError, match="words"):
        MemoryIndex().search_words("cats", 3)
    with pytest.raises(SettingError, match="klingon"):
        DiskIndex.create(tmp_path / "other", model={}, words="klingon")


def many():
    """Documents of 1 to 400 terms; "all" in most of them, "rare" in one, "often" many times in a few."""
    common = [f"w{n}" for n in range(30)]
    return {
        f"d{n}": " ".join(
            ["all"] * (n % 5 > 0)
            + ["often"] * (n % 7 if n % 3 == 0 else 0)
            + common[: n % 30]
            + ["rare"] * (n == 17)
            + ["filling"] * (399 if n % 13 == 0 else 0)
        )
        or "alone"
        for n in range(120)
    }


@pytest.mark.parametrize("query", ["all", "often rare", "w1 w5 w20 all often", "w3 rare absent", "filling w29 alone"])
def test_scores_are_those_of_fts5(tmp_path, query):
    with DiskIndex.create(tmp_path / "index", model={}, words="en", threads=1) as made:
        texts = list(many().items())
        for begin in range(0, len(texts), 30):  # four segments of FTS5's
            add(made, dict(texts[begin : begin + 30]))
        made.delete(["d0", "d3", "d50", "d119"])
        add(made, {"d9": "often all", "d10": "rare"})
        found = made.search_words(query, 1000)
        with made.store.reading() as database:
            wanted = dict(
                database.execute(
                    "SELECT id, -bm25(words) FROM words CROSS JOIN documents ON number = words.rowid"
                    " WHERE words MATCH ?",
                    [" OR ".join(f'"{term}"' for term in made.store.words.terms(Document("query", query)).split())],
                )
            )
        assert dict(found) == pytest.approx(wanted, rel=1e-12)
        assert found == best_first(found)
        for k in (1, 7, len(found)):
            assert made.search_words(query, k) == found[:k]


def test_a_filter_leaves_the_scores_and_the_order_as_they_are(index):
    every = index.search_words("cats chase the moon", 10)
    passing = index.search_words("cats chase the moon", 10, where=parse_filter("long = true"))
    assert passing == [hit for hit in every if hit[0] != "dogs"]
    assert index.search_words("cats", 10, where=parse_filter("long = 'no'")) == []


def test_an_empty_index_has_no_words(tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, words="en") as made:
        assert made.search_words("cats", 3) == []
        add(made, TEXTS)
        made.delete(list(TEXTS))
        assert made.search_words("cats", 3) == []


def test_a_word_longer_than_fts5_keeps_is_found(tmp_path):
    with DiskIndex.create(tmp_path / "index", model={}, words="en") as made:
        add(made, {"long": "f0" * 20_000, "short": "f0"})
        assert ids(made, "f0" * 20_000) == ["long"]
        assert ids(made, "f0") == ["short"]


def test_words_that_are_signed_last_are_those_that_are_signed_with_each_write(tmp_path):
    def facts(name, last):
        with DiskIndex.create(tmp_path / name, model={}, words="en", threads=1) as index:
            with index.words_signed_last() if last else contextlib.nullcontext():
                for identity, text in TEXTS.items():
                    index.add([Document(identity, text)], np.eye(1, 4, dtype=np.float32), [1])
                index.delete(list(TEXTS)[:1])
            return index.store.fact("words sum"), index.search_words("cats chase the moon", 3)

    assert facts("each", last=False) == facts("last", last=True)


@pytest.mark.parametrize("part", [1, 2, 3, 100])
def test_lengths_are_read_in_parts_of_any_size(index, monkeypatch, part):
    whole = index.search_words("cats chase the moon", 10), index.store.fact("words sum")
    monkeypatch.setattr(fulltext, "_LENGTHS", fulltext._LENGTHS.replace(str(fulltext._PART), str(part)))
    with index.store.reading() as database:
        assert index.store.words.checksum(database) == whole[1]
    index.store._lengths = None
    assert index.search_words("cats chase the moon", 10) == whole[0]
