import errno
import json
import os
import sys

import pytest

from tardif.errors import FolderError, SettingError
from tardif.file_reading import read_bounded
from tardif.folders import check_file, check_name, check_output, mark, read_json, staged, write_json


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


MARK = '{"format": "tardif-model"}'


@pytest.fixture
def existing(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    (folder / "manifest.json").write_text(MARK)
    return folder


@pytest.mark.parametrize("name", ["a", "my-model_2.1", "0", "x" * 100])
def test_names_that_can_name_a_folder(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "/a", ".hidden", "-x", "a b", "a:b", "a\n", "a.", "é", "x" * 101, None, 3]
)
def test_names_that_cannot(name):
    with pytest.raises(SettingError, match="cannot name a folder"):
        check_name(name)


def test_staged_is_whole_when_the_block_ends(tmp_path):
    with staged(tmp_path / "deep" / "model") as aside:
        (aside / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "model").exists()
    assert contents(tmp_path) == {"deep/model/a.txt": "a"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_staged_leaves_nothing_when_the_block_raises(tmp_path, error):
    with pytest.raises(error), staged(tmp_path / "model") as aside:
        (aside / "a.txt").write_text("a")
        raise error
    assert not list(tmp_path.iterdir())


def test_staged_says_when_writing_fails(tmp_path):
    with pytest.raises(FolderError, match="No space left"), staged(tmp_path / "model"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_staged_refuses_a_folder_that_holds_something(existing):
    with pytest.raises(FolderError, match="--overwrite"), staged(existing):
        pass
    assert contents(existing.parent) == {"model/old.txt": "old", "model/manifest.json": MARK}


def test_staged_replaces_with_overwrite(existing):
    with staged(existing, overwrite=True) as aside:
        (aside / "new.txt").write_text("new")
        assert contents(existing) == {"old.txt": "old", "manifest.json": MARK}
    assert contents(existing.parent) == {"model/new.txt": "new"}


def test_staged_keeps_the_old_one_when_the_block_raises(existing):
    with pytest.raises(ValueError), staged(existing, overwrite=True) as aside:
        (aside / "new.txt").write_text("new")
        raise ValueError
    assert contents(existing.parent) == {"model/old.txt": "old", "model/manifest.json": MARK}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "mine"},
        {"manifest.json": '{"format": "webpack"}'},
        {"manifest.json": "["},
        {"manifest.json": "[1]", "a/b.txt": "mine"},
        {"set/manifest.json": MARK, "notes.md": "mine"},
        {".hidden": "mine"},
    ],
)
def test_what_tardif_did_not_make_is_never_replaced(tmp_path, files, overwrite):
    folder = tmp_path / "mine"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for write in (lambda: check_output(folder, overwrite=overwrite), staged(folder, overwrite=overwrite).__enter__):
        with pytest.raises(FolderError, match=r"mine holds .*nothing in it says that Tardif made it.*another place"):
            write()
    assert check_output(folder, overwrite=True, replaced=False) == folder  # files are written into it
    assert contents(folder) == files
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("where", [".", "below"])
def test_the_working_folder_is_not_replaced(existing, monkeypatch, where):
    (existing / "below").mkdir()
    monkeypatch.chdir(existing / where)
    with pytest.raises(FolderError, match="is the folder that you are in"):
        check_output(existing, overwrite=True)
    assert check_output(existing / "below" / "new", overwrite=False)
    assert check_output(existing, overwrite=True, replaced=False)


def test_an_empty_folder_needs_no_overwrite(tmp_path):
    (tmp_path / "model").mkdir()
    with staged(tmp_path / "model") as aside:
        (aside / "a.txt").write_text("a")
    assert contents(tmp_path) == {"model/a.txt": "a"}


def test_check_output_leaves_no_trace(tmp_path):
    path = check_output(tmp_path / "new" / "model", overwrite=False)
    assert path == tmp_path / "new" / "model"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_output_never_replaces_a_file(tmp_path, overwrite):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match="is a file"):
        check_output(tmp_path / "file", overwrite=overwrite)


def test_check_output_refuses_a_full_folder_without_overwrite(existing):
    with pytest.raises(FolderError, match="already exists"):
        check_output(existing, overwrite=False)
    assert check_output(existing, overwrite=True) == existing


@pytest.mark.parametrize("source", ["out", "out/deep/a.txt", "link", "link/deep"])
def test_check_output_never_replaces_what_is_read(tmp_path, source):
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "a.txt").write_text("mine")
    mark(tmp_path / "out", "export")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(FolderError, match="would be replaced, and .* is read here"):
        check_output(tmp_path / "out", overwrite=True, read=["bm25", None, tmp_path / source])
    for other in (tmp_path, tmp_path / "nowhere", tmp_path / "output", "x" * 5000):
        assert check_output(tmp_path / "out", overwrite=True, read=[other]) == tmp_path / "out"


@pytest.mark.parametrize("source", ["a.txt", "folder", "home", "linked"])
@pytest.mark.parametrize("name", ["folder/a.txt", "link", "hard"])
def test_check_file_never_gives_away_what_is_read(tmp_path, source, name):
    (tmp_path / "home" / "folder").mkdir(parents=True)
    place = tmp_path / "home" / "folder" / "a.txt"
    place.write_text("mine")
    (tmp_path / "a.txt").hardlink_to(place)
    (tmp_path / "folder").symlink_to(place.parent)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "b.txt").symlink_to(place)
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "hard").hardlink_to(place)
    with pytest.raises(FolderError, match="would be written over, and .* is read here"):
        check_file(tmp_path / name, read=[[{"text": "a row"}], None, "an id", tmp_path / source])
    check_file(tmp_path / "folder" / "new.txt", read=[tmp_path / source])
    with pytest.raises(FolderError, match="already exists"):
        check_file(tmp_path / name, overwrite=False)


@pytest.mark.parametrize("below", ["model", "deep/model"])
def test_check_output_refuses_what_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match="cannot be written"):
        check_output(tmp_path / "file" / below, overwrite=True)


def test_json_round_trip_leaves_one_file(tmp_path):
    value = {"naïve": [1, 2.5, None], "b": {"a": "ü"}}
    write_json(tmp_path / "a.json", value)
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", what="a set") == value
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_write_json_leaves_the_old_file_when_the_value_is_no_json(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", object())
    assert json.loads((tmp_path / "a.json").read_text()) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_read_json_says_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FolderError, match=r"is not an index: it has no a\.json"):
        read_json(tmp_path / "a.json", what="an index")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FolderError, match="an index is damaged"):
        read_json(tmp_path / "a.json", what="an index")


@pytest.mark.skipif(sys.platform == "win32", reason="neither pipes nor devices in folders")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_not_read(tmp_path, kind):
    path = tmp_path / "a.json"
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda path: path.symlink_to("/dev/zero")}[kind](path)
    with pytest.raises(FolderError, match="not a regular file"):
        read_json(tmp_path / "a.json", what="an index")


def test_a_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "a", 4)


def test_json_that_is_nested_too_deeply_is_damaged(tmp_path):
    (tmp_path / "a.json").write_text("[" * 200_000 + "]" * 200_000)
    with pytest.raises(FolderError, match=r"nested too deeply\): an index is damaged"):
        read_json(tmp_path / "a.json", what="an index")


def test_an_error_of_another_file_names_that_file(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    for name, told in ((other, f"{other}: gone"), (None, "gone"), (7, "gone")):
        with pytest.raises(FolderError) as error, staged(out):
            raise OSError(errno.EIO, "gone", name)
        assert str(error.value) == f"{out} could not be written ({told})."
    with pytest.raises(FolderError) as error, staged(out) as aside:
        raise OSError(errno.EIO, "gone", str(aside / "table"))
    assert str(error.value) == f"{out} could not be written (gone)."


@pytest.mark.parametrize("value", ["caf\udce9", ["\ud800\udfff", {"\udce9": "é"}], "a soft\xadhyphen"])
def test_json_holds_what_utf_8_does_not(value, tmp_path):
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json", what="a value") == json.loads(json.dumps(value))
