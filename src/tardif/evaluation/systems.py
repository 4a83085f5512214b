"""The systems that can be evaluated, by name: a model, an index, BM25, a dense model, a run file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tardif.data.judged import JudgedSet, most_own, without_own
from tardif.data.regular import is_folder, user_path
from tardif.encoder.base import Base, resolve_base
from tardif.errors import ModelError, SettingError
from tardif.evaluation.exhaustive import Corpus, DenseScorer, rank_blocks
from tardif.evaluation.measure_names import DEPTH
from tardif.evaluation.measures import rank, rank_bm25
from tardif.evaluation.packed import PackedRun, RunBuilder
from tardif.evaluation.runs import read_run
from tardif.index.manifest import is_index
from tardif.progress import Console
from tardif.ranking import TopK
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.normal import keyed_sample
from tardif.types import Run

Kind = Literal["model", "index", "bm25", "dense", "run"]
Rank = Callable[[JudgedSet, int], Run]
# Texts that a dense model encodes between two steps of the progress bar.
_BLOCK = 512
# Queries that an index is searched for before their hits are packed.
_QUERIES = 1024


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """Options that are the same for all systems of a comparison.

    Attributes:
        language: of BM25.
        device: torch's name of the device.
        console: where progress and remarks go.
        exact: let indexes score every document.
        twice: what to do where a run file lists a document twice (:func:`tardif.evaluation.runs.read_run`).
    """

    language: str
    device: str
    console: Console
    exact: bool
    twice: str


@dataclass(frozen=True, slots=True)
class System:
    """Something that ranks documents.

    Attributes:
        name: as the user wrote it.
        kind: what it is.
        rank: returns the run of a judged set, each query's hits in order and down to a depth.
        home: the folder of a model.
    """

    name: str
    kind: Kind
    rank: Rank
    home: Path | None = None

    def run(self, judged: JudgedSet, depth: int, console: Console) -> Run:
        """Return the run that is measured and written: without a query's own document where that is no hit."""
        # A query's own document takes a rank before it is left out, so that many more hits are asked for.
        found = self.rank(judged, depth + most_own(judged.left_out))
        if isinstance(found, PackedRun):
            run: Run = found.without(judged.left_out, depth)
        else:  # a run file, which is not cut
            run = without_own(found, judged.left_out)
        for line in _remarks(self, judged, run, depth):
            console.say(f"{self.name} on {judged.name}: {line}")
        return run


def _remarks(system: System, judged: JudgedSet, run: Run, depth: int) -> list[str]:
    """What a reader of the figures should know about a run."""
    lines = []
    if silent := sum(not run.get(query) for query in judged.queries):
        lines.append(f"{silent} of {len(judged.queries)} queries found nothing, and count 0.")
    if system.kind not in ("run", "index"):
        return lines
    corpus = {document.id for document in judged.documents}
    asked = [query for query in judged.queries if query in run]
    foreign = sum(identity not in corpus for query in asked for identity in run[query])
    if corpus and foreign:
        lines.append(f"{foreign} hits are not documents of this corpus; they take up ranks.")
    if system.kind == "run":
        if others := sum(query not in judged.queries for query in run):
            lines.append(f"{others} of its queries are not judged here, and do not count.")
        longest, needed = max((len(run[query]) for query in asked), default=0), min(depth, len(corpus))
        if 0 < longest < needed:
            lines.append(f"it holds at most {longest} hits per query; the measures look at {needed}.")
    return lines


def find_system(name: str, options: SystemOptions) -> System:
    """Return the system of a name. Its arguments are checked now; models are loaded when it runs.

    Raises:
        SettingError: the name or the language cannot be used.
        DataError: a run file cannot be read.
        FolderError: an index is damaged.
        ModelError: there is no such model, or it is not late-interaction.
    """
    if name == "bm25":
        language = find_language(options.language)
        return System(name, "bm25", _rank_by_words(language, options.console))
    if name.startswith("dense:"):
        base = resolve_base(name.removeprefix("dense:"))
        return System(name, "dense", _rank_dense(name, base, options), base.folder)
    if name.startswith("hybrid:"):
        folder = user_path(name.removeprefix("hybrid:"))
        if not is_index(folder):
            raise SettingError(f"{name}: {folder} is no index: give the folder that tardif index --hybrid wrote.")
        return System(name, "index", _rank_by_index(name, folder, options, hybrid=True))
    path = user_path(name)
    if not is_folder(path) and path.exists():
        notes: list[str] = []
        run = read_run(path, twice=options.twice, notes=notes)
        for line in notes:
            options.console.tell(f"{name}: {line}")
        return System(name, "run", lambda judged, depth: run)
    if is_index(path):
        return System(name, "index", _rank_by_index(name, path, options, hybrid=False))
    base = resolve_base(name)
    if not base.is_colbert:
        raise ModelError(
            f"{name} is not a late-interaction model: measure it with dense:{name}, or as a base with --against."
        )
    return System(name, "model", _rank_by_checkpoint(name, base, options), base.folder)


def _rank_by_words(language: Language, console: Console) -> Rank:
    def ranked(judged: JudgedSet, depth: int) -> Run:
        with console.progress(f"bm25 on {judged.name}", len(judged.queries), "queries") as bar:
            return rank_bm25(judged.queries, judged.documents, language, k=depth, advance=bar.advance)

    return ranked


def _rank_by_index(name: str, folder: Path, options: SystemOptions, *, hybrid: bool) -> Rank:
    from tardif.index.protocol import RECALL
    from tardif.search.retriever import Retriever

    # onnxruntime encodes queries on the CPU; a device is for PyTorch.
    retriever = Retriever(folder, device=None if options.device == "cpu" else options.device)
    console = options.console

    def ranked(judged: JudgedSet, depth: int) -> Run:
        measured = depth - most_own(judged.left_out)
        exact = options.exact or measured > DEPTH  # the recall that pruning promises holds down to this rank
        if exact:
            why = "--exact" if options.exact else f"{measured} hits per query are measured"
            console.say(f"{name}: every document is scored ({why}).")
        elif retriever.index.prunes:
            console.say(
                f"{name}: searched at the default recall, {RECALL:g} of the exact hits; --exact (in Python "
                "exact=True) scores every document."
            )
        builder, names = RunBuilder(), list(judged.queries)
        # The whole run is of one state of the index, whatever is added to it meanwhile.
        with console.progress(f"{name} on {judged.name}", len(names), "queries") as bar, retriever.index.moment():
            for begin in range(0, len(names), _QUERIES):
                part = {query: judged.queries[query] for query in names[begin : begin + _QUERIES]}
                run = retriever.run(part, depth, exact=exact, hybrid=hybrid, group=True, advance=bar.advance)
                builder.add([list(hits.items()) for hits in run.values()])
        return builder.run(names)

    return ranked


def _rank_with(model: Any, name: str, judged: JudgedSet, depth: int, console: Console) -> Run:
    with console.progress(f"{name} on {judged.name}", len(judged.documents), "documents") as bar:
        return rank(model, judged.queries, judged.documents, k=depth, advance=bar.advance)


def _rank_by_checkpoint(name: str, base: Base, options: SystemOptions) -> Rank:
    from functools import cache

    @cache
    def load() -> Any:
        from tardif.encoder.model import open_model

        return open_model(str(base.folder), device=options.device)

    def ranked(judged: JudgedSet, depth: int) -> Run:
        _warn_of_truncation(name, load(), judged, options.console)
        return _rank_with(load(), name, judged, depth, options.console)

    return ranked


def _rank_dense(name: str, base: Base, options: SystemOptions) -> Rank:
    """One vector per text: cosine similarity of a dense sentence-transformers model."""

    def ranked(judged: JudgedSet, depth: int) -> Run:
        from tardif.mining.dense import open_dense

        model = open_dense(base, options.device)
        _warn_of_truncation(name, model, judged, options.console)
        # Equal texts are encoded once, so that they tie.
        corpus = Corpus(judged.documents, block=_BLOCK, longest_first=False)
        best = TopK(len(judged.queries), min(depth, len(corpus.ids)))
        with options.console.progress(f"{name} on {judged.name}", len(judged.documents), "documents") as bar:
            rank_blocks(corpus, DenseScorer(model, list(judged.queries.values())), best, advance=bar.advance)
        return PackedRun.of(list(judged.queries), best, corpus.ids)

    return ranked


def untrained(name: str, base: Base, judged: JudgedSet, options: SystemOptions) -> list[System]:
    """Return the two untrained systems around a base: its raw token vectors, and the recipe at step 0 (or the base
    itself, if it is a late-interaction model already)."""
    from tardif.encoder.model import build_model, fit_projection, raw_view
    from tardif.encoder.recipe import Recipe

    model = build_model(base, Recipe(), device=options.device)
    if not base.is_colbert:
        fit_projection(model, keyed_sample(0, (document.content for document in judged.documents), 256))
    _warn_of_truncation(name, model, judged, options.console)

    def system(label: str, view: Any) -> System:
        return System(label, "model", lambda judged, depth: _rank_with(view, label, judged, depth, options.console))

    itself = "as it is" if base.is_colbert else "the recipe at step 0"
    return [system("raw token vectors", raw_view(model)), system(itself, model)]


def _warn_of_truncation(name: str, model: Any, judged: JudgedSet, console: Console) -> None:
    """Say what a model does not read of the documents. They are judged whole, so they are not cut."""
    from tardif.encoder.truncation import document_reach, overlong, truncation_warning

    way_out = "Documents are judged whole, so they are not cut here; a search of pieces (--chunk) finds it."
    found, reach = overlong(model, judged.documents), document_reach(model)
    if line := truncation_warning(found, reach, len(judged.documents), way_out):
        console.say(f"{name} on {judged.name}: {line}")


def distinct_names(paths: Sequence[str | Path]) -> list[str]:
    """Shorten paths to names: the last part of each, with parts before it where two names would be the same.

    >>> distinct_names(["models/new", "old/new", "bm25"])
    ['models/new', 'old/new', 'bm25']
    """
    parts = [Path(path).parts or (str(path),) for path in paths]
    lengths = [1] * len(parts)
    while True:
        names = ["/".join(own[-length:]) for own, length in zip(parts, lengths, strict=True)]
        alike = [
            place for place, name in enumerate(names) if names.count(name) > 1 and lengths[place] < len(parts[place])
        ]
        if not alike:
            return names
        for place in alike:
            lengths[place] += 1
