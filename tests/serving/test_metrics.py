"""Metrics and log lines: what is counted, and what is not said."""

from __future__ import annotations

import io
import json
import logging

import pytest

from service import StandIn, asking
from tardif.errors import FolderError
from tardif.serving.access_log import JsonLines, set_up


@pytest.fixture
def lines():
    """The lines that the service logs, read."""
    out = io.StringIO()
    logger = logging.getLogger("tardif.serving")
    before = logger.handlers, logger.propagate, logger.level
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


async def test_few_labels_whatever_is_asked():
    async with asking(StandIn()) as client:
        for number in range(20):
            await client.get(f"/indexes/unknown-{number}")
            await client.get(f"/nothing-{number}")
            await client.get(f"/indexes/support/documents/{number}")
            await client.request(f"X{number}", "/indexes")
        await client.post("/indexes/support/search", json={"queries": ["a", "b"]})
        page = await client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    counts = [line for line in page.text.splitlines() if line.startswith("tardif_requests_total")]
    assert sorted(counts) == [
        'tardif_requests_total{method="GET",route="/indexes/{name}",status="404"} 20.0',
        'tardif_requests_total{method="GET",route="/indexes/{name}/documents/{document_id}",status="404"} 20.0',
        'tardif_requests_total{method="GET",route="other",status="404"} 20.0',
        'tardif_requests_total{method="POST",route="/indexes/{name}/search",status="200"} 1.0',
        'tardif_requests_total{method="other",route="/indexes",status="405"} 20.0',
    ]
    assert 'tardif_queries_total{index="support"} 2.0' in page.text
    assert 'tardif_index_documents{index="support"} 3.0' in page.text
    assert "tardif_requests_in_progress 1.0" in page.text
    assert len(page.text.splitlines()) < 200


async def test_a_damaged_index_leaves_the_other_metrics():
    index = StandIn()
    index.fault = FolderError("damaged")
    async with asking(index, StandIn("law")) as client:
        page = (await client.get("/metrics")).text
    assert 'tardif_index_documents{index="law"} 3.0' in page
    assert 'index="support"} 3' not in page


async def test_a_line_says_what_was_done_and_nothing_of_its_content(lines):
    secret = "patient-17"
    token = "0123456789abcdef"
    async with asking(StandIn(), token=token) as client:
        await client.post("/indexes/support/search", json={"query": secret, "filter": f"{secret} >"})
        await client.put("/indexes/support/documents", json={"documents": [{"document_id": secret, "text": secret}]})
        await client.get(f"/indexes/support/documents/{secret}?{secret}")
        await client.get(f"/{secret}", headers={"Authorization": f"Bearer {secret}", "X-Request-Id": "a\tb"})
        await client.request(secret.upper(), "/indexes", headers={"User-Agent": secret})
    found = lines()
    assert [(line["event"], line["status"], line["index"]) for line in found] == [
        ("request", 400, "support"),
        ("request", 200, "support"),
        ("request", 200, "support"),
        ("request", 401, None),
        ("request", 405, None),
    ]
    assert found[1]["route"] == "/indexes/{name}/documents"
    assert set(found[0]) == {
        *("time", "level", "event", "id", "method", "route", "index", "status", "ms", "bytes", "client")
    }
    text = json.dumps(found).lower()
    assert secret not in text
    assert token not in text


def test_the_log_is_lines_of_json_on_stderr_also_of_libraries(capsys):
    names = ("tardif.serving", "uvicorn.error", "asyncio")
    before = {name: (*vars(logging.getLogger(name)).items(),) for name in names}
    try:
        set_up(quiet=True)
        logging.getLogger("tardif.serving").info("request")
        logging.getLogger("uvicorn.error").warning("two\nlines \x1b[31m")
        try:
            raise ValueError("a text of a document")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("failed")
    finally:
        for name, values in before.items():
            vars(logging.getLogger(name)).update(values)
    out, err = capsys.readouterr()
    assert out == ""
    first, second = [json.loads(line) for line in err.splitlines()]
    assert first["event"] == "two\\nlines \\x1b[31m"
    assert (second["error"], "message" in second) == ("ValueError", False)
    assert "a text" not in err
