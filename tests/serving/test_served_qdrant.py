"""An index in Qdrant as a service has it: an embedded shard, and a collection of a service in a client's memory."""

from __future__ import annotations

import pytest

import tiny
from qdrant_here import QUIET, Kept
from tardif import Retriever
from tardif.errors import ModelError, ReadOnlyError, ServiceError, SettingError
from tardif.index.qdrant import places
from tardif.serving import encoder_process, opened_index
from tardif.serving.on_ray import Deployment, serve_on_ray
from tardif.serving.opening import read_names
from tardif.serving.service_options import ServiceOptions
from tardif.types import Document
from worker_here import with_served

pytestmark = QUIET

DOCUMENTS = [
    Document(f"d{number}", text, metadata={"lang": "en" if number % 3 else "de", "year": 2000 + number})
    for number, text in enumerate(tiny.SENTENCES[:9])
]
QUERIES = ["what makes the tides", "how long to bake bread"]
ADDRESS = "http://qdrant.test:6333/support"


@pytest.fixture(params=["edge", "service"])
def place(request, multi_vector_folder, tmp_path, monkeypatch):
    """Where an index is."""
    where = f"edge:{tmp_path / 'support'}"
    if request.param == "service":
        from qdrant_client import QdrantClient

        client = QdrantClient(":memory:")
        request.addfinalizer(client.close)
        monkeypatch.setattr(places, "connect", lambda url: Kept(client))
        # Only the real process asks a real service.
        monkeypatch.setattr(opened_index, "export_aside", encoder_process.export)
        where = ADDRESS
    Retriever.build(multi_vector_folder, DOCUMENTS, where, quiet=True).close()
    return where


def test_it_is_searched_explained_and_described(place):
    with Retriever(place) as retriever:
        wanted = [retriever.search(query, k=4, where="year > 2001") for query in QUERIES]
        explained = retriever.explain(QUERIES[0], wanted[0][0])

    async def ask(served):
        found = await served.search(QUERIES, k=4, where="year > 2001")
        why = await served.explain(QUERIES[0], document_id=found[0][0].document_id)
        facts, document = await served.describe(), await served.get("d1")
        ranked = await served.rerank(QUERIES[0], DOCUMENTS[:3], k=2)
        text = await served.explain(QUERIES[0], text="the moon makes the tides")
        with pytest.raises(SettingError, match="without words"):
            await served.search(QUERIES, hybrid=True)
        return found, why, facts, document, ranked, text

    found, why, facts, document, ranked, text = with_served(place, ask)
    ids = [[hit.document_id for hit in hits] for hits in found]
    assert ids == [[hit.document_id for hit in hits] for hits in wanted]
    for hit, other in zip(found[0], wanted[0], strict=True):
        assert hit.score == pytest.approx(other.score, abs=1e-3)
    assert why.score == found[0][0].score == pytest.approx(explained.score, abs=1e-3)
    assert document == DOCUMENTS[1]
    assert len(ranked) == 2
    assert text.score > 0
    lang, year = facts.pop("fields")
    assert (lang["name"], lang["values"]) == ("lang", ["en", "de"])
    assert (year["name"], year["range"]) == ("year", [2000, 2008])
    assert facts | {"model": ""} == {
        **{"name": "support", "documents": 9, "bits": 32, "hybrid": False, "model": "", "feedback": False},
        "read_only": place != ADDRESS,
    }


def test_a_collection_is_changed_and_an_embedded_shard_is_not(place):
    async def ask(served):
        if served.read_only:
            for change in (served.put([Document("new", "text")]), served.delete(["d1"])):
                with pytest.raises(ReadOnlyError, match="embedded shard of Qdrant is open in one process"):
                    await change
            return len(DOCUMENTS)
        assert (await served.put([Document("new", "the zebra", metadata={"more": 1})]))["added"] == 1
        ((hit,),) = await served.search(["the zebra"], where="more = 1")
        assert await served.delete(["d1", "d2"]) == {"deleted": 2}
        facts = await served.describe()
        assert [field["name"] for field in facts["fields"]] == ["lang", "more", "year"]
        assert hit.document_id == "new"
        return facts["documents"]

    assert with_served(place, ask) == (8 if place == ADDRESS else 9)
    with Retriever(place) as retriever:  # what was opened is closed
        assert len(retriever) == (8 if place == ADDRESS else 9)


def test_of_many_documents_the_fields_are_named_only(place, monkeypatch):
    monkeypatch.setattr(opened_index, "_SAMPLE", 5)

    async def ask(served):
        return (await served.describe())["fields"]

    fields = with_served(place, ask)
    assert [(field["name"], field["values"], field["range"]) for field in fields] == [
        ("lang", None, None),
        ("year", None, None),
    ]


def test_a_service_that_is_gone_is_said_without_its_address(place, monkeypatch):
    async def ask(served):
        def gone(*_, **__):
            raise ServiceError(f"No Qdrant service answers for {place}")

        monkeypatch.setattr("tardif.index.qdrant.qdrant_index.QdrantIndex.search", gone)
        with pytest.raises(ServiceError, match="does not answer: ask again later") as caught:
            await served.search(QUERIES)
        return str(caught.value)

    assert "qdrant.test" not in with_served(place, ask)


def test_an_encoder_that_cannot_be_exported_says_why(tmp_path):
    with pytest.raises(ModelError, match=r"cannot be exported, so it cannot be served: .* is not there: build it"):
        encoder_process.export_aside(f"edge:{tmp_path / 'none'}", tmp_path / "encoder")


def test_places_have_names():
    found = read_names(["http://host:6333/articles", "law=edge:/there/books", "edge:/there/docs"])
    assert {name: str(place) for name, place in found.items()} == {
        "articles": "http://host:6333/articles",
        "law": "edge:/there/books",
        "docs": "edge:/there/docs",
    }
    with pytest.raises(SettingError, match="give the index a name, as in docs="):
        read_names(["edge:/there/two words"])
    with pytest.raises(SettingError, match="another name, as in articles-2=edge:articles"):
        read_names(["http://host:6333/articles", "edge:articles"])
    with pytest.raises(SettingError, match="set QDRANT_API_KEY"):
        read_names(["docs=http://me:s3cret@host:6333/docs"])


def test_replicas_are_refused():
    with pytest.raises(SettingError, match="serve it without --ray"):
        serve_on_ray({"docs": "http://host:6333/docs"}, ServiceOptions(), Deployment(ray="local"))
