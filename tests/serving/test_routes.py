"""What each route takes and answers."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from service import DOCUMENTS, StandIn, asking, is_problem
from tardif.errors import BusyError, FolderError, MissingExtraError, ModelError, ServiceError
from tardif.serving import requests_and_answers as bodies
from tardif.serving.application import create_app
from tardif.types import Document

SEARCH, DOCS = "/indexes/support/search", "/indexes/support/documents"


async def test_a_search_answers_as_the_command_line_prints():
    async with asking(StandIn()) as client:
        found = (await client.post(SEARCH, json={"query": "tides", "k": 2, "explain": True})).json()
    bodies.HitList.model_validate(found)
    assert found["query"] == "tides"
    assert list(found["hits"][0]) == [
        "rank", "document_id", "score", "title", "text", "metadata", "piece", "snippet", "matches", "title_matches"
    ]  # fmt: skip
    assert found["hits"][0]["metadata"] == {"lang": "en", "year": 2020}


async def test_many_queries_have_results_in_their_order():
    async with asking(StandIn()) as client:
        found = (await client.post(SEARCH, json={"queries": ["b", "a"], "k": 1})).json()
        none = (await client.post(SEARCH, json={"queries": []})).json()
    bodies.HitLists.model_validate(found)
    assert [result["query"] for result in found["results"]] == ["b", "a"]
    assert none == {"results": []}


async def test_the_options_of_a_search_reach_the_index():
    index = StandIn()
    asked = {"k": 3, "filter": {"lang": "en"}, "recall": 0.9, "exact": True, "hybrid": True, "word_share": 0.3}
    async with asking(index) as client:
        assert (await client.post(SEARCH, json={"query": "q", "group": True, **asked})).status_code == 200
    options = {"recall": 0.9, "exact": True, "hybrid": True, "word_share": 0.3, "group": True}
    assert index.asked == [("search", 3, {"lang": "en"}, options)]


async def test_a_search_that_finds_nothing_says_why():
    async with asking(StandIn()) as client:
        found = (await client.post(SEARCH, json={"query": "q", "filter": "@id = 'none'"})).json()
    assert found == {"query": "q", "hits": [], "note": "No document passes the filter."}


async def test_texts_and_documents_are_reranked():
    async with asking(StandIn()) as client:
        given = ["one", {"document_id": "two", "text": "2", "title": "T", "metadata": {"a": 1}}]
        found = (await client.post("/indexes/support/rerank", json={"query": "q", "documents": given, "k": 5})).json()
    bodies.HitList.model_validate(found)
    assert [(hit["document_id"], hit["position"]) for hit in found["hits"]] == [("0", 0), ("two", 1)]
    assert found["hits"][1]["metadata"] == {"a": 1}


async def test_a_document_or_a_text_is_explained():
    async with asking(StandIn()) as client:
        path = "/indexes/support/explain"
        stored = (await client.post(path, json={"query": "moon", "document_id": "tides"})).json()
        text = (await client.post(path, json={"query": "moon", "text": "The moon.", "similarities": True})).json()
        is_problem(await client.post(path, json={"query": "moon", "document_id": "nothing"}), 404)
        is_problem(await client.post(path, json={"query": "moon"}), 422)
        is_problem(await client.post(path, json={"query": "moon", "text": "a", "document_id": "tides"}), 422)
    assert "similarities" not in stored
    assert text["similarities"] == [[0.5]]
    for found in (stored, text):
        bodies.Explained.model_validate(found)
        assert sum(match["similarity"] for match in found["matches"]) == found["score"]


async def test_documents_are_added_replaced_got_and_deleted():
    async with asking(StandIn()) as client:
        given = [{"document_id": "new", "text": "t", "metadata": {"deep": {"list": [1, None]}}}]
        given += [{"document_id": "tides", "text": "changed"}]
        assert (await client.put(DOCS, json={"documents": given})).json() == {"added": 2, "replaced": 1}
        found = (await client.get(f"{DOCS}/new")).json()
        bodies.StoredDocument.model_validate(found)
        assert (found["text"], found["metadata"]) == ("t", {"deep": {"list": [1, None]}})
        deleted = await client.request("DELETE", DOCS, json={"document_ids": ["new", "unknown"]})
        assert deleted.json() == {"deleted": 1}
        assert "not in the index" in is_problem(await client.get(f"{DOCS}/new"), 404)


@pytest.mark.parametrize(
    "identity", ["a/b", "../../etc/passwd", "a b%", "ü\u2028", "?q=1", "\x00", "\n\r\n", "-" * 5000]
)
async def test_any_id_is_asked_for_by_its_percent_encoding(identity):
    from urllib.parse import quote

    async with asking(StandIn(documents=[Document(identity, "found")])) as client:
        answer = await client.get(f"{DOCS}/{quote(identity, safe='')}")
        assert answer.json()["document_id"] == identity


async def test_indexes_are_listed_and_described():
    async with asking(StandIn(), StandIn("law")) as client:
        found = (await client.get("/indexes")).json()
        one = (await client.get("/indexes/law")).json()
    bodies.IndexList.model_validate(found)
    assert [index["name"] for index in found["indexes"]] == ["support", "law"]
    assert one == found["indexes"][1]


async def test_at_its_start_the_log_names_indexes_that_cannot_take_documents(caplog):
    broken, whole, unchanged = StandIn("broken"), StandIn("whole"), StandIn("unchanged", read_only=True)
    broken.fault = unchanged.fault = FolderError("The model is not in /m any more.")
    app = create_app({index.name: index for index in (broken, whole, unchanged)})
    with caplog.at_level(logging.INFO, "tardif.serving"):
        async with app.router.lifespan_context(app):
            while not caplog.records:
                await asyncio.sleep(0)
    (record,) = caplog.records
    said = {"index": "broken", "error": "FolderError", "message": "The model is not in /m any more."}
    assert (record.levelname, record.values) == ("WARNING", said)
    assert all(index.closed for index in (broken, whole, unchanged))


async def test_an_index_that_is_gone_hides_no_other(caplog):
    gone, law = StandIn("gone"), StandIn("law")
    gone.fault = FolderError("/secret/gone.index is not an index.")
    async with asking(gone, law) as client:
        assert [index["name"] for index in (await client.get("/indexes")).json()["indexes"]] == ["law"]
        assert "The index gone is left out of the list: /secret/gone.index" in caplog.text
        is_problem(await client.get("/indexes/gone"), 500)
        law.fault = BusyError("Too many.", 7)
        is_problem(await client.get("/indexes"), 429)
        law.fault = gone.fault
        assert "/secret" not in is_problem(await client.get("/indexes"), 500)


async def test_feedback_is_kept():
    index = StandIn()
    async with asking(index) as client:
        path = "/indexes/support/feedback"
        asked = {"query": "q", "document_id": "tides", "label": 1}
        assert (await client.post(path, json=asked)).status_code == 204
        is_problem(await client.post(path, json={**asked, "document_id": "no"}), 404)
        for label in (2, -1, False, True, "1", None):
            is_problem(await client.post(path, json={**asked, "label": label}), 422)
        assert "--feedback FILE" in is_problem(await client.post(path, json={**asked, "query": "full"}), 400)
    assert index.judged == [("q", "tides", 1)]


async def test_an_unknown_index_is_a_problem_that_names_the_known():
    async with asking(StandIn(), StandIn("law")) as client:
        assert "support, law" in is_problem(await client.post("/indexes/other/search", json={"query": "q"}), 404)


async def test_the_librarys_message_is_the_detail():
    async with asking(StandIn()) as client:
        answer = await client.post(SEARCH, json={"query": "q", "filter": "year >"})
        assert "column" in is_problem(answer, 400)
        assert answer.json()["error"] == "SettingError"
        assert (
            is_problem(await client.post(SEARCH, json={"query": "  "}), 400) == "The query is empty: give some words."
        )
        given = {"documents": [{"document_id": "a", "text": "x"}, {"document_id": "a", "text": "y"}]}
        assert "number 2" in is_problem(await client.put(DOCS, json=given), 400)


async def test_a_read_only_index_refuses_changes():
    async with asking(StandIn(read_only=True)) as client:
        given = {"documents": [{"document_id": "a", "text": "x"}]}
        assert "read-only" in is_problem(await client.put(DOCS, json=given), 403)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BusyError("Too many.", 7), 429),
        (ServiceError("The worker died."), 503),
        (MissingExtraError("Encoding documents needs torch."), 501),
        (FolderError("/secret/x is bad."), 500),
        (ModelError("/secret/model is bad."), 500),
    ],
)
async def test_faults_of_the_service_have_their_status(error, status):
    index = StandIn()
    index.fault = error
    async with asking(index) as client:
        answer = await client.post(SEARCH, json={"query": "q"})
    detail = is_problem(answer, status)
    assert answer.headers.get("retry-after") == {BusyError: "7", ServiceError: "1"}.get(type(error))
    assert "/secret" not in detail
    says = {ModelError: "The model of this index cannot be opened", FolderError: "The index's folder cannot be"}
    assert says.get(type(error), "") in detail


async def test_an_unexpected_error_is_logged_without_its_message(caplog):
    index = StandIn()
    index.fault = ValueError("a text of a document")
    async with asking(index) as client:
        answer = await client.post(SEARCH, json={"query": "q"}, headers={"X-Request-Id": "proxy-7"})
        assert "a text" not in is_problem(answer, 500)
        assert answer.headers["x-request-id"] == "proxy-7"
    (record,) = [record for record in caplog.records if record.name == "tardif.serving"]
    assert record.values["id"] == "proxy-7"
    assert record.values["error"] == "ValueError"
    assert any("service.py" in place for place in record.values["places"])
    assert "a text" not in json.dumps(record.values)


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, ""),
        ({"query": 7}, "/query"),
        ({"query": "q", "k": "3"}, "/k"),
        ({"query": "q", "k": True}, "/k"),
        ({"query": "q", "k": 0}, "/k"),
        ({"query": "q", "fliter": "x"}, "/fliter"),
        ({"query": "q", "exact": 1}, "/exact"),
        ({"query": "q", "queries": ["q"]}, ""),
        ({"query": None}, "/query"),
        ([1], ""),
        ("text", ""),
    ],
)
async def test_a_body_that_does_not_fit_is_a_problem_with_the_place(asked, pointer):
    async with asking(StandIn()) as client:
        answer = await client.post(SEARCH, json=asked)
    is_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_body_may_not_be_missing():
    async with asking(StandIn()) as client:
        answer = await client.post(SEARCH, content=b"", headers={"Content-Type": "application/json"})
        is_problem(answer, 422)
        is_problem(await client.post(SEARCH, content=b"null", headers={"Content-Type": "application/json"}), 422)


async def test_a_head_is_a_get_without_its_body():
    async with asking(StandIn()) as client:
        head, get = await client.head("/indexes"), await client.get("/indexes")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))
        assert (await client.head("/indexes/none")).status_code == 404
        assert (await client.head(SEARCH)).status_code == 405


async def test_methods_that_a_route_lacks_are_refused_with_those_it_has():
    async with asking(StandIn()) as client:
        for method in ("PATCH", "GET", "TRACE", "BREW"):
            answer = await client.request(method, DOCS)
            is_problem(answer, 405)
            assert answer.headers["allow"] == "PUT, DELETE, OPTIONS"
        answer = await client.options("/indexes")
        assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        for path in ("/index", "/indexes/", "/indexes/a/b/c", "/docs", "/indexes/support/search/"):
            is_problem(await client.options(path), 404)


async def test_every_answer_has_the_headers_of_safety():
    async with asking(StandIn()) as client:
        for path in ("/indexes", "/nothing", "/metrics"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


async def test_health_and_readiness():
    index = StandIn()
    async with asking(index) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        async with client.app.router.lifespan_context(client.app):
            pass
        assert index.closed
        assert (await client.get("/healthz")).status_code == 200
        assert "stopping" in is_problem(await client.get("/readyz"), 503)


async def test_the_description_has_examples_and_limits():
    async with asking(StandIn(), token="0123456789abcdef") as client:
        schema = (await client.get("/openapi.json")).json()
    asked = schema["components"]["schemas"]["SearchRequest"]
    assert asked["examples"][0]["query"]
    assert asked["properties"]["k"] | {"maximum": 1000} == asked["properties"]["k"]
    assert asked["properties"]["queries"]["items"]["maxLength"] == 10_000
    assert schema["security"] == [{"token": []}]
    assert schema["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in schema["paths"]["/indexes"]["get"]
    problem = schema["paths"][SEARCH.replace("support", "{name}")]["post"]["responses"]["422"]["content"]
    assert problem == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


async def test_the_examples_work():
    async with asking(StandIn(documents=[*DOCUMENTS, Document("article-3", "x")])) as client:
        schema = (await client.get("/openapi.json")).json()
        asked = 0
        for path, methods in schema["paths"].items():
            for method, route in methods.items():
                if "requestBody" not in route:
                    continue
                reference = route["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                for example in schema["components"]["schemas"][reference.rpartition("/")[2]]["examples"]:
                    answer = await client.request(method, path.replace("{name}", "support"), json=example)
                    assert answer.is_success, answer.text
                    asked += 1
    assert asked == 9
