from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tardif.errors import DataError, FolderError
from tardif.index import exact
from tardif.index.exact import ExactIndex, is_index
from tardif.types import Document

DIM = 4


def encode(texts):
    """Vectors made from the text alone, one per letter: an empty text has none."""
    vectors = [np.random.default_rng(list(text.encode())).standard_normal((len(text), DIM)) for text in texts]
    return np.concatenate([np.zeros((0, DIM)), *vectors]).astype(np.float32), [len(text) for text in texts]


def build(folder, documents, **options):
    return ExactIndex.build(folder, documents, encode, model={"path": "here"}, **options)


def brute_force(documents, vectors, lengths, k):
    """Exact search by its definition, over the vectors as they are stored: rounded to float16."""
    found, begin = [], 0
    for length in lengths:
        query, begin = vectors[begin : begin + length], begin + length
        scores = {
            d.id: sum((query @ encode([d.content])[0].astype(np.float16).astype(np.float32).T).max(axis=1), start=0.0)
            for d in documents
            if d.content
        }
        found.append(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
    return found


CORPUS = [Document(f"d{n}", "x" * (n % 5) + f"{n}", "t" * (n % 2), {"n": n}) for n in range(40)]


@pytest.fixture
def index(tmp_path):
    return build(tmp_path / "index", CORPUS)


@given(
    texts=st.lists(st.text("abc", max_size=4), min_size=1, max_size=12, unique=True),
    queries=st.lists(st.text("xyz", max_size=3), min_size=1, max_size=3),
    k=st.integers(1, 15),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_search_equals_brute_force_over_the_stored_vectors(tmp_path_factory, texts, queries, k):
    documents = [Document(f"id {text}", text) for text in texts]
    index = build(tmp_path_factory.mktemp("exact") / "index", documents)
    vectors, lengths = encode(queries)
    for opened in (index, ExactIndex(index.folder)):
        hits, expected = opened.search(vectors, lengths, k), brute_force(documents, vectors, lengths, k)
        for mine, theirs in zip(hits, expected, strict=True):
            assert [identity for identity, _ in mine] == [identity for identity, _ in theirs]
            np.testing.assert_allclose([s for _, s in mine], [s for _, s in theirs], rtol=1e-5, atol=1e-5)


def test_blocks_and_reopening_change_nothing(index, tmp_path, monkeypatch):
    monkeypatch.setattr(exact, "_BLOCK", 7)
    done = []
    blocks = build(tmp_path / "blocks", CORPUS, advance=done.append)
    assert sum(done) == len(CORPUS) == len(blocks)
    assert (blocks.folder / "vectors.f16").read_bytes() == (index.folder / "vectors.f16").read_bytes()
    vectors, lengths = encode(["ab", "c"])
    assert blocks.search(vectors, lengths, 9) == index.search(vectors, lengths, 9)


def test_documents_come_back_whole(index):
    assert index.ids.tolist() == [document.id for document in CORPUS]
    assert index.documents.get(["d7", "d30"]) == {"d7": CORPUS[7], "d30": CORPUS[30]}
    assert index.manifest["model"] == {"path": "here"}


def test_ties_are_ordered_by_id(tmp_path):
    index = build(tmp_path / "index", [Document(identity, "same") for identity in ("c", "a", "d", "b")])
    (hits,) = index.search(*encode(["q"]), 3)
    assert [identity for identity, _ in hits] == ["a", "b", "c"]
    assert len({score for _, score in hits}) == 1


def test_fewer_hits_than_asked_where_there_are_fewer(index):
    (hits,) = index.search(*encode(["ab"]), 1000)
    assert len(hits) == len(CORPUS)


def test_any_thread_may_search(index):
    question = encode(["ab", "c"])
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: index.search(*question, 5), range(20)))
    assert all(result == results[0] for result in results)


def test_a_corpus_of_nothing_scoreable_is_searched_in_vain(tmp_path):
    index = build(tmp_path / "index", [Document("empty", "")])
    assert index.search(*encode(["ab"]), 5) == [[]]


def test_what_cannot_be_indexed_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="empty"):
        build(tmp_path / "index", [])
    with pytest.raises(DataError, match="same id"):
        build(tmp_path / "index", [Document("a", "x"), Document("b", "y"), Document("a", "z")])

    def broken(texts):
        raise RuntimeError("no vectors today")

    with pytest.raises(RuntimeError):
        ExactIndex.build(tmp_path / "index", CORPUS, broken, model={})
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_replaced_only_when_told(index):
    with pytest.raises(FolderError, match="already exists"):
        build(index.folder, CORPUS[:3])
    assert len(ExactIndex(index.folder)) == len(CORPUS)
    assert len(build(index.folder, CORPUS[:3], overwrite=True)) == 3
    assert [path.name for path in index.folder.parent.iterdir()] == [index.folder.name]


def edit_manifest(folder, **values):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def drop_from_manifest(folder, name):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest[name]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def truncate(path, size=None):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if size is None else size])


DAMAGES = {
    "vectors truncated": lambda folder: truncate(folder / "vectors.f16"),
    "vectors missing": lambda folder: (folder / "vectors.f16").unlink(),
    "lengths truncated": lambda folder: truncate(folder / "lengths.npy"),
    "lengths empty": lambda folder: truncate(folder / "lengths.npy", 0),
    "lengths missing": lambda folder: (folder / "lengths.npy").unlink(),
    "lengths of another index": lambda folder: np.save(folder / "lengths.npy", np.array([1, 2], dtype=np.int32)),
    "documents missing": lambda folder: (folder / "documents.sqlite").unlink(),
    "documents no database": lambda folder: (folder / "documents.sqlite").write_bytes(b"not a database" * 100),
    "documents truncated": lambda folder: truncate(folder / "documents.sqlite", 0),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "manifest foreign": lambda folder: edit_manifest(folder, format="tardif-training-set"),
    "manifest newer": lambda folder: edit_manifest(folder, version=99),
    "manifest without version": lambda folder: drop_from_manifest(folder, "version"),
    "manifest without dim": lambda folder: drop_from_manifest(folder, "dim"),
    "manifest with another dim": lambda folder: edit_manifest(folder, dim=DIM + 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_a_folder_error_that_says_where(index, damage):
    DAMAGES[damage](index.folder)
    with pytest.raises(FolderError, match=index.folder.name) as caught:
        ExactIndex(index.folder)
    if damage == "manifest newer":
        assert "newer" in str(caught.value)


def test_what_is_an_index(index, tmp_path):
    assert is_index(index.folder)
    edit_manifest(index.folder, version=99)
    assert is_index(index.folder)
    edit_manifest(index.folder, format="something else")
    assert not is_index(index.folder)
    assert not is_index(tmp_path / "nothing")
