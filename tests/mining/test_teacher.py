"""A teacher drops what it takes for an answer, scores what stays, and is asked once for each pair."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import DataError, ModelError, SettingError
from tardif.mining.mine import mine
from tardif.mining.selection import Selection
from tardif.mining.teacher import Teacher, teacher_name
from tardif.types import Document, Example


class Rate:
    """Scores a document by a number in its text; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, pairs):
        self.asked += pairs
        return [float(document.split()[-1]) for _, document in pairs]


class Ranking:
    def __init__(self, ids):
        self.ids = ids

    def search(self, queries, k):
        return [[(d, 1 / rank) for rank, d in enumerate(self.ids[:k], start=1)] for _ in queries]


def collection(scores, qrels=None):
    documents = {f"d{n}": Document(f"d{n}", f"word{n} {score}") for n, score in enumerate(scores)}
    qrels = qrels or {"q": {"d0": 1}}
    return TrainingSet(documents, {q: f"text {q}" for q in qrels}, qrels, dict.fromkeys(qrels, TRAIN))


OPEN = {"first": 1, "last": 50, "sampling": "top", "ratio": None, "near_copy": None}


def test_false_negatives_are_dropped_replaced_and_counted():
    data = collection([10, 9.6, 3, 9.9, 9.4, 2, 1, 0.5])
    done = mine(data, Ranking([*data.documents]), Selection(negatives=3, **OPEN), teacher=Teacher(Rate()))
    assert done.data.examples == [Example("q", "d0", ("d2", "d4", "d5"), (10.0, 3.0, 9.4, 2.0))]
    assert done.report.dropped["teacher"] == 2
    assert done.report.suspicious[0]["ratio"] == pytest.approx(0.94)
    assert done.report.scores["teacher"]["positives"]["count"] == 1


def test_what_runs_out_is_short_and_said():
    data = collection([1, 2, 3, 4])
    done = mine(data, Ranking([*data.documents]), Selection(negatives=2, **OPEN), teacher=Teacher(Rate()))
    assert done.data.examples == [Example("q", "d0", (), (1.0,))]
    assert done.report.short == 1
    assert any("1 queries got fewer negatives than asked" in line for line in done.report.lines())


def test_own_negatives_are_scored_and_stay():
    data = collection([5, 9, 1], {"q": {"d0": 1, "d1": 0}})
    for searcher in (None, Ranking(["d2"])):
        done = mine(data, searcher, Selection(negatives=1, **OPEN), teacher=Teacher(Rate()))
        assert done.data.examples == [Example("q", "d0", ("d1",), (5.0, 9.0))]


def test_the_lowest_positive_judges_and_each_has_its_score():
    data = collection([8, 4, 3.9, 3], {"q": {"d0": 1, "d1": 1}})
    done = mine(data, Ranking(["d2", "d3"]), Selection(negatives=1, **OPEN), teacher=Teacher(Rate()))
    assert [(e.positive_id, e.negative_ids, e.scores) for e in done.data.examples] == [
        ("d0", ("d3",), (8.0, 3.0)),
        ("d1", ("d3",), (4.0, 3.0)),
    ]


def test_scores_that_the_data_has_stay():
    data = collection([5, 1, 2])
    own = Example("q", "d0", ("d1",), (0.7, 0.1))
    data = TrainingSet(data.documents, data.queries, data.qrels, data.split, examples=[own])
    done = mine(data, Ranking(["d2"]), Selection(negatives=1, **OPEN), teacher=Teacher(Rate()))
    assert done.data.examples == [own]


def test_the_uses_of_what_is_refused_are_given_back():
    data = collection([5, 1, 9, 5], {"q": {"d0": 1}, "r": {"d3": 1, "d2": 0}})
    selection = Selection(negatives=1, max_uses=1, **OPEN)
    done = mine(data, Ranking(["d2", "d1"]), selection, teacher=Teacher(Rate()), batch=1)
    assert [e.negative_ids for e in done.data.examples] == [("d1",), ("d2",)]


def test_logits_are_compared_as_probabilities_only_where_asked():
    plain, logits = Teacher(Rate()), Teacher(Rate(), scale="sigmoid")
    assert plain.refuses([8.0], [7.5, 7.7]).tolist() == [False, True]
    assert logits.refuses([8.0], [2.0, 3.0]).tolist() == [False, True]  # 0.88 and 0.953
    assert logits.refuses([-3.0], [-4.0, -3.0]).tolist() == [False, True]
    assert plain.refuses([-3.0], [5.0]).tolist() == [False]  # a ratio to nothing cannot be taken
    assert Teacher(Rate(), ratio=None, margin=1.0).refuses([-3.0], [-4.5, -3.5]).tolist() == [False, True]


def test_a_score_is_paid_for_once(tmp_path):
    rate, cache = Rate(), tmp_path / "deep" / "scores.sqlite"
    pairs = [("a", "x 1"), ("b", "x 1"), ("a", "x 1")]
    for _ in range(2):
        teacher = Teacher(rate, cache=cache)
        assert teacher.score(pairs) == [1.0, 1.0, 1.0]
        teacher.close()
    assert rate.asked == pairs[:2]
    assert Teacher(rate, cache=cache, name="another").score(pairs[:1]) == [1.0]
    assert len(rate.asked) == 3


def test_a_score_that_was_damaged_is_asked_for_again(tmp_path):
    pairs = [("q", f"x {n}") for n in range(3)]
    for _ in range(2):
        rate = Rate()
        teacher = Teacher(rate, cache=tmp_path / "c", name="same")
        assert teacher.score(pairs) == [0.0, 1.0, 2.0]
        teacher.close()
        with sqlite3.connect(tmp_path / "c") as database:
            database.execute("UPDATE checked_scores SET score = score + 0.5 WHERE score = 1")
    assert rate.asked == pairs[1:2]


def test_an_interruption_loses_one_chunk_at_most(tmp_path):
    class Fails(Rate):
        def __call__(self, pairs):
            if len(self.asked) >= 512:
                raise KeyboardInterrupt
            return super().__call__(pairs)

    pairs = [("q", f"x {n}") for n in range(700)]
    first, second = Fails(), Rate()
    with pytest.raises(KeyboardInterrupt):
        Teacher(first, cache=tmp_path / "c", name="same").score(pairs)
    assert Teacher(second, cache=tmp_path / "c", name="same").score(pairs) == [float(n) for n in range(700)]
    assert second.asked == pairs[512:]


@pytest.mark.parametrize("time", range(10))
def test_several_that_begin_at_once_share_a_cache(tmp_path, time):
    pairs = [("q", f"x {n}") for n in range(300)]
    gate = threading.Barrier(8)

    def work(_):
        teacher = Teacher(Rate(), cache=tmp_path / "c")
        gate.wait()
        said = teacher.score(pairs)
        teacher.close()
        return said

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[float(n) for n in range(300)]] * 8
    with sqlite3.connect(tmp_path / "c") as database:
        assert database.execute("SELECT count(*) FROM checked_scores").fetchone() == (300,)


@pytest.mark.parametrize("said", [[1.0], [1.0, float("nan")]])
def test_a_teacher_that_gives_no_score_is_an_error(said):
    with pytest.raises(ModelError, match="The teacher"):
        Teacher(lambda pairs: said).score([("a", "x"), ("b", "y")])


def test_a_broken_cache_is_an_error(tmp_path):
    (tmp_path / "c").write_text("this is no database, but it is long enough to be looked at" * 9)
    with pytest.raises(DataError, match="cache"):
        Teacher(Rate(), cache=tmp_path / "c").score([("a", "x 1")])


@pytest.mark.parametrize("options", [{"scale": "softmax"}, {"ratio": 2}, {"margin": -1}])
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(SettingError):
        Teacher(Rate(), **options)


def test_names():
    assert teacher_name("some/model") == "some/model"
    assert teacher_name(os.path.join).endswith(".join")
    assert teacher_name(Rate()).endswith(".Rate")


def test_a_cross_encoder_gives_its_logits(tmp_path, base_folder):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(base_folder("bert")), num_labels=1, device="cpu")
    model.save_pretrained(str(tmp_path / "ce"))
    teacher = Teacher(tmp_path / "ce")
    pairs = [("the cat", "sat on the mat"), ("the cat", "rivers carry sand")]
    import torch

    raw = model.predict(pairs, activation_fn=torch.nn.Identity())
    assert teacher.score(pairs) == pytest.approx(raw.tolist(), abs=1e-5)
    assert teacher.scale == "sigmoid"
    assert teacher.identity == Teacher(str(tmp_path / "ce")).identity


def test_a_teacher_that_is_not_there_or_gives_several_numbers_is_refused(tmp_path, base_folder):
    from sentence_transformers import CrossEncoder

    with pytest.raises(ModelError, match="does not exist: .* such as cross-encoder/"):
        Teacher(tmp_path / "nothing")
    CrossEncoder(str(base_folder("bert")), num_labels=3, device="cpu").save_pretrained(str(tmp_path / "three"))
    with pytest.raises(ModelError, match="3 scores"):
        Teacher(tmp_path / "three").score([("a", "b")])
