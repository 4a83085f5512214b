"""Plans of indexes: the laws of their arithmetic, and the measures that they are drawn from."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tardif import SettingError
from tardif.cli import planning as shown
from tardif.index.size import CorpusShape
from tardif.search import speed as speeds
from tardif.search.index_plan import Speed, parse_count, plan_index

SPEED = Speed(encoding=1e-5, assigning=1e-11, writing=1e-6, scanning=4e-8, cores=16, memory=64 << 30)


def corpus(documents, **options):
    return CorpusShape(**{"documents": documents, "tokens": 120, "dim": 128, **options})


def test_times_grow_with_the_documents():
    one, two = (plan_index(corpus(count), SPEED) for count in (10**6, 2 * 10**6))
    assert two.encoding_hours == pytest.approx(2 * one.encoding_hours)
    assert two.exact_seconds == pytest.approx(2 * one.exact_seconds)
    assert two.pruned_seconds[1] == pytest.approx(2 * one.pruned_seconds[1])
    assert two.building_hours >= 2 * one.building_hours  # more centroids to compare with
    assert one.pruned_seconds[0] < two.pruned_seconds[0] < 2 * one.pruned_seconds[0]


def test_pooling_and_bits_take_less_memory():
    whole = plan_index(corpus(10**7), SPEED)
    assert plan_index(corpus(10**7, pool=2), SPEED).memory == pytest.approx(whole.memory / 2, rel=0.01)
    assert plan_index(corpus(10**7, bits=4), SPEED).memory == pytest.approx(whole.memory / 2, rel=0.02)
    assert whole.disk > whole.size.total


def test_the_engine_follows_from_memory_and_time():
    found = {count: plan_index(corpus(count), SPEED) for count in (10**5, 10**6, 10**7, 10**9)}
    assert [found[count].engine for count in found] == ["index", "shards", "ray", "qdrant"]
    assert (found[10**5].nodes, found[10**5].shards) == (1, 1)
    for one in found.values():
        assert one.nodes <= one.shards <= one.nodes * SPEED.cores or one.shards == 1
        assert one.nodes * 0.75 * SPEED.memory >= one.memory
        assert one.answer_seconds == pytest.approx(one.pruned_seconds[1] / one.shards)
    larger = dataclasses.replace(SPEED, memory=2 << 40)
    assert plan_index(corpus(10**7), larger).nodes == 1


def test_a_small_corpus_is_not_pruned_better_than_measured():
    best, worst = plan_index(corpus(1000), SPEED).pruned_seconds
    assert best == worst


@pytest.mark.parametrize(
    ("text", "count"),
    [("50M", 50_000_000), ("1.5B", 1_500_000_000), ("20k", 20_000), ("200_000", 200_000), ("1,000", 1000)],
)
def test_counts_are_read(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "0", "-3", "many", "1e999", "nan"])
def test_other_counts_are_refused(text):
    with pytest.raises(SettingError, match="is no number of documents"):
        parse_count(text)


@pytest.mark.parametrize("text", ["1.5", "0.5", "1.0005k", "2000.1", "1e-3"])
def test_a_count_that_is_not_whole_is_refused_and_not_rounded(text):
    with pytest.raises(SettingError, match="is no whole number of documents"):
        parse_count(text)


@pytest.fixture
def quick(monkeypatch):
    """Measures over little."""
    monkeypatch.setattr(speeds, "_TURNS", 1)
    monkeypatch.setattr(speeds, "_DOCUMENTS", 900)
    monkeypatch.setattr(speeds, "_CENTROIDS", 64)


@pytest.mark.slow
def test_this_machine_is_measured_and_the_plan_is_shown(quick, base_folder):
    from tardif.progress import Console

    asked = shown.PlanRequest("50M", tokens=40, bits=8, pool=1.0, base=str(base_folder("bert")), device="cpu")
    found = shown.plan(asked, Console(quiet=True))
    assert json.loads(json.dumps(found)) == found
    assert found["asked"]["documents"] == 50_000_000
    assert found["extrapolated"]["bytes"]["vectors"] == 50_000_000 * 40 * (found["asked"]["dim"] + 4)
    assert found["measured"]["encoding"]["tokens"] == pytest.approx(40, rel=0.5)
    assert found["measured"]["encoding"]["documents_per_second"] > 0
    hours = found["extrapolated"]["encoding_hours"]
    assert hours == pytest.approx(50e6 * 40 / found["measured"]["encoding"]["tokens_per_second"] / 3600, rel=0.01)
    lines = shown.report(found)
    assert lines[0].startswith("50,000,000 documents of 40 tokens")
    for title in ("Measured here:", "Extrapolated:", "How precise:"):
        assert title in lines
    assert any(line.startswith("Engine: ") and found["extrapolated"]["why"] in line for line in lines)


def test_a_wrong_number_is_refused_before_anything_is_measured():
    from tardif.progress import Console

    asked = shown.PlanRequest("50M", tokens=40, bits=3, pool=1.0, base="no/such")
    with pytest.raises(SettingError, match="bits"):
        shown.plan(asked, Console(quiet=True))
