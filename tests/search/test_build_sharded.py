"""An index that is built in shards: the same documents and hits as one index, each shard a function of its spool."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

import tiny
from tardif.errors import FolderError, SettingError
from tardif.index import compaction, disk
from tardif.index.shard_checking import examine_shards
from tardif.index.sharded import shard_of
from tardif.index.sharded_folder import ShardedFolder
from tardif.search import build, build_sharded, shard_build
from tardif.search.build import document_vectors
from tardif.search.export_vectors import export_vectors
from tardif.search.repair import examine
from tardif.search.retriever import Retriever
from tardif.search.shard_build import ShardPlan, build_shard
from tardif.types import Document

LONG = " ".join(tiny.SENTENCES[:12])
CORPUS = [
    Document(f"odd/{n} 'é'", text, title="Title" * (n % 2), metadata={"number": n})
    for n, text in enumerate(tiny.SENTENCES[:24])
] + [Document("long", LONG), Document("longer", LONG + LONG)]
QUERIES = ["what makes the tides", "how long to bake bread", "晚期交互"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks, samples and codebooks of the sizes that a test reaches."""
    for module in (disk, compaction, build_sharded):
        monkeypatch.setattr(module, "PLAIN_TOKENS", 60)
    for module in (build, build_sharded, shard_build):
        monkeypatch.setattr(module, "BLOCK", 5)
    monkeypatch.setattr(build, "_TOKENS_PER_DOCUMENT", 0)
    for module in (build, build_sharded):
        monkeypatch.setattr(module, "centroid_count", lambda tokens: 8)
    monkeypatch.setattr(disk, "centroid_count", lambda tokens: 8)


@pytest.fixture
def unexported(monkeypatch):
    """No query encoder is exported: it takes longer than all else, and searches use the model then."""
    for module in (build, build_sharded):
        monkeypatch.setattr(module, "export_encoder", lambda *given: None)


def built(model, out, shards=3, **how):
    return Retriever.build(model, CORPUS, out, shards=shards, chunk=32, hybrid=True, quiet=True, **how)


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("bits", [8, 4])
def test_it_finds_what_one_index_finds(unexported, multi_vector_folder, tmp_path, bits):
    with (
        Retriever.build(
            multi_vector_folder, CORPUS, tmp_path / "one", chunk=32, hybrid=True, bits=bits, quiet=True
        ) as one,
        built(multi_vector_folder, tmp_path / "many", bits=bits) as many,
    ):
        assert isinstance(many.index, ShardedFolder)
        assert len(many) == len(one) == len(CORPUS)
        assert sorted(many.index.sources()) == sorted(one.index.sources())
        # Documents are encoded in other batches, so floats may differ in their last bits; words are exact.
        for how in ({}, {"where": "number < 9"}, {"group": True}, {"hybrid": True, "group": True}):
            for own, other in zip(
                many.search_many(QUERIES, k=50, exact=True, **how),
                one.search_many(QUERIES, k=50, exact=True, **how),
                strict=True,
            ):
                assert {hit.document_id for hit in own} == {hit.document_id for hit in other}
                np.testing.assert_allclose([hit.score for hit in own], [hit.score for hit in other], atol=2e-2)
        for query in QUERIES:
            assert many.index.search_words(query, 50) == one.index.search_words(query, 50)
            found = many.explain(query, many.search(query, k=1)[0])
            assert sum(match.similarity for match in found.matches) == found.score
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["many", "one"]


def test_the_folder_holds_each_thing_once(multi_vector_folder, tmp_path):
    built(multi_vector_folder, tmp_path / "index").close()
    kinds = {name.split("/")[0] for name in files(tmp_path / "index")}
    assert kinds == {"shards.json", "notes.json", "encoder", "shard-0000", "shard-0001", "shard-0002"}
    assert sum(name.endswith("model.onnx") for name in files(tmp_path / "index")) == 1
    names = {name.split("-")[-1] for name in files(tmp_path / "index") if name.endswith(".npz")}
    assert len(names) == 1  # one codebook, in each of the shards
    found = examine(tmp_path / "index")
    assert (found.problems, found.documents, sorted(found.shards)) == (
        [],
        len(CORPUS),
        ["shard-0000", "shard-0001", "shard-0002"],
    )
    with Retriever(tmp_path / "index") as again:
        assert again.index.note("chunk") == "32"
        assert again.add([{"id": "new", "text": "The tides follow the moon."}], quiet=True) == (1, 0)
        assert again.search("tides", k=50, exact=True)
        assert again.delete(["new", "long"]) == 2
    assert examine_shards(tmp_path / "index").documents == len(CORPUS) - 1


def planned(model, tmp_path, monkeypatch):
    """The folder of a build whose shards are not built yet, and their jobs."""
    kept = []

    def leave(jobs, encode, advance):
        kept.extend(jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr(build_sharded.build_sharded, "__defaults__", (leave,))
    with pytest.raises(KeyboardInterrupt):
        built(model, tmp_path / "index")
    monkeypatch.setattr(build_sharded.build_sharded, "__defaults__", (build_sharded.one_by_one,))
    return kept


def test_a_shard_is_a_function_of_the_files_of_the_build(unexported, multi_vector_folder, tmp_path, monkeypatch):
    jobs = planned(multi_vector_folder, tmp_path, monkeypatch)
    work = tmp_path / ".index.indexing"
    assert not (tmp_path / "index").exists()
    elsewhere = shutil.copytree(work, tmp_path / "elsewhere")
    plan = ShardPlan.read(work)
    for job in jobs:
        again = pickle.loads(pickle.dumps(job))
        rows, encoded = build_shard(again)  # opens the model itself
        assert (rows, encoded) == (plan.rows[job.number], plan.rows[job.number] - plan.first[job.number])
        other = shard_build.ShardJob(elsewhere, job.number, job.model)
        assert build_shard(other)[0] == rows
        one, two = (files(place / f"shard-000{job.number}") for place in (work, elsewhere))
        assert one.keys() == two.keys()
        for name in one:
            assert one[name].read_bytes() == two[name].read_bytes(), name
        # Whole: not built again.
        assert build_shard(again) == (rows, 0)
    with built(multi_vector_folder, tmp_path / "index") as whole:
        assert len(whole) == len(CORPUS)


@pytest.mark.parametrize("calls", [0, 1, 2, 5])
def test_an_interrupted_build_continues(unexported, multi_vector_folder, tmp_path, monkeypatch, calls):
    encoded, left = [], [calls]

    def encode(model, texts, *how):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        encoded.extend(texts)
        return document_vectors(model, texts, *how)

    monkeypatch.setattr(build, "document_vectors", encode)
    with pytest.raises(KeyboardInterrupt):
        built(multi_vector_folder, tmp_path / "index")
    assert not (tmp_path / "index").exists()
    left[0] = 1000
    with built(multi_vector_folder, tmp_path / "index") as retriever:
        rows = [row.content for row in retriever.index.get(retriever.index.ids()).values()]
        assert sorted(encoded) == sorted(rows)  # each once
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert examine(tmp_path / "index").problems == []


def test_an_interrupted_build_of_other_documents_or_options_begins_again(
    unexported, multi_vector_folder, tmp_path, monkeypatch
):
    planned(multi_vector_folder, tmp_path, monkeypatch)
    with Retriever.build(multi_vector_folder, CORPUS[:9], tmp_path / "index", shards=2, quiet=True) as retriever:
        assert (len(retriever), len(retriever.index.names)) == (9, 2)
    with pytest.raises(FolderError, match="overwrite"):
        built(multi_vector_folder, tmp_path / "index")
    with built(multi_vector_folder, tmp_path / "index", 1, overwrite=True) as retriever:
        assert (len(retriever), retriever.index.names) == (len(CORPUS), ["shard-0000"])
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", overwrite=True, quiet=True) as retriever:
        assert not isinstance(retriever.index, ShardedFolder)
    with pytest.raises(SettingError, match="shards"):
        built(multi_vector_folder, tmp_path / "none", 0)


def test_more_shards_than_documents(unexported, multi_vector_folder, tmp_path):
    with Retriever.build(multi_vector_folder, CORPUS[:2], tmp_path / "index", shards=7, quiet=True) as retriever:
        assert len(retriever.search("tides", k=5)) == 2
    assert export_vectors(tmp_path / "index", tmp_path / "vectors").documents == 2


def test_lost_vectors_and_a_lost_encoder_are_restored(multi_vector_folder, tmp_path, tardif):
    with built(multi_vector_folder, tmp_path / "index") as retriever:
        hits = retriever.search(QUERIES[0], k=50, exact=True)
    (segment, *_) = (tmp_path / "index" / "shard-0001" / "segments").glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:5000])
    shutil.rmtree(tmp_path / "index" / "encoder")
    code, _, err = tardif("doctor", tmp_path / "index")
    assert (code, "--repair" in err) == (1, True)
    code, out, _ = tardif("doctor", tmp_path / "index", "--repair", "--quiet")
    assert code == 0
    assert "exported again" in out
    with Retriever(tmp_path / "index") as again:
        assert {hit.document_id for hit in again.search(QUERIES[0], k=50, exact=True)} == {
            hit.document_id for hit in hits
        }


def test_every_verb_takes_the_folder(multi_vector_folder, tmp_path, tardif, monkeypatch):
    corpus, out = tmp_path / "corpus.jsonl", tmp_path / "index"
    rows = [{"_id": f"d{n}", "text": text, "metadata": {"n": n}} for n, text in enumerate(tiny.SENTENCES[:20])]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = ("index", multi_vector_folder, corpus, "--out", out, "--shards", 3, "--hybrid", "--quiet")
    assert tardif(*given)[:2] == (0, f"{out}\n")

    def found(*more):
        code, text, err = tardif("search", out, "tides of the moon", "-k", 50, "--exact", "--json", *more)
        assert code == 0, err
        return [hit["document_id"] for hit in json.loads(text)["hits"]], err

    assert len(found()[0]) == len(found("--hybrid")[0]) == 20
    assert set(found("--filter", "n < 3")[0]) == {"d0", "d1", "d2"}
    corpus.write_text(json.dumps({"_id": "new", "text": "zebra"}) + "\n")
    assert tardif("add", out, corpus)[:2] == (0, "21\n")
    assert tardif("delete", out, "new", "d0")[:2] == (0, "19\n")
    assert tardif("delete", out, "--filter", "n = 1", "--quiet")[:2] == (0, "18\n")
    assert json.loads(tardif("explain", out, "tides", "--id", "d3", "--json")[1])["matches"]
    assert tardif("export", out, "--format", "vectors", "--out", tmp_path / "vectors")[0] == 0
    assert tardif("doctor", out)[0] == 0
    place = shard_of("d5", 3)
    shutil.rmtree(out / f"shard-000{place}")
    code, _, err = tardif("search", out, "tides")
    assert (code, f"shard-000{place} does not answer" in err, "--partial leaves it out" in err) == (1, True, True)
    assert "it again" in tardif("doctor", out, "--repair")[2]
    # Changes that it concerns: nothing is encoded for them, and nothing is done of them.
    monkeypatch.setattr("tardif.encoder.model.open_model", None)
    alive = next(f"d{n}" for n in range(2, 20) if shard_of(f"d{n}", 3) != place)
    changes = [
        ("add", out, corpus),
        ("sync", out, corpus),
        ("delete", out, alive, "d5"),
        ("delete", out, "--filter", "n > 1"),
    ]
    for change in changes:
        code, _, err = tardif(*change)
        assert (code, err.count("\n")) == (1, 1)
        assert f"shard-000{place} does not answer" in err
        assert "build the index again" in err
    assert alive in found("--partial")[0]
    # Nor does another index take the place of a shard.
    for there in (out / "shard-0000", out / f"shard-000{place}", f"edge:{out / 'shard-0000'}"):
        code, _, err = tardif("index", multi_vector_folder, corpus, "--out", there, "--overwrite")
        assert (code, f"shard of the index {out}" in err) == (1, True)
    ids, err = found("--partial")
    assert ids
    assert all(shard_of(identity, 3) != place for identity in ids)
    assert f"WARNING: The hits are those of the other shards: shard-000{place}" in err
