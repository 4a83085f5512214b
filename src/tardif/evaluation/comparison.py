"""Systems measured side by side on judged sets: models, indexes, BM25, dense models, run files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tardif.checks import check_list
from tardif.data.judged import JudgedSet, Judging, read_judged
from tardif.data.regular import user_path
from tardif.data.training_set import TEST
from tardif.display import Short
from tardif.encoder.base import Base, resolve_base
from tardif.errors import DataError, FolderError, SettingError
from tardif.evaluation.measures import MEASURES, depth_of, parse_measures, per_query, significance, uncut
from tardif.evaluation.runs import lowered_note, write_run
from tardif.evaluation.systems import System, SystemOptions, distinct_names, find_system, untrained
from tardif.folders import check_file
from tardif.progress import Console, Silent
from tardif.text.languages import language as find_language
from tardif.types import Run


@dataclass(frozen=True, repr=False)
class Figures(Short):
    """One system on one data set.

    ``p`` is, per measure, the two-sided p-value of the difference to the system measured against. ``untrained`` says of
    a base which of its two untrained systems this is, the stronger one.
    """

    name: str
    data: str
    measures: Mapping[str, float]
    values: Mapping[str, Mapping[str, float]] = field(repr=False, default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)
    untrained: str = ""

    def as_json(self) -> dict[str, Any]:
        """The figures as the command contract prints them."""
        found: dict[str, Any] = {"name": self.name, "data": self.data, "measures": dict(self.measures)}
        found |= {"untrained": self.untrained} if self.untrained else {}
        return {**found, "p": dict(self.p)} if self.p else found


@dataclass(frozen=True, repr=False)
class Pair(Short):
    """Two systems on one data set by one measure: how much the first is better, and whether that may be chance.

    ``p`` is the two-sided p-value by paired randomisation over the queries; ``holm`` the same, corrected for all pairs
    of systems that were compared on this data set by this measure (Holm, 1979).
    """

    system: str
    other: str
    data: str
    measure: str
    difference: float
    p: float
    holm: float

    def as_json(self) -> dict[str, Any]:
        """The pair as the command contract prints it."""
        return {
            "system": self.system,
            "other": self.other,
            "data": self.data,
            "measure": self.measure,
            "difference": self.difference,
            "p": self.p,
            "p_holm": self.holm,
        }


def differences(figures: Sequence[Figures], against: str | None) -> list[str]:
    """A line for each system that was measured against another: by how much it differs, with the p-values."""
    other = {item.data: item.measures for item in figures if item.name == against}
    lines = []
    for item in figures:
        if item.p:
            by = {name: item.measures[name] - other[item.data][name] for name in item.p}
            said = ", ".join(f"{name} {by[name]:+.4f} (p {p:.4f})" for name, p in item.p.items())
            lines.append(f"{item.name} on {item.data}, against {against}: {said}")
    return lines


def pairs(figures: Sequence[Figures]) -> list[Pair]:
    """Every pair of systems on every data set by every measure, with p-values as they are and corrected by Holm."""
    found: list[Pair] = []
    for data in dict.fromkeys(item.data for item in figures):
        here = [item for item in figures if item.data == data]
        for name in here[0].measures:
            family = [
                Pair(
                    one.name,
                    other.name,
                    data,
                    name,
                    one.measures[name] - other.measures[name],
                    significance(one.values[name], other.values[name]),
                    1.0,
                )
                for one, other in itertools.combinations(here, 2)
            ]
            corrected = holm([pair.p for pair in family])
            found += [replace(pair, holm=p) for pair, p in zip(family, corrected, strict=True)]
    return found


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for how many they are: the least times their number, the next times one less, never falling.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = highest
    return corrected


def compare(
    systems: Sequence[str],
    data: Sequence[Any],
    *,
    split: str = TEST,
    documents: Any = None,
    queries: Any = None,
    measures: Sequence[str] = MEASURES,
    against: str | None = None,
    run_file: str | Path | None = None,
    language: str = "en",
    device: str = "cpu",
    exact: bool = False,
    how: Judging | None = None,
    console: Console | None = None,
) -> list[Figures]:
    """Measure systems on data sets; the one to compare with, last.

    All measures see one order of a query's hits, which is the order of a written run: by score, equal scores by id, the
    highest first. How many hits are looked at follows from the measures (:func:`tardif.evaluation.measures.depth_of`).

    Args:
        systems: each a checkpoint (folder or hub id), an index's folder, ``hybrid:INDEX`` (its search fused with
            BM25), ``bm25``, ``dense:MODEL``, or a TREC run file.
        data: BEIR, TREC or prepared folders, labelled tables, and all else that
            :func:`tardif.data.judged.read_judged` reads.
        split: which judgements. A prepared folder without a ``test`` split gives its ``validation``.
        documents: the corpus of labelled tables.
        queries: the texts of queries that are named by ids.
        measures: ir-measures' names.
        against: a base, measured as ``before`` is everywhere: the stronger of its raw token vectors and the untrained
            recipe around it, by the first measure. A late-interaction model is its own recipe at step 0. One that is
            among the systems is compared as it is measured there.
        run_file: where to write the run; of several systems or data sets, the folder for a run of each.
        language: for BM25.
        device: torch's name of the device.
        exact: let indexes score every document. Else they are searched as always, expecting 0.99 of the exact hits,
            down to rank 100; deeper measures have every document scored.
        how: how data is read, and what is done with what is in doubt (:data:`tardif.data.judged.RULES`).
        console: where to show progress. What the data came to is written to stderr also where it is quiet; without one,
            nothing is.

    Raises:
        SettingError: a measure, language or rule is not known, a system is given twice, or ``against`` is no model.
        DataError: a data set or a run file cannot be read.
        ModelError: a system cannot be loaded.
        FolderError: a run cannot be written.
    """
    console = console or Silent()
    systems, data = check_list(systems, "systems", SettingError), check_list(data, "data", SettingError)
    measures = check_list(measures, "measures", SettingError)
    parse_measures(measures)
    find_language(language)
    judging = how or Judging()
    running = SystemOptions(language, device, console, exact, judging.actions["duplicate-hit"])
    _check(systems, against)
    base = None if against is None else _base(against)
    names = _names(data)
    everything = [*systems, *([] if against is None else [against])]
    runs = _Runs(run_file, list(dict.fromkeys(everything)), names, only=len(systems) == 1)
    sets = [
        read_judged(one, split, documents=documents, queries=queries, how=judging, name=name)
        for one, name in zip(data, names, strict=True)
    ]
    found = [find_system(name, running) for name in systems]
    for judged in sets:
        for line in judged.shape:
            console.say(f"  {line}")
        for line in judged.report:
            console.tell(f"  {line}")
    return _Bench(measures, running, runs).all(found, sets, against, base)


@dataclass(frozen=True)
class _Bench:
    """What every system is measured with."""

    measures: Sequence[str]
    how: SystemOptions
    runs: _Runs

    def all(
        self, systems: Sequence[System], sets: Sequence[JudgedSet], against: str | None, base: Base | None
    ) -> list[Figures]:
        """The figures in the order asked, those of the system to compare with last."""
        for judged in sets:
            self._say_depth(judged)
        found = [self._figures(system, judged) for system in systems for judged in sets]
        if against is None or base is None:
            return found
        same = next((s.name for s in systems if s.kind == "model" and s.home == base.folder), None)
        if same is None:
            others = [self._untrained(against, base, judged) for judged in sets]
        else:
            self.how.console.tell(
                f"{against} is among the systems: it is compared as it is, not with its raw token vectors."
            )
            others = [replace(item, name=against) for item in found if item.name == same]
            found = [item for item in found if item.name != same]
        by_data = {item.data: item for item in others}
        return [*(_with_p(item, by_data[item.data]) for item in found), *others]

    def _say_depth(self, judged: JudgedSet) -> None:
        depth, names = depth_of(self.measures, judged.qrels, len(judged.documents)), uncut(self.measures)
        if names and depth < len(judged.documents):
            self.how.console.tell(
                f"{', '.join(names)} on {judged.name}: without a cutoff, {depth:,} hits a query are measured, as in "
                f"TREC's runs, of {len(judged.documents):,} documents."
            )

    def _run(self, system: System, judged: JudgedSet) -> Run:
        return system.run(judged, depth_of(self.measures, judged.qrels, len(judged.documents)), self.how.console)

    def _figures(self, system: System, judged: JudgedSet) -> Figures:
        run = self._run(system, judged)
        self.runs.write(system.name, judged.name, run, self.how.console)
        return self._measured(system.name, judged, run)

    def _measured(self, name: str, judged: JudgedSet, run: Run) -> Figures:
        values = per_query(judged.qrels, run, self.measures)
        means = {measure: sum(by_query.values()) / max(len(by_query), 1) for measure, by_query in values.items()}
        return Figures(name, judged.name, means, values)

    def _untrained(self, name: str, base: Base, judged: JudgedSet) -> Figures:
        """The stronger of the two untrained systems around a base, by the first measure asked for."""
        tried = []
        for system in untrained(name, base, judged, self.how):
            run = self._run(system, judged)
            tried.append((replace(self._measured(name, judged, run), untrained=system.name), run))
        first = next(iter(tried[0][0].measures))
        best, run = max(tried, key=lambda one: one[0].measures[first])
        both = " and ".join(f"{figures.untrained} {figures.measures[first]:.4f}" for figures, _ in tried)
        self.how.console.tell(
            f"{name} on {judged.name}: of its two untrained systems the stronger one counts ({first}: {both})."
        )
        self.runs.write(name, judged.name, run, self.how.console)
        return best


class _Runs:
    """Where runs are written: one in a file; several in a folder, a file for each."""

    def __init__(self, where: str | Path | None, systems: Sequence[str], sets: Sequence[str], *, only: bool) -> None:
        self._where = None if where is None else user_path(where)
        self._only = (systems[0], sets[0]) if only and len(sets) == 1 else None
        self._files = _file_names(systems, sets)
        if self._where is not None and self._only is not None:
            check_file(self._where)
        elif self._where is not None and self._where.exists() and not self._where.is_dir():
            raise FolderError(
                f"{self._where} is a file, and several runs are written: give the folder for them (--run; in Python "
                "run_file)."
            )
        if self._where is not None:
            self._keep_inputs(systems)

    def _keep_inputs(self, systems: Sequence[str]) -> None:
        """Raise if a run would be written over a run file that is measured here."""
        names = [self._where] if self._only else [self._path(*key) for key in self._files]
        written = {path.resolve() for path in names if path is not None}
        if over := next((name for name in systems if user_path(name).resolve() in written), None):
            raise FolderError(
                f"{over} is measured, and a run would be written over it: give another place for the runs (--run; in "
                "Python run_file)."
            )

    def write(self, system: str, data: str, run: Run, console: Console) -> None:
        """Write a run, where it is asked for; say where, where the name of the file is ours."""
        if self._where is None or (self._only is not None and self._only != (system, data)):
            return
        path = self._path(system, data)
        lowered = write_run(path, run)
        if self._only is None:
            console.say(f"{system} on {data}: {path}")
        for line in lowered_note(lowered):
            console.say(f"{path.name}: {line}")

    def _path(self, system: str, data: str) -> Path:
        assert self._where is not None
        return self._where if self._only is not None else self._where / self._files[system, data]


def _file_names(systems: Sequence[str], sets: Sequence[str]) -> dict[tuple[str, str], str]:
    """The file of each run: named after its system, and after its data set where there are several.

    Two that would have one name (``bm25`` and ``old/bm25.run``) are numbered: no run is written over another.
    """
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for system, short in zip(systems, distinct_names(systems), strict=True):
        for data in sets:
            parts = [short.removesuffix(".run"), *([data] if len(sets) > 1 else [])]
            stem = ".".join(parts).replace("/", "-").replace(":", "-")
            names = (f"{stem}{'' if number == 1 else f'-{number}'}.run" for number in itertools.count(1))
            found[system, data] = next(name for name in names if name.casefold() not in taken)
            taken.add(found[system, data].casefold())
    return found


def _check(systems: Sequence[str], against: str | None) -> None:
    if not systems and against is None:
        raise SettingError(
            "Give a system to evaluate: a model, an index, hybrid:INDEX, bm25, dense:MODEL or a run file."
        )
    places = [_place(name) for name in systems]
    for name, place in zip(systems, places, strict=True):
        if places.count(place) > 1:
            raise SettingError(f"{name} is given {places.count(place)} times: give each system once.")
    if against is not None and (against == "bm25" or against.startswith(("dense:", "hybrid:"))):
        raise SettingError(
            f"--against {against}: it takes a base, which is measured untrained. Give {against} as a system, and "
            "--compare for the difference of every pair (in Python tardif.evaluation.comparison.pairs)."
        )


def _base(against: str) -> Base:
    path = user_path(against)
    if path.exists() and not path.is_dir():
        raise SettingError(
            f"--against {against}: it takes a base, and this is a file. Give it as a system, and --compare for the "
            "difference of every pair (in Python tardif.evaluation.comparison.pairs)."
        )
    return resolve_base(against)


def _place(system: str) -> str:
    """A system's name, the same for all spellings of one path."""
    kind, colon, rest = system.rpartition(":")
    path = user_path(rest)
    return f"{kind}{colon}{path.resolve() if path.exists() else rest}"


def _names(data: Sequence[Any]) -> list[str]:
    """What figures are listed under: names that tell the data apart."""
    if not data:
        raise DataError("There is nothing to measure on: give data.")
    paths = [user_path(one).resolve() if isinstance(one, str | Path) else Path("data") for one in data]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise SettingError(f"The data {twice} is given twice: give each once.")
    return distinct_names(paths)


def _with_p(figures: Figures, other: Figures) -> Figures:
    p = {measure: significance(figures.values[measure], other.values[measure]) for measure in figures.values}
    return replace(figures, p=p)


def results(
    found: Sequence[Figures], *, against: str | None, settings: Mapping[str, Any], compared: Sequence[Pair] = ()
) -> dict[str, Any]:
    """What ``evaluate --out`` leaves: means over the data sets, every figure, and every pair where that was asked for.

    Raises:
        DataError: there is no figure.
    """
    if not found:
        raise DataError("Nothing was measured.")
    names = list(dict.fromkeys(figures.name for figures in found))
    own = [name for name in names if name != against]
    means = {
        name: {
            measure: sum(f.measures[measure] for f in found if f.name == name) / sum(f.name == name for f in found)
            for measure in found[0].measures
        }
        for name in names
    }
    models = [name for name in own if name != "bm25" and not name.startswith("dense:")]
    after = models[0] if models else own[0] if own else None
    return {
        "before": means.get(against or "", {}),
        "after": means.get(after or "", {}),
        "baselines": {name: means[name] for name in own if name != after},
        "settings": dict(settings),
        "systems": [figures.as_json() for figures in found],
        **({"comparisons": [pair.as_json() for pair in compared]} if compared else {}),
    }
