"""What a run left and was damaged since: it is told and never read, and ``--overwrite`` always clears the way."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from broken_runs import break_off, weights
from tardif import FolderError, TardifError, Trainer
from tardif.progress import Console
from tardif.training import checkpoints
from tardif.training.averaging import averaged
from tardif.training.run_folder import RunFolder
from tardif.training.run_log import cut_log
from tardif.training.whole import MARK, damage, is_whole, mark_whole

SETTINGS = {
    "epochs": 2,
    "batch_size": 8,
    "lr": 1e-3,
    "evaluations": 2,
    "save_steps": 1,
    "refresh_steps": 4,
    "base_share": 0.5,
}


@pytest.fixture(scope="module")
def runs(base_folder, data, tmp_path_factory):
    """The weights of an unbroken run, and the folder of one that was broken off with checkpoints 8 and 9."""
    whole, broken = (
        Trainer("tiny", base_folder("bert"), devices="cpu", dim=16, quiet=True, out=tmp_path_factory.mktemp(name))
        for name in ("whole", "broken")
    )
    for trainer in (whole, broken):
        trainer.prepare(data)
    whole.train(**SETTINGS)
    break_off(broken, 10, **SETTINGS)
    return weights(whole), broken.path.parent


@pytest.fixture
def folder(runs, tmp_path):
    """What the broken run left, to be damaged."""
    shutil.copytree(runs[1], tmp_path / "out")
    return RunFolder(tmp_path / "out" / "tiny")


class Told(Console):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def blank(path):
    """The second half as a disk that lost it has it: zeros."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\x00"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-2])


def instead(path, make):
    path.unlink()
    make(path)


def mend(path, kept):
    """Put a file back where a damage was done."""
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    shutil.copy2(kept, path)


DAMAGES = {
    "a flipped bit": flip,
    "a zeroed half": blank,
    "cut short": cut,
    "a byte too many": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: path.write_text("[]"),
    "nothing said": lambda path: path.write_text("{}"),
    "a folder": lambda path: instead(path, lambda path: path.mkdir()),
    "a pipe": lambda path: instead(path, os.mkfifo),
    "a link to itself": lambda path: instead(path, lambda path: path.symlink_to(path.name)),
    "a device": lambda path: instead(path, lambda path: path.symlink_to("/dev/zero")),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("how", DAMAGES)
def test_no_file_of_a_checkpoint_is_damaged_unnoticed(folder, how):
    """A damaged newest checkpoint falls back to the one before; what both need leaves neither."""
    kept, count = folder.path.with_name("kept"), 0
    shutil.copytree(folder.path, kept)
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    for name in files:
        if len(name.parts) == 1:
            continue
        DAMAGES[how](folder.path / name)
        told, place, count = Told(), name.parts[0], count + 1
        if place == "step-00000009":
            assert folder.choose(told) == folder.step(8), name
            assert len(told.lines) == 1
            assert told.lines[0].startswith("step-00000009 cannot be used (")
        elif place == "step-00000008":
            assert folder.choose(told) == folder.step(9), name
            assert not told.lines
        else:
            with pytest.raises(FolderError, match=rf"step-00000009 .*{place}.*step-00000008 .*{place}.*--overwrite"):
                folder.choose(told)
        assert folder.is_unfinished()
        mend(folder.path / name, kept / name)
    assert count > 20
    # Choosing changes nothing, so mending the one file was enough.
    assert sorted(path.relative_to(folder.path) for path in folder.path.rglob("*") if path.is_file()) == files


def test_what_the_folders_are_said_to_hold_is_what_they_hold(folder):
    assert folder.choose(Told()) == folder.step(9)
    assert {path.name for path in folder._named_by(folder.step(9))} == {"best-00000005", "negatives-00000008", "start"}
    (folder.step(9) / "more.txt").touch()
    assert damage(folder.step(9)) == "more.txt is not as it was written"
    assert damage(folder.step(7)) == f"{MARK} is missing or damaged"


def test_a_damaged_checkpoint_costs_steps_and_changes_nothing(runs, folder, make, capsys):
    flip(folder.step(9) / "weights.safetensors")
    result = make(quiet=False).train(resume=True, **SETTINGS)
    assert "step-00000009 cannot be used (weights.safetensors is damaged: its checksum is wrong)" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    assert result.settings["resumed_at"] == [8]
    assert weights(make(overwrite=True)) == runs[0]
    assert [path.name for path in folder.output.parent.iterdir()] == ["tiny"]


def test_none_that_is_whole_is_refused_kept_and_cleared_by_overwrite(runs, folder, make):
    flip(folder.start / "weights.safetensors")
    before = sorted(path.name for path in folder.path.iterdir())
    with pytest.raises(FolderError, match=r"cannot be resumed: .*start: weights\.safetensors is damaged.*--overwrite"):
        make().train(resume=True, **SETTINGS)
    assert sorted(path.name for path in folder.path.iterdir()) == before
    with pytest.raises(FolderError, match=r"at step 9: resume it \(--resume, in Python"):
        make().train(**SETTINGS)
    result = make(overwrite=True).train(resume=True, **SETTINGS)
    assert result.settings["resumed_at"] == []
    assert weights(make(overwrite=True)) == runs[0]


@pytest.mark.parametrize(
    "how", ["another number", "no JSON", "a flipped bit", "missing", "a list", "older", "a folder"]
)
def test_the_record_is_not_damaged_unnoticed(folder, make, how):
    path = folder.path / "run.json"
    record = json.loads(path.read_text())
    if how == "another number":
        record["found"]["plan"]["steps"] += 1
        path.write_text(json.dumps(record))
    elif how == "no JSON":
        path.write_text(path.read_text().replace(":", ";", 1))
    elif how == "older":
        from tardif.checksums import json_checksum

        del record["checksum"]
        record["version"] = 1
        path.write_text(json.dumps({**record, "checksum": json_checksum(record)}))
    else:
        DAMAGES[how](path)
    with (
        pytest.raises(FolderError, match=r"run.*--overwrite"),
        folder.held(resume=True, overwrite=False, console=Told()),
    ):
        pass
    assert folder.step(9).is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["step-00000009/run_state.json", "step-00000008/complete.json", "run.json"])
def test_overwrite_clears_the_way_whatever_is_there(folder, name, how):
    DAMAGES[how](folder.path / name)
    for resume in (False, True):
        with RunFolder(folder.output).held(resume=resume, overwrite=True, console=Told()):
            pass
    with RunFolder(folder.output).held(resume=False, overwrite=True, console=Told()):
        assert not list(folder.path.iterdir())
    assert [path.name for path in folder.output.parent.iterdir()] == ["tiny"]  # what had been published


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_overwrite_clears_what_is_no_folder_at_all(tmp_path, kind):
    folder = RunFolder(tmp_path / "tiny")
    if kind == "file":
        folder.path.touch()
    elif kind == "link":
        folder.path.symlink_to("nowhere")
    else:
        os.mkfifo(folder.path)
    with folder.held(resume=False, overwrite=True, console=Told()):
        assert folder.path.is_dir()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_removed_is_told(folder, monkeypatch):
    def refused(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.rename", refused)
    with (
        pytest.raises(FolderError, match=r"cannot be removed \(Operation not permitted\): remove it by hand"),
        folder.held(resume=False, overwrite=True, console=Told()),
    ):
        pass


@pytest.mark.parametrize("how", ["no text", "no steps", "a pipe", "a folder"])
def test_a_damaged_log_changes_no_weight(runs, folder, make, how):
    if how == "no text":
        folder.log.write_bytes(b'{"step": 1}\n\xff\xfe\x00\n{"step": 2}\n')
    elif how == "no steps":
        folder.log.write_text('[]\n3\nnull\n{"step": null}\n{"step": "a"}\n{}\n')
    else:
        DAMAGES[how](folder.log)
    make().train(resume=True, **SETTINGS)
    assert weights(make(overwrite=True)) == runs[0]
    steps = [json.loads(line)["step"] for line in (folder.output / "log.jsonl").read_text().splitlines()]
    assert steps == ([1, 2] if how == "no text" else []) + [10, 10]


def test_a_log_is_cut_where_the_run_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    cut_log(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_weights_that_were_damaged_while_it_ran_are_not_mixed_in_nor_published(folder, tmp_path):
    flip(folder.start / "weights.safetensors")
    with pytest.raises(FolderError, match="start is damaged"), averaged(None, folder.start, 0.5):
        pass
    flip(folder.best(5) / "model.safetensors")
    with pytest.raises(FolderError, match="The best model, .*best-00000005, is damaged"):
        checkpoints.copy_model(folder.best(5), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_folder_is_whole_by_names_and_sizes_and_sound_by_bytes(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(b"12")
    assert not is_whole(tmp_path)
    mark_whole(tmp_path)
    assert (is_whole(tmp_path), damage(tmp_path)) == (True, "")
    flip(tmp_path / "below" / "a")
    assert (is_whole(tmp_path), damage(tmp_path)) == (True, "below/a is damaged: its checksum is wrong")
    assert damage(tmp_path / "nothing") == f"{MARK} is missing or damaged"
    assert issubclass(FolderError, TardifError)
