import pytest

from samples import CORPUS, QUERIES, write_beir
from tardif.comparison import compare, differences, results
from tardif.errors import DataError, ModelError, SettingError
from tardif.index.disk import DiskIndex
from tardif.retrieval import Retriever
from tardif.runs import read_run, write_run
from tardif.talk import Talk


@pytest.fixture
def beir(tmp_path):
    return write_beir(tmp_path / "animals")


def test_bm25_finds_what_shares_words(beir):
    (figures,) = compare(["bm25"], [beir])
    assert (figures.name, figures.data) == ("bm25", "animals")
    assert figures.measures == {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}


def test_a_run_file_is_measured_as_a_system(beir, tmp_path):
    path = tmp_path / "run.txt"
    write_run(path, {"q1": {"d2": 2.0, "d1": 1.0}})
    (figures,) = compare([str(path)], [beir], measures=["RR@10"])
    assert figures.as_json() == {"name": str(path), "data": "animals", "measures": {"RR@10": 0.25}}


def test_a_written_run_measures_like_its_system(beir, tmp_path):
    (system,) = compare(["bm25"], [beir], run_file=tmp_path / "out" / "run.txt")
    (run,) = compare([str(tmp_path / "out" / "run.txt")], [beir])
    assert run.measures == system.measures
    assert set(read_run(tmp_path / "out" / "run.txt")) == {"q1", "q2"}


def test_what_a_model_does_not_read_of_the_documents_is_said(tmp_path, multi_vector_folder, capsys):
    corpus = [*CORPUS[:-1], {**CORPUS[-1], "text": "a word and more " * 50}]
    beir = write_beir(tmp_path / "animals", corpus=corpus)
    compare([str(multi_vector_folder)], [beir], against=str(multi_vector_folder), talk=Talk())
    lines = [line for line in capsys.readouterr().err.splitlines() if "longer than the model reads" in line]
    assert len(lines) == 2
    assert f"1 of {len(corpus)} documents is longer than the model reads (48 tokens)" in lines[0]
    assert "not cut here" in lines[0]


def test_an_index_is_measured_with_and_without_its_words(beir, multi_vector_folder, tmp_path):
    index = tmp_path / "index"
    with Retriever.build(multi_vector_folder, beir / "corpus.jsonl", index, hybrid=True) as retriever:
        for name, hybrid in ((str(index), False), (f"hybrid:{index}", True)):
            (figures,) = compare([name], [beir], run_file=tmp_path / "run.txt")
            found = read_run(tmp_path / "run.txt")
            expected = retriever.run({query["_id"]: query["text"] for query in QUERIES}, 100, hybrid=hybrid)
            assert figures.name == name
            assert {q: list(hits) for q, hits in found.items()} == {q: list(hits) for q, hits in expected.items()}
    with pytest.raises(SettingError, match="is no index"):
        compare(["hybrid:bm25"], [beir])


def test_an_index_is_scored_whole_where_that_is_asked_or_measured_deep(
    beir, multi_vector_folder, tmp_path, monkeypatch, capsys
):
    index, asked = tmp_path / "index", []
    Retriever.build(multi_vector_folder, beir / "corpus.jsonl", index, quiet=True).close()
    run = Retriever.run
    monkeypatch.setattr(Retriever, "run", lambda *a, **how: asked.append((a[2], how["exact"])) or run(*a, **how))
    for options in ({}, {"exact": True}, {"measures": ["R@1000"]}):
        capsys.readouterr()
        compare([str(index)], [beir], talk=Talk(), **options)
        said = capsys.readouterr().err
        assert f"{index} on animals: 2/2 queries" in said
        assert ("every document is scored" in said) is bool(options)
    assert asked == [(100, False), (100, True), (1000, True)]
    monkeypatch.setattr(DiskIndex, "prunes", True)
    compare([str(index)], [beir], talk=Talk())
    assert "0.99 of the exact hits; --exact scores every document" in capsys.readouterr().err


def test_queries_that_find_nothing_are_counted(beir, multi_vector_folder, tmp_path, capsys):
    index = tmp_path / "index"
    Retriever.build(multi_vector_folder, beir / "corpus.jsonl", index, quiet=True).close()
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "?"}\n{"_id": "q2", "text": "birds"}\n')
    for system in (str(index), str(multi_vector_folder)):
        (figures,) = compare([system], [beir], measures=["RR@10"], talk=Talk())
        assert figures.values["RR@10"]["q1"] == 0
        assert f"{system} on animals: 1 of 2 queries found nothing, and count 0." in capsys.readouterr().err


def test_differences_are_said_with_their_p_values(beir, base_folder):
    base = str(base_folder("bert"))
    found = compare(["bm25"], [beir], measures=["RR@10"], against=base)
    mine, other = (figures.measures["RR@10"] for figures in found)
    (line,) = differences(found, base)
    assert line == f"bm25 on animals, against {base}: RR@10 {mine - other:+.4f} (p {found[0].p['RR@10']:.4f})"
    assert differences(compare(["bm25"], [beir]), None) == []


def test_every_system_is_measured_on_every_data_set(beir, tmp_path):
    other = write_beir(tmp_path / "other")
    write_run(tmp_path / "run.txt", {"q1": {"d1": 1.0}})
    found = compare(["bm25", str(tmp_path / "run.txt")], [beir, other], measures=["RR@10"])
    assert [(f.name, f.data) for f in found] == [
        (name, data) for name in ("bm25", str(tmp_path / "run.txt")) for data in ("animals", "other")
    ]


def test_the_split_asked_for_is_measured(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"test": "q1\td1\t1\n", "dev": "q1\td3\t1\n"})
    assert compare(["bm25"], [beir], split="dev", measures=["R@100"])[0].measures == {"R@100": 0.0}


def test_what_cannot_be_compared(beir, tmp_path):
    with pytest.raises(SettingError, match="a system to evaluate"):
        compare([], [beir])
    with pytest.raises(SettingError, match="measure 'F9'"):
        compare(["bm25"], [beir], measures=["F9"])
    with pytest.raises(SettingError, match="one system on one data set"):
        compare(["bm25", "bm25"], [beir], run_file=tmp_path / "run.txt")
    with pytest.raises(SettingError, match="language"):
        compare(["bm25"], [beir], language="klingon")
    with pytest.raises(ModelError, match="does not exist"):
        compare([str(tmp_path / "no-model")], [beir])
    with pytest.raises(DataError, match=r"has no qrels/train\.tsv"):
        compare(["bm25"], [beir], split="train")


def test_results_are_means_over_the_data_sets(beir, tmp_path):
    write_run(tmp_path / "run.txt", {"q1": {"d1": 1.0}})
    other = write_beir(tmp_path / "other", qrels={"test": "q1\td1\t1\n"})
    run = str(tmp_path / "run.txt")
    found = results(compare(["bm25", run], [beir, other], measures=["RR@10"]), against=None, settings={"split": "test"})
    assert found["after"] == {"RR@10": 0.75}
    assert found["baselines"] == {"bm25": {"RR@10": 1.0}}
    assert found["before"] == {}
    assert len(found["systems"]) == 4


def test_nothing_measured_has_no_results():
    with pytest.raises(DataError, match="Nothing was measured"):
        results([], against=None, settings={})
