import math
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.errors import DataError, SettingError
from tardif.evaluation.measure_names import MEASURES, depth_of, parse_measures
from tardif.evaluation.measures import measure, per_query
from tardif.evaluation.paired import significance

QRELS = {"q1": {"a": 1, "b": 0}, "q2": {"c": 1}}


def test_known_values():
    found = measure(QRELS, {"q1": {"b": 2.0, "a": 1.0}, "q2": {"c": 1.0}})
    assert found == pytest.approx({"nDCG@10": (1 / math.log2(3) + 1) / 2, "RR@10": 0.75, "R@100": 1.0})


def test_known_value_of_graded_judgements():
    run = {"q": {"b": 3.0, "x": 2.0, "a": 1.0}}
    dcg, ideal = 1 + 2 / math.log2(4), 2 + 1 / math.log2(3)
    assert measure({"q": {"a": 2, "b": 1}}, run, ["nDCG@10"])["nDCG@10"] == pytest.approx(dcg / ideal)


def test_below_the_cut_counts_nothing():
    run = {"q": {f"x{n}": 20.0 - n for n in range(10)} | {"a": 1.0}}
    assert measure({"q": {"a": 1}}, run) == {"nDCG@10": 0.0, "RR@10": 0.0, "R@100": 1.0}


@pytest.mark.parametrize("missing", [{}, {"q2": {}}])
def test_a_judged_query_without_answer_counts_0(missing):
    run = {"q1": {"a": 1.0}, **missing}
    assert per_query(QRELS, run, ["RR@10"]) == {"RR@10": {"q1": 1.0, "q2": 0.0}}
    assert measure(QRELS, run, ["RR@10"]) == {"RR@10": 0.5}


def test_a_query_without_judgements_does_not_count():
    run = {"q1": {"a": 1.0}, "q2": {"c": 1.0}, "unjudged": {"a": 1.0}}
    assert per_query(QRELS, run, ["RR@10"]) == {"RR@10": {"q1": 1.0, "q2": 1.0}}


def test_nothing_answered_is_0():
    assert measure(QRELS, {}) == dict.fromkeys(MEASURES, 0.0)


judged = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), min_size=1)
ranked = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000).map(float))


@settings(deadline=None, max_examples=30)
@given(
    qrels=st.dictionaries(st.sampled_from("xyz"), judged, min_size=1),
    run=st.dictionaries(st.sampled_from("xyz"), ranked),
)
def test_values_are_shares_and_their_mean_is_the_measure(qrels, run):
    means = measure(qrels, run)
    for name, values in per_query(qrels, run).items():
        assert set(values) == set(qrels)
        assert all(0 <= value <= 1 + 1e-9 for value in values.values())
        assert means[name] == pytest.approx(sum(values.values()) / len(values))


def test_measures_are_parsed_by_name():
    assert [str(found) for found in parse_measures(["nDCG@10", "AP(rel=2)@100"])] == ["nDCG@10", "AP(rel=2)@100"]


@pytest.mark.parametrize(
    "name", ["", "accuracy", "nDCG@", "nDCG@ten", "nDCG@10(", "nDCG(rel=1)@10", "print", "R@0", "nDCG@10.5"]
)
def test_an_unknown_measure_is_refused(name):
    with pytest.raises(SettingError, match="cannot be computed"):
        parse_measures([name])


@pytest.mark.skipif(find_spec("pyndeval") is not None, reason="the package that computes it is here")
def test_a_measure_that_cannot_be_computed_here_is_refused_before_any_work():
    with pytest.raises(SettingError):
        parse_measures(["alpha_nDCG@10"])


def values(of):
    return {f"q{n}": of(n) for n in range(30)}


def test_identical_systems_do_not_differ():
    same = values(lambda n: n / 30)
    assert significance(same, same) == 1.0


def test_a_clearly_better_system_is_significant():
    assert significance(values(lambda n: 0.5 + n % 3 / 10), values(lambda n: n % 5 / 20)) < 0.001


def test_noise_is_not_significant():
    assert significance(values(lambda n: 0.5 + 0.1 * (-1) ** n), values(lambda _: 0.5)) > 0.5


def test_significance_is_deterministic_symmetric_and_ignores_order():
    ours, theirs = values(lambda n: n % 7 / 7), values(lambda n: n % 4 / 5)
    p = significance(ours, theirs)
    assert 0 < p <= 1
    assert p == significance(ours, theirs) == significance(theirs, ours)
    assert p == significance(dict(reversed(ours.items())), theirs)


@pytest.mark.parametrize(
    ("names", "depth"),
    [
        (["nDCG@10"], 100),
        (["R@1000", "nDCG@10"], 1000),
        (["P(rel=2)@300", "NumRel"], 300),
        (["AP@150"], 150),
        *(([name, "nDCG@10"], 5000) for name in ("AP", "RR", "nDCG", "Rprec", "Bpref", "SetP", "RBP(p=0.8)", "NumRet")),
    ],
)
def test_runs_are_as_deep_as_the_measures(names, depth):
    if "RBP(p=0.8)" in names and find_spec("cwl") is None:
        pytest.skip("nothing here computes RBP")
    assert depth_of(names, {"q": {"a": 1}}, 5000) == depth


def test_measures_without_a_cutoff_have_trecs_depth_where_whole_rankings_are_too_many():
    qrels = {f"q{n}": {f"d{m}": 1 for m in range(n)} for n in range(1, 5)}
    assert depth_of(["AP"], qrels, 750_000) == 750_000
    assert depth_of(["AP"], qrels, 750_001) == 1000
    assert depth_of(["AP"], {"q": {f"d{m}": 1 for m in range(1500)} | {"x": 0}}, 10**7) == 1500


@pytest.mark.parametrize("relevant", "abc")
def test_all_measures_see_ties_in_one_order(relevant):
    names = ["nDCG@1", "P@1", "RR@1", "RR", "AP", "Success@1", "Judged@1"]
    found = measure({"q": {relevant: 1}}, {"q": dict.fromkeys("abc", 1.0)}, names)
    rank = "cba".index(relevant) + 1
    first = float(rank == 1)
    assert found == pytest.approx(
        {**dict.fromkeys(["nDCG@1", "P@1", "RR@1", "Success@1", "Judged@1"], first), "RR": 1 / rank, "AP": 1 / rank}
    )


def test_scores_that_single_precision_cannot_tell_apart_keep_their_order():
    run = {"q": {"a": 1 + 1e-12, "b": 1.0}}
    assert measure({"q": {"a": 1}}, run, ["P@1", "RR@1"]) == {"P@1": 1.0, "RR@1": 1.0}


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="no number"):
        measure({"q": {"a": 1}}, {"q": {"a": float("nan"), "b": 1.0}})


def test_levels_below_0_are_not_relevant():
    qrels = {"q": {"a": 2, "b": -1, "c": -2, "d": 0}, "r": {"a": -2}}
    run = {"q": {"b": 3.0, "c": 2.0, "a": 1.0}, "r": {"a": 1.0}}
    plain = {query: {document: max(level, 0) for document, level in judged.items()} for query, judged in qrels.items()}
    names = ["nDCG@10", "nDCG", "AP", "RR", "P@5", "R@10", "Rprec"]
    assert per_query(qrels, run, names) == per_query(plain, run, names)
    assert per_query(qrels, run, ["Bpref"])["Bpref"]["r"] == 0
