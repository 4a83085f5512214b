import datetime
import gzip
import importlib.util
import logging
import os
import shlex
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import write_beir, write_jsonl
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents, stream_documents
from tardif.data.json_metadata import as_stored
from tardif.data.reading import Reading
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError, MissingExtraError, SettingError
from tardif.extras import EXTRAS
from tardif.text.normal import text_id
from tardif.types import Document

ARTICLE = """<!doctype html><html><head><title>The late train</title></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>The late train</h1>
<p>The train from the north was late again today, because snow fell on the line all through the night.</p>
<p>Passengers waited for two hours in the station, where the café had run out of coffee, tea and bread.</p>
</article><footer>Copyright, imprint and cookies</footer></body></html>"""


def test_values_become_documents():
    own = Document("x", "one", title="t")
    found = read_documents([own, "two", {"id": 3, "text": "three", "year": 1999}])
    assert found[0] is own
    assert found[1].text == "two"
    assert found[2] == Document("3", "three", metadata={"year": 1999})


def test_ids_made_from_texts_do_not_depend_on_the_order():
    one, other = read_documents(["a", "b"]), read_documents(["b", "a"])
    assert {d.id for d in one} == {d.id for d in other}
    assert len(read_documents(["a", "b", "a"])) == 2


def test_a_file_keeps_ids_titles_and_metadata(tmp_path):
    rows = [{"_id": "a", "title": None, "passage": "text", "metadata": {"url": "u"}, "year": 2000, "none": None}]
    (document,) = read_documents(write_jsonl(tmp_path / "corpus.jsonl", rows))
    assert document == Document("a", "text", metadata={"url": "u", "year": 2000})


def test_an_empty_document_with_an_id_stays():
    assert read_documents([{"_id": "a", "text": ""}]) == [Document("a", "")]


def test_a_beir_folder_is_its_corpus(tmp_path):
    assert [d.id for d in read_documents(write_beir(tmp_path / "animals"))] == ["d1", "d2", "d3"]


def test_a_folder_of_text_is_searched_through(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.MD").write_text("# B\ntext\n")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\n")
    (tmp_path / "c.txt").write_text(" \n")
    (tmp_path / "d.py").write_text("code")
    found = read_documents(tmp_path)
    assert {d.id: d.text for d in found} == {"a.txt": "café", "deep/b.MD": "# B\n\ntext"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "is empty"),
        ([" "], r"line 1: the document is empty.*--on empty=drop"),
        ([3], "line 1: a document must be"),
        (["a", {"id": 1}], r"line 2: missing column text\|.*it has id"),
        ([{"text": " "}], r"line 1: the document is empty.*--on empty=drop"),
        ([{"text": "a"}, {"text": None}], r"line 2: the document is empty.*--on empty=drop"),
        ([{"text": True}], "must be text"),
        ([{"text": ["a"]}], "must be text"),
        ([{"text": "a", "id": 1.5}], "must be text or a whole number"),
        ([{"text": "a", "id": True}], "must be text or a whole number"),
        ([{"text": "a", "id": ""}], "column id is empty"),
        ([{"text": "a", "id": "x"}, {"text": "b", "id": "x"}], "two documents have the id 'x'"),
        ([{"text": "a", "id": "x"}, {"text": "a", "id": "x"}], "two documents have the id 'x'"),
    ],
)
def test_what_is_no_corpus_says_where(source, message):
    with pytest.raises(DataError, match=message):
        read_documents(source)


def test_a_folder_without_text(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match=r"holds no text: .*\(1 empty\)"):
        read_documents(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_documents(tmp_path / "corpus.jsonl")


def write_pdf(path, *pages):
    """A minimal PDF, written by hand: the catalogue, the tree of pages, a font, a page and its text each."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    path.write_bytes(body + end.encode())
    return path


def needs(library):
    return pytest.importorskip(library, exc_type=ImportError)


def test_a_page_gives_its_title_and_main_text(tmp_path):
    needs("trafilatura")
    path = tmp_path / "page.html"
    path.write_text(ARTICLE, encoding="utf-8")
    report = DocumentReport()
    (document,) = read_documents(path, report=report)
    assert (document.id, document.title, document.metadata) == ("page.html", "The late train", {"path": "page.html"})
    assert document.text.startswith("The train from the north") and document.text.endswith("tea and bread.")
    assert "Home" not in document.text and "cookies" not in document.text
    assert report.lines() == ["documents read: 1 (1 HTML)"]


@pytest.mark.parametrize("page", ["<p>Opening hours: nine to five</p>", "<html><body>Opening hours: nine to five"])
def test_a_page_without_a_main_text_is_read_whole_and_counted(tmp_path, page, monkeypatch):
    trafilatura = needs("trafilatura")
    monkeypatch.setattr(trafilatura, "bare_extraction", lambda *_, **__: None)
    (tmp_path / "page.htm").write_text(page)
    report = DocumentReport()
    (document,) = read_documents(tmp_path, report=report)
    assert document.text == "Opening hours: nine to five"
    assert report.lines()[1] == "1 no main text found: the whole page's text was taken: page.htm"


def test_a_page_in_its_declared_charset(tmp_path):
    needs("trafilatura")
    page = ARTICLE.replace("<head>", '<head><meta charset="windows-1252">')
    (tmp_path / "page.html").write_bytes(page.encode("cp1252"))
    (document,) = read_documents(tmp_path)
    assert "the café had" in document.text
    (tmp_path / "page.html").write_bytes(ARTICLE.encode("cp1252"))
    report = DocumentReport()
    (document,) = read_documents(tmp_path, report=report)
    assert "the café had" in document.text
    assert report.lines()[1:] == ["1 not UTF-8: read as cp1252, a guess: page.html"]


def test_a_pdf_gives_the_text_of_its_pages(tmp_path):
    needs("pypdf")
    (document,) = read_documents(write_pdf(tmp_path / "a.pdf", "Late trains", "", "More snow"))
    assert document == Document("a.pdf", "Late trains\n\nMore snow", metadata={"path": "a.pdf", "pages": 3})
    assert [(document.text[start:][:4], page) for start, page in document.outline.pages] == [("Late", 1), ("More", 3)]


def test_a_page_says_where_its_sections_begin(tmp_path):
    needs("trafilatura")
    words = "<p>" + "Some words of the text that somebody reads. " * 6 + "</p>"
    page = f"<html><head><title>Trains</title></head><body><article><h1>Trains</h1>{words}"
    page += f"<h2>Late <b>ones</b></h2>{words}"
    (tmp_path / "a.html").write_text(f"{page}<h3>Why</h3>{words}<h2>Early ones</h2>{words}</article></body></html>")
    (document,) = read_documents(tmp_path / "a.html")
    headings = document.outline.headings
    assert [(level, words) for _, level, words in headings] == [(2, "Late ones"), (3, "Why"), (2, "Early ones")]
    assert [document.text[start:].split("\n")[0] for start, _, _ in headings] == ["Late ones", "Why", "Early ones"]


def pdf_of_kind(kind, path):
    if kind == "encrypted":
        pypdf = needs("pypdf")
        writer = pypdf.PdfWriter(clone_from=write_pdf(path, "secret"))
        writer.encrypt("password", algorithm="RC4-128")
        writer.write(path)
    elif kind == "without text":
        write_pdf(path, "", "")
    elif kind == "damaged":
        path.write_bytes(write_pdf(path, "text").read_bytes()[:90] + b"\xff\x00 endobj")
    else:
        path.touch()
    return path


@pytest.mark.parametrize("kind", ["encrypted", "without text", "damaged", "empty"])
def test_a_pdf_that_cannot_be_read_is_counted_and_refused_alone(tmp_path, kind, caplog):
    needs("pypdf")
    pdf = pdf_of_kind(kind, tmp_path / "bad.pdf")
    with pytest.raises(DataError, match=f"bad.pdf: {kind}: "):
        read_documents(pdf)
    (tmp_path / "good.txt").write_text("good")
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["good.txt"]
    assert report.lines() == ["documents read: 1 (1 text)", f"1 skipped, {kind}: bad.pdf"]
    (record,) = report.records()
    assert (record["file"], record["action"], record["reason"]) == ("bad.pdf", "skipped", kind)
    assert not caplog.records and logging.getLogger("pypdf").level == logging.NOTSET


def test_a_pdf_encrypted_without_a_password_is_read(tmp_path):
    pypdf = needs("pypdf")
    writer = pypdf.PdfWriter(clone_from=write_pdf(tmp_path / "a.pdf", "not to be printed"))
    writer.encrypt("", owner_password="owner", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    assert read_documents(tmp_path)[0].text == "not to be printed"


@pytest.mark.parametrize(
    ("name", "library"),
    [("a.pdf", "pypdf"), ("a.html", "trafilatura"), ("a.docx", "python-docx"), ("a.rst", "docutils")],
)
def test_a_missing_library_is_named_with_the_way_out(tmp_path, monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, EXTRAS["documents"][library], None)
    (tmp_path / "0.txt").write_text("text")
    (tmp_path / name).write_text("x")
    with pytest.raises(
        MissingExtraError, match=rf"needs {library}, which is not installed: pip install 'tardif\[documents\]'"
    ):
        next(stream_documents(tmp_path))


def test_what_a_folder_holds_besides_is_counted(tmp_path):
    (tmp_path / "elsewhere.txt").write_text("elsewhere")
    folder = tmp_path / "docs"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "x.txt").write_text("hidden")
    (folder / "b").mkdir()
    (folder / "b" / "1.txt").write_text("one")
    (folder / "b" / "ring").symlink_to(folder)
    (folder / "again.txt").symlink_to(folder / "b" / "1.txt")
    (folder / "out.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "gone.txt").symlink_to(folder / "nothing")
    for name in ("1.csv", "2.csv", "3.csv", "4.CSV", "Makefile"):
        (folder / name).write_text("text\nx")
    report = DocumentReport()
    found = list(stream_documents(folder, report=report))
    assert [(place, document.id) for place, document in found] == [(1, "again.txt"), (2, "b/1.txt")]
    assert report.lines() == [
        "documents read: 2 (2 text)",
        "1 skipped, links to nothing: gone.txt",
        "1 skipped, links to a folder inside: b/ring",
        "2 skipped, links out of the folder: out.txt, up",
        "1 skipped, hidden: .git",
        "1 skipped, files without a suffix: Makefile",
        "4 skipped, .csv files: 1.csv, 2.csv, 3.csv and 1 more",
    ]
    assert report.skipped.total() == len(list(report.records())) == 10


def test_the_order_is_not_the_file_systems(tmp_path):
    for name in ("b.txt", "a/z.txt", "a.txt", "C.txt", "a-b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [document.id for document in read_documents(tmp_path)] == ["C.txt", "a-b.txt", "a.txt", "a/z.txt", "b.txt"]


FRENCH = "Le café était fermé à Noël; les élèves sont allés à la plage."
RUSSIAN = "Вечером в Москве идёт снег, и люди спешат домой."


def test_no_file_stops_a_folder_and_every_file_is_counted(tmp_path):
    files = {
        "latin1.txt": FRENCH.encode("latin-1"),
        "western.md": f"# «{FRENCH}» – 5 €".encode("cp1252"),
        "russian.txt": RUSSIAN.encode("cp1251"),
        "utf16.txt": FRENCH.encode("utf-16"),
        "unmarked.txt": RUSSIAN.encode("utf-16-le"),
        "broken.txt": f"{FRENCH} {FRENCH}".encode() + b"\xff",
        "picture.txt": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        "half.txt": b"\xff\xfea",
        "plain.txt": b"plain",
        "blank.txt": b" \n",
        "data.xyz": b"?",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    report = DocumentReport()
    found = {document.id: document.text for document in read_documents(tmp_path, report=report)}
    assert found["latin1.txt"] == found["utf16.txt"] == FRENCH
    assert found["western.md"] == f"# «{FRENCH}» – 5 €"
    assert found["russian.txt"] == found["unmarked.txt"] == RUSSIAN
    assert found["broken.txt"].startswith(FRENCH)
    said = {note.file: (note.action, note.reason) for note in report.notes}
    assert said == {
        "latin1.txt": ("read", "not UTF-8: read as cp1252, a guess"),
        "western.md": ("read", "not UTF-8: read as cp1252, a guess"),
        "russian.txt": ("read", "not UTF-8: read as cp1251, a guess"),
        "unmarked.txt": ("read", "read as utf_16_le, a guess"),
        "broken.txt": ("read", "UTF-8, but for 1 broken characters, which were replaced"),
        "picture.txt": ("skipped", "no text in a known encoding"),
        "half.txt": ("skipped", "damaged"),
        "blank.txt": ("skipped", "empty"),
        "data.xyz": ("skipped", ".xyz files"),
    }
    assert len(found) == report.read.total()
    assert report.read.total() + report.skipped.total() == len(files)


def test_a_file_alone_is_read_in_its_encoding_or_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ncaf\xe9\n")
    assert read_documents(tmp_path / "a.txt")[0].text == "one\ncafé"
    (tmp_path / "a.txt").write_bytes(b"one\n" + bytes(range(256)))
    with pytest.raises(DataError, match=r"a.txt: no text in a known encoding: is not UTF-8 \(line \d+\)"):
        read_documents(tmp_path / "a.txt")


def test_a_file_whose_name_is_no_text(tmp_path):
    try:
        (tmp_path / "a\udcff.txt").write_text("text")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    (tmp_path / "b.txt").write_text("text")
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["b.txt"]
    assert report.lines()[1:] == [r"1 skipped, names that are not UTF-8: a\udcff.txt"]


@pytest.mark.parametrize("gone", ["removed", "a pipe"])
def test_a_file_that_goes_while_a_folder_is_read(tmp_path, monkeypatch, gone):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    report = DocumentReport()
    stream = stream_documents(tmp_path, report=report)
    assert next(stream)[1].id == "a.txt"
    (tmp_path / "b.txt").unlink()
    if gone == "a pipe":
        os.mkfifo(tmp_path / "b.txt")
    assert list(stream) == []
    assert report.skipped == {"cannot be read": 1}


def test_rows_that_say_nothing_or_the_same_again_are_said(tmp_path):
    report = DocumentReport()
    rows = [{"id": "1", "text": "one"}, {"id": "2", "text": " "}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert len(read_documents(path, report=report)) == 2
    assert list(report.records()) == [
        {
            "action": "read",
            "reason": "without text or title, so never found",
            "file": "rows.jsonl",
            "line": 2,
            "document": "2",
        }
    ]
    report = DocumentReport()
    assert len(read_documents(["a", "b", "a"], report=report)) == 2
    assert report.lines() == ["documents read: 2 (2 values)", "1 skipped, the same text as a row before: row 3"]


ROWS = [
    {"key": 7, "Head": "h", "abstract": "a", "body": "b", "lang": "en", "year": 1999},
    {"key": 8, "Head": None, "abstract": None, "body": "c", "lang": "de", "year": None},
]
CHOSEN = {"text": ["abstract", "body"], "title": "head", "id": "key", "metadata": ["lang", "year"]}


def write_table(path):
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif ".csv" in path.name:
        lines = [",".join(ROWS[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in ROWS)]
        path.write_text("\n".join(lines))
    else:
        write_jsonl(path, ROWS)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv.gz", "a.csv", "a.parquet"])
def test_a_tables_columns_are_chosen(tmp_path, name):
    found = dict(stream_documents(write_table(tmp_path / name), reading=Reading(columns=CHOSEN)))
    year = "1999" if "csv" in name else 1999
    rest = {"year": ""} if "csv" in name else {}
    assert list(found.values()) == [
        Document("7", "a\n\nb", "h", {"lang": "en", "year": year}),
        Document("8", "c", "", {"lang": "de", **rest}),
    ]
    assert list(found) == ([2, 3] if "csv" in name else [1, 2])


def test_one_column_is_the_text_and_the_others_metadata(tmp_path):
    documents = read_documents(
        write_table(tmp_path / "a.jsonl"), reading=Reading(columns={"text": "body", "id": "key"})
    )
    assert documents[0] == Document("7", "b", metadata={"Head": "h", "abstract": "a", "lang": "en", "year": 1999})
    documents = read_documents(
        [{"text": "a", "metadata": {"lang": "en", "n": 1}}], reading=Reading(columns={"metadata": ["lang"]})
    )
    assert documents[0].metadata == {"lang": "en"}


def test_a_folder_of_tables_is_read_one_after_the_other(tmp_path):
    write_jsonl(tmp_path / "part-1.jsonl", [{"id": "b", "text": "two"}])
    write_jsonl(tmp_path / "part-0.jsonl", [{"id": "a", "text": "one"}])
    (tmp_path / "settings.json").write_text("{}")
    report = DocumentReport()
    found = [(place, document.id) for place, document in stream_documents(tmp_path, report=report)]
    assert found == [(1, "a"), (2, "b")]
    assert report.lines() == ["documents read: 2 (2 rows)", "1 skipped, .json files: settings.json"]


def test_frames_are_read_by_their_rows():
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    rows = {"id": [1, 2], "text": ["a", "b"], "year": [1999.0, None]}
    expected = [Document("1", "a", metadata={"year": 1999.0}), Document("2", "b")]
    assert read_documents(pandas.DataFrame(rows)) == expected
    assert read_documents(polars.DataFrame(rows)) == expected


def test_values_stream():
    def endless():
        while True:
            yield {"text": "a"}

    stream = stream_documents(endless())
    assert [next(stream)[0] for _ in range(3)] == [1, 2, 3]


def deep(levels):
    found = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("source", "columns", "error", "message"),
    [
        ([{"text": "a"}], {"text": "body"}, DataError, "line 1: missing column body; it has text"),
        ([{"text": "a"}], {"metadata": ["lnag"]}, DataError, "no row has the column lnag"),
        ([{"text": "a"}], {"title": "head"}, DataError, "no row has the column head"),
        ([{"text": "a"}], {"id": "key"}, DataError, "line 1: missing column key"),
        (["a"], {"text": "body"}, DataError, "no row has the column body"),
        ([{"text": "a"}], {"text": []}, SettingError, "name at least one column"),
        ([{"text": "a"}], {"metadata": [3]}, SettingError, "3 is no column's name"),
        ([{"text": "a\ud800"}], {}, DataError, "line 1: column text holds half a character"),
        ([{"text": "a", "x": ["\ud800"]}], {}, DataError, "the metadata 'x' holds half a character"),
        ([{"text": "a", "x": b"\0"}], {}, DataError, "line 1: the metadata 'x' holds bytes.*--columns metadata= "),
        ([{"text": "a", "x": deep(5000)}], {}, DataError, "the metadata 'x' is nested deeper than 100 levels"),
        ({"a": "text"}, {}, DataError, "not one dict"),
    ],
)
def test_columns_that_cannot_be_read(source, columns, error, message):
    with pytest.raises(error, match=message):
        read_documents(source, reading=Reading(columns=columns))


@pytest.mark.parametrize(
    "odd",
    [b"\0", {"bytes": b"\0", "path": "a.png"}, [b"\0"], deep(200), "\ud800", {"\ud800": 1}],
    ids=lambda odd: str(odd)[:9],
)
def test_metadata_that_cannot_be_held_is_named_with_a_way_out(odd):
    rows = [{"text": "a", "year": 1, "metadata": {"page": 2}, "odd": odd}]
    nested = [{"text": "a", "year": 1, "metadata": {"page": 2, "odd": odd}}]
    for source in (rows, nested):
        with pytest.raises(DataError, match=r"line 1: the metadata 'odd' .*--columns metadata=COLUMN .*metadata= "):
            read_documents(source)
        for names, kept in (
            (None, {}),
            ("", {}),
            ([], {}),
            ("year", {"year": 1}),
            (["year", "page"], {"page": 2, "year": 1}),
        ):
            (found,) = read_documents(source, reading=Reading(columns={"metadata": names}))
            assert found.metadata == kept


def test_a_documents_own_metadata_is_mended_by_its_maker():
    with pytest.raises(DataError, match="^the metadata 'odd' is nested deeper.*take it out of the document's metadata"):
        as_stored({"year": 1, "odd": deep(200)})


FAQ = [
    {
        "id": f"kb-{n}",
        "question": f"How do I reset the lamp of model {n}?",
        "answer": f"Press button {n} for {n} seconds.",
    }
    for n in range(20)
]


@pytest.mark.parametrize("write", [list, pd.DataFrame, pa.Table.from_pylist])
def test_the_ids_of_a_table_of_questions_and_answers_are_asked_for(write, tmp_path):
    report = DocumentReport()
    assert all(document.id.startswith("d-") for document in read_documents(write(FAQ), report=report))
    way = "to read rows as documents with id as their id: --columns text=answer --columns id=id (in Python columns="
    assert way in report.lines()[-1]
    found = read_documents(write(FAQ), reading=Reading(columns={"text": "answer", "id": "id"}))
    assert [(document.id, document.text) for document in found] == [(row["id"], row["answer"]) for row in FAQ]
    assert found[0].metadata == {"question": FAQ[0]["question"]}


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("id", "question", "answer"), "--columns text=answer --columns id=id"),
        (("_id", "Frage", "Antwort"), "--columns text=Antwort --columns id=_id"),
        (("ID", "query", "the answer"), None),
    ],
)
def test_judgements_that_name_them_say_how_to_read_the_table(names, options, tardif, fails, tmp_path):
    faq = write_jsonl(tmp_path / "faq.jsonl", [dict(zip(names, row.values(), strict=True)) for row in FAQ])
    rows = [{"query": f"the lamp of {n} does not go on", "document_id": f"kb-{n}"} for n in range(20)]
    given = ("prepare", write_jsonl(tmp_path / "rows.jsonl", rows), "--documents", faq, "--miner", "none")
    told = fails(*given, "--out", tmp_path / "set", "--quiet")
    if options is None:  # no table of queries with documents: its reader names the option
        assert "--columns text=" in told
        options = f"--columns text='{names[-1]}'"
    else:
        assert "the document id 'kb-0' is not in the corpus (20 rows, 20 ids: 'kb-0'" in told
        assert f"read the rows as documents with {options} (in Python" in told
    assert tardif(*given, "--out", tmp_path / "set", "--quiet", *shlex.split(options))[0] == 0
    data = TrainingSet.load(tmp_path / "set")
    assert data.documents["kb-3"].text == FAQ[3]["answer"]


def test_columns_cannot_be_chosen_in_text(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    for source in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(SettingError, match="is no table: columns"):
            read_documents(source, reading=Reading(columns={"text": "body"}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", b"x", r"of a kind that is not read \(.xyz\): use .jsonl, .*, .txt, .md, .rst, .html, .pdf or .docx"),
        ("a.parquet", b"PAR1 no", "is damaged or cut short"),
        ("a.jsonl.gz", b"\x1f\x8b\x08no", "is damaged or cut short"),
        ("a.csv", b"id,text\n1\n", "line 2: has 1 columns where the header has 2"),
        ("a.csv", b"id,text\n", "holds no row"),
        ("a.tsv", b"text\ttext\na\tb\n", "names the column|names a column twice"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: malformed JSON"),
        ("a.txt", b" \n", "a.txt: empty: holds nothing"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_documents(tmp_path / name)


def test_a_tag_with_attributes_without_end_is_refused_and_a_long_one_read(tmp_path):
    many = " ".join(f"a{n}=1" for n in range(50_000))
    (tmp_path / "many.html").write_text(f"<html><body><p {many}>some text here</p></body></html>")
    picture = f'<img alt="a b c" src="data:{"QUJD" * 20_000}" style="{"a: b; " * 500}">'
    (tmp_path / "long.html").write_text(f"<html><body>{picture}<p>some text here</p></body></html>")
    report = DocumentReport()
    assert [document.id for document in read_documents(tmp_path, report=report)] == ["long.html"]
    assert report.skipped == {"damaged": 1}


class Chained:
    """A document of LangChain's shape; its fields can be gone through, as those of every pydantic model."""

    def __init__(self, page_content, metadata=None, identity=None):
        self.page_content, self.metadata, self.id = page_content, metadata or {}, identity

    def __iter__(self):
        return iter(vars(self).items())


class Node:
    """A node of LlamaIndex's shape."""

    def __init__(self, text, metadata=None, identity="node"):
        self._text, self.metadata, self.node_id = text, metadata or {}, identity

    def get_content(self):
        return self._text


class Haystack:
    """A document of Haystack's shape."""

    def __init__(self, content, meta=None, identity="hay"):
        self.content, self.meta, self.id = content, meta or {}, identity


def real_documents(text, metadata):
    """The libraries' own documents, as far as they are installed."""
    found = []
    for module, arguments in (
        ("langchain_core.documents", {"page_content": text, "metadata": metadata}),
        ("llama_index.core.schema", {"text": text, "metadata": metadata}),
        ("haystack", {"content": text, "meta": metadata}),
    ):
        if importlib.util.find_spec(module.split(".")[0]):
            found.append(importlib.import_module(module).Document(**arguments))
    return found


def test_documents_of_other_libraries_are_taken_by_their_shape():
    metadata = {"source": "a.md", "page": np.int64(3), "title": "of the file"}
    stored = {"source": "a.md", "page": 3, "title": "of the file"}
    for made, identity in (
        (Chained("the sea", metadata), None),
        (Chained("the sea", metadata, "chain"), "chain"),
        (Node("the sea", metadata), "node"),
        (Haystack("the sea", metadata), "hay"),
    ):
        (found,) = read_documents([made])
        assert found == Document(identity or text_id("d-", "the sea"), "the sea", metadata=stored)
        assert read_documents([made], reading=Reading(columns={"metadata": ["page"]}))[0].metadata == {"page": 3}
        with pytest.raises(DataError, match="documents are a list"):
            read_documents(made)
    for made in real_documents("the sea", metadata):
        (found,) = read_documents([made])
        assert (found.text, found.metadata) == ("the sea", stored)


@pytest.mark.parametrize("text", [None, float("nan"), " "], ids=["none", "nan", "blank"])
def test_a_document_of_another_library_may_be_empty_if_it_has_an_id(text):
    for made in (Chained(text, identity="x"), Node(text), Haystack(text)):
        assert read_documents(["one text", made])[1].content == ""
    with pytest.raises(DataError, match="line 2: the document is empty"):
        read_documents(["one text", Chained(text)])


@pytest.mark.parametrize("made", [Chained, Node, Haystack])
def test_a_document_of_another_library_needs_a_text(made):
    assert read_documents([made(3)])[0].text == "3"
    with pytest.raises(DataError, match="line 2: column text must be text"):
        read_documents(["one text", made(["a"])])


MISSING = {
    "None": None,
    "NaN": float("nan"),
    "numpy NaN": np.float32("nan"),
    "NA": pd.NA,
    "NaT": pd.NaT,
    "numpy NaT": np.datetime64("NaT"),
    "masked": np.ma.masked,
    "decimal": Decimal("NaN"),
    "signalling": Decimal("sNaN"),
    "arrow": pa.scalar(None, pa.string()),
}


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_what_is_missing_is_stored_nowhere(missing):
    row = {"id": missing, "text": "the sea", "title": missing, "n": missing, "list": [1, missing], "in": {"a": missing}}
    (found,) = read_documents([row])
    assert found == Document(text_id("d-", "the sea"), "the sea", metadata={"list": [1, None], "in": {"a": None}})
    kept = as_stored({"n": missing, "list": [missing], "in": {"a": missing}})
    assert kept == {"n": None, "list": [None], "in": {"a": None}}
    assert read_documents([{"id": "a", "text": missing}]) == [Document("a", "")]
    with pytest.raises(DataError, match="line 1: the document is empty"):
        read_documents([{"id": missing, "text": missing}])


def test_what_is_missing_in_frames_and_tables_is_stored_nowhere(tmp_path):
    columns = {
        "text": ["one", "two"],
        "title": [None, "Title"],
        "n": [1, None],
        "x": [None, 0.5],
        "when": [datetime.datetime(2024, 2, 1), None],
    }
    expected = [
        Document(text_id("d-", "one"), "one", metadata={"n": 1, "when": "2024-02-01T00:00:00"}),
        Document(text_id("d-", "Title two"), "two", "Title", {"x": 0.5}),
    ]
    frame = pd.DataFrame(columns).astype({"n": "Int64", "title": "string"})
    assert read_documents(frame) == expected
    table = pa.table(columns)
    for source in (table, polars.DataFrame(columns), polars.DataFrame(columns).lazy(), table.to_pylist()):
        assert read_documents(source) == expected
    for write in (frame.to_parquet, lambda path: pq.write_table(table, path)):
        write(tmp_path / "documents.parquet")
        assert read_documents(tmp_path / "documents.parquet") == expected


def test_the_documents_of_three_tables_are_those_of_their_part(tmp_path):
    rows, queries = [{"query_id": 1, "document_ids": [7], "scores": [1.0]}], [{"query_id": 1, "text": "a question"}]
    corpus = [{"document_id": 7, "text": "cats chase mice"}]
    for name, table in (("train", rows), ("queries", queries), ("documents", corpus)):
        write_jsonl(tmp_path / f"{name}.jsonl", table)
    for source in (tmp_path, {"train": rows, "queries": queries, "documents": corpus}, {"text": ["cats"], "id": ["7"]}):
        assert [document.id for document in read_documents(source)] == ["7"]


def test_ids_in_a_table_of_queries_with_documents_are_no_documents():
    rows = [{"query": f"what is {n}", "doc": f"kb-{n}"} for n in range(4)]
    with pytest.raises(DataError, match=r"look like ids, such as 'kb-\d'.*--columns text=COLUMN"):
        read_documents(rows, reading=Reading(columns={"positive": "doc"}))
    assert len(read_documents(rows, reading=Reading(columns={"text": "doc"}))) == 4


def test_a_packed_beir_folder_is_its_corpus_and_its_queries_are_no_documents(tmp_path):
    folder = write_beir(tmp_path / "animals")
    for name in ("corpus", "queries"):
        with gzip.open(folder / f"{name}.jsonl.gz", "wb") as file:
            file.write((folder / f"{name}.jsonl").read_bytes())
        (folder / f"{name}.jsonl").unlink()
    assert [document.id for document in read_documents(folder)] == ["d1", "d2", "d3"]
