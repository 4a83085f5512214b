import random
import shutil
from importlib.util import find_spec

import pytest

from tardif.errors import DataError, SettingError
from tardif.evaluation.measure_names import depth_of, parse_measures, scale_of, split_names
from tardif.evaluation.measures import means, per_query

# All that the packages of a plain installation compute.
PLAIN = [
    "nDCG@10",
    "nDCG",
    "nDCG(judged_only=True)@10",
    "nDCG(gains={1:1,2:5})@10",
    "AP",
    "AP(rel=2)@100",
    "AP@5",
    "RR",
    "RR@10",
    "RR(rel=2)@10",
    "R@100",
    "P@5",
    "P(rel=2)@5",
    "P(judged_only=True)@5",
    "Success@5",
    "Judged@10",
    "Judged",
    "Rprec",
    "infAP",
    "Bpref",
    "SetP",
    "SetRelP",
    "SetR",
    "SetF",
    "SetF(beta=2.0)",
    "SetAP",
    "IPrec@0.1",
    "NumQ",
    "NumRel",
    "NumRet",
    "NumRelRet",
    "Accuracy",
    "Compat",
    "Compat(p=0.8)",
]
PERL = ["ERR@20", "nDCG(dcg='exp-log2')@10"] if shutil.which("perl") else []


@pytest.fixture(scope="module")
def judged():
    """Graded judgements and a run of five of six queries, whose ids are no numbers and hold white space."""
    draw = random.Random(1)
    qrels = {f"q-{n}": {f"d {m}": draw.choice([0, 0, 1, 2, 3]) for m in range(12)} for n in range(6)}
    return qrels, {q: {f"d {draw.randrange(30)}": draw.random() for _ in range(20)} for q in list(qrels)[:5]}


def test_a_measure_has_one_value_in_any_company(judged):
    names = [*PLAIN, *PERL]
    together = per_query(*judged, names)
    assert len(together) == len(names)
    for name in names:
        ((parsed, alone),) = per_query(*judged, [name]).items()
        assert together[parsed] == alone, name
        assert set(alone) == set(judged[0])
    assert len({tuple(values.values()) for values in together.values()}) > len(names) / 2


@pytest.mark.skipif(not PERL, reason="gdeval needs Perl")
def test_gdeval_gets_numbers_for_ids_that_are_none():
    qrels, run = {"a-1": {"x y": 1}, "b-1": {"z": 1}}, {"a-1": {"x y": 1.0}, "b-1": {"w": 2.0, "z": 1.0}}
    found = per_query(qrels, run, PERL)
    assert found["ERR@20"] == pytest.approx({"a-1": 1 / 16, "b-1": 1 / 32}, abs=1e-5)
    assert found["nDCG(dcg='exp-log2')@10"] == pytest.approx({"a-1": 1.0, "b-1": 0.63093}, abs=1e-5)
    with pytest.raises(DataError, match=r"ERR@20 takes a relevance of at most 4, and 'z' has 5 for the query 'b-1'"):
        per_query({**qrels, "b-1": {"z": 5}}, run, ["ERR@20"])


def test_what_counts_is_added_up_and_does_not_need_hits(judged):
    found = means(per_query(*judged, ["NumQ", "NumRel", "NumRet", "NumRelRet", "P@5"]))
    qrels, run = judged
    assert found["NumQ"] == 6
    assert found["NumRel"] == sum(relevance > 0 for of in qrels.values() for relevance in of.values())
    assert found["NumRet"] == sum(map(len, run.values()))
    assert found["NumRet(rel=1)"] == sum(qrels[q].get(d, 0) > 0 for q, hits in run.items() for d in hits)
    assert found["P@5"] <= 1


def test_a_measure_without_a_value_is_named():
    with pytest.raises(DataError, match=r"Accuracy@1 has no value for these data.*leave it out of --measures"):
        per_query({"q": {"a": 1}}, {"q": {"a": 1.0}}, ["nDCG@10", "Accuracy@1"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *((name, "nDCG@10") for name in ("ndcg@10", "NDGC@10", "ndcg_cut_10", "ndcg_at_10", "ndcg10", "ndcg_cut.10")),
        *((name, "R@100") for name in ("recall@100", "recall_100", "Recal@100", "r@100")),
        *((name, "RR@10") for name in ("mrr@10", "mrr_at_10", "MRR10")),
        *((name, "Success@5") for name in ("hit@5", "hits@5", "succes@5", "HitRate@5")),
        ("map", "AP"),
        ("map@100", "AP@100"),
        ("precision", "P@10"),
        ("recip_rank", "RR"),
        ("num_q", "NumQ"),
        ("F1", "SetF"),
        ("bpref", "Bpref"),
        ("rbp(rel=1)", "RBP(rel=1)"),
    ],
)
def test_a_misspelt_name_is_told_the_nearest(name, meant):
    with pytest.raises(SettingError) as found:
        parse_measures([name])
    assert str(found.value).endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("banana", "use ir-measures' names"),
        ("__import__('os')", "use ir-measures' names"),
        ("(" * 5000, "use ir-measures' names"),
        ("P", "it needs a cutoff: P@10"),
        ("IPrec", "it needs a recall: IPrec@0.1"),
        ("INST", r"it needs a max_rel: INST\(max_rel=...\)"),
        ("SetF(beta=2)", "its beta is 2, and must be a number with a point"),
        ("nDCG(dcg='ln')@10", "its dcg is 'ln', and must be 'log2' or 'exp-log2'"),
        ("P(foo=1)@5", "P has no foo; it has cutoff, rel, judged_only"),
        ("R@100000000000", "its cutoff is 100000000000"),
        ("nDCG@True", "its cutoff is True"),
        ("RR(judged_only=True)@10", "no package that ir-measures uses computes it"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(name, said):
    with pytest.raises(SettingError, match=said):
        parse_measures([name])


@pytest.mark.skipif(find_spec("cwl") is not None or find_spec("pyndeval") is not None, reason="the packages are here")
def test_a_missing_package_is_named():
    for name in ("RBP(p=0.9,rel=1)", "BPM(max_rel=3)@10"):
        with pytest.raises(SettingError, match=r"not installed: pip install ir-measures\[cwl_eval\]\.$"):
            parse_measures([name])
    with pytest.raises(SettingError, match=r"ir-measures\[cwl_eval\], and give it more, as in RBP\(p=0.9,rel=1\)"):
        parse_measures(["RBP(p=0.9)"])
    with pytest.raises(SettingError, match=r"ir-measures\[pyndeval\]"):
        parse_measures(["alpha_nDCG@10"])


@pytest.mark.skipif(not PERL, reason="gdeval needs Perl")
def test_a_cutoff_that_would_do_is_told():
    with pytest.raises(SettingError, match=r"give it, as in ERR@10"):
        parse_measures(["ERR"])


def test_every_plain_measure_has_a_depth():
    deep = {name for name in PLAIN if depth_of([name], {"q": {"d": 1}}, 5000) == 5000}
    assert deep == {name for name in PLAIN if "@" not in name and name not in ("NumQ", "NumRel")} | {"IPrec@0.1"}


def test_names_are_split_at_the_commas_between_them():
    assert split_names(" nDCG(gains={1:1,2:3},judged_only=True)@10,, AP ,RBP(p=.8,rel=1),") == [
        "nDCG(gains={1:1,2:3},judged_only=True)@10",
        "AP",
        "RBP(p=.8,rel=1)",
    ]
    assert split_names("a),b") == ["a)", "b"]


def test_the_scale_of_a_measure():
    assert scale_of("nDCG@10", [0.2, 0.1]) == scale_of("P(rel=2)@5", []) == 1.0
    assert scale_of("ERR@20", [0.05, 0.01]) == 0.05
    assert scale_of("NumRet(rel=1)", [7.0, 3.0]) == 7.0
    assert scale_of("NumRet", [0.0]) == 0.0
