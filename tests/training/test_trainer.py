from __future__ import annotations

import gc
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from broken_runs import weights
from tardif import DataError, FolderError, ModelError, SettingError, Trainer, TrainingError
from tardif.checksums import checksum
from tardif.training import library_trainer, objective

STEPS = 5  # 36 examples in steps of 8, the last one of 4
SHORT = {"epochs": 1, "batch_size": 8, "lr": 1e-3}


def left_in(trainer):
    """What stands in OUT; nothing where it was never made."""
    return sorted(path.name for path in trainer.path.parent.glob("*"))


def results_in(trainer):
    return json.loads((trainer.path / "results.json").read_text())


def assert_opens(trainer):
    from sentence_transformers import MultiVectorEncoder

    assert MultiVectorEncoder(str(trainer.path), device="cpu").encode_document("a . b").shape == (5, 16)


def during_training(monkeypatch, act):
    """Call ``act(step)`` (steps counted from 1) with every loss; what it returns is added to the loss."""
    step = 0
    contrastive = objective.contrastive

    def wrapped(*args, **kwargs):
        nonlocal step
        step += 1
        return contrastive(*args, **kwargs) + (act(step) or 0.0)

    monkeypatch.setattr(objective, "contrastive", wrapped)


def test_a_trainer_starts_with_nothing(base_folder, tmp_path):
    trainer = Trainer("new", base_folder("bert"), out=tmp_path)
    assert (trainer.collection, trainer.queries, trainer.triplets) == ([], {}, [])
    with pytest.raises(SettingError, match="prepare"):
        trainer.train()
    assert left_in(trainer) == []


def test_what_is_prepared_can_be_seen(trainer, pairs):
    assert {document.text for document in trainer.collection} == {text for _, text in pairs}
    assert set(trainer.queries.values()) == {query for query, _ in pairs}
    known = {document.id for document in trainer.collection}
    relevant = {(trainer.queries[q], d) for q, judged in trainer.data.qrels.items() for d in judged}
    assert len(trainer.triplets) == 36 * 8
    for query, positive, negative in trainer.triplets:
        assert {positive, negative} <= known
        assert (trainer.queries[query], positive) in relevant
        assert (trainer.queries[query], negative) not in relevant


def test_what_cannot_be_prepared_leaves_what_was(trainer):
    before = trainer.data
    with pytest.raises(DataError):
        trainer.prepare([("a query", "")])
    assert trainer.data is before


def wrong_arguments(base, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "a file").touch()
    return {
        "name": (SettingError, {"name": "a/b"}),
        "empty name": (SettingError, {"name": ""}),
        "language": (SettingError, {"language": "klingon"}),
        "devices": (SettingError, {"devices": "abacus"}),
        "dim": (SettingError, {"dim": 0}),
        "query_length": (SettingError, {"query_length": 1000}),
        "document_length": (SettingError, {"document_length": "long"}),
        "expansion": (SettingError, {"expansion": -1}),
        "base": (ModelError, {"base": str(tmp_path / "nothing")}),
        "base on no hub": (ModelError, {"base": "nobody/nothing"}),
        "existing output": (FolderError, {"name": "full"}),
        "output in a file": (FolderError, {"out": str(tmp_path / "a file")}),
    }


def test_wrong_arguments_are_refused_before_torch_is_imported(base_folder, tmp_path):
    base = str(base_folder("bert"))
    calls = [
        (error.__name__, {"name": "x", "base": base, "out": str(tmp_path), **wrong})
        for error, wrong in wrong_arguments(base, tmp_path).values()
    ]
    script = f"""
import sys, tardif
tardif.Trainer("valid", {base!r}, out={str(tmp_path)!r}, quiet=True)
for error, arguments in {calls!r}:
    try:
        tardif.Trainer(**arguments)
    except tardif.TardifError as found:
        assert type(found).__name__ == error, (arguments, found)
    else:
        raise AssertionError(arguments)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "full"]


@pytest.mark.parametrize("wrong", [{"epoch": 3}, {"lr": 0}, {"output_dir": "x"}, {"lr_scheduler_type": "zigzag"}])
def test_a_wrong_setting_is_refused_before_the_weights_are_read(trainer, monkeypatch, wrong):
    monkeypatch.setattr("tardif.training.run.build_model", None)
    with pytest.raises(SettingError, match=next(iter(wrong))):
        trainer.train(**wrong)
    assert left_in(trainer) == []


def test_a_tokenizer_that_cannot_be_used_is_refused_before_the_data_are_read(base_folder, pairs, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(base_folder("bert"), folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    trainer = Trainer("tiny", folder, devices="cpu", out=tmp_path / "out", quiet=True)
    read = []
    with pytest.raises(ModelError, match="without a padding token"):
        trainer.prepare(read.append(pair) or pair for pair in pairs)
    assert read == []


def test_training_publishes_a_checkpoint_with_its_results(trainer):
    result = trainer.train(**SHORT)
    assert left_in(trainer) == ["tiny"]
    assert_opens(trainer)
    assert result.path == trainer.path
    assert not result.interrupted

    recorded = results_in(trainer)
    assert recorded == json.loads(json.dumps(result.as_json()))
    assert {"before", "after", "baselines", "settings", "seconds"} <= recorded.keys()
    baselines = recorded["baselines"]
    assert baselines.keys() == {"bm25", "raw", "step 0"}
    assert recorded["before"] == max(baselines["raw"], baselines["step 0"], key=lambda figures: figures["nDCG@10"])
    evaluated = recorded["settings"]["evaluated"]
    assert [figures["step"] for figures in evaluated] == [3, 5]
    best = max(evaluated, key=lambda figures: figures["nDCG@10"])
    assert {"step": recorded["settings"]["best_step"], **recorded["after"]} == best
    assert all(seconds >= 0 for seconds in recorded["seconds"].values())
    files = {path.relative_to(trainer.path).as_posix(): path for path in trainer.path.rglob("*") if path.is_file()}
    records = {"README.md", "results.json", "held_out.jsonl", "log.jsonl", "checksums.json"}
    sums = json.loads(files["checksums.json"].read_text())["files"]
    model = {name: path for name, path in files.items() if name not in records and not name.startswith("report/")}
    assert sums == {name: checksum(path) for name, path in model.items()}
    held_out = [json.loads(line) for line in (trainer.path / "held_out.jsonl").read_text().splitlines()]
    assert len(held_out) == len(trainer.data.query_ids("validation")) == recorded["comparison"]["queries"]
    for system, figures in {"bm25": baselines["bm25"], "trained": recorded["after"]}.items():
        assert sum(line[system]["nDCG@10"] for line in held_out) / len(held_out) == pytest.approx(figures["nDCG@10"])
    settings = recorded["settings"]
    assert (settings["steps"], settings["planned_steps"], settings["epochs_done"]) == (STEPS, STEPS, 1.0)
    assert (settings["dim"], settings["language"], settings["device"], settings["lr"]) == (16, "en", "cpu", 1e-3)


def test_the_figures_are_those_of_the_published_checkpoint(unbroken):
    from tardif.encoder.model import open_model
    from tardif.progress import Console
    from tardif.training.validation import validation_task

    trainer, result = unbroken(**SHORT)
    task = validation_task(trainer.data, limit=1000, language=trainer.language, seed=0)
    assert task.measure(open_model(str(trainer.path)), Console(quiet=True), "") == pytest.approx(dict(result.after))


def test_training_learns(trainer, monkeypatch):
    losses = []
    contrastive = objective.contrastive

    def watched(*args, **kwargs):
        losses.append(contrastive(*args, **kwargs))
        return losses[-1]

    monkeypatch.setattr(objective, "contrastive", watched)
    trainer.train(**{**SHORT, "epochs": 6, "evaluations": 1})
    assert len(losses) == 6 * STEPS
    assert sum(losses[-STEPS:]) < 0.7 * sum(losses[:STEPS])


def test_no_example_is_dropped(trainer, monkeypatch):
    seen = []
    call = library_trainer.Collator.__call__

    def watched(self, rows):
        seen.append([row["example"] for row in rows])
        return call(self, rows)

    monkeypatch.setattr(library_trainer.Collator, "__call__", watched)
    result = trainer.train(**{**SHORT, "epochs": 2})
    count = len(trainer.data.examples)
    assert count % 8, "the test needs a short last batch"
    per_epoch = math.ceil(count / 8)
    assert result.settings["steps"] == len(seen) == 2 * per_epoch
    for epoch in (seen[:per_epoch], seen[per_epoch:]):
        assert sorted(number for batch in epoch for number in batch) == list(range(count))
    assert seen[:per_epoch] != seen[per_epoch:]


def test_gradient_accumulation_counts_optimizer_steps(trainer):
    result = trainer.train(**SHORT, gradient_accumulation_steps=2)
    assert result.settings["steps"] == result.settings["planned_steps"] == 3
    assert result.settings["epochs_done"] == pytest.approx(1.0)


def test_negatives_are_drawn_anew_each_epoch(trainer, monkeypatch):
    epochs = []
    negatives = library_trainer.Collator.negatives

    def watched(self, number):
        epochs.append(self.epoch)
        return negatives(self, number)

    monkeypatch.setattr(library_trainer.Collator, "negatives", watched)
    trainer.train(**{**SHORT, "epochs": 2, "evaluations": 1})
    assert epochs == [epoch for epoch in range(2) for _ in range(36)]


def test_same_seed_same_bytes(trainer, unbroken):
    first = weights(unbroken(**SHORT)[0])
    trainer.overwrite = True
    trainer.train(**SHORT)
    assert weights(trainer) == first
    trainer.train(**SHORT, seed=1)
    assert weights(trainer) != first


def test_without_held_out_queries_the_last_checkpoint_is_kept(trainer, pairs):
    trainer.prepare(pairs, validation=0, miner="none")
    result = trainer.train(**SHORT)
    assert (result.before, result.after, result.baselines) == ({}, {}, {})
    assert result.settings["best_step"] == result.settings["steps"] == STEPS
    assert_opens(trainer)


def test_the_kept_model_is_so_much_of_what_it_began_with(trainer, pairs):
    from safetensors.numpy import load_file

    trainer.prepare(pairs, validation=0, miner="none")
    trainer.overwrite = True
    kept = {}
    for name, share, lr in (("start", 0.0, 1e-30), ("end", 0.0, 1e-3), ("part", 0.25, 1e-3)):
        trainer.train(**{**SHORT, "lr": lr}, base_share=share, precision="fp32")
        kept[name] = load_file(trainer.path / "model.safetensors")
    assert any(abs(kept["end"][name] - kept["start"][name]).max() > 1e-4 for name in kept["end"])
    for name, weight in kept["part"].items():
        assert weight == pytest.approx(0.25 * kept["start"][name] + 0.75 * kept["end"][name], abs=1e-6)


def test_queries_made_from_the_documents_are_trained_on_more_gently(trainer, pairs):
    from sentence_transformers import MultiVectorEncoder

    trainer.prepare(pairs, validation=0, miner="none")
    trainer.overwrite = True
    asked = trainer.train(batch_size=8, lr=1e-3)
    assert (asked.settings["steps"], asked.settings["base_share"]) == (4 * STEPS, 0.5)
    assert MultiVectorEncoder(str(trainer.path), device="cpu").prompts["query"] == "[Q] "
    trainer.data = replace(trainer.data, made=len(trainer.data.examples))
    made = trainer.train(batch_size=8, lr=1e-3)
    assert (made.settings["steps"], made.settings["base_share"]) == (STEPS, 0.7)
    assert not MultiVectorEncoder(str(trainer.path), device="cpu").prompts.get("query")


def test_training_in_16_bits_learns_and_is_recorded(trainer):
    result = trainer.train(**{**SHORT, "epochs": 2, "evaluations": 1}, precision="bf16")
    assert result.settings["precision"] == "bf16"
    assert_opens(trainer)
    lines = [json.loads(line) for line in (trainer.path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]


def test_a_budget_of_minutes_is_kept_and_a_run_by_its_steps_gives_the_same_bytes(trainer, monkeypatch):
    trainer.overwrite = True
    with monkeypatch.context() as patch:
        during_training(patch, lambda step: time.sleep(0.05))  # few steps fill the time, and few are taken again
        result = trainer.train(**{**SHORT, "epochs": 1000}, minutes=0.03)
    planned, steps = result.settings["planned_steps"], result.settings["steps"]
    assert result.settings["minutes"] == 0.03
    assert 1 <= steps <= planned < 1000 * STEPS
    assert result.seconds["training"] + result.seconds["evaluation during training"] < 2 * 60 * 0.03
    timed = weights(trainer)
    again = trainer.train(**{**SHORT, "epochs": 1000}, max_steps=planned, stop_at_step=steps)
    assert again.settings["steps"] == steps
    assert weights(trainer) == timed


def test_no_time_at_all_is_still_a_step(trainer):
    result = trainer.train(**SHORT, minutes=1e-6)
    assert result.settings["steps"] == 1
    assert_opens(trainer)


def test_only_one_copy_of_the_weights_is_alive_when_training_begins(trainer, built_once, monkeypatch):
    import torch

    monkeypatch.setattr("tardif.training.run.build_model", built_once)  # no copy is kept for other tests

    def alive():
        gc.collect()
        found = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
        return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in found}

    before, counted = alive(), {}

    class EnoughError(Exception):
        pass

    def run(context, *args, **kwargs):
        own = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in context.model.parameters()}
        counted.update(own=sum(own.values()), all=sum(size for at, size in alive().items() if at not in before))
        raise EnoughError

    monkeypatch.setattr(library_trainer, "run", run)
    with pytest.raises(EnoughError):
        trainer.train(**SHORT)
    assert counted["own"] <= counted["all"] < 1.2 * counted["own"]  # buffers are small


def test_an_interrupt_ends_the_step_and_keeps_a_checkpoint(trainer, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    during_training(monkeypatch, lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 2 else None)
    result = trainer.train(**SHORT)
    assert result.interrupted
    assert result.settings["steps"] == 2
    assert results_in(trainer)["interrupted"] is True
    assert left_in(trainer) == [".tiny.training", "tiny"]  # what --resume goes on with
    assert_opens(trainer)
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_keeps_the_best_checkpoint_so_far(trainer, monkeypatch):
    during_training(monkeypatch, lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 4 else None)
    result = trainer.train(**SHORT)  # measured at step 3
    assert result.interrupted
    assert (result.settings["steps"], result.settings["best_step"]) == (4, 3)
    assert result.after
    assert_opens(trainer)


def test_a_second_interrupt_stops_at_once(trainer, monkeypatch):
    def twice(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    during_training(monkeypatch, twice)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(**SHORT)
    assert left_in(trainer) == []


def test_a_loss_that_is_no_number_is_an_error(trainer, monkeypatch):
    during_training(monkeypatch, lambda step: math.nan if step == 2 else None)
    with pytest.raises(TrainingError, match="step 2"):
        trainer.train(**SHORT)
    assert left_in(trainer) == []


def test_what_was_best_before_the_loss_diverged_is_kept(trainer, monkeypatch):
    during_training(monkeypatch, lambda step: math.inf if step == 4 else None)
    with pytest.raises(TrainingError, match="step 4"):
        trainer.train(**SHORT)
    assert left_in(trainer) == ["tiny"]
    assert_opens(trainer)


def test_results_of_a_diverged_run_tell_the_figures_and_settings_of_what_is_kept(trainer, monkeypatch):
    during_training(monkeypatch, lambda step: math.inf if step == 4 else None)
    with pytest.raises(TrainingError):
        trainer.train(**SHORT)
    recorded = results_in(trainer)
    assert recorded["after"].keys() == recorded["before"].keys()
    assert (recorded["settings"]["lr"], recorded["settings"]["best_step"]) == (1e-3, 3)


def test_a_loss_that_is_no_number_while_steps_are_timed_is_an_error_too(trainer, monkeypatch):
    during_training(monkeypatch, lambda step: math.nan)
    with pytest.raises(TrainingError):
        trainer.train(**SHORT, minutes=1)
    assert left_in(trainer) == []


def test_failure_leaves_an_existing_checkpoint_as_it_was(trainer, unbroken, monkeypatch):
    shutil.copytree(unbroken(**SHORT)[0].path, trainer.path)
    before = weights(trainer)
    trainer.overwrite = True
    during_training(monkeypatch, lambda step: math.nan)
    with pytest.raises(TrainingError):
        trainer.train(**SHORT)
    assert weights(trainer) == before
    assert left_in(trainer) == ["tiny"]


def test_a_trained_checkpoint_can_be_trained_on(unbroken, tmp_path, pairs):
    more = Trainer("more", unbroken(**SHORT)[0].path, devices="cpu", out=tmp_path / "out", quiet=True)
    assert more.base.is_colbert
    more.prepare(pairs, validation=0.1)
    result = more.train(**SHORT)
    assert result.settings["dim"] == 16
    assert result.baselines["step 0"]["nDCG@10"] >= 0
    assert left_in(more) == ["more"]
    assert_opens(more)


def test_several_sets_train_one_model_and_the_run_is_told_apart(trainer):
    more = [(f"letter {letter}", f"the letter {letter} stands in the alphabet.") for letter in "abcdefghij"]
    trainer.add(more, weight=0.5, validation=0, window=(1, 20), near=False)
    assert [weight for _, weight in trainer.data.parts] == [1.0, 0.5]
    result = trainer.train(**SHORT)
    assert result.settings["steps"] == STEPS + 1  # 36 and half of 10 examples in steps of 8
    assert result.settings["data"]["weights"] == [1.0, 0.5]
    assert_opens(trainer)


def test_there_must_be_something_to_add_to(base_folder, tmp_path, pairs):
    made = Trainer("tiny", base_folder("bert"), devices="cpu", out=tmp_path / "out", dim=16, quiet=True)
    with pytest.raises(SettingError, match="nothing to add to"):
        made.add(pairs)
