"""The verb ``serve``: indexes as a service over HTTP."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.app import INTERRUPTED
from tardif.cli.groups import verb
from tardif.cli.listening import ListenOptions, announce


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ListenOptions):
    """How a service is reached, and what it may change."""

    read_only: Annotated[bool, "Refuse every change."] = False
    feedback: Annotated[Path | None, "File that keeps judgements of hits, for tardif prepare."] = None


@verb
def serve(
    indexes: Annotated[list[str], typer.Argument(metavar="INDEX...", help="Folders of indexes, or NAME=FOLDER.")],
    options: ServeOptions,
) -> None:
    """Serve indexes over HTTP: search, explain, add and delete documents.

    The address is printed when the service is ready. Ctrl-C stops it.
    """
    from tardif.serving.opening import read_names
    from tardif.serving.running import serve as run

    stopped_by = run(
        read_names(indexes),
        options.service(),
        host=options.host,
        port=options.port,
        read_only=options.read_only,
        feedback=options.feedback,
        announce=announce,
    )
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)
