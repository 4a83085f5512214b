"""Systems measured side by side on judged sets: models, indexes, BM25, dense models and run files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tardif.checks import check_list
from tardif.cluster.connection import check_address, connected
from tardif.data.formats.irds import irds_id
from tardif.data.judged import JudgedSet, Judging, collections_in, read_judged
from tardif.data.regular import user_path
from tardif.data.training_set import TEST
from tardif.devices import allocate_processes
from tardif.encoder.base import Base, resolve_base
from tardif.errors import DataError, SettingError
from tardif.evaluation.calculation import check_judgements
from tardif.evaluation.evaluation_evidence import EvaluationEvidence
from tardif.evaluation.figures import Figures, Pair, pairs, results
from tardif.evaluation.job import Job, data_digest, size_of
from tardif.evaluation.measure_names import MEASURES, depth_of, parse_measures, uncut
from tardif.evaluation.measures import means, per_query
from tardif.evaluation.repeating import python_call
from tardif.evaluation.saving import EvaluationFolder, Output, RunOutput
from tardif.evaluation.systems import System, SystemOptions, check_words, distinct_names, find_system, untrained
from tardif.evaluation.work import EvaluationWork, PairWork, versions, working
from tardif.index.qdrant.places import qdrant_place
from tardif.progress import Bar, Console, Silent
from tardif.text.languages import language as find_language
from tardif.types import Run

__all__ = ["Figures", "Pair", "compare", "pairs", "results"]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """The options of a comparison.

    Attributes:
        split: which judgements. A prepared folder without a ``test`` split gives its ``validation``.
        documents, queries: the corpus of labelled tables; the texts of queries that are named by ids.
        measures: ir-measures' names.
        run_file: where to write the run; of several systems or data sets, the folder for a run of each.
        overwrite: let ``run_file`` replace files that are no runs of Tardif's.
        language: of BM25.
        device: ``cpu``, ``cuda``, ``mps``, ``auto`` or a number of GPUs, as for training.
        processes: how many score the documents of a model, or of a dense model, together. Default: one for each GPU of
            ``device``; on a CPU one, which uses all cores.
        ray: the Ray cluster whose cores or GPUs score them instead (docs/cluster.md): ``local``, ``auto`` or
            ``HOST:PORT``.
        exact: let indexes score every document, as they do for measures deeper than rank 100 anyway.
        how: how data is read, and what is done with rows in doubt (:data:`tardif.data.judged.RULES`).
    """

    split: str = TEST
    documents: Any = None
    queries: Any = None
    measures: Sequence[str] = MEASURES
    run_file: str | Path | None = None
    overwrite: bool = False
    language: str = "en"
    device: str | int = "cpu"
    processes: int | None = None
    ray: str | None = None
    exact: bool = False
    how: Judging = field(default_factory=Judging)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Measuring:
        """Make the options of what a caller gave; None stands for the default.

        Raises:
            SettingError: an option is not known.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(given.keys() - known):
            raise SettingError(f"The option {unknown[0]!r} of evaluate is not known: {', '.join(sorted(known))} are.")
        return cls(**{name: value for name, value in given.items() if value is not None})

    def read(self, data: Sequence[Any], names: Sequence[str]) -> list[JudgedSet]:
        """Read the judged sets."""
        how: dict[str, Any] = {"documents": self.documents, "queries": self.queries, "how": self.how}
        return [read_judged(one, name=name, split=self.split, **how) for one, name in zip(data, names, strict=True)]


def compare(
    systems: Sequence[str],
    data: Sequence[Any],
    *,
    against: str | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
    work: EvaluationWork | None = None,
    command: str = "",
    **options: Any,
) -> list[Figures]:
    """Measure systems on data sets, the one to compare against last.

    With ``out``, the same call continues an evaluation that was interrupted: what it has measured of the same systems,
    data and options is taken from the work folder beside ``out`` (:mod:`tardif.evaluation.work`).

    All measures see one order of a query's hits: by falling score, equal scores by id, the highest first, down to the
    depth that the measures need (:func:`tardif.evaluation.measures.depth_of`).

    Args:
        systems: each a checkpoint (folder or hub id), an index's folder or its place in Qdrant, ``hybrid:INDEX``,
            ``bm25``, ``dense:MODEL`` or a TREC run file.
        data: BEIR, TREC or prepared folders, ids of ir-datasets, labelled tables: what
            :func:`tardif.data.judged.read_judged` reads. A folder of several collections means all of them.
        against: a base, measured untrained: the stronger, by the first measure, of its raw token vectors and the
            recipe at step 0. One that is among the systems is compared as it is.
        out: a folder for the run and the values of every system on every data set, as soon as they are known
            (:class:`tardif.evaluation.saving.EvaluationFolder`), and for what a report is drawn from
            (:mod:`tardif.evaluation.evidence`).
        console: where to show progress. A quiet one still reports on the data; None shows nothing.
        work: the work folder, if the caller holds it (:func:`tardif.evaluation.work.working`).
        command: the command line that this is, for the report on it; by default this call.
        **options: of :class:`Measuring`.

    Raises:
        SettingError: an argument is not known, a system is given twice, or ``against`` is no model.
        DataError, ModelError, FolderError: something cannot be read, loaded or written.

    >>> rows = [("how far is the moon?", "The moon is 384,400 km away."), ("who bakes bread?", "A baker bakes bread.")]
    >>> compare(["bm25"], [rows], measures=["RR@10"])[0].measures
    {'RR@10': 1.0}
    """
    console, asked = console or Silent(), Measuring.of(options)
    made = _prepare(systems, data, asked, against, out, console)
    if out is not None:
        given: dict[str, Any] = {"split": asked.split, "against": against, "out": out, "exact": asked.exact}
        command = command or python_call("compare", systems, data, measures=asked.measures, **given)
        kind = made.options.device
        evidence = EvaluationEvidence(user_path(out), made.sets, kind, command, console)
        made = replace(made, outputs=[*made.outputs, evidence])
    # One connection for all systems: each of them shares it.
    with (
        made.options.opened,
        working(out) if work is None else nullcontext(work) as held,
        nullcontext() if asked.ray is None else connected(asked.ray),
    ):
        figures = replace(made, work=held).run()
        if out is not None:
            evidence.write(figures, against)
        for folder in made.folders:
            folder.tell_of_others(console)
        return figures


def _prepare(
    systems: Sequence[str],
    data: Sequence[Any],
    asked: Measuring,
    against: str | None,
    out: str | Path | None,
    console: Console,
) -> _Evaluation:
    """Check everything, then read the data. Mistakes show early: no model is loaded yet."""
    lists = {"systems": systems, "data": data, "measures": asked.measures}
    systems, data, measures = (check_list(values, name, SettingError) for name, values in lists.items())
    data = [one for source in data for one in collections_in(source, asked.split)]
    parsed = parse_measures(measures)
    find_language(asked.language)
    kind, count = allocate_processes(asked.device, asked.processes)
    if asked.ray is not None:
        check_address(asked.ray)
    options = SystemOptions(
        asked.language, kind, console, asked.exact, asked.how.actions["duplicate-hit"], count, asked.ray
    )
    base, names = _check_systems(systems, against), _data_names(data)
    every = systems if against is None else [*systems, against]
    outputs, read = list[Output](), [*data, asked.documents, asked.queries]
    read += [part for source in data if isinstance(source, Mapping) for part in source.values()]
    if asked.run_file is not None:
        only, overwrite = len(systems) == 1, asked.overwrite
        outputs.append(RunOutput(asked.run_file, every, names, only=only, read=read, overwrite=overwrite))
    elif asked.overwrite:
        raise SettingError("--overwrite is for the runs of --run, which is not given (in Python run_file).")
    if out is not None:
        outputs.append(EvaluationFolder(out, every, names, read=read))
    sets = asked.read(data, names)
    for judged in sets:
        check_judgements(parsed, judged.qrels)
    with ExitStack() as opening:
        opening.enter_context(options.opened)  # closed if not all can be opened
        found = [find_system(name, options) for name in systems]
        _check_texts(sets, found, against)
        opening.pop_all()
    return _Evaluation(measures, options, outputs, sets, found, against, base)


@dataclass(frozen=True)
class _Evaluation:
    """What is measured in one comparison, and its steps."""

    measures: Sequence[str]
    options: SystemOptions
    outputs: Sequence[Output]
    sets: Sequence[JudgedSet]
    systems: Sequence[System]
    against: str | None
    base: Base | None
    work: EvaluationWork = field(default_factory=EvaluationWork)
    digests: dict[str, str] = field(default_factory=dict)

    def run(self) -> list[Figures]:
        """Return the figures in the order asked, those of the system to compare against last."""
        systems, against, base = self.systems, self.against, self.base
        self._report_data()
        # Found by folder: hub id and path may name the same model.
        same = next((s.name for s in systems if base and s.kind == "model" and s.home == base.folder), None)
        count = sum(system.kind != "run" for system in systems) + 2 * (base is not None and same is None)
        with self.options.console.progress("Evaluating", count * sum(map(size_of, self.sets)), "scores") as bar:
            found = [self._figures(system, judged, bar) for system in systems for judged in self.sets]
            if against is None or base is None:
                return found
            others = [] if same else [self._untrained(against, base, judged, bar) for judged in self.sets]
        if same is not None:
            self.options.console.tell(
                f"{against} is among the systems: it is compared as it is, not with its raw token vectors."
            )
            others = [replace(item, name=against) for item in found if item.name == same]
            found = [item for item in found if item.name != same]
        by_data = {item.data: item for item in others}
        return [*(item.against(by_data[item.data]) for item in found), *others]

    def _report_data(self) -> None:
        console, uncut_names = self.options.console, uncut(self.measures)
        for judged in self.sets:
            for line in judged.shape:
                console.say(f"  {line}")
            for line in judged.report:
                console.tell(f"  {line}")
        for judged in self.sets:
            depth = self._depth(judged)
            if uncut_names and depth < len(judged.documents):
                console.tell(
                    f"{', '.join(uncut_names)} on {judged.name}: without a cutoff, {depth:,} hits a query are "
                    f"measured, as in TREC's runs, of {len(judged.documents):,} documents."
                )

    def _depth(self, judged: JudgedSet) -> int:
        return depth_of(self.measures, judged.qrels, len(judged.documents))

    def _run(self, system: System, judged: JudgedSet, bar: Bar, key: str = "") -> Run:
        """The run of a system, which the work folder knows by a key of its own, or by its name."""
        depth = self._depth(judged)
        work = PairWork() if system.kind == "run" else self._known(system, judged, depth, key or system.name)
        job = Job(judged, depth, work, bar, f"{system.name} on {judged.name}")
        return system.run(job, self.options.console)

    def _known(self, system: System, judged: JudgedSet, depth: int, key: str) -> PairWork:
        if not self.work.is_kept:  # fingerprints take a while
            return PairWork()
        if judged.name not in self.digests:
            self.digests[judged.name] = data_digest(judged)
        given = {"the data": self.digests[judged.name], "the depth": str(depth), "--exact": str(self.options.exact)}
        return self.work.pair(key, judged.name, {**given, **system.given(), **versions()}, self.options.console)

    def _figures(self, system: System, judged: JudgedSet, bar: Bar) -> Figures:
        run = self._run(system, judged, bar)
        # Saved first: a measure may refuse it.
        self._save(system, judged, run)
        return self._saved(self._measured(system.name, judged, run))

    def _save(self, system: System, judged: JudgedSet, run: Run) -> None:
        """Write a run wherever the user asked for it."""
        for output in self.outputs:
            output.save(system, judged.name, run, self.options.console)

    def _saved(self, figures: Figures) -> Figures:
        """Write figures, if the user asked for a folder."""
        for folder in self.folders:
            folder.save_values(figures)
        return figures

    @property
    def folders(self) -> list[EvaluationFolder]:
        """The folder of the evaluation, if the user asked for one."""
        return [output for output in self.outputs if isinstance(output, EvaluationFolder)]

    def _measured(self, name: str, judged: JudgedSet, run: Run) -> Figures:
        values = per_query(judged.qrels, run, self.measures)
        return Figures(name, judged.name, means(values), values)

    def _untrained(self, name: str, base: Base, judged: JudgedSet, bar: Bar) -> Figures:
        """Measure the stronger of the two untrained systems around a base, by the first measure asked for."""
        tried = []
        for system in untrained(base, judged, self.options):
            run = self._run(system, judged, bar, f"--against {name}: {system.name}")
            tried.append((replace(self._measured(name, judged, run), untrained=system.name), system, run))
        first = next(iter(tried[0][0].measures))
        # Of the untrained systems the stronger one counts: a gain over the weaker would be no gain.
        best, system, run = max(tried, key=lambda one: one[0].measures[first])
        both = " and ".join(f"{figures.untrained} {figures.measures[first]:.4f}" for figures, *_ in tried)
        self.options.console.tell(
            f"{name} on {judged.name}: of its two untrained systems the stronger one counts ({first}: {both})."
        )
        self._save(replace(system, name=name), judged, run)
        return self._saved(best)


def _check_systems(systems: Sequence[str], against: str | None) -> Base | None:
    """Check the names of the systems, before any data are read; return the base to compare against."""
    if not systems and against is None:
        raise SettingError("Give a system: a model, an index, hybrid:INDEX, bm25, dense:MODEL or a run file.")
    for name in systems:
        check_words(name)
    places = [_place(name) for name in systems]
    for name, place in zip(systems, places, strict=True):
        if places.count(place) > 1:
            raise SettingError(f"{name} is given {places.count(place)} times: give each system once.")
    if against is None:
        return None
    instead = "--compare for the difference of every pair (in Python tardif.evaluation.comparison.pairs)"
    if against == "bm25" or against.startswith(("dense:", "hybrid:")):
        raise SettingError(
            f"--against {against}: it takes a base, which is measured untrained. Give {against} as a system, and "
            f"{instead}."
        )
    path = user_path(against)
    if path.exists() and not path.is_dir():
        raise SettingError(f"--against {against}: it takes a base, not a file. Give it as a system, and {instead}.")
    return resolve_base(against)


def _check_texts(sets: Sequence[JudgedSet], systems: Sequence[System], against: str | None) -> None:
    """Refuse systems that rank documents on judgements without texts."""
    ranking = [system.name for system in systems if system.kind != "run"] + ([against] if against is not None else [])
    for judged in sets:
        if not judged.documents and ranking:
            raise SettingError(
                f"{ranking[0]} needs the texts of {judged.name}, and only its judgements are given: give the corpus "
                "and the queries too (--documents, --queries; in Python documents=, queries=)."
            )


def _place(system: str) -> str:
    """A system's name, the same for all spellings of one path."""
    if (there := qdrant_place(system)) is not None:
        return str(there)
    kind, colon, rest = system.rpartition(":")
    path = user_path(rest)
    return f"{kind}{colon}{path.resolve() if path.exists() else rest}"


def _data_names(data: Sequence[Any]) -> list[str]:
    """Names that tell the data sets apart."""
    if not data:
        raise DataError("There is nothing to measure on: give data.")
    paths = [user_path(one).resolve() if isinstance(one, str | Path) else Path("data") for one in data]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise SettingError(f"The data {twice} is given twice: give each once.")
    # An id of ir-datasets is a name already: its last part is often only a split.
    return [irds_id(one) or name for one, name in zip(data, distinct_names(paths), strict=True)]
