"""What is written can be read by whoever the umask lets read, whichever library wrote it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

import tiny
from tardif.data.export import KINDS, export
from tardif.data.training_set import TrainingSet
from tardif.evaluation.runs import write_run
from tardif.folders import mark, share, staged, write_output
from tardif.index.disk import DiskIndex
from tardif.preparation import prepare, prepare_folder
from tardif.search.retriever import Retriever
from tardif.training.checkpoints import copy_model, keep_model, write_whole

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
PAIRS = [(f"query {n}", text) for n, text in enumerate(tiny.SENTENCES[:6])]


@pytest.fixture(params=[0o022, 0o027], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(*places):
    """The modes of files and folders, below each place and of itself; what names them where they are wrong."""
    return {
        str(path): stat.S_IMODE(path.lstat().st_mode) & 0o777
        for place in places
        for path in (place, *(place.rglob("*") if place.is_dir() else ()))
    }


def expected(found, umask):
    return {path: (0o777 if Path(path).is_dir() else 0o666) & ~umask for path in found}


def private(folder):
    """What libraries leave that write through temporary files."""
    (folder / "sub").mkdir(mode=0o700)
    for path in (folder / "model.safetensors", folder / "sub" / "weights"):
        path.write_text("x")
        path.chmod(0o600)


def test_sets_and_exports(umask, tmp_path):
    places = [prepare_folder([PAIRS], None, tmp_path / "prepared", miner="lexical", validation=0.5)]
    places.append(prepare([PAIRS], miner="none").save(tmp_path / "saved"))
    data = TrainingSet.load(places[0])
    places += [export(data, tmp_path / kind, kind).folder for kind in KINDS]
    found = modes(*places)
    assert len(found) > 20
    assert found == expected(found, umask)


def test_indexes_and_runs(umask, multi_vector_folder, tmp_path):
    with Retriever.build(multi_vector_folder, tiny.SENTENCES[:5], tmp_path / "index", hybrid=True, quiet=True) as built:
        built.add(["one more text"], quiet=True)
        write_run(tmp_path / "run.txt", built.run({"q": "sea"}))
        with DiskIndex.create(tmp_path / "bare", model={}, threads=1):
            found = modes(tmp_path / "index", tmp_path / "bare", tmp_path / "run.txt")
    found |= modes(tmp_path / "index")
    assert any(path.endswith(".onnx") for path in found)
    found = {path: mode for path, mode in found.items() if os.path.lexists(path)}
    assert found == expected(found, umask)


def test_checkpoints(umask, encoder, tmp_path):
    keep_model(encoder, tmp_path / "best")
    with staged(tmp_path / "model") as aside:
        copy_model(tmp_path / "best", aside)
        private(aside)
    write_whole(tmp_path / "step", private)
    found = modes(tmp_path / "best", tmp_path / "model", tmp_path / "step")
    assert any(path.endswith("model.safetensors") for path in found)
    assert found == expected(found, umask)


def test_what_somebody_has_closed_stays_closed(umask, tmp_path):
    (tmp_path / "out").mkdir(mode=0o700)
    for overwrite in (False, True):  # empty, then full
        with staged(tmp_path / "out", overwrite=overwrite) as aside:
            private(aside)
            mark(aside, "test")
        assert modes(tmp_path / "out")[str(tmp_path / "out")] == 0o700
    (tmp_path / "run.txt").write_text("old")
    (tmp_path / "run.txt").chmod(0o600)
    write_output(tmp_path / "run.txt", "new")
    assert modes(tmp_path / "run.txt") == {str(tmp_path / "run.txt"): 0o600}


def test_locks_and_links_are_left_alone(umask, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    folder = tmp_path / "folder"
    folder.mkdir()
    private(folder)
    (folder / ".x.lock").touch(mode=0o600)
    (folder / "link").symlink_to(outside)
    share(folder)
    found = modes(folder)
    assert found.pop(str(folder / ".x.lock")) == 0o600
    assert found.pop(str(folder / "link")) is not None
    assert found == expected(found, umask)
    assert modes(outside) == {str(outside): 0o600}


def test_modes_that_cannot_be_changed_stop_nothing(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.chmod", refuse)
        patch.setattr(shutil, "copymode", refuse)
        with staged(tmp_path / "out") as aside:
            (aside / "file").write_text("x")
    assert (tmp_path / "out" / "file").read_text() == "x"
