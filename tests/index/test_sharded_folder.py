"""An index in shards in a folder: opened, noted, replaced, damaged and written by several at once, as any index."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import contextmanager

import pytest

import token_vectors as plain
from tardif.errors import DataError, FolderError, ReplacedError, SettingError, ShardError
from tardif.index.disk import DiskIndex
from tardif.index.manifest import is_index, values_checksum
from tardif.index.metadata_fields import MetadataField, merged_fields
from tardif.index.shard_checking import examine_shards
from tardif.index.sharded import shard_of
from tardif.index.sharded_folder import ShardedFolder, open_index, reopened
from tardif.types import Document

QUERY = plain.vectors_of(3, 6)


def built(folder, shards=3, *, count=30, seed=0, **how):
    index = ShardedFolder.create(folder, shards, model={"path": "here"}, threads=2, **how)
    index.add(*plain.some(count, seed=seed), source="there")
    return index


@pytest.fixture
def index(tmp_path):
    with built(tmp_path / "index") as made:
        yield made


def found(index, k=5):
    return index.search(QUERY, [6], k, exact=True)[0]


def test_a_folder_is_opened_as_what_it_is(index, tmp_path):
    hits = found(index)
    index.note("chunk", "7")
    assert (len(index), index.bits, index.manifest["model"], index.names) == (
        30,
        8,
        {"path": "here"},
        ["shard-0000", "shard-0001", "shard-0002"],
    )
    with open_index(tmp_path / "index") as again:
        assert isinstance(again, ShardedFolder)
        assert found(again) == hits
        assert (again.note("chunk"), again.note("other")) == ("7", None)
        assert (again.tokens, again.change) == (index.tokens, index.change)
        assert again.some_ids(2)[0] in again.get(again.ids())
    assert is_index(tmp_path / "index")
    DiskIndex.create(tmp_path / "plain", model={}).close()
    with open_index(tmp_path / "plain") as other:
        assert isinstance(other, DiskIndex)
    with pytest.raises(FolderError, match="is a shard of an index: open"):
        open_index(tmp_path / "index" / "shard-0001")
    with pytest.raises(FolderError, match="not an index"):
        open_index(tmp_path)
    for wrong in (0, -1, 5000, True, 2.0):
        with pytest.raises(SettingError, match="shards"):
            ShardedFolder.create(tmp_path / "none", wrong, model={})
    assert not (tmp_path / "none").exists()


def test_another_handle_sees_a_change_at_once_and_a_moment_does_not(index, tmp_path):
    with open_index(tmp_path / "index") as other:
        before = found(index, 100)
        with index.moment():
            assert found(index, 100) == before
            other.add(*plain.some(20, seed=5))
            other.delete([before[0][0]])
            assert (found(index, 100), len(index)) == (before, 30)
            assert index.get([before[0][0]])
        assert (len(index), len(found(index, 100))) == (49, 49)
        assert not index.get([before[0][0]])


def test_of_two_changes_the_second_is_never_seen_without_the_first(tmp_path, monkeypatch):
    """A document is renamed while a moment begins: after the shard of its new name, before that of its old one."""
    old, new = (next(f"name {n}" for n in range(50) if shard_of(f"name {n}", 3) == place) for place in (1, 2))
    vectors = plain.vectors_of(1, 2)
    with built(tmp_path / "index", count=2) as index, open_index(tmp_path / "index") as other:
        index.add([Document(old, "text")], vectors, [2])
        has_begun, renamed = threading.Event(), []
        first, second = (index.shards[place].moment for place in (2, 1))

        @contextmanager
        def of_new():
            with first():
                has_begun.set()
                yield

        @contextmanager
        def of_old():
            has_begun.wait(300)
            if not renamed:
                renamed.append(other.add([Document(new, "text")], vectors, [2]))
                other.delete([old])
            with second():
                yield

        monkeypatch.setattr(index.shards[2], "moment", of_new)
        monkeypatch.setattr(index.shards[1], "moment", of_old)
        with index.moment():
            assert list(index.get([old, new])) == [new]
        assert renamed


def test_writers_take_turns_so_that_ids_stay_unique(tmp_path):
    """A document of a piece's name, and the pieces: one writer adds each, and only one of the two gets in."""
    built(tmp_path / "index", count=1).close()
    refused = []

    def write(documents, vectors, lengths):
        with open_index(tmp_path / "index") as own:
            try:
                own.add(documents, vectors, lengths)
            except DataError as error:
                refused.append(error)

    for turn in range(4):
        whole = [Document(f"page-{turn}#1", "text")], plain.vectors_of(1, 2), [2]
        both = [threading.Thread(target=write, args=given) for given in (whole, plain.cut(f"page-{turn}", 2, seed=1))]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert len(refused) == turn + 1
    with open_index(tmp_path / "index") as index:
        assert len(index) == 5
    assert not examine_shards(tmp_path / "index").problems


def test_a_replaced_folder_is_told_and_opened_again(tmp_path):
    index = built(tmp_path / "index")
    built(tmp_path / "new", 2, count=12, seed=7).close()
    shutil.move(tmp_path / "index", tmp_path / "old")
    shutil.move(tmp_path / "new", tmp_path / "index")
    for call in (
        lambda: found(index),
        lambda: index.get(["d0-1"]),
        lambda: index.add(*plain.some(1, seed=9)),
        lambda: index.delete(["d7-1"]),
        lambda: index.note("a", "b"),
        lambda: len(index),
    ):
        with pytest.raises(ReplacedError):
            call()
    with pytest.raises(ReplacedError), index.partial():
        found(index)
    assert reopened(index) is index
    assert (len(index), len(index.names)) == (12, 2)
    # Built again without shards, and with.
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(ReplacedError):
        index.add(*plain.some(1, seed=9))
    assert not (tmp_path / "index").exists()
    DiskIndex.create(tmp_path / "index", model={}, threads=1).close()
    single = reopened(index)
    assert isinstance(single, DiskIndex)
    shutil.rmtree(tmp_path / "index")
    built(tmp_path / "index").close()
    again = reopened(single)
    assert isinstance(again, ShardedFolder)
    assert len(again) == 30
    again.close()


def test_a_shard_that_is_lost_or_of_another_index_is_named_or_left_out(tmp_path):
    folder = tmp_path / "index"
    with built(folder) as index:
        hits = found(index, 100)
    kept = [hit for hit in hits if shard_of(hit[0], 3) != 1]
    built(tmp_path / "other", seed=4).close()
    shutil.move(folder / "shard-0001", tmp_path / "aside")
    for put in (lambda: None, lambda: shutil.copytree(tmp_path / "other" / "shard-0001", folder / "shard-0001")):
        put()
        with open_index(folder) as index:
            with pytest.raises(ShardError, match="shard-0001 does not answer"):
                found(index)
            with index.partial() as missing:
                assert found(index, 100) == kept
                assert list(missing) == ["shard-0001"]
        problems = examine_shards(folder).problems
        assert len(problems) == 1
        assert "shard-0001" in problems[0]
    shutil.rmtree(folder / "shard-0001")
    shutil.move(tmp_path / "aside", folder / "shard-0001")
    with open_index(folder) as index:
        assert found(index, 100) == hits
        # Lost while it is open: the folder is still the same index.
        shutil.rmtree(folder / "shard-0001")
        with index.partial() as missing:
            assert found(index, 100) == kept
            assert list(missing) == ["shard-0001"]
    for name in ("shard-0000", "shard-0002"):
        shutil.rmtree(folder / name)
    with pytest.raises(FolderError, match="shard-0000"):
        open_index(folder)


def test_documents_in_a_wrong_shard_are_a_problem(tmp_path):
    with built(tmp_path / "index") as index:
        assert examine_shards(tmp_path / "index").problems == []
        index.shards[0].add([Document(next(n for n in "abcdefgh" if shard_of(n, 3)), "")], QUERY[:1], [1])
    (problem,) = examine_shards(tmp_path / "index").problems
    assert "shard-0000: 1 documents belong into other shards" in problem


@pytest.mark.parametrize("names", [None, [], ["shard-0000", "shard-0000"], ["../other/shard-0000"], 3])
def test_only_the_shards_of_the_folder_are_opened(tmp_path, names):
    built(tmp_path / "other", 1).close()
    shutil.copytree(tmp_path / "other", tmp_path / "index")
    manifest = json.loads((tmp_path / "index" / "shards.json").read_text())
    manifest.pop("checksum")
    manifest["shards"] = names
    (tmp_path / "index" / "shards.json").write_text(json.dumps({**manifest, "checksum": values_checksum(manifest)}))
    for read in (open_index, examine_shards):
        with pytest.raises(FolderError, match="does not name its shards"):
            read(tmp_path / "index")


@pytest.mark.parametrize("name", ["shards.json", "notes.json"])
def test_a_flipped_digit_is_an_error(index, tmp_path, name):
    index.note("chunk", "300")
    path = tmp_path / "index" / name
    path.write_text(path.read_text().replace('"bits": 8', '"bits": 4').replace('"300"', '"400"'))
    with pytest.raises(FolderError, match="damaged"), open_index(tmp_path / "index") as again:
        again.note("chunk")
    assert json.loads(path.read_text())


def test_fields_of_shards_are_those_of_one_index(index, tmp_path):
    with DiskIndex.create(tmp_path / "one", model={}, threads=1) as one:
        one.add(*plain.some(30))
        for own, other in zip(index.fields(), one.fields(), strict=True):
            assert (own.name, own.types, own.range) == (other.name, other.types, other.range)
            assert set(own.values or ()) == set(other.values or ())
    many = [
        [MetadataField("n", ("number",), tuple(range(begin, begin + 15)), (begin, begin + 14))] for begin in (0, 15)
    ]
    assert merged_fields(many) == [MetadataField("n", ("number",), None, (0, 29))]
    mixed = [
        [MetadataField("n", ("number",), (1,), (1, 1))],
        [MetadataField("n", ("text",), ("2020-01-01",), ("2020-01-01", "2020-01-01"))],
    ]
    assert merged_fields(mixed)[0].range is None
    assert merged_fields([[MetadataField("n", ("boolean",), (True,), None)], many[0]])[0].values == (True, *range(15))
