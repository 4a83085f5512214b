"""An index examined and repaired: damage of every kind is found, and what can be made again is made again."""

from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest

import tiny
from tardif import Retriever
from tardif.encoder.onnx.encoder import LightEncoder
from tardif.errors import FolderError
from tardif.index import compaction, disk
from tardif.progress import Console
from tardif.search.repair import examine, repair
from tardif.search.search_model import SearchModel
from tardif.types import Document, Piece

DOCUMENTS = [Document(f"d{n}", text, "title", {"n": n}) for n, text in enumerate(tiny.SENTENCES[:24])]


@pytest.fixture(scope="module", params=["scanned", "coded"])
def whole(request, multi_vector_folder, tmp_path_factory):
    """An index that each test damages a copy of; segments are coded at a size that it reaches, or not."""
    folder = tmp_path_factory.mktemp("whole") / "index"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "coded":
            for module in (disk, compaction):
                patch.setattr(module, "PLAIN_TOKENS", 20)
        Retriever.build(multi_vector_folder, DOCUMENTS, folder, bits=4, hybrid=True, quiet=True).close()
        with Retriever(folder) as retriever:
            retriever.delete(["d3", "d20"])
        yield folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "index")


@pytest.fixture
def answers(folder):
    """What a search of the index gives: every document with its score."""

    def found():
        with Retriever(folder) as retriever:
            return {hit.document_id: (hit.text, round(hit.score, 1)) for hit in retriever.search("bread", 50)}

    return found


def mended(folder):
    return repair(folder, console=Console(quiet=True))


def segment_of(folder):
    (path,) = (folder / "segments").glob("*.segment")
    return path


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


def change(folder, statement, *values):
    database = sqlite3.connect(folder / "index.sqlite")
    with database:
        database.execute(statement, values)
    database.close()


def test_a_sound_index_is_left_as_it_is(folder, answers):
    before = answers()
    found = examine(folder)
    assert (found.problems, found.documents, found.segments) == ([], 22, 1)
    done, after = mended(folder)
    assert (done, after.problems) == ([], [])
    assert answers() == before


@pytest.mark.parametrize("damage", ["gone", "cut short", "header", "rows"])
def test_lost_vectors_are_encoded_again(folder, answers, damage):
    before, path = answers(), segment_of(folder)
    if damage == "gone":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with Retriever(folder) as retriever:
            (segment,) = retriever.index.view().segments
            place = segment.arrays["codes"].ctypes.data - segment._bytes.ctypes.data
        flip(path, 100 if damage == "header" else place + 3)
        if damage == "rows":
            with pytest.raises(FolderError, match="damaged"):
                answers()
    assert examine(folder).problems
    done, after = mended(folder)
    assert any("encoded again" in line for line in done)
    assert after.problems == []
    assert answers() == before


def test_a_codebook_that_is_damaged_is_learnt_again(folder, answers):
    before = answers()
    books = list((folder / "codebooks").iterdir())
    for book in books:
        flip(book, book.stat().st_size // 2)
    _, after = mended(folder)
    assert after.problems == []
    assert answers().keys() == before.keys()


def test_a_changed_text_is_an_error_and_given_up_by_name(folder, answers):
    change(folder, "UPDATE documents SET text = 'forged' WHERE id = 'd7'")
    with pytest.raises(FolderError, match=r"checksum of the document 'd7' is wrong: see|'d7' is wrong"):
        answers()
    assert any("'d7'" in line for line in examine(folder).problems)
    done, after = mended(folder)
    assert done == ["The document 'd7' was given up: add it again."]
    assert after.problems == []
    assert "d7" not in answers()
    assert len(answers()) == 21


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM deleted", "UPDATE deleted SET number = number + 1", "DELETE FROM facts WHERE name = 'state'"],
)
def test_a_deletion_that_was_lost_is_an_error_and_comes_back(folder, answers, statement):
    before = answers()
    change(folder, statement)
    with pytest.raises(FolderError, match="segments and deletions"):
        answers()
    _, after = mended(folder)
    assert after.problems == []
    assert answers() == before


def test_a_segment_that_the_database_forgot_is_missed(folder, answers):
    before = answers()
    change(folder, "DELETE FROM segments")
    with pytest.raises(FolderError, match="segments and deletions"):
        answers()
    _, after = mended(folder)
    assert after.problems == []
    assert answers() == before


def test_words_that_were_lost_are_indexed_again(folder):
    word = max(tiny.SENTENCES[7].split(), key=len)
    with Retriever(folder) as retriever:
        before = retriever.index.search_words(word, 5)
    change(folder, "DELETE FROM words WHERE rowid > 4")
    assert examine(folder).problems == ["The words are not those of the documents."]
    done, after = mended(folder)
    assert (done, after.problems) == (["The words were indexed again."], [])
    with Retriever(folder) as retriever:
        assert retriever.index.search_words(word, 5) == before


def test_a_damaged_query_encoder_is_exported_again(folder, answers):
    before = answers()
    graph = folder / "encoder" / "model.onnx"
    flip(graph, graph.stat().st_size // 2)
    with pytest.raises(FolderError, match="damaged"):
        answers()
    done, after = mended(folder)
    assert (done, after.problems) == (["The query encoder was exported again."], [])
    assert answers() == before


def test_any_flipped_bit_of_the_database_is_an_error_or_changes_nothing(folder, answers, monkeypatch):
    # The query encoder is none of the database: it is opened once.
    encoder = LightEncoder(folder / "encoder")
    monkeypatch.setattr(SearchModel, "lightest", lambda self: encoder if self._query_encoder else self.open())
    before, path = answers(), folder / "index.sqlite"
    whole = path.read_bytes()
    for at in np.random.default_rng(1).integers(len(whole), size=150).tolist():
        path.write_bytes(whole)
        flip(path, at)
        try:
            now = answers()
        except FolderError:
            continue
        assert now == before, f"byte {at}"


def test_what_cannot_be_mended_says_so(folder):
    (folder / "index.sqlite").write_bytes(b"no database " * 1000)
    assert examine(folder).problems
    with pytest.raises(FolderError):
        mended(folder)


def test_a_repair_without_the_model_asks_for_it(folder, multi_vector_folder, monkeypatch):
    segment_of(folder).unlink()
    with pytest.raises(FolderError, match="--model"):
        repair(folder, model=folder / "nowhere", console=Console(quiet=True))
    _, after = mended(folder)  # nothing was lost by the first try
    assert after.problems == []


def test_the_verb_examines_and_repairs(folder, tardif, fails):
    code, out, _ = tardif("doctor", folder)
    assert (code, "All is well." in out) == (0, True)
    segment_of(folder).unlink()
    code, out, err = tardif("doctor", folder)
    assert code == 1
    assert "problem: " in out
    assert "--repair" in err
    code, out, _ = tardif("doctor", folder, "--repair", "--quiet")
    assert code == 0
    assert "repaired: 22 documents were encoded again." in out
    assert tardif("doctor", "--repair")[0] == 2


def test_damaged_facts_are_not_sealed_as_right(folder, answers):
    before = answers()
    for name in ("next", "serial", "dim", "documents", "deleted sum"):
        change(folder, "UPDATE facts SET value = '77' WHERE name = ?", name)
        assert examine(folder).problems
        assert mended(folder)[1].problems == []
    change(folder, "UPDATE facts SET name = 'x' || name WHERE name = 'next'")
    assert mended(folder)[1].problems == []
    assert answers() == before
    with Retriever(folder) as retriever:
        retriever.add([Document("new", "a text that was added to a mended index")], quiet=True)
        assert set(retriever.index.ids()) == {*before, "new"}
    assert examine(folder).problems == []


@pytest.fixture
def cut(multi_vector_folder, tmp_path):
    """An index of whole documents and of one in pieces."""
    with Retriever.build(multi_vector_folder, DOCUMENTS[:3], tmp_path / "cut", hybrid=True, quiet=True) as retriever:
        pieces = [
            Document(f"long#{n}", text, piece=Piece("long", n, 3, n, n + 1))
            for n, text in enumerate(tiny.SENTENCES[:3], 1)
        ]
        retriever.index.add(pieces, *retriever._document_vectors([piece.text for piece in pieces]), source="/docs")
    return tmp_path / "cut"


def test_a_document_that_lost_a_piece_is_given_up_whole(cut):
    assert examine(cut).documents == 4
    change(cut, "UPDATE documents SET text = 'forged' WHERE id = 'long#2'")
    done, after = mended(cut)
    assert done == ["The document 'long' was given up: add it again."]
    assert (after.problems, after.documents) == ([], 3)
    change(cut, "DELETE FROM documents WHERE id = 'd1'")
    assert mended(cut)[1].documents == 2


def test_lost_vectors_of_pieces_are_encoded_again(cut):
    for path in (cut / "segments").glob("*.segment"):
        path.unlink()
    _, after = mended(cut)
    assert (after.problems, after.documents) == ([], 4)
    with Retriever(cut) as retriever:
        assert retriever.index.sources()["long"] == "/docs"
        assert {hit.document_id for hit in retriever.search("bread", 9, where="@id = 'long'")} == {
            "long#1",
            "long#2",
            "long#3",
        }
