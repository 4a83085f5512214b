"""The main job on real data with real models, through the command line as a user runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# The fast suite computes on one thread; a user does not. A thread that waits for another leaves its core to others.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
ENVIRONMENT["OMP_WAIT_POLICY"] = "passive"
README = Path(__file__).parents[2] / "README.md"


def tardif(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tardif", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=cwd,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_train_on_scifact_then_evaluate_on_cranfield(collection, minilm, tmp_path) -> None:
    sets = ["--set", "max_steps=3", "--set", "evaluations=1", "--set", "validation_documents=80", "--batch-size", "8"]
    # Without a guard, whose queries take this base a minute: the next test has one, and README's example.
    more = ["--base", minilm, "--validation", "0.03", "--guard", "none", *sets]
    trained = tardif("train", collection("scifact"), "--name", "scifact", "--out", tmp_path, *more)
    assert trained.stdout.strip() == str(tmp_path / "scifact")
    results = json.loads((tmp_path / "scifact" / "results.json").read_text())
    assert results["settings"]["steps"] == 3
    assert results["before"] == max(
        (results["baselines"]["raw"], results["baselines"]["step 0"]), key=lambda figures: figures["nDCG@10"]
    )
    evaluated = tardif("evaluate", tmp_path / "scifact", "bm25", "--data", collection("cranfield"), "--json")
    model, bm25 = json.loads(evaluated.stdout)["systems"]
    assert (model["data"], bm25["name"]) == ("cranfield", "bm25")
    # BM25's published figure for this collection; the model's is no worse than the base's known .382.
    assert bm25["measures"]["nDCG@10"] == pytest.approx(0.360, abs=0.03)
    assert model["measures"]["nDCG@10"] > 0.33


def test_training_pays_and_the_index_finds(collection, medquad_part, bert_tiny, tmp_path) -> None:
    """A small real base learns a real task: far above both untrained systems."""
    sets = ["--set", "max_steps=150", "--set", "validation_documents=500", "--lr", "3e-4", "--document-length", "96"]
    tardif("prepare", medquad_part, "--out", tmp_path / "set", "--negatives", "2")
    tardif("train", tmp_path / "set", "--name", "tiny", "--out", tmp_path, "--base", bert_tiny, *sets)
    results = json.loads((tmp_path / "tiny" / "results.json").read_text())
    assert results["after"]["nDCG@10"] > results["before"]["nDCG@10"] + 0.03
    assert len(results["guard"]) == 1

    adi = collection("adi")
    # In 16 bits: in 8, documents of nearly one score may stand otherwise than in reranking, which rounds nothing.
    tardif("index", tmp_path / "tiny", adi / "corpus.jsonl", "--out", tmp_path / "index", "--bits", "16")
    found = tardif("search", tmp_path / "index", "automatic indexing of documents", "-k", "5", "--json")
    answer = json.loads(found.stdout)
    assert answer["query"] == "automatic indexing of documents"
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4, 5]
    again = tardif(
        "rerank", tmp_path / "tiny", answer["query"], "--documents", adi / "corpus.jsonl", "-k", "5", "--json"
    )
    ranked = json.loads(again.stdout)["hits"]
    assert [hit["document_id"] for hit in ranked] == [hit["document_id"] for hit in answer["hits"]]
    assert [hit["score"] for hit in ranked] == pytest.approx([hit["score"] for hit in answer["hits"]], abs=1e-3)

    evaluated = tardif("evaluate", tmp_path / "index", "--data", adi, "--against", bert_tiny, "--json")
    ours, untrained = json.loads(evaluated.stdout)["systems"]
    assert untrained["name"] == str(bert_tiny)
    assert set(ours["p"]) == {"nDCG@10", "RR@10", "R@100"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_leaves_the_last_good_checkpoint(collection, bert_tiny, tmp_path) -> None:
    sets = ["--set", "validation_documents=80", "--set", "evaluations=100", "--document-length", "64"]
    arguments = ["train", collection("scifact"), "--name", "cut", "--out", tmp_path, "--base", bert_tiny]
    with subprocess.Popen(
        [sys.executable, "-m", "tardif", *map(str, arguments), "--epochs", "50", *sets],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(r"\s+step [1-9]\d*:", line):  # a checkpoint is kept now; "step 0" is measured before
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=120) == 130, rest
    assert "Traceback" not in rest
    assert json.loads((tmp_path / "cut" / "results.json").read_text())["interrupted"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cut.training", "cut"]
    check = "import sys; from sentence_transformers import MultiVectorEncoder as M; M(sys.argv[1]).encode_query('x')"
    subprocess.run([sys.executable, "-c", check, str(tmp_path / "cut")], check=True, timeout=120, env=ENVIRONMENT)


def test_the_readme_example_runs(collection, minilm, tmp_path, monkeypatch) -> None:
    """The ten lines as they stand, on a real corpus, with the training cut short (`make release` has them whole)."""
    block = re.search(r"```python\n(import tardif\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace("minutes=20", "max_steps=1, validation_documents=20, evaluations=1, guard='none'")
    adi = collection("adi")
    (tmp_path / "articles").mkdir()
    texts = {}
    for line in (adi / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:30]:
        document = json.loads(line)
        texts[document["_id"]] = f"{document['title']} {document['text']}".strip()
        (tmp_path / "articles" / f"{document['_id']}.md").write_text(texts[document["_id"]], encoding="utf-8")
    with (tmp_path / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for text in list(texts.values())[:20]:
            file.write(json.dumps({"query": text[:60], "positive": text}) + "\n")
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"[\d.]+ -> [\d.]+\n1 \S+\.md ", done.stdout), done.stdout
