"""What an evaluation saves: runs in TREC's format, and the values of every query.

``evaluate --out DIR`` leaves

    results.json                     the figures, the comparisons, the settings
    runs/SYSTEM.DATA.run             what each system found, in TREC's format
    per_query/SYSTEM.DATA.tsv        each measure of each query, as ``trec_eval -q`` prints them

A run is written as soon as it is known, before it is measured: a measure that fails on it loses nothing. Its values
follow, and ``results.json`` is written last. Each file is whole. So a folder without ``results.json`` is of an
evaluation that did not end.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tardif.data.formats.trec import encode_id
from tardif.data.regular import user_path
from tardif.encoder.published import REPORT
from tardif.errors import FolderError
from tardif.evaluation.figures import Figures
from tardif.evaluation.runs import is_own_run, run_notes, write_run
from tardif.evaluation.systems import System, distinct_names
from tardif.folders import check_file, check_output, read_json, remove, write_json, write_output
from tardif.progress import Console
from tardif.types import Run

RESULTS, RUNS, PER_QUERY = "results.json", "runs", "per_query"

# What a name of a file keeps: letters and digits of every script, and a few marks that no system has a use for.
_UNSAFE = re.compile(r"[^\w.+=@-]+")
# Bytes of a system's or a data set's part of a name. Two of them fit into any file system, with the random part that a
# file's name has while it is written.
_LONGEST = 80
# Runs of an earlier evaluation that are named.
_NAMED = 5


class Output(Protocol):
    """A place where runs go."""

    def save(self, system: System, data: str, run: Run, console: Console) -> None:
        """Save one system's run on one data set, or nothing if it was not asked for."""


class RunOutput:
    """The file of a run, or the folder of several.

    Args:
        where: the file, or the folder for several runs.
        systems: the names of the systems, the one compared against last.
        sets: the names of the data sets.
        only: there is one system beside the one compared against. With one data set too, only its run is written.
        read: what else the evaluation reads.
        overwrite: replace files that are there, whatever they are; a run of Tardif's is replaced anyway.

    Raises:
        FolderError: the place cannot be written, or a run would overwrite another one or what is read.
    """

    def __init__(
        self,
        where: str | Path,
        systems: Sequence[str],
        sets: Sequence[str],
        *,
        only: bool,
        read: Sequence[Any] = (),
        overwrite: bool = False,
    ) -> None:
        systems = list(dict.fromkeys(systems))
        self._where = user_path(where)
        self._only = (systems[0], sets[0]) if only and len(sets) == 1 else None
        self._names = file_names(systems, sets, with_data=len(sets) > 1)
        if self._only is None and self._where.exists() and not self._where.is_dir():
            raise FolderError(
                f"{self._where} is a file, and several runs are written: give a folder for them (--run; in Python "
                "run_file)."
            )
        for key in [self._only] if self._only else self._names:
            path = self._path(*key)
            check_file(path, read=[*_paths(systems), *read], overwrite=overwrite or is_own_run(path))

    def save(self, system: System, data: str, run: Run, console: Console) -> None:
        """Write a run, if it was asked for; name the file, if its name is ours."""
        key = system.name, data
        if self._only is not None and self._only != key:
            return
        path = self._path(*key)
        _write_run(path, run, console)
        if self._only is None:
            console.say(f"{system.name} on {data}: {path}")

    def _path(self, system: str, data: str) -> Path:
        return self._where if self._only is not None else self._where / f"{self._names[system, data]}.run"


class EvaluationFolder:
    """The folder that ``--out`` names.

    Args:
        where: the folder. An earlier evaluation's files are replaced where they have the same names.
        systems: the names of the systems.
        sets: the names of the data sets.
        read: what else the evaluation reads.

    Raises:
        FolderError: the folder cannot be written, holds something else's ``results.json``, or has a file that is read
            under a name that is written.
    """

    def __init__(
        self, where: str | Path, systems: Sequence[str], sets: Sequence[str], *, read: Sequence[Any] = ()
    ) -> None:
        self.path = check_folder(where)
        systems = list(dict.fromkeys(systems))
        self._names = file_names(systems, sets, with_data=True)
        # Only files: the folder may lie in one that is read, such as a model's, and the same call continues in it.
        files = [one for one in [*_paths(systems), *read] if isinstance(one, str | Path) and user_path(one).is_file()]
        for key in self._names:
            for path in (self.run_path(*key), self.values_path(*key)):
                check_file(path, read=files)

    def run_path(self, system: str, data: str) -> Path:
        """The file of a system's run on a data set."""
        return self.path / RUNS / f"{self._names[system, data]}.run"

    def values_path(self, system: str, data: str) -> Path:
        """The file of a system's values on a data set."""
        return self.path / PER_QUERY / f"{self._names[system, data]}.tsv"

    def save(self, system: System, data: str, run: Run, console: Console) -> None:
        """Write a run. Values of an earlier one under its name are removed: they are not of this run."""
        remove(self.values_path(system.name, data))
        _write_run(self.run_path(system.name, data), run, console)

    def save_values(self, figures: Figures) -> None:
        """Write the values that were measured on a run."""
        write_output(self.values_path(figures.name, figures.data), values_text(figures))

    def tell_of_others(self, console: Console) -> None:
        """Say which runs are of an earlier evaluation: a run may have taken hours, so none is removed."""
        own = {self.run_path(*key).name for key in self._names}
        others = sorted(path.name for path in (self.path / RUNS).glob("*.run") if path.name not in own)
        if others:
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            console.tell(
                f"{self.path / RUNS} also holds runs of an earlier evaluation, which {RESULTS} does not have: "
                f"{', '.join(others[:_NAMED])}{more}. Remove them if they are not needed."
            )


def check_folder(where: str | Path) -> Path:
    """Check that an evaluation can be written into a folder, before any work is done, and return its absolute path.

    Raises:
        FolderError: the folder cannot be written, or holds the ``results.json`` or the ``report`` of something else.
    """
    path = check_output(user_path(where), overwrite=True, replaced=False)
    check_output(path / REPORT, overwrite=True)
    _check_results(path)
    return path


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json`` into the folder of an evaluation, which is made if needed.

    Raises:
        FolderError: the folder cannot be written, or holds something else's ``results.json``.
    """
    folder = user_path(folder)
    _check_results(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULTS, results)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written ({error.strerror}).") from error


def values_text(figures: Figures) -> str:
    r"""Write the values of a system as ``trec_eval -q`` prints them: measure, query id and value, with tabs.

    The last lines have the means, under the id ``all``. Values have all their digits, so that the means can be computed
    from them again. White space in an id is percent-encoded.

    >>> figures = Figures("bm25", "faq", {"RR": 0.75}, {"RR": {"q1": 1.0, "q 2": 0.5}})
    >>> values_text(figures).splitlines()
    ['RR\tq1\t1.0', 'RR\tq%202\t0.5', 'RR\tall\t0.75']
    """
    queries = list(next(iter(figures.values.values()), {}))
    ids = dict(zip(queries, map(encode_id, queries), strict=True)) if any(map(_has_space, queries)) else {}
    lines = [f"{name}\t{ids.get(q, q)}\t{of[q]!r}\n" for q in queries for name, of in figures.values.items()]
    return "".join([*lines, *(f"{name}\tall\t{value!r}\n" for name, value in figures.measures.items())])


def _has_space(identity: str) -> bool:
    return any(map(str.isspace, identity))


def _write_run(path: Path, run: Run, console: Console) -> None:
    for line in run_notes(run, write_run(path, run)):
        console.say(f"{path.name}: {line}")


def _paths(systems: Sequence[str]) -> list[str]:
    """The systems that may be files or folders, without what stands before a path."""
    return [name.removeprefix("hybrid:").removeprefix("dense:") for name in systems if name != "bm25"]


def _check_results(folder: Path) -> None:
    """Refuse a folder with the ``results.json`` of something else, such as a training run."""
    path = folder / RESULTS
    if not path.is_file():
        return
    found = read_json(path, what="an evaluation")
    if not isinstance(found, dict) or not isinstance(found.get("systems"), list):
        raise FolderError(f"{path} is not an evaluation's, and would be lost: give another folder (--out).")


def file_names(systems: Sequence[str], sets: Sequence[str], *, with_data: bool) -> dict[tuple[str, str], str]:
    """Name the files of each system on each data set, without an ending: after the system, then after the data.

    Two that would have one name (``bm25`` and ``old/bm25.run``) are numbered: no file overwrites another. A name has no
    slash, begins with a letter, a digit or ``_``, and fits into any file system.

    >>> file_names(["models/new", "../x y.run"], ["faq"], with_data=True)
    {('models/new', 'faq'): 'new.faq', ('../x y.run', 'faq'): 'x-y.faq'}
    >>> list(file_names(["dense:models/a", "models/a"], ["faq"], with_data=True).values())
    ['dense-a.faq', 'a.faq']
    """
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for system, short in zip(systems, distinct_names(list(map(_kind_last, systems))), strict=True):
        for data in sets:
            parts = [short.removesuffix(".run"), *([data] if with_data else [])]
            stem = ".".join(map(_safe, parts))
            name = next(name for name in _numbered(stem) if _folded(name) not in taken)
            taken.add(_folded(name))
            found[system, data] = name
    return found


def _kind_last(system: str) -> str:
    """``dense:models/x`` as ``models/dense-x``: what it is stays beside the last part of the path."""
    kind, colon, path = system.rpartition(":")
    home, slash, last = path.rpartition("/")
    return f"{home}{slash}{kind}-{last}" if colon and "/" not in kind else system


def _numbered(stem: str) -> Iterator[str]:
    return (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))


def _folded(name: str) -> str:
    """A name as the least discerning file system knows it: without capitals, accents composed."""
    return unicodedata.normalize("NFKC", name).casefold()


def _safe(text: str) -> str:
    """A text as part of a file's name. A long one keeps its end, which tells paths apart, and a checksum of all."""
    safe = _UNSAFE.sub("-", unicodedata.normalize("NFC", text)).strip(".-") or "system"
    if len(safe.encode()) <= _LONGEST:
        return safe
    short = safe.encode()[-_LONGEST:].decode(errors="ignore").strip(".-")
    return f"{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}-{short}"
