import pytest

from tardif.data.formats.columns import Wishes, known_role
from tardif.data.formats.opening import open_source
from tardif.errors import DataError


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Query", "query"),
        (" question ", "query"),
        ("anchor", "query"),
        ("positive", "positive"),
        ("Positive_2", "positive"),
        ("answer3", "positive"),
        ("response", "positive"),
        ("negative", "negative"),
        ("negatives", "negative"),
        ("negative_12", "negative"),
        ("negative_passage", "negative"),
        ("negative_ids", None),
        ("negative_scores", None),
        ("documents", "documents"),
        ("scores", "scores"),
        ("score", "label"),
        ("query-id", "query_id"),
        ("corpus-id", "document_id"),
        ("pid", "document_id"),
        ("title", None),
        ("answers", None),
        ("", None),
    ],
)
def test_usual_names(name, role):
    assert known_role(name) == role


def test_a_chosen_role_is_guessed_no_more():
    wishes = Wishes.of({"query": "title", "positive": "body*", "label": None}, None)
    names = ["title", "query", "body1", "body2", "label", "documents", "negative"]
    assert wishes.find(names) == {"query": ("title",), "positive": ("body1", "body2"), "negative": ("negative",)}


def test_long_headers_are_cut_short(tmp_path):
    path = tmp_path / "r.tsv"
    path.write_text("x" * 99 + "\ta" * 30 + "\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        open_source(path)
    assert "twice" in str(error.value)
    path.write_text("\t".join(["x" * 99, *map(str, range(30))]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"it has x{40}\.\.\., 0, 1, .*, 18, \.\.\.: .*must name the columns") as error:
        open_source(path)
    assert error.value.line == 1
