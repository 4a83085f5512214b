"""The fields of metadata: what a filter can ask for, by the names that a filter has for it."""

import pytest

from tardif.index.document_table import MemoryTable
from tardif.index.filters import parse_filter
from tardif.index.metadata_fields import MetadataField
from tardif.types import Document


def fields(*metadata):
    table = MemoryTable()
    table.change([], [Document(f"d{number}", "text", metadata=each) for number, each in enumerate(metadata)])
    return {field.name: field for field in table.fields()}


def test_types_and_values_are_those_that_documents_have():
    english, french = {"lang": "en", "old": True}, {"lang": "fr", "old": False}
    found = fields(english, french, {"lang": "fr", "pages": 3}, {"pages": 7.5})
    assert found == {
        "lang": MetadataField("lang", ("text",), ("fr", "en"), None),
        "old": MetadataField("old", ("boolean",), (False, True), None),
        "pages": MetadataField("pages", ("number",), (3, 7.5), (3, 7.5)),
    }


def test_of_a_list_the_elements_count():
    found = fields({"tags": ["a", "b"]}, {"tags": ["b", 1, [2]]}, {"tags": []}, {"only": [{"inner": 1}]})
    assert found == {"tags": MetadataField("tags", ("number", "text"), ("b", 1, "a"), None)}


def test_an_object_has_fields_of_its_own():
    found = fields({"author": {"name": "Ada", "home": {"city": "Paris"}}}, {"author": "unknown"}, {"author": None})
    assert set(found) == {"author", "author.name", "author.home.city"}
    assert found["author"].types == ("null", "text")
    assert set(found["author"].values) == {None, "unknown"}
    assert found["author.home.city"].values == ("Paris",)


@pytest.mark.parametrize("key", ["first name", "a.b", 'a"b', "and", "[0]", "$", "@id", "1", "é"])
def test_every_name_can_be_used_in_a_filter(key):
    table = MemoryTable()
    table.change([], [Document("a", "text", metadata={key: 1}), Document("b", "text", metadata={"other": 1})])
    name = next(field.name for field in table.fields() if field.name != "other")
    assert table.matching(parse_filter(f"{name} = 1"), "id") == ["a"]


def test_many_values_and_long_texts_are_no_choice():
    found = fields(*({"number": n, "twenty": n % 20, "text": "long " * (n + 1)} for n in range(21)))
    assert found["number"] == MetadataField("number", ("number",), None, (0, 20))
    assert len(found["twenty"].values) == 20
    assert found["text"] == MetadataField("text", ("text",), None, None)


def test_dates_have_a_range():
    found = fields({"on": "2024-05-01", "at": "2024-05-01"}, {"on": "2023-01-01T10:00", "at": "soon"}, {"on": None})
    assert found["on"].range == ("2023-01-01T10:00", "2024-05-01")
    assert found["at"].range is None


def test_without_documents_or_metadata_there_are_none():
    assert fields() == fields({}) == {}
