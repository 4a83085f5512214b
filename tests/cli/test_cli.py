import json
import subprocess
import sys

import pytest

from samples import CORPUS, QRELS, write_beir, write_encoder
from tardif.data.training_set import TrainingSet
from tardif.folders import mark


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"query": f"q {n}", "positive": f"answer {n}"}) + "\n" for n in range(20)))
    return path


@pytest.fixture
def base(tmp_path):
    return write_encoder(tmp_path / "base")


@pytest.fixture
def unwritable(tmp_path):
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file" / "out"


# Wrong data


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("pairs.jsonl", "", "pairs.jsonl: is empty"),
        ("pairs.jsonl", '{"query": "q", "positive": "a"}\n{"query": \n', "pairs.jsonl, line 2: malformed JSON"),
        ("pairs.csv", "query,positive\nq,a\nq,a,b\n", "pairs.csv, line 3: has 3 columns"),
        ("pairs.tsv", "query\tpositive\nq\n", "pairs.tsv, line 2: has 1 columns"),
        ("pairs.jsonl", '{"query": "q"}\n', "pairs.jsonl, line 1: missing column positive"),
        ("pairs.csv", "text,answer\nq,a\n", "pairs.csv, line 1: missing column query"),
        ("pairs.jsonl", '{"query": "q", "positive": ""}\n', "pairs.jsonl, line 1: a query or document without text"),
        (
            "pairs.jsonl",
            '{"query": "q", "positives": []}\n',
            "pairs.jsonl, line 1: holds no document: positives is empty",
        ),
        ("pairs.csv", "query,document,label\nq,a,1\nr,a,0\n", "pairs.csv, line 3: the query 'r' has no positive"),
        ("pairs.jsonl", b'{"query": "q", "positive": "a"}\n{"query": "\xe9"}\n', "pairs.jsonl, line 2: is not UTF-8"),
        ("pairs.jsonl", '{"query": "q", "positive": "\\ud800"}\n', "pairs.jsonl, line 1: "),
        ("pairs.xml", "<a/>", "pairs.xml: is of a kind that is not read"),
    ],
)
def test_prepare_says_what_is_wrong_and_where(fails, tmp_path, name, content, where):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert where in fails("prepare", path, "--out", tmp_path / "out", "--quiet")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(fails, tmp_path):
    assert "missing.jsonl: no such file" in fails("prepare", tmp_path / "missing.jsonl", "--out", tmp_path / "out")
    assert "missing: no such file or folder" in fails("evaluate", "bm25", "--data", tmp_path / "missing")


@pytest.mark.parametrize(
    ("beir", "where"),
    [
        ({"qrels": {"test": "q1\td9\t1\n"}}, "test.tsv, line 1: the document id 'd9' is not in"),
        ({"qrels": {"test": QRELS + "q9\td1\t1\n"}}, "test.tsv, line 4: the query id 'q9' is not in"),
        ({"qrels": {"test": "q1\td1\t1\nq1,d1,1\n"}}, "test.tsv, line 2: malformed line"),
        ({"corpus": [*CORPUS, CORPUS[0]]}, "corpus.jsonl, line 4: two documents have the id 'd1'"),
        ({"queries": [{"_id": "q1"}]}, "queries.jsonl, line 1: missing column"),
    ],
)
def test_a_wrong_beir_folder_says_what_and_where(fails, tmp_path, beir, where):
    folder = write_beir(tmp_path / "animals", **beir)
    assert where in fails("evaluate", "bm25", "--data", folder)
    assert where in fails("prepare", folder, "--split", "test", "--out", tmp_path / "out")


# Wrong settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--language", "klingon"], "language 'klingon'"),
        (["--miner", "sparse"], "miner='sparse'"),
        (["--miner-size", "huge"], "miner_size='huge'"),
        (["--ratio", "most"], "--ratio most"),
        (["--ratio", "2"], "ratio=2"),
        (["--sampling", "best"], "sampling='best'"),
        (["--max-uses", "0"], "max_uses=0"),
        (["--random-share", "2"], "random_share=2"),
        (["--floor", "2", "--ceiling", "1"], "floor=2.0 is above"),
        (["--teacher", "nowhere/model", "--teacher-ratio", "0"], "ratio=0"),
        (["--window", "5"], "--window 5"),
        (["--window", "9-5"], "9-5"),
        (["--validation", "1"], "validation=1"),
        (["--negatives", "-1"], "negatives=-1"),
    ],
)
def test_prepare_refuses_wrong_settings(fails, tmp_path, pairs, options, message):
    assert message in fails("prepare", pairs, "--out", tmp_path / "out", *options)


def test_prepare_takes_every_option_of_mining(tardif, tmp_path, pairs):
    options = ["--ratio", "none", "--margin", "1", "--near-copy", "none", "--sampling", "weighted", "--max-uses", "3"]
    options += ["--random-share", "0.5", "--floor", "0", "--ceiling", "99", "--window", "1-9", "--negatives", "2"]
    assert tardif("prepare", pairs, "--out", tmp_path / "set", "--device", "cpu", "--quiet", *options)[0] == 0
    asked = json.loads((tmp_path / "set" / "mining.json").read_text())["settings"]["selection"]
    assert asked == {
        **{"negatives": 2, "first": 1, "last": 9, "sampling": "weighted", "ratio": None, "margin": 1.0},
        **{"floor": 0.0, "ceiling": 99.0, "near_copy": None, "random_share": 0.5, "max_uses": 3},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "a/b"], "The name 'a/b' cannot name a folder"),
        (["--language", "klingon"], "language 'klingon'"),
        (["--device", "64"], "asks for 64 GPU(s)"),
        (["--device", "toaster"], "devices='toaster'"),
        (["--base", "./no-such-base"], "The base ./no-such-base does not exist"),
        (["--base", "nobody/no-such-base"], "The base nobody/no-such-base is neither a folder nor"),
        (["--dim", "wide"], "--dim wide"),
        (["--dim", "0"], "dim=0"),
        (["--query-length", "65"], "query_length=65"),
        (["--lr", "-1"], "lr=-1"),
        (["--loss", "hinge"], "loss='hinge'"),
        (["--set", 'loss={"contrastive": 1, "hinge": 1}'], "give one of contrastive, distillation, margin"),
        (["--set", "temperature"], "write key=value"),
        (["--processes", "0"], "processes=0"),
        (["--processes", "17"], "a batch of 16 cannot be shared"),
        (["--guard", "nowhere"], "guard=nowhere: there is no such file or folder"),
        (["--guard", "none", "--guard", "python"], "none switches the guard off, so give it alone"),
    ],
)
def test_train_refuses_wrong_settings_before_it_reads_data(fails, tmp_path, base, options, message):
    rest = [] if "--base" in options else ["--base", base]
    rest += [] if "--name" in options else ["--name", "model"]
    line = fails("train", tmp_path / "missing.jsonl", "--out", tmp_path / "out", *rest, *options)
    assert message in line
    assert "missing.jsonl" not in line


def test_train_refuses_a_base_that_is_no_encoder(fails, tmp_path):
    decoder = write_encoder(tmp_path / "decoder", model_type="gpt2", architectures=["GPT2LMHeadModel"])
    arguments = ["train", tmp_path / "missing.jsonl", "--name", "model", "--out", tmp_path, "--base", decoder]
    assert "is not an encoder (model_type 'gpt2')" in fails(*arguments)


def test_train_says_what_is_wrong_with_the_data(fails, tmp_path, base_folder):
    arguments = ["train", tmp_path / "missing.jsonl", "--name", "model", "--out", tmp_path / "out"]
    arguments += ["--base", base_folder("bert")]
    assert "missing.jsonl: no such file" in fails(*arguments)
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "64"], "asks for 64 GPU(s)"),
        (["--language", "klingon"], "language 'klingon'"),
        (["--measures", "F9"], "measure 'F9'"),
        (["--split", "train"], "has no qrels/train.tsv"),
    ],
)
def test_evaluate_refuses_wrong_settings(fails, tmp_path, options, message):
    assert message in fails("evaluate", "bm25", "--data", write_beir(tmp_path / "animals"), *options)


def test_evaluate_refuses_a_system_that_is_no_late_interaction_model(fails, tmp_path, base):
    folder = write_beir(tmp_path / "animals")
    assert "is not a late-interaction model" in fails("evaluate", base, "--data", folder)
    assert "does not exist" in fails("evaluate", tmp_path / "missing", "--data", folder)


# Places that cannot be written


def test_an_output_that_cannot_be_written_is_refused_first(fails, tmp_path, base, unwritable):
    missing = tmp_path / "missing.jsonl"
    assert "cannot be written" in fails("prepare", missing, "--out", unwritable)
    assert "cannot be written" in fails("train", missing, "--name", "model", "--base", base, "--out", unwritable)


@pytest.mark.parametrize("option", ["--out", "--run"])
def test_an_evaluation_that_cannot_be_written_is_refused_first(fails, tmp_path, unwritable, option):
    assert "cannot be written" in fails("evaluate", "bm25", "--data", tmp_path / "missing", option, unwritable)


def test_train_refuses_an_existing_checkpoint_before_it_reads_data(fails, tmp_path, base):
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "mine.txt").write_text("mine")
    arguments = ["train", tmp_path / "missing.jsonl", "--name", "model", "--base", base, "--out", tmp_path / "out"]
    for option in ([], ["--overwrite"]):
        assert "holds mine.txt" in fails(*arguments, *option)
    mark(tmp_path / "out" / "model", "test")
    assert "already exists" in fails(*arguments)


@pytest.mark.parametrize("out", ["articles", "."])
def test_no_verb_replaces_what_it_reads_or_what_is_not_tardifs(
    fails, tmp_path, pairs, multi_vector_folder, monkeypatch, out
):
    monkeypatch.chdir(tmp_path)
    articles = tmp_path / "articles"
    articles.mkdir()
    (articles / "moon.txt").write_text("The moon is 384,400 km away.")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    for verb in (("prepare", pairs, "--documents", articles), ("index", multi_vector_folder, articles)):
        assert "Tardif made it" in fails(*verb, "--out", out, "--overwrite")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_train_resumes_what_it_was_started_with(fails, tardif, tmp_path, base_folder, monkeypatch):
    import torch

    from tardif.training import objective
    from tardif.training.run_folder import RunFolder

    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"number {n}", "positive": f"{n} is one more than {n - 1}"} for n in range(40)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train = [
        "train",
        pairs,
        "--name",
        "model",
        "--base",
        base_folder("bert"),
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
        "--quiet",
    ]
    train += ["--set", "max_steps=3", "--set", "save_steps=1", "--set", "evaluations=1", "--batch-size", "4"]
    contrastive, calls = objective.contrastive, []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return contrastive(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(objective, "contrastive", wrapped)
        assert "out of memory at step 3" in fails(*train)
    assert RunFolder(tmp_path / "out" / "model").is_unfinished()
    assert "--resume" in fails(*train)
    assert "lr is 0.1" in fails(*train, "--resume", "--lr", "0.1")
    rows.pop()
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "data is" in fails(*train, "--resume")
    rows.append({"query": "number 39", "positive": "39 is one more than 38"})
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, out, _ = tardif(*train, "--resume")
    assert (code, out.strip()) == (0, str(tmp_path / "out" / "model"))
    assert json.loads((tmp_path / "out" / "model" / "results.json").read_text())["settings"]["resumed_at"] == [2]


# Wrong usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["prepare"],
        ["prepare", "pairs.jsonl"],
        ["prepare", "pairs.jsonl", "--out", "out", "--frobnicate"],
        ["prepare", "pairs.jsonl", "--out", "out", "--negatives", "many"],
        ["train", "pairs.jsonl", "--out", "out"],
        ["evaluate", "bm25"],
        ["evaluate", "--data", "animals"],
        ["search", "index"],
        ["search", "index", "a query", "--queries", "queries.jsonl"],
        ["search", "index", "a query", "--recall", "most"],
        ["delete", "index"],
        ["delete", "index", "an-id", "--ids", "ids.txt"],
        ["add", "index"],
    ],
)
def test_wrong_usage_exits_with_2(tardif, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = tardif(*arguments)
    assert (code, out) == (2, "")
    assert "Usage" in err
    assert "Traceback" not in err


# What works


def test_version_and_help(tardif):
    from tardif import __version__

    assert tardif("--version") == (0, f"{__version__}\n", "")
    code, out, _ = tardif("--help")
    assert code == 0
    for verb in ("prepare", "train", "evaluate", "index", "add", "delete", "search", "rerank", "demo", "doctor"):
        assert verb in out


def test_prepare_prints_the_folder_and_replaces_only_when_allowed(tardif, fails, tmp_path, pairs):
    out = tmp_path / "prepared"
    code, printed, err = tardif("prepare", pairs, "--out", out)
    assert (code, printed) == (0, f"{out}\n")
    assert "query from query, positive from positive (20 rows)" in err
    assert TrainingSet.load(out).counts()["training queries"] == 14  # of 20, six are held out
    assert "already exists" in fails("prepare", pairs, "--out", out)
    code, printed, err = tardif("prepare", pairs, "--out", out, "--overwrite", "--quiet")
    assert (code, printed) == (0, f"{out}\n")
    assert err.splitlines()[0] == "  20 judgements read: 20 used, 0 not"  # of the data only what it came to
    assert err.splitlines()[-1] == "  20 documents"


def test_evaluate_keeps_the_contract(tardif, tmp_path):
    beir = write_beir(tmp_path / "animals")
    out, run = tmp_path / "out", tmp_path / "run.txt"
    code, printed, _ = tardif("evaluate", "bm25", "--data", beir, "--json", "--out", out, "--run", run)
    assert code == 0
    perfect = {"nDCG@10": 1.0, "RR@10": 1.0, "R@100": 1.0}
    systems = [{"name": "bm25", "data": "animals", "measures": perfect}]
    assert json.loads(printed) == {"systems": systems}
    results = json.loads((out / "results.json").read_text())
    assert (results["after"], results["systems"]) == (perfect, systems)
    assert run.read_text().startswith("q1 Q0 d1 1 ")


def test_evaluate_prints_a_table(tardif, tmp_path):
    beir = write_beir(tmp_path / "animals")
    code, printed, _ = tardif("evaluate", "bm25", "--data", beir, "--measures", "RR@10, R@1")
    assert (code, printed) == (0, "system\tdata\tRR@10\tR@1\nbm25\tanimals\t1.0000\t1.0000\n")


def test_doctor_prints_json_or_lines(tardif):
    code, out, err = tardif("doctor", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["packages"]["torch"]
    code, out, _ = tardif("doctor")
    assert (code, out.splitlines()[0][:6]) == (0, "Tardif")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
from tardif.cli import main
try:
    main({arguments})
except SystemExit as ended:
    heavy = {{"torch", "numpy", "rich", "transformers", "sentence_transformers", "pyarrow"}}
    sys.stderr.write(f"{{ended.code}} {{sorted(heavy & set(sys.modules))}}")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "0 []"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt, 130, "Interrupted.\n"),
        (
            RuntimeError("first\nsecond"),
            1,
            "tardif: RuntimeError: first (unexpected; set TARDIF_TRACEBACK=1 to see where)\n",
        ),
    ],
)
def test_what_is_not_ours_ends_in_one_line(tardif, monkeypatch, error, code, line):
    from tardif.cli import doctor

    def fail():
        raise error

    monkeypatch.delenv("TARDIF_TRACEBACK", raising=False)
    monkeypatch.setattr(doctor, "examine", fail)
    assert tardif("doctor") == (code, "", line)


def test_an_endpoint_writes_the_queries_of_documents(tardif, endpoint, tmp_path):
    (tmp_path / "notes").mkdir()
    for n in range(4):
        (tmp_path / "notes" / f"{n}.txt").write_text(f"Harbour {n} was built by sailors from island {n} in a hurry.")
    given = ("prepare", "--documents", tmp_path / "notes", "--out", tmp_path / "set", "--endpoint", endpoint.url)
    code, out, _ = tardif(
        *given, "--endpoint-set", "model=small", "--endpoint-set", "max_requests=9", "--miner", "none"
    )
    assert (code, out) == (0, f"{tmp_path / 'set'}\n")
    assert len(TrainingSet.load(tmp_path / "set").queries) == 8
    assert (tmp_path / "set.answers.jsonl").exists()


def test_an_endpoint_needs_a_cap(fails, tmp_path):
    given = ("prepare", "--documents", tmp_path, "--out", tmp_path / "set", "--endpoint", "http://127.0.0.1:9/v1")
    assert "no spending cap" in fails(*given, "--endpoint-set", "model=small")


@pytest.mark.parametrize("form", ["colbert", "beir"])
def test_a_training_set_goes_out_in_another_format(tardif, fails, pairs, tmp_path, form):
    tardif("prepare", pairs, "--out", tmp_path / "set", "--quiet")
    code, out, err = tardif("export", tmp_path / "set", "--format", form, "--out", tmp_path / "other")
    assert (code, out) == (0, f"{tmp_path / 'other'}\n")
    assert "documents" in err
    assert "exists" in fails("export", tmp_path / "set", "--format", form, "--out", tmp_path / "other")


def test_a_format_that_is_not_known_is_refused(tardif, fails, pairs, tmp_path):
    tardif("prepare", pairs, "--out", tmp_path / "set", "--quiet")
    assert "colbert, ragatouille" in fails("export", tmp_path / "set", "--format", "xml", "--out", tmp_path / "other")


def test_another_set_needs_a_weight_that_is_a_number(fails, pairs, base, tmp_path):
    given = ("train", pairs, "--name", "m", "--out", tmp_path / "out", "--base", base)
    assert "DATA=WEIGHT" in fails(*given, "--also", f"{pairs}=much", "--quiet")


def test_evaluate_compares_every_pair_and_quiet_keeps_results_and_totals(tardif, tmp_path):
    beir, run = write_beir(tmp_path / "animals"), tmp_path / "mine.run"
    run.write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\nq1 Q0 d1 3 0 x\n")
    asked = ("evaluate", "bm25", run, "--data", beir, "--measures", "RR@10", "--compare", "--quiet")
    code, printed, err = tardif(*asked)
    assert code == 0
    figures, pairs = printed.split("\n\n")
    assert figures.splitlines()[1:] == ["bm25\tanimals\t1.0000", f"{run}\tanimals\t0.2500"]
    assert pairs.splitlines()[1].startswith(f"bm25\t{run}\tanimals\tRR@10\t+0.7500\t")
    assert "too few queries to tell: +.750 RR@10" in err
    assert "animals has 2 judged queries: with fewer than 50" in err
    assert "animals: 2 judged queries over 3 documents" in err
    assert "1 lines list a document again" in err
    assert "BEIR folder" not in err  # a remark
    found = json.loads(tardif(*asked, "--json")[1])
    assert [item["name"] for item in found["systems"]] == ["bm25", str(run)]
    assert [pair["difference"] for pair in found["comparisons"]] == [0.75]


def test_evaluate_prints_one_form(tardif, tmp_path):
    beir, run = write_beir(tmp_path / "animals"), tmp_path / "mine.run"
    run.write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\n")
    asked = ("evaluate", "bm25", run, "--data", beir, "--measures", "RR@10", "--compare", "--quiet")
    code, printed, err = tardif(*asked, "--csv")
    assert (code, printed.splitlines()[:3]) == (0, ["system,data,RR@10", "bm25,animals,1.0", f"{run},animals,0.25"])
    assert printed.splitlines()[4].startswith("system,other,data,measure,difference,p,p_holm,low,high,")
    assert f"bm25 against {run} on animals: too few queries" in err
    code, printed, err = tardif(*asked, "--markdown")
    assert (code, printed.splitlines()[:3]) == (
        0,
        ["| animals | RR@10 |", "|:--|--:|", "| <sup>a</sup> bm25 | **1.0000** |"],
    )
    assert "against" in printed and "against" not in err
    for two in (("--json", "--csv"), ("--csv", "--markdown")):
        code, printed, err = tardif(*asked, *two)
        assert (code, printed) == (2, "")
        assert "give one form" in err


def test_evaluate_shows_an_aligned_table_in_a_terminal(tardif, tmp_path, monkeypatch):
    monkeypatch.setattr("tardif.cli.evaluating.is_terminal", lambda: True)
    code, printed, _ = tardif("evaluate", "bm25", "--data", write_beir(tmp_path / "animals"), "--measures", "RR@10,R@1")
    assert (code, [line.split() for line in printed.splitlines()[::2]][:2]) == (
        0,
        [["animals", "RR@10", "R@1"], ["bm25", "1.0000", "1.0000"]],
    )


def test_evaluate_takes_a_labelled_table_with_its_documents(tardif, fails, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    table = tmp_path / "labels.csv"
    table.write_text("ask,document_id,label\nwhat do cats chase,d1,1\nwhen do birds sing,d3,1\nwho barks,gone,1\n")
    options = ("--documents", corpus, "--columns", "query=ask", "--measures", "R@1", "--quiet")
    assert "--on unknown-id=drop" in fails("evaluate", "bm25", "--data", table, *options)
    code, printed, err = tardif("evaluate", "bm25", "--data", table, *options, "--on", "unknown-id=drop")
    assert (code, printed.splitlines()[1]) == (0, "bm25\tlabels.csv\t1.0000")
    assert "unknown-id: 1 " in err
