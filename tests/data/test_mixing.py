from __future__ import annotations

from dataclasses import replace

import pytest

from tardif.data.chunking import PIECE
from tardif.data.mixing import mix
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare
from tardif.progress import Console
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
    assert "set 2: 1 examples left out, whose query is held out or belongs together with one that is" in mixed.report
    assert [mixed.queries[query] for query in mixed.query_ids("validation")] == ["red question 0"]


LONG = "how do I reset the password of my account on the support site, and who sees it"
NEAR = LONG + "?"


def asking(*queries, held=0, **settings):
    """A set of these queries, the first ones held out."""
    ids = [f"q{n}" for n in range(len(queries))]
    return TrainingSet(
        documents={f"d{n}": Document(f"d{n}", f"answer to {text[-9:]}") for n, text in enumerate(queries)},
        queries=dict(zip(ids, queries, strict=True)),
        qrels={query: {f"d{n}": 1} for n, query in enumerate(ids)},
        split={query: "train" if n >= held else "validation" for n, query in enumerate(ids)},
        examples=[Example(query, f"d{n}") for n, query in enumerate(ids) if n >= held],
        settings=settings,
    )


def trained_on(*sets):
    mixed = mix(sets, [1] * len(sets))
    return {mixed.queries[example.query_id] for example in mixed.examples}


@pytest.mark.parametrize("side", ["validation", "test"])
def test_what_is_nearly_a_held_out_query_is_trained_on_in_none(side):
    held, other = asking(LONG, "why", held=1), asking(NEAR, "where")
    held = replace(held, split={"q0": side, "q1": "train"})
    for sets in ([held, other], [other, held], [other, asking("when"), held]):
        assert trained_on(*sets) & {LONG, NEAR} == set()
        assert {"why", "where"} <= trained_on(*sets)
    mixed = mix([held, other], [1, 1])
    assert mixed.report[0].startswith("set 2: 1 examples left out")
    assert mixed.parts == ((1, 1.0), (1, 1.0))


def test_who_joins_a_held_out_query_and_another_leaves_neither_to_training():
    chain = ["".join(f"word{'x' * (n < part)} " for n in range(8)) + LONG for part in (0, 1, 2)]
    assert trained_on(asking(chain[0], "why", held=1), asking(chain[2], "who"), asking(chain[1])) == {"why", "who"}


def test_the_rules_are_those_of_the_set_that_holds_out():
    assert NEAR in trained_on(asking(LONG, "why", held=1, near=False), asking(NEAR))
    assert LONG in trained_on(asking("when", held=1, near=True), asking(LONG), asking(NEAR, held=1, near=False))
    same_answer = asking("what now", held=1), asking("why now")
    same_answer = [replace(found, documents={"d0": Document("d0", "because")}) for found in same_answer]
    more = asking("another")
    assert "why now" in trained_on(*same_answer, more)
    apart = replace(same_answer[0], settings={"documents_apart": True})
    assert trained_on(apart, same_answer[1], more) == {"another"}


def test_it_is_told_what_was_left_out_and_what_was_not_looked_for(monkeypatch, capsys):
    held, other = asking(LONG, "why", held=1), asking(NEAR, "where")
    mix([held, other], [1, 1], Console())
    assert "set 2: 1 examples left out" in capsys.readouterr().err
    for module in ("mixing", "split"):
        monkeypatch.setattr(f"tardif.data.{module}.LIMIT", 3)
    found = mix([held, other], [1, 1], Console())
    assert len(found.examples) == 3
    assert "not looked for among the 4 queries" in capsys.readouterr().err
    mix([asking(LONG, "why"), other], [1, 1], Console())
    assert capsys.readouterr().err == ""


def test_sets_of_which_nothing_is_left_are_refused():
    with pytest.raises(DataError, match="No query is left to train on.*validation=0"):
        mix([asking(LONG, "why", held=2), asking(NEAR)], [1, 1])


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
