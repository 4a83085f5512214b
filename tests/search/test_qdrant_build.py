"""Building and moving indexes to Qdrant, embedded and through its client."""

from __future__ import annotations

import json
import shutil

import pytest

import tiny
from qdrant_here import QUIET, Kept
from tardif.errors import DataError, FolderError, SettingError
from tardif.index.disk import DiskIndex
from tardif.index.qdrant import places
from tardif.index.qdrant.places import qdrant_place
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.search import qdrant_build
from tardif.search.qdrant_build import export_to_qdrant
from tardif.search.retriever import Retriever
from tardif.types import Document

pytestmark = QUIET

CORPUS = [
    Document(f"d{n}", text, title="Title" * (n % 2), metadata={"number": n, "even": n % 2 == 0})
    for n, text in enumerate(tiny.SENTENCES[:12])
]
LONG = Document("long", " ".join(tiny.SENTENCES[:20]))
QUERIES = ["what makes the tides", "how long to bake bread", "晚期交互"]
ADDRESS = "http://qdrant.test:6333/docs"


@pytest.fixture(params=["edge", "client"])
def place(request, tmp_path, monkeypatch):
    """Where to build: the embedded engine, or the address of a service that is a client's memory."""
    if request.param == "edge":
        yield f"edge:{tmp_path / 'docs'}"
        return
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    monkeypatch.setattr(places, "connect", lambda url: Kept(client))
    yield ADDRESS
    client.close()


def ranked(retriever, **how):
    return [
        [(hit.document_id, pytest.approx(hit.score, abs=1e-3)) for hit in retriever.search(q, **how)] for q in QUERIES
    ]


def hits(retriever, **how):
    return [[(hit.document_id, hit.score) for hit in retriever.search(query, **how)] for query in QUERIES]


@pytest.mark.parametrize("pool", [1.0, 2.0])
def test_an_index_in_qdrant_finds_what_one_in_memory_finds(multi_vector_folder, place, pool):
    documents = [*CORPUS, LONG]
    exact = Retriever.encode(multi_vector_folder, documents, chunk=40, pool=pool, quiet=True)
    built = Retriever.build(multi_vector_folder, documents, place, chunk=40, pool=pool, quiet=True)
    built.close()
    with Retriever(place) as retriever:
        assert repr(retriever) == f"Retriever({place!r}, 13 documents)"
        assert retriever.index.sources().keys() == {document.id for document in documents}
        for how in ({"k": 7}, {"k": 20, "exact": True}, {"k": 5, "where": "even = true"}, {"k": 4, "group": True}):
            assert hits(retriever, **how) == ranked(exact, **how)
        (hit, *_) = retriever.search(QUERIES[0], k=3, explain=True)
        found = retriever.explain(QUERIES[0], hit)
        assert sum(match.similarity for match in found.matches) == found.score == hit.score
        assert hit.snippet
        assert [h.document_id for h in retriever.rerank(QUERIES[0], ["d1", "long"], k=1)] == [
            h.document_id for h in exact.rerank(QUERIES[0], ["d1", "long"], k=1)
        ]
        assert retriever.why_nothing("tides", where="numbr = 1").endswith("did you mean number?")


def test_documents_are_added_replaced_deleted_and_synced(multi_vector_folder, place, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"The text of {name}.", encoding="utf-8")
    with Retriever.build(multi_vector_folder, folder, place, quiet=True) as retriever:
        assert retriever.add([Document("a.txt", "new"), Document("c", "third")], quiet=True) == (2, 1)
        assert (len(retriever), retriever.delete(["c", "nobody"]), retriever.delete(where="number = 1")) == (3, 1, 0)
        (folder / "b.txt").unlink()
        done = retriever.sync(folder, quiet=True)
        assert (done.changed, done.new, done.gone) == (("a.txt",), (), ("b.txt",))
    with Retriever(place) as retriever:
        assert [hit.document_id for hit in retriever.search("text")] == ["a.txt"]


def test_a_digest_is_of_what_is_held(multi_vector_folder, place):
    with Retriever.build(multi_vector_folder, CORPUS[:4], place, quiet=True) as retriever:
        first = retriever.index.digest()
        retriever.add([Document("d1", "another text")], quiet=True)
        changed = retriever.index.digest()
        assert retriever.delete(["d3"]) == 1
        fewer = retriever.index.digest()
    assert len({first, changed, fewer}) == 3
    with Retriever(place) as retriever:
        assert retriever.index.digest() == fewer
        # In another order of adding, the same documents.
        retriever.add([CORPUS[3], CORPUS[1]], quiet=True)
        assert retriever.index.digest() == first


def test_an_interrupted_build_continues_and_encodes_nothing_twice(multi_vector_folder, place, monkeypatch):
    monkeypatch.setattr(qdrant_build, "_BLOCK", 4)
    add, stored = QdrantIndex.add, []

    def until(most):
        def adding(index, documents, *rest, **how):
            if len(stored) >= most:
                raise KeyboardInterrupt
            stored.extend(document.id for document in documents)
            return add(index, documents, *rest, **how)

        monkeypatch.setattr(QdrantIndex, "add", adding)

    until(8)
    with pytest.raises(KeyboardInterrupt):
        Retriever.build(multi_vector_folder, CORPUS, place, quiet=True)
    with pytest.raises(FolderError, match="is not there|is not whole: rerun"):
        Retriever(place)
    # The corpus has changed since: one document is gone, one has another text.
    changed = [Document("d1", "anew"), *CORPUS[2:]]
    until(99)
    with Retriever.build(multi_vector_folder, changed, place, quiet=True) as retriever:
        assert retriever.index.sources().keys() == {document.id for document in changed}
        assert retriever.index.get(["d1"])["d1"].text == "anew"
    # What is stored unchanged is not encoded: it is not stored again.
    assert sorted(stored) == sorted([*(d.id for d in CORPUS), "d1"])


def test_what_is_there_is_not_replaced_unasked(multi_vector_folder, place):
    Retriever.build(multi_vector_folder, CORPUS, place, quiet=True).close()
    with pytest.raises(FolderError, match="exists"):
        Retriever.build(multi_vector_folder, CORPUS[:3], place, quiet=True)
    with Retriever.build(multi_vector_folder, CORPUS[:3], place, overwrite=True, quiet=True) as retriever:
        assert len(retriever) == 3


@pytest.mark.parametrize("pool", [1.0, 2.0])
def test_an_index_is_moved_without_its_model(multi_vector_folder, place, tmp_path, monkeypatch, pool):
    monkeypatch.setattr(qdrant_build, "_TOKENS", 30)  # many blocks, in which pieces of a document are apart
    own = tmp_path / "own.index"
    with Retriever.build(multi_vector_folder, [*CORPUS, LONG], own, chunk=40, bits=4, pool=pool, quiet=True) as built:
        built.add([Document("late", "added later")], quiet=True)
        expected = ranked(built, k=20, exact=True)
        documents, sources = built.index.get(built.index.ids()), built.index.sources()
    with export_to_qdrant(own, qdrant_place(place), quiet=True) as moved:
        assert moved.get(list(sources)) == documents
        assert moved.sources() == sources
    with Retriever(place) as retriever:
        assert hits(retriever, k=20, exact=True) == expected
        assert retriever.pool == pool
        assert (
            retriever.explain(QUERIES[0], "late").score == retriever.search(QUERIES[0], where="@id = 'late'")[0].score
        )


def test_a_search_of_an_embedded_shard_needs_no_model(multi_vector_folder, tmp_path):
    shutil.copytree(multi_vector_folder, tmp_path / "model")
    place = f"edge:{tmp_path / 'docs'}"
    Retriever.build(tmp_path / "model", CORPUS, place, quiet=True).close()
    shutil.rmtree(tmp_path / "model")
    shutil.move(tmp_path / "docs", tmp_path / "moved")
    with Retriever(f"edge:{tmp_path / 'moved'}") as retriever:
        assert len(retriever.search(QUERIES[0], k=3)) == 3
        with pytest.raises(FolderError, match=r"is not in .*model"):
            retriever.add([Document("new", "text")], quiet=True)


def test_a_damaged_beginning_is_begun_again(multi_vector_folder, tmp_path):
    left = tmp_path / ".docs.indexing"
    (left / "shard").mkdir(parents=True)
    (left / "tardif.json").write_text(json.dumps({"format": "other"}), encoding="utf-8")
    with Retriever.build(multi_vector_folder, CORPUS, f"edge:{tmp_path / 'docs'}", quiet=True) as retriever:
        assert len(retriever) == len(CORPUS)
    assert not left.exists()


def test_what_qdrant_cannot_do_is_refused_with_the_way_out(multi_vector_folder, place):
    with pytest.raises(SettingError, match="holds no words"):
        Retriever.build(multi_vector_folder, CORPUS, place, hybrid=True, quiet=True)
    with pytest.raises(SettingError, match="32 bits or in 16"):
        Retriever.build(multi_vector_folder, CORPUS, place, bits=4, quiet=True)
    with pytest.raises(DataError):
        Retriever.build(multi_vector_folder, [], place, quiet=True)
    with pytest.raises(FolderError, match="is not there"):
        Retriever(place)
    with Retriever.build(multi_vector_folder, CORPUS, place, bits=16, quiet=True) as retriever:
        with pytest.raises(SettingError, match="holds no words"):
            retriever.search("tides", hybrid=True)
        with pytest.raises(SettingError, match="like"):
            retriever.search("tides", where="title like '%a%b'")


def test_another_thread_or_process_cannot_open_a_shard_that_is_open(multi_vector_folder, tmp_path):
    place = f"edge:{tmp_path / 'docs'}"
    built = Retriever.build(multi_vector_folder, CORPUS, place, quiet=True)
    with built, pytest.raises(FolderError, match="open in another process"):
        Retriever(place)
    Retriever(place).close()


def test_a_folder_of_another_index_is_none_in_qdrant(multi_vector_folder, tmp_path):
    Retriever.build(multi_vector_folder, CORPUS, tmp_path / "own", quiet=True).close()
    with pytest.raises(FolderError, match="is not there"):
        Retriever(f"edge:{tmp_path / 'own'}")
    with DiskIndex(tmp_path / "own") as opened:
        assert len(opened) == len(CORPUS)


def test_an_index_in_shards_becomes_one_collection(multi_vector_folder, place, tmp_path):
    own = tmp_path / "own"
    with Retriever.build(multi_vector_folder, CORPUS, own, shards=2, quiet=True) as retriever:
        wanted = {hit.document_id for hit in retriever.search("tides", k=len(CORPUS), exact=True)}
    with export_to_qdrant(own, qdrant_place(place), quiet=True) as moved:
        assert len(moved) == len(CORPUS)
    with Retriever(place) as retriever:
        assert {hit.document_id for hit in retriever.search("tides", k=len(CORPUS), exact=True)} == wanted
