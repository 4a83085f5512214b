"""What the adapter asks of a Qdrant service, over HTTP: paths and bodies, and what it makes of the answers.

The answers were recorded in the form of Qdrant 1.20's interface. Its client's models, which are generated from the
interface's description, read the bodies of the requests.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import numpy as np
import pytest

import token_vectors as plain
from local_server import LocalServer
from tardif.errors import FolderError, ServiceError, SettingError
from tardif.index.filters import parse_filter
from tardif.index.qdrant.payload import payload_of, point_id
from tardif.index.qdrant.places import FORMAT, VERSION, open_qdrant, qdrant_place
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.types import Document

ABOUT = {"format": FORMAT, "version": VERSION, "whole": True, "model": {"fingerprint": "f"}, "pool": 1.0}
DONE = {"operation_id": 1, "status": "completed"}
ID = point_id("a")
PAYLOAD = payload_of(Document("a", "text", metadata={"year": 2024}), None, "here", 0)


def collection(metadata, indexed=0):
    vector = {"size": 12, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}, "datatype": "float32"}
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": indexed,
        "points_count": 1,
        "segments_count": 2,
        "config": {
            "params": {"vectors": {"tokens": vector}, "shard_number": 1, "replication_factor": 1},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "metadata": metadata,
        },
        "payload_schema": {},
    }


class Service:
    """Answers as a Qdrant service with one document; keeps the requests."""

    def __init__(self):
        self.asked, self.metadata, self.status, self.raw = [], {"tardif": ABOUT}, 200, None
        self.answers = {
            ("GET", ""): lambda body: collection(self.metadata),
            ("GET", "/exists"): lambda body: {"exists": self.metadata is not None},
            ("PUT", ""): lambda body: True,
            ("PATCH", ""): lambda body: True,
            ("DELETE", ""): lambda body: True,
            ("PUT", "/index"): lambda body: DONE,
            ("PUT", "/points"): lambda body: DONE,
            ("POST", "/points/delete"): lambda body: DONE,
            ("POST", "/points/payload"): lambda body: DONE,
            ("POST", "/points/count"): lambda body: {"count": 1},
            ("POST", "/points/scroll"): lambda body: {
                "points": [{"id": ID, "payload": PAYLOAD}],
                "next_page_offset": None,
            },
            ("POST", "/points"): lambda body: [
                {"id": ID, "payload": PAYLOAD, "vector": {"tokens": plain.vectors_of(1, 2).tolist()}}
            ],
            ("POST", "/points/query/batch"): lambda body: [
                {"points": [{"id": ID, "version": 1, "score": 2.5, "payload": PAYLOAD}]} for _ in body["searches"]
            ],
        }
        self.missing, self.headers = 0, {}  # bytes of the answer that never come; and more headers
        self.server = LocalServer(self._handler())
        self.place = qdrant_place(f"{self.server.url}/docs")

    def _handler(service):  # noqa: N805  the handler below has its own self
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body, path = json.loads(raw) if raw else None, urlsplit(self.path)
                inner = path.path.removeprefix("/collections/docs")
                service.asked.append((self.command, inner, path.query, body, self.headers.get("api-key")))
                answered = service.answers[self.command, inner](body) if service.status == 200 else None
                said = {"error": "the service says no"} if answered is None else "ok"
                content = json.dumps({"result": answered, "status": said, "time": 0.001}).encode()
                content = content if service.raw is None else service.raw
                self.send_response(service.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content) + service.missing))
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        for verb in ("GET", "PUT", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{verb}", Handler.answer)
        return Handler

    def bodies(self, method, path):
        return [body for m, p, _, body, _ in self.asked if (m, p) == (method, path)]


@pytest.fixture
def models():
    """The client's models; imported here, because that takes a second."""
    from qdrant_client import models

    return models


@pytest.fixture
def service(monkeypatch):
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    made = Service()
    yield made
    made.server.close()


def test_a_collection_is_created_for_maxsim_with_its_payload_indexes(models, service):
    service.metadata = None
    service.answers["POST", "/points/scroll"] = lambda body: {"points": [], "next_page_offset": None}
    with QdrantIndex(service.place.engine(), ABOUT) as index:
        assert index.add([Document("a", "text")], plain.vectors_of(1, 2), [2], source="here") == 0
    (created,) = service.bodies("PUT", "")
    read = models.CreateCollection.model_validate(created)
    tokens = read.vectors["tokens"]
    assert (tokens.size, tokens.distance, tokens.datatype) == (plain.DIM, models.Distance.DOT, models.Datatype.FLOAT32)
    assert tokens.multivector_config.comparator == models.MultiVectorComparator.MAX_SIM
    assert read.metadata == {"tardif": ABOUT}
    indexes = [models.CreateFieldIndex.model_validate(body) for body in service.bodies("PUT", "/index")]
    assert {(i.field_name, i.field_schema.value) for i in indexes} == {
        ("document", "keyword"),
        ("tardif.facts", "keyword"),
        ("tardif.order", "integer"),
    }
    (stored,) = service.bodies("PUT", "/points")
    (point,) = models.PointsList.model_validate(stored).points
    assert point.id == ID
    np.testing.assert_array_equal(np.array(point.vector["tokens"], np.float32), plain.vectors_of(1, 2))
    assert (point.payload["id"], point.payload["document"], point.payload["source"]) == ("a", "a", "here")
    # Written means found: every change waits until it is applied.
    assert all("wait=true" in query for method, path, query, *_ in service.asked if method == "PUT" and path)


def test_documents_are_uploaded_in_requests_that_the_service_takes(models, service, monkeypatch):
    monkeypatch.setattr("tardif.index.qdrant.http_engine._COMPONENTS", 5 * plain.DIM)
    documents, vectors, lengths = plain.some(9)
    with open_qdrant(service.place) as index:
        index.add(documents, vectors, lengths)
    uploads = [models.PointsList.model_validate(body).points for body in service.bodies("PUT", "/points")]
    assert [point.payload["id"] for points in uploads for point in points] == [document.id for document in documents]
    assert all(len(points) == 1 or sum(len(p.vector["tokens"]) for p in points) <= 5 for points in uploads)
    orders = [point.payload["tardif"]["order"] for points in uploads for point in points]
    assert orders == list(range(1, 10))  # after the document that is there


def test_queries_are_one_request_with_filter_and_limit(models, service):
    where = parse_filter("year >= 2020 and lang = 'en'")
    with open_qdrant(service.place) as index:
        found = index.search(plain.vectors_of(3, 5), [2, 0, 3], 4, where=where, exact=True)
    assert found == [[("a", 2.5)], [], [("a", 2.5)]]
    (body,) = service.bodies("POST", "/points/query/batch")
    searches = models.QueryRequestBatch.model_validate(body).searches
    assert [(s.using, s.params.exact, s.limit >= 4, len(s.query.nearest)) for s in searches] == [
        ("tokens", True, True, 2),
        ("tokens", True, True, 3),
    ]
    (numbers, fact) = searches[0].filter.must
    assert numbers.must[0].range.gte == 2020
    assert fact.must[0].match.any == ['["lang"]="en"']
    assert searches[0].with_payload == ["id"]  # texts are asked for where hits are shown


def test_texts_of_hits_come_with_the_search(service):
    with open_qdrant(service.place) as index, index.moment():
        index.search(plain.vectors_of(3, 2), [2], 1)
        assert index.get(["a"])["a"] == Document("a", "text", metadata={"year": 2024})
        assert index.wholes(["a"]) == {"a": "a"}
    assert not service.bodies("POST", "/points/scroll")


def test_changes_name_documents_and_wait(models, service):
    with open_qdrant(service.place) as index:
        assert (index.delete(["a", "b"]), index.delete_where(parse_filter("year = 2024")), len(index)) == (1, 1, 1)
        index.adopt(["a"], "there")
        assert (index.sources(), index.keys(), index.prunes) == ({"a": "here"}, ["year"], False)
        (matches,) = index.matches(plain.vectors_of(3, 2), ["a"])
        assert matches.score == sum(matches.values.tolist()) == 2.5
        index.note("chunk", "auto")
    chosen = [models.FilterSelector.model_validate(body).filter for body in service.bodies("POST", "/points/delete")]
    assert [(f.must[0].key, f.must[0].match.any) for f in chosen] == [("document", ["a"])] * 2
    (assigned,) = map(models.SetPayload.model_validate, service.bodies("POST", "/points/payload"))
    assert (assigned.payload, assigned.filter.must[0].match.any) == ({"source": "there"}, ["a"])
    (updated,) = map(models.UpdateCollection.model_validate, service.bodies("PATCH", ""))
    assert updated.metadata["tardif"]["notes"] == {"chunk": "auto"}
    assert models.CountRequest.model_validate(service.bodies("POST", "/points/count")[0]).exact
    assert models.PointRequest.model_validate(service.bodies("POST", "/points")[0]).with_vector == ["tokens"]


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_comes_from_the_environment_and_is_in_no_address(service, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    open_qdrant(service.place).close()
    assert {key for *_, key in service.asked} == {"s3cret"}
    with pytest.raises(SettingError, match="set QDRANT_API_KEY") as caught:
        qdrant_place("http://user:s3cret@host:6333/docs")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, ServiceError, r"the service says no.*set the environment variable QDRANT_API_KEY"),
        (403, ServiceError, "QDRANT_API_KEY"),
        (404, FolderError, "build it with tardif index"),
        (400, SettingError, "refuses the request: the service says no"),
        (500, ServiceError, r"failed with status 500 \(the service says no\): try again"),
    ],
)
def test_refusals_say_what_to_do(service, status, error, said):
    index = open_qdrant(service.place)
    service.status = status
    with pytest.raises(error, match=said):
        index.search(plain.vectors_of(3, 2), [2], 1)
    index.close()


PAGE = b"<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize(
    ("status", "raw", "said"),
    [
        (200, PAGE, "is no JSON"),
        (200, b"", "is no JSON"),
        (200, b'{"result": {"exists"', "is no JSON"),
        (200, b"\xff\xfe\x00", "is no JSON"),
        (200, b"[" * 100_000, "is no Qdrant service"),
        (200, b"{}", "has another form"),
        (200, b'{"result": null}', "has another form"),
        (200, b'{"result": [1, 2], "status": "ok", "time": 0}', "has another form"),
        (200, b'"ok"', "has another form"),
        (301, b"", "status 301"),
        (404, PAGE, "status 404"),
        (400, PAGE, "status 400"),
    ],
)
def test_an_answer_that_is_none_of_qdrant_is_one_error_with_the_address(service, status, raw, said):
    index = open_qdrant(service.place)
    service.status, service.raw = status, raw
    asked = [
        lambda: open_qdrant(service.place),
        lambda: index.search(plain.vectors_of(3, 2), [2], 1),
        lambda: len(index),
        index.sources,
        lambda: index.add([Document("b", "x")], plain.vectors_of(1, 1), [1]),
        lambda: index.matches(plain.vectors_of(1, 1), ["a"]),
    ]
    for ask in asked:
        with pytest.raises(ServiceError, match="is no Qdrant service") as caught:
            ask()
        assert said in str(caught.value)
        assert str(service.place) in str(caught.value)
        assert "check host and port" in str(caught.value)
        assert str(caught.value).count("\n") == 0
    index.close()


def test_an_answer_that_breaks_off_is_one_error(service):
    index = open_qdrant(service.place)
    service.missing = 10
    with pytest.raises(ServiceError, match="its answer breaks off"):
        len(index)
    index.close()


def test_answers_that_miss_a_query_or_an_id_are_errors(service):
    path = ("POST", "/points/query/batch")
    index, whole = open_qdrant(service.place), service.answers[path]
    service.answers[path] = lambda body: whole(body)[1:]
    with pytest.raises(ServiceError, match="has another form"):
        index.search(plain.vectors_of(3, 2), [2], 1)
    service.answers[path] = lambda body: [{"points": [{"id": ID, "version": 1, "score": 2.5}]}]
    with pytest.raises(FolderError, match=f"{ID}, which Tardif did not write"):
        index.search(plain.vectors_of(3, 2), [2], 1)
    index.close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_no_error_shows_the_key(service, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", " s3cret\n")
    index = open_qdrant(service.place)
    assert {key for *_, key in service.asked} == {"s3cret"}
    service.status, service.raw = 500, b'{"status": {"error": "no such key: s3cret\\n' + b"x" * 9999 + b'"}}'
    with pytest.raises(ServiceError, match=r"status 500 \(no such key: \.\.\.") as caught:
        len(index)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 600
    index.close()
    for wrong in ("s3cr\u00e9t", "s3\ncret"):
        monkeypatch.setenv("QDRANT_API_KEY", wrong)
        with pytest.raises(SettingError, match="QDRANT_API_KEY holds characters") as refused:
            open_qdrant(service.place)
        assert wrong not in str(refused.value)


def test_a_service_that_says_wait_is_busy(service):
    index = open_qdrant(service.place)
    service.status, service.headers = 429, {"Retry-After": "3"}
    with pytest.raises(ServiceError, match="is busy"):
        len(index)
    index.close()


def test_what_is_no_index_is_refused(service):
    service.metadata = {"other": 1}
    with pytest.raises(FolderError, match="a collection that Tardif did not build"):
        open_qdrant(service.place)
    service.metadata = None
    with pytest.raises(FolderError, match="is not there: build it"):
        open_qdrant(service.place)
    service.metadata = {"tardif": {**ABOUT, "whole": False}}
    with pytest.raises(FolderError, match="is not whole: rerun"):
        open_qdrant(service.place)
    service.metadata = {"tardif": {**ABOUT, "version": 99}}
    with pytest.raises(FolderError, match="another version"):
        open_qdrant(service.place)


def test_a_service_that_is_not_there_is_named():
    gone = LocalServer(BaseHTTPRequestHandler)
    gone.close()
    with pytest.raises(ServiceError, match=r"No Qdrant service answers for http://127.0.0.1:\d+/docs"):
        open_qdrant(qdrant_place(f"{gone.url}/docs"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://host:6333/docs", "http://host:6333/docs"),
        ("https://host/below/docs/", "https://host:6333/below/docs"),
        ("http://host/docs", "http://host:6333/docs"),
        ("http://[::1]/docs", "http://[::1]:6333/docs"),
        ("https://host:443/docs", "https://host:443/docs"),
        ("docs.index", None),
        ("/edge/docs", None),
    ],
)
def test_places_are_told_from_folders(given, found):
    place = qdrant_place(given)
    assert (None if place is None else str(place)) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://host:6333", "is given as http://HOST:6333/COLLECTION"),
        ("http://host:6333/docs?a=1", "is given as"),
        ("http://host:8000/indexes/law", "open it with tardif.Client"),
        ("edge:", "give the folder"),
    ],
)
def test_addresses_that_name_no_collection_are_refused(given, said):
    with pytest.raises(SettingError, match=said):
        qdrant_place(given)
