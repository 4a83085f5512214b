"""What a newcomer runs first: the main job on this machine's own texts, and what the machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.app import app
from tardif.cli.options import MINILM, AsJson
from tardif.cli.output import put, put_json


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where model, index and results go.")] = Path("tardif-demo"),
    minutes: Annotated[float, typer.Option(help="Minutes of training.")] = 4.0,
    base: Annotated[str, typer.Option(help="The base to train.")] = MINILM,
) -> None:
    """The main job on the docstrings of this machine's Python packages, in under ten minutes."""
    from tardif.demo import run_demo

    run_demo(out, minutes=minutes, base=base)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which devices and offline models there are, and what is missing."""
    from tardif.doctor import examine, report

    found = examine()
    if as_json:
        put_json(found)
        return
    for line in report(found):
        put(line)
