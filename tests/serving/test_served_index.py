"""A served index: the retriever's answers, for many at once; changes that the next search finds."""

import asyncio
import json
import shutil

import pytest

import tiny
from tardif import Retriever
from tardif.errors import (
    BusyError,
    DataError,
    FolderError,
    ModelError,
    ReadOnlyError,
    ServiceError,
    SettingError,
    UnknownDocumentError,
)
from tardif.index.disk import DiskIndex
from tardif.serving.served_index import ServedIndex
from tardif.types import Document
from worker_here import with_served

TEXTS = tiny.SENTENCES[:26]
DOCUMENTS = [
    Document(
        f"d{number}",
        text,
        title=f"Text {number}",
        metadata={"lang": "en" if number % 3 else "de", "year": 2000 + number, "tags": ["a", "b"][: number % 3]},
    )
    for number, text in enumerate(TEXTS)
]
QUERIES = ["what makes the tides", "how long to bake bread", "Where is Paris?", "a", "a train that is late in the snow"]


@pytest.fixture(scope="module")
def built(multi_vector_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "support"
    Retriever.build(multi_vector_folder, DOCUMENTS, folder, chunk=None, hybrid=True, quiet=True).close()
    return folder


@pytest.fixture(scope="module")
def retriever(built):
    with Retriever(built) as opened:
        yield opened


@pytest.fixture
def folder(built, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(built, tmp_path / "support")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "where": "lang = 'de'"},
        {"where": {"year": {">=": 2010}}, "exact": True},
        {"hybrid": True},
        {"recall": 0.5, "explain": True, "k": 2},
    ],
)
def test_searches_are_those_of_the_retriever_however_many_come_together(built, retriever, options):
    async def ask(served):
        asked = [served.search([query], **options) for query in QUERIES] + [served.search(QUERIES, **options)]
        return await asyncio.gather(*asked)

    *single, together = with_served(built, ask)
    alone = [retriever.search(query, **options) for query in QUERIES]
    assert [hits for (hits,) in single] == alone
    assert together == alone


def test_an_explanation_is_of_the_score_that_was_found(built):
    async def ask(served):
        (hits,), *_ = await asyncio.gather(*(served.search([query], k=3) for query in QUERIES))
        return hits, [await served.explain(QUERIES[0], document_id=hit.document_id) for hit in hits]

    hits, explanations = with_served(built, ask)
    assert [explanation.score for explanation in explanations] == [hit.score for hit in hits]


def test_a_given_text_is_explained_by_the_indexs_own_encoder(built):
    from tardif.encoder.opening import ready_encoder
    from tardif.search.explain import explain_text

    found = with_served(built, lambda served: served.explain("the tides", text="The moon makes the tides."))
    expected = explain_text(ready_encoder(built)(), "the tides", "The moon makes the tides.")
    assert found.as_json() == expected.as_json()
    assert (found.similarities == expected.similarities).all()


def test_the_best_hit_is_explained_where_nothing_else_is_asked_for(built, retriever):
    found = with_served(built, lambda served: served.explain("what makes the tides"))
    assert found.document_id == retriever.search("what makes the tides", k=1)[0].document_id


def test_given_documents_are_reranked_as_by_the_library(built):
    from tardif.search.rerank import rerank

    given = [Document("a", "The moon makes the tides."), Document("b", "Bread rises.", metadata={"tags": ("x",)})]
    found = with_served(built, lambda served: served.rerank("tides", given, k=5))
    assert found == rerank(built, "tides", given, 5, quiet=True)
    assert with_served(built, lambda served: served.rerank("tides", [])) == []


def test_it_says_what_it_is(built):
    found = with_served(built, lambda served: served.describe(), name="help", read_only=True)
    fields = {field["name"]: field for field in found.pop("fields")}
    tokens = found.pop("tokens")
    assert found == {
        "name": "help",
        "documents": len(DOCUMENTS),
        "bits": 8,
        "hybrid": True,
        "read_only": True,
        "feedback": False,
        "model": "multi-vector",
    }
    assert tokens > len(DOCUMENTS)
    assert fields["lang"] == {"name": "lang", "types": ["text"], "values": ["en", "de"], "range": None}
    assert fields["tags"] == {"name": "tags", "types": ["text"], "values": ["a", "b"], "range": None}
    assert fields["year"] == {"name": "year", "types": ["number"], "values": None, "range": [2000, 2025]}
    json.dumps(fields)


def test_a_change_is_found_by_the_next_search_and_description(folder):
    async def ask(served):
        assert await served.get("new") is None
        new = Document("new", "Zebras swim.", metadata={"lang": "fr"})
        assert await served.put([new, Document("d1", "Changed.")]) == {"added": 2, "replaced": 1}
        assert (await served.search(["zebras"], where="lang = 'fr'"))[0][0].document_id == "new"
        assert await served.get("new") == new
        assert (await served.get("d1")).text == "Changed."
        facts = await served.describe()
        assert (facts["documents"], facts["fields"][0]["values"]) == (len(DOCUMENTS) + 1, ["en", "de", "fr"])
        assert await served.delete(["new", "unknown"]) == {"deleted": 1}
        assert not (await served.search(["zebras"], where="lang = 'fr'"))[0]
        assert (await served.describe())["documents"] == len(DOCUMENTS)
        assert await served.put([]) == {"added": 0, "replaced": 0}

    with_served(folder, ask)
    with DiskIndex(folder) as index:
        assert index.get(["d1"])["d1"].text == "Changed."


def test_documents_are_cut_as_the_index_was_and_come_back_whole(multi_vector_folder, tmp_path):
    folder = tmp_path / "cut"
    Retriever.build(multi_vector_folder, DOCUMENTS[:2], folder, chunk=32, quiet=True).close()
    long = Document("long", "\n\n".join(TEXTS[:6]), title="Long", metadata={"year": 1})

    async def ask(served):
        assert await served.put([long]) == {"added": 1, "replaced": 0}
        (hits,) = await served.search([TEXTS[3]], k=1)
        assert hits[0].piece.document == "long"
        assert (await served.explain(TEXTS[3], document_id=hits[0].document_id)).score == hits[0].score
        assert (await served.get(hits[0].document_id)).text == hits[0].text
        return await served.get("long")

    whole = with_served(folder, ask)
    assert (whole.text.split(), whole.title, whole.metadata) == (long.text.split(), "Long", {"year": 1})


def test_documents_that_the_model_does_not_read_whole_are_named(folder):
    long = Document("endless", " ".join(TEXTS) * 3)

    async def ask(served):
        found = await served.put([Document("short", "Zebras swim."), long])
        assert (found["added"], found["replaced"]) == (2, 0)
        assert await served.put([Document("short", "Zebras run.")]) == {"added": 1, "replaced": 1}
        return found["note"]

    note = with_served(folder, ask)
    assert note.startswith("1 of these documents")
    assert "of endless, " in note
    assert "tardif index --chunk" in note


@pytest.mark.parametrize("fault", ["is not in", "is not the one"])
def test_a_model_that_cannot_be_opened_is_named_and_stops_no_search(multi_vector_folder, tmp_path, fault):
    shutil.copytree(multi_vector_folder, tmp_path / "model")
    Retriever.build(tmp_path / "model", DOCUMENTS, tmp_path / "index", chunk=None, quiet=True).close()
    (tmp_path / "model").rename(tmp_path / "away")
    if fault == "is not the one":
        shutil.copytree(tmp_path / "away", tmp_path / "model")
        (tmp_path / "model" / "more.json").write_text("{}")

    async def ask(served):
        found = await served.why_not_put()
        assert isinstance(found, FolderError)
        assert fault in str(found)
        with pytest.raises(ModelError, match=fault):
            await served.put([Document("a", "b")])
        assert await served.delete(["d1"]) == {"deleted": 1}
        assert (await served.search(["tides"]))[0]
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        (tmp_path / "away").rename(tmp_path / "model")
        assert await served.why_not_put() is None
        assert await served.put([Document("a", "b")]) == {"added": 1, "replaced": 0}

    with_served(tmp_path / "index", ask)


def test_an_index_that_is_not_changed_needs_no_model(built):
    async def ask(served):
        served._index.check_model = lambda: pytest.fail("not asked for")
        return await served.why_not_put()

    assert with_served(built, ask, read_only=True) is None


def test_what_another_process_wrote_is_found(folder):
    async def ask(served):
        before = (await served.search(["tides"], k=1))[0][0].document_id
        with DiskIndex(folder) as other:
            other.delete([before])
        return before, (await served.search(["tides"], k=1))[0][0].document_id, await served.describe()

    before, after, facts = with_served(folder, ask)
    assert before != after
    assert facts["documents"] == len(DOCUMENTS) - 1


def test_an_index_that_was_built_again_is_opened_again(folder, multi_vector_folder):
    async def ask(served):
        await served.search(["tides"])
        Retriever.build(
            multi_vector_folder, [Document("only", "One text.")], folder, chunk=None, overwrite=True, quiet=True
        ).close()
        found = await asyncio.gather(*(served.search(["tides"]) for _ in range(5)))
        assert {hit.document_id for (hits,) in found for hit in hits} == {"only"}
        with pytest.raises(SettingError, match="without words"):
            await served.search(["tides"], hybrid=True)
        assert await served.put([Document("two", "Two texts.")]) == {"added": 1, "replaced": 0}
        return await served.describe()

    assert with_served(folder, ask)["documents"] == 2


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda served: served.search([" "]), SettingError),
        (lambda served: served.search(["a"], k=0), SettingError),
        (lambda served: served.search(["a"], where="lang ="), SettingError),
        (lambda served: served.search(["a"], recall=2), SettingError),
        (lambda served: served.search("tides"), SettingError),
        (lambda served: served.explain("a", document_id="unknown"), UnknownDocumentError),
        (lambda served: served.explain("a", document_id="d1", text="b"), SettingError),
        (lambda served: served.explain("...", text="\ud800"), DataError),
        (lambda served: served.explain(""), SettingError),
        (lambda served: served.rerank("a", [Document("a", "b")], k=0), SettingError),
        (lambda served: served.get(""), DataError),
        (lambda served: served.delete("d1"), DataError),
        (lambda served: served.put([Document("a", "x"), Document("a", "y")]), DataError),
        (lambda served: served.feedback("a", "d1", 1), SettingError),
    ],
)
def test_a_bad_request_is_refused_and_changes_nothing(built, call, kind):
    async def ask(served):
        before = await served.describe()
        with pytest.raises(kind):
            await call(served)
        assert await served.describe() == before

    with_served(built, ask)


def test_read_only_refuses_changes(built):
    async def ask(served):
        for change in (served.put([DOCUMENTS[0]]), served.delete(["d1"])):
            with pytest.raises(ReadOnlyError, match="read-only"):
                await change
        assert len((await served.search(["tides"]))[0]) == 10

    with_served(built, ask, read_only=True)


def test_too_many_readers_are_refused(built):
    async def ask(served):
        found = await asyncio.gather(*(served.get("d1") for _ in range(4)), return_exceptions=True)
        assert [type(each) for each in found] == [Document, Document, BusyError, BusyError]
        assert (await served.get("d1")).id == "d1"

    with_served(built, ask, waiting=2)


def test_a_closed_index_takes_nothing_more(built):
    async def ask():
        served = ServedIndex.open(built)
        accepted = asyncio.ensure_future(served.search(["tides"]))
        await asyncio.sleep(0)
        await served.close()
        assert len((await accepted)[0]) == 10
        for call in (served.search(["tides"]), served.get("d1"), served.describe(), served.delete(["d1"])):
            with pytest.raises(ServiceError, match="stopping"):
                await call

    asyncio.run(ask())


def test_judgements_go_to_the_file(built, tmp_path):
    file = tmp_path / "feedback.jsonl"

    async def ask(served):
        assert (await served.describe())["feedback"]
        await served.feedback("what makes the tides", "d1", 0)
        with pytest.raises(UnknownDocumentError, match="'unknown'"):
            await served.feedback("what makes the tides", "unknown", 1)

    with_served(built, ask, feedback=file)
    (row,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["query"], row["document_id"], row["label"]) == ("what makes the tides", "d1", 0)


def test_what_cannot_be_served_is_refused_when_it_is_opened(folder, tmp_path):
    with pytest.raises(FolderError):
        ServedIndex.open(tmp_path / "nothing")
    with DiskIndex(folder) as index:
        index.note("encoder", "")
    with pytest.raises(ModelError, match="no query encoder"):
        ServedIndex.open(folder)
