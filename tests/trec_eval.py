"""trec_eval's values of a run file, computed by pytrec_eval of the files themselves: no reader of Tardif's is used."""

import re
from collections import defaultdict

import pytest
import pytrec_eval

# ir-measures' names and trec_eval's.
MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "nDCG": "ndcg",
    "AP": "map",
    "AP@100": "map_cut_100",
    "RR": "recip_rank",
    "P@5": "P_5",
    "P@10": "P_10",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "Rprec": "Rprec",
    "Bpref": "bpref",
    "Success@10": "success_10",
}


def values_of(qrels, run):
    """trec_eval's values: measure -> query -> value. A judged query without hits counts 0, as with its option -c."""
    judged, hits = defaultdict(dict), defaultdict(dict)
    for line in qrels.read_text(encoding="utf-8").splitlines():
        query, _, document, relevance = line.split()
        judged[query][document] = int(relevance)
    for line in run.read_text(encoding="utf-8").splitlines():
        query, _, document, _, score, _ = line.split()
        hits[query][document] = float(score)
    wanted = {re.sub("_(?=[0-9]+$)", ".", name) for name in MEASURES.values()}
    found = pytrec_eval.RelevanceEvaluator(dict(judged), wanted).evaluate(dict(hits))
    # It leaves out queries without hits.
    return {name: {q: found.get(q, {}).get(theirs, 0.0) for q in judged} for name, theirs in MEASURES.items()}


def agree(figures, qrels, run):
    """Check that all values of all queries and the means are trec_eval's."""
    for name, by_query in values_of(qrels, run).items():
        assert figures.values[name] == pytest.approx(by_query, abs=1e-6), name
        assert figures.measures[name] == pytest.approx(sum(by_query.values()) / len(by_query), abs=5e-5), name
