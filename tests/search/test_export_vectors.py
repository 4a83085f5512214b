"""Vectors as Parquet: exactly what is stored, in the order of adding, the same bytes each time, a block at a time."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import polars
import pyarrow.parquet as pq
import pytest

from tardif.errors import FolderError
from tardif.index.codes import ONE
from tardif.index.disk import DiskIndex
from tardif.index.stored import stored_blocks
from tardif.search import export_vectors as module
from tardif.search.export_vectors import export_vectors
from tardif.types import Document, Piece

DIM = 10


def documents(count, first=0):
    found = [
        Document(f"d{n}", f"the text {n}", f"title {n}", {"year": 2000 + n, "tags": ["a", "é"]})
        for n in range(first, first + count - 2)
    ]
    return [*found, *(Document(f"cut#{n}", f"piece {n}", piece=Piece("cut", n, 2, 0, 7, ("Head",))) for n in (1, 2))]


def vectors_for(count, seed=0):
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 6, count).tolist()
    made = random.normal(size=(sum(lengths), DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True), lengths


@pytest.fixture(params=[16, 8, 4, 2])
def folder(request, tmp_path):
    """An index of several segments with deletions and a replaced document."""
    folder = tmp_path / "index"
    with DiskIndex.create(folder, model={"path": "/home/me/model", "fingerprint": "f"}, bits=request.param) as index:
        index.add(documents(30), *vectors_for(30))
        index.add(documents(10, 100)[:-2], *vectors_for(8, 1))
        index.delete(["d3", "d101"])
        index.add([Document("d5", "again")], *vectors_for(1, 5))
    return folder


def stored(folder):
    """Each row's id and vectors, read segment by segment."""
    with DiskIndex(folder) as index, index.moment():
        view, found = index.view(), {}
        for segment, alive in zip(view.segments, view.alive, strict=True):
            for row in np.flatnonzero(alive).tolist():
                found[int(segment.numbers[row])] = segment.vectors(row)[:, :DIM], segment.scale
        ids = index.store.ids(list(found))
        return {ids[number]: found[number] for number in sorted(found)}


def read(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_rows_are_exactly_what_is_stored_in_the_order_of_adding(folder, tmp_path):
    made = export_vectors(folder, tmp_path / "out")
    rows, expected = read(made.folder), stored(folder)
    assert [row["id"] for row in rows] == list(expected)
    assert rows[-1]["id"] == "d5"
    for row in rows:
        fixed, scale = expected[row["id"]]
        found = np.array(row["vectors"], dtype=np.float64).reshape(-1, DIM)
        assert np.array_equal(np.rint(found / scale * ONE), fixed)
    with DiskIndex(folder) as index:
        there = index.get([row["id"] for row in rows])
        for row in rows:
            document = there[row["id"]]
            assert (row["text"], row["title"], row["document"]) == (document.text, document.title, document.whole_id)
            assert json.loads(row["metadata"]) == document.metadata
            assert (row["piece"] and json.loads(row["piece"])) == (document.piece and document.piece.place())
        assert (made.rows, made.documents, made.tokens) == (len(rows), len(index), sum(len(r["vectors"]) for r in rows))


def test_the_same_index_gives_the_same_bytes(folder, tmp_path):
    for name in ("one", "other"):
        export_vectors(folder, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
        assert b"/home/me" not in path.read_bytes()


def test_rows_are_streamed_into_files_of_limited_size(folder, tmp_path, monkeypatch):
    whole = read(export_vectors(folder, tmp_path / "whole").folder)
    monkeypatch.setattr(module, "_BLOCK", 4 * DIM * 8)
    monkeypatch.setattr(module, "_FILE", 4 * DIM * 20)
    made = export_vectors(folder, tmp_path / "parts")
    assert len(made.files) > 2
    assert read(made.folder) == whole
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["files"] == made.files
    assert (manifest["dim"], manifest["rows"]) == (DIM, len(whole))
    with DiskIndex(folder) as index:
        assert max(len(block.vectors) for block in stored_blocks(index, 8)) <= 8


def test_other_programs_read_the_files(folder, tmp_path):
    made = export_vectors(folder, tmp_path / "out")
    rows, files = read(made.folder), str(made.folder / "*.parquet")
    with duckdb.connect() as database:
        found = database.execute(
            f"SELECT id, json_extract_string(metadata, '$.year'), vectors FROM read_parquet('{files}')"
        ).fetchall()
    assert {(identity, year) for identity, year, _ in found} == {
        (row["id"], str(year) if (year := json.loads(row["metadata"]).get("year")) else None) for row in rows
    }
    by_id = {row["id"]: row["vectors"] for row in rows}
    assert all(np.array_equal(np.array(vectors), np.array(by_id[identity])) for identity, _, vectors in found)
    frame = polars.read_parquet(files)
    assert frame["id"].to_list() == [row["id"] for row in rows]
    assert frame["vectors"].to_list() == [row["vectors"] for row in rows]


def test_an_index_without_documents_is_a_table_without_rows(tmp_path):
    DiskIndex.create(tmp_path / "index", model={}).close()
    made = export_vectors(tmp_path / "index", tmp_path / "out")
    assert (read(made.folder), made.rows, made.files) == ([], 0, ["vectors-00000.parquet"])


def test_damage_is_found_and_nothing_is_left(folder, tmp_path):
    for segment in (folder / "segments").iterdir():
        raw = bytearray(segment.read_bytes())
        raw[-1] ^= 1
        segment.write_bytes(raw)
    with pytest.raises(FolderError, match="damaged"):
        export_vectors(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name not in ("index", ".index.lock", "index.lock")]


def test_the_command_line_exports_an_index(tmp_path, tardif, fails):
    with DiskIndex.create(tmp_path / "index", model={}) as index:
        index.add(documents(4), *vectors_for(4))
    code, out, err = tardif("export", tmp_path / "index", "--format", "vectors", "--out", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    assert "3 documents in 4 rows" in err
    code, out, err = tardif("export", tmp_path / "index", "--format", "beir", "--out", tmp_path / "beir")
    assert (code, out) == (2, "")
    assert "an index is exported as vectors" in err
    assert "exists" in fails("export", tmp_path / "index", "--format", "vectors", "--out", tmp_path / "out")
