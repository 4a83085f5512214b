"""What trec_eval makes of run and qrels files, Tardif makes of them too."""

import random

import pytest

from tardif.errors import DataError, SettingError
from tardif.evaluation.comparison import compare
from tardif.evaluation.runs import read_run
from trec_eval import MEASURES, agree


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    """Random judgements (graded, negative) and a run with ties, near ties, unjudged hits and unanswered queries."""
    draw = random.Random(3)
    documents = [f"d{number}" for number in range(300)]
    qrels, run = [], []
    for query in range(40):
        judged = draw.sample(documents, draw.randint(1, 60))
        qrels += [f"{query} 0 {document} {draw.choice((-2, -1, 0, 0, 0, 1, 2, 3))}" for document in judged]
        qrels.append(f"{query} 0 d299 1")
        if query % 7 == 6:
            continue
        hits = draw.sample(documents[:299], draw.randint(1, 200))
        scores = [draw.choice((1.0, 0.1 + draw.random() * 1e-9, draw.random(), -draw.random())) for _ in hits]
        run += [f"{query} Q0 {document} 1 {score!r} x" for document, score in zip(hits, scores, strict=True)]
    unjudged = [f"q{number} Q0 d1 1 2.0 x" for number in range(3)]  # queries that nobody judged
    return write(tmp_path / "qrels.txt", dict.fromkeys(qrels)), write(tmp_path / "a.run", [*run, *unjudged])


def without_contradictions(lines):
    first = {}
    for line in lines:
        query, _, document, _ = line.split()
        first.setdefault((query, document), line)
    return list(first.values())


def test_ten_measures_are_those_of_trec_eval_for_any_run_file(files):
    qrels, run = files
    write(qrels, without_contradictions(qrels.read_text().splitlines()))
    (figures,) = compare([str(run)], [qrels], measures=list(MEASURES))
    assert len(MEASURES) >= 10
    agree(figures, qrels, run)


def test_judgements_alone_measure_run_files_and_nothing_else(tmp_path):
    qrels = write(tmp_path / "qrels.txt", ["q1 0 d1 1", "q1 0 d1 1", "q2 0 d2 2"])
    one, two = (write(tmp_path / name, [f"q1 Q0 {hit} 1 1.0 x"]) for name, hit in (("a.run", "d1"), ("b.run", "d9")))
    found = compare([str(one), str(two)], [qrels], measures=["RR"])
    assert [figures.measures["RR"] for figures in found] == [0.5, 0.0]
    with pytest.raises(SettingError, match=r"bm25 needs the texts of qrels.txt, .*--documents, --queries"):
        compare(["bm25"], [qrels])
    write(qrels, ["q1 0 d1 1", "q1 0 d1 2"])
    with pytest.raises(DataError, match=r"qrels.txt, line 2: the query 'q1' judges the document 'd1' twice, 1 and 2"):
        compare([str(one)], [qrels])
    write(qrels, ["q1 0 d1 0"])
    with pytest.raises(DataError, match="judges no document relevant"):
        compare([str(one)], [qrels])


def test_scores_that_single_precision_cannot_tell_apart_are_ties(tmp_path):
    run = write(tmp_path / "a.run", ["q Q0 a 1 2.1000000001 x", "q Q0 b 2 2.1 x", "q Q0 c 3 0.3 x", "q Q0 d 4 1e300 x"])
    notes = []
    found = read_run(run, notes=notes)["q"]
    assert found["a"] == found["b"] and (found["c"], found["d"]) == (0.3, 1e300)
    assert any(note.startswith("2 scores are equal in single precision") for note in notes)
