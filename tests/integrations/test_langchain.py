"""LangChain's own standard tests, and what they do not ask: filters, metadata, batches, the compressor."""

import asyncio
import pickle

import pytest

pytest.importorskip("langchain_core")
from langchain_core.documents import Document
from langchain_tests.integration_tests import RetrieversIntegrationTests

from tardif import Retriever
from tardif.errors import FolderError, ModelError
from tardif.integrations.langchain import TardifReranker, TardifRetriever

QUERY = "what makes the tides of the sea?"


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _folder(self, index_folder):
        type(self).folder = index_folder

    @property
    def retriever_constructor(self):
        return TardifRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.folder}

    @property
    def retriever_query_example(self):
        return QUERY


def test_documents_carry_ids_scores_and_metadata(index_folder, expected):
    found = TardifRetriever(index=index_folder, k=4).invoke(QUERY)
    assert [(document.id, document.metadata["score"]) for document in found] == expected
    by_id = {document.id: document.metadata for document in found}
    assert by_id["paris"] | {"score": 0} == {"lang": "en", "year": 2020, "title": "Paris", "score": 0}


def test_filters_batches_and_options(index_folder):
    retriever = TardifRetriever(index=index_folder, where={"lang": "en"}, options={"exact": True})
    assert {document.id for document in retriever.invoke(QUERY)} == {"moon", "bread", "paris"}
    assert {document.id for document in retriever.invoke(QUERY, where="year = 2020")} == {"paris", "zug"}
    assert retriever.batch([QUERY, QUERY]) == [retriever.invoke(QUERY)] * 2
    assert asyncio.run(retriever.abatch([QUERY])) == [retriever.invoke(QUERY)]


def test_an_opened_retriever_is_taken(index_folder):
    with Retriever(index_folder) as opened:
        assert len(TardifRetriever(index=opened, k=2).invoke(QUERY)) == 2


def test_what_cannot_be_opened_is_refused_at_once(tmp_path, base_folder):
    with pytest.raises(FolderError):
        TardifRetriever(index=str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="no late-interaction model"):
        TardifReranker(model=str(base_folder("bert")))


def test_the_compressor_orders_copies(multi_vector_folder):
    documents = [
        Document(page_content=text, metadata={"n": n}) for n, text in enumerate(["Bread.", "The sea.", "Tides"])
    ]
    kept = TardifReranker(model=str(multi_vector_folder), k=2).compress_documents(documents, QUERY)
    scores = [document.metadata["relevance_score"] for document in kept]
    assert scores == sorted(scores, reverse=True)
    assert len(kept) == 2
    assert all("relevance_score" not in document.metadata for document in documents)
    assert TardifReranker(model=str(multi_vector_folder)).compress_documents([], QUERY) == []


def test_ragatouilles_two_components(multi_vector_folder, tmp_path, monkeypatch):
    from tardif.ragatouille import RAGPretrainedModel

    monkeypatch.chdir(tmp_path)
    rag = RAGPretrainedModel.from_pretrained(multi_vector_folder, verbose=0)
    rag.index(["The moon makes the tides.", "Bread rises."], ["a", "b"], [{"n": 1}, {"n": 2}], "docs")
    found = rag.as_langchain_retriever(k=1).invoke("moon")
    assert [set(document.metadata) for document in found] == [{"n"}]
    kept = rag.as_langchain_document_compressor(k=1).compress_documents(found * 3, "moon")
    assert [document.metadata["n"] for document in kept] == [found[0].metadata["n"]]


def test_the_compressor_is_copied_and_leaves_out_what_is_empty(multi_vector_folder):
    reranker = TardifReranker(model=str(multi_vector_folder), k=3)
    given = [Document(page_content=text) for text in ("", "The moon makes the tides.", " ")]
    for compressor in (reranker, pickle.loads(pickle.dumps(reranker)), reranker.model_copy(deep=True)):
        found = compressor.compress_documents(iter(given), "moon")
        assert [document.page_content for document in found] == [given[1].page_content]
    assert reranker.compress_documents(given[:1], "moon") == []


def test_ragatouilles_components_have_their_names():
    from tardif.ragatouille import integrations

    assert integrations.RAGatouilleLangChainRetriever.__name__ == "RAGatouilleLangChainRetriever"
    with pytest.raises(AttributeError):
        _ = integrations.nothing
