"""A report at the end of a run: it is drawn beside what the run has written, and never costs the run.

``evaluate`` and ``prepare_folder`` here are those of :mod:`tardif.evaluation` and :mod:`tardif.preparation`, and draw
the page too: Python and the command line leave the same files. Those lie below this package and cannot draw.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from tardif.data.regular import user_path
from tardif.errors import is_failure, reason
from tardif.evaluation import evaluate as measuring
from tardif.evaluation.environment import environment
from tardif.evaluation.evidence import PAGE, PREPARATION, Evidence, RunFacts, write_evidence
from tardif.evaluation.repeating import python_call
from tardif.preparation import steps
from tardif.progress import Console, Silent
from tardif.report.write import report


@wraps(measuring.evaluate)
def evaluate(systems: str | Sequence[str], data: Any, **how: Any) -> measuring.Evaluation:
    """As :func:`tardif.evaluation.evaluate.evaluate`, with the report on what ``out`` holds."""
    found = measuring.evaluate(systems, data, **how)
    if (out := how.get("out")) is not None:
        leave_report(user_path(out), how.get("console") or Silent())
    return found


@wraps(steps.prepare_folder)
def prepare_folder(sources: Iterable[Any], documents: Any, out: str | Path, *, command: str = "", **how: Any) -> Path:
    """As :func:`tardif.preparation.prepare_folder`, with the report on the set. ``command`` is the command line that
    this is, for the report; by default it is the call."""
    folder = steps.prepare_folder(sources, documents, out, **how)
    asked = {name: value for name, value in how.items() if name != "console"}
    command = command or python_call("tardif.prepare_folder", sources, documents, out=out, **asked)
    facts = RunFacts(PREPARATION, folder.resolve().name, environment(), command, how.get("seed", 0))
    leave_report(user_path(folder), how.get("console") or Silent(), Evidence(run=facts))
    return folder


def leave_report(folder: Path, console: Console, evidence: Evidence | None = None) -> Path | None:
    """Draw a folder's ``report.html``. If that fails, warn, and name the command that draws it.

    Args:
        folder: what it is drawn from, and where it goes.
        console: where to warn.
        evidence: what is to be drawn and not yet in the folder.

    Returns:
        The page; None if it could not be drawn.
    """
    page = folder / PAGE
    try:
        if evidence is not None:
            write_evidence(folder, evidence)
        return report(folder, page)
    except BaseException as error:
        if not is_failure(error):
            raise
        command = shlex.join(["tardif", "report", str(folder), "--out", str(page)])
        console.warn(f"{page} could not be drawn ({reason(error)}). All else is done. To draw it: {command}")
        return None
