"""The verb ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.groups import verb
from tardif.cli.output import put


@verb
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Checkpoints, folders of evaluate --out, prepared sets, the demo's folder.", metavar="DIR..."
        ),
    ],
    out: Annotated[Path | None, "The HTML file. By default report.html in the first folder."] = None,
    title: Annotated[str | None, "Title of the page."] = None,
) -> None:
    """Draw one HTML page on trainings, evaluations and prepared sets. Several checkpoints are compared."""
    from tardif.evaluation.evidence import PAGE
    from tardif.report import report as draw

    put(str(draw([_trained(folder) for folder in folders], out or folders[0] / PAGE, title=title)))


def _trained(folder: Path) -> Path:
    """Return the checkpoint in the folder of the demo, which has all there is to show; other folders as they are."""
    inner = folder / "docstrings"
    return inner if (folder / "index").is_dir() and (inner / "results.json").is_file() else folder
