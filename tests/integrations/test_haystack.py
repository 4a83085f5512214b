"""Haystack's retriever and ranker, alone and in a stored pipeline."""

import pytest

pytest.importorskip("haystack")
from haystack import Document, Pipeline

from tardif.errors import FolderError, ModelError, SettingError
from tardif.integrations.haystack import TardifRanker, TardifRetriever, as_where

QUERY = "what makes the tides of the sea?"


def test_documents_carry_ids_scores_and_metadata(index_folder, expected):
    found = TardifRetriever(index_folder, top_k=4).run(QUERY)["documents"]
    assert [(document.id, document.score) for document in found] == expected
    assert next(d.meta for d in found if d.id == "paris") == {"lang": "en", "year": 2020, "title": "Paris"}
    assert len(TardifRetriever(index_folder).run(QUERY, top_k=1)["documents"]) == 1


def test_filters(index_folder):
    english = {"field": "meta.lang", "operator": "==", "value": "en"}
    new = {"field": "meta.year", "operator": ">=", "value": 2001}

    def found(filters):
        return {document.id for document in TardifRetriever(index_folder, filters=filters).run(QUERY)["documents"]}

    assert found(english) == {"moon", "bread", "paris"}
    assert found({"operator": "AND", "conditions": [english, new]}) == {"bread", "paris"}
    assert found({"operator": "OR", "conditions": [english, new]}) == {"moon", "bread", "paris", "zug"}
    assert found({"operator": "NOT", "conditions": [english]}) == {"zug"}
    assert found({"field": "id", "operator": "in", "value": ["moon", "zug"]}) == {"moon", "zug"}
    assert found({"field": "lang", "operator": "not in", "value": ["en"]}) == {"zug"}


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.lang", "operator": "~", "value": "en"},
        {"field": "meta.lang", "value": "en"},
        {"operator": "XOR", "conditions": []},
    ],
)
def test_filters_that_are_none(filters):
    with pytest.raises(SettingError, match="filters"):
        as_where(filters)


def test_a_stored_pipeline_gives_the_same(index_folder, multi_vector_folder):
    pipeline = Pipeline()
    pipeline.add_component("retriever", TardifRetriever(index_folder, top_k=3))
    pipeline.add_component("ranker", TardifRanker(str(multi_vector_folder), top_k=2))
    pipeline.connect("retriever.documents", "ranker.documents")
    given = {"retriever": {"query": QUERY}, "ranker": {"query": QUERY}}
    found = pipeline.run(given)["ranker"]["documents"]
    assert len(found) == 2
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=[TardifRanker.__module__]).run(given)["ranker"][
        "documents"
    ]
    assert again == found


def test_documents_without_text_are_left_out(multi_vector_folder):
    documents = [Document(content="The sea."), Document(content=None), Document(content="Tides")]
    assert len(TardifRanker(str(multi_vector_folder)).run(QUERY, documents)["documents"]) == 2
    assert documents[0].score is None


def test_what_cannot_be_opened_is_refused_when_warmed_up(tmp_path, base_folder):
    with pytest.raises(FolderError):
        TardifRetriever(str(tmp_path / "nowhere")).warm_up()
    with pytest.raises(ModelError, match="no late-interaction model"):
        TardifRanker(str(base_folder("bert"))).warm_up()


def test_filters_without_conditions_and_no_documents_at_all(index_folder):
    retriever = TardifRetriever(index_folder)
    counts = {
        operator: len(retriever.run("moon", filters={"operator": operator, "conditions": []})["documents"])
        for operator in ("AND", "OR", "NOT")
    }
    assert counts == {"AND": 4, "OR": 0, "NOT": 0}
    with pytest.raises(SettingError, match="k=0"):
        retriever.run("moon", top_k=0)


@pytest.mark.parametrize(
    "filters",
    [
        "year = 2020",
        {"operator": "AND", "conditions": "x"},
        {"operator": "AND", "conditions": ["x"]},
        {"field": "year", "operator": ["=="], "value": 1},
        {"field": "content", "operator": "==", "value": "x"},
    ],
)
def test_what_is_no_filter_is_named(filters):
    with pytest.raises(SettingError, match="filters: "):
        as_where(filters)
