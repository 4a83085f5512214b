"""What can be measured, by its name: a model, an index, BM25, a dense model, a run file. Each ranks a judged set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tardif.data.judged import JudgedSet, most_own, without_own
from tardif.data.regular import is_folder, user_path
from tardif.encoder.base import Base, resolve_base
from tardif.errors import ModelError, SettingError
from tardif.evaluation.measures import DEPTH, rank
from tardif.evaluation.runs import read_run
from tardif.index.manifest import is_index
from tardif.progress import Console
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import language as find_language
from tardif.text.normal import keyed_sample
from tardif.types import Run

Kind = Literal["model", "index", "bm25", "dense", "run"]


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """What all systems are run with.

    Attributes:
        language: of BM25.
        device: torch's name of the device.
        console: where progress is shown, and what is worth a remark is said.
        exact: let indexes score every document.
        twice: what is done where a run file lists a document twice (:func:`tardif.evaluation.runs.read_run`).
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
        rank: gives the run of a judged set, each query's hits in order and down to a depth.
        home: where a model is.
    """

    name: str
    kind: Kind
    rank: Callable[[JudgedSet, int], Run]
    home: Path | None = None

    def run(self, judged: JudgedSet, depth: int, console: Console) -> dict[str, dict[str, float]]:
        """The run that is measured, and written: without a query's own document where that is no hit."""
        found = self.rank(judged, depth + most_own(judged.left_out))
        run = without_own(found, judged.left_out, None if self.kind == "run" else depth)
        for line in _remarks(self, judged, run, depth):
            console.say(f"{self.name} on {judged.name}: {line}")
        return run


def _remarks(system: System, judged: JudgedSet, run: Run, depth: int) -> list[str]:
    """What a reader of the figures should know of a run."""
    lines = []
    if silent := sum(not run.get(query) for query in judged.queries):
        lines.append(f"{silent} of {len(judged.queries)} queries found nothing, and count 0.")
    if system.kind not in ("run", "index"):
        return lines
    corpus = {document.id for document in judged.documents}
    asked = [run[query] for query in judged.queries if query in run]
    if foreign := sum(identity not in corpus for hits in asked for identity in hits):
        lines.append(f"{foreign} hits are no documents of this corpus; they take up ranks.")
    if system.kind == "run":
        if others := sum(query not in judged.queries for query in run):
            lines.append(f"{others} of its queries are not judged here, and do not count.")
        longest = max(map(len, asked), default=0)
        if 0 < longest < min(depth, len(corpus)):
            lines.append(f"it holds {longest} hits a query at most, the measures look at {min(depth, len(corpus))}.")
    return lines


def find_system(name: str, how: SystemOptions) -> System:
    """The system of a name. Its arguments are checked now, models are loaded when it runs.

    Raises:
        SettingError: the name or the language cannot be used.
        DataError: a run file cannot be read.
        FolderError: an index is damaged.
        ModelError: there is no such model, or it is not late-interaction.
    """
    if name == "bm25":
        return System(name, "bm25", _by_words(how))
    if name.startswith("dense:"):
        base = resolve_base(name.removeprefix("dense:"))
        return System(name, "dense", _by_vector(name, base, how), base.folder)
    if name.startswith("hybrid:"):
        folder = user_path(name.removeprefix("hybrid:"))
        if not is_index(folder):
            raise SettingError(f"{name}: {folder} is no index: give the folder that tardif index --hybrid wrote.")
        return System(name, "index", _by_index(name, folder, how, hybrid=True))
    path = user_path(name)
    if not is_folder(path) and path.exists():
        notes: list[str] = []
        run = read_run(path, twice=how.twice, notes=notes)
        for line in notes:
            how.console.tell(f"{name}: {line}")
        return System(name, "run", lambda judged, depth: run)
    if is_index(path):
        return System(name, "index", _by_index(name, path, how, hybrid=False))
    base = resolve_base(name)
    if not base.is_colbert:
        raise ModelError(
            f"{name} is not a late-interaction model: measure it with dense:{name}, or as a base with --against."
        )
    return System(name, "model", _by_model(name, base, how), base.folder)


def _by_words(how: SystemOptions) -> Callable[[JudgedSet, int], Run]:
    found_language = find_language(how.language)

    def ranked(judged: JudgedSet, depth: int) -> Run:
        hits = LexicalSearcher(judged.documents, found_language).search(list(judged.queries.values()), depth)
        return {query: dict(found) for query, found in zip(judged.queries, hits, strict=True)}

    return ranked


def _by_index(name: str, folder: Path, how: SystemOptions, *, hybrid: bool) -> Callable[[JudgedSet, int], Run]:
    from tardif.index.protocol import RECALL
    from tardif.search.retriever import Retriever

    retriever = Retriever(folder, device=None if how.device == "cpu" else how.device)

    def ranked(judged: JudgedSet, depth: int) -> Run:
        measured = depth - most_own(judged.left_out)
        exact = how.exact or measured > DEPTH
        if exact:
            why = "--exact" if how.exact else f"{measured} hits a query are measured"
            how.console.say(f"{name}: every document is scored ({why}).")
        elif retriever.index.prunes:
            how.console.say(
                f"{name}: searched at the default recall, {RECALL:g} of the exact hits; --exact (in Python "
                "exact=True) scores every document."
            )
        with how.console.progress(f"{name} on {judged.name}", len(judged.queries), "queries") as bar:
            return retriever.run(judged.queries, depth, exact=exact, hybrid=hybrid, group=True, advance=bar.advance)

    return ranked


def _by_model(name: str, base: Base, how: SystemOptions) -> Callable[[JudgedSet, int], Run]:
    loaded: list[Any] = []

    def ranked(judged: JudgedSet, depth: int) -> Run:
        from tardif.encoder.model import open_model

        if not loaded:
            loaded.append(open_model(str(base.folder), device=how.device))
        _say_lost(name, loaded[0], judged, how.console)
        with how.console.progress(f"{name} on {judged.name}", len(judged.documents), "documents") as bar:
            return rank(loaded[0], judged.queries, judged.documents, k=depth, advance=bar.advance)

    return ranked


def _by_vector(name: str, base: Base, how: SystemOptions) -> Callable[[JudgedSet, int], Run]:
    """One vector per text: cosine similarity of a dense sentence-transformers model."""

    def ranked(judged: JudgedSet, depth: int) -> Run:
        import numpy as np

        from tardif.mining.dense import open_dense
        from tardif.ranking import top

        model = open_dense(base, how.device)
        _say_lost(name, model, judged, how.console)
        queries = model.encode_query(list(judged.queries.values()), normalize_embeddings=True, show_progress_bar=False)
        # Equal texts are encoded once, so that they tie.
        rows = {text: row for row, text in enumerate(dict.fromkeys(d.content for d in judged.documents))}
        texts, blocks = list(rows), []
        with how.console.progress(f"{name} on {judged.name}", len(texts), "documents") as bar:
            for begin in range(0, len(texts), 512):
                block = texts[begin : begin + 512]
                blocks.append(model.encode_document(block, normalize_embeddings=True, show_progress_bar=False))
                bar.advance(len(block))
        scores = (queries @ np.concatenate(blocks).T)[:, [rows[d.content] for d in judged.documents]]  # [Q, documents]
        ids = np.array([document.id for document in judged.documents], dtype=object)
        return {query: dict(top(row, ids, depth)) for query, row in zip(judged.queries, scores, strict=True)}

    return ranked


def untrained(name: str, base: Base, judged: JudgedSet, how: SystemOptions) -> list[System]:
    """The two untrained systems around a base: its raw token vectors, and the recipe at step 0, or the base itself
    where it is a late-interaction model already."""
    from tardif.encoder.model import build_model, fit_projection, raw_view
    from tardif.encoder.recipe import Recipe

    model = build_model(base, Recipe(), device=how.device)
    if not base.is_colbert:
        fit_projection(model, keyed_sample(0, (document.content for document in judged.documents), 256))
    _say_lost(name, model, judged, how.console)

    def system(label: str, view: Any) -> System:
        def ranked(judged: JudgedSet, depth: int) -> Run:
            with how.console.progress(f"{label} on {judged.name}", len(judged.documents), "documents") as bar:
                return rank(view, judged.queries, judged.documents, k=depth, advance=bar.advance)

        return System(label, "model", ranked)

    itself = "as it is" if base.is_colbert else "the recipe at step 0"
    return [system("raw token vectors", raw_view(model)), system(itself, model)]


def _say_lost(name: str, model: Any, judged: JudgedSet, console: Console) -> None:
    """Say what a model does not read of the documents. They are judged whole, so they are not cut."""
    from tardif.encoder.truncation import document_reach, overlong, truncation_warning

    reach = document_reach(model)
    way_out = "Documents are judged whole, so they are not cut here; a search of pieces (--chunk) finds it."
    if line := truncation_warning(overlong(model, judged.documents), reach, len(judged.documents), way_out):
        console.say(f"{name} on {judged.name}: {line}")


def distinct_names(paths: Sequence[str | Path]) -> list[str]:
    """Short names of paths: the last part of each, and as many before it as tell those apart that end alike.

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
