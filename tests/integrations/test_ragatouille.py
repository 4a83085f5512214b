"""RAGatouille's scripts run with the import changed: signatures, shapes, and the defects that are not kept."""

import importlib
import inspect
import json
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from tardif.ragatouille.data import CorpusProcessor, TrainingDataProcessor, llama_index_sentence_splitter
from tardif.ragatouille.utils import seeded_shuffle

import tiny
from tardif.errors import DataError, FolderError, ModelError, OtherRunError, SettingError
from tardif.ragatouille import RAGPretrainedModel, RAGTrainer

MOON, BREAD, PARIS = "The moon pulls the sea and makes the tides.", "Bake the bread for forty minutes.", "It is Paris."
DOCUMENTS = [MOON, BREAD, PARIS]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rag(multi_vector_folder):
    return RAGPretrainedModel.from_pretrained(multi_vector_folder, verbose=0)


def pairs(count=12):
    sentences = [text for text in tiny.SENTENCES if len(text.split()) > 4][:count]
    return [(f"what about {text.lower()[:30]}", text) for text in sentences]


# RAGatouille 0.0.9's public calls: what a script may pass, in order, with the defaults it may rely on.
SIGNATURES = {
    (RAGTrainer, "__init__"): "model_name pretrained_model_name language_code='en' n_usable_gpus=-1",
    (RAGTrainer, "prepare_training_data"): "raw_data all_documents=None data_out_path='./data/' num_new_negatives=10 "
    "hard_negative_minimum_rank=10 mine_hard_negatives=True hard_negative_model_size='small' pairs_with_labels=False "
    "positive_label=1 negative_label=0",
    (RAGTrainer, "train"): "batch_size=32 nbits=2 maxsteps=500000 use_ib_negatives=True learning_rate=5e-06 dim=128 "
    "doc_maxlen=256 use_relu=False warmup_steps='auto' accumsteps=1",
    (RAGTrainer, "add_documents"): "documents",
    (RAGTrainer, "export_training_data"): "path",
    (RAGPretrainedModel, "from_pretrained"): "pretrained_model_name_or_path n_gpu=-1 verbose=1 index_root=None",
    (RAGPretrainedModel, "from_index"): "index_path n_gpu=-1 verbose=1",
    (RAGPretrainedModel, "index"): "collection document_ids=None document_metadatas=None index_name=None "
    "overwrite_index=True max_document_length=256 split_documents=True document_splitter_fn=* preprocessing_fn=None "
    "bsize=32 use_faiss=False",
    (RAGPretrainedModel, "add_to_index"): "new_collection new_document_ids=None new_document_metadatas=None "
    "index_name=None split_documents=True document_splitter_fn=* preprocessing_fn=None bsize=32 use_faiss=False",
    (RAGPretrainedModel, "delete_from_index"): "document_ids index_name=None",
    (RAGPretrainedModel, "search"): "query index_name=None k=10 force_fast=False zero_index_ranks=False doc_ids=None",
    (RAGPretrainedModel, "rerank"): "query documents k=10 zero_index_ranks=False bsize='auto'",
    (RAGPretrainedModel, "encode"): "documents bsize='auto' document_metadatas=None verbose=True "
    "max_document_length='auto'",
    (RAGPretrainedModel, "search_encoded_docs"): "query k=10 bsize=32",
    (RAGPretrainedModel, "clear_encoded_docs"): "force=False",
    (RAGPretrainedModel, "as_langchain_document_compressor"): "k=5",
}


@pytest.mark.parametrize(("owner", "name"), SIGNATURES)
def test_signatures_are_ragatouilles(owner, name):
    def spelt(parameter):
        if parameter.default is parameter.empty:
            return parameter.name
        return f"{parameter.name}={'*' if callable(parameter.default) else repr(parameter.default)}"

    parameters = inspect.signature(getattr(owner, name)).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    assert " ".join(map(spelt, positional)) == SIGNATURES[owner, name]


def test_hits_have_ragatouilles_keys_and_ranks(rag):
    path = rag.index(DOCUMENTS, ["moon", "bread", "paris"], [{"n": 1}, {"n": 2}, {"n": 3}], "docs")
    assert Path(path) == Path(".ragatouille/colbert/indexes/docs")
    hits = rag.search("moon tides", k=2)
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert set(hits[0]) == {"content", "score", "rank", "document_id", "passage_id", "document_metadata"}
    assert [hit["rank"] for hit in rag.search("moon tides", k=2, zero_index_ranks=True)] == [0, 1]
    collection = json.loads(Path(path, "collection.json").read_text(encoding="utf-8"))
    for hit in hits:
        assert collection[hit["passage_id"]] == hit["content"]
        assert hit["document_metadata"] == {"n": ["moon", "bread", "paris"].index(hit["document_id"]) + 1}
    many = rag.search(["moon tides", "bread"], k=3)
    assert [len(found) for found in many] == [3, 3]
    assert rag.search(["moon tides"], k=2) == [hits]
    assert [hit["document_id"] for hit in rag.search("moon", doc_ids=["paris", "bread"])] != []
    assert {hit["document_id"] for hit in rag.search("moon", doc_ids=["paris"])} == {"paris"}
    assert {hit["document_id"] for hit in rag.search("moon", doc_ids=["paris", "bread"], where={"n": 2})} == {"bread"}
    # More than SQLite binds, and than a written filter may hold.
    assert {hit["document_id"] for hit in rag.search("moon", doc_ids=["paris", *map(str, range(40_000))])} == {"paris"}
    assert [hit["score"] for hit in rag.search("moon tides", force_fast=True, k=1)] == [hits[0]["score"]]


def test_without_metadata_there_is_none(rag):
    path = rag.index(DOCUMENTS, index_name="plain")
    assert not Path(path, "docid_metadata_map.json").exists()
    assert all("document_metadata" not in hit for hit in rag.search("moon"))


def test_add_and_delete_are_exact_and_last(rag):
    rag.index(DOCUMENTS, ["moon", "bread", "paris"], index_name="docs")
    rag.add_to_index(["A violin has four strings.", "The moon is made of rock."], ["violin", "moon"])
    rag.delete_from_index("bread")
    rag.delete_from_index(["nowhere"])
    again = RAGPretrainedModel.from_index(rag.index_path, verbose=0)
    for model in (rag, again):
        found = {hit["document_id"]: hit["content"] for hit in model.search("moon", k=10)}
        assert found == {"moon": "The moon is made of rock.", "paris": PARIS, "violin": "A violin has four strings."}
    owners = json.loads(Path(rag.index_path, "pid_docid_map.json").read_text(encoding="utf-8"))
    texts = json.loads(Path(rag.index_path, "collection.json").read_text(encoding="utf-8"))
    assert {owners[str(number)]: text for number, text in enumerate(texts)} == found


def test_passages_of_a_document_are_deleted_with_it(rag):
    long = " ".join(tiny.SENTENCES[:20])
    rag.index([long, PARIS], ["long", "paris"], index_name="cut", max_document_length=40)
    found = rag.search("the dog", k=50)
    assert len([hit for hit in found if hit["document_id"] == "long"]) > 2
    assert {hit["passage_id"] for hit in found} == set(range(len(found)))
    rag.delete_from_index(["long"])
    assert [hit["document_id"] for hit in rag.search("the dog", k=50)] == ["paris"]


def test_interrupted_changes_of_the_files_are_made_good(rag):
    path = Path(rag.index(DOCUMENTS, ["moon", "bread", "paris"], index_name="docs"))
    rag._retriever.delete(["bread"])  # as a process that is killed before it writes the files
    (path / "changing").touch()
    RAGPretrainedModel.from_index(path, verbose=0)
    assert json.loads((path / "pid_docid_map.json").read_text(encoding="utf-8")) == {"0": "moon", "1": "paris"}
    assert not (path / "changing").exists()


def test_an_index_of_ragatouille_is_encoded_again(rag, multi_vector_folder, tmp_path):
    old = tmp_path / "old" / "ghibli"
    old.mkdir(parents=True)
    # After a deletion RAGatouille keeps the numbers and closes the gaps among the texts.
    (old / "collection.json").write_text(json.dumps([MOON, "second", PARIS]), encoding="utf-8")
    (old / "pid_docid_map.json").write_text(json.dumps({"0": "a", "2": "a", "10": "b"}), encoding="utf-8")
    (old / "docid_metadata_map.json").write_text(json.dumps({"b": {"year": 1900}}), encoding="utf-8")
    (old / "metadata.json").write_text(
        json.dumps({"config": {"checkpoint": str(multi_vector_folder)}}), encoding="utf-8"
    )
    (old / "0.codes.pt").write_bytes(b"\x80\x04never opened")
    opened = RAGPretrainedModel.from_index(old, verbose=0)
    assert {(hit["document_id"], hit["content"]) for hit in opened.search("x", k=9)} == {
        ("a", MOON),
        ("a", "second"),
        ("b", PARIS),
    }
    assert [hit["document_metadata"] for hit in opened.search("x", doc_ids=["b"])] == [{"year": 1900}]
    assert (old / "0.codes.pt").read_bytes() == b"\x80\x04never opened"


def test_an_index_is_kept_reused_or_replaced_as_asked(rag):
    rag.index(DOCUMENTS, index_name="docs")
    with pytest.raises(FolderError, match="overwrite_index=True"):
        rag.index([MOON], index_name="docs", overwrite_index=False)
    rag.index([MOON], index_name="docs", overwrite_index="reuse")
    assert len(rag.search("moon")) == 3
    rag.index([MOON], index_name="docs")
    assert len(rag.search("moon")) == 1


def test_ids_are_those_of_the_texts(rag):
    rag.index([MOON, MOON, PARIS], index_name="one")
    first = sorted(hit["document_id"] for hit in rag.search("moon"))
    rag.index([MOON, MOON, PARIS], index_name="two")
    assert sorted(hit["document_id"] for hit in rag.search("moon")) == first
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"document_ids": ["a"]}, "same length"),
        ({"document_ids": ["a", "a", "b"]}, "unique"),
        ({"document_ids": ["a", " ", "b"]}, "empty"),
        ({"document_metadatas": [{}]}, "same length"),
    ],
)
def test_ids_and_metadata_must_fit(rag, options, words):
    with pytest.raises(ValueError, match=words):
        rag.index(DOCUMENTS, index_name="docs", **options)


def test_rerank_counts_from_one_and_takes_lists(rag):
    hits = rag.rerank("moon tides", DOCUMENTS, k=2)
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert all(DOCUMENTS[hit["result_index"]] == hit["content"] for hit in hits)
    assert set(hits[0]) == {"content", "score", "rank", "result_index"}
    assert [hit["rank"] for hit in rag.rerank("moon", DOCUMENTS, zero_index_ranks=True)] == [0, 1, 2]
    assert rag.rerank(["moon tides", "bread"], DOCUMENTS, k=2)[0] == hits
    alone = rag.rerank("moon tides", [hits[0]["content"]])[0]["score"]
    assert alone == pytest.approx(hits[0]["score"], abs=1e-3)


def test_documents_in_memory_are_added_searched_and_cleared(rag):
    rag.encode([MOON, BREAD], document_metadatas=[{"n": 1}, {"n": 2}])
    rag.encode([PARIS])
    hits = rag.search_encoded_docs("moon tides", k=3)
    assert {hit["result_index"]: hit["document_metadata"] for hit in hits} == {0: {"n": 1}, 1: {"n": 2}, 2: {}}
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert rag.search_encoded_docs(["moon tides", "bread"], k=3)[0] == hits
    rag.clear_encoded_docs(force=True)
    with pytest.raises(SettingError, match="call encode first"):
        rag.search_encoded_docs("moon")


def test_a_base_without_late_interaction_is_refused_at_once(base_folder):
    with pytest.raises(ModelError, match="RAGTrainer"):
        RAGPretrainedModel.from_pretrained(base_folder("bert"))


def test_without_an_index_search_says_what_to_do(rag):
    with pytest.raises(SettingError, match="build one with index"):
        rag.search("moon")
    with pytest.raises(FolderError, match="There is no index"):
        rag.search("moon", index_name="nowhere")


def test_what_means_nothing_is_said_once(rag):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rag.index([MOON], index_name="docs", use_faiss=True)
        rag.index([MOON], index_name="docs", use_faiss=True)
    assert [str(warning.message) for warning in caught] == ["use_faiss is ignored: no index needs faiss."]


def test_a_trainer_begins_empty_and_is_filled(base_folder):
    trainer = RAGTrainer("mine", base_folder("bert"), language_code="en", n_usable_gpus=0)
    assert (trainer.collection, trainer.queries, trainer.training_triplets) == ([], None, [])
    trainer.add_documents([BREAD])
    out = trainer.prepare_training_data(pairs(), all_documents=[PARIS], data_out_path="data", num_new_negatives=3)
    assert out == "data"
    assert trainer.queries == {query for query, _ in pairs()}
    assert set(trainer.collection) == {text for _, text in pairs()} | {PARIS, BREAD}
    positives = dict(pairs())
    queries, texts = list(dict.fromkeys(query for query, _ in pairs())), trainer.collection
    for query, positive, negative in trainer.training_triplets:
        assert texts[positive] == positives[queries[query]] != texts[negative]
    names = {path.name for path in Path("data").iterdir()}
    assert {"queries.train.colbert.tsv", "corpus.train.colbert.tsv", "triples.train.colbert.jsonl"} <= names
    before = {path.name: path.read_bytes() for path in Path("data").iterdir()}
    trainer.export_training_data("again")
    assert {path.name: path.read_bytes() for path in Path("again").iterdir()} == before


@pytest.mark.parametrize(
    ("raw", "labels", "queries", "collection"),
    [
        ([("Query1", "Document1"), ("Query2", "Document2")], False, {"Query1", "Query2"}, {"Document1", "Document2"}),
        (
            [("Query1", "Pos", "yes"), ("Query1", "Neg", "no"), ("Query2", "Other", "no")],
            True,
            {"Query1", "Query2"},
            {"Pos", "Neg", "Other"},
        ),
        ([("Query1", "Positive", "Negative")], False, {"Query1"}, {"Positive", "Negative"}),
        ([("Query1", ["A", "B"], ["C", "D"])], False, {"Query1"}, {"A", "B", "C", "D"}),
        ([("Query1", {"content": "A", "document_id": "x"}), ("Query2", "B")], False, {"Query1", "Query2"}, {"A", "B"}),
    ],
)
def test_raw_data_in_every_shape(base_folder, raw, labels, queries, collection):
    trainer = RAGTrainer("mine", base_folder("bert"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.prepare_training_data(raw, pairs_with_labels=labels, positive_label="yes", negative_label="no")
    assert (trainer.queries, set(trainer.collection)) == (queries, collection)


@pytest.mark.parametrize(
    "raw",
    [[("Query1")], [("Query1",)], [], [("Query1", "A"), ("Query2", "B", "C")], [(1, "A")], [("a", "b", "c", "d")]],
)
def test_raw_data_that_is_none(base_folder, raw):
    with pytest.raises(ValueError, match="raw_data"):
        RAGTrainer("mine", base_folder("bert")).prepare_training_data(raw)


def test_the_rank_window_holds():
    """RAGatouille mines the answer itself as a negative, since its window never takes effect."""
    texts = [f"The sea and the moon, part {number} of many." for number in range(30)]
    processor = TrainingDataProcessor(texts, ["the sea and the moon, part 3 of many"])
    processor.process_raw_data([("the sea and the moon, part 3 of many", texts[3])], "pairs", "data", export=False)
    assert processor.training_triplets
    assert all(negative != 3 for _, _, negative in processor.training_triplets)


def test_training_gives_a_checkpoint_with_the_users_name(base_folder):
    trainer = RAGTrainer("mine", base_folder("bert"))
    trainer.prepare_training_data(pairs(), num_new_negatives=2, hard_negative_minimum_rank=1)
    path = Path(trainer.train(batch_size=4, maxsteps=2, dim=16, doc_maxlen=32, accumsteps=2, learning_rate=1e-4))
    assert path == Path(".ragatouille/colbert/checkpoints/mine").absolute()
    settings = json.loads((path / "results.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["lr"], settings["grad_cache"], settings["max_steps"], settings["dim"]) == (1e-4, True, 2, 16)
    again = Path(trainer.train(batch_size=4, maxsteps=1, dim=16, use_ib_negatives=False))
    assert again.name == "mine-2"
    assert path.is_dir()
    model = RAGPretrainedModel.from_pretrained(path, verbose=0)
    assert len(model.rerank("moon", DOCUMENTS)) == 3


def test_a_colbert_keeps_its_width(multi_vector_folder):
    trainer = RAGTrainer("mine", multi_vector_folder)
    trainer.prepare_training_data(pairs(), num_new_negatives=2, hard_negative_minimum_rank=1)
    path = Path(trainer.train(batch_size=4, maxsteps=1))  # dim=128 broke every other width
    assert json.loads((path / "results.json").read_text(encoding="utf-8"))["settings"]["dim"] == 16


def test_a_corpus_is_cut_and_preprocessed():
    processor = CorpusProcessor(preprocessing_fn=[lambda passages, ids: [p | {"n": 1} for p in passages], list_of])
    found = processor.process_corpus([" ".join(tiny.SENTENCES[:20])], chunk_size=40)
    assert len(found) > 3
    assert {passage["n"] for passage in found} == {1}
    assert len({passage["document_id"] for passage in found}) == 1
    assert CorpusProcessor(None).process_corpus([MOON]) == [MOON]
    assert len(llama_index_sentence_splitter([MOON, PARIS], ["a", "b"])) == 2


def list_of(passages, ids):
    return list(passages)


def test_a_miner_of_ones_own_is_asked():
    class Miner:
        def mine_hard_negatives(self, query):
            return [MOON, BREAD, PARIS]

    processor = TrainingDataProcessor(DOCUMENTS, ["the moon?"], Miner())
    processor.process_raw_data([("the moon?", MOON)], "pairs", "data", export=False, num_new_negatives=1)
    assert processor.training_triplets == [[0, 0, 1]]


def test_a_shuffle_is_the_same_in_every_process():
    assert seeded_shuffle(list(range(6))) == seeded_shuffle(list(range(6)))


# What a user of RAGatouille meets at the edges.


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("data.corpus_processor", "CorpusProcessor"),
        ("data.preprocessors", "llama_index_sentence_splitter"),
        ("data.training_data_processor", "TrainingDataProcessor"),
    ],
)
def test_ragatouilles_longer_module_names_lead_to_the_same(module, name):
    found = getattr(importlib.import_module(f"tardif.ragatouille.{module}"), name)
    assert found is getattr(importlib.import_module("tardif.ragatouille.data"), name)


def test_an_index_may_have_any_name_but_no_path(rag):
    for name in ("índex 日本", "My Index"):
        rag.index([MOON], index_name=name)
        assert RAGPretrainedModel.from_index(rag.index_path, verbose=0).search("moon")
    for name in ("../x", "a/b", "a\\b", ".", "..", "x" * 300, "a\0"):
        with pytest.raises(SettingError, match="index_name"):
            rag.index([MOON], index_name=name)
        with pytest.raises(SettingError, match="index_name"):
            rag.search("moon", index_name=name)


@pytest.mark.parametrize("collection", [[], "one text", ["a", None], ["a", 3], {"a": "b"}])
def test_a_collection_that_is_none_leaves_nothing(rag, collection):
    with pytest.raises(DataError):
        rag.index(collection, index_name="none")
    assert not Path(".ragatouille/colbert/indexes/none").exists()


def test_ids_of_users_are_found_and_deleted_as_given(rag):
    rag.index([MOON, BREAD, PARIS], [1, 2, 3], [{"n": 1}, None, {}], index_name="numbers")
    assert [hit["document_id"] for hit in rag.search("moon", doc_ids=[1])] == ["1"]
    assert {hit["document_id"] for hit in rag.search("moon", doc_ids=[1, 2], where="n = 1")} == {"1"}
    assert rag.search("moon", doc_ids=[]) == []
    rag.delete_from_index(2)
    assert {hit["document_id"] for hit in rag.search("moon")} == {"1", "3"}
    for ids in (["x", 1, "y"], ["x", None, "y"], ["", "a", "b"]):
        with pytest.raises(ValueError, match="document_ids"):
            rag.index(DOCUMENTS, ids, index_name="mixed")


def test_an_id_that_ends_like_a_pieces_is_no_piece(rag):
    rag.index([" ".join(tiny.SENTENCES[:20]), PARIS], ["a/b", "a/b#1"], index_name="marks", max_document_length=40)
    rag.delete_from_index("a/b")
    assert [hit["document_id"] for hit in rag.search("the dog", k=50)] == ["a/b#1"]


def test_another_process_changes_the_index(rag):
    rag.index(DOCUMENTS, ["moon", "bread", "paris"], index_name="shared")
    other = RAGPretrainedModel.from_index(rag.index_path, verbose=0)
    other.search("moon")
    rag.add_to_index(["A violin has four strings."], ["violin"])
    rag.delete_from_index("moon")
    texts = json.loads(Path(rag.index_path, "collection.json").read_text(encoding="utf-8"))
    found = other.search("moon")
    assert {hit["document_id"] for hit in found} == {"bread", "paris", "violin"}
    assert all(texts[hit["passage_id"]] == hit["content"] for hit in found)


def test_an_index_that_cannot_be_opened_leaves_the_one_in_use(rag):
    rag.index(DOCUMENTS, index_name="docs")
    with pytest.raises(FolderError, match="nowhere"):
        rag.search("moon", index_name="nowhere")
    assert len(rag.search("moon")) == 3


def test_a_model_given_by_a_relative_path_is_found_from_elsewhere(multi_vector_folder, tmp_path, monkeypatch):
    shutil.copytree(multi_vector_folder, tmp_path / "here")
    rag = RAGPretrainedModel.from_pretrained("here", verbose=0)
    path = Path(rag.index([MOON], index_name="docs")).absolute()
    (path / "metadata.json").write_text("{", encoding="utf-8")  # RAGatouille's file; the index knows its model
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    again = RAGPretrainedModel.from_index(path, verbose=0)
    assert again.rerank("moon", [MOON, BREAD])
    again.add_to_index([PARIS])
    assert len(again.search("moon")) == 2


def test_nothing_added_encoded_or_reranked_is_no_error(rag):
    rag.index(DOCUMENTS, index_name="docs")
    rag.add_to_index([])
    rag.encode([], verbose=False)
    assert rag.rerank("moon", []) == rag.search_encoded_docs("moon") == []
    rag.encode([MOON], document_metadatas=[None], verbose=False)
    assert len(rag.search_encoded_docs("moon")) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pid_docid_map.json", '{"a": "b", "c": "d"}'),
        ("pid_docid_map.json", '{"0": "a", "1": null}'),
        ("metadata.json", '{"config": 3}'),
        ("docid_metadata_map.json", "[1]"),
    ],
)
def test_damaged_files_of_ragatouille_are_reported(multi_vector_folder, tmp_path, file, text):
    config = {"config": {"checkpoint": str(multi_vector_folder)}}
    whole = {"collection.json": ["x", "y"], "pid_docid_map.json": {"0": "a", "1": "b"}, "metadata.json": config}
    for name, value in whole.items():
        (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(FolderError, match=file):
        RAGPretrainedModel.from_index(tmp_path, verbose=0)


def test_raw_data_as_scripts_have_it(base_folder):
    trainer = RAGTrainer("shapes", base_folder("bert"))
    raw = ((query, [{"content": text}]) for query, text in [*pairs(6), ("an empty one", "")])
    trainer.prepare_training_data(raw, [{"content": MOON}, "", 3], "data", mine_hard_negatives=False)
    assert MOON in trainer.collection
    assert trainer.training_triplets
    for wrong, words in [([("q", "d", 1)], "pairs_with_labels"), ([("q", None)], "None"), ([{"query": "q"}], "pairs")]:
        with pytest.raises(ValueError, match=words):
            trainer.prepare_training_data(wrong)
    with pytest.raises(ValueError, match="two labels"):
        trainer.prepare_training_data([("q", "d", 1)], pairs_with_labels=True, negative_label=1)


def test_texts_with_white_space_around_them_are_the_same_documents(base_folder):
    trainer = RAGTrainer("space", base_folder("bert"))
    spaced = [(f" {query}\n", f"\n{text} \n") for query, text in pairs(6)]
    trainer.prepare_training_data(spaced, data_out_path="data", mine_hard_negatives=False, num_new_negatives=2)
    assert trainer.training_triplets


def test_settings_that_cannot_be_used_are_named(base_folder):
    trainer = RAGTrainer("named", base_folder("bert"))
    trainer.prepare_training_data(pairs(6), data_out_path="data", num_new_negatives=0)
    with pytest.raises(SettingError, match="batch_size"):
        trainer.train(batch_size=0)
    with pytest.raises(SettingError, match="use_ib_negatives"):
        trainer.train(use_ib_negatives=False)


def test_an_unfinished_training_with_other_settings_keeps_its_folder(base_folder, monkeypatch):
    trainer = RAGTrainer("again", base_folder("bert"))
    trainer.prepare_training_data(pairs(6), data_out_path="data", mine_hard_negatives=False)
    tried = []

    def train(self, *, resume, **settings):
        tried.append(self.name)
        if self.name == "again":
            raise OtherRunError(f"The unfinished run differs: lr. {OtherRunError.WAY_OUT}")
        return SimpleNamespace(path=self.path)

    monkeypatch.setattr("tardif.training.trainer.Trainer.train", train)
    assert Path(trainer.train(learning_rate=1e-5)).name == "again-2"
    assert tried == ["again", "again-2"]
