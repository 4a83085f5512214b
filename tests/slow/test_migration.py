"""The scripts of examples/migration run from start to end on a real collection with a small real base."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("migration")]
EXAMPLES = Path(__file__).parents[2] / "examples" / "migration"


def run(script, work, *arguments):
    command = [sys.executable, EXAMPLES / f"{script}.py", *arguments]
    ended = subprocess.run(list(map(str, command)), cwd=work, text=True, capture_output=True, check=False, timeout=900)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def adi(collection):
    return collection("adi")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("migration")


@pytest.fixture(scope="module")
def checkpoint(adi, bert_tiny, work):
    path = Path(run("train", work, adi, bert_tiny).splitlines()[-1])
    assert path.name == "MyColBERT"
    assert (work / "data" / "triples.train.colbert.jsonl").stat().st_size > 0
    return path


def test_a_trained_checkpoint_is_indexed_and_searched(adi, work, checkpoint):
    assert run("index_and_search", work, adi, checkpoint)


def test_it_reranks_and_searches_in_memory(adi, work, checkpoint):
    assert len(run("rerank_in_memory", work, adi, checkpoint).splitlines()) == 7


def test_it_serves_langchain(adi, work, checkpoint):
    assert len(run("langchain_components", work, adi, checkpoint).splitlines()) == 5
