"""A filter on a key that no document has says so, and a search that finds nothing says why."""

from __future__ import annotations

import json

import pytest

from tardif import Retriever
from tardif.index.filters import parse_filter
from tardif.index.unknown_keys import unknown_keys

DOCUMENTS = [{"id": str(n), "text": f"the sea {n}", "lang": "en", "made": {"year": n}} for n in range(3)]


@pytest.fixture(scope="module")
def folder(multi_vector_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("unknown") / "index"
    Retriever.build(multi_vector_folder, DOCUMENTS, place, quiet=True).close()
    return place


@pytest.fixture(params=["memory", "disk"])
def retriever(request, multi_vector_folder, folder):
    if request.param == "disk":
        with Retriever(folder) as opened:
            yield opened
    else:
        yield Retriever.encode(multi_vector_folder, DOCUMENTS, quiet=True)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("lang = 'en'", []),
        ("made.year >= 1 and @id = '1' and lang exists", []),
        ("langg = 'en'", ["No document has the key langg: did you mean lang?"]),
        ("not (lagn in ('en', 'de') or lang = 'en')", ["No document has the key lagn: did you mean lang?"]),
        ("made.month = 3", ["No document has the key made.month: made is there, and holds no such name."]),
        ("price > 3", ["No document has the key price. Keys present: lang, made."]),
    ],
)
def test_keys_that_no_document_has(retriever, where, said):
    assert unknown_keys(retriever.index, parse_filter(where)) == said


@pytest.mark.parametrize(
    ("query", "where", "said"),
    [
        ("sea", "lang = 'fr'", "No document passes the filter."),
        ("sea", {"langg": "en"}, "No document passes the filter. No document has the key langg: did you mean lang?"),
        ("...", None, "The query '...' has no token that can be matched"),
    ],
)
def test_why_a_search_found_nothing(retriever, query, where, said):
    assert retriever.search(query, where=where) == []
    assert retriever.why_nothing(query, where=where).startswith(said)


def test_an_empty_index_is_said(multi_vector_folder):
    retriever = Retriever.encode(multi_vector_folder, ["the sea"], quiet=True)
    retriever.delete([retriever.search("the sea")[0].document_id])
    assert retriever.why_nothing("the sea") == "The index holds no document."


def test_the_verbs_say_it(folder, tardif):
    code, out, err = tardif("search", folder, "sea", "--filter", "langg = 'en'", "--json")
    assert (code, json.loads(out)["hits"]) == (0, [])
    assert "did you mean lang?" in err
    code, out, err = tardif("search", folder, "sea", "--filter", "not langg = 'en'", "--json")
    assert len(json.loads(out)["hits"]) == 3
    assert "did you mean lang?" in err
    assert "did you mean lang?" in tardif("delete", folder, "--filter", "langg = 'en'")[2]
    assert "passes the filter" not in tardif("search", folder, "sea", "--filter", "lang = 'en'")[2]
