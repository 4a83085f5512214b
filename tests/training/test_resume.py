"""A run that was broken off and gone on with ends with the bytes of an unbroken one."""

from __future__ import annotations

import json
import time

import pytest

import forked
from broken_runs import break_off, hold, press_ctrl_c, weights
from tardif import FolderError, SettingError, Trainer, TrainingError
from tardif.training import checkpoints, library_trainer, objective, publishing
from tardif.training.run_folder import RunFolder

STEPS = 10  # two epochs of 36 examples in steps of 8, the last one of 4
SHORT = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "evaluations": 4, "save_steps": 1}


def left_in(trainer):
    return sorted(path.name for path in trainer.path.parent.glob("*"))


def figures(result):
    kept = ("evaluated", "best_step", "steps", "planned_steps", "epochs_done", "stopped_early", "validation")
    return result.before, result.after, result.baselines, {name: result.settings[name] for name in kept}


@pytest.mark.parametrize("batch", [3, 6, 10])  # amid an epoch, at the start of one, at the last step
def test_a_resumed_run_ends_with_the_same_bytes(make, unbroken, batch):
    settings = {**SHORT, "dropout": 0.1, "base_share": 0.5}
    (whole, expected), broken = unbroken(**settings), make("broken")
    break_off(broken, batch, **settings)
    assert ".broken.training" in left_in(broken)
    result = make("broken").train(resume=True, **settings)
    assert result.settings["resumed_at"] == [batch - 1]
    assert weights(broken) == weights(whole)
    assert figures(result) == figures(expected)
    assert left_in(broken) == ["broken"]
    assert not result.failure


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_run_that_is_broken_off_after_its_last_step_shows_what_it_learnt(make, unbroken, monkeypatch, share):
    settings = {**SHORT, "lr": 1e-2, "evaluations": 1, "base_share": share, "base_pull": 0, "length_pull": 0}
    (whole, expected), broken = unbroken(**settings), make("broken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(publishing.Publisher, "finish", press_ctrl_c_twice)
        broken.train(**settings)
    result = make("broken").train(resume=True, **settings)
    assert result.settings["resumed_at"] == [result.settings["best_step"]] == [STEPS]
    assert figures(result) == figures(expected)
    assert weights(broken) == weights(whole)
    shown = [json.loads((trainer.path / "report" / "examples.json").read_text()) for trainer in (whole, broken)]
    assert shown[0] == shown[1]


def press_ctrl_c_twice(*_):
    raise KeyboardInterrupt


def test_gradient_accumulation_can_be_resumed_amid_an_epoch_and_again(make, unbroken):
    settings = {**SHORT, "batch_size": 4, "dropout": 0.1, "gradient_accumulation_steps": 2}
    (whole, _), broken = unbroken(**settings), make("broken")
    for batch in (6, 3, 7):  # the second batch of a step; then counted from where it goes on
        break_off(make("broken"), batch, resume=True, **settings)
    result = make("broken").train(resume=True, **settings)
    assert result.settings["resumed_at"] == [2, 3, 6]
    assert weights(broken) == weights(whole)


def test_a_checkpoint_that_is_far_back_will_do(make, unbroken):
    settings = {**SHORT, "save_steps": None}  # at evaluations: steps 3, 5, 8, 10
    (whole, _), broken = unbroken(**settings), make("broken")
    break_off(broken, 8, **settings)
    assert make("broken").train(resume=True, **settings).settings["resumed_at"] == [5]
    assert weights(broken) == weights(whole)


def test_the_log_of_a_resumed_run_is_that_of_an_unbroken_one(make, unbroken, broken_off):
    (whole, _), broken = unbroken(**SHORT), broken_off(5, **SHORT)
    make("broken").train(resume=True, **SHORT)

    def log(trainer):
        lines = [json.loads(line) for line in (trainer.path / "log.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in lines]

    assert log(broken) == log(whole)
    steps = [line for line in log(whole) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert all(line.keys() == {"step", "epoch", "loss", "grad_norm", "learning_rate"} for line in steps)
    assert [line["step"] for line in log(whole) if "nDCG@10" in line] == [3, 5, 8, 10]


def test_before_is_not_measured_again_and_the_projection_not_fitted(broken_off, monkeypatch):
    broken = broken_off(5, **SHORT)
    monkeypatch.setattr("tardif.training.run.raw_view", None)
    monkeypatch.setattr("tardif.training.run.fit_projection", None)
    result = broken.train(resume=True, **SHORT)
    assert result.baselines.keys() == {"bm25", "raw", "step 0"}


def test_a_run_on_a_budget_of_minutes_goes_on_with_the_steps_it_had_planned(make, monkeypatch):
    settings = {**SHORT, "epochs": 1000, "minutes": 1, "save_steps": 1}
    broken = make()
    with monkeypatch.context() as patch:  # so long that few steps are planned, and no machine takes it
        patch.setattr(library_trainer, "timed_batch", lambda *given: 5.0)
        break_off(broken, 4, **settings)
    planned = json.loads((RunFolder(broken.path).path / "run.json").read_text())["found"]["plan"]["steps"]
    monkeypatch.setattr(library_trainer, "timed_batch", None)
    result = make().train(resume=True, **settings)
    assert result.settings["planned_steps"] == planned < 20


def test_ctrl_c_publishes_the_best_and_can_be_resumed(make, unbroken):
    (whole, _), broken = unbroken(**SHORT), make("broken")
    assert break_off(broken, 4, press_ctrl_c, **SHORT).interrupted
    assert left_in(broken) == [".broken.training", "broken"]
    result = make("broken").train(resume=True, **SHORT)
    assert (result.interrupted, result.settings["resumed_at"]) == (False, [4])
    assert weights(broken) == weights(whole)
    assert left_in(broken) == ["broken"]


def test_ctrl_c_before_anything_was_measured_spoils_no_later_best(make, unbroken):
    settings = {**SHORT, "evaluations": 1}
    (_, expected), broken = unbroken(**settings), make("broken")
    assert break_off(broken, 2, press_ctrl_c, **settings).settings["best_step"] == 2
    assert figures(make("broken").train(resume=True, **settings)) == figures(expected)


def test_an_evaluation_that_ctrl_c_prevented_is_made_up_for(make, unbroken):
    (whole, expected), broken = unbroken(**SHORT), make("broken")  # measured at steps 3, 5, 8 and 10
    assert [figures["step"] for figures in break_off(broken, 5, press_ctrl_c, **SHORT).settings["evaluated"]] == [3]
    assert figures(make("broken").train(resume=True, **SHORT)) == figures(expected)
    assert weights(broken) == weights(whole)


def test_an_unfinished_run_is_neither_gone_on_with_nor_replaced_unasked(make, broken_off):
    broken = broken_off(5, **SHORT)
    with pytest.raises(FolderError, match=r"at step 4.*--resume.*--overwrite"):
        broken.train(**SHORT)
    result = make("broken", overwrite=True).train(**{**SHORT, "evaluations": 1})
    assert result.settings["resumed_at"] == []
    assert left_in(broken) == ["broken"]


@pytest.mark.parametrize(
    ("settings", "options", "named"),
    [
        ({"lr": 2e-3}, {}, "lr is 0.002, was 0.001"),
        ({"max_grad_norm": 0.5}, {}, "max_grad_norm is 0.5, was not set"),
        ({"seed": 1}, {}, "seed is 1, was 0"),
        ({}, {"dim": 12}, "dim is 12, was 16"),
        ({}, {"query_length": 20}, "query_length is 20, was not set"),
        ({}, {"language": "de"}, "language is de, was en"),
    ],
)
def test_other_settings_are_refused_by_name(make, broken_off, settings, options, named):
    broken = broken_off(2, **{**SHORT, "evaluations": 1})
    with pytest.raises(SettingError, match=named):
        make("broken", **options).train(resume=True, **{**SHORT, "evaluations": 1, **settings})
    assert RunFolder(broken.path).is_unfinished()


def test_other_data_and_another_base_are_refused(make, broken_off, pairs, base_folder, tmp_path):
    settings = {**SHORT, "evaluations": 1}
    broken, other = broken_off(2, **settings), make("broken")
    other.prepare(pairs[:-1], validation=0.1, window=(1, 20), near=False, on={"query-is-document": "keep"})
    with pytest.raises(SettingError, match="data is .* was"):
        other.train(resume=True, **settings)
    base = Trainer("broken", base_folder("electra"), devices="cpu", out=tmp_path / "out", dim=16, quiet=True)
    base.prepare(broken.data)
    with pytest.raises(SettingError, match="base is .* was"):
        base.train(resume=True, **settings)


def test_how_often_it_saves_may_change(broken_off):
    settings = {**SHORT, "evaluations": 1}
    broken_off(2, **settings).train(
        resume=True, **{**settings, "save_steps": None, "save_minutes": 1, "logging_steps": 3}
    )


def test_nothing_to_resume_starts_from_the_beginning_and_says_so(make, capsys):
    trainer = make(quiet=False, document_length=12)
    result = trainer.train(resume=True, **{**SHORT, "evaluations": 1})
    assert result.settings["resumed_at"] == []
    said = capsys.readouterr().err
    assert "no unfinished run of tiny" in said
    assert "longer than the model reads (12 tokens)" in said


def test_another_process_that_trains_here_is_not_disturbed(make, tmp_path):
    trainer = make()
    with forked.children(hold, [0], trainer.path, tmp_path / "held") as (other,):
        while not (tmp_path / "held").exists():
            assert other.is_alive()
            time.sleep(0.01)
        for resume in (False, True):
            with pytest.raises(FolderError, match=f"by process {other.pid} on"):
                trainer.train(resume=resume, **SHORT)
        with pytest.raises(FolderError, match=f"by process {other.pid} on"):
            make()
        other.kill()
    trainer.train(resume=True, **{**SHORT, "evaluations": 1, "max_steps": 2})
    assert left_in(trainer) == ["tiny"]


def test_the_last_two_checkpoints_and_their_best_are_kept(make):
    broken = make()
    break_off(broken, 9, **SHORT)
    folder = RunFolder(broken.path)
    assert [path.name for path in folder.checkpoints()] == ["step-00000007", "step-00000008"]
    best = {folder.best(step).name for step in folder.checkpoints().values()}
    assert {path.name for path in folder.path.glob("best-*")} == best


@pytest.mark.parametrize("how", ["unmarked", "cut short", "best lost"])
def test_what_is_not_whole_is_never_resumed_and_swept(make, unbroken, broken_off, how):
    settings = {**SHORT, "evaluations": 2}
    (whole, _), broken = unbroken(**settings), broken_off(7, **settings)
    folder = RunFolder(broken.path)
    last = folder.last_checkpoint()
    if how == "unmarked":
        (last / "complete.json").unlink()
    elif how == "cut short":
        with (last / "state.pt").open("r+b") as file:
            file.truncate(100)
    else:
        for path in folder.path.glob("best-*"):
            (path / "modules.json").unlink()
    (folder.path / ".step-00000007.partial").mkdir()
    # What the broken run published stands there; without a checkpoint it is not known to be ours.
    result = make("broken", overwrite=how == "best lost").train(resume=True, **settings)
    assert result.settings["resumed_at"] == ([] if how == "best lost" else [5])
    assert weights(broken) == weights(whole)
    assert left_in(broken) == ["broken"]


def test_a_run_broken_off_while_it_published_is_published_by_resume(make, unbroken, monkeypatch):
    (whole, _), broken = unbroken(**SHORT), make("broken")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "copy_model", full)
        with pytest.raises(FolderError, match="No space left"):
            broken.train(**SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(objective, "contrastive", None)
        result = make("broken").train(resume=True, **SHORT)
    assert result.settings["steps"] == STEPS
    assert weights(broken) == weights(whole)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_leaves_the_checkpoint_before(make, unbroken, monkeypatch, error):
    (whole, _), broken = unbroken(**SHORT), make("broken")
    save, calls = checkpoints.save_state, 0

    def full(state, folder):
        nonlocal calls
        calls += 1
        if calls == 4:
            (folder / "state.pt").write_bytes(b"half")
            raise error
        save(state, folder)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_state", full)
        with pytest.raises(FolderError, match=r"step-00000004.*(No space|write failed).*MB are free.*--resume"):
            broken.train(**SHORT)
    folder = RunFolder(broken.path)
    assert folder.last_checkpoint().name == "step-00000003"
    assert not list(folder.path.glob("*.partial")) + list(folder.path.glob(".*.partial"))
    make("broken").train(resume=True, **SHORT)
    assert weights(broken) == weights(whole)


def test_only_a_disk_that_is_full_is_called_one(tmp_path):
    def shared(_):
        raise RuntimeError("Some tensors share memory")

    with pytest.raises(RuntimeError, match="share memory"):
        checkpoints.write_whole(tmp_path / "step", shared)
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_run_is_not_kept_for_resuming(make, monkeypatch):
    broken = make()
    contrastive = objective.contrastive
    monkeypatch.setattr(objective, "contrastive", lambda *a, **k: contrastive(*a, **k) * float("nan"))
    with pytest.raises(TrainingError, match="step 1"):
        broken.train(**SHORT)
    assert left_in(broken) == []


def test_no_code_is_run_when_a_state_is_loaded(tmp_path):
    import pickle

    import torch

    torch.save({"optimizer": pickle.Pickler}, tmp_path / checkpoints.STATE)
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.load_state(tmp_path)


def test_every_generator_of_random_numbers_is_put_back():
    import random

    import numpy as np
    import torch

    state = checkpoints.random_state()
    drawn = [random.random(), np.random.normal(), torch.rand(3).tolist(), random.gauss(), np.random.rand()]
    checkpoints.set_random_state(state)
    assert drawn == [random.random(), np.random.normal(), torch.rand(3).tolist(), random.gauss(), np.random.rand()]
