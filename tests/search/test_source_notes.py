"""How documents were cut and tables read is remembered of each file and folder, and of the index for values."""

from __future__ import annotations

import pytest

import tiny
from service_here import ServiceHere
from tardif import Retriever
from tardif.client import Client
from tardif.index.memory import MemoryIndex
from tardif.search.source_notes import copy_notes

LONG = " ".join(f"{text} is what sentence {n} says." for n, text in enumerate(tiny.SENTENCES[:12]))
COLUMNS = {"text": "body", "id": "nr"}
# What an index that was built before places were noted does not have.
NEWER = ("source", "text tokens")


def write(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.fixture
def texts(tmp_path):
    return write(tmp_path / "texts", long=LONG, short="the sea")


def table(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def pieces(retriever, identity):
    return len(retriever.index.get([identity]))


def unchanged(retriever, *places):
    """The places whose documents a sync would leave as they are."""
    found = {place: retriever.sync(place, dry_run=True, quiet=True) for place in places}
    return [place for place, done in found.items() if not (done.new or done.changed or done.gone)]


def forget(retriever, *names):
    with retriever.index.store.writing() as database:
        for name in names:
            database.execute("DELETE FROM facts WHERE name = ?", (name,))


@pytest.mark.parametrize("where", ["memory", "folder", "shards", "qdrant"])
def test_every_place_is_read_as_it_was_read(multi_vector_folder, texts, tmp_path, where):
    first = table(tmp_path / "first.csv", "nr,body", "1,The moon makes the tides", "2,Bread rises")
    second = table(tmp_path / "second.csv", "id,text", "b1,The sea is blue")
    third = table(tmp_path / "third.csv", "key|said", "c1,a|Tom &amp; Jerry")
    if where == "qdrant":
        pytest.importorskip("qdrant_edge")
    out = f"edge:{tmp_path / 'index'}" if where == "qdrant" else tmp_path / "index"
    if where == "memory":
        retriever = Retriever.encode(multi_vector_folder, first, columns=COLUMNS, quiet=True)
    else:
        shards = {"shards": 2} if where == "shards" else {}
        Retriever.build(multi_vector_folder, first, out, columns=COLUMNS, quiet=True, **shards).close()
        retriever = Retriever(out)
    with retriever:
        retriever.add(texts, chunk=40, quiet=True)
        retriever.add(second, quiet=True)
        retriever.add(third, columns={"text": "said", "id": "key"}, separator="|", on={"markup": "clean"}, quiet=True)
        places = [first, texts, second, third]
        assert unchanged(retriever, *places) == places
        table(third, "key|said", "c1,a|Tom &amp; Spike")
        assert retriever.sync(third, quiet=True).changed == ("c1,a",)
        assert retriever.index.get(["c1,a"])["c1,a"].text == "Tom & Spike"
        # Other options of a sync are kept too.
        retriever.sync(third, columns={"text": "key"}, separator="|", quiet=True)
        assert unchanged(retriever, *places) == places
        copy_notes(retriever.index, copied := MemoryIndex())
        assert len(copied._notes) == 4 + 2 + 1 - 1  # the first table's, the others', and no text that auto cut


def test_what_is_added_is_cut_as_the_index_was(multi_vector_folder, texts, tmp_path, tardif):
    for chunk in ("auto", 40, None):
        index = tmp_path / f"index {chunk}"
        with Retriever.build(multi_vector_folder, texts, index, chunk=chunk, quiet=True) as retriever:
            built = pieces(retriever, "long.txt")
            assert (built > 1) == (chunk is not None)
            for identity in ("long.txt", "another"):
                retriever.add([{"id": identity, "text": LONG}], quiet=True)
                assert pieces(retriever, identity) == built
            retriever.add(write(tmp_path / "more", more=LONG), quiet=True)
            assert pieces(retriever, "more.txt") == built
            assert unchanged(retriever, tmp_path / "more") == [tmp_path / "more"]
        with Client("http://127.0.0.1:8000", transport=ServiceHere({"texts": index})) as client:
            client.add([{"id": "put", "text": LONG}, {"id": "long.txt", "text": LONG}], quiet=True)
        assert tardif("add", index, texts, "--quiet")[0] == 0
        code, out, err = tardif("sync", index, texts, "--dry-run")
        assert (code, out) == (0, "") and "0 new, 0 changed, 0 gone, 2 unchanged" in err
        with Retriever(index) as retriever:
            assert pieces(retriever, "put") == pieces(retriever, "long.txt") == built


def test_another_cutting_is_kept_for_the_place_that_was_cut_so(multi_vector_folder, texts, tmp_path):
    other = write(tmp_path / "other", other=LONG)
    with Retriever.build(multi_vector_folder, texts, tmp_path / "index", chunk=None, quiet=True) as retriever:
        retriever.add(other, chunk=40, quiet=True)
        assert unchanged(retriever, texts, other) == [texts, other]
        retriever.add(other / "other.txt", quiet=True)  # by its own path, and cut as its folder
        assert unchanged(retriever, other) == [other]
        assert retriever.sync(texts, chunk="auto", dry_run=True, quiet=True).changed == ("long.txt",)
        assert retriever.sync(texts, quiet=True).changed == ()  # a dry run is not kept
        assert retriever.sync(texts, chunk="auto", quiet=True).changed == ("long.txt",)
        assert unchanged(retriever, texts, other) == [texts, other]
        # The place that the index was built from stands for the index.
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "value") == pieces(retriever, "long.txt") > 1
        assert retriever.sync(texts, chunk=None, quiet=True).changed == ("long.txt",)
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "value") == pieces(retriever, "long.txt") == 1


def test_rows_and_values_stay_whole_in_an_index_of_rows(multi_vector_folder, texts, tmp_path):
    rows = table(tmp_path / "rows.csv", "id,text", f'r1,"{LONG}"')
    with Retriever.build(multi_vector_folder, rows, tmp_path / "index", quiet=True) as retriever:
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "r1") == pieces(retriever, "value") == 1
        retriever.add(texts, quiet=True)  # files of text are cut, and now values are
        retriever.add([{"id": "long.txt", "text": f"{LONG} {LONG}"}], quiet=True)
        assert pieces(retriever, "long.txt") > 1
        retriever.add(rows, quiet=True)
        assert pieces(retriever, "r1") == 1


def test_a_place_that_took_over_the_index_stands_for_it(multi_vector_folder, texts, tmp_path):
    lone = write(tmp_path / "lone", alone=LONG)
    with Retriever.build(multi_vector_folder, lone, tmp_path / "index", chunk=40, quiet=True) as retriever:
        assert retriever.sync(lone / "alone.txt", quiet=True).moved == ("alone.txt",)
        assert unchanged(retriever, lone, lone / "alone.txt") == [lone, lone / "alone.txt"]
        lone = lone.rename(tmp_path / "moved")
        assert retriever.sync(lone, quiet=True).moved == ("alone.txt",)
        retriever.sync(lone, chunk=None, quiet=True)
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "value") == 1


def test_an_index_from_before_the_notes(multi_vector_folder, texts, tmp_path):
    rows = table(tmp_path / "rows.csv", "nr,body", "1,The moon")
    with Retriever.build(multi_vector_folder, rows, tmp_path / "rows", columns=COLUMNS, quiet=True) as retriever:
        forget(retriever, *NEWER)
        assert unchanged(retriever, rows) == [rows]  # as the index was built
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "value") == 1
        retriever.add(texts, quiet=True)
        assert unchanged(retriever, texts, rows) == [texts, rows]
    with Retriever.build(multi_vector_folder, texts, tmp_path / "texts.index", quiet=True) as retriever:
        forget(retriever, *NEWER)
        built = pieces(retriever, "long.txt")
        retriever.add([{"id": "value", "text": LONG}], quiet=True)
        assert pieces(retriever, "value") == built > 1
        assert unchanged(retriever, texts) == [texts]


def test_a_failed_add_notes_nothing(multi_vector_folder, texts, tmp_path, monkeypatch):
    with Retriever.build(multi_vector_folder, texts, tmp_path / "index", chunk=40, quiet=True) as retriever:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(retriever, "_put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            retriever.add(texts, chunk=None, quiet=True)
        assert unchanged(retriever, texts) == [texts]
