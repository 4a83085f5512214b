"""Hard negatives mined anew while training: what changes, what never does, and that a run stays repeatable."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import partial

import pytest

from broken_runs import BrokenError, break_off, press_ctrl_c, weights
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.text.languages import language
from tardif.training import refresh
from tardif.training.distributed import ProcessGroup
from tardif.training.plan import Size, Work, make_plan
from tardif.training.refresh import Refresher, examples_of
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings
from tardif.types import Example

STEPS = 10  # two epochs of 36 examples in steps of 8, the last one of 4
SHORT = {
    "epochs": 2,
    "batch_size": 8,
    "lr": 1e-3,
    "evaluations": 2,
    "save_steps": 1,
    "refresh_steps": 4,
    "refresh_share": 1.0,
}
PLAIN = {name: value for name, value in SHORT.items() if not name.startswith("refresh")}


@pytest.fixture
def refresher(fresh, data, tmp_path):
    def make(given=data, **settings):
        return Refresher(fresh("bert"), given, language("en"), TrainingSettings(**settings), tmp_path)

    return make


def test_new_negatives_come_first_and_old_ones_stay(refresher, data, tmp_path):
    renewed = refresher(refresh_share=0.5).renew(data.examples, 4)
    assert [(e.query_id, e.positive_id) for e in renewed] == [(e.query_id, e.positive_id) for e in data.examples]
    assert [e.negative_ids for e in renewed] != [e.negative_ids for e in data.examples]
    for new, old in zip(renewed, data.examples, strict=True):
        assert len(new.negative_ids) == len(old.negative_ids) == len(set(new.negative_ids))
        kept = [identity for identity in new.negative_ids if identity in old.negative_ids]
        assert len(kept) >= len(old.negative_ids) // 2
        assert not set(new.negative_ids) & set(data.positives(new.query_id))
        texts = {data.documents[identity].content for identity in data.positives(new.query_id)}
        assert not texts & {data.documents[identity].content for identity in new.negative_ids}
    assert list(tmp_path.iterdir()) == []


def test_the_draw_hangs_on_seed_and_step(refresher, data):
    again = [refresher().renew(data.examples, step) for step in (4, 4, 8)]
    assert again[0] == again[1] != again[2]
    assert refresher(seed=4).renew(data.examples, 4) == again[2]


def test_the_model_is_asked_as_it_is_now(refresher, data, fresh):
    """Another model finds others: with the top of its ranking, nothing is drawn."""
    import torch

    made = refresher(refresh_share=1.0)
    made._selection = replace(made._selection, sampling="top", ratio=None)
    before = made.renew(data.examples, 4)
    model = fresh("bert")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with torch.no_grad():
            for number, weight in enumerate(model.parameters()):
                generator = torch.Generator().manual_seed(number)
                weight.add_(0.5 * torch.randn(weight.shape, generator=generator))
        assert made.renew(data.examples, 4) != before
    finally:
        model.load_state_dict(state)
    assert made.renew(data.examples, 4) == before


def test_an_example_without_negatives_gets_some(refresher, data):
    bare = replace(data, examples=[replace(example, negative_ids=()) for example in data.examples])
    made = refresher(bare)
    made._selection = replace(made._selection, ratio=None)  # untrained, everything scores nearly alike
    assert all(len(example.negative_ids) == 8 for example in made.renew(bare.examples, 1))


def test_bm25_proposes_where_the_corpus_is_large(refresher, data, monkeypatch):
    made, seen = [], refresh.LexicalSearcher
    monkeypatch.setattr(refresh, "LexicalSearcher", lambda *args: made.append(seen(*args)) or made[-1])
    monkeypatch.setattr(refresh, "LateSearcher", partial(refresh.LateSearcher, whole=0))
    miner = refresher()
    renewed = miner.renew(data.examples, 4)
    assert renewed != data.examples
    miner.renew(renewed, 8)
    assert len(made) == 1


def test_a_teachers_examples_keep_theirs_and_judged_ones_stay_longest(refresher, data):
    first, second, *rest = data.examples
    scored = replace(first, scores=tuple(float(n) for n in range(1 + len(first.negative_ids))))
    judged = second.negative_ids[-2:]
    qrels = {**data.qrels, second.query_id: {**data.qrels[second.query_id], **dict.fromkeys(judged, 0)}}
    given = replace(data, examples=[scored, second, *rest], qrels=qrels)
    renewed = refresher(given, refresh_share=0.75).renew(given.examples, 1)
    assert renewed[0] == scored
    assert set(judged) <= set(renewed[1].negative_ids)
    assert renewed[1].negative_ids != second.negative_ids


def test_without_refresh_nothing_is_mined(make, monkeypatch):
    monkeypatch.setattr(refresh.Refresher, "renew", None)
    result = make().train(**PLAIN)
    assert result.settings["refreshed_at"] == []
    assert "refreshing" not in result.seconds


def test_a_run_refreshes_and_says_so(make, capsys):
    trainer = make(quiet=False)
    result = trainer.train(**SHORT)
    assert result.settings["refreshed_at"] == [4, 8]
    assert result.seconds["refreshing"] > 0
    assert result.seconds["training"] > 0
    assert "step 4: hard negatives mined again" in capsys.readouterr().err
    lines = [json.loads(line) for line in (trainer.path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line.get("new_negatives")] == [4, 8]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    assert sorted(path.name for path in trainer.path.parent.glob("*")) == [trainer.path.name]


def test_in_epochs_and_not_at_the_last_step(make):
    settings = {**SHORT, "refresh_steps": None, "refresh": 1}
    assert make().train(**settings).settings["refreshed_at"] == [5]


def test_the_same_seed_gives_the_same_bytes_and_new_negatives_other_ones(make, unbroken):
    (one, _), (without, _), two = unbroken(**SHORT), unbroken(**PLAIN), make("two")
    two.train(**SHORT)
    assert weights(one) == weights(two)
    assert weights(one) != weights(without)


# Before the first refresh (step 4), right after it, after it within an epoch, after the second (step 8).
@pytest.mark.parametrize("batch", [3, 5, 7, 10])
def test_a_resumed_run_ends_with_the_same_bytes(make, unbroken, batch):
    settings = {**SHORT, "dropout": 0.1}
    (whole, _), broken = unbroken(**settings), make("broken")
    break_off(broken, batch, **settings)
    result = make("broken").train(resume=True, **settings)
    assert result.settings["resumed_at"] == [batch - 1]
    assert result.settings["refreshed_at"] == [4, 8]
    assert weights(broken) == weights(whole)


def test_ctrl_c_at_the_step_of_a_refresh_only_puts_it_off(make, unbroken):
    (whole, _), broken = unbroken(**SHORT), make("broken")
    result = break_off(broken, 4, press_ctrl_c, **SHORT)
    assert (result.interrupted, result.settings["refreshed_at"]) == (True, [])
    result = make("broken").train(resume=True, **SHORT)
    assert (result.settings["resumed_at"], result.settings["refreshed_at"]) == ([4], [4, 8])
    assert weights(broken) == weights(whole)


def test_a_run_broken_off_within_a_refresh_goes_on_from_before_it(make, unbroken, monkeypatch):
    (whole, _), broken = unbroken(**SHORT), make("broken")

    def killed(*args, **kwargs):
        raise BrokenError

    with monkeypatch.context() as patch:
        patch.setattr(refresh, "mine", killed)
        with pytest.raises(BrokenError):
            broken.train(**SHORT)
    assert make("broken").train(resume=True, **SHORT).settings["resumed_at"] == [3]
    assert weights(broken) == weights(whole)


def test_negatives_that_checkpoints_name_are_kept_and_others_swept(make):
    broken = make()
    break_off(broken, 10, **SHORT)  # checkpoints 8 and 9
    folder = RunFolder(broken.path)
    assert [path.name for path in folder.path.glob("negatives-*")] == ["negatives-00000008"]
    assert [path.name for path in folder.checkpoints()] == ["step-00000008", "step-00000009"]
    (folder.path / ".refresh.partial").mkdir()
    folder.sweep()
    assert not (folder.path / ".refresh.partial").exists()
    with (folder.negatives(8) / "examples.parquet").open("r+b") as file:
        file.truncate(100)
    assert folder.last_checkpoint() is None


def test_what_is_kept_is_what_is_read(refresher, data, tmp_path):
    from tardif.data.training_set import write_examples
    from tardif.training.checkpoints import write_whole

    renewed = refresher().renew(data.examples, 4)
    folder = RunFolder(tmp_path / "out")
    write_whole(folder.negatives(4), lambda aside: write_examples(aside, renewed))
    assert examples_of(folder, 4) == renewed


def test_two_processes_hear_the_same_negatives(tmp_path, data):
    """Rank 0 mines; the other one has no miner at all."""
    from types import SimpleNamespace

    said: list[object] = []
    ready = threading.Event()

    class Pair(ProcessGroup):
        """Two processes as two threads: what rank 0 makes, the other receives."""

        def on_main(self, make):
            if self.is_main:
                said.append(make())
                ready.set()
            assert ready.wait(20)
            return said[0]

    class Miner:
        def renew(self, examples, step, bar=None):
            return [replace(example, negative_ids=(f"mined at {step}",)) for example in examples]

    def run_callback(rank):
        return SimpleNamespace(
            context=SimpleNamespace(
                collator=SimpleNamespace(data=data),
                group=Pair(rank, 2),
                folder=RunFolder(tmp_path / "out"),
                console=SimpleNamespace(say=lambda line: None),
            ),
            run_state=SimpleNamespace(refreshed_at=[], seconds_refreshing=0.0, seconds=0.0),
            seconds=lambda: 1.0,
            bar=None,
            report=lambda figures: None,
        )

    both = [run_callback(0), run_callback(1)]
    threads = [
        threading.Thread(target=refresh.RefreshCallback(miner, 4, one).on_step_end, args=(None, at, control))
        for miner, one in zip((Miner(), None), both, strict=True)
        for at, control in [
            (SimpleNamespace(global_step=4), SimpleNamespace(should_training_stop=False, should_log=True))
        ]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert both[0].context.collator.data.examples == both[1].context.collator.data.examples
    assert both[1].context.collator.data.examples[0].negative_ids == ("mined at 4",)
    assert both[0].run_state.refreshed_at == both[1].run_state.refreshed_at == [4]


EXAMPLES = [Example(f"q{n}", f"d{n}", ("a", "b", "c")) for n in range(1000)]
WORK = Work(parameters=10**7, tokens=Size(120, 32), dim=128)


def plan(seconds=None, mined=Size(50_000, 1000), **settings):  # noqa: B008
    return make_plan(EXAMPLES, TrainingSettings(**settings), Size(100_000, 500), WORK, seconds, mined=mined)


def test_the_interval_is_in_steps():
    assert plan().refresh_every is None
    assert plan(refresh=0.5).refresh_every == 32  # 63 steps an epoch
    assert plan(refresh=1e-9).refresh_every == 1
    assert plan(refresh_steps=7).refresh_every == 7


def test_a_budget_of_minutes_holds_the_refreshes():
    settings = {"minutes": 30, "epochs": 1000, "refresh_steps": 100}
    found = plan(2.0, **settings)
    without = plan(2.0, **{**settings, "refresh_steps": None})
    each = WORK.mining(Size(50_000, 1000)) / (3 * WORK.forward(Size(32, 16)))  # in steps
    assert each > 100
    spent = (found.steps - 1) // 100 * each
    assert 0 < found.steps < without.steps
    assert found.steps + spent <= 1.01 * without.steps


def test_training_queries_alone_are_mined_for(data):
    mined: TrainingSet = refresh._to_be_mined(data)
    assert mined.query_ids(TRAIN) == data.query_ids(TRAIN)
