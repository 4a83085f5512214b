"""An index in step with a folder, and documents found once however many pieces they have."""

from __future__ import annotations

import json
import os

import pytest

import tiny
from tardif import Retriever
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.errors import DataError, SettingError
from tardif.index.disk import DiskIndex
from tardif.index.memory import MemoryIndex
from tardif.index.spool import SpooledCorpus
from tardif.search.hits import best_of_each
from tardif.search.sync import plan
from tardif.types import Document

LONG = "# The guide\n\n" + "\n\n".join(f"## Part {n}\n\n{text}. " * 3 for n, text in enumerate(tiny.SENTENCES[:9]))
QUERIES = ["what makes the tides", "how long to bake bread"]


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def built(multi_vector_folder, tmp_path_factory):
    """A folder of files and the index of it."""
    home = tmp_path_factory.mktemp("sync")
    write(home / "docs", page_md=LONG, short_txt="a short text about bread", sub__deep_md=f"{LONG} again")
    Retriever.build(multi_vector_folder, home / "docs", home / "index", chunk=40, hybrid=True, quiet=True).close()
    return home


@pytest.fixture
def home(built, tmp_path):
    """The same, to be changed; the folder is where it was, as far as the index knows."""
    import shutil

    shutil.copytree(built / "index", tmp_path / "index")
    shutil.copytree(built / "docs", tmp_path / "docs")
    with DiskIndex(tmp_path / "index", threads=1) as index:
        index.adopt(list(index.sources()), str(tmp_path / "docs"))
    return tmp_path


@pytest.fixture
def retriever(home):
    with Retriever(home / "index", threads=1) as opened:
        yield opened


def there(retriever):
    return {document.id: document.text for document in retriever.index.get(list(retriever.index.sources())).values()}


def test_a_sync_brings_what_is_new_changed_and_gone(home, retriever):
    docs = home / "docs"
    assert retriever.sync(docs, chunk=40, quiet=True).unchanged == 3
    os.utime(docs / "page.md")  # times count for nothing
    write(docs, page_md="# Short\n\nnow", new_txt="a new one")
    (docs / "sub" / "deep.md").unlink()
    before = there(retriever)
    planned = retriever.sync(docs, chunk=40, dry_run=True, quiet=True)
    assert there(retriever) == before
    done = retriever.sync(docs, chunk=40, quiet=True)
    assert done == planned
    assert (done.new, done.changed, done.gone, done.unchanged) == (("new.txt",), ("page.md",), ("sub/deep.md",), 1)
    assert there(retriever) == {
        "new.txt": "a new one",
        "page.md": "# Short\n\nnow",
        "short.txt": "a short text about bread",
    }
    assert retriever.sync(docs, chunk=40, quiet=True).unchanged == 3
    # Cut otherwise is changed; a change of the metadata alone too.
    write(docs, page_md=LONG)
    assert retriever.sync(docs, quiet=True).changed == ("page.md",)  # cut as the index was built
    assert retriever.sync(docs, chunk=40, quiet=True).unchanged == 3
    assert retriever.sync(docs, chunk=None, dry_run=True, quiet=True).changed == ("page.md",)


def test_only_what_came_from_the_folder_is_gone_from_it(home, retriever):
    retriever.add([Document("mine", "added by hand")], quiet=True)
    (home / "docs" / "short.txt").unlink()
    done = retriever.sync(home / "docs", chunk=40, quiet=True)
    assert (done.gone, done.others) == (("short.txt",), ("mine",))
    assert "mine" in there(retriever)
    assert any("1 left: they came from elsewhere" in line and "mine" in line for line in done.lines())
    assert retriever.sync(home / "docs", chunk=40, delete_others=True, quiet=True).gone == ("mine",)
    assert "mine" not in there(retriever)


def test_a_file_that_was_added_by_its_own_name_is_gone_with_it(home, retriever):
    retriever.add(home / "docs" / "short.txt", quiet=True)
    (home / "docs" / "short.txt").unlink()
    assert retriever.sync(home / "docs", quiet=True).gone == ("short.txt",)


def test_a_sync_that_is_interrupted_is_gone_on_with(home, retriever, monkeypatch):
    write(home / "docs", page_md="# Short", new_txt="a new one")
    (home / "docs" / "short.txt").unlink()

    def stop(ids):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(retriever.index, "delete", stop)
        retriever.sync(home / "docs", quiet=True)
    assert there(retriever)["page.md"] == "# Short"
    done = retriever.sync(home / "docs", quiet=True)
    assert (done.new, done.changed, done.gone, done.unchanged) == ((), (), ("short.txt",), 3)


def test_a_folder_that_was_moved_is_known_again_by_what_it_holds(home, retriever):
    (home / "docs").rename(home / "moved")
    done = retriever.sync(home / "moved", chunk=40, quiet=True)
    assert (done.unchanged, done.new, done.changed, len(done.moved)) == (3, (), (), 3)
    (home / "moved" / "short.txt").unlink()
    assert retriever.sync(home / "moved", chunk=40, quiet=True).gone == ("short.txt",)
    assert len(retriever) == 2


def test_an_empty_or_missing_folder_wipes_nothing(home, retriever, tmp_path):
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(DataError):
            retriever.sync(nothing, quiet=True)
    for path in (home / "docs").rglob("*.*"):
        path.unlink()
    with pytest.raises(DataError):
        retriever.sync(home / "docs", quiet=True)
    assert len(retriever) == 3


def test_a_file_that_cannot_be_read_any_more_is_not_gone(home, retriever):
    (home / "docs" / "short.txt").write_text("  \n")
    write(home / "docs", other_txt="more")
    done = retriever.sync(home / "docs", chunk=40, quiet=True)
    assert (done.new, done.gone, done.kept) == (("other.txt",), (), ("short.txt",))
    assert there(retriever)["short.txt"] == "a short text about bread"
    assert any("short.txt" in line for line in done.lines())


def test_rows_are_not_gone_since_a_text_file_lies_beside_their_table(home, retriever):
    folder = write(home / "rows", corpus2_jsonl='{"id": "r1", "text": "one"}\n{"id": "r2", "text": "two"}\n')
    retriever.sync(folder, quiet=True)
    write(folder, readme_md="what these are")
    done = retriever.sync(folder, quiet=True)
    assert (done.new, done.gone, set(done.kept)) == (("readme.md",), (), {"r1", "r2"})
    # A BEIR folder's corpus is read in the place of all else.
    write(folder, corpus_jsonl='{"_id": "b1", "text": "three"}\n')
    done = retriever.sync(folder, quiet=True)
    assert (done.new, done.gone) == (("b1",), ())
    write(folder, corpus_jsonl='{"_id": "b2", "text": "three"}\n')
    assert retriever.sync(folder, quiet=True).gone == ("b1",)


def test_an_index_in_memory_follows_a_folder_too(multi_vector_folder, tmp_path):
    folder = write(tmp_path / "docs", a_txt="one", b_txt="two")
    retriever = Retriever.encode(multi_vector_folder, folder, chunk=None, quiet=True)
    write(folder, a_txt="another", c_txt="three")
    (folder / "b.txt").unlink()
    done = retriever.sync(folder, chunk=None, quiet=True)
    assert (done.new, done.changed, done.gone) == (("c.txt",), ("a.txt",), ("b.txt",))
    assert there(retriever) == {"a.txt": "another", "c.txt": "three"}


def test_adding_counts_documents_and_replaces_all_pieces(home, retriever):
    assert len(there(retriever)) > 10
    write(home / "docs", page_md="short now")
    assert retriever.add(home / "docs" / "page.md", chunk=40, quiet=True) == (1, 1)
    assert "page.md#1" not in there(retriever)
    assert len(retriever) == 3
    with pytest.raises(DataError, match=r"'sub/deep.md#1' is that of"):
        retriever.add([Document("sub/deep.md#1", "a row")], quiet=True)
    assert retriever.delete(["sub/deep.md"]) == 1
    assert sorted(there(retriever)) == ["page.md", "short.txt"]


def test_ids_made_by_cutting_are_not_taken_twice(retriever):
    with pytest.raises(DataError, match="'a#1' is that of a piece of 'a' and of a document"):
        retriever.add([Document("a", LONG), Document("a#1", "short")], chunk=40, quiet=True)
    assert len(retriever) == 3


def test_deleting_by_a_filter(retriever):
    assert retriever.delete(where="path like 'nothing%'") == 0
    assert retriever.delete(where={"path": "page.md"}) == 1
    assert not any(name.startswith("page.md") for name in there(retriever))
    with pytest.raises(SettingError, match="give ids or a filter"):
        retriever.delete(["a"], where="a = 1")
    with pytest.raises(DataError):
        retriever.delete()


def test_pieces_are_cited_by_section_and_place(home, retriever):
    hit = retriever.search(tiny.SENTENCES[3], 1, where="@id = 'page.md'")[0]
    piece = hit.piece
    assert (piece.document, hit.document_id) == ("page.md", f"page.md#{piece.number}")
    assert piece.headings[0] == "The guide"
    (whole,) = read_documents(home / "docs" / "page.md")
    assert whole.text[piece.start : piece.end] == hit.text
    assert hit.metadata == {"path": "page.md"}
    assert hit.as_json()["piece"]["headings"] == list(piece.headings)
    assert retriever.search("bread", 9, where="@id = 'short.txt'")[0].as_json()["piece"] is None


@pytest.mark.parametrize("how", [{}, {"exact": True}, {"where": "not @piece.number = 1"}, {"hybrid": True}])
def test_grouped_hits_are_the_best_piece_of_each_document(retriever, how):
    owners = {name: document.whole_id for name, document in retriever.index.get(list(there(retriever))).items()}
    for k in (1, 2, 3, 50):
        alone = [retriever.search(query, k, group=True, **how) for query in QUERIES]
        for query, hits in zip(QUERIES, alone, strict=True):
            everything = [(hit.document_id, hit.score) for hit in retriever.search(query, 1000, **how)]
            best = best_of_each(everything, owners, k)
            assert [(hit.document_id, hit.score) for hit in hits] == [(owners[name], score) for name, score in best]
            assert [hit.rank for hit in hits] == list(range(1, len(best) + 1))
            assert [hit.piece and f"{hit.document_id}#{hit.piece.number}" for hit in hits] == [
                name if "#" in name else None for name, _ in best
            ]
        together = retriever.search_many(QUERIES, k, group=True, **how)
        assert [[hit.document_id for hit in hits] for hits in together] == [
            [hit.document_id for hit in hits] for hits in alone
        ]
        run = retriever.run({"q": QUERIES[0]}, k, group=True, **how)
        assert run["q"].keys() == {hit.document_id for hit in alone[0]}


def test_reranking_takes_ids_of_documents_and_of_pieces(retriever):
    pieces = [name for name in there(retriever) if name.startswith("page.md")]
    ranked = retriever.rerank(QUERIES[0], ["page.md", "short.txt"], 100)
    assert {hit.document_id for hit in ranked} == {*pieces, "short.txt"}
    assert [hit.document_id for hit in retriever.rerank(QUERIES[0], ["page.md#2", "page.md"], 100)] == [
        hit.document_id for hit in ranked if hit.document_id != "short.txt"
    ]
    grouped = retriever.rerank(QUERIES[0], ["page.md", "short.txt"], group=True)
    assert {hit.document_id for hit in grouped} == {"page.md", "short.txt"}
    with pytest.raises(DataError, match="nobody"):
        retriever.rerank(QUERIES[0], ["page.md", "nobody"])


def test_the_commands(home, tardif):
    index, docs = home / "index", home / "docs"
    write(docs, page_md="short now", new_txt="a new one")
    code, out, err = tardif("sync", index, docs, "--chunk", 40, "--dry-run")
    assert (code, out) == (0, "new\tnew.txt\nchanged\tpage.md\n")
    assert "1 new, 1 changed, 0 gone, 2 unchanged: nothing was done" in err
    code, out, err = tardif("sync", index, docs, "--json")
    assert code == 0
    assert json.loads(out) == {
        "new": ["new.txt"],
        "changed": ["page.md"],
        "gone": [],
        "kept": [],
        "others": [],
        "unchanged": 2,
    }
    assert "1 new, 1 changed, 0 gone, 2 unchanged." in err
    hits = json.loads(tardif("search", index, "tides", "--group", "-k", 2, "--filter", "@id like 'sub%'", "--json")[1])
    assert [(hit["document_id"], hit["piece"]["document"]) for hit in hits["hits"]] == [("sub/deep.md", "sub/deep.md")]
    shown = tardif("search", index, "tides", "-k", 1, "--filter", "@id like 'sub%' and @piece.number = 1")[1]
    assert shown.splitlines()[0].endswith("sub/deep.md#1  (The guide)")
    code, out, err = tardif("delete", index, "--filter", "path = 'nothing'")
    assert (code, out) == (0, "4\n")
    assert "No document passes the filter" in err
    assert tardif("delete", index, "--filter", "path contains 'deep'", "--quiet")[:2] == (0, "3\n")
    assert tardif("delete", index, "page.md", "--filter", "path = 'x'")[0] == 2
    code, _, err = tardif("delete", index, "short.txt#1")
    assert code == 0
    assert "0 documents deleted; 1 were not in the index" in err


def test_a_table_is_read_as_the_index_was_built_of_it(tmp_path, base_folder):
    table = tmp_path / "faq.csv"
    table.write_text("nr|body\n1|Tom &amp; Jerry\n2|and <b>Spike</b>\n", encoding="utf-8")
    options = {"columns": {"id": "nr", "text": "body"}, "separator": "|", "on": {"markup": "clean"}}
    with Retriever.build(
        tiny.save_multi_vector(base_folder("bert"), tmp_path / "model"), table, tmp_path / "i", quiet=True, **options
    ) as found:
        assert there(found) == {"1": "Tom & Jerry", "2": "and Spike"}
        assert found.sync(table, quiet=True).unchanged == 2
        table.write_text("nr|body\n1|Tom &amp; Jerry\n3|a &lt; b\n", encoding="utf-8")
        assert found.sync(table, quiet=True).gone == ("2",)
        assert there(found) == {"1": "Tom & Jerry", "3": "a < b"}


def test_a_sync_compares_a_block_at_a_time(multi_vector_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tardif.search.sync._TOGETHER", 3)
    monkeypatch.setattr("tardif.index.store._BLOCK", 2)
    table = tmp_path / "rows.jsonl"

    def rows(*numbers, text="a tide"):
        table.write_text("".join(json.dumps({"id": f"r{n}", "text": f"{text} {n}"}) + "\n" for n in numbers))

    rows(*range(10))
    with Retriever.build(multi_vector_folder, table, tmp_path / "index", quiet=True) as retriever:
        retriever.add([{"id": f"other{n}", "text": f"bread {n}"} for n in range(4)], quiet=True)
        rows(*range(4, 13))
        found = retriever.sync(table, quiet=True)
        assert found.new == ("r10", "r11", "r12") and found.gone == ("r0", "r1", "r2", "r3")
        assert found.others == ("other0", "other1", "other2", "other3") and found.unchanged == 6
        rows(*range(4, 13), text="a new tide")
        assert retriever.sync(table, quiet=True).changed == tuple(f"r{n}" for n in range(4, 13))
        assert retriever.sync(table, quiet=True).unchanged == 9
        assert len(retriever) == 13


class Counted(str):
    """An id that counts how often it is looked up."""

    __slots__ = ()
    looks = 0

    def __hash__(self):
        Counted.looks += 1
        return super().__hash__()


@pytest.mark.parametrize("source", ["/rows.csv", "/elsewhere.csv"])
def test_the_work_of_a_plan_grows_with_the_documents_that_the_folder_lacks(source, monkeypatch):
    index, looks = MemoryIndex(), []
    for count in (100, 400):
        monkeypatch.setattr(index, "sources", lambda n=count: {Counted(f"r{i}"): source for i in range(n)})
        with SpooledCorpus() as corpus:
            corpus.put(1, Document("new", "a text"), [Document("new", "a text")])
            corpus.check()
            Counted.looks = 0
            found = plan(index, corpus, "/rows.csv", DocumentReport())
        looks.append(Counted.looks)
        assert len(found.gone if source == "/rows.csv" else found.others) == count
    assert looks[1] <= 5 * looks[0]


def test_documents_without_a_place_are_not_followed(multi_vector_folder, tmp_path):
    import pandas

    rows = [{"id": "a", "text": "the moon"}, {"id": "b", "text": "the sea"}]
    frame = pandas.DataFrame(rows)
    with Retriever.build(multi_vector_folder, frame, tmp_path / "index", quiet=True) as retriever:
        retriever.add([{"id": "put", "text": "added alone"}], quiet=True)
        for values, kind in ((frame, "DataFrame"), (rows, "a list"), (iter(rows), "list_iterator"), (None, "None")):
            for delete_others in (False, True):
                with pytest.raises(SettingError, match=f"sync: give the path of a folder or file, not {kind}"):
                    retriever.sync(values, delete_others=delete_others, quiet=True)
        assert sorted(there(retriever)) == ["a", "b", "put"]
        # The ways out.
        assert retriever.add(frame[:1], quiet=True) == (1, 1)
        assert retriever.delete(["b"]) == 1
        # Nor are they gone from a folder.
        done = retriever.sync(write(tmp_path / "docs", a_txt="one"), quiet=True)
        assert (done.new, done.gone, done.others) == (("a.txt",), (), ("put", "a"))
