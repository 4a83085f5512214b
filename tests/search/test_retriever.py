from __future__ import annotations

import datetime
import itertools
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tardif as tardif_package
import tiny
from tardif.encoder.identity import fingerprint
from tardif.errors import DataError, FolderError, ModelError, SettingError
from tardif.index.disk import DiskIndex
from tardif.search import build
from tardif.search import hits as module
from tardif.search.build import document_vectors
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever
from tardif.types import Document

CORPUS = [
    Document(f"odd/{n} 'é' \"{n}\"", text, title="Title" * (n % 2), metadata={"number": n})
    for n, text in enumerate(tiny.SENTENCES[:20])
]
BLANK = [Document("empty", ""), Document("dots", "..."), Document("words", "the tides")]
QUERIES = ["what makes the tides", "how long to bake bread", "晚期交互"]


@pytest.fixture
def place(multi_vector_folder, tmp_path):
    """A model and an index built with it, side by side in a folder that may be moved."""
    home = tmp_path / "home"
    shutil.copytree(multi_vector_folder, home / "model")
    Retriever.build(home / "model", CORPUS, home / "index", quiet=True)
    return home


@pytest.fixture(scope="module")
def retriever(multi_vector_folder, tmp_path_factory):
    return Retriever.build(multi_vector_folder, CORPUS, tmp_path_factory.mktemp("module") / "index", quiet=True)


def test_hits_are_whole_documents_with_ranks_from_1_and_falling_scores(retriever):
    documents = {document.id: document for document in CORPUS}
    for hits in retriever.search_many(QUERIES, k=7):
        assert [hit.rank for hit in hits] == list(range(1, 8))
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        for hit in hits:
            document = documents[hit.document_id]
            assert (hit.text, hit.title, hit.metadata) == (document.text, document.title, document.metadata)
            assert json.loads(json.dumps(hit.as_json()))["metadata"] == {"number": document.metadata["number"]}


@pytest.mark.parametrize("together", [1, 2, 32])
def test_queries_are_searched_in_blocks_and_their_number_is_told(retriever, monkeypatch, together):
    expected = retriever.search_many(QUERIES, k=3)
    monkeypatch.setattr(module, "_QUERIES", together)
    for search in (retriever.search_many, lambda *a, **how: retriever.run(dict(enumerate(QUERIES)), **how).values()):
        done = []
        found = search(QUERIES, k=3, advance=done.append)
        assert [[getattr(hit, "document_id", hit) for hit in hits] for hits in found] == [
            [hit.document_id for hit in hits] for hits in expected
        ]
        assert done == {1: [1, 1, 1], 2: [2, 1], 32: [3]}[together]


@pytest.mark.parametrize(("bits", "error"), [(16, 0.003), (8, 0.06)])
def test_scores_are_the_models_own_maxsim(multi_vector_folder, tmp_path, encoder, bits, error):
    retriever = Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", bits=bits, quiet=True)
    scores = encoder.similarity(
        encoder.encode_query(QUERIES), encoder.encode_document([document.content for document in CORPUS])
    )
    run = retriever.run({str(n): query for n, query in enumerate(QUERIES)}, k=len(CORPUS))
    for n, row in enumerate(scores.tolist()):
        expected = {document.id: score for document, score in zip(CORPUS, row, strict=True)}
        assert run[str(n)] == pytest.approx(expected, abs=error)


def test_an_opened_index_answers_as_the_built_one(retriever):
    opened = Retriever(retriever.index.folder)
    for query in QUERIES:
        assert opened.search(query, k=5) == retriever.search(query, k=5)
    assert opened.search_many([]) == []


def test_the_search_of_one_is_the_search_of_many(retriever):
    for query, hits in zip(QUERIES, retriever.search_many(QUERIES, k=5), strict=True):
        alone = retriever.search(query, k=5)
        assert [hit.document_id for hit in alone] == [hit.document_id for hit in hits]
        assert [hit.score for hit in alone] == pytest.approx([hit.score for hit in hits], rel=1e-5)


@pytest.mark.parametrize(
    "query", ["nul\0inside", "half \ud800 a character", "word " * 200_000, "'; DROP TABLE documents; --", "."]
)
def test_any_query_is_answered(retriever, query):
    hits = retriever.search(query, 5)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert retriever.search(query, 5) == hits
    assert len(retriever) == len(CORPUS)


@pytest.mark.parametrize("pool", [1.0, 2.0])
def test_documents_without_a_scoreable_token_are_kept_and_never_found(multi_vector_folder, tmp_path, pool):
    with Retriever.build(multi_vector_folder, BLANK, tmp_path / "index", pool=pool, quiet=True) as built:
        built.add([Document("later", "[SEP]")], quiet=True)
        for opened in (built, Retriever.encode(multi_vector_folder, BLANK, pool=pool, quiet=True)):
            assert opened.index.get(["dots"])["dots"].text == "..."
            for exact in (True, False):
                assert [hit.document_id for hit in opened.search("tides", 10, exact=exact)] == ["words"]
            assert [hit.document_id for hit in opened.rerank("tides", ["empty", "words", "dots"])] == ["words"]
        assert len(built) == len(BLANK) + 1
    assert [hit.document_id for hit in rerank(multi_vector_folder, "tides", BLANK)] == ["words"]


def test_nothing_but_blank_documents_can_be_indexed(multi_vector_folder, tmp_path):
    with Retriever.build(multi_vector_folder, BLANK[:2], tmp_path / "index", quiet=True) as built:
        assert built.search("tides") == []
        built.add(BLANK[2:], quiet=True)
        assert [hit.document_id for hit in built.search("tides")] == ["words"]


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_query_without_a_scoreable_token_finds_nothing(retriever, multi_vector_folder, device):
    with Retriever(retriever.home.index, device=device) as opened:
        for exact in (True, False):
            found = opened.search_many(["...", "tides", "[SEP] [MASK]"], 3, exact=exact)
            assert [len(hits) for hits in found] == [0, 3, 0]
        assert opened.run({"a": "?"}) == {"a": {}}
        assert opened.rerank("—", [CORPUS[0].id]) == []
        assert opened.matchable(["...", "tides"]) == [False, True]
    assert rerank(multi_vector_folder, "...", CORPUS) == []


def test_reranking_orders_as_searching_does(retriever, multi_vector_folder, encoder):
    for number, query in enumerate(QUERIES):
        found = retriever.search(query, k=len(CORPUS))
        # A folder is opened for each call: for one query.
        for model in (encoder,) if number else (encoder, multi_vector_folder, str(multi_vector_folder)):
            ranked = rerank(model, query, CORPUS, k=len(CORPUS))
            # The index keeps eight bits: scores agree to rounding, and so does their order.
            stored = {hit.document_id: hit.score for hit in found}
            assert {hit.document_id: hit.score for hit in ranked} == pytest.approx(stored, abs=0.06)
            in_order = [stored[hit.document_id] for hit in ranked]
            assert all(later <= earlier + 0.12 for earlier, later in itertools.pairwise(in_order))
        assert rerank(encoder, query, CORPUS, k=3) == rerank(encoder, query, CORPUS, k=len(CORPUS))[:3]


def test_an_indexs_own_encoder_orders_and_explains_as_the_model_does(retriever, multi_vector_folder):
    folder = retriever.index.folder
    long = Document("long", "a long document, " * 400)
    for query in QUERIES:
        theirs = rerank(multi_vector_folder, query, [*CORPUS, long], k=99, quiet=True)
        for place in (folder, folder / "encoder"):
            ours = rerank(place, query, [*CORPUS, long], k=99, quiet=True)
            assert {hit.document_id for hit in ours} == {hit.document_id for hit in theirs}
            scores = {hit.document_id: hit.score for hit in theirs}
            np.testing.assert_allclose(
                [hit.score for hit in ours], [scores[hit.document_id] for hit in ours], atol=1e-4
            )
        best = rerank(folder, query, CORPUS, k=1, explain=True, quiet=True)[0]
        assert best.snippet
        document = next(document for document in CORPUS if document.id == best.document_id)
        with Retriever(folder) as opened:
            assert opened.explain_text(query, document.content).score == pytest.approx(best.score, abs=1e-4)


def test_a_damaged_encoder_is_refused_before_documents_are_read(retriever, tmp_path):
    shutil.copytree(retriever.index.folder / "encoder", tmp_path / "encoder")
    (tmp_path / "encoder" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(FolderError, match="model.onnx"):
        rerank(tmp_path / "encoder", "tides", tmp_path / "no-such-file.jsonl")


def test_reranking_orders_ties_by_id(encoder):
    hits = rerank(encoder, "the sea", [Document(identity, "the sea") for identity in "cab"])
    assert [(hit.rank, hit.document_id) for hit in hits] == [(1, "c"), (2, "b"), (3, "a")]


def test_reranking_says_which_of_the_given_documents_a_hit_is(
    encoder, retriever, tardif, multi_vector_folder, tmp_path
):
    texts = ["bread", "the sea", "the tides", "the sea", "bread and the sea"]
    hits = tardif_package.rerank(encoder, "the sea", texts)
    assert sorted(hit.position for hit in hits) == [0, 1, 2, 3, 4]
    assert all(hit.text == texts[hit.position] for hit in hits)
    copies = [hit for hit in hits if hit.text == "the sea"]
    assert [hit.position for hit in copies] == [1, 3]
    assert copies[0].score == copies[1].score
    rows = [{"id": "same", "text": "bread"}, {"id": "same", "text": "the sea", "when": datetime.date(2024, 2, 1)}]
    by_id = rerank(encoder, "the sea", rows)
    assert {(hit.document_id, hit.position) for hit in by_id} == {("same", 0), ("same", 1)}
    assert {hit.as_json()["metadata"].get("when") for hit in by_id} == {None, "2024-02-01"}
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    code, out, _ = tardif("rerank", multi_vector_folder, "the sea", "--documents", path, "--json")
    assert code == 0
    assert [hit["position"] for hit in json.loads(out)["hits"]] == [hit.position for hit in hits]
    ids = [document.id for document in CORPUS[:3]]
    stored = retriever.rerank("the sea", [ids[2], ids[0], ids[2], ids[1]])
    assert {hit.document_id: hit.position for hit in stored} == {ids[2]: 0, ids[0]: 1, ids[1]: 3}
    assert "position" not in retriever.search("the sea")[0].as_json()


@pytest.mark.parametrize("query", ["", "  \n", None, 3])
def test_an_empty_query_is_refused(retriever, encoder, query):
    for search in (retriever.search, lambda q: rerank(encoder, q, CORPUS), lambda q: retriever.run({"q": q})):
        with pytest.raises(SettingError, match="query is empty"):
            search(query)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", None])
def test_k_is_a_whole_number_from_1(retriever, encoder, k):
    for search in (lambda: retriever.search("sea", k), lambda: rerank(encoder, "sea", CORPUS, k)):
        with pytest.raises(SettingError, match="k="):
            search()


def test_nothing_to_index_or_rerank_is_refused(multi_vector_folder, encoder, tmp_path):
    with pytest.raises(DataError, match="empty"):
        Retriever.build(multi_vector_folder, [], tmp_path / "index", quiet=True)
    with pytest.raises(DataError, match=r"same|ids must be unique"):
        Retriever.build(multi_vector_folder, [Document("a", "x"), Document("a", "y")], tmp_path / "index", quiet=True)
    with pytest.raises(DataError, match="empty"):
        rerank(encoder, "sea", [])
    assert list(tmp_path.iterdir()) == []


def test_only_a_late_interaction_model_can_index(dense_folder, tmp_path):
    with pytest.raises(ModelError, match="not a late-interaction model"):
        Retriever.build(dense_folder, CORPUS, tmp_path / "index", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_refused_before_the_model_is_read(place):
    with pytest.raises(FolderError, match="already exists"):
        Retriever.build(place / "no such model", CORPUS, place / "index")


def test_index_and_model_moved_together_still_open(place):
    hits = Retriever(place / "index").search(QUERIES[0])
    moved = place.rename(place.with_name("moved"))
    assert Retriever(moved / "index").search(QUERIES[0]) == hits


def test_an_index_is_opened_in_a_home_folder(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    with Retriever("~/index") as opened, pickle.loads(pickle.dumps(opened)) as other:
        assert opened.index.folder == other.index.folder == place / "index"


def test_a_copy_of_index_and_model_does_not_look_back_at_the_original(place):
    copy = place.with_name("copy")
    shutil.copytree(place, copy)
    assert Retriever(copy / "index").home.path == copy / "model"
    (place / "model" / "config.json").write_text("{}")  # trained anew, say
    assert Retriever(copy / "index", device="cpu").search(QUERIES[0])


def test_an_index_is_searched_without_its_model(place):
    before = Retriever(place / "index").search_many(QUERIES, k=5)
    shutil.rmtree(place / "model")
    assert Retriever(place / "index").search_many(QUERIES, k=5) == before


def test_a_model_moved_alone_is_named_once_and_remembered(place, monkeypatch):
    elsewhere = (place / "model").rename(place / "elsewhere")
    for use in (lambda: Retriever(place / "index", device="cpu"), lambda: Retriever(place / "index").add(["a text"])):
        with pytest.raises(FolderError, match="--model"):
            use()
    with pytest.raises(FolderError):
        Retriever(place / "index", model=place / "nowhere")
    monkeypatch.chdir(place)  # what is remembered must not depend on where one stands
    assert len(Retriever("index", model="elsewhere").search(QUERIES[0], k=4)) == 4
    monkeypatch.chdir("/")
    with Retriever(place / "index") as opened:
        assert opened.add(["a text"], quiet=True) == (1, 0)
        assert opened.home.path == elsewhere
    assert Retriever(place / "index", device="cpu").home.path == elsewhere
    moved = place.rename(place.with_name("moved"))
    assert Retriever(moved / "index", device="cpu").home.path == moved / "elsewhere"


def test_a_moved_model_is_named_in_a_home_folder(place, monkeypatch):
    elsewhere = (place / "model").rename(place / "elsewhere")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    with Retriever("~/index", model="~/elsewhere") as opened:
        assert opened.home.path == elsewhere
        opened.use_query_encoder("~/index/encoder")
        assert opened.search(QUERIES[0])
    # Remembered as a place that does not depend on whose home it was.
    assert json.loads(DiskIndex(place / "index").note("model place"))["path"] == str(elsewhere)


def test_another_model_is_not_remembered(place):
    before = DiskIndex(place / "index").note("model place")
    shutil.copytree(place / "model", place / "other")
    (place / "other" / "config.json").write_text("{}")
    with pytest.raises(FolderError, match="not the one"):
        Retriever(place / "index", model=place / "other")
    assert Retriever(place / "index", device="cpu").home.path == place / "model"
    Retriever(place / "index", model=place / "model")  # where it is known to be: nothing is written
    assert DiskIndex(place / "index").note("model place") == before is None


def test_an_index_that_cannot_be_written_is_searched_with_a_moved_model(place, monkeypatch):
    def refuse(self, name, value=None):
        if value is not None:
            raise FolderError("read only")

    elsewhere = (place / "model").rename(place / "elsewhere")
    with monkeypatch.context() as patch:
        patch.setattr(DiskIndex, "note", refuse)
        assert Retriever(place / "index", model=elsewhere).home.path == elsewhere


@pytest.mark.parametrize("file", ["model.safetensors", "config_sentence_transformers.json", "tokenizer.json"])
def test_a_model_that_changed_since_encodes_nothing_for_the_index(place, file):
    path = place / "model" / file
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1) if path.suffix == ".json" else path.read_bytes() + b"x")
    for use in (lambda: Retriever(place / "index", device="cpu"), lambda: Retriever(place / "index").add(["a text"])):
        with pytest.raises(FolderError, match="not the one"):
            use()


def test_the_exported_encoder_answers_as_the_model(place):
    light, whole = Retriever(place / "index"), Retriever(place / "index", device="cpu")
    for one, other in zip(light.search_many(QUERIES, 20), whole.search_many(QUERIES, 20), strict=True):
        scores = {hit.document_id: hit.score for hit in one}
        assert scores == pytest.approx({hit.document_id: hit.score for hit in other}, abs=1e-3)


def test_documents_are_added_replaced_and_deleted(place):
    with Retriever(place / "index") as retriever:
        added = [Document("new", "a text about tides and the moon"), Document(CORPUS[3].id, "quite another text")]
        assert retriever.add(added, quiet=True) == (2, 1)
        assert len(retriever) == len(CORPUS) + 1
        texts = {hit.document_id: hit.text for hit in retriever.search(QUERIES[0], k=50)}
        assert texts["new"] == added[0].text
        assert texts[CORPUS[3].id] == added[1].text
        assert retriever.delete(["new", "nobody"]) == 1
        assert "new" not in {hit.document_id for hit in retriever.search(QUERIES[0], k=50)}
    fresh = Retriever.build(place / "model", [*CORPUS[:3], added[1], *CORPUS[4:]], place / "fresh", quiet=True)
    with Retriever(place / "index") as retriever:
        for query in QUERIES:
            scores = {hit.document_id: hit.score for hit in retriever.search(query, 50)}
            assert scores == pytest.approx({hit.document_id: hit.score for hit in fresh.search(query, 50)}, abs=0.02)


def test_a_filter_chooses_documents_before_they_are_scored(retriever):
    for where in ("number >= 5 and number < 8", {"number": {">=": 5, "<": 8}}):
        hits = retriever.search(QUERIES[0], k=10, where=where)
        assert {hit.metadata["number"] for hit in hits} == {5, 6, 7}
    with pytest.raises(SettingError, match="number"):
        retriever.search(QUERIES[0], where="number >=")


def test_stored_documents_are_reranked_without_encoding_them(retriever):
    scores = {hit.document_id: hit.score for hit in retriever.search(QUERIES[0], k=20)}
    ids = [document.id for document in CORPUS[4:9]]
    hits = retriever.rerank(QUERIES[0], ids, k=3)
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [(hit.document_id, hit.score) for hit in hits] == sorted(
        ((identity, scores[identity]) for identity in ids), key=lambda hit: (hit[1], hit[0]), reverse=True
    )[:3]
    with pytest.raises(DataError, match="nobody"):
        retriever.rerank(QUERIES[0], ["nobody"])


@pytest.mark.parametrize("bits", [16, 8, 4, 2])
def test_every_number_of_bits_finds_the_best(multi_vector_folder, tmp_path, retriever, bits):
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", bits=bits, quiet=True) as other:
        best = retriever.search(CORPUS[2].text, k=1)[0].document_id
        assert best in {hit.document_id for hit in other.search(CORPUS[2].text, k=3)}


def test_pooling_keeps_fewer_vectors(multi_vector_folder, tmp_path, retriever):
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", pool=2, quiet=True) as pooled:
        tokens = [sum(segment.tokens for segment in r.index.view().segments) for r in (pooled, retriever)]
        assert tokens[0] < 0.7 * tokens[1]
        pooled.add(["one more text about bread and how long it must be in the oven"], quiet=True)
        assert len(pooled.search(QUERIES[1], k=50)) == len(CORPUS) + 1
    with pytest.raises(SettingError, match="pool"):
        Retriever.build(multi_vector_folder, CORPUS, tmp_path / "other", pool=0.5, quiet=True)


def test_documents_encoded_into_memory_are_searched_as_an_index_is(multi_vector_folder, encoder, retriever):
    for model in (multi_vector_folder, encoder):
        memory = Retriever.encode(model, CORPUS[:15], quiet=True)
        assert memory.add(CORPUS[10:], quiet=True) == (10, 5)
        assert len(memory) == len(CORPUS)
        for query in QUERIES:
            found = memory.search(query, k=len(CORPUS), where="number >= 3")
            expected = {hit.document_id: hit.score for hit in retriever.search(query, k=50, where="number >= 3")}
            assert {hit.document_id: hit.score for hit in found} == pytest.approx(expected, abs=0.06)
            assert found[0].text == next(d.text for d in CORPUS if d.id == found[0].document_id)
        assert [hit.rank for hit in memory.rerank(QUERIES[0], [d.id for d in CORPUS[:4]])] == [1, 2, 3, 4]
        memory.delete([CORPUS[0].id])
        assert CORPUS[0].id not in {hit.document_id for hit in memory.search(CORPUS[0].text, k=50)}


def test_an_opened_model_cannot_cut(encoder, tmp_path):
    (tmp_path / "text.md").write_text("# A title\n\nSome text.\n")
    with pytest.raises(SettingError, match="chunk=None"):
        Retriever.encode(encoder, tmp_path / "text.md", quiet=True)
    assert len(Retriever.encode(encoder, tmp_path / "text.md", chunk=None, quiet=True)) == 1


def test_documents_in_memory_are_cut_by_the_tokens_of_their_model(multi_vector_folder, tmp_path):
    long = " ".join(tiny.SENTENCES)
    (tmp_path / "text.md").write_text(long)
    for corpus, chunk in (([{"id": "a", "text": long}], np.int64(32)), ([long], 32), (tmp_path / "text.md", "auto")):
        memory = Retriever.encode(multi_vector_folder, corpus, chunk=chunk, quiet=True)
        (first,) = memory.index.sources()
        assert len(memory.index.get([first])) > 1
        assert memory.add([{"id": "b", "text": long}], chunk=32, quiet=True) == (1, 0)
        assert len(memory.index.get(["b"])) > 1
        assert len(memory) == 2


def test_an_interrupted_build_goes_on_with_what_was_not_indexed(multi_vector_folder, tmp_path, monkeypatch):
    for name, value in {"BLOCK": 5, "_PART": 5, "centroid_count": lambda tokens: 10}.items():
        monkeypatch.setattr(build, name, value)
    encoded = []

    def encode(model, texts, *how):
        if len(encoded) >= 10 and not resumed:
            raise KeyboardInterrupt
        encoded.extend(texts)
        return document_vectors(model, texts, *how)

    resumed = False
    monkeypatch.setattr(build, "document_vectors", encode)
    with pytest.raises(KeyboardInterrupt):
        Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", quiet=True)
    assert not (tmp_path / "index").exists()
    resumed = True
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", quiet=True) as retriever:
        assert sorted(encoded) == sorted(document.content for document in CORPUS)
        assert len(retriever) == len(CORPUS)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


BUILDING = """
import sys
from pathlib import Path
from tardif.search.build import BuildOptions, _under_way
options = BuildOptions(overwrite=True)
with _under_way(Path(sys.argv[1]), {"bits": 8, "pool": 1.0, "words": None, "model": {}}, options) as index:
    print(index.folder.name, flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_builds_at_one_place_is_refused(multi_vector_folder, tmp_path):
    command = [sys.executable, "-c", BUILDING, str(tmp_path / "index")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == ".index.indexing"
        with pytest.raises(FolderError, match=f"index is being written by process {other.pid} on"):
            Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", overwrite=True, quiet=True)
        with (
            pytest.raises(FolderError, match="index is being"),
            build._under_way(tmp_path / "index", {}, build.BuildOptions(overwrite=True)),
        ):
            pass
        assert (tmp_path / ".index.indexing" / "manifest.json").exists()
        other.kill()
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", quiet=True) as retriever:
        assert len(retriever) == len(CORPUS)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_build_that_cannot_be_published_is_gone_on_with(multi_vector_folder, tmp_path, monkeypatch):
    def full(aside, place):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(build, "publish", full)
        with pytest.raises(FolderError, match="No space left"):
            Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", quiet=True)
    monkeypatch.setattr(build, "document_vectors", None)
    with Retriever.build(multi_vector_folder, CORPUS, tmp_path / "index", quiet=True) as retriever:
        assert len(retriever) == len(CORPUS)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_what_was_left_beside_the_encoder_is_not_published(multi_vector_folder, tmp_path):
    def left(folder):
        (folder / ".encoder.lock").touch()
        (folder / ".encoder.0123abcd.partial").mkdir()

    options = build.BuildOptions(overwrite=True)
    with build._under_way(tmp_path / "index", {"bits": 8, "pool": 1.0, "words": None, "model": {}}, options) as index:
        left(index.folder)
    assert not [path.name for path in (tmp_path / "index").iterdir() if path.name.startswith(".encoder")]


def test_an_index_is_replaced_where_a_link_leads(multi_vector_folder, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "index").symlink_to("far")
    for overwrite in (False, True):
        with Retriever.build(
            multi_vector_folder, CORPUS, tmp_path / "index", overwrite=overwrite, quiet=True
        ) as retriever:
            assert len(retriever) == len(CORPUS)
    assert (tmp_path / "index").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "index"]


def test_an_index_that_was_moved_aside_by_a_killed_process_is_found(place, caplog):
    (place / "index").rename(place / ".index.0123abcd.old")
    with Retriever(place / "index") as retriever:
        assert len(retriever) == len(CORPUS)
    (place / "model").rename(place / ".model.0123abcd.old")
    with Retriever.build(place / "model", CORPUS, place / "index", overwrite=True, quiet=True):
        assert caplog.text.count("was put back") == 2


def test_notes_beside_a_model_do_not_count_as_change(place):
    (place / "model" / "results.json").write_text("{}")
    (place / "model" / "README.md").write_text("# A model")
    Retriever(place / "index")


def test_a_fingerprint_does_not_depend_on_the_place(place):
    shutil.copytree(place / "model", place / "copy")
    assert fingerprint(place / "copy") == fingerprint(place / "model")


def test_an_index_whose_manifest_lacks_the_model_is_damaged(place):
    path = place / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["model"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(FolderError):
        Retriever(place / "index")
