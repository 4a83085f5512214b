"""The systems that can be evaluated, by name: a model, an index, BM25, a dense model, a run file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tardif.cluster.connection import connected
from tardif.data.judged import JudgedSet, most_own, without_own
from tardif.data.regular import is_folder, user_path
from tardif.encoder.base import Base, resolve_base
from tardif.errors import ModelError, SettingError
from tardif.evaluation.job import Job
from tardif.evaluation.measure_names import DEPTH
from tardif.evaluation.measures import rank_bm25
from tardif.evaluation.modelled import ModelKind, Models, ModelSpec, rank_part, warn_of_truncation
from tardif.evaluation.packed import PackedRun, RunBuilder, packed
from tardif.evaluation.runs import read_run
from tardif.evaluation.sharing import Share, in_cluster, in_processes
from tardif.evaluation.showing import Explain
from tardif.explanation import Explanation
from tardif.index.manifest import is_index
from tardif.index.qdrant.places import qdrant_place
from tardif.index.qdrant.qdrant_index import QdrantIndex
from tardif.progress import Console
from tardif.ranking import TopK
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.normal import keyed_sample
from tardif.types import Document, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tardif.search.retriever import Retriever

Kind = Literal["model", "index", "bm25", "dense", "run"]
Rank = Callable[[Job], Run]
# Texts that the projection of an untrained base is fitted on.
_PROJECTION_DOCUMENTS = 256
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
        processes: how many score the documents of a model.
        ray: the Ray cluster that scores them instead, which this process is connected to.
        models: opens models.
        opened: closes the indexes when it is closed.
    """

    language: str
    device: str
    console: Console
    exact: bool
    twice: str
    processes: int = 1
    ray: str | None = None
    models: Models = field(default_factory=Models)
    opened: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True, slots=True)
class System:
    """Something that ranks documents.

    Attributes:
        name: as the user wrote it.
        kind: what it is.
        rank: returns the run of a judged set, each query's hits in order and down to a depth.
        home: the folder of a model.
        given: returns what the hits depend on beside the data: names and fingerprints.
        explainer: opens what explains the hits' scores; None if nothing does.
    """

    name: str
    kind: Kind
    rank: Rank
    home: Path | None = None
    given: Callable[[], Mapping[str, str]] = dict
    explainer: Callable[[], Explain] | None = None

    def run(self, job: Job, console: Console) -> Run:
        """Return the run that is measured and written: without a query's own document where that is no hit. One that
        an interrupted evaluation has finished is taken from there."""
        judged, depth = job.judged, job.depth
        found: Run | None = job.work.finished(list(judged.queries))
        if found is not None:
            job.known()
            console.say(f"{self.name} on {judged.name}: taken from the evaluation that was interrupted.")
        else:
            # A query's own document takes a rank before it is left out, so that many more hits are asked for.
            found = self.rank(replace(job, depth=depth + most_own(judged.left_out)))
            if isinstance(found, PackedRun):
                job.work.finish(found)
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
        ServiceError: no service answers for an index in Qdrant.
        ModelError: there is no such model, or it is not late-interaction.
    """
    check_words(name)
    if name == "bm25":
        language = find_language(options.language)
        return System(name, "bm25", _rank_by_words(language), None, lambda: {"the language": language.code})
    if name.startswith("dense:"):
        return _model(name, "dense", resolve_base(name.removeprefix("dense:")), options)
    if name.startswith("hybrid:"):
        folder = user_path(name.removeprefix("hybrid:"))
        if not is_index(folder):
            raise SettingError(f"{name}: {folder} is no index: give the folder that tardif index --hybrid wrote.")
        return _index(name, folder, options, hybrid=True)
    place, path = qdrant_place(name), user_path(name)
    if place is None and not is_folder(path) and path.exists():
        notes: list[str] = []
        run = read_run(path, twice=options.twice, notes=notes)
        for line in notes:
            options.console.tell(f"{name}: {line}")
        return System(name, "run", lambda job: run)
    if place is not None or is_index(path):
        return _index(name, path if place is None else str(place), options, hybrid=False)
    base = resolve_base(name)
    if not base.is_colbert:
        raise ModelError(
            f"{name} is not a late-interaction model: measure it with dense:{name}, or as a base with --against."
        )
    return _model(name, "late", base, options)


def check_words(name: str) -> None:
    """Refuse a hybrid search of an index in Qdrant.

    Raises:
        SettingError: the name asks for one, or is no address of an index in Qdrant.
    """
    if name.startswith("hybrid:") and (place := qdrant_place(name.removeprefix("hybrid:"))) is not None:
        raise SettingError(
            f"{name}: an index in Qdrant holds no words. Evaluate {place} by its vectors, or an index of Tardif's own "
            "that was built with --hybrid."
        )


def _rank_by_words(language: Language) -> Rank:
    def ranked(job: Job) -> Run:
        judged = job.judged
        return rank_bm25(judged.queries, judged.documents, language, k=job.depth, advance=job.queries_done)

    return ranked


def _index(name: str, where: Path | str, options: SystemOptions, *, hybrid: bool) -> System:
    from tardif.search.retriever import Retriever

    # onnxruntime encodes queries on the CPU; a device is for PyTorch.
    retriever = Retriever(where, device=None if options.device == "cpu" else options.device)
    options.opened.enter_context(retriever)
    index: Any = retriever.index
    if hybrid and index.manifest.get("words") is None:  # before another system ranks
        raise SettingError(
            f"{name}: {where} was built without words: evaluate {where} by its vectors, or build it with --hybrid "
            "(in Python hybrid=True)."
        )

    def given() -> dict[str, str]:
        state = index.digest() if isinstance(index, QdrantIndex) else f"{index.identity} {index.change}"
        return {"the index": state}

    def explain(pairs: Sequence[tuple[str, Document]]) -> Sequence[Explanation]:
        return retriever.explain_many([(query, document.id) for query, document in pairs])

    ranked = _rank_by_index(name, retriever, options, hybrid=hybrid)
    # The score of a hybrid search is not its MaxSim.
    return System(name, "index", ranked, None, given, None if hybrid else lambda: explain)


def _rank_by_index(name: str, retriever: Retriever, options: SystemOptions, *, hybrid: bool) -> Rank:
    from tardif.index.protocol import RECALL

    console = options.console

    def ranked(job: Job) -> Run:
        judged, depth = job.judged, job.depth
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
        # The whole run is of one state of the index, whatever is added to it meanwhile. Qdrant has no states, and a
        # moment of it would hold the texts of all hits.
        index = retriever.index
        with nullcontext() if isinstance(index, QdrantIndex) else index.moment():
            for begin in range(0, len(names), _QUERIES):
                part = {query: judged.queries[query] for query in names[begin : begin + _QUERIES]}
                run = job.work.some(begin, list(part))
                if run is None:
                    found = retriever.run(part, depth, exact=exact, hybrid=hybrid, group=True, advance=job.queries_done)
                    run = packed(found)
                    job.work.keep_some(begin, run)
                else:
                    job.queries_known(len(part))
                builder.add([list(hits.items()) for hits in run.values()])
        return builder.run(names)

    return ranked


def _rank_by_model(name: str, spec: ModelSpec, options: SystemOptions) -> Rank:
    """Every query is scored with every document, by this process or by several."""

    def ranked(job: Job) -> Run:
        judged, corpus = job.judged, spec.corpus(job.judged.documents)
        best, done = TopK(len(judged.queries), min(job.depth, len(corpus.ids))), set[int]()
        for keys, blocks in job.work.parts(best.keys.shape):
            best.merge(keys)
            done |= set(blocks)
            job.documents_known(sum(map(corpus.size, blocks)))
        rest = [block for block in range(corpus.blocks) if block not in done]
        if rest and judged.queries:
            share = Share(spec, name, corpus, rest, best.keys.shape)
            for keys in _parts(share, job, options):
                best.merge(keys)
        return PackedRun.of(list(judged.queries), best, corpus.ids)

    return ranked


def _parts(share: Share, job: Job, options: SystemOptions) -> Iterator[NDArray[np.uint64]]:
    """The best hits in the blocks that are left, of each process that scored some of them."""
    if options.processes > 1 and options.ray is None and len(share.blocks) > 1:
        yield from in_processes(share, job, min(options.processes, len(share.blocks)), options.console)
        return
    model, judged = options.models.open(share.spec), job.judged
    if share.spec.kind != "raw":  # of two untrained systems, which read alike, one says it
        warn_of_truncation(share.name, model, judged.name, judged.documents, options.console)
    if options.ray is not None:
        with connected(options.ray) as cluster:
            yield from in_cluster(share, job, cluster, options.console)
        return
    part = TopK(*share.shape)
    score = share.spec.scorer(model, list(judged.queries.values()))
    rank_part(share.corpus, score, part, share.blocks, job.work.new_part(), job.documents_done)
    yield part.keys


def _model(name: str, kind: ModelKind, base: Base, options: SystemOptions, sample: Sequence[str] = ()) -> System:
    spec = ModelSpec(kind, str(base.folder), options.device, tuple(sample))

    @cache
    def given() -> dict[str, str]:
        from tardif.encoder.identity import fingerprint

        return {"the model": fingerprint(base.folder), "the device": options.device}

    def explainer() -> Explain:
        from tardif.search.explain import explain_texts

        return partial(explain_texts, options.models.open(spec))

    ranked = _rank_by_model(name, spec, options)
    if kind == "dense":
        return System(name, "dense", ranked, base.folder, given)
    return System(name, "model", ranked, base.folder, given, explainer)


def untrained(base: Base, judged: JudgedSet, options: SystemOptions) -> list[System]:
    """Return the two untrained systems around a base: its raw token vectors, and the recipe at step 0 (or the base
    itself, if it is a late-interaction model already)."""
    contents = (document.content for document in judged.documents)
    sample = [] if base.is_colbert else keyed_sample(0, contents, _PROJECTION_DOCUMENTS)
    itself = "as it is" if base.is_colbert else "the recipe at step 0"
    return [
        _model("raw token vectors", "raw", base, options, sample),
        _model(itself, "step 0", base, options, sample),
    ]


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
