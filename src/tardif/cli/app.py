"""The application that the verbs register with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tardif._version import __version__

app = typer.Typer(
    name="tardif",
    help="Train a search model (ColBERT) on your own documents, measure it, and search.",
    no_args_is_help=True,
    add_completion=False,
    # Errors are one line (tardif.cli.main), and rich takes longer to import than --help may take.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# The exit code of a process that Ctrl-C ends: 128 + SIGINT.
INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"{__version__}\n")
        raise typer.Exit
