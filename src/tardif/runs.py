"""TREC run files: ``query Q0 document rank score name`` per line."""

from __future__ import annotations

import math
from pathlib import Path

from tardif.checks import id_fault, is_number, shown
from tardif.data.formats.qrels import read_run as read_trec_run
from tardif.errors import DataError
from tardif.folders import write_output
from tardif.types import Run


def write_run(path: Path, run: Run, *, name: str = "tardif") -> None:
    """Write a run, whole or not at all.

    Raises:
        DataError: an id is none, or holds white space, which the format cannot carry; a score is not finite.
        FolderError: the file cannot be written.
    """
    lines = []
    for query, hits in run.items():
        for document, score in hits.items():
            _check_hit(query, document, score)
        ranked = sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))
        for place, (document, score) in enumerate(ranked, start=1):
            lines.append(f"{query} Q0 {document} {place} {float(score)!r} {'-'.join(name.split())}\n")
    write_output(path, "".join(lines))


def _check_hit(query: object, document: object, score: object) -> None:
    for identity in (query, document):
        if not isinstance(identity, str) or id_fault(identity) or identity.split() != [identity]:
            raise DataError(f"the id {shown(identity)} cannot stand in a run file: give a text without white space.")
    if not is_number(score) or not math.isfinite(score):  # type: ignore[arg-type]
        raise DataError(f"the score {shown(score)} of {shown(document)} cannot stand in a run file: it must be finite.")


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
