"""The verb ``mcp``: indexes for agents, by the Model Context Protocol."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
        with _ending_at_once():
            serve_stdio(folders)
        return
    stopped_by = serve_http(folders, options.service(), host=options.host, port=options.port, announce=announce)
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process while the block runs, unless whoever runs this has other plans for it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    """End at once: the thread that waits for stdin would keep the process, and who only reads loses nothing."""
    sys.stderr.write("Interrupted.\n")
    os._exit(INTERRUPTED)
