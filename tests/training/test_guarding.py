"""At the end of a training foreign queries are measured, before and after it."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from broken_runs import break_off, press_ctrl_c
from tardif import SettingError
from tardif.data.judged import JudgedSet
from tardif.encoder.model import open_model
from tardif.errors import DataError
from tardif.evaluation.verdict import SAME, WORSE
from tardif.text.languages import language
from tardif.training import guard, guarding
from tardif.training.guard import GuardSet
from tardif.training.result import TrainingResult
from tardif.training.settings import TrainingSettings
from tardif.types import Document

SHORT = {"max_steps": 4, "batch_size": 8, "lr": 1e-3, "evaluations": 1, "save_steps": 1}


@pytest.fixture(scope="module")
def guarded(unbroken, foreign):
    """A finished run with a guard: its trainer and its result."""
    return unbroken(**SHORT, guard=str(foreign))


def mean(guard_set, folder):
    return float(np.mean(guard_set.measure(open_model(str(folder), device="cpu"))))


def test_the_figures_are_those_of_the_untrained_and_the_published_model(guarded, foreign):
    trainer, result = guarded
    (found,), far = result.guard, GuardSet.read(foreign, language("en"))
    assert (found.data, found.checksum, found.documents, found.comparison.queries) == ("far", far.checksum, 140, 60)
    assert found.after["nDCG@10"] == pytest.approx(mean(far, trainer.path))
    assert found.comparison.deciding.difference == pytest.approx(found.after["nDCG@10"] - found.before["nDCG@10"])
    assert found.comparison.against in ("raw", "step 0")
    assert result.seconds["guard"] > 0


def test_results_json_holds_them_and_reads_back(guarded):
    trainer, result = guarded
    read = json.loads((trainer.path / "results.json").read_text())
    assert TrainingResult.from_json(trainer.path, read).guard == result.guard
    assert read["guard"][0]["comparison"]["measures"]["nDCG@10"]["p"] <= 1
    assert read["settings"]["guard"] == [result.settings["guard"][0]]


def test_a_resumed_run_has_the_figures_of_an_unbroken_one(guarded, make, foreign):
    break_off(make("broken"), 3, **SHORT, guard=foreign)
    result = make("broken").train(resume=True, **SHORT, guard=str(foreign))
    assert result.guard == guarded[1].guard


def test_another_guard_does_not_stop_a_run_from_resuming(guarded, make):
    break_off(make("broken"), 3, **SHORT)
    assert not make("broken").train(resume=True, **SHORT, guard="none").guard


def test_an_interrupted_run_is_published_without_a_figure(make, foreign):
    result = break_off(make("broken"), 3, press_ctrl_c, **{**SHORT, "evaluations": 4}, guard=foreign)
    assert result.interrupted
    assert not result.guard


def test_the_untrained_model_is_compared_where_it_is_published(make, foreign, monkeypatch, capsys):
    monkeypatch.setattr("tardif.training.decision.compare_values", _called(WORSE))
    result = make("worse", quiet=False).train(**SHORT, guard=foreign)
    (found,) = result.guard
    assert not result.kept
    if found.comparison.against == "step 0":
        assert found.before == found.after
    assert found.sentence() in capsys.readouterr().err


def _called(verdict):
    from dataclasses import replace

    from tardif.evaluation.verdict import compare_values

    return lambda ours, theirs, against: replace(compare_values(ours, theirs, against), verdict=verdict)


@pytest.mark.parametrize(("verdict", "warned"), [(WORSE, True), (SAME, False)])
def test_a_loss_is_a_warning_with_a_way_out(guarded, verdict, warned, monkeypatch, foreign):
    _, result = guarded
    monkeypatch.setattr(guarding, "compare_values", _called(verdict))
    far = GuardSet.read(foreign, language("en"))
    values = {"raw": {"nDCG@10": {"a": 1.0, "b": 1.0}}, "step 0": {"nDCG@10": {"a": 0.0, "b": 0.0}}}
    values["trained"] = {"nDCG@10": {"a": 0.5, "b": 0.5}}
    monkeypatch.setattr(guarding, "_measured", lambda *given: [values])
    group, settings = SimpleNamespace(is_main=True, size=1), TrainingSettings(base_share=0.5)
    context = SimpleNamespace(group=group, settings=settings)
    again = guarding.guarded(result, [far], None, context)
    assert (again.guard[0].before, again.guard[0].after) == ({"nDCG@10": 1.0}, {"nDCG@10": 0.5})
    assert any("base_share=0.75" in line and "far" in line for line in again.warnings[len(result.warnings) :]) == warned


def test_a_guard_that_fails_costs_no_model(make, foreign, monkeypatch, capsys):
    def fails(*given):
        raise MemoryError("no room")

    monkeypatch.setattr(GuardSet, "outcome", fails)
    result = make("whole").train(**SHORT, guard=foreign)
    assert not result.guard
    assert (result.path / "results.json").is_file()
    assert "could not be measured" in capsys.readouterr().err


def test_one_training_of_a_cross_validation_is_guarded(base_folder, tmp_path, pairs, foreign):
    from tardif import Trainer

    trainer = Trainer("folds", base_folder("bert"), devices="cpu", out=tmp_path / "out", dim=16, quiet=True)
    trainer.prepare(pairs, validation=0, window=(1, 20), near=False, on={"query-is-document": "keep"})
    asked, outcome = [], GuardSet.outcome
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GuardSet, "outcome", lambda *given: asked.append(1) or outcome(*given))
        result = trainer.train(max_steps=1, batch_size=16, folds=2, guard=foreign)
    assert (len(result.guard), len(asked)) == (1, 3)


def test_without_english_texts_or_docstrings_a_run_says_so_and_goes_on(monkeypatch, capsys):
    from tardif.progress import Console
    from tardif.training.guard import guard_sets
    from tardif.training.settings import settings_from

    def sets(asked, code):
        found = guard_sets(settings_from({"guard": asked}), language(code), Console())
        return found, capsys.readouterr().err

    monkeypatch.setattr(guard, "python_texts", lambda: None)
    for asked, code, why in (("auto", "de", "English"), ("auto", "en", "docstrings"), ("python", "de", "docstrings")):
        found, told = sets(asked, code)
        assert not found
        assert why in told


@pytest.mark.parametrize("wrong", [3, "", ["python", 3], ["none", "python"], True, {"a": 1}])
def test_what_is_no_guard_is_refused_before_any_work(make, wrong):
    with pytest.raises(SettingError, match="guard="):
        make().check(guard=wrong)


def test_a_folder_that_is_missing_or_no_judged_set_stops_before_the_first_step(make, tmp_path):
    with pytest.raises(SettingError, match=r"guard=.*nowhere: there is no such"):
        make().check(guard=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        make("refused").train(**SHORT, guard=tmp_path / "empty")
    assert make().check(guard="none").guards == make().check(guard=None).guards == ()


def test_a_guard_of_training_queries_stops_a_run_before_the_model_is_loaded(make, foreign, monkeypatch):
    trainer = make("refused")
    example = trainer.data.examples[0]
    queries = dict.fromkeys(GuardSet.read(foreign, language("en")).task.queries, "a foreign question")
    data = dataclasses.replace(trainer.data, queries={**trainer.data.queries, example.query_id: "a foreign question"})
    trainer.prepare(data)
    monkeypatch.setattr("tardif.training.run.build_model", None)
    monkeypatch.setattr(
        guard,
        "read_judged",
        lambda folder: JudgedSet("far", [Document("d", "x")], queries, {query: {} for query in queries}),
    )
    with pytest.raises(DataError, match="are training queries, or nearly the same as one"):
        trainer.train(**SHORT, guard=foreign)
