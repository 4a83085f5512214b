from __future__ import annotations

from dataclasses import replace

import pytest

from tardif.data.chunking import PIECE
from tardif.data.mixing import mix
from tardif.data.training_set import TrainingSet
from tardif.errors import SettingError
from tardif.preparation import prepare
from tardif.types import Document, Example


def small(name, count=3, **changes):
    """A set of ``count`` queries, with ids that every such set has."""
    found = TrainingSet(
        documents={
            f"d{n}": Document(f"d{n}", f"{name} answer {n}", metadata={PIECE: {"document": "d0"}, "parent": "mine"})
            for n in range(count)
        },
        queries={f"q{n}": f"{name} question {n}" for n in range(count)},
        qrels={f"q{n}": {f"d{n}": 1} for n in range(count)},
        split={f"q{n}": "train" for n in range(count)},
        examples=[Example(f"q{n}", f"d{n}", (f"d{(n + 1) % count}",)) for n in range(count)],
    )
    return replace(found, **changes)


def texts(data):
    """What the examples say, without ids."""
    return [
        (data.queries[e.query_id], *(data.documents[d].text for d in (e.positive_id, *e.negative_ids)))
        for e in data.examples
    ]


def test_every_example_says_what_it_said():
    one, other = small("red"), small("blue", 4)
    mixed = mix([one, other], [1, 0.5])
    assert texts(mixed) == texts(one) + texts(other)
    assert mixed.parts == ((3, 1.0), (4, 0.5))
    assert mix([replace(one, made=3), other], [1, 1]).made == 3
    assert len(mixed.documents) == 7
    assert all(document.id == identity for identity, document in mixed.documents.items())
    for example in mixed.examples:
        assert mixed.positives(example.query_id) == [example.positive_id]
        metadata = mixed.documents[example.positive_id].metadata
        assert mixed.documents[metadata[PIECE]["document"]].text.endswith("answer 0")
        assert metadata["parent"] == "mine"


def test_what_is_the_same_in_both_stands_once():
    mixed = mix([small("red"), small("red", 4)], [1, 1])
    assert list(mixed.documents) == ["d0", "d1", "d2", "d3"]
    assert len(mixed.examples) == 7


def test_an_id_that_is_made_up_is_nobody_elses():
    blue = small("blue")
    crowded = replace(small("red"), documents={**small("red").documents, "2:d0": Document("2:d0", "taken")})
    mixed = mix([crowded, blue], [1, 1])
    assert mixed.documents["2:d0"].text == "taken"
    assert texts(mixed)[3:] == texts(blue)


def test_what_one_set_holds_out_is_trained_on_in_none():
    held = small("red", split={"q0": "validation", "q1": "train", "q2": "train"}, examples=small("red").examples[1:])
    other = small("Red", 2)  # the same texts, but for case
    mixed = mix([held, other], [1, 1])
    assert [mixed.queries[e.query_id] for e in mixed.examples] == ["red question 1", "red question 2", "Red question 1"]
    assert "set 2: 1 examples left out, whose query another set holds out" in mixed.report
    assert [mixed.queries[query] for query in mixed.query_ids("validation")] == ["red question 0"]


def test_it_is_saved_with_its_weights(tmp_path):
    mixed = mix([small("red"), small("blue")], [2, 0.5])
    loaded = TrainingSet.load(mixed.save(tmp_path / "set"))
    assert loaded == replace(mixed, report=list(mixed.report), settings=loaded.settings)
    assert loaded.parts == ((3, 2.0), (3, 0.5))


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), True, "2"])
def test_a_weight_that_cannot_be_used_is_refused(weight):
    with pytest.raises(SettingError, match="weight="):
        mix([small("red"), small("blue")], [1, weight])


def test_a_mixed_set_is_not_mixed_again():
    mixed = mix([small("red"), small("blue")], [1, 1])
    with pytest.raises(SettingError, match="cannot be mixed again"):
        mix([mixed, small("green")], [1, 1])


def test_prepared_sets_can_be_mixed():
    rows = [[(f"{name} question {n}", f"{name} answer {n}") for n in range(20)] for name in ("red", "blue")]
    mixed = mix([prepare([part], miner="none") for part in rows], [1, 3])
    assert [size for size, _ in mixed.parts] == [14, 14]
    assert len(mixed.query_ids("validation")) == 12  # six of 20 each
