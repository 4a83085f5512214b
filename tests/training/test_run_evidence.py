"""The evidence of a run: its values are the held-out queries', its marks the models', and it never costs the run."""

from __future__ import annotations

import json
import shutil

import pytest

from tardif import Trainer
from tardif.encoder.identity import fingerprint
from tardif.evaluation.evidence import read_evidence
from tardif.training import objective
from tardif.training.decision import read_values

SETTINGS = {"batch_size": 8, "epochs": 1}


pytestmark = pytest.mark.usefixtures("marks")


@pytest.fixture(scope="module")
def run(marking, base_folder, data, tmp_path_factory):
    """A finished run, and its evidence."""
    out = tmp_path_factory.mktemp("run")
    trainer = Trainer("whole", base_folder("bert"), devices="cpu", out=out, dim=16, quiet=True)
    trainer.prepare(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tardif.training.publishing.run_evidence", marking)
        result = trainer.train(**SETTINGS)
    return trainer, result, read_evidence(result.path)


def test_it_has_the_values_of_every_held_out_query(run):
    trainer, result, evidence = run
    (found,) = evidence.values
    told = read_values(result.path)
    assert found.systems.keys() == {"before", "after", "bm25", "raw", "step 0"}
    assert found.systems["after"] == told["trained"]
    assert found.systems["before"] == told[result.comparison.against]
    assert {name: found.systems[name] for name in ("bm25", "raw", "step 0")} == {
        name: told[name] for name in ("bm25", "raw", "step 0")
    }
    assert found.queries == {query: trainer.queries[query] for query in found.queries}


def test_it_shows_wins_and_losses_with_the_words_that_earned_the_scores(run):
    from tardif.encoder.model import open_model
    from tardif.search.explain import explain_text

    trainer, result, evidence = run
    ndcg = evidence.values[0].systems
    changed = {
        query: after - ndcg["before"]["nDCG@10"][query]
        for query, after in ndcg["after"]["nDCG@10"].items()
        if after != ndcg["before"]["nDCG@10"][query]
    }
    assert {shown.query_id: shown.difference for shown in evidence.queries} == changed != {}
    model = open_model(str(result.path))
    marked = 0
    for shown in evidence.queries:
        after, before = shown.rankings
        assert (after.system, before.system) == ("after", "before")
        assert after.value == ndcg["after"]["nDCG@10"][shown.query_id]
        for hit in after.hits:
            document = trainer.data.documents[hit.document_id]
            assert hit.text == document.text
            assert hit.relevance == trainer.data.qrels[shown.query_id].get(hit.document_id)
            assert hit.score == pytest.approx(explain_text(model, shown.query, document.content).score, abs=1e-4)
            marked += len(hit.marks)
        found = {hit.document_id for ranking in shown.rankings for hit in ranking.hits}
        assert {one.document_id for one in shown.relevant} == set(trainer.data.positives(shown.query_id)) - found
    assert marked
    for explained in evidence.explanations:
        again = explain_text(model, explained.query, explained.document)
        assert explained.score == pytest.approx(again.score, abs=1e-4)
    assert len(evidence.explanations) == min(4, len(changed) + 4)


def test_it_tells_what_was_done_and_how_to_do_it_again(run):
    _, result, evidence = run
    facts = evidence.run
    assert (facts.kind, facts.name, facts.seed) == ("training", "whole", 0)
    assert {
        "tardif",
        "python",
        "torch",
        "processor",
        "cores",
        "memory",
        "device",
        "platform",
    } <= facts.environment.keys()
    made, prepared, trained = facts.command.splitlines()
    assert made.startswith("trainer = tardif.Trainer('whole', base=")
    assert "devices='cpu'" in made
    assert prepared == "trainer.prepare(<TrainingSet>)"
    assert trained == "trainer.train(batch_size=8, epochs=1)"
    assert json.loads((result.path / "results.json").read_text())["seconds"]["evidence"] >= 0


def test_the_report_is_no_part_of_the_model(run, tmp_path):
    from sentence_transformers import MultiVectorEncoder

    bare = tmp_path / "bare"
    shutil.copytree(run[1].path, bare)
    with_report = fingerprint(bare)
    shutil.rmtree(bare / "report")
    assert fingerprint(bare) == with_report
    assert MultiVectorEncoder(str(run[1].path)).encode_query("three words").shape[1] == 16


def test_a_resumed_run_shows_what_an_unbroken_one_shows(run, make, monkeypatch):
    broken, contrastive, calls = make("whole"), objective.contrastive, []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError
        return contrastive(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(objective, "contrastive", wrapped)
        with pytest.raises(RuntimeError):
            broken.train(**SETTINGS, save_steps=1)
    result = make("whole").train(resume=True, **SETTINGS)
    assert result.settings["resumed_at"] == [3]
    one, two = (path / "report" for path in (run[1].path, result.path))
    for name in ("values.parquet", "examples.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_run_is_published_without_marks_where_nothing_can_be_explained(make, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr("tardif.search.explain.explanation_of", fail)
    result = make().train(**SETTINGS)
    assert "WARNING: The report marks no words: they could not be explained (no room)." in capsys.readouterr().err
    evidence = read_evidence(result.path)
    assert evidence.queries
    assert not evidence.explanations
    assert not any(hit.marks for shown in evidence.queries for one in shown.rankings for hit in one.hits)


def test_a_run_is_published_without_evidence_where_it_cannot_be_gathered(make, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise RuntimeError("odd\nsecond line")

    monkeypatch.setattr("tardif.training.run_evidence.show", fail)
    result = make().train(**SETTINGS)
    assert (
        "WARNING: There is no report of this run: its evidence could not be gathered (odd)." in capsys.readouterr().err
    )
    assert read_evidence(result.path) is None
    assert result.comparison is not None


def test_a_run_without_held_out_queries_has_facts_alone(base_folder, tmp_path, pairs):
    trainer = Trainer("tiny", base_folder("bert"), devices="cpu", out=tmp_path, dim=16, quiet=True)
    trainer.prepare(pairs, validation=0, miner="none")
    evidence = read_evidence(trainer.train(max_steps=1, batch_size=4).path)
    assert (evidence.values, evidence.queries, evidence.explanations) == ((), (), ())
    assert evidence.run.name == "tiny"


def test_it_has_what_was_mined_and_what_the_rules_found(run):
    from tardif.report.sources import read_source

    trainer, result, _ = run
    assert trainer.data.evidence
    source = read_source(result.path)
    assert source.mining == trainer.data.evidence.get("mining.json")
    rules = trainer.data.evidence.get("hygiene.json", {}).get("rules", [])
    assert (source.hygiene is not None) == bool(rules)
