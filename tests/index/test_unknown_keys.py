"""A filter on a key that no document has says so, and a search that finds nothing says why."""

from __future__ import annotations

import json

import pytest

from tardif import Retriever
from tardif.index.filters import parse_filter
from tardif.index.unknown_keys import unknown_keys

DOCUMENTS = [{"id": str(n), "text": f"the sea {n}", "lang": "en", "made": {"year": n}} for n in range(3)]
# As a table of CSV gives them.
DOCUMENTS[0] |= {"year": "2021", "sold": True, "tags": ["a", 1]}
DOCUMENTS[1] |= {"year": "998"}


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
        ("price > 3", ["No document has the key price. Keys present: lang, made, sold, tags, year."]),
        ("made.year in (7, 8) or lang like 'e%' or lang in ('en', 'de')", []),
        ("not lang = null and lang is not missing and made.year <= -1.5", []),
        (
            "made.year > '1'",
            ["made.year holds numbers here, and '1' is a text: the two have no order: leave out the quotes."],
        ),
        ("made.year like '1%'", ["made.year holds numbers here, and '1%' is a text, which equals none of them."]),
        (
            "made.year = '1'",
            ["made.year holds numbers here, and '1' is a text, which equals none of them: leave out the quotes."],
        ),
        ("made = 3 or made = true", []),
        ("tags = 1 and tags = 'a' and tags < 3", []),
    ],
)
def test_keys_that_no_document_has(retriever, where, said):
    assert unknown_keys(retriever.index, parse_filter(where)) == said


@pytest.mark.parametrize("test", ["year >= 2020", "year < 2020 and year > 3", "not year >= 2020 and year != 4"])
def test_numbers_asked_of_a_column_of_csv_are_said(retriever, test):
    (said,) = unknown_keys(retriever.index, parse_filter(test))
    number = test.split()[2] if test[0] == "y" else "2020"
    assert said.startswith(f"year holds texts here, and {number} is a number: the two have no order. As a text it is")
    assert f"'{number}'" in said
    assert "'998' comes after '2020'" in said
    (said,) = unknown_keys(retriever.index, parse_filter("year = 2020"))
    assert "which equals none of them. As a text it is '2020' (cells of CSV are texts)." in said


@pytest.mark.parametrize("test", ["sold = 'true'", "sold > 1"])
def test_other_types_are_said(retriever, test):
    assert unknown_keys(retriever.index, parse_filter(test))[0].startswith("sold holds true or false here, and ")


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
    for verb in ("search", folder, "sea"), ("delete", folder):
        assert "year holds texts here, and 2020 is a number" in tardif(*verb, "--filter", "year >= 2020")[2]


def test_what_was_deleted_is_no_unknown_key(multi_vector_folder, tmp_path, tardif):
    Retriever.build(multi_vector_folder, DOCUMENTS, tmp_path / "index", quiet=True).close()
    assert tardif("delete", tmp_path / "index", "--filter", "sold = true")[2] == "1 documents deleted.\n"
