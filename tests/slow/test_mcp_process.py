"""`tardif mcp` as a process: the SDK's own client over stdio and HTTP, and what stdout holds."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import tomllib
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

# The page with the configurations, and what in it stands for the reader's own: the command, the index, the address.
PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text("utf-8")
COMMAND, INDEX, ADDRESS = "/home/me/venv/bin/tardif", "/home/me/support.index", "http://search.example:8001"
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
        # What would wait for ever for words of the server is refused, and holds no connection.
        refused = httpx2.get(url, headers={"Accept": "text/event-stream"}, timeout=TIME)
        assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
        assert httpx2.post(url, json={}, headers={"Host": "evil.example"}, timeout=TIME).status_code == 421
        assert httpx2.post(url, json={}, headers={"Origin": "http://evil.example"}, timeout=TIME).status_code == 403


def blocks(language):
    """The blocks of code of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def entries():
    """Every server that a configuration of the page names, by its block."""
    for text in blocks("json"):
        found = json.loads(text)
        (servers,) = [found[key] for key in ("mcpServers", "servers") if key in found]
        yield from servers.items()
    for text in blocks("toml"):
        yield from tomllib.loads(text)["mcp_servers"].items()
    for line in "".join(blocks("sh")).splitlines():
        *_, name, dashes, command, mcp, index = shlex.split(line)
        assert dashes == "--"
        yield name, {"command": command, "args": [mcp, index]}


STARTED = [entry for _, entry in entries() if "command" in entry]
REACHED = [entry for _, entry in entries() if "command" not in entry]


def test_the_page_has_configurations_to_be_tested():
    assert len(STARTED) >= 4
    assert len(REACHED) >= 5
    assert all(name == "support" for name, _ in entries())


@pytest.mark.parametrize("entry", STARTED, ids=json.dumps)
async def test_a_configuration_of_the_page_starts_and_answers(entry, folder, tmp_path):
    assert entry.keys() <= {"command", "args", "type"}
    assert entry.get("type", "stdio") == "stdio"
    assert (entry["command"], entry["args"][-1]) == (COMMAND, INDEX)
    script = Path(sysconfig.get_path("scripts")) / "tardif"
    arguments = [argument.replace(INDEX, str(folder)) for argument in entry["args"]]
    # As an agent's program starts it: little of the user's environment, and a working folder of its own.
    here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parameters = StdioServerParameters(command=str(script), args=arguments, env=here, cwd=tmp_path)
    async with Client(parameters) as client:
        await the_hits(client, folder)


async def test_the_addresses_and_headers_of_the_page_are_taken(folder):
    with over_http(folder, TARDIF_TOKEN=TOKEN) as (_, url):
        for entry in REACHED:
            # Each program has its own key for the address and its own way to a variable.
            (address,) = [entry[key] for key in ("url", "httpUrl") if key in entry]
            assert entry.get("type", "http") == "http"
            if "headers" in entry:
                given = re.sub(
                    r"\$(TARDIF_TOKEN|\{[a-z:]*TARDIF_TOKEN\}|\{input:token\})", TOKEN, json.dumps(entry["headers"])
                )
                headers = json.loads(given)
            else:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                assert entry["bearer_token_env_var"] == "TARDIF_TOKEN"
            async with (
                httpx2.AsyncClient(headers=headers, timeout=TIME) as http,
                Client(
                    streamable_http_client(address.replace(ADDRESS, url.removesuffix("/mcp")), http_client=http)
                ) as client,
            ):
                await the_hits(client, folder)
