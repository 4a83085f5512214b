"""A corpus on disk: taken once, read in blocks."""

from __future__ import annotations

import os
import sqlite3
from functools import partial

import pytest

from tardif.errors import DataError, FolderError
from tardif.index.document_columns import as_kept
from tardif.index.spool import SpooledCorpus, text_digest
from tardif.text.normal import keyed_order
from tardif.types import Document, Piece


def piece(whole, number, of, identity=None):
    return Document(identity or f"{whole}#{number}", f"{whole} {number}", piece=Piece(whole, number, of, 0, 4, ("A",)))


PLAIN = [Document(f"d{n:03}", f"text {n}", title=f"title {n}", metadata={"n": n}) for n in range(50)]


def ids(blocks):
    return [[document.id for document in block] for block in blocks]


def test_documents_come_back_as_an_index_would_keep_them_in_their_order():
    odd = [
        Document("a\0b", "a\0text", metadata={"x": float("nan"), "y": (1, 2), 3: {"z": 10**400}}),
        Document("é", "", title="only a title"),
        *(piece("long", n, 3) for n in (1, 2, 3)),
    ]
    with SpooledCorpus.of(odd) as corpus:
        assert list(corpus) == [as_kept(document) for document in odd]
        assert (len(corpus), corpus.wholes) == (5, 3)
        assert list(corpus) == list(corpus)


@pytest.mark.parametrize("together", [1, 3, 500])
def test_blocks_hold_all_documents_once_and_all_pieces_of_one(monkeypatch, together):
    monkeypatch.setattr("tardif.index.spool._TOGETHER", together)
    mixed = [PLAIN[0], piece("x", 2, 2), PLAIN[1], PLAIN[2], piece("y", 1, 1), piece("x", 1, 2)]
    with SpooledCorpus.of(mixed) as corpus:
        assert ids(corpus.blocks(2)) == [["d000"], ["x#2", "x#1"], ["d001", "d002"], ["y#1"]]
        assert ids(corpus.blocks(100)) == [["d000", "x#2", "x#1", "d001", "d002", "y#1"]]


@pytest.mark.parametrize("sample", [0, 1, 7, 50, 99])
def test_the_sample_is_that_of_the_ids_and_the_rest_follows_in_order(sample):
    drawn = {document.id for document in sorted(PLAIN, key=lambda document: keyed_order(0, document.id))[:sample]}
    with SpooledCorpus.of(PLAIN) as corpus:
        found = ids(corpus.sample_first(sample, 20))
    expected = [d.id for d in PLAIN if d.id in drawn], [d.id for d in PLAIN if d.id not in drawn]
    first = found.pop(0) if sample else []
    assert (first, [identity for block in found for identity in block]) == expected
    assert all(len(block) <= 20 for block in found)


@pytest.mark.parametrize("moment", ["PRAGMA", "BEGIN"])
def test_a_file_that_another_write_swept_is_not_missed(monkeypatch, tmp_path, moment):
    class Swept(sqlite3.Connection):
        def execute(self, statement, *values):
            done = super().execute(statement, *values)
            if statement.startswith(moment):
                (tmp_path / "spool").unlink(missing_ok=True)
            return done

    monkeypatch.setattr("tardif.index.spool.sqlite3.connect", partial(sqlite3.connect, factory=Swept))
    with SpooledCorpus.of(PLAIN, tmp_path / "spool") as corpus:
        assert list(corpus) == PLAIN
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([PLAIN[0], PLAIN[1], PLAIN[0]], "same id .'d000'"),
        ([piece("a", 1, 2), piece("a", 1, 2)], "same id .'a#1'"),
        ([piece("a", 1, 2)], "'a' has 2 pieces: give all"),
        ([piece("a", 1, 1), Document("a", "whole")], "'a' has 1 pieces: give all"),
        ([Document("a", "whole"), piece("a", 1, 1)], "'a' has 1 pieces: give all"),
        ([Document("a#1", "row"), piece("a", 1, 1)], "'a#1' is that of a document and of a piece of 'a'"),
        ([piece("a", 1, 1), Document("a#1", "row")], "'a#1' is that of a piece of 'a' and of a document"),
        ([piece("a", 1, 1, "p"), piece("b", 1, 1, "p")], "'p' is that of a piece of 'a' and of a piece of 'b'"),
        ([piece("a", 1, 1, "a")], "'a' has 1 pieces"),
    ],
)
def test_ids_are_unique_and_pieces_complete(documents, said):
    with pytest.raises(DataError, match=said):
        SpooledCorpus.of(documents)


def test_a_repeated_id_is_told_with_what_is_there_and_can_be_joined():
    with SpooledCorpus() as corpus:
        pieces = [piece("a", n, 2) for n in (1, 2)]
        assert corpus.put(7, Document("a", "long", metadata={"n": 1}), pieces) is None
        held = corpus.put(9, Document("a", "long"), pieces)
        assert held == (7, text_digest(Document("a", "long")), {"n": 1})
        corpus.join(Document("a", "long"), [Document("a", "long")])
        assert corpus.put(10, Document("a#1", "free now"), [Document("a#1", "free now")]) is None
        assert [document.id for document in corpus] == ["a", "a#1"]
        assert len(corpus) == 2


def test_dropped_documents_stay_known():
    with SpooledCorpus.of([*PLAIN, piece("x", 1, 1)]) as corpus:
        corpus.drop([document.id for document in PLAIN[1:]])
        assert ids(corpus.blocks(5)) == [["d000", "x#1"]]
        assert ids(corpus.sample_first(1, 5)) in ([["d000"], ["x#1"]], [["x#1"], ["d000"]])
        assert (len(corpus), corpus.wholes) == (2, 2)
        assert list(corpus.unknown(["nobody", "d003", "x#1", "x"])) == ["nobody", "x#1"]


def test_nothing_is_left_of_it(tmp_path):
    path = tmp_path / "corpus"
    with SpooledCorpus.of(PLAIN, path) as corpus:
        # A killed process leaves no file either, where a file can lose its name while it is open.
        assert path.exists() == (os.name == "nt")
        assert len(list(corpus)) == 50
    assert not list(tmp_path.iterdir())
    with pytest.raises(FolderError, match="needs room for all texts"):
        SpooledCorpus(tmp_path / "missing" / "corpus")
