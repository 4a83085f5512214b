import io
import zipfile

import pytest

from tardif.data.chunking import Chunker
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.extraction import word
from tardif.encoder.base import resolve_base

docx = pytest.importorskip("docx", exc_type=ImportError)
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def save(path, *, xml="", styles=()):
    document = docx.Document()
    document.add_heading("The handbook", 0)
    document.add_paragraph("Some words first.")
    document.add_heading("Trains", 1)
    document.add_paragraph("Snow on the line.")
    table = document.add_table(2, 2)
    for row, column, text in ((0, 0, "stop"), (0, 1, "late by"), (1, 0, "North\nside"), (1, 1, "2 hours")):
        table.cell(row, column).text = text
    for name, based_on in styles:
        style = document.styles.add_style(name, docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = document.styles[based_on]
        document.add_paragraph(f"A {name}", style=name)
    if xml:
        document.element.body.insert(0, docx.oxml.parser.parse_xml(f'<w:p xmlns:w="{W}">{xml}</w:p>'))
    document.save(path)
    return path


def rewritten(path, name, content):
    """The package with another content of one part."""
    with zipfile.ZipFile(path) as package:
        parts = {part: package.read(part) for part in package.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for part, old in parts.items():
            package.writestr(part, content if part == name else old)
    return path


def refusal(path):
    """The reason why a folder goes on without a file."""
    report = DocumentReport()
    (path.parent / "other.txt").write_text("other")
    assert [document.id for document in read_documents(path.parent, report=report)] == ["other.txt"]
    (note,) = report.notes
    return note.reason, note.detail


def test_paragraphs_headings_and_tables(tmp_path):
    (document,) = read_documents(save(tmp_path / "a.docx", styles=[("Chapter", "Heading 2")]))
    assert document.title == "The handbook"
    assert document.text == (
        "Some words first.\n\n# Trains\n\nSnow on the line.\n\nstop | late by\nNorth side | 2 hours\n\n## A Chapter"
    )


def test_text_in_insertions_controls_and_boxes_is_read_and_what_was_deleted_is_not(tmp_path):
    xml = (
        "<w:ins><w:r><w:t>inserted </w:t></w:r></w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:sdt><w:sdtContent><w:r><w:t>controlled</w:t></w:r>"
        "</w:sdtContent></w:sdt><w:r><w:tab/><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:r>"
    )
    (document,) = read_documents(save(tmp_path / "a.docx", xml=xml))
    assert document.text.startswith("inserted controlled\n\nboxed\n\n# The handbook\n\nSome words")
    assert "gone" not in document.text and "moved" not in document.text


def test_a_document_is_cut_at_its_headings(tmp_path, base_folder):
    document = docx.Document()
    for n in range(4):
        document.add_heading(f"Part {n}", 1)
        document.add_paragraph("The train from the north is late again today. " * 3)
    document.save(tmp_path / "a.docx")
    (read,) = read_documents(tmp_path)
    pieces = Chunker(resolve_base(base_folder("bert")), 60, overlap=0).chunk(read)
    assert [piece.text.partition("\n")[0] for piece in pieces] == [f"# Part {n}" for n in range(4)]


def test_what_unpacks_to_more_than_is_read_is_refused_also_where_it_lies_about_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(word, "LARGEST", 2**20)
    path = rewritten(save(tmp_path / "a.docx"), "word/document.xml", b"<a>" + bytes(2**21))
    assert refusal(path)[0] == "too large"
    size = (2**21 + 3).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    assert refusal(path)[0] == "damaged"


@pytest.mark.parametrize("entity", [b"SYSTEM 'file:///etc/hostname'", b"'&lol;&lol;'"])
def test_entities_are_refused(tmp_path, entity):
    path = save(tmp_path / "a.docx")
    with zipfile.ZipFile(path) as package:
        xml = package.read("word/document.xml").partition(b"?>")[2]
    declared = b"<!DOCTYPE d [<!ENTITY x %s>]>" % entity
    rewritten(path, "word/document.xml", declared + xml.replace(b"Snow", b"&x;Snow"))
    assert refusal(path)[0] == "damaged"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK no package", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 wrapped by Office", "encrypted"),
        (b"", "empty"),
    ],
)
def test_what_cannot_be_read_is_refused_alone(tmp_path, content, reason):
    (tmp_path / "a.docx").write_bytes(content)
    assert refusal(tmp_path / "a.docx")[0] == reason


def test_a_file_of_another_kind_in_a_package_is_damaged(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("a.xml", "<a/>")
    (tmp_path / "a.docx").write_bytes(file.getvalue())
    assert refusal(tmp_path / "a.docx")[0] == "damaged"


def test_styles_that_are_based_on_each_other(tmp_path):
    path = save(tmp_path / "a.docx")
    with zipfile.ZipFile(path) as package:
        styles = package.read("word/styles.xml")
    ring = b"".join(
        b'<w:style w:type="paragraph" w:styleId="%s"><w:name w:val="%s"/><w:basedOn w:val="%s"/></w:style>' % names
        for names in ((b"R1", b"r1", b"R2"), (b"R2", b"r2", b"R1"))
    )
    rewritten(path, "word/styles.xml", styles.replace(b"</w:styles>", ring + b"</w:styles>"))
    assert read_documents(path)[0].title == "The handbook"
