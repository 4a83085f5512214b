"""What is not installed is refused before any work, in one line that names the extra; the rest works without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tardif as tardif_package
from tardif.errors import MissingExtraError
from tardif.extras import EXTRAS, extra_of, missing, need, refusal

ROOT = Path(__file__).parents[1]


def declared():
    """The packages of each extra in pyproject.toml, and those of every installation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {**project["optional-dependencies"], "": project["dependencies"]}
    return {extra: {re.split(r"[\[<>=;]", line)[0].lower() for line in lines} for extra, lines in lists.items()}


def test_the_table_agrees_with_the_package():
    packages = declared()
    for extra, names in EXTRAS.items():
        assert names.keys() <= packages[extra], extra
    assert EXTRAS["train"].keys() == packages["train"]
    assert EXTRAS["serve"].keys() == packages["serve"]


def test_what_every_installation_brings_is_in_no_extra():
    packages = declared()
    assert not packages[""] & {name for names in EXTRAS.values() for name in names}


@pytest.fixture
def lacking(monkeypatch):
    """Take packages away, as if they were not installed."""

    def take(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return take


def test_a_missing_package_is_found_without_an_import(lacking):
    assert not missing("train")
    lacking("torch", "duckdb")
    assert missing("train") == ["torch", "duckdb"]
    assert missing("train", ["pyarrow"]) == []
    with pytest.raises(MissingExtraError, match=r"^Training needs torch and duckdb, .*'tardif\[train\]'\.$"):
        need("train", "Training")
    with pytest.raises(ImportError, match=r"'tardif\[train\]', or give an index\.$"):
        need("train", "Training", way_out="give an index")


def test_long_lists_are_cut():
    assert refusal("It", ["a", "b", "c"], "x").startswith("It needs a, b and c, which are")
    assert refusal("It", ["a", "b", "c", "d"], "x").startswith("It needs a, b, c and more, which are")


def test_a_module_of_another_project_has_no_extra():
    assert (extra_of("torch.nn"), extra_of("fastapi"), extra_of("numpy")) == ("train", "serve", None)


@pytest.mark.parametrize(
    "words",
    [
        "train pairs.jsonl --name new --out {0}",
        "prepare pairs.jsonl --out {0}",
        "evaluate bm25 --data beir",
        "report models",
        "index model corpus.jsonl --out {0}",
        "rerank model query --documents corpus.jsonl",
        "explain model query text",
        "export model --format pylate --out {0}",
        "export model --push me/model",
        "demo --out {0}",
    ],
)
def test_a_verb_names_the_extra_before_it_reads_anything(fails, lacking, tmp_path, words):
    lacking("torch", "sentence_transformers")
    # None of the files exists: whoever looked for them would say so.
    line = fails(*words.format(tmp_path / "out").split())
    assert re.fullmatch(r"tardif: .+ needs torch.*, which are not installed: pip install 'tardif\[train\]'.*\.\n", line)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["serve", "mcp"])
def test_the_service_names_its_extra(fails, lacking, monkeypatch, verb):
    lacking("fastapi")
    for name in [name for name in sys.modules if name.startswith("tardif.serving")]:
        monkeypatch.delitem(sys.modules, name)
    line = fails(verb, "no-such.index")
    assert line == "tardif: tardif.serving needs fastapi, which is not installed: pip install 'tardif[serve]'.\n"


def test_a_module_that_nobody_looked_for_is_named_too(fails, monkeypatch, tmp_path):
    def draw(*_, **__):
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr("tardif.report.report", draw)
    line = fails("report", tmp_path)
    assert line == "tardif: This needs matplotlib, which is not installed: pip install 'tardif[train]'.\n"


@pytest.mark.parametrize(
    "call",
    [
        lambda: tardif_package.Trainer("new"),
        lambda: tardif_package.evaluate("bm25", "beir"),
        lambda: tardif_package.rerank("model", "query", ["text"]),
        lambda: tardif_package.Retriever.build("model", ["text"], "out"),
        lambda: tardif_package.Retriever.encode("model", ["text"]),
        lambda: tardif_package.TrainingSet.load("set"),
    ],
)
def test_a_call_names_the_extra(lacking, call):
    lacking(*EXTRAS["train"].values())
    with pytest.raises(MissingExtraError, match=r"pip install 'tardif\[train\]'"):
        call()


def test_the_framework_is_named(lacking, monkeypatch):
    lacking("langchain_core")
    monkeypatch.delitem(sys.modules, "tardif.integrations.langchain", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'tardif\[langchain\]'"):
        import tardif.integrations.langchain  # noqa: F401


LIGHT = """
import contextlib, io, sys
from tardif.extras import EXTRAS
for module in EXTRAS["train"].values():
    sys.modules[module] = None
from tardif.cli import main
index, corpus = sys.argv[1:]
for words in (
    ["--help"], ["doctor"], ["doctor", index], ["search", index, "the tides", "--filter", "number > 2"],
    ["search", index, "the tides", "--hybrid", "--explain", "--json"], ["explain", index, "the tides"],
    ["explain", index, "the tides", "the moon makes the tides", "--html", index + ".html"],
    ["rerank", index, "the tides", "--documents", corpus], ["delete", index, "d3"],
):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(words)
    print(words[0], len(said.getvalue()) > 0)
"""


def test_what_needs_no_model_runs_without_the_extra(tardif, multi_vector_folder, tmp_path):
    index, corpus = tmp_path / "index", tmp_path / "corpus.jsonl"
    corpus.write_text("".join(f'{{"_id": "d{n}", "text": "text {n}", "number": {n}}}\n' for n in range(9)))
    assert tardif("index", multi_vector_folder, corpus, "--out", index, "--hybrid", "--quiet")[0] == 0
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(index), str(corpus)],
        env=os.environ | {"TARDIF_TRACEBACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True") == 9, done.stdout + done.stderr
