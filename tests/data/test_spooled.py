import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alive import Stream
from tardif.data import spooled as module
from tardif.data.spooled import SpooledById, SpooledDocuments, at_hand, by_id, spooled, where
from tardif.errors import DataError, FolderError
from tardif.types import Document

DOCUMENTS = [
    Document("b", "Größe 中文\n\x00", title="a title", metadata={"a": {"é": 0.5}, "z": [1, None]}),
    Document("a", ""),
    Document("ö", "x" * 200_000),
    *(Document(f"d{n}", f"text {n}") for n in range(5)),
]


@pytest.fixture
def on_disk(monkeypatch):
    """Blocks of two documents, and none in memory."""
    monkeypatch.setattr(module, "MEMORY", 0)
    monkeypatch.setattr(module, "_ROWS", 2)


def test_few_documents_are_a_list_and_many_are_on_disk(monkeypatch):
    assert spooled(iter(DOCUMENTS[3:])) == DOCUMENTS[3:]
    assert spooled([]) == []
    monkeypatch.setattr(module, "MEMORY", 1_000)
    assert isinstance(spooled(DOCUMENTS[3:5]), list)
    assert isinstance(spooled(DOCUMENTS[3:]), SpooledDocuments)
    assert list(spooled(DOCUMENTS[3:])) == DOCUMENTS[3:]


def test_documents_on_disk_are_read_back_in_their_order(on_disk):
    kept = spooled(iter(DOCUMENTS))
    assert isinstance(kept, SpooledDocuments)
    assert list(kept) == list(kept) == DOCUMENTS == kept[:]
    assert [kept[place] for place in range(-len(kept), len(kept))] == DOCUMENTS * 2
    assert kept[5:1:-2] == DOCUMENTS[5:1:-2]
    assert list(kept.ids()) == [document.id for document in DOCUMENTS]
    assert repr(kept) == "SpooledDocuments(8 documents)"
    with pytest.raises(IndexError):
        kept[8]


@settings(deadline=None, max_examples=40)
@given(
    texts=st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from(["", "a", "b"]), min_size=1),
    rows=st.integers(1, 4),
    asked=st.text(max_size=3),
)
def test_documents_by_id_are_the_same_on_disk_as_in_a_dict(texts, rows, asked):
    documents = [Document(identity, text) for identity, text in texts.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", rows)
        patch.setattr(module, "MEMORY", 0)
        found = by_id(spooled(documents))
    known = by_id(documents)
    assert isinstance(found, SpooledById)
    assert found == known
    assert [list(found), list(found.values()), list(found.items())] == [
        list(known),
        list(known.values()),
        list(known.items()),
    ]
    assert [found[identity] for identity in known] == documents
    assert len(found) == len(found.values()) == len(known)
    assert [asked in found, found.get(asked)] == [asked in known, known.get(asked)]
    for wanted in (lambda d: d.text == "a", lambda d: True, lambda d: False):
        chosen = where(found, wanted)
        assert list(chosen) == chosen[:] == list(where(known, wanted)) == list(chosen.where(lambda d: True))
        assert [chosen[place] for place in range(len(chosen))] == list(chosen)
        assert list(chosen.ids()) == [document.id for document in chosen]
        assert chosen.table().num_rows == len(chosen)


def test_an_id_that_is_there_twice_is_refused(on_disk):
    with pytest.raises(DataError, match="same id"):
        by_id(spooled([Document("a", "one"), Document("b", "two"), Document("a", "three")]))
    with pytest.raises(KeyError, match="missing"):
        by_id(spooled(DOCUMENTS))["missing"]


def test_a_list_stays_as_it_is_and_what_cannot_be_read_twice_is_kept(on_disk):
    for given_documents in (DOCUMENTS, tuple(DOCUMENTS), spooled(DOCUMENTS)):
        assert at_hand(given_documents) is given_documents
    for stream in (iter(DOCUMENTS), (document for document in DOCUMENTS), {d.id: d for d in DOCUMENTS}.values()):
        assert list(at_hand(stream)) == DOCUMENTS
    with pytest.raises(DataError, match="documents='a': give a list"):
        at_hand("a")


def test_memory_holds_a_block_of_a_stream(monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 8)
    monkeypatch.setattr(module, "MEMORY", 10 * 410)
    stream = Stream(200)
    assert [len(spooled(stream)), stream.read, stream.alive] == [200, 200, 0]
    # The list that was too short to hold them, a block, and the next document.
    assert 10 <= stream.most <= 10 + 8 + 2


def test_a_stream_that_fails_leaves_its_error_and_no_file(on_disk, monkeypatch, tmp_path):
    def failing():
        yield from DOCUMENTS
        raise OSError("the cable was pulled")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="the cable was pulled"):
        spooled(failing())
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="files in use have names on Windows")
def test_the_file_has_no_name(on_disk, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = spooled(DOCUMENTS)
    assert not any(tmp_path.iterdir())
    assert list(kept) == DOCUMENTS


def test_without_room_there_is_one_error_with_a_way_out(on_disk, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(FolderError, match=r"missing.*needs room for all texts there \(TMPDIR names another"):
        spooled(DOCUMENTS)


def test_threads_read_at_the_same_time(on_disk):
    found = by_id(spooled(DOCUMENTS))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda number: found[DOCUMENTS[number % 8].id], range(200)))
    assert read == [DOCUMENTS[number % 8] for number in range(200)]
