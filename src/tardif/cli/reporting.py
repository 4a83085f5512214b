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
        list[Path], typer.Argument(help="Checkpoints, folders of evaluate --out, prepared sets.", metavar="DIR...")
    ],
    out: Annotated[Path | None, "The HTML file. By default report.html in the first folder."] = None,
    title: Annotated[str | None, "Title of the page."] = None,
) -> None:
    """Draw one HTML page on trainings, evaluations and prepared sets."""
    from tardif.report import report as draw

    put(str(draw(folders, out, title=title)))
