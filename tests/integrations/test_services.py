"""Frameworks' components that are given the address of a search service: they find what they find in its folder."""

import pytest

pytest.importorskip("fastapi")
from service_here import ADDRESS, ServiceHere, answer_clients
from tardif import SettingError
from tardif.integrations.folder_or_service import open_searcher
from tardif.integrations.reranker import Reranker

QUERY, TOKEN = "what makes the tides of the sea?", "correct-horse-battery-staple"
INDEX = f"{ADDRESS}/indexes/docs"


@pytest.fixture
def service(index_folder, monkeypatch):
    """The index behind its address, which wants a token."""
    transport = ServiceHere({"docs": index_folder}, token=TOKEN)
    answer_clients(monkeypatch, lambda: transport)
    yield
    transport.close()


def test_langchain(service, index_folder, multi_vector_folder):
    pytest.importorskip("langchain_core")
    from langchain_core.documents import Document

    from tardif.integrations.langchain import TardifReranker, TardifRetriever

    how = {"k": 3, "where": {"lang": "en"}, "options": {"exact": True}}
    there = TardifRetriever(index=INDEX, token=TOKEN, **how)
    assert there.invoke(QUERY) == TardifRetriever(index=index_folder, **how).invoke(QUERY)
    assert TOKEN not in repr(there)
    given = [Document(page_content=text) for text in ("Bread.", "", "The sea has tides.")]
    kept = TardifReranker(model=INDEX, token=TOKEN, k=2).compress_documents(given, QUERY)
    here = TardifReranker(model=str(multi_vector_folder), k=2).compress_documents(given, QUERY)
    assert [document.page_content for document in kept] == [document.page_content for document in here]


def test_llama_index(service, index_folder):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

    from tardif.integrations.llama_index import TardifRerank, TardifRetriever

    new = MetadataFilters(filters=[MetadataFilter(key="year", value=2001, operator=">=")])
    found = TardifRetriever(INDEX, filters=new, token=TOKEN).retrieve(QUERY)
    assert found == TardifRetriever(index_folder, filters=new).retrieve(QUERY)
    assert len(found) == 3
    rerank = TardifRerank(model=INDEX, token=TOKEN, top_n=1)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("Bread.", "The sea has tides.")]
    assert len(rerank.postprocess_nodes(nodes, query_str=QUERY)) == 1
    assert TOKEN not in f"{rerank!r} {rerank.to_json()}"


def test_haystack(service, index_folder, monkeypatch):
    pytest.importorskip("haystack")
    from haystack import Document
    from haystack.utils import Secret

    from tardif.integrations.haystack import TardifRanker, TardifRetriever

    monkeypatch.setenv("TARDIF_TOKEN", TOKEN)
    token = Secret.from_env_var("TARDIF_TOKEN")
    english = {"field": "meta.lang", "operator": "==", "value": "en"}
    stored = TardifRetriever(INDEX, filters=english, token=token).to_dict()
    assert TOKEN not in str(stored)
    there, here = TardifRetriever.from_dict(stored), TardifRetriever(index_folder, filters=english)
    assert there.run(QUERY) == here.run(QUERY)
    ranker = TardifRanker.from_dict(TardifRanker(INDEX, top_k=1, token=token).to_dict())
    assert len(ranker.run(QUERY, [Document(content="Bread."), Document(content="Tides.")])["documents"]) == 1


def test_a_token_without_a_service_is_refused(index_folder, multi_vector_folder):
    with pytest.raises(SettingError, match="only a search service takes one"):
        open_searcher(index_folder, "secret")
    with pytest.raises(SettingError, match="only a search service takes one"):
        Reranker(str(multi_vector_folder), token="secret")
