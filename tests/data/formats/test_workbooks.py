"""A sheet reads as a CSV file of its rows does, by Excel's row numbers; what has no value is not taken for one."""

import io
import sys
import zipfile

import pytest

from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.formats import open_source, workbooks
from tardif.data.formats.form import Form
from tardif.data.reading import Reading
from tardif.errors import DataError, MissingExtraError
from workbooks import day, error, formula, sheet, write_workbook

FAQ = [("Question", "Answer", "Kind"), ("why?", "so", "a"), ("how?", "thus", "b")]


def read(path, **options):
    source = open_source(path, form=Form.of(sheet=options.pop("sheet", None)), **options)
    return [(found.place, found.query, found.document) for found in source.judgements()], source.shape


def test_rows_have_excels_numbers_and_blank_ones_are_none(tmp_path):
    rows = [None, (None, ""), (None, *FAQ[0]), (None, *FAQ[1]), None, (None, "", " ", ""), (None, *FAQ[2])]
    found, shape = read(write_workbook(tmp_path / "r.xlsx", {"FAQ": rows}))
    assert found == [(4, "why?", "so"), (7, "how?", "thus")]
    assert shape.startswith("Excel (sheet FAQ): pairs: query from Question, positive from Answer; not used: Kind")
    assert "2 blank rows left out" in shape


def test_values_are_as_a_person_reads_them(tmp_path):
    rows = [("id", "text", "price", "when", "new", "sum"), (17, 4, 3.5, day(45293), True, formula(2)), ("a", "b")]
    found = read_documents(write_workbook(tmp_path / "d.xlsx", {"FAQ": rows}))
    assert [(document.id, document.text) for document in found] == [("17", "4"), ("a", "b")]
    assert found[0].metadata == {"price": 3.5, "when": "2024-01-02", "new": True, "sum": 2}
    assert found[1].metadata == {}
    pairs = [("query_id", "query", "positive", "label"), (17, 1.5, "x", True), (10**15 + 1, "a", "b", False)]
    source = open_source(write_workbook(tmp_path / "r.xlsx", {"FAQ": pairs}))
    assert [(item.query_id, item.query, item.label) for item in source.judgements()] == [
        ("17", "1.5", "true"),
        ("1000000000000001", "a", "false"),
    ]


@pytest.mark.parametrize(
    ("cell", "what"), [(error("#REF!"), "Excel's error #REF!"), (formula(), "result was not saved")]
)
def test_a_cell_without_a_value_is_refused_where_it_is_used(tmp_path, cell, what):
    rows = [("query", "positive", "sum"), ("a", "b", cell), ("c", cell, 1)]
    path = write_workbook(tmp_path / "r.xlsx", {"leer": [], "FAQ": rows})
    with pytest.raises(DataError, match=f"line 3: column positive holds .*{what}"):
        read(path)
    with pytest.raises(DataError, match=f"line 3: column positive holds .*{what}"):
        read_documents(path, reading=Reading(columns={"text": "positive"}))
    report = DocumentReport()
    found = read_documents(path, reading=Reading(columns={"text": "query"}), report=report)
    assert [document.metadata for document in found] == [{"positive": "b"}, {"sum": 1}]
    assert "2 cells of formulas without a result are read as empty" in report.lines()[1]


def test_cells_merged_over_rows_hold_their_value_in_each(tmp_path):
    rows = [("query", "positive"), ("a", "b"), (None, "c"), (None, "d"), ("e", "f")]
    found, shape = read(write_workbook(tmp_path / "r.xlsx", {"FAQ": sheet(rows, ["A2:A4"])}))
    assert found == [(2, "a", "b"), (3, "a", "c"), (4, "a", "d"), (5, "e", "f")]
    assert "2 merged cells filled in" in shape


def test_the_sheet_that_holds_a_table_is_found_or_named(tmp_path):
    path = write_workbook(
        tmp_path / "r.xlsx", {"Info": [("made by", "me")], "FAQ & more": FAQ, "old": FAQ}, hidden=["old"]
    )
    found, shape = read(path)
    assert found[0] == (2, "why?", "so") and "sheet FAQ & more, not read: 'Info', 'old'" in shape
    assert read(path, sheet="old")[0] == found
    with pytest.raises(DataError, match=r"no sheet 'new'; it has 'Info', 'FAQ & more', 'old' \(--sheet"):
        read(path, sheet="new")
    write_workbook(path, {"one": FAQ, "two": FAQ, "empty": []})
    for reads in (read, read_documents):
        with pytest.raises(DataError, match=r"several sheets.*'one', 'two'.*--sheet NAME.*sheet="):
            reads(path)


@pytest.mark.parametrize("other", ['r="XFD1048576"', "r = 'xfd1048576'"])
def test_a_sheet_that_would_fill_the_memory_is_refused(tmp_path, other):
    corners = [("query",), *[None] * 1048574, ("a",)]
    far = sheet(corners).replace('r="A1048576"', other)
    with pytest.raises(DataError, match="spans 1,048,576 rows and 16,384 columns"):
        read(write_workbook(tmp_path / "r.xlsx", {"FAQ": far}))


def test_other_kinds_of_packages_are_not_opened(tmp_path):
    path = write_workbook(tmp_path / "r.xlsx", {"FAQ": FAQ})
    with zipfile.ZipFile(path, "a") as package:
        package.writestr("xl/workbook.bin", b"")
    with pytest.raises(DataError, match="package is of another kind"):
        read(path)


def test_a_package_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = write_workbook(tmp_path / "r.xlsx", {"FAQ": [*FAQ, ("x" * 100_000, "y")]})
    monkeypatch.setattr(workbooks, "LARGEST", 50_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(path)


@pytest.mark.parametrize("block", [40, 1000])
def test_faults_are_found_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(workbooks, "_BLOCK", block)
    rows = [("query", "positive"), *[("a", "b")] * 30, ("c", error())]
    with pytest.raises(DataError, match="line 32: column positive holds Excel's error #N/A"):
        read(write_workbook(tmp_path / "r.xlsx", {"FAQ": rows}))


@pytest.mark.parametrize("cut", [3, 300, -40])
def test_damaged_workbooks_are_refused(tmp_path, cut):
    path = write_workbook(tmp_path / "r.xlsx", {"FAQ": FAQ})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"r\.xlsx: (is damaged|cannot be read as a workbook)"):
        read(path)


def test_a_package_without_sheets_is_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        package.writestr("word/document.xml", "<x/>")
    (tmp_path / "r.xlsx").write_bytes(content.getvalue())
    with pytest.raises(DataError, match="cannot be read as a workbook"):
        read(tmp_path / "r.xlsx")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tardif\[excel\]'"):
        read(write_workbook(tmp_path / "r.xlsx", {"FAQ": FAQ}))
