"""The work folder of an unfinished evaluation, beside its output: the same command continues from it.

.NAME.evaluating/
  pair-HASH/          one system on one data set
    given.json        what its hits depend on: fingerprints of system and data, options, versions
    part-*.npz        the best hits among some blocks of documents, and the numbers of these blocks
    queries-*.npz     the hits of some queries
    run.npz           the hits of all queries: this pair is finished

Files take their names when they are whole. What was found with another system, other data or other options is measured
again. Arrays are read without pickle, and NumPy's archives have checksums.
"""

from __future__ import annotations

import json
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif._version import __version__
from tardif.checksums import json_checksum
from tardif.errors import FolderError
from tardif.evaluation.packed import PackedRun
from tardif.folders import expanded, read_json, real_place, remove, replacing, writable, write_json
from tardif.locks import hold
from tardif.progress import Console

# Arrays by name.
Arrays = Mapping[str, NDArray[Any]]


class PairWork:
    """What is known of one system on one data set.

    Args:
        folder: where it is kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def finished(self, queries: Sequence[str]) -> PackedRun | None:
        """Return the run, if it was finished."""
        return None if self.folder is None else _read_run(self.folder / "run.npz", queries)

    def finish(self, run: PackedRun) -> None:
        """Keep the finished run; its parts are needed no more."""
        if self.folder is None:
            return
        _write_run(self.folder / "run.npz", run)
        for path in [*self.folder.glob("part-*.npz"), *self.folder.glob("queries-*.npz")]:
            remove(path)

    def parts(self, shape: tuple[int, int]) -> Iterator[tuple[NDArray[np.uint64], list[int]]]:
        """Yield the keys of the best hits (:class:`tardif.ranking.TopK`) of this shape, and the blocks they are of."""
        for path in sorted(self.folder.glob("part-*.npz")) if self.folder else ():
            arrays = _read(path)
            if arrays is not None and arrays["keys"].shape == shape:
                yield arrays["keys"], arrays["blocks"].tolist()

    def new_part(self) -> Path | None:
        """Return the path of a part that there is not yet. Each process writes one of its own."""
        return None if self.folder is None else self.folder / f"part-{uuid.uuid4().hex}.npz"

    def some(self, first: int, queries: Sequence[str]) -> PackedRun | None:
        """Return the run of some queries from the number ``first`` on, if it was kept."""
        return None if self.folder is None else _read_run(self.folder / f"queries-{first:09d}.npz", queries)

    def keep_some(self, first: int, run: PackedRun) -> None:
        """Keep the run of some queries from the number ``first`` on."""
        if self.folder is not None:
            _write_run(self.folder / f"queries-{first:09d}.npz", run)


class EvaluationWork:
    """What an interrupted evaluation has found, pair by pair.

    Args:
        folder: the work folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @property
    def is_kept(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def pair(self, system: str, data: str, given: Mapping[str, str], console: Console) -> PairWork:
        """Return what is known of a system on a data set, nothing if it was found with something else.

        Args:
            system, data: their names.
            given: what the hits depend on: a name, such as ``"the model"``, and its fingerprint.
            console: says what has changed.

        Raises:
            FolderError: the folder cannot be written.
        """
        if self._folder is None:
            return PairWork()
        folder = self._folder / f"pair-{json_checksum([system, data])}"
        now = {"system": system, "data set": data, **given}
        with writable(folder):
            if folder.exists() and (was := _given(folder)) != now:
                changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
                console.say(f"{system} on {data}: {', '.join(changed)} changed since: it is measured again.")
                remove(folder)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "given.json", now)
        return PairWork(folder)


def versions() -> dict[str, str]:
    """Return the versions of what decides a score."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "numpy")} | {"tardif": __version__}


@contextmanager
def working(out: str | Path | None) -> Iterator[EvaluationWork]:
    """Give the work of an evaluation that is saved in a folder. It is removed when the block ends without an error.

    Raises:
        FolderError: another process evaluates into this folder.
    """
    if out is None:
        yield EvaluationWork()
        return
    place = real_place(expanded(out).absolute())
    folder = place.with_name(f".{place.name}.evaluating")
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with hold(folder, what=f"{out} is being written by another evaluation"):
        try:
            yield EvaluationWork(folder)
            remove(folder)
        finally:
            if not any(folder.glob("*/*.npz")):  # nothing to continue from
                remove(folder)


def write_part(path: Path, keys: NDArray[np.uint64], blocks: Sequence[int]) -> None:
    """Keep the best hits among some blocks of documents, whole or not at all.

    Raises:
        FolderError: they cannot be written.
    """
    _write(path, {"keys": keys, "blocks": np.array(blocks, dtype=np.int64)})


def read_part(path: Path) -> NDArray[np.uint64]:
    """Return the best hits that :func:`write_part` kept.

    Raises:
        FolderError: the file is missing or damaged.
    """
    arrays = _read(path)
    if arrays is None:
        raise FolderError(f"{path} is missing or damaged: another program removed or changed it. Evaluate again.")
    return arrays["keys"]


def _given(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / "given.json", what="an unfinished evaluation")
    except FolderError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_run(path: Path, run: PackedRun) -> None:
    ids = np.frombuffer(json.dumps(list(run.ids)).encode(), dtype=np.uint8)
    _write(path, {"ids": ids, "starts": run.starts, "places": run.places, "scores": run.scores})


def _read_run(path: Path, queries: Sequence[str]) -> PackedRun | None:
    arrays = _read(path)
    if arrays is None or len(arrays["starts"]) != len(queries) + 1:
        return None
    ids = json.loads(arrays["ids"].tobytes())
    return PackedRun(list(queries), ids, arrays["starts"], arrays["places"], arrays["scores"])


def _write(path: Path, arrays: Arrays) -> None:
    with writable(path), replacing(path, durable=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> Arrays | None:
    """The arrays of a file; None if it is missing, or damaged, and then it is found again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
