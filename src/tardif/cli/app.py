"""The command itself, without its verbs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tardif._version import __version__

app = typer.Typer(
    name="tardif",
    help="From a pile of text to a late-interaction (ColBERT) retriever trained for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit
