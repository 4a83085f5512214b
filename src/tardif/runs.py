"""TREC run files: ``query Q0 document rank score name`` per line."""

from __future__ import annotations

from pathlib import Path

from tardif.data.formats.qrels import read_run as read_trec_run
from tardif.errors import DataError
from tardif.folders import write_output
from tardif.types import Run


def write_run(path: Path, run: Run, *, name: str = "tardif") -> None:
    """Write a run, whole or not at all.

    Raises:
        DataError: an id holds white space, which the format cannot carry.
        FolderError: the file cannot be written.
    """
    lines = []
    for query, hits in run.items():
        ranked = sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))
        for place, (document, score) in enumerate(ranked, start=1):
            if not query.split() == [query] or not document.split() == [document]:
                raise DataError(
                    f"the ids {query!r} and {document!r} cannot stand in a run file: they hold white space."
                )
            lines.append(f"{query} Q0 {document} {place} {score!r} {name}\n")
    write_output(path, "".join(lines))


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Read a run.

    Raises:
        DataError: a line is malformed, or the file is empty.
    """
    run: dict[str, dict[str, float]] = {}
    for _, query, document, score in read_trec_run(path):
        run.setdefault(query, {})[document] = score
    if not run:
        raise DataError("is empty: it holds no hit.", path)
    return run
