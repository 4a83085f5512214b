"""Where nothing can be learnt, it is said before any work is done."""

import pytest

from tardif import DataError, SettingError, Trainer
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.training.preflight import check_negatives, without_negatives
from tardif.training.settings import TrainingSettings, settings_from
from tardif.types import Document, Example


def training_set(*rows, scores=False):
    """Of (query, positive, negative, ...), texts being their own ids."""
    texts = {text for _, *documents in rows for text in documents}
    qrels = {}
    for query, positive, *_ in rows:
        qrels.setdefault(query, {})[positive] = 1
    return TrainingSet(
        documents={text: Document(text, text) for text in sorted(texts)},
        queries={query: query for query in qrels},
        qrels=qrels,
        split=dict.fromkeys(qrels, TRAIN),
        examples=[
            Example(query, positive, tuple(rest), tuple(range(1 + len(rest))) if scores else ())
            for query, positive, *rest in rows
        ],
    )


NOTHING = {
    "one pair": [("q", "a")],
    "one answer": [(f"q{n}", "a") for n in range(10)],
    "one answer but for case and spaces": [(f"q{n}", f"The {' ' * n}Answer") for n in range(10)],
    "one query": [("q", f"a{n}") for n in range(10)],
    "all answer all": [(q, a) for q in "qr" for a in "ab"],
    "a copy of the answer as negative": [("q", "a", "A ")],
}


@pytest.mark.parametrize("rows", NOTHING.values(), ids=NOTHING.keys())
def test_what_has_no_negative_is_refused(rows):
    data = training_set(*rows)
    assert without_negatives(data, TrainingSettings()) == len(rows)
    with pytest.raises(DataError, match=r"Nothing can be learnt.*--documents"):
        check_negatives(data, TrainingSettings())


SOMETHING = {
    "two answers": [("q", "a"), ("r", "b")],
    "a hard negative": [("q", "a", "b")],
    "one answer, and a hard negative": [(f"q{n}", "a", "b") for n in range(3)],
}


@pytest.mark.parametrize("rows", SOMETHING.values(), ids=SOMETHING.keys())
def test_what_has_a_negative_is_trained_on(rows):
    assert check_negatives(training_set(*rows), TrainingSettings()) == ""


def test_examples_that_teach_nothing_among_others_are_counted():
    data = training_set(("q", "a"), ("q", "b"), ("q", "c"), ("r", "a"))
    assert check_negatives(data, TrainingSettings()).startswith("3 of 4 examples teach nothing")


def test_settings_that_leave_no_negative_are_named():
    data = training_set(("q", "a", "x"), ("r", "b", "y"))
    with pytest.raises(SettingError, match=r"batch_size=1, negatives_per_example=0"):
        check_negatives(data, settings_from({"batch_size": 1, "negatives_per_example": 0}))
    assert check_negatives(data, settings_from({"batch_size": 1})) == ""
    assert check_negatives(data, settings_from({"negatives_per_example": 0})) == ""


@pytest.mark.parametrize("loss", ["distillation", "margin"])
def test_a_teacher_alone_teaches_nothing_of_a_single_document(loss):
    settings = settings_from({"loss": loss})
    with pytest.raises(DataError, match="Nothing can be learnt"):
        check_negatives(training_set(("q", "a"), ("r", "b"), scores=True), settings)
    assert check_negatives(training_set(("q", "a", "x"), ("r", "b", "y"), scores=True), settings) == ""


def test_it_is_told_before_the_weights_are_read(base_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tardif.training.run.build_model", None)
    trainer = Trainer("tiny", base_folder("bert"), devices="cpu", out=tmp_path / "out", dim=16, quiet=True)
    trainer.prepare([(f"how does thing {n} work", "please read the manual") for n in range(10)], near=False)
    with pytest.raises(DataError, match="Nothing can be learnt from 10 examples of 10 queries"):
        trainer.train()
    assert not trainer.path.exists()
