import pytest

from samples import write_beir, write_jsonl
from tardif.data.documents import read_documents
from tardif.errors import DataError
from tardif.types import Document


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
    assert {d.id: d.text for d in found} == {"a.txt": "café", "deep/b.MD": "# B\ntext"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "is empty"),
        ([" "], "line 1: the text is empty"),
        ([3], "line 1: a document must be"),
        (["a", {"id": 1}], r"line 2: missing column text\|.*it has id"),
        ([{"text": " "}], "line 1: the document is empty"),
        ([{"text": 3}], "must be text"),
        ([{"text": None}], "must be text"),
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
    with pytest.raises(DataError, match=r"holds no text: .*\(1 empty ones\)"):
        read_documents(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_documents(tmp_path / "corpus.jsonl")
