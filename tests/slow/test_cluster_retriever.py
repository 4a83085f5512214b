"""A retriever and the verbs over a real Ray cluster: an index in shards is built, searched and changed as without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiny
from tardif.cluster.connection import connected
from tardif.index import sharded_folder
from tardif.index.disk import DiskIndex
from tardif.index.manifest import new_manifest
from tardif.index.qdrant.payload import point_id
from tardif.search.retriever import Retriever

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

QUERIES = ["the train is late", "what makes the tides", "how long to bake bread"]


@pytest.fixture(scope="module")
def cluster(nodes):
    with connected(nodes.address) as found:
        yield found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    place = tmp_path_factory.mktemp("corpus") / "documents.jsonl"
    rows = [{"id": f"d{n}", "text": f"{tiny.SENTENCES[n % 30]} Number {n}.", "n": n} for n in range(60)]
    place.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return place


def indexed(tardif, *arguments):
    code, out, err = tardif("index", *arguments, "--shards", "3", "--hybrid", "--bits", "4")
    assert (code, out) == (0, f"{arguments[-1]}\n"), err
    assert "documents read: 60" in err


@pytest.fixture
def folders(cluster, corpus, tardif, multi_vector_folder, tmp_path, monkeypatch):
    """The same index, built here and over the cluster."""
    here, over = tmp_path / "here", tmp_path / "over"
    with monkeypatch.context() as patch:  # identities are random: otherwise files would differ by them
        same = {"identity": "0" * 32}
        patch.setattr(sharded_folder, "new_manifest", lambda about, **how: new_manifest(about, **how, **same))
        indexed(tardif, multi_vector_folder, corpus, "--out", here)
        indexed(tardif, multi_vector_folder, corpus, "--ray", cluster.address, "--out", over)
    return here, over


def contents(folder):
    """What the files of an index hold; in a segment's name, what stands before the first hyphen is random."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".sqlite"]
    return {
        name.with_name(name.name.partition("-")[2] if name.suffix == ".segment" else name.name): (
            folder / name
        ).read_bytes()
        for name in names
    }


def stored(place: Path):
    """What an index holds: the documents with their sources, and every stored vector with its scale."""
    with DiskIndex(place, threads=1) as index:
        view = index.view()
        numbers = view.numbers().tolist()
        ids = index.store.ids(numbers)
        vectors = {ids[number]: view.stored(number) for number in numbers}
        found = {name: (rows.tobytes(), scale) for name, (rows, scale) in vectors.items()}
        return index.get(index.ids()), index.sources(), found


def answers(retriever):
    """What a retriever answers to every kind of question."""
    hybrid = retriever.search_many(QUERIES, k=20, hybrid=True)
    return {
        "length": len(retriever),
        "search": retriever.search_many(QUERIES, k=20),
        "exact": retriever.search_many(QUERIES, k=20, exact=True),
        "filtered": retriever.search(QUERIES[0], k=20, where="n >= 20 and n < 40"),
        "grouped": retriever.search(QUERIES[0], k=20, group=True),
        "hybrid": hybrid,
        "run": retriever.run(dict(enumerate(QUERIES)), k=20),
        "reranked": retriever.rerank(QUERIES[1], ["d8", "d9", "d10"], explain=True),
        "explained": retriever.search(QUERIES[1], k=3, explain=True),
        "why": retriever.explain(QUERIES[1], hybrid[1][0].document_id).as_json(),
    }


def changed(retriever):
    """Change an index in every way. Returns what the calls return."""
    new = [{"id": f"d{n}", "text": f"The harbour of number {n}.", "n": n} for n in range(55, 65)]
    return (
        retriever.add(new, quiet=True),
        retriever.delete(["d0", "d1", "unknown"]),
        retriever.delete(where="n = 7"),
    )


def test_an_index_in_shards_is_built_searched_and_changed_as_without_a_cluster(folders, cluster, tardif):
    assert contents(folders[0]) == contents(folders[1])
    for name in sorted(path.name for path in folders[0].glob("shard-*")):
        assert stored(folders[0] / name) == stored(folders[1] / name)

    question = ("search", folders[1], QUERIES[0], "-k", "5", "--json", "--explain")
    assert tardif(*question, "--ray", cluster.address, "--replicas", "2") == tardif(*question)

    with Retriever(folders[0]) as here, Retriever(folders[1], ray=cluster.address, replicas=2) as over:
        assert answers(over) == answers(here)
        assert changed(over) == changed(here) == ((10, 5), 2, 1)
        assert answers(over) == answers(here)
        assert len(over) == 62
    # What was written over the cluster is in the folder.
    with Retriever(folders[0]) as here, Retriever(folders[1]) as again:
        assert answers(again) == answers(here)


def test_an_index_in_qdrant_has_the_vectors_that_it_has_without_a_cluster(
    cluster, corpus, multi_vector_folder, tmp_path
):
    pytest.importorskip("qdrant_edge")
    found = []
    for name, ray in (("here", None), ("over", cluster.address)):
        place = f"edge:{tmp_path / name}"
        with Retriever.build(multi_vector_folder, corpus, place, ray=ray, quiet=True) as built:
            records = built.index.engine.vectors([point_id(f"d{n}") for n in range(60)], ("id",))
            found.append({record.payload["id"]: record.vectors for record in records})
            assert built.search(QUERIES[0], k=3)
    here, over = found
    assert here.keys() == over.keys()
    assert len(here) == 60
    assert all((here[name] == over[name]).all() for name in here)
