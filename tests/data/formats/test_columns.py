from pathlib import Path

import pytest

from tardif.data.formats import tables
from tardif.data.formats.cells import named_table
from tardif.data.formats.columns import ColumnChoices, known_role
from tardif.data.formats.opening import open_source
from tardif.data.formats.tables import TableSource
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
        ("negative_ids", "negative_id"),
        ("negative_id_2", "negative_id"),
        ("positive_ids", "document_id"),
        ("doc_ids", "document_ids"),
        ("Clicked", "clicks"),
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


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["Frage", "Antwort", "Kategorie"], {"query": ("Frage",), "positive": ("Antwort",)}),
        (["Question", "Re\u0301ponse"], {"query": ("Question",), "positive": ("Re\u0301ponse",)}),
        (["质问", "问题", "答案 1", "答案 2"], {"query": ("问题",), "positive": ("答案 1", "答案 2")}),
        (["query", "positive", "Antwort"], {"query": ("query",), "positive": ("positive",)}),
        (["Frage", "documents"], {"query": ("Frage",), "documents": ("documents",)}),
    ],
)
def test_usual_names_in_other_languages_where_no_english_one_is(names, roles):
    assert ColumnChoices.of(None, None).find(names) == roles


def test_a_chosen_role_is_guessed_no_more():
    choices = ColumnChoices.of({"query": "title", "positive": "body*", "label": None}, None)
    names = ["title", "query", "body1", "body2", "label", "documents", "negative"]
    assert choices.find(names) == {"query": ("title",), "positive": ("body1", "body2"), "negative": ("negative",)}


def test_all_that_is_missing_is_named_at_once(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("Anliegen,Hilfetext\na,b\n")
    with pytest.raises(DataError, match=r"\(--columns query=\.\.\. --columns positive=\.\.\.\), or columns of ids"):
        open_source(path)
    with pytest.raises(DataError, match=r"name it with columns=\{\"positive\": \.\.\.\} \(--columns positive=\.\.\.\)"):
        open_source(path, columns={"query": "Anliegen"})


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


class Counting(str):
    """A name that counts how often it is compared with another."""

    compared = 0
    __slots__ = ()

    def __eq__(self, other):
        Counting.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__

    def strip(self, *_):
        return self


WIDE = 2000
FAMILIES = {
    "unused": ["query", "positive", *(f"c{n}" for n in range(WIDE))],
    "negatives": ["query", "positive", *(f"negative_{n}" for n in range(WIDE))],
    "positives": ["query", *(f"positive_{n}" for n in range(WIDE))],
}


@pytest.mark.parametrize("names", FAMILIES.values(), ids=FAMILIES)
def test_each_column_of_a_wide_table_is_looked_at_a_few_times(names):
    """Comparing each with every other takes seconds for 20,000."""
    names = [Counting(name) for name in names]

    def read(columns):
        return iter([(1, ["q", *["p"] * (len(columns) - 1)])])

    Counting.compared = 0
    assert named_table(Path("a.csv"), lambda: iter([(1, names)]), "CSV").names == names
    source = TableSource("a.csv", names, read, ColumnChoices.of(None, None), cells=True)
    assert list(source.judgements())
    chosen = ColumnChoices.of({"negative": names[2:]}, None)
    assert len(chosen.find(names)["negative"]) == len(names) - 2 and not chosen.missing(names)
    assert Counting.compared < 20 * len(names)


@pytest.mark.parametrize("role", ["negative", "positive"])
def test_rows_that_each_bring_a_column_are_looked_at_once(role, monkeypatch):
    compared = []
    monkeypatch.setattr(tables, "unclear_role", lambda roles, *_: compared.extend(roles.get(role, ())))
    first = {"query": "q", "positive": "p"}
    rows = [first, *({"query": "q", "positive": "p", f"{role}_{n}": "x"} for n in range(200))]
    source = open_source(rows)
    assert len(list(source.judgements())) == 401
    assert len(compared) < 10
    assert len(source.shape) < 2000  # names some of the columns


def test_positives_of_two_families_are_refused_in_whichever_row_they_come():
    for other in ("answer", "Positive", "POSITIVE_1"):
        rows = [{"query": "q", "positive": "p"}, {"query": "q", "positive_1": "p"}, {"query": "q", other: "p"}]
        with pytest.raises(DataError, match="each fit the role positive"):
            list(open_source(rows).judgements())
