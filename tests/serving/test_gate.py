"""Who may ask, and how much: the gate, admission and limits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from service import StandIn, asking, is_problem
from tardif.errors import SettingError
from tardif.serving.application import create_app
from tardif.serving.authorization import check_origin, is_loopback, read_token
from tardif.serving.feedback import Feedback
from tardif.serving.limits import ServiceLimits
from tardif.serving.opening import read_names
from tardif.serving.service_options import ServiceOptions

TOKEN = "0123456789abcdef"
SEARCH, DOCS = "/indexes/support/search", "/indexes/support/documents"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ü"]
)
async def test_without_the_token_nothing_is_answered(header):
    headers = {} if header is None else {"Authorization": header.encode()}
    async with asking(StandIn(), token=TOKEN, loopback=False, base="http://any.example") as client:
        del client.headers["authorization"]
        for method, path in [("GET", "/indexes"), ("POST", SEARCH), ("GET", "/metrics"), ("GET", "/nothing")]:
            answer = await client.request(method, path, headers=headers)
            assert "token" in is_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
        assert (await client.get("/healthz", headers=headers)).status_code == 200
        assert (await client.get("/readyz", headers=headers)).status_code == 200


async def test_the_token_opens_under_any_host():
    async with asking(StandIn(), token=TOKEN, loopback=False, base="http://any.example") as client:
        assert (await client.get("/indexes")).status_code == 200
        assert (await client.get("/indexes", headers={"Authorization": f"bearer  {TOKEN} "})).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1", "127.8.8.8"])
async def test_this_machine_may_ask_without_a_token(host):
    async with asking(StandIn()) as client:
        assert (await client.get("/indexes", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "", "0.0.0.0", "10.0.0.1", "[::2]", "[", ":"],
)
async def test_a_name_that_was_resolved_to_this_machine_may_not(host):
    async with asking(StandIn()) as client:
        assert "Host" in is_problem(await client.get("/indexes", headers={"Host": host}), 421)
        is_problem(await client.get("/healthz", headers={"Host": host}), 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9000", "file://", ""])
async def test_pages_of_other_origins_may_not_have_a_browser_ask(origin):
    async with asking(StandIn()) as client:
        for method, path in [("POST", SEARCH), ("PUT", DOCS), ("DELETE", DOCS)]:
            answer = await client.request(method, path, json={}, headers={"Origin": origin})
            assert "origin" in is_problem(answer, 403)
            assert "access-control-allow-origin" not in answer.headers
        own = await client.post(SEARCH, json={"query": "q"}, headers={"Origin": "http://localhost:8000"})
        assert own.status_code == 200


async def test_a_named_origin_may_ask_and_read():
    origin = "https://search.example"
    async with asking(StandIn(), allow_origins=(origin,), token=TOKEN) as client:
        preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        preflight |= {"Access-Control-Request-Headers": "authorization,content-type"}
        answer = await client.options(DOCS, headers={**preflight, "Authorization": ""})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in answer.headers
        asked = await client.post(SEARCH, json={"query": "q"}, headers={"Origin": origin})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
        refused = await client.post(SEARCH, json={"query": "q"}, headers={"Origin": origin, "Authorization": "x"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)
        other = await client.options(DOCS, headers={**preflight, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    async with asking(StandIn(), allow_origins=(origin,)) as client:  # a proxy that keeps the Host
        assert (await client.get("/indexes", headers={"Host": "search.example"})).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "/"),
        *("multipart/form-data; boundary=x", "application/json; charset=latin-1"),
    ],
)
async def test_only_json_is_taken(kind):
    async with asking(StandIn()) as client:
        headers = {} if kind is None else {"Content-Type": kind}
        is_problem(await client.post(SEARCH, content=b'{"query": "q"}', headers=headers), 415)
        packed = await client.post(SEARCH, content=b"x", headers={**JSON, "Content-Encoding": "gzip"})
        is_problem(packed, 415)
        plain = {"Content-Type": "application/json; charset=UTF-8", "Content-Encoding": "identity"}
        assert (await client.post(SEARCH, content=b'{"query": "q"}', headers=plain)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"query": "q", "k": NaN}',
        b'{"query": "a", "query": "b"}',
        b"[" * 50_000,
        b'{"query": "\\ud800"}',
    ],
)
async def test_json_without_a_single_meaning_is_refused(body):
    async with asking(StandIn()) as client:
        is_problem(await client.post(SEARCH, content=body, headers=JSON), 400)


async def test_a_large_body_is_read_in_parts_and_refused_beyond_the_limit():
    async with asking(StandIn(), limits=ServiceLimits(body_bytes=200_000)) as client:
        body = json.dumps({"documents": [{"document_id": "a", "text": "x" * 150_000}]}).encode()

        async def parts(*given):
            for part in given:
                yield part

        assert (await client.put(DOCS, content=parts(body[:9], body[9:]), headers=JSON)).json()["added"] == 1
        # Said beforehand, and found while reading.
        assert "200,000 bytes" in is_problem(await client.put(DOCS, content=body * 2, headers=JSON), 413)
        is_problem(await client.put(DOCS, content=parts(body, body), headers=JSON), 413)
        is_problem(await client.put(DOCS, content=b"{}", headers={**JSON, "Content-Length": "9" * 5000}), 413)
        assert (await client.put(DOCS, content=body, headers=JSON)).status_code == 200


async def test_a_slow_body_is_not_waited_for():
    limits = ServiceLimits(body_seconds=0.1)
    async with asking(StandIn(), limits=limits) as client:
        never = asyncio.Event()

        async def parts():
            yield b"{"
            await never.wait()

        # The transport gives the application one part, and then waits.
        answer = await client.post(SEARCH, content=parts(), headers=JSON)
        assert "within 0.1 s" in is_problem(answer, 408)


async def test_bodies_that_fill_the_memory_are_refused_until_others_are_done():
    index = StandIn()
    index.gate.clear()
    async with asking(index, limits=ServiceLimits(buffered_bytes=1000)) as client:
        body = {"query": "x" * 700}
        first = asyncio.create_task(client.post(SEARCH, json=body))
        while not index.asked:
            await asyncio.sleep(0)
        answer = await client.post(SEARCH, json=body)
        is_problem(answer, 429)
        assert answer.headers["retry-after"] == "1"
        index.gate.set()
        assert (await first).status_code == 200
        assert (await client.post(SEARCH, json=body)).status_code == 200


async def test_more_requests_than_are_admitted_are_refused_at_once():
    index = StandIn()
    index.gate.clear()
    async with asking(index, limits=ServiceLimits(requests=2, waiting_documents=3)) as client:
        waiting = [asyncio.create_task(client.post(SEARCH, json={"query": "q"})) for _ in range(2)]
        given = {"documents": [{"document_id": str(number), "text": "t"} for number in range(2)]}
        waiting += [asyncio.create_task(client.put(DOCS, json=given))]
        while len(index.asked) < 3:
            await asyncio.sleep(0)
        for answer in (await client.post(SEARCH, json={"query": "q"}), await client.put(DOCS, json=given)):
            is_problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
        # It still says that it lives.
        assert (await client.get("/healthz")).status_code == 200
        index.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert (await client.post(SEARCH, json={"query": "q"})).status_code == 200


async def test_one_request_may_have_more_documents_than_may_wait():
    async with asking(StandIn(), limits=ServiceLimits(waiting_documents=1)) as client:
        given = {"documents": [{"document_id": str(number), "text": "t"} for number in range(2)]}
        assert (await client.put(DOCS, json=given)).json()["added"] == 2


async def test_an_answer_that_takes_too_long_is_given_up():
    index = StandIn()
    index.gate.clear()
    async with asking(index, limits=ServiceLimits(answer_seconds=1, requests=1)) as client:
        answer = await client.post(SEARCH, json={"query": "q"})
        is_problem(answer, 503)
        index.gate.set()
        assert (await client.post(SEARCH, json={"query": "q"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        (SEARCH, {"query": "q", "k": 11}, "k"),
        (SEARCH, {"query": "q", "k": 10**30}, "k"),
        (SEARCH, {"query": "q" * 21}, "query"),
        (SEARCH, {"queries": ["q"] * 4}, "queries"),
        (SEARCH, {"queries": ["q" * 21]}, "queries"),
        (SEARCH, {"query": "q", "filter": "x" * 31}, "filter"),
        (SEARCH, {"queries": ["q"] * 3, "k": 9}, "k"),
        (SEARCH, {"queries": ["q"] * 2, "k": 9, "explain": True}, "k"),
        ("/indexes/support/rerank", {"query": "q", "documents": ["d"] * 3}, "documents"),
        (DOCS, {"documents": [{"document_id": "d", "text": ""}] * 3}, "documents"),
        ("/indexes/support/explain", {"query": "q" * 21, "text": "t"}, "query"),
    ],
)
async def test_a_request_for_too_much_names_the_limit(path, asked, field):
    limits = ServiceLimits(k=10, query_characters=20, queries=3, filter_characters=30, rerank_documents=2, documents=2)
    limits = replace(limits, hits=26, explained_hits=17)
    index = StandIn()
    async with asking(index, limits=limits) as client:
        answer = await client.request("PUT" if path == DOCS else "POST", path, json=asked)
    assert is_problem(answer, 400).startswith(f"{field}: ")
    assert not index.asked


async def test_as_many_hits_as_are_allowed_are_found():
    limits = ServiceLimits(k=50, hits=26, explained_hits=17)
    async with asking(StandIn(), limits=limits) as client:
        for asked in (
            {"queries": ["q"] * 2, "k": 13},
            {"query": "q", "k": 50},
            {"query": "q", "k": 17, "explain": True},
            {"queries": [], "k": 50, "explain": True},
        ):
            assert (await client.post(SEARCH, json=asked)).status_code == 200


def test_limits_are_changed_by_their_names():
    changed = ServiceLimits().with_texts({"k": "5000", "body_bytes": "64MiB", "idle_seconds": " 5 "})
    assert (changed.k, changed.body_bytes, changed.idle_seconds) == (5000, 64 << 20, 5)
    for name, text in [("q", "1"), ("k", "0"), ("k", "-1"), ("k", "many"), ("k", "1e9"), ("k", "9" * 20), ("k", "٣")]:
        with pytest.raises(SettingError, match=f"--limit {name}"):
            ServiceLimits().with_texts({name: text})


def test_a_token_comes_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, {"TARDIF_TOKEN": "another one, ignored"}) == TOKEN
    assert read_token(None, {"TARDIF_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, {}) is None
    for bad in ("short", "", "with a space in the middle", "ü" * 20, "x" * 5000, "a\nb" * 10):
        with pytest.raises(SettingError) as refused:
            read_token(None, {"TARDIF_TOKEN": bad})
        assert not bad or bad not in str(refused.value)
    with pytest.raises(SettingError, match="cannot be read"):
        read_token(tmp_path / "none")
    with pytest.raises(SettingError, match="not a regular file"):
        read_token(tmp_path)


def test_addresses_of_this_machine_alone():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2")] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "192.168.1.1")))


def test_origins_are_written_as_browsers_write_them():
    assert check_origin(" HTTPS://Search.example:8443/ ") == "https://search.example:8443"
    for bad in ("*", "null", "search.example", "https://a.b/path", "ftp://a.b", "https://", "https://a b"):
        with pytest.raises(SettingError, match="--allow-origin"):
            check_origin(bad)


def test_names_of_indexes(tmp_path):
    for folder in ("support.index", "two words", "a=b"):
        (tmp_path / folder).mkdir()
    found = read_names([f"{tmp_path}/support.index/", f"docs={tmp_path}/two words", f"{tmp_path}/x/../a.index"])
    assert list(found) == ["support.index", "docs", "a.index"]
    for bad in ("two words", "a=b", ".."):
        with pytest.raises(SettingError, match="name"):
            read_names([f"{tmp_path}/{bad}", f"{tmp_path}/a=b"])
    with pytest.raises(SettingError, match="another index is named"):
        read_names([f"{tmp_path}/support.index", f"support.index={tmp_path}/two words"])


def test_a_home_folder_is_found_also_behind_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read_names(["docs=~/support.index"]) == {"docs": tmp_path / "support.index"}
    (tmp_path / "token").write_text(TOKEN)
    assert read_token(Path("~/token"), {}) == TOKEN
    assert Feedback("~/judged.jsonl").path == tmp_path / "judged.jsonl"


async def left(index, method, path, body):
    """Ask, and leave when the index has the question; what it asks for is held up. Whether anything was answered."""
    app, sent, answers = create_app({index.name: index}, ServiceOptions()), asyncio.Event(), []
    index.gate.clear()

    async def receive():
        if not sent.is_set():
            sent.set()
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        while not index.asked:
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message):
        answers.append(message)

    headers = [(b"host", b"localhost:8000"), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
    asked = asyncio.ensure_future(app(scope, receive, send))
    while not index.asked:
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    index.gate.set()
    await asked
    return answers


async def test_a_client_that_leaves_takes_its_question_with_it():
    index = StandIn()
    assert not await left(index, "POST", SEARCH, {"query": "q"})


async def test_a_change_is_made_though_its_client_has_left():
    index = StandIn()
    assert await left(index, "PUT", DOCS, {"documents": [{"document_id": "new", "text": "New."}]})
    assert "new" in index.documents
