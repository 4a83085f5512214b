import numpy as np
import pytest

import tiny
from tardif.errors import DataError, ModelError, SettingError
from tardif.mining import dense
from tardif.mining.dense import MODELS, MULTILINGUAL, DenseSearcher, dense_model
from tardif.text.languages import language
from tardif.types import Document

DOCUMENTS = [Document(f"d{n:02}", text) for n, text in enumerate(tiny.SENTENCES[:12])]
QUERIES = ["the cat and the dog", "vectors per token", "Paris"]


def model(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def cosines(folder, queries=QUERIES, query_prefix="", document_prefix=""):
    loaded = model(folder)
    q = loaded.encode([query_prefix + text for text in queries], normalize_embeddings=True)
    d = loaded.encode([document_prefix + document.content for document in DOCUMENTS], normalize_embeddings=True)
    return q @ d.T


def test_the_best_by_cosine_come_first(dense_folder):
    hits = DenseSearcher(DOCUMENTS, model=dense_folder).search(QUERIES, 4)
    for row, ranking in zip(cosines(dense_folder), hits, strict=True):
        assert [identity for identity, _ in ranking] == [f"d{n:02}" for n in np.argsort(-row, kind="stable")[:4]]
        assert [score for _, score in ranking] == pytest.approx(sorted(row.tolist(), reverse=True)[:4], abs=1e-5)


def test_scores_are_cosines(dense_folder):
    searcher = DenseSearcher(DOCUMENTS, model=dense_folder)
    scores = searcher.score(QUERIES, [["d03", "d00"], [], ["d11"]])
    expected = cosines(dense_folder)
    assert scores[0] == pytest.approx([expected[0, 3], expected[0, 0]], abs=1e-5)
    assert scores[1] == []
    assert scores[2] == pytest.approx([expected[2, 11]], abs=1e-5)
    with pytest.raises(DataError, match="'dx'"):
        searcher.score(["a"], [["dx"]])


def test_blocks_change_nothing(dense_folder, monkeypatch):
    whole = DenseSearcher(DOCUMENTS, model=dense_folder).search(QUERIES, 5)
    monkeypatch.setattr(dense, "_QUERIES", 2)
    monkeypatch.setattr(dense, "_COSINES", 10)
    monkeypatch.setattr(dense, "_BLOCK", 5)
    blocks = DenseSearcher(DOCUMENTS, model=dense_folder).search(QUERIES, 5)
    assert [[i for i, _ in hits] for hits in blocks] == [[i for i, _ in hits] for hits in whole]


def test_prefixes_go_before_the_texts(dense_folder):
    searcher = DenseSearcher(DOCUMENTS, model=dense_folder, query_prefix="the cat ", document_prefix="sat on ")
    expected = cosines(dense_folder, query_prefix="the cat ", document_prefix="sat on ")
    ids = [document.id for document in DOCUMENTS]
    assert searcher.score(QUERIES, [ids] * 3) == [pytest.approx(row.tolist(), abs=1e-5) for row in expected]


def test_a_model_s_own_prompts_are_used(dense_folder, tmp_path):
    saved = model(dense_folder)
    saved.prompts = {"query": "the cat ", "passage": "sat on "}
    saved.save_pretrained(str(tmp_path / "prompted"), create_model_card=False)
    searcher = DenseSearcher(DOCUMENTS, model=tmp_path / "prompted")
    expected = cosines(dense_folder, query_prefix="the cat ", document_prefix="sat on ")
    assert searcher.score(["Paris"], [["d05"]])[0] == pytest.approx([expected[2, 5]], abs=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "colbert"])
def test_a_base_that_is_no_dense_model_is_mean_pooled(kind, base_folder, multi_vector_folder):
    folder = base_folder("bert") if kind == "encoder" else multi_vector_folder
    searcher = DenseSearcher(DOCUMENTS, model=folder)
    assert searcher.search(["The cat sat on the mat, and the dog slept by the door."], 1)[0][0][0] == "d02"


def test_without_a_hub_the_base_takes_the_model_s_place_and_that_is_said(dense_folder):
    searcher = DenseSearcher(DOCUMENTS, language="de-AT", base=dense_folder)
    [note] = searcher.notes
    assert "multilingual-e5-small" in note
    assert str(dense_folder) in note
    assert searcher.search(QUERIES, 3) == DenseSearcher(DOCUMENTS, model=dense_folder).search(QUERIES, 3)
    assert DenseSearcher(DOCUMENTS, model=dense_folder).notes == []


def test_a_model_that_was_named_is_never_replaced(dense_folder):
    with pytest.raises(ModelError, match="no/such-model"):
        DenseSearcher(DOCUMENTS, model="no/such-model", base=dense_folder)


@pytest.mark.parametrize(
    ("code", "size", "name", "query", "document"),
    [
        ("EN", "small", "BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("zho", "large", "BAAI/bge-large-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", ""),
        ("fr-CA", "base", "OrdalieTech/Solon-embeddings-base-0.1", "query : ", ""),
        ("sw", "base", "intfloat/multilingual-e5-base", "query: ", "passage: "),
    ],
)
def test_each_language_has_its_model_and_prefixes(code, size, name, query, document):
    chosen = dense_model(language(code), size)
    assert (chosen.name, chosen.query_prefix, chosen.document_prefix) == (name, query, document)


def test_every_size_of_every_language_is_there():
    for table in (*MODELS.values(), MULTILINGUAL):
        assert list(table) == list(dense.SIZES)
    with pytest.raises(SettingError, match="'huge'"):
        dense_model(language("en"), "huge")


def test_a_cache_is_used_again_and_only_by_the_same_model(dense_folder, base_folder, tmp_path, monkeypatch):
    first = DenseSearcher(DOCUMENTS, model=dense_folder, cache=tmp_path).search(QUERIES, 3)
    assert len(list(tmp_path.iterdir())) == 1
    DenseSearcher(DOCUMENTS, model=dense_folder, cache=tmp_path, document_prefix="passage: ")
    DenseSearcher(DOCUMENTS, model=base_folder("roberta"), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr("sentence_transformers.SentenceTransformer.encode_document", None)
    assert DenseSearcher(DOCUMENTS[::-1], model=dense_folder, cache=tmp_path).search(QUERIES, 3) == first


@pytest.mark.parametrize("documents", [[], [Document("a", "")]])
def test_little_to_search_is_no_error(documents, dense_folder):
    searcher = DenseSearcher(documents, model=dense_folder)
    assert [len(hits) for hits in searcher.search(["cat", ""], 3)] == [len(documents)] * 2
    assert searcher.search([], 3) == []
    assert searcher.score([], []) == []
