"""Every option that a message advises exists in the verbs that can say it."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import typer.main

import tardif
from tardif.cli import _PARTS
from tardif.cli.app import app

SOURCE = Path(tardif.__file__).parent
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
# Of the command line, what does the work; the rest is parsed by typer, which knows the options.
RUN_BY_VERBS = ("cli/demo.py", "cli/doctor.py")
MAKING = ("prepare", "train")
DOCUMENTS = ("prepare", "train", "index", "add", "sync", "rerank")
TABLES = (*DOCUMENTS, "search")

# The verbs that can say what a module says; of a message that names another verb, that verb.
SAID_BY = {
    "evaluation": ("evaluate",),
    "data/queries.py": ("search",),
    "data/hygiene/clicks.py": MAKING,
    "data/document_report.py": DOCUMENTS,
    "data/formats/corpora.py": ("prepare", "train", "search"),
    "data/formats/document_rows.py": DOCUMENTS,
    "data/documents.py": DOCUMENTS,
    "data/json_metadata.py": DOCUMENTS,
    "data/formats": TABLES,
    "data/formats/judgement_rows.py": DOCUMENTS,
    "data/formats/trec_folder.py": (*MAKING, "evaluate"),
    "data/hygiene/cleaning.py": MAKING,
    "data/hygiene/rules.py": MAKING,
    "data/hygiene/ids.py": MAKING,
    "data/hygiene/id_texts.py": MAKING,
    "data/hygiene/moves.py": MAKING,
    "data/judged.py": ("evaluate",),
    "data/hygiene/labels.py": MAKING,
    "data/markup.py": DOCUMENTS,
    "data/mixing.py": ("train",),
    "data/split.py": MAKING,
    "index": ("search", "add", "sync", "delete"),
    "integrations/checkpoints": ("export",),
    "preparation": MAKING,
    "search/sync.py": ("sync",),
    "serving": ("serve",),
    "training": ("train",),
}
# Options that belong to a verb that the message names, or that several verbs have where they can say it.
OTHERWISE = {
    ("cli/demo.py", "minutes"): ("demo", "train"),
    ("cli/demo.py", "out"): ("demo", "train"),
    ("cli/demo.py", "name"): ("train",),
    ("folders.py", "overwrite"): ("prepare", "train", "index", "export"),
    ("index/disk.py", "hybrid"): ("index",),
    ("index/qdrant/edge_engine.py", "out"): ("index",),
    ("index/qdrant/http_engine.py", "to"): ("index",),
    ("index/qdrant/places.py", "out"): ("index",),
    ("index/qdrant/places.py", "overwrite"): ("index",),
    ("index/qdrant/qdrant_index.py", "hybrid"): ("search", "index"),
    ("search/qdrant_build.py", "hybrid"): ("index",),
    ("search/build.py", "precision"): ("index",),
    ("search/repair.py", "repair"): ("doctor",),
    ("search/qdrant_build.py", "overwrite"): ("index", "export"),
    ("index/pieces.py", "chunk"): ("index", "add", "sync"),
    ("search/indexed_model.py", "model"): ("search", "add", "sync", "explain", "doctor"),
    ("encoder/model.py", "base"): ("train",),
    ("encoder/markers.py", "no-markers"): ("train",),
    ("encoder/opening.py", "format"): ("export",),
    ("integrations/checkpoints/stanford.py", "set"): ("train",),
    ("integrations/reranker.py", "base"): ("train",),
    ("search/corpus_reader.py", "chunk"): ("index", "add", "sync"),
    ("search/corpus_reader.py", "report"): ("index", "add"),
    ("search/rerank.py", "chunk"): ("index", "add", "sync"),
    ("serving/document_worker.py", "chunk"): ("index",),
    ("evaluation/modelled.py", "chunk"): ("index",),
    ("evaluation/systems.py", "hybrid"): ("index",),
    ("training/decision.py", "hybrid"): ("index",),
    ("evaluation/runs.py", "on"): ("evaluate",),
    ("report/leaving.py", "out"): ("report",),
}
# Of other programs' commands.
FOREIGN = {("cli/doctor.py", "force-reinstall"), ("training/distributed.py", "multi")}


@cache
def options_of():
    for part in _PARTS:
        importlib.import_module(f"tardif.cli.{part}")
    verbs = typer.main.get_command(app).commands
    return {
        name: {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, verb in verbs.items()
    }


@cache
def advised():
    """Each option that a module's texts name, with the module."""
    return sorted(found_in_texts())


def found_in_texts():
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).as_posix()
        if module.startswith("cli/") and module not in RUN_BY_VERBS:
            continue
        source = path.read_text(encoding="utf-8")
        if not OPTION.search(source):  # compiling them all takes a second
            continue
        # Without docstrings, which the compiler takes out.
        texts = texts_in(compile(source, str(path), "exec", dont_inherit=True, optimize=2))
        found = {name for text in texts for name in OPTION.findall(text)}
        yield from ((module, name) for name in found)


def texts_in(constant):
    """The strings among the constants of compiled code, at any depth."""
    if isinstance(constant, str):
        yield constant
    for part in getattr(constant, "co_consts", constant if isinstance(constant, tuple | frozenset) else ()):
        yield from texts_in(part)


def verbs_of(module, option):
    if (module, option) in OTHERWISE:
        return OTHERWISE[module, option]
    places = [module, *(parent.as_posix() for parent in Path(module).parents)]
    return next((SAID_BY[place] for place in places if place in SAID_BY), None)


@pytest.mark.parametrize(("module", "option"), advised())
def test_an_option_that_is_advised_exists_where_it_is(module, option):
    if (module, option) in FOREIGN:
        return
    verbs = verbs_of(module, option)
    assert verbs is not None, "say in SAID_BY which verbs can say it"
    known = options_of()
    assert [verb for verb in verbs if f"--{option}" not in known[verb]] == []


def test_the_table_names_modules_that_advise():
    there = set(advised())
    assert set(OTHERWISE) | FOREIGN <= there
    modules = {module for module, _ in there}
    assert [place for place in SAID_BY if not any(m == place or m.startswith(f"{place}/") for m in modules)] == []
