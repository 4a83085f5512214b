"""The client of a search service, beside a transport that answers as it is told."""

import copy
import json
import pickle

import httpx2
import pytest

from tardif import Client, DataError, Document, Hit, ServiceError, SettingError
from tardif.client import _address
from tardif.errors import BusyError, ReadOnlyError
from tardif.explanation import Explanation, Match, Token
from tardif.types import Mark, Piece

HIT = Hit(1, "a#1", 2.5, "Tides.", "Sea", {"n": [1]}, None, Piece("a", 1, 2, 0, 6, ("One",), 3), "Tides.")


def problem(status, detail, error=None, **headers):
    body = {"type": "about:blank", "title": "Wrong", "status": status, "detail": detail, "error": error}
    return httpx2.Response(status, json=body, headers={"Content-Type": "application/problem+json", **headers})


def client(*answers, url="http://service/indexes/support", **options):
    """A client whose service gives these answers one after the other, and the requests that it gets."""
    left, asked = list(answers), []

    def answer(request):
        asked.append(request)
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx2.Response) else httpx2.Response(200, json=given)

    return Client(url, transport=httpx2.MockTransport(answer), **options), asked


@pytest.mark.parametrize(
    "hit",
    [
        HIT,
        Hit(2, "b", -1.0, "x", position=7, snippet="x", matches=(Mark(0, 1, 0.5),), title_matches=(Mark(0, 0, 1.0),)),
    ],
)
def test_a_hit_reads_back_from_its_json(hit):
    assert Hit.from_json(json.loads(json.dumps(hit.as_json()))) == hit


def test_an_explanation_reads_back_from_its_json():
    tokens = [Token("tide", 0, 4, 0), Token("##s", 4, 5, 0), Token("[MASK]")]
    matches = [Match(0, (0, 1), 0.25), Match(1, (2,), 0.5)]
    whole = Explanation("tides", "tides", tokens[:2], tokens, matches, 0.75, [[0.25, 0.25, 0], [0, 0, 0.5]], "a", "!")
    found = Explanation.from_json(json.loads(json.dumps(whole.as_json())), whole.similarities)
    assert found.as_json() == whole.as_json()
    assert found.similarities.tolist() == whole.similarities
    assert found.similarities.shape == (2, 3)


@pytest.mark.parametrize(
    ("url", "service", "index"),
    [
        ("http://host:8000", "http://host:8000", None),
        ("http://host:8000/", "http://host:8000", None),
        (" https://host/search/ ", "https://host/search", None),
        ("http://host/indexes", "http://host", None),
        ("http://[::1]:8000/indexes/law", "http://[::1]:8000", "law"),
        ("https://host/search/indexes/a%20b/", "https://host/search", "a b"),
    ],
)
def test_an_address_is_a_service_or_an_index(url, service, index):
    assert _address(url) == (service, index)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("support.index", "no address"),
        ("ftp://host", "no address"),
        ("http://", "no address"),
        ("http://host:99999", "no address"),
        (None, "no address"),
        ("http://me:secret@host", "token="),
        ("http://host?token=secret", "leave out"),
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(url, said):
    with pytest.raises(SettingError, match=said) as error:
        Client(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("token", ["", "a\nb", "größe", 7])
def test_what_is_no_token_is_refused_and_not_quoted(token):
    with pytest.raises(SettingError, match="The token") as error:
        Client("http://host", token)
    assert not token or str(token) not in str(error.value)


def test_the_token_is_sent_and_not_shown():
    opened, asked = client({"hits": []}, token="secret")
    assert opened.search("tides") == []
    assert asked[0].headers["Authorization"] == "Bearer secret"
    assert repr(opened) == "Client(http://service/indexes/support)"


def test_a_copy_asks_the_same_service_with_the_same_token():
    opened = Client("http://service/indexes/support", "secret", patience=1)
    for other in (pickle.loads(pickle.dumps(opened)), copy.deepcopy(opened)):
        assert repr(other) == repr(opened)
        assert other._http.headers == opened._http.headers


def test_hits_come_back_as_the_librarys():
    opened, asked = client({"query": "tides", "hits": [HIT.as_json()]})
    assert opened.search("tides", 3, where={"lang": "en", "year": {">=": 2020}}) == [HIT]
    sent = json.loads(asked[0].content)
    assert asked[0].url.path == "/indexes/support/search"
    assert (sent["query"], sent["k"], sent["filter"]) == ("tides", 3, "lang = 'en' and year >= 2020")


def test_a_service_with_one_index_needs_no_name():
    opened, asked = client({"indexes": [{"name": "law"}]}, {"hits": []}, {"hits": []}, url="http://service/x")
    opened.search("tides")
    opened.search("tides")
    paths = ["/x/indexes", "/x/indexes/law/search", "/x/indexes/law/search"]
    assert [request.url.path for request in asked] == paths
    opened, _ = client({"indexes": [{"name": "law"}, {"name": "news"}]}, url="http://service")
    with pytest.raises(SettingError, match="2 indexes .'law', 'news'.: give the address of one"):
        opened.search("tides")


@pytest.mark.parametrize("identity", ["a/b", "..", "../../etc/passwd", "a b?c#d", "ä%2F", "\\", "."])
def test_an_id_is_one_part_of_the_path(identity):
    opened, asked = client({"document_id": identity, "text": "x"})
    assert opened.get(identity) == Document(identity, "x")
    raw = asked[0].url.raw_path.decode()
    assert raw.startswith("/indexes/support/documents/")
    assert raw.count("/") == 4
    assert "." not in raw


@pytest.mark.parametrize(
    ("k", "options", "sizes"), [(10, {}, [64, 6]), (400, {}, [25, 25, 20]), (50, {"explain": True}, [20, 20, 20, 10])]
)
def test_as_many_queries_are_asked_together_as_a_service_takes(k, options, sizes):
    opened, asked = client(*({"results": [{"hits": []}] * size} for size in sizes))
    assert opened.search_many(["q"] * 70, k, **options) == [[]] * 70
    assert [len(json.loads(request.content)["queries"]) for request in asked] == sizes


def test_documents_are_sent_some_at_a_time():
    done = {"added": 64, "replaced": 1}
    opened, asked = client(done, {"added": 6, "replaced": 0})
    assert opened.add([f"text {number}" for number in range(70)]) == (70, 1)
    assert [len(json.loads(request.content)["documents"]) for request in asked] == [64, 6]
    opened, asked = client(*[{"added": 1, "replaced": 0}] * 2)
    opened.add([Document("a", "x" * (1 << 20), metadata={"when": (1, 2)}), Document("b", "y", title="Y")])
    bodies = [json.loads(request.content)["documents"] for request in asked]
    assert [[document["document_id"] for document in body] for body in bodies] == [["a"], ["b"]]
    assert bodies[0][0]["metadata"] == {"when": [1, 2]}
    assert bodies[1] == [{"document_id": "b", "text": "y", "title": "Y", "metadata": {}}]


def test_queries_are_sent_many_at_a_time():
    answers = [{"results": [{"query": "q", "hits": []}] * count} for count in (64, 6)]
    opened, asked = client(*answers)
    assert opened.search_many(["q"] * 70, 3, where={"a": 1}, hybrid=True) == [[]] * 70
    sent = [json.loads(request.content) for request in asked]
    assert [len(body.pop("queries")) for body in sent] == [64, 6]
    assert sent == [{"k": 3, "filter": "a = 1", "hybrid": True}] * 2


def test_a_missing_document_is_none_and_a_missing_index_an_error():
    opened, asked = client(problem(404, "No such document."), {"name": "support"})
    assert opened.get("a") is None
    assert asked[1].url.path == "/indexes/support"
    opened, _ = client(problem(404, "No such index."), problem(404, "No such index."))
    with pytest.raises(DataError, match="No such index"):
        opened.get("a")


def test_ids_are_counted():
    opened, asked = client({"deleted": 2}, {"deleted": 1})
    assert opened.delete(map(str, range(1500))) == 3
    assert [len(json.loads(request.content)["document_ids"]) for request in asked] == [1000, 500]
    with pytest.raises(DataError, match="give a list"):
        opened.delete("a")


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, SettingError), (422, SettingError), (404, DataError), (403, ServiceError), (500, ServiceError)],
)
def test_a_refusal_is_an_error_with_the_services_message(status, kind):
    opened, _ = client(problem(status, "The filter, column 8: found en."))
    with pytest.raises(kind, match="^The filter, column 8: found en.$") as error:
        opened.search("tides", where="lang = en")
    assert getattr(error.value, "status", status) == status


def test_a_problem_names_the_librarys_error():
    opened, _ = client(problem(400, "The document's id is empty.", "DataError"))
    with pytest.raises(DataError, match="is empty"):
        opened.add(["x"])
    opened, _ = client(problem(403, "The index support is served read-only.", "ReadOnlyError"))
    with pytest.raises(ReadOnlyError, match="read-only"):
        opened.delete(["x"])


@pytest.mark.parametrize(("token", "said"), [(None, "wants a token"), ("wrong", "does not take this token")])
def test_a_wrong_token_is_said(token, said):
    opened, _ = client(problem(401, "Unauthorized"), token=token)
    with pytest.raises(ServiceError, match=f"http://service {said}") as error:
        opened.indexes()
    assert error.value.status == 401


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[1]),
        httpx2.Response(404, text="Not Found"),
        httpx2.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx2.Response(502, text="Bad Gateway"),
    ],
)
def test_what_is_no_service_is_said(answer):
    opened, asked = client(answer)
    with pytest.raises(ServiceError, match="without the JSON of a Tardif service"):
        opened.search("tides")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (httpx2.ConnectError("Connection refused"), "cannot be reached .Connection refused.: is tardif serve running"),
        (httpx2.ReadTimeout("timed out"), "did not answer in time"),
    ],
)
def test_a_service_that_cannot_be_reached_is_said(fault, said):
    opened, _ = client(fault)
    with pytest.raises(ServiceError, match=said) as error:
        opened.indexes()
    assert error.value.status is None


def test_a_busy_service_is_asked_again():
    at_once = {"Retry-After": "0"}
    opened, asked = client(problem(503, "Busy.", **at_once), problem(429, "Busy.", **at_once), {"hits": []})
    assert opened.search("tides") == []
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("headers", "patience", "tries"), [({"Retry-After": "3600"}, 30, 1), ({}, 0, 1), ({"Retry-After": "0"}, 0.25, 4)]
)
def test_patience_has_an_end(headers, patience, tries):
    opened, asked = client(*[problem(429, "Too many requests.", **headers)] * 9, patience=patience)
    with pytest.raises(ServiceError, match="Too many requests") as error:
        opened.search("tides")
    assert isinstance(error.value, BusyError)
    assert len(asked) == tries


def test_what_the_retriever_refuses_is_refused_before_it_is_sent():
    opened, asked = client()
    for wrong in (
        lambda: opened.search(" "),
        lambda: opened.search_many("tides"),
        lambda: opened.search("tides", where={"a": object()}),
        lambda: opened.search("tides", recall=object()),
        lambda: opened.explain("tides"),
        lambda: opened.explain("tides", "a", text="b"),
    ):
        with pytest.raises(SettingError):
            wrong()
    with pytest.raises(DataError):
        opened.add([7])
    assert not asked
