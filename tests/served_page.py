"""A real service with its page in a real browser, for tests/slow/test_page.py: documents, processes, tabs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

QUESTION = "how are documents indexed automatically"
VENUES = ["conference", "journal", "O'Brien's \"notes\""]
SCRIPT = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"
HOSTILE = (
    f"{SCRIPT} <style>* {{ display: none }}</style> \u202egnp.exe\u2066 \x1b[31m {{{{ 7 * 7 }}}} javascript:alert(1)"
)
LONG = "the moon makes tides. " * 50_000  # 1.1 MB
# A computer under load answers late; no test passes because of it.
PATIENCE = 120_000


def documents(collection):
    """The documents of adi, with metadata of every kind."""
    rows = map(json.loads, (collection("adi") / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    for n, row in enumerate(rows):
        metadata = {
            "venue": VENUES[n % 3],
            "words": len(row["text"].split()),
            "added": f"2024-{1 + n % 12:02}-{1 + n % 28:02}T10:00",
            "tags": [["indexing", "machines"], ["libraries"]][n % 2],
            "reviewed": n % 4 == 0,
            "author": {"first name": ["Ada", "Bo"][n % 2]},
        }
        yield {"id": f"adi-{row['_id']}", "title": row["title"], "text": row["text"], "metadata": metadata}


def hostile_documents():
    yield {"id": f'"><{SCRIPT}', "title": HOSTILE, "text": HOSTILE, "metadata": {f"{SCRIPT}'\"": HOSTILE, "in": SCRIPT}}
    yield {"id": "long", "title": LONG[:100_000], "text": LONG, "metadata": {"text": LONG[:100_000]}}
    yield {
        "id": "אבג/../%00",
        "title": "\u202e\u2067שלום",
        "text": "👩‍🚀 🦄 the moon 🌙 and the tides",
        "metadata": {"a.b": 1},
    }


@contextmanager
def serving(folders, *names, feedback, **environment):
    """A service in a process of its own, and its address."""
    command = [sys.executable, "-m", "tardif", "serve", *(f"{name}={folders / name}" for name in names), "--port", "0"]
    command += ["--limit", "answer_seconds=3600"]  # the first search of a process compiles
    kept = {name: value for name, value in os.environ.items() if name != "TARDIF_TOKEN"}
    with subprocess.Popen(
        [*command, "--feedback", str(feedback)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=kept | environment,
    ) as process:
        try:
            yield process.stdout.readline().strip() + "/"
        finally:
            process.terminate()


def asked(address, path, body):
    """What the service itself says."""
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def found(address, index, **options):
    """The hits of the question."""
    return asked(address, f"indexes/{index}/search", {"query": QUESTION, **options})["hits"]


@contextmanager
def tab(browser, *, quiet=True, **options):
    """A page in a browser that knows nothing yet. Whatever it says, opens or asks of others is a fault."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page, heard = context.new_page(), []
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text))
    yield page
    hosts = page.evaluate("performance.getEntriesByType('resource').map(one => new URL(one.name).origin)")
    assert set(hosts) <= {page.evaluate("location.origin")}
    assert not quiet or heard == []
    context.close()


def address_of(service, **state):
    return f"{service}?{urlencode({'index': 'before', **state}, doseq=True)}"


def opened(page, service, query=QUESTION, **state):
    page.goto(address_of(service, q=query, **state))
    expect(page.locator(":is(.hit, .nothing, .fault):visible").first).to_be_visible()
    return page


def state_of(page):
    return parse_qs(urlsplit(page.url).query)


def ids(page, side=""):
    return page.locator(f"{side} .hit .id").all_inner_texts()
