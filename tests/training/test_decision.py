"""What is published, and what is said of it."""

import json
import math

import pytest

from tardif.evaluation.measure_names import MEASURES
from tardif.evaluation.outcome import Outcome
from tardif.evaluation.verdict import BETTER, FEW, SAME, UNMEASURED, WORSE
from tardif.training import objective
from tardif.training.decision import decide, summary
from tardif.training.result import Measured, TrainingResult
from tardif.training.validation import ValidationTask

SHORT = {"epochs": 1, "batch_size": 8, "lr": 1e-3}
QUERIES = [f"q{n}" for n in range(200)]


def values(mean, spread=0.05, count=200):
    """Each query's values around a mean."""
    return {m: {q: mean + spread * (1 if n % 2 else -1) for n, q in enumerate(QUERIES[:count])} for m in MEASURES}


def judged(raw, step_0, trained, *, bm25=0.1, keep_untrained=True, count=200):
    untrained = {"bm25": values(bm25, 0.0, count), "raw": values(raw, 0.0, count), "step 0": values(step_0, 0.0, count)}
    return decide(untrained, values(trained, count=count), 7, keep_untrained=keep_untrained)


def test_a_better_model_is_published_without_a_warning():
    found = judged(0.5, 0.4, 0.6)
    assert (found.kept, found.comparison.verdict, found.comparison.against) == (7, BETTER, "raw")
    assert found.comparison.deciding.difference == pytest.approx(0.1)
    assert not found.warnings


@pytest.mark.parametrize(
    ("raw", "step_0", "trained", "kept", "verdict"),
    [
        (0.5, 0.4, 0.501, 7, SAME),
        (0.5, 0.5, 0.4, 0, WORSE),
        (0.5, 0.3, 0.4, 7, WORSE),  # better than the recipe it was made from, and worse than the base's raw vectors
    ],
)
def test_a_model_that_is_not_better_is_published_with_a_warning_or_not_at_all(raw, step_0, trained, kept, verdict):
    found = judged(raw, step_0, trained)
    assert (found.kept, found.comparison.verdict) == (kept, verdict)
    assert found.after["nDCG@10"] == pytest.approx(trained if kept else step_0)
    assert len(found.warnings) == 1
    assert ("untrained model (step 0)" in found.warnings[0]) is (kept == 0)


def test_the_trained_model_is_published_where_that_is_asked_for():
    found = judged(0.5, 0.5, 0.4, keep_untrained=False)
    assert (found.kept, found.comparison.verdict) == (7, WORSE)
    assert "worse" in found.warnings[0]


def test_few_queries_decide_nothing():
    found = judged(0.5, 0.5, 0.49, count=6)
    assert (found.kept, found.comparison.verdict) == (7, FEW)
    assert "too few held-out queries to tell (6; about" in found.warnings[0]


def test_training_that_gained_is_not_said_to_have_made_it_worse():
    (told,) = judged(0.5, 0.3, 0.4).warnings
    assert told.startswith("The trained model is better than what it began as (step 0) and worse than the base's raw")
    assert judged(0.5, 0.5, 0.4).warnings[0].startswith("Training made it worse")


def test_where_nothing_is_left_to_gain_more_queries_are_not_advised():
    perfect = {name: dict.fromkeys(QUERIES[:6], 1.0) for name in MEASURES}
    found = decide(
        {"bm25": perfect, "raw": perfect, "step 0": perfect}, perfect, 7, keep_untrained=True, advice=" Fold."
    )
    assert "finds the answers of all of them first" in found.warnings[0] and "Fold" not in found.warnings[0]


def test_a_run_that_ended_too_soon_is_not_told_to_hold_out_more():
    (told,) = decide({}, {}, 7, keep_untrained=True, advice=" Fold.").warnings
    assert told.endswith("the run ended before its first evaluation.")
    assert decide({}, {}, 7, keep_untrained=True, reason="none", advice=" Fold.").warnings[0].endswith("none. Fold.")


def test_bm25_ahead_is_said_with_the_way_out():
    found = judged(0.5, 0.4, 0.6, bm25=0.7)
    assert len(found.warnings) == 1
    for told in ("0.7000", "0.6000", "tardif index --hybrid", "tardif search --hybrid"):
        assert told in found.warnings[0]


def test_what_was_not_measured_has_a_reason_and_fails_no_script(trainer, pairs, capsys):
    trainer.prepare(pairs, validation=0, miner="none")
    result = trainer.train(**SHORT)
    assert not result.before
    assert not result.after
    assert f"{result.before['nDCG@10']:.4f} -> {result.after['nDCG@10']}" == "nan -> nan"
    with pytest.raises(KeyError):
        result.before["nDGC@10"]
    assert (result.verdict, result.comparison, result.kept) == (UNMEASURED, None, result.settings["steps"])
    assert "no query is held out" in repr(result)
    assert "no query is held out" in repr(result.after)
    recorded = json.loads((result.path / "results.json").read_text())
    assert recorded["before"] == recorded["after"] == dict.fromkeys(MEASURES)
    assert recorded["reason"] == "no query is held out"
    assert "\nWARNING: Whether the model is better" in capsys.readouterr().err  # quiet as the trainer is


def test_a_measured_mapping_is_a_dict_of_its_figures():
    assert Measured({"nDCG@10": 0.5}, "none") == {"nDCG@10": 0.5}
    assert json.dumps(Measured({"nDCG@10": 0.5})) == '{"nDCG@10": 0.5}'
    assert math.isnan(Measured()["R@100"])
    with pytest.raises(KeyError):
        Measured({"nDCG@10": 0.5})["R@100"]


def found_as(monkeypatch, trainer, before, after):
    """Training measures these, whatever the model."""
    given = iter((values(before, 0.0), values(before, 0.0), *[values(after)] * 9))
    monkeypatch.setattr(ValidationTask, "outcome", lambda *args: Outcome(next(given)))
    monkeypatch.setattr(ValidationTask, "bm25_outcome", lambda *args: Outcome(values(0.9, 0.0)))
    return trainer.train(**SHORT)


def test_the_untrained_model_is_published_bit_by_bit_where_training_made_it_worse(make, monkeypatch, capsys):
    from safetensors.torch import load_file

    from tardif.training import run

    trainer, started, save_start = make(), {}, run.save_start

    def watched(model, folder):
        started.update({name: weight.detach().clone() for name, weight in model.state_dict().items()})
        save_start(model, folder)

    monkeypatch.setattr(run, "save_start", watched)
    result = found_as(monkeypatch, trainer, 0.5, 0.4)
    assert (result.kept, result.verdict) == (0, WORSE)
    assert result.after["nDCG@10"] == pytest.approx(0.5)
    published = {}
    for file in result.path.rglob("*.safetensors"):
        published.update({f"{file.parent.name}/{name}": weight for name, weight in load_file(file).items()})
    assert published
    for weight in published.values():
        assert any(weight.shape == other.shape and weight.equal(other) for other in started.values())
    told = capsys.readouterr().err
    assert "WARNING: Training made it worse" in told
    assert "WARNING: BM25 is ahead" in told
    recorded = json.loads((result.path / "results.json").read_text())
    assert (recorded["kept"], recorded["verdict"]) == (0, WORSE)
    assert recorded["warnings"] == list(result.warnings)


def test_a_result_is_read_back_as_it_was_recorded(make, monkeypatch):
    for before, after in ((0.5, 0.6), (0.5, 0.4)):
        with monkeypatch.context() as patch:
            result = found_as(patch, make(overwrite=True), before, after)
        recorded = json.loads((result.path / "results.json").read_text())
        again = TrainingResult.from_json(result.path, recorded)
        assert again.as_json() == recorded
        assert summary(again) == summary(result)
        assert any(line.startswith("Verdict: ") for line in summary(result))
        for name in MEASURES:
            line = next(line for line in summary(result) if line.strip().startswith(name))
            for told in ("95 %", " p ", "won", "lost", "tied", "BM25"):
                assert told in line


def test_losses_that_are_all_zero_are_said(trainer, monkeypatch, capsys):
    contrastive = objective.contrastive
    monkeypatch.setattr(objective, "contrastive", lambda *args, **kwargs: contrastive(*args, **kwargs) * 0.0)
    result = trainer.train(**SHORT)
    assert result.settings["steps_without_loss"] == result.settings["steps"]
    assert "exactly 0" in result.warnings[-1]
    told = capsys.readouterr().err
    assert "all 5 steps so far is exactly 0" in told
    assert f"WARNING: {result.warnings[-1]}" in told
