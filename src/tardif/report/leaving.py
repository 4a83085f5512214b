"""A report at the end of a run: it is drawn beside what the run has written, and never costs the run."""

from __future__ import annotations

import shlex
from pathlib import Path

from tardif.errors import is_failure, reason
from tardif.evaluation.evidence import PAGE, Evidence, write_evidence
from tardif.progress import Console
from tardif.report.write import report


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
