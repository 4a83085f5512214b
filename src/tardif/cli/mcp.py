"""The verb ``mcp``: indexes for agents, by the Model Context Protocol."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from tardif.cli.app import INTERRUPTED
from tardif.cli.groups import spelt, verb
from tardif.cli.listening import ListenOptions, announce


@verb
def mcp(
    indexes: Annotated[
        list[str], typer.Argument(metavar="INDEX...", help="Folders of indexes, places in Qdrant, or NAME=PLACE.")
    ],
    options: ListenOptions,
    http: Annotated[bool, "Answer over HTTP, at /mcp, in place of stdin and stdout."] = False,
) -> None:
    """Let agents search indexes, by the Model Context Protocol.

    An agent's program starts this command, and ends it. With --http the address is printed when the server is ready.
    """
    if options.given and not http:
        raise typer.BadParameter(f"{spelt(sorted(options.given))}: only with --http", param_hint="--http")
    from tardif.serving.mcp_server import serve_http, serve_stdio
    from tardif.serving.opening import read_names

    folders = read_names(indexes)
    if not http:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)
        serve_stdio(folders)
        return
    stopped_by = serve_http(folders, options.service(), host=options.host, port=options.port, announce=announce)
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _end(*_: object) -> None:
    """End at once: the thread that waits for stdin would keep the process, and who only reads loses nothing."""
    sys.stderr.write("Interrupted.\n")
    os._exit(INTERRUPTED)
