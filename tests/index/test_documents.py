from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tardif.errors import FolderError
from tardif.index.documents import DocumentStore, write_documents
from tardif.types import Document

DOCUMENTS = [
    Document("plain", "A text.", "A title", {"year": 1969, "tags": ["a", "b"], "nested": {"x": None}}),
    Document("with/slash and 'quotes' and \"more\"", "line\nbreak\tand tab"),
    Document("été-晚期-🌍", "晚期交互 🌍", "Ünïcode", {"schlüssel": "wert"}),
    Document("'; DROP TABLE documents; --", "x"),
    Document("%_\\", ""),
    Document("0", "a number as text"),
]


@pytest.fixture
def store(tmp_path):
    write_documents(tmp_path / "documents.sqlite", DOCUMENTS)
    return DocumentStore(tmp_path / "documents.sqlite")


def test_documents_come_back_as_they_were(store):
    assert store.ids() == [document.id for document in DOCUMENTS]
    assert store.get(store.ids()) == {document.id: document for document in DOCUMENTS}


def test_an_id_that_is_not_there_is_left_out(store):
    assert list(store.get(["0", "nothing", "plain"])) and set(store.get(["0", "nothing", "plain"])) == {"0", "plain"}
    assert store.get([]) == {}


def test_more_ids_than_one_statement_takes(tmp_path):
    many = [Document(str(number), f"text {number}") for number in range(1234)]
    write_documents(tmp_path / "many.sqlite", many)
    assert DocumentStore(tmp_path / "many.sqlite").get([d.id for d in many]) == {d.id: d for d in many}


def test_any_thread_may_read(store):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(store.get, [["plain"]] * 20)) == [{"plain": DOCUMENTS[0]}] * 20


def test_reading_changes_nothing(store, tmp_path):
    before = (tmp_path / "documents.sqlite").read_bytes()
    store.get(store.ids())
    assert [path.name for path in tmp_path.iterdir()] == ["documents.sqlite"]
    assert (tmp_path / "documents.sqlite").read_bytes() == before


def test_a_path_with_odd_characters_is_read(tmp_path):
    folder = tmp_path / "50% off? #1 é"
    folder.mkdir()
    write_documents(folder / "documents.sqlite", DOCUMENTS)
    assert len(DocumentStore(folder / "documents.sqlite").ids()) == len(DOCUMENTS)


@pytest.mark.parametrize("content", [None, b"", b"this is no database, but long enough to look at" * 50])
def test_what_is_no_database_is_a_folder_error(tmp_path, content):
    path = tmp_path / "documents.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FolderError, match=r"documents\.sqlite is (missing|damaged)"):
        DocumentStore(path).ids()
