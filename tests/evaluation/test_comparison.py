import re
from pathlib import Path

import pytest

from samples import CORPUS, QUERIES, write_beir, write_jsonl
from tardif.data.judged import Judging
from tardif.errors import DataError, FolderError, ModelError, SettingError
from tardif.evaluation.comparison import compare, pairs, results
from tardif.evaluation.paired import holm
from tardif.evaluation.runs import read_run, write_run
from tardif.index.disk import DiskIndex
from tardif.progress import Console
from tardif.search.retriever import Retriever


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
    compare([str(multi_vector_folder)], [beir], console=Console())
    compare([], [beir], against=str(multi_vector_folder), console=Console())
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
        compare([str(index)], [beir], console=Console(), **options)
        said = capsys.readouterr().err
        assert re.search(rf"Evaluating: (\d+)/\1 scores, .*, {re.escape(str(index))} on animals", said)
        assert ("every document is scored" in said) is bool(options)
    assert asked == [(100, False), (100, True), (1000, True)]
    monkeypatch.setattr(DiskIndex, "prunes", True)
    compare([str(index)], [beir], console=Console())
    assert "0.99 of the exact hits; --exact (in Python exact=True) scores every document" in capsys.readouterr().err


def test_queries_that_find_nothing_are_counted(beir, multi_vector_folder, tmp_path, capsys):
    index = tmp_path / "index"
    Retriever.build(multi_vector_folder, beir / "corpus.jsonl", index, quiet=True).close()
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "?"}\n{"_id": "q2", "text": "birds"}\n')
    for system in (str(index), str(multi_vector_folder)):
        (figures,) = compare([system], [beir], measures=["RR@10"], console=Console())
        assert figures.values["RR@10"]["q1"] == 0
        assert f"{system} on animals: 1 of 2 queries found nothing, and count 0." in capsys.readouterr().err


def test_each_system_is_compared_with_the_base_in_words(beir, base_folder):
    base = str(base_folder("bert"))
    found = compare(["bm25"], [beir], measures=["RR@10"], against=base)
    mine, other = (figures.measures["RR@10"] for figures in found)
    (pair,) = pairs(found, base)
    assert (pair.system, pair.other, pair.difference, pair.p) == ("bm25", base, mine - other, found[0].p["RR@10"])
    assert pair.queries == 2
    assert "RR@10 (95 % " in pair.words()


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
    with pytest.raises(SettingError, match="Give a system: a model"):
        compare([], [beir])
    with pytest.raises(SettingError, match="measure 'F9'"):
        compare(["bm25"], [beir], measures=["F9"])
    with pytest.raises(SettingError, match="bm25 is given 2 times"):
        compare(["bm25", "bm25"], [beir])
    with pytest.raises(SettingError, match="is given twice"):
        compare(["bm25"], [beir, beir])
    with pytest.raises(SettingError, match="--against bm25: it takes a base.*--compare"):
        compare([], [beir], against="bm25")
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


def written(path, **hits):
    """A run file: each query's documents, best first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_run(path, {q: {d: float(len(found) - n) for n, d in enumerate(found)} for q, found in hits.items()})
    return str(path)


def test_every_pair_is_compared_and_a_system_never_differs_from_itself(beir, tmp_path):
    good, bad = written(tmp_path / "good", q1=["d1"], q2=["d3"]), written(tmp_path / "bad", q1=["d2"], q2=["d3"])
    same = written(tmp_path / "same", q1=["d1"], q2=["d3"])
    found = pairs(compare([good, bad, same], [beir], measures=["RR@10", "R@1"]))
    assert [(p.system, p.other, p.measure) for p in found] == [
        (one, other, measure) for measure in ("RR@10", "R@1") for one, other in ((good, bad), (good, same), (bad, same))
    ]
    assert [p.difference for p in found[:3]] == [0.5, 0.0, -0.5]
    assert found[1].p == found[1].p_holm == 1.0
    assert found[0].as_json()["p_holm"] == pytest.approx(min(1.0, 3 * found[0].p))


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_model_among_the_systems_is_compared_as_it_is(beir, multi_vector_folder, base_folder, tmp_path, capsys):
    model, again = str(multi_vector_folder), f"{multi_vector_folder}/."
    alone = compare([model], [beir])[0].measures
    found = compare(["bm25", model], [beir], against=again, console=Console(quiet=True))
    assert [(item.name, item.untrained) for item in found] == [("bm25", ""), (again, "")]
    assert found[1].measures == alone
    assert found[1].p == {} and found[0].p
    assert "is among the systems: it is compared as it is" in capsys.readouterr().err
    (base,) = compare([], [beir], against=str(base_folder("bert")), console=Console(quiet=True))
    assert base.untrained in ("raw token vectors", "the recipe at step 0")
    assert base.as_json()["untrained"] == base.untrained
    assert "of its two untrained systems the stronger one counts (nDCG@10: " in capsys.readouterr().err


def test_data_of_the_same_name_is_told_apart(tmp_path):
    one, two = write_beir(tmp_path / "one" / "set"), write_beir(tmp_path / "two" / "set", qrels={"test": "q1\td2\t1\n"})
    found = compare(["bm25"], [one, two], measures=["RR@10"])
    assert [item.data for item in found] == ["one/set", "two/set"]
    assert [item.measures["RR@10"] for item in found] == [1.0, 0.0]


def test_runs_of_several_systems_go_to_a_folder_a_file_for_each(beir, tmp_path):
    first, second = written(tmp_path / "a" / "x.run", q1=["d1"]), written(tmp_path / "b" / "x.run", q1=["d2"])
    out = tmp_path / "runs"
    compare(["bm25", first, second], [beir], run_file=out)
    assert sorted(path.name for path in out.iterdir()) == ["a-x.run", "b-x.run", "bm25.run"]
    assert read_run(out / "b-x.run") == read_run(Path(second))
    other = write_beir(tmp_path / "other")
    compare(["bm25"], [beir, other], run_file=tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["bm25.animals.run", "bm25.other.run"]
    with pytest.raises(FolderError, match="is a file, and several runs are written"):
        compare(["bm25", first], [beir], run_file=first)


def test_no_run_is_written_over_another_or_over_one_that_is_measured(beir, tmp_path):
    old = written(tmp_path / "old" / "bm25.run", q1=["d2"])
    before, out = Path(old).read_bytes(), tmp_path / "runs"
    compare(["bm25", old], [beir], run_file=out)
    assert sorted(path.name for path in out.iterdir()) == ["bm25-2.run", "bm25.run"]
    assert read_run(out / "bm25-2.run") == read_run(Path(old)) != read_run(out / "bm25.run")
    for systems, place in ((["bm25", old], tmp_path / "old"), ([old], old)):
        with pytest.raises(FolderError, match=r"would be written over, and .*bm25\.run is read here"):
            compare(systems, [beir], run_file=place, overwrite=True)
    assert Path(old).read_bytes() == before


@pytest.mark.parametrize(
    "found", ["q1 Q0 d2 1 1.0 anserini\n", "notes\n", "q1 0 d1 1\n", "a b c d e tardif\n", "\xff\n"]
)
def test_only_a_run_of_ours_is_replaced_unasked(beir, tmp_path, found):
    run, out = tmp_path / "a.run", tmp_path / "runs"
    run.touch()  # an empty file holds nothing that could be lost
    for _ in range(2):  # the same command can be run again
        compare(["bm25"], [beir], run_file=run)
    old = written(tmp_path / "old.run", q1=["d2"])
    for _ in range(2):
        compare(["bm25", old], [beir], run_file=out)
    for place, systems, given in ((run, ["bm25"], run), (out / "old.run", ["bm25", old], out)):
        before = place.read_bytes()
        place.write_bytes(found.encode("latin-1"))
        with pytest.raises(FolderError, match=r"already exists: .*\(--overwrite\)"):
            compare(systems, [beir], run_file=given)
        assert place.read_bytes() == found.encode("latin-1")
        compare(systems, [beir], run_file=given, overwrite=True)
        assert place.read_bytes() == before
    with pytest.raises(SettingError, match="--run, which is not given"):
        compare(["bm25"], [beir], overwrite=True)


@pytest.mark.parametrize("name", ["labels.csv", "link.csv", "hard.csv", "x/../labels.csv", "corpus/a.txt", "away.txt"])
def test_no_run_is_written_over_what_is_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("query,positive\nwhere is the sea,the sea is here\n")
    Path("away.txt").write_text("bread rises")
    for folder in ("corpus", "x"):
        Path(folder).mkdir()
    Path("corpus/a.txt").write_text("the sea is here")
    Path("corpus/b.txt").symlink_to(tmp_path / "away.txt")
    Path("link.csv").symlink_to("labels.csv")
    Path("hard.csv").hardlink_to("labels.csv")
    before = Path(name).read_bytes()
    for overwrite in (False, True):
        with pytest.raises(FolderError, match="would be written over, and .* is read here"):
            compare(["bm25"], ["labels.csv"], documents="corpus", run_file=name, overwrite=overwrite)
    assert Path(name).read_bytes() == before


def test_an_index_without_words_is_refused_before_another_ranks(beir, multi_vector_folder, tmp_path, monkeypatch):
    index = tmp_path / "index"
    Retriever.build(multi_vector_folder, beir / "corpus.jsonl", index, quiet=True).close()
    monkeypatch.setattr("tardif.evaluation.systems.rank_bm25", lambda *args, **how: pytest.fail("it ranks"))
    with pytest.raises(SettingError, match=f"hybrid:{index}: .* was built without words: evaluate {index}"):
        compare(["bm25", f"hybrid:{index}"], [beir])


def test_a_file_has_no_splits(tmp_path):
    (tmp_path / "labels.csv").write_text("query,positive\nwhere is the sea,the sea is here\n")
    with pytest.raises(SettingError, match="is a file, which has no splits: leave the split out"):
        compare(["bm25"], [tmp_path / "labels.csv"], split="dev")
    assert compare(["bm25"], [tmp_path / "labels.csv"], split="test", measures=["RR@10"])[0].measures == {"RR@10": 1.0}


def test_two_spellings_of_one_system_are_one_system(beir, tmp_path):
    old = written(tmp_path / "old.run", q1=["d2"])
    with pytest.raises(SettingError, match="is given 2 times"):
        compare([old, str(tmp_path / "." / "x" / ".." / "old.run").replace("/x/..", "/.")], [beir])


@pytest.fixture(scope="module")
def sea(tmp_path_factory, multi_vector_folder):
    """A query with 150 relevant documents, and an index of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("sea")
    corpus = [{"_id": f"d{n:03}", "text": f"the sea {n}"} for n in range(150)]
    qrels = "".join(f"q1\td{n:03}\t1\n" for n in range(150))
    beir = write_beir(folder / "sea", corpus=corpus, queries=[{"_id": "q1", "text": "the sea"}], qrels={"test": qrels})
    Retriever.build(multi_vector_folder, beir / "corpus.jsonl", folder / "index", quiet=True, hybrid=True).close()
    return beir, folder / "index"


@pytest.mark.parametrize("names", [["AP"], ["nDCG"], ["Rprec"], ["R@1000"], ["RR"]])
def test_all_relevant_documents_can_be_found_however_many_they_are(sea, multi_vector_folder, names):
    beir, index = sea
    systems = ["bm25", str(multi_vector_folder), str(index), f"hybrid:{index}"]
    for figures in compare(systems, [beir], measures=names):
        assert figures.measures[names[0]] == pytest.approx(1.0), figures.name


def test_what_a_run_file_lacks_is_said(beir, tmp_path, capsys):
    run = written(tmp_path / "run", q1=["d1", "elsewhere"], q9=["d1"])
    compare([run], [beir], measures=["R@5"], console=Console())
    err = capsys.readouterr().err
    assert "1 of 2 queries found nothing, and count 0" in err
    assert "1 hits are not documents of this corpus" in err
    assert "1 of its queries are not judged here" in err
    assert "it holds at most 2 hits per query; the measures look at 3" in err


def test_a_querys_own_document_is_neither_measured_nor_written(tmp_path):
    queries = [{"_id": row["_id"], "text": row["text"]} for row in CORPUS]
    corpus = [*CORPUS, {"_id": "d4", "text": "cats and mice"}]
    beir = write_beir(tmp_path / "animals", corpus=corpus, queries=queries, qrels={"test": "d1\td4\t1\n"})
    (own,) = compare(["bm25"], [beir], measures=["RR@10"], run_file=tmp_path / "run.txt")
    assert own.measures == {"RR@10": 1.0}
    assert list(read_run(tmp_path / "run.txt")["d1"]) == ["d4"]
    (kept,) = compare(["bm25"], [beir], measures=["RR@10"], how=Judging(on={"identical": "keep"}))
    assert kept.measures == {"RR@10": 0.5}


def test_a_ranking_is_measured_as_it_is_written_for_every_system(tmp_path, multi_vector_folder):
    corpus = [{"_id": identity, "text": "the sea rises"} for identity in "cadbe"] + [{"_id": "f", "text": "bread"}]
    names = ["nDCG@1", "P@1", "RR@1", "RR", "AP"]
    index = tmp_path / "index"
    write_jsonl(tmp_path / "corpus.jsonl", corpus)
    Retriever.build(multi_vector_folder, tmp_path / "corpus.jsonl", index, quiet=True, hybrid=True).close()
    sets = [
        write_beir(
            tmp_path / relevant,
            corpus=corpus,
            queries=[{"_id": "q", "text": "the sea"}],
            qrels={"test": f"q\t{relevant}\t1\n"},
        )
        for relevant in "ae"
    ]
    for number, system in enumerate(("bm25", str(multi_vector_folder), str(index), f"hybrid:{index}")):
        out = tmp_path / f"runs{number}"
        for found in compare([system], sets, measures=names, run_file=out):
            (run,) = out.glob(f"*.{found.data}.run")
            lines = [line.split() for line in run.read_text().splitlines()]
            rank = next(int(line[3]) for line in lines if line[2] == found.data)
            first = float(rank == 1)
            expected = {"nDCG@1": first, "P@1": first, "RR@1": first, "RR": 1 / rank, "AP": 1 / rank}
            assert found.measures == pytest.approx(expected)
            # Where "bread" stands is the tiny model's affair; equal texts stand by their ids.
            assert [line[2] for line in lines if line[2] != "f"] == list("edcba")
        assert len(list(out.iterdir())) == 2
