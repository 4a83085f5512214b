"""The demo: train, measure and search on the docstrings of the Python packages that are installed.

The first line of a function's or class's docstring is a query. Its document is the signature with the rest of the
docstring, without that line. Sources are parsed, never imported. Whole top-level modules are held out, so that nothing
leaks from training to validation.
"""

from __future__ import annotations

import ast
import re
import shutil
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from tardif.display import Short
from tardif.encoder import MINILM
from tardif.folders import expanded, write_json
from tardif.text.docstrings import Docstring, Documented, docstrings, dotted_name
from tardif.text.normal import keyed_order, normalise
from tardif.types import Document

if TYPE_CHECKING:
    from tardif.search.retriever import Retriever

# Of a larger module only a keyed draw of its functions is used, so that no module is half of the corpus.
PER_MODULE = 250
# These sizes keep the whole demo under ten minutes on two cores.
MAX_TRAIN, MAX_HELD_OUT = 2400, 300
VALIDATION_DOCUMENTS = 600
# In other words than the docstrings that answer them.
SEARCHES = (
    "wait until all threads are finished",
    "shortest way between two places on a map",
    "turn bytes into text that is safe for e-mail",
)
# Of the modules, not of the queries: functions of one module describe each other.
HELD_OUT_SHARE = 0.2
# Shorter summaries are no questions, and shorter bodies cannot be told apart.
MIN_SUMMARY_WORDS, MIN_BODY_WORDS, MAX_BODY_CHARACTERS = 4, 12, 700
# Tests have no users, vendored packages are copies of others, and site-packages has a root of its own.
_SKIPPED_PARTS = frozenset({"tests", "test", "testing", "_vendor", "vendor", "site-packages", "idlelib", "lib2to3"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented function or class."""

    module: str
    name: str
    summary: str
    document: Document


@dataclass(frozen=True, repr=False)
class DocstringCorpus(Short):
    """The demo's data: training pairs, held-out pairs, and the documents of both."""

    train: list[tuple[str, str]]
    held_out: list[tuple[str, str]]
    documents: list[Document]
    held_out_modules: list[str]


def docstring_corpus(roots: list[Path] | None = None, *, seed: int = 0) -> DocstringCorpus:
    """Collect the pairs and documents of the demo.

    Entries that share their summary or text are left out: each would be right and wrong at once.

    Args:
        roots: folders of modules. By default the standard library and the installed packages.
        seed: of the split and the draws.
    """
    roots = roots or _python_roots()
    entries: dict[str, list[Entry]] = {}
    for root in roots:
        for module, files in _modules(root):
            if module not in entries:
                entries[module] = _some_entries(files, root, module, seed)
    unique = _unique([entry for module in sorted(entries) for entry in entries[module]])
    # A keyed order depends on the names alone, so another package in the environment changes few places.
    names = sorted({entry.module for entry in unique}, key=lambda name: keyed_order(seed, name))
    held: set[str] = set(names[: max(round(len(names) * HELD_OUT_SHARE), 1)])
    # Shuffled by key, because modules come in alphabetical order and the first MAX_TRAIN would be a's to m's.
    shuffled = sorted(unique, key=lambda entry: keyed_order(seed + 1, entry.document.id))
    train = [entry for entry in shuffled if entry.module not in held][:MAX_TRAIN]
    held_out = [entry for entry in shuffled if entry.module in held][:MAX_HELD_OUT]
    return DocstringCorpus(
        [(entry.summary, entry.document.content) for entry in train],
        [(entry.summary, entry.document.content) for entry in held_out],
        [entry.document for entry in (*train, *held_out)],
        sorted({entry.module for entry in held_out}),
    )


def _python_roots() -> list[Path]:
    # The standard library and site-packages: what every Python has, so that nothing must be downloaded.
    paths = sysconfig.get_paths()
    return [Path(paths["stdlib"]), Path(paths["purelib"])]


def _modules(root: Path) -> Iterator[tuple[str, list[Path]]]:
    """List the top-level modules under a root, each with its source files."""
    for path in sorted(root.iterdir()):
        if path.name.startswith(("_", ".", "test")) or path.name in _SKIPPED_PARTS or path.name == "tardif":
            continue
        if path.suffix == ".py":
            yield path.stem, [path]
        elif path.is_dir() and (path / "__init__.py").is_file():
            files = [
                file
                for file in sorted(path.rglob("*.py"))
                if not (set(file.relative_to(root).parts) & _SKIPPED_PARTS or file.name.startswith("test_"))
            ]
            yield path.name, files


def _some_entries(files: list[Path], root: Path, module: str, seed: int) -> list[Entry]:
    """Take up to :data:`PER_MODULE` entries, from the module's files in a keyed order."""
    found: list[Entry] = []
    for path in sorted(files, key=lambda path: keyed_order(seed, path.relative_to(root).as_posix())):
        found += _entries(path, root, module)
        if len(found) >= PER_MODULE:
            break
    return found[:PER_MODULE]


def _entries(path: Path, root: Path, module: str) -> Iterator[Entry]:
    return filter(None, (_entry(found, module) for found in docstrings(path, dotted_name(path, root))))


def _entry(found: Docstring, module: str) -> Entry | None:
    if (
        not MIN_SUMMARY_WORDS <= len(found.summary.split()) <= 40
        or len(found.body.split()) < MIN_BODY_WORDS
        or re.match(r"[a-zA-Z_.]+\(.*\)", found.summary)  # a signature, not a sentence
        or found.summary.endswith(":")
        or normalise(found.summary) in normalise(found.body)  # the answer would repeat the question
    ):
        return None
    text = f"{_signature(found.node)} {found.body}"[:MAX_BODY_CHARACTERS]
    return Entry(module, found.name, found.summary, Document(found.name, text, metadata={"module": module}))


def _signature(node: Documented) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"{node.name}({', '.join(argument.arg for argument in node.args.args if argument.arg != 'self')})"


def _unique(entries: list[Entry]) -> list[Entry]:
    """Drop entries that share their summary, text or name with another one."""
    keys = [(normalise(entry.summary), normalise(entry.document.text), entry.document.id) for entry in entries]
    # Copies would be positives of each other's queries, and count as errors.
    counts = [Counter(column) for column in zip(*keys, strict=True)]
    alone = [all(count[key] == 1 for count, key in zip(counts, own, strict=True)) for own in keys]
    return list(compress(entries, alone))


def run_demo(out: Path, *, minutes: float = 4.0, base: str = MINILM, command: str = "") -> Path:
    """Train on this machine's docstrings, measure on held-out modules, index, and answer three searches.

    Writes ``out/docstrings`` (the checkpoint), ``out/index``, ``out/results.json`` and ``out/report.html``. The folder
    of an earlier demo is replaced.

    Args:
        out: the folder for all of it.
        minutes: time for training. The rest takes about four more minutes on two cores.
        base: the model to start from.
        command: the command line, for the report.

    Raises:
        TardifError: a step failed.
    """
    from tardif.evaluation.evidence import PAGE
    from tardif.search.retriever import Retriever
    from tardif.training.decision import summary
    from tardif.training.trainer import Trainer

    out = expanded(out).absolute()
    # A folder that is no demo of ours is not replaced.
    again = (out / "results.json").is_file() or not out.exists()
    trainer = Trainer("docstrings", base, out=out, overwrite=again)
    trainer.command = command
    say = trainer.console.say
    say("Reading the docstrings of this machine's Python packages (parsed, never imported) ...")
    corpus = docstring_corpus()
    held_out = f"{len(corpus.held_out)} held out with the modules {', '.join(corpus.held_out_modules)}"
    say(f"{len(corpus.train)} training pairs; {held_out}.")
    trainer.prepare(corpus.train, corpus.documents, validation=corpus.held_out)
    result = trainer.train(
        minutes=minutes,
        evaluations=1,
        validation_documents=VALIDATION_DOCUMENTS,
        evaluation_share=None,  # all held-out queries count, however short the run
        guard=None,  # the built-in one is made from the same docstrings
    )
    write_json(out / "results.json", result.as_json())
    page = out / PAGE
    if (result.path / PAGE).is_file():  # it needs no other file
        shutil.copyfile(result.path / PAGE, page)
    say("Indexing all functions, including the held-out ones.")
    _search(Retriever.build(result.path, corpus.documents, out / "index", overwrite=again), say)
    say(f"On {len(corpus.held_out)} queries of modules that it has never seen:")
    for line in summary(result):
        say(line)
    for line in result.warnings:
        trainer.console.warn(line)
    for line in (
        "",
        f"The model:   {_shown(result.path)}",
        f"The index:   {_shown(out / 'index')}",
        f"The figures: {_shown(out / 'results.json')}",
        *([f"The report:  {_shown(page)}"] if page.is_file() else []),
        "",
        f'Next, search it:           tardif search {_shown(out / "index")} "wait until all threads are done"',
        "or train on your own data: tardif train pairs.jsonl --name mine --out models --minutes 20",
    ):
        say(line)
    return out


def _search(retriever: Retriever, say: Callable[[str], None]) -> None:
    """Show the hits of three searches."""
    for query in SEARCHES:
        say("")
        say(f"Search: {query}")
        for hit in retriever.search(query, k=3):
            say(f"  {hit.rank}. {hit.document_id}  ({hit.score:.2f})")
            say(f"     {' '.join(hit.text.split())[:110]}")
    say("")


def _shown(path: Path) -> str:
    """Write a path relative to the current folder, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
