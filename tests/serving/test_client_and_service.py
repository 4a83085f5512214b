"""The client and the real application in one process: what the Retriever answers, the client answers."""

import shutil

import numpy as np
import pytest

pytest.importorskip("fastapi")
from service_here import ADDRESS, ServiceHere
from tardif import Client, DataError, Document, Retriever, ServiceError, SettingError
from tardif.errors import ReadOnlyError

QUERY = "what makes the tides of the sea?"
ODD = ["a/b", "..", ".", "a\nb\n", "a b?c#d", "ä%2F", "\\", "../../etc/passwd"]
DOCUMENTS = [
    Document(
        "moon", "The moon pulls the sea and makes the tides.", title="Moon", metadata={"lang": "en", "year": 1969}
    ),
    Document("zug", "Der Zug fährt über die Brücke.", metadata={"lang": "de", "tags": ["a", "b"]}),
    *(Document(identity, f"An odd id, number {number}.") for number, identity in enumerate(ODD)),
]


@pytest.fixture(scope="module")
def folder(multi_vector_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service") / "docs"
    Retriever.build(multi_vector_folder, DOCUMENTS, folder, hybrid=True, quiet=True).close()
    return folder


@pytest.fixture(scope="module")
def client(folder):
    with Client(ADDRESS, transport=ServiceHere({"docs": folder})) as opened:
        yield opened


@pytest.fixture(scope="module")
def retriever(folder):
    with Retriever(folder) as opened:
        yield opened


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 2, "where": "lang = 'en'"},
        {"where": {"or": [{"lang": ["de", "fr"]}, {("year",): {"<": 1970}}]}},
        {"exact": True, "explain": True},
        {"hybrid": True, "word_share": 0.3, "group": True},
    ],
)
def test_searches_find_what_the_retriever_finds(client, retriever, options):
    assert client.search(QUERY, **options) == retriever.search(QUERY, **options)
    assert client.search_many([QUERY, "Zug"], **options) == retriever.search_many([QUERY, "Zug"], **options)


def test_explanations_are_the_retrievers(client, retriever):
    hit = client.search(QUERY, k=1)[0]
    found, expected = client.explain(QUERY, hit), retriever.explain(QUERY, hit)
    assert found.as_json() == expected.as_json()
    assert np.array_equal(found.similarities, expected.similarities)
    text = client.explain(QUERY, text=hit.text)
    assert sum(match.similarity for match in text.matches) == text.score


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.id)
def test_documents_are_got_by_any_id(client, document):
    assert client.get(document.id) == document


def test_what_is_not_there_is_none_or_an_error(client, folder):
    assert client.get("nobody") is None
    with pytest.raises(DataError, match="nobody"):
        client.explain(QUERY, "nobody")
    with Client(f"{ADDRESS}/indexes/law", transport=ServiceHere({"docs": folder})) as other:
        for call in (lambda: other.get("moon"), lambda: other.search(QUERY)):
            with pytest.raises(DataError, match="law"):
                call()


def test_faults_are_the_retrievers_errors_and_messages(client, retriever):
    for wrong in ({"where": "lang = en"}, {"recall": 2}, {"k": 0}, {"where": {"lang": {"~": 1}}}):
        with pytest.raises(SettingError) as expected:
            retriever.search(QUERY, **wrong)
        with pytest.raises(SettingError) as found:
            client.search(QUERY, **wrong)
        if "where" in wrong:
            assert str(found.value) == str(expected.value)
    with pytest.raises(SettingError, match="at most 1,000"):
        client.search(QUERY, k=1001)


def test_documents_are_ordered_with_the_indexs_model(client):
    given = ["Bread.", "The moon makes the tides.", Document("x", "The sea.", metadata={"n": 1})]
    hits = client.rerank(QUERY, given)
    assert sorted(hit.position for hit in hits) == [0, 1, 2]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert next(hit.metadata for hit in hits if hit.document_id == "x") == {"n": 1}


def test_documents_are_added_replaced_and_deleted(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "docs")
    new = Document("new", "Rice is boiled.", title="Rice", metadata={"deep": {"list": [1, None, "x"]}})
    with Client(ADDRESS, transport=ServiceHere({"docs": tmp_path / "docs"})) as client:
        assert client.add([new, {"id": "moon", "text": "Another moon."}]) == (2, 1)
        assert client.get("new") == new
        assert client.search("rice", where={"deep.list": "x"})[0].document_id == "new"
        assert client.delete(["moon", "..", "nobody"]) == 2
        assert client.get("..") is None
        (index,) = client.indexes()
        assert (index["name"], index["documents"]) == ("docs", len(DOCUMENTS) - 1)


def test_what_no_search_will_find_of_added_documents_is_a_warning(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "docs")
    with Retriever(tmp_path / "docs") as opened:
        opened.index.note("chunk", "null")  # not cut: a long document's end is in no vector
    long = Document("endless", "The moon pulls the sea. " * 200)
    with Client(ADDRESS, transport=ServiceHere({"docs": tmp_path / "docs"})) as client:
        assert client.add([long, "short"], quiet=True) == (2, 0)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("WARNING: 1 of these documents")
        assert "of endless, " in shown.err
        assert client.report.lost == shown.err.removeprefix("WARNING: ").strip()
        assert client.add(["short"], quiet=True) == (1, 1)
        assert client.report.lost == capsys.readouterr().err == ""


def test_what_was_skipped_of_a_folder_is_said_as_the_retriever_says_it(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "docs")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("Rice is boiled.")
    (tmp_path / "texts" / "logo.png").write_bytes(b"\x89PNG")
    with Client(ADDRESS, transport=ServiceHere({"docs": tmp_path / "docs"})) as client:
        assert client.add(tmp_path / "texts") == (1, 0)
        assert "1 skipped, .png files: logo.png" in capsys.readouterr().err
        assert client.report.skipped.total() == 1
        assert client.add(tmp_path / "texts", quiet=True) == (1, 1)
        assert capsys.readouterr().err == ""


def test_tokens_and_refusals(folder):
    token = "a-token-of-some-length"
    with Client(ADDRESS, token, transport=ServiceHere({"docs": folder}, token=token, read_only=True)) as client:
        assert client.search(QUERY, k=1)
        with pytest.raises(ReadOnlyError, match="read-only"):
            client.add(["x"])
    for wrong, said in ((None, "wants a token"), ("another-token", "does not take this token")):
        with (
            Client(ADDRESS, wrong, transport=ServiceHere({"docs": folder}, token=token)) as client,
            pytest.raises(ServiceError, match=said),
        ):
            client.search(QUERY)
