"""LlamaIndex's retriever and node postprocessor."""

import asyncio

import pytest

pytest.importorskip("llama_index.core")
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from tardif import Retriever
from tardif.errors import FolderError, ModelError, SettingError
from tardif.integrations.llama_index import TardifRerank, TardifRetriever, as_where

QUERY = "what makes the tides of the sea?"


def ids(nodes):
    return {node.node.node_id for node in nodes}


def test_nodes_carry_ids_scores_and_metadata(index_folder, expected):
    found = TardifRetriever(index_folder, similarity_top_k=4).retrieve(QUERY)
    assert [(node.node.node_id, node.score) for node in found] == expected
    paris = next(node.node for node in found if node.node.node_id == "paris")
    assert paris.metadata == {"lang": "en", "year": 2020, "title": "Paris"}
    assert asyncio.run(TardifRetriever(index_folder).aretrieve(QUERY)) == found


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("lang", "==", "de")], {"zug"}),
        ([("lang", "!=", "de")], {"moon", "bread", "paris"}),
        ([("year", ">", 1969), ("year", "<=", 2001)], {"bread"}),
        ([("year", ">=", 2020), ("lang", "in", ["en"])], {"paris"}),
        ([("year", "<", 2001)], {"moon"}),
        ([("lang", "nin", ["en"])], {"zug"}),
        ([("lang", "any", ["de", "fr"])], {"zug"}),
        ([("lang", "all", ["de"])], {"zug"}),
        ([("lang", "text_match", "e")], {"moon", "bread", "paris", "zug"}),
        ([("nowhere", "is_empty", None)], {"moon", "bread", "paris", "zug"}),
    ],
)
def test_filters(index_folder, filters, found):
    parts = [
        MetadataFilter(key=key, operator=FilterOperator(operator), value=value) for key, operator, value in filters
    ]
    assert ids(TardifRetriever(index_folder, filters=MetadataFilters(filters=parts)).retrieve(QUERY)) == found


def test_nested_filters_and_those_of_ones_own(index_folder):
    german, new = MetadataFilter(key="lang", value="de"), MetadataFilter(key="year", value=2020)
    nested = MetadataFilters(filters=[new, MetadataFilters(filters=[german], condition="not")])
    assert ids(TardifRetriever(index_folder, filters=nested).retrieve(QUERY)) == {"paris"}
    either = MetadataFilters(filters=[german, MetadataFilter(key="year", value=1969)], condition="or")
    assert ids(TardifRetriever(index_folder, filters=either).retrieve(QUERY)) == {"zug", "moon"}
    assert ids(TardifRetriever(index_folder, filters="lang = 'de'").retrieve(QUERY)) == {"zug"}
    with pytest.raises(SettingError, match="text_match_insensitive"):
        as_where(MetadataFilters(filters=[MetadataFilter(key="a", value="b", operator="text_match_insensitive")]))


def test_reranking_keeps_the_best(multi_vector_folder):
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in ("Bread.", "The sea.", "Tides")]
    kept = TardifRerank(model=str(multi_vector_folder), top_n=2).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.score for node in kept] == sorted((node.score for node in kept), reverse=True)
    assert len(kept) == 2
    assert {node.score for node in nodes} == {0.1}
    with pytest.raises(SettingError, match="query"):
        TardifRerank(model=str(multi_vector_folder)).postprocess_nodes(nodes)


def test_what_cannot_be_opened_is_refused_at_once(tmp_path, base_folder):
    with pytest.raises(FolderError):
        TardifRetriever(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no late-interaction model"):
        TardifRerank(model=str(base_folder("bert")))


def test_filters_of_nothing_and_empty_arrays(multi_vector_folder, tmp_path):
    rows = [
        {"id": "a", "text": "moon", "tags": []},
        {"id": "b", "text": "sun", "tags": ["x"]},
        {"id": "c", "text": "c"},
    ]
    Retriever.build(multi_vector_folder, rows, tmp_path / "index", quiet=True).close()

    def found(*filters):
        retriever = TardifRetriever(tmp_path / "index", filters=MetadataFilters(filters=list(filters)))
        return sorted(ids(retriever.retrieve("moon")))

    assert found() == ["a", "b", "c"]
    assert found(MetadataFilter(key="tags", value=[], operator="all")) == ["a", "b", "c"]
    assert found(MetadataFilter(key="tags", value=None, operator="is_empty")) == ["a", "c"]
