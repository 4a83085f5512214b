"""A corpus is a stream: read once, a block at a time, and nothing is left of one that fails."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest

import tiny
from tardif import Retriever
from tardif.errors import DataError
from tardif.index.disk import DiskIndex
from tardif.search import build
from tardif.search.build import document_vectors
from tardif.types import Document

ROWS = [{"id": f"d{n:02}", "text": f"{text} {n}"} for n in range(3) for text in ["x", *tiny.SENTENCES[:20]]]
ROWS = [{**row, "id": f"d{n:02}"} for n, row in enumerate(ROWS)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of a few documents."""
    for name, value in {"BLOCK": 10, "_PART": 5, "centroid_count": lambda tokens: 8}.items():
        monkeypatch.setattr(build, name, value)
    monkeypatch.setattr("tardif.index.spool._TOGETHER", 5)


def contents(folder):
    """What an index holds: documents in the order of adding, with their vectors as stored."""
    with DiskIndex(folder, threads=1) as index:
        view = index.view()
        found = [(row.id, row.text, row.title, row.metadata, view.stored(row.number)) for row in index.store.all_rows()]
    return [(*row, vectors.tobytes(), scale) for *row, (vectors, scale) in found]


LIMIT = 50


@pytest.fixture
def alive():
    """The number of documents that were made since. A full collection takes long, so only where garbage may count."""
    gc.collect()
    gc.freeze()  # as in conftest.py: what is there already is not looked through

    def counted():
        found = sum(type(value) is Document for value in gc.get_objects())
        if found >= LIMIT:
            gc.collect()
            found = sum(type(value) is Document for value in gc.get_objects())
        return found

    return counted


def test_a_generator_a_list_and_a_file_give_the_same_index(multi_vector_folder, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    given = {"generator": (row for row in ROWS), "list": ROWS, "file": file}
    for name, documents in given.items():
        Retriever.build(multi_vector_folder, documents, tmp_path / name, quiet=True).close()
    one, two, three = (contents(tmp_path / name) for name in given)
    assert one == two == three
    assert len(one) == len(ROWS)


def test_a_build_holds_a_block_of_documents_at_a_time(multi_vector_folder, tmp_path, monkeypatch, alive):
    seen = []

    def rows():
        for n in range(150):
            seen.append(alive())
            yield Document(f"d{n:03}", f"{tiny.SENTENCES[n % 20]} {n}")

    def encode(model, texts, *how):
        seen.append(alive())
        return document_vectors(model, texts, *how)

    monkeypatch.setattr(build, "document_vectors", encode)
    with Retriever.build(multi_vector_folder, rows(), tmp_path / "index", quiet=True) as retriever:
        assert len(retriever) == 150
    # The block under way, those of it that differ from the index, and the next ones read from disk.
    assert max(seen) < LIMIT


def test_adding_holds_a_block_of_documents_at_a_time(multi_vector_folder, tmp_path, monkeypatch, alive):
    monkeypatch.setattr("tardif.search.retriever._TOGETHER", 10)
    with Retriever.build(multi_vector_folder, ROWS[:5], tmp_path / "index", quiet=True) as retriever:
        before, seen = alive(), []

        def rows():
            for n in range(100):
                seen.append(alive() - before)
                yield Document(f"d{n:03}", f"{tiny.SENTENCES[n % 20]} {n}")

        vectors = retriever._document_vectors
        monkeypatch.setattr(
            retriever, "_document_vectors", lambda texts: (seen.append(alive() - before), vectors(texts))[1]
        )
        assert retriever.add(rows(), quiet=True) == (100, 0)
        assert max(seen) < LIMIT


def test_a_repeated_id_far_apart_is_refused_with_both_places_and_nothing_is_left(multi_vector_folder, tmp_path):
    rows = [*ROWS, {"id": "d01", "text": "another"}]
    with pytest.raises(DataError, match=f"id 'd01' .documents 2 and {len(rows)}."):
        Retriever.build(multi_vector_folder, iter(rows), tmp_path / "index", quiet=True)
    assert not list(tmp_path.iterdir())
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=f"rows.jsonl: two .* 'd01' .lines 2 and {len(rows)}."):
        Retriever.build(multi_vector_folder, file, tmp_path / "index", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_error_of_a_generator_comes_through_and_nothing_is_left(multi_vector_folder, tmp_path):
    def failing():
        yield from ROWS
        raise ValueError("the cursor was closed")

    for use in (
        lambda: Retriever.build(multi_vector_folder, failing(), tmp_path / "index", quiet=True),
        lambda: Retriever.encode(multi_vector_folder, failing(), quiet=True),
    ):
        with pytest.raises(ValueError, match="the cursor was closed") as raised:
            use()
        assert raised.value.__notes__ == [
            f"It was raised while document {len(ROWS) + 1} was read. No document was indexed."
        ]
    assert not list(tmp_path.iterdir())
    with Retriever.build(multi_vector_folder, ROWS, tmp_path / "index", quiet=True) as retriever:
        with pytest.raises(ValueError, match="the cursor was closed"):
            retriever.add(failing(), quiet=True)
        assert len(retriever) == len(ROWS)
        assert not list((tmp_path / "index").rglob("*.partial"))


def test_copies_of_a_text_without_an_id_are_one_document_with_the_metadata_of_both(multi_vector_folder, tmp_path):
    rows = ({"text": text, "year": 2000, "n": n % 2} for n, text in enumerate(["a sea", "a tide", "a sea"] * 20))
    with Retriever.build(multi_vector_folder, rows, tmp_path / "index", quiet=True) as retriever:
        found = retriever.index.get(list(retriever.index.sources())).values()
        assert {document.text: document.metadata for document in found} == {
            "a sea": {"year": 2000},
            "a tide": {"year": 2000},
        }
        assert sum(note.action == "skipped" for note in retriever.report.notes) == 58


def test_vectors_of_a_block_are_packed_in_the_order_of_its_documents():
    documents = [Document(f"d{n}", "word " * (n % 7)) for n in range(23)]

    def encode(texts):
        lengths = [len(text) // 5 for text in texts]
        rows = np.repeat(lengths, lengths).astype(np.float32)[:, None]
        return build.DocumentVectors(rows, lengths)

    vectors, lengths, _ = build.encode_block(documents, encode)
    assert lengths == [len(document.content) // 5 for document in documents]
    assert vectors[:, 0].tolist() == [length for length in lengths for _ in range(length)]


def test_blocks_come_out_alike_where_parts_are_read_ahead(monkeypatch):
    monkeypatch.setattr(build, "_PART", 4)
    blocks = [[Document(f"d{n}", "word " * (n % 7)) for n in range(first, first + 11)] for first in (0, 11, 22)]

    def encode(texts):
        lengths = [len(text) // 5 for text in texts]
        return build.DocumentVectors(np.repeat(lengths, lengths).astype(np.float32)[:, None], lengths)

    done = []
    here = list(build.encoded_blocks(blocks, lambda parts: map(encode, parts)))
    ahead = list(build.encoded_blocks(blocks, lambda parts: [encode(part) for part in parts], done.append))
    assert [documents for documents, _ in ahead] == [documents for documents, _ in here] == blocks
    for (_, one), (_, other) in zip(ahead, here, strict=True):
        assert one.lengths == other.lengths
        assert one.vectors.tolist() == other.vectors.tolist()
    assert done == [4, 4, 3] * 3
