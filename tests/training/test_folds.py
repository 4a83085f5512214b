"""Cross-validation: all queries judge, none of them a model that has seen it; interrupted, it goes on."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import pytest

from broken_runs import weights
from tardif import FolderError, SettingError, Trainer
from tardif.evaluation.evidence import read_evidence
from tardif.training import objective
from tardif.training.folds import folds_folder

SHORT = {"epochs": 1, "batch_size": 16, "lr": 1e-3, "folds": 2}


@pytest.fixture
def whole(base_folder, tmp_path, pairs):
    """A trainer whose set holds out nothing."""

    def made(name="tiny", **options):
        options = {"devices": "cpu", "out": tmp_path / "out", "dim": 16, "quiet": True, **options}
        trainer = Trainer(name, base_folder("bert"), **options)
        trainer.prepare(pairs, validation=0, window=(1, 20), near=False, on={"query-is-document": "keep"})
        return trainer

    return made


@pytest.fixture(scope="module")
def finished(base_folder, pairs, marking, tmp_path_factory):
    """A finished run: its trainer, its result and what it said. Not to be changed."""
    told, out = io.StringIO(), tmp_path_factory.mktemp("folds") / "out"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(told):
        patch.setattr("tardif.training.publishing.run_evidence", marking)
        trainer = Trainer("tiny", base_folder("bert"), devices="cpu", out=out, dim=16)
        trainer.prepare(pairs, validation=0, window=(1, 20), near=False, on={"query-is-document": "keep"})
        result = trainer.train(**SHORT)
    return trainer, result, told.getvalue()


def recorded(trainer):
    found = json.loads((trainer.path / "results.json").read_text())
    found.pop("seconds")
    found["settings"].pop("resumed_at")
    return found, (trainer.path / "held_out.jsonl").read_bytes(), weights(trainer)


def test_every_query_is_judged_and_the_published_model_is_trained_on_all(finished):
    trainer, result, told = finished
    queries = set(trainer.queries)
    lines = [json.loads(line) for line in (trainer.path / "held_out.jsonl").read_text().splitlines()]
    assert {line["query_id"] for line in lines} == queries
    assert result.comparison.queries == len(lines) == len(queries) == 40
    assert result.settings["validation"] == "40 queries in 2 folds"
    assert result.settings["steps"] == result.kept == 3  # of all 40, not of a fold's 20
    for name in ("bm25", "raw"):
        assert result.baselines[name]["nDCG@10"] == pytest.approx(sum(line[name]["nDCG@10"] for line in lines) / 40)
    assert [path.name for path in trainer.path.parent.iterdir()] == ["tiny"]
    assert "2 folds and the published model are 3 trainings" in told
    assert told.count("Verdict: ") == 1
    assert "nothing is measured" not in told
    # The report shows the queries of all folds.
    evidence = read_evidence(result.path)
    (found,) = evidence.values
    assert set(found.queries) == queries
    after, before = (found.systems[name]["nDCG@10"] for name in ("after", "before"))
    won, lost = (sum(sign * (after[query] - before[query]) > 0 for query in queries) for sign in (1, -1))
    assert len({shown.query_id for shown in evidence.queries}) == min(20, won) + min(20, lost)
    assert all(shown.difference == after[shown.query_id] - before[shown.query_id] for shown in evidence.queries)
    assert any(hit.marks for shown in evidence.queries for ranking in shown.rankings for hit in ranking.hits)
    assert evidence.explanations


def test_interrupted_folds_go_on_and_end_the_same(whole, finished, monkeypatch):
    contrastive, calls = objective.contrastive, []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:  # in the second fold
            raise RuntimeError
        return contrastive(*args, **kwargs)

    broken = whole()
    with monkeypatch.context() as patch:
        patch.setattr(objective, "contrastive", wrapped)
        with pytest.raises(RuntimeError):
            broken.train(**SHORT)
    place = folds_folder(broken.path)
    assert (place / "fold-1.json").is_file()
    with pytest.raises(FolderError, match=r"--resume.*--overwrite"):
        whole().train(**SHORT)
    with pytest.raises(SettingError, match="other data, base or settings"):
        whole().train(resume=True, **{**SHORT, "lr": 1e-4})
    again = whole()
    with monkeypatch.context() as patch:
        patch.setattr(objective, "contrastive", lambda *args, **kwargs: calls.append(1) or contrastive(*args, **kwargs))
        calls.clear()
        again.train(resume=True, **SHORT)
    assert len(calls) == 2 + 3  # the second fold, and the published model
    assert recorded(again) == recorded(finished[0])
    assert not place.exists()


@pytest.mark.parametrize("group_by", [None, "topic"])
def test_folds_are_advised_of_a_set_that_can_be_folded_only(make, data, group_by):
    trainer = make("advised")
    trainer.prepare(replace(data, settings={**data.settings, "group_by": group_by}))
    warned = " ".join(trainer.train(max_steps=1, batch_size=8, evaluations=1, guard="none", lr=1e-9).warnings)
    assert ("--folds" in warned) == (group_by is None)
    assert ("Hold out more, or rows of your own (--validation" in warned) == (group_by is not None)
