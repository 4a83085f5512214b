"""The cells of a text table are found as people have saved them: by any separator, with Excel's oddities."""

import gzip

import pytest

from tardif.data.documents import read_documents
from tardif.data.formats import open_source
from tardif.data.formats.form import Form
from tardif.data.reading import Reading
from tardif.errors import DataError, SettingError

ROWS = [("query", "positive"), ("what, where; why | how", "3,50 Euro"), ("a\tb", "zwei; drei"), ("kurz", "lang")]


def pairs(path, **form):
    source = open_source(path, form=Form.of(**form))
    return [(found.query, found.document) for found in source.judgements()], source.shape


def write(path, rows, separator, end="\r\n"):
    """As Excel writes: in quotes only where a cell needs them."""

    def cell(text):
        return f'"{text}"' if separator in text else text

    path.write_bytes("".join(separator.join(map(cell, row)) + end for row in rows).encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt"])
def test_the_rows_tell_the_separator(tmp_path, separator, name):
    found, shape = pairs(write(tmp_path / name, ROWS, separator))
    assert found == ROWS[1:]
    usual = separator == {"r.csv": ","}.get(name, "\t")
    assert ("separated by" in shape) == (not usual)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "\ufeff", "sep=;\n", "\ufeffSEP=;\r\n", "\n;;\r\n"])
def test_what_stands_around_the_rows_is_no_row(tmp_path, end, before):
    path = tmp_path / "r.csv"
    rows = ["query;positive;;", 'a;"b\nc";;', ";;;", "d;e;", "", ";;"]
    path.write_bytes((before + end.join(rows) + end).encode())
    assert pairs(path)[0] == [("a", "b\nc"), ("d", "e")]
    assert "2 blank rows left out" in pairs(path)[1]
    packed = tmp_path / "r.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert pairs(packed)[0] == [("a", "b\nc"), ("d", "e")]


def test_excels_line_wins_over_the_rows_and_the_user_over_both(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("sep=|\nquery;x|positive;y\na;b|c;d\n", encoding="utf-8")
    source = open_source(path, columns={"query": "query;x", "positive": "positive;y"})
    assert [(found.query, found.place) for found in source.judgements()] == [("a;b", 3)]
    with pytest.raises(DataError, match="line 3: has 2 columns where the header has 3"):
        path.write_text("sep=|\nquery;x|y;positive\na;b\n", encoding="utf-8")
        pairs(path, separator=";")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Preis, netto;Menge, Stück\n3,50;2,0\n1,20;7,5\n", "';' (2 columns)"),
        ("a;b|c\n1;2|3\n", "'|' (2 columns)"),
    ],
)
def test_in_doubt_the_separators_are_named(tmp_path, text, found):
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        open_source(path)
    assert found in str(error.value) and "--separator" in str(error.value) and "separator=" in str(error.value)


def test_usual_names_decide_between_separators(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("query;positive, long\na, b;c\nd, e;f\n", encoding="utf-8")
    with pytest.raises(DataError, match="missing column positive"):
        open_source(path)
    columns = {"positive": "positive, long"}
    assert [found.document for found in open_source(path, columns=columns).judgements()] == ["c", "f"]


@pytest.mark.parametrize("given", [",", "|", "\t"])
def test_a_header_that_is_not_split_names_the_separator(tmp_path, given):
    path = tmp_path / "r.csv"
    path.write_text("query;positive\na;b\n", encoding="utf-8")
    said = {"form": Form.of(given)}, {"reading": Reading(separator=given)}
    for read, how in zip((open_source, read_documents), said, strict=True):
        with pytest.raises(DataError, match=r"'query;positive' is one column.*--separator ';'.*separator=';'"):
            read(path, **how)


def test_a_row_of_another_size_is_named_with_the_separator(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("query;positive\na;b\nc;d;e\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3: has 3 columns where the header has 2 .*separated by ';'.*in quotes"):
        pairs(path)


def test_columns_without_a_name_are_said(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(",query,positive,\n0,a,b,\n1,c,d,note\n", encoding="utf-8")
    found, shape = pairs(path)
    assert found == [("a", "b"), ("c", "d")]
    assert "not used: cells of 2 rows in columns without a name" in shape
    assert [document.metadata for document in read_documents(path, reading=Reading(columns={"text": "positive"}))] == [
        {"query": "a"},
        {"query": "c"},
    ]


def test_a_tsv_with_quoted_cells_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "r.tsv"
    path.write_bytes(b'query\tpositive\n"a\tb"\t"c\nd"\ne\tf\n')
    assert pairs(path)[0] == [("a\tb", "c\nd"), ("e", "f")]


def test_documents_are_read_alike_and_say_so(tmp_path):
    from tardif.data.document_report import DocumentReport

    path = tmp_path / "d.csv"
    path.write_bytes("sep=;\r\nid;text\r\n1;Größe, netto\r\n;;\r\n2;b\r\n".encode("cp1252"))
    report = DocumentReport()
    assert [(d.id, d.text) for d in read_documents(path, report=report)] == [("1", "Größe, netto"), ("2", "b")]
    assert "d.csv: CSV (separated by ';', not UTF-8 but cp1252, a guess" in report.lines()[1]
    assert "1 blank rows left out" in report.lines()[1]
    text = tmp_path / "d.txt"
    text.write_text("id;text\n1;a\n", encoding="utf-8")
    assert [d.id for d in read_documents(text)] == ["d.txt"]
    assert [d.id for d in read_documents(text, reading=Reading(separator=";"))] == ["1"]


@pytest.mark.parametrize("given", ["", "ab", "a", '"', "\n", 3])
def test_what_can_separate_nothing_is_refused(given):
    with pytest.raises(SettingError, match="--separator"):
        Form.of(given)


def test_separators_by_name():
    assert [Form.of(name).separator for name in ("tab", "\\t", "Semicolon", "^")] == ["\t", "\t", ";", "^"]
