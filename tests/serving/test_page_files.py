"""The page's files as the service sends them: what the browser may do, and no way to any other file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI
from starlette.testclient import TestClient

from tardif.serving.page_files import POLICY, add_page, page_files


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    add_page(app)
    return TestClient(app)


class Sources(HTMLParser):
    """What a page names: its files, its ids, and what its policy would forbid."""

    def __init__(self, page):
        super().__init__()
        self.files, self.ids, self.forbidden, self.inside = [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.inside = tag
        self.files += [value for name, value in attrs if name in ("src", "href") and value.startswith("page/")]
        self.ids += [given["id"]] if "id" in given else []
        self.forbidden += [name for name in given if name == "style" or name.startswith("on")]
        self.forbidden += [value for value in given.values() if value and "//" in value]

    def handle_data(self, data):
        if self.inside in ("script", "style") and data.strip():
            self.forbidden.append(data)


def test_the_page_comes_with_its_policy_and_names_files_that_there_are(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert "'unsafe" not in POLICY and "http" not in POLICY
    found = Sources(answer.text)
    assert not found.forbidden
    assert len(set(found.ids)) == len(found.ids)
    assert {client.get(f"/{name}").status_code for name in found.files} == {200}


def test_modules_import_files_that_there_are_and_use_ids_that_the_page_has():
    files = page_files()
    ids = Sources(files["index.html"].content.decode()).ids
    scripts = {name: file.content.decode() for name, file in files.items() if name.endswith(".js")}
    for name, text in scripts.items():
        imported = re.findall(r'from "(.+?)"', text)
        assert {place.removeprefix("./") for place in imported} <= scripts.keys(), name
    assert set(re.findall(r'\bat\("(.+?)"\)', scripts["page.js"])) <= set(ids)


@pytest.mark.parametrize(
    "way",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser", "srcdoc"],
)
def test_no_module_can_make_code_of_a_text(way):
    assert [name for name, file in page_files().items() if name.endswith(".js") and way.encode() in file.content] == []


def test_a_file_that_the_browser_has_is_not_sent_again(client):
    first = client.get("/page/page.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/page.js", headers={"If-None-Match": f'W/"x", {first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get("/page/page.js", headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["page_files.py", "..%2fpage_files.py", "%2e%2e/page_files.py", "", "x.js", "report.css", "page.js%00"]
)
def test_no_other_file_is_sent(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_answers_head_and_nothing_else(client):
    assert client.head("/").status_code == 200
    assert client.post("/").status_code == 405
