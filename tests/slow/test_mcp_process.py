"""`tardif mcp` as a process: the SDK's own client over stdio and HTTP, and what stdout holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tardif import Retriever
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model
from tardif.encoder.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mcp")]

# Seconds to wait on a machine that has other work.
TIME = 600
QUERY, TOKEN = "what makes the tides?", "correct-horse-battery-staple"
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
DOCUMENTS = [
    {"id": "tides", "text": "The moon pulls the sea and makes the tides.", "lang": "en"},
    {"id": "bread", "text": "Bake the bread for forty minutes.", "lang": "en"},
]


@pytest.fixture(scope="module")
def folder(bert_tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("mcp")
    model = build_model(resolve_base(str(bert_tiny)), Recipe(dim=32))
    model.save_pretrained(str(root / "model"), create_model_card=False)
    Retriever.build(root / "model", DOCUMENTS, root / "support.index", quiet=True).close()
    return root / "support.index"


def command(*arguments):
    return [sys.executable, "-m", "tardif", "mcp", *map(str, arguments)]


async def the_hits(client, folder):
    answer = await client.call_tool("search", {"query": QUERY, "filter": "lang = 'en'"})
    found = [(hit["document_id"], hit["score"]) for hit in answer.structured_content["hits"]]
    with Retriever(folder) as retriever:
        assert found == [(hit.document_id, hit.score) for hit in retriever.search(QUERY)]
    wrong = await client.call_tool("search", {"query": QUERY, "filter": "lang = en"})
    assert wrong.is_error
    assert "The filter, column 8" in wrong.content[0].text


async def test_an_agent_searches_over_stdio(folder):
    first, *rest = command(f"docs={folder}")
    async with Client(StdioServerParameters(command=first, args=rest, env=dict(os.environ))) as client:
        assert "Index docs: 2 documents" in (await client.list_tools()).tools[0].description
        await the_hits(client, folder)


def test_ctrl_c_ends_it(folder):
    with subprocess.Popen(
        command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIME) == 130
        assert process.stderr.read() == "Interrupted.\n"


def test_stdout_holds_the_protocol_alone_and_the_end_of_stdin_ends_it(folder):
    sent = [
        {"id": 1, "method": "initialize", "params": HELLO},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "search", "arguments": {"query": QUERY}}},
        {"id": 3, "method": "tools/call", "params": {"name": "search", "arguments": {"query": ""}}},
    ]
    with subprocess.Popen(
        command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        answers = []
        for message in sent:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
            if "id" in message:
                answers.append(json.loads(process.stdout.readline()))
        maps = Path(f"/proc/{process.pid}/maps")
        mapped = maps.read_text() if maps.exists() else ""
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        assert process.wait(TIME) == 0
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert [answer["result"].get("isError", False) for answer in answers[1:]] == [False, True]
    assert "libtorch" not in mapped


def test_what_cannot_be_served_is_one_line(tmp_path):
    done = subprocess.run(command(tmp_path), input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    done = subprocess.run(command(tmp_path, "--port", "1"), input="", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "only with --http" in done.stderr


@contextmanager
def over_http(folder, **environment):
    process = subprocess.Popen(
        command(folder, "--http", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        rest = process.communicate(timeout=TIME)[0]
    assert rest == ""
    assert process.returncode == 0


async def test_agents_search_over_http_with_the_token_only(folder):
    with over_http(folder, TARDIF_TOKEN=TOKEN) as (_, url):
        assert url.endswith("/mcp")
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=TIME) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await the_hits(client, folder)
        for headers in ({}, {"Authorization": "Bearer another-token-of-ours"}):
            answer = httpx2.post(url, json={}, headers=headers, timeout=TIME)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_without_a_token_pages_of_other_hosts_are_refused(folder):
    with over_http(folder) as (_, url):
        async with Client(url) as client:
            await the_hits(client, folder)
        assert httpx2.post(url, json={}, headers={"Host": "evil.example"}, timeout=TIME).status_code == 421
        assert httpx2.post(url, json={}, headers={"Origin": "http://evil.example"}, timeout=TIME).status_code == 403
