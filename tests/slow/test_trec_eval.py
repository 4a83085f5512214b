"""A saved run of a real collection, read back, has trec_eval's figures."""

import pytest

from tardif.evaluation.comparison import compare
from trec_eval import MEASURES, agree

pytestmark = pytest.mark.slow


def as_trec(folder, split, path):
    """The judgements of a BEIR folder as TREC qrels."""
    lines = (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    path.write_text("".join(f"{query} 0 {document} {relevance}\n" for query, document, relevance in rows))
    return path


def spoilt(run, path):
    """A run as other tools write it: ties, scores that only double precision tells apart, and queries without hits."""
    lines = []
    for line in run.read_text(encoding="utf-8").splitlines():
        query, _, document, rank, score, tag = line.split()
        if int(query) % 5 == 0:
            continue
        coarse = round(float(score) * 4) / 4
        lines.append(f"{query} Q0 {document} {rank} {coarse + int(rank) * 1e-12!r} {tag}\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(("name", "split"), [("adi", "test"), ("cranfield", "test")])
def test_a_saved_run_has_the_figures_of_trec_eval(collection, bert_tiny, tmp_path, name, split):
    folder = collection(name)
    qrels = as_trec(folder, split, tmp_path / "qrels.txt")
    systems, measures = ["bm25", f"dense:{bert_tiny}"], list(MEASURES)
    made = compare(systems, [folder], split=split, measures=measures, run_file=tmp_path / "runs")
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == len(systems) and len(measures) >= 10
    runs += [spoilt(run, tmp_path / f"spoilt-{run.name}") for run in runs]
    for run in runs:
        (read,) = compare([str(run)], [folder], split=split, measures=measures)
        agree(read, qrels, run)
        (alone,) = compare([str(run)], [qrels], measures=measures)
        assert alone.values == read.values
    for figures, run in zip(made, runs, strict=False):
        agree(figures, qrels, run)
