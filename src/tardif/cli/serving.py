"""The verb ``serve``: indexes as a service over HTTP."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tardif.cli.app import INTERRUPTED
from tardif.cli.groups import Group, verb
from tardif.cli.output import put
from tardif.cli.shared_options import assigned


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Group):
    """Where a service listens, and who may ask it."""

    host: Annotated[str, "Address to listen on. Another than this machine's own needs a token."] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.", min=0, max=65535)] = 8000
    token_file: Annotated[
        Path | None, "File with the token that clients must send. Default: the variable TARDIF_TOKEN, if set."
    ] = None
    no_auth: Annotated[bool, "Let everybody who reaches --host ask, and change the indexes."] = False
    read_only: Annotated[bool, "Refuse every change."] = False
    feedback: Annotated[Path | None, "File that keeps judgements of hits, for tardif prepare."] = None
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Let pages of this origin ask, such as https://search.example. Repeatable."
        ),
    ] = None
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="Change a limit (docs/serving.md), such as k=5000. Repeatable."),
        assigned("--limit", "NAME=AMOUNT, such as --limit k=5000", once=True),
    ] = None
    quiet: Annotated[bool, "Log warnings and errors only."] = False


@verb
def serve(
    indexes: Annotated[list[str], typer.Argument(metavar="INDEX...", help="Folders of indexes, or NAME=FOLDER.")],
    options: ServeOptions,
) -> None:
    """Serve indexes over HTTP: search, explain, add and delete documents.

    The address is printed when the service is ready. Ctrl-C stops it.
    """
    from tardif.serving.authorization import check_origin, is_loopback, read_token
    from tardif.serving.limits import ServiceLimits
    from tardif.serving.opening import read_names
    from tardif.serving.running import serve as run
    from tardif.serving.service_options import ServiceOptions

    token, loopback = read_token(options.token_file), is_loopback(options.host)
    if options.no_auth and token is not None:
        raise typer.BadParameter("there is a token: leave out --no-auth, or the token", param_hint="--no-auth")
    if token is None and not loopback and not options.no_auth:
        raise typer.BadParameter(
            f"other machines can reach {options.host}: give --token-file FILE or set TARDIF_TOKEN, or say --no-auth",
            param_hint="--host",
        )
    chosen = ServiceOptions(
        token=token,
        loopback=loopback,
        allow_origins=tuple(map(check_origin, options.allow_origin or ())),
        limits=ServiceLimits().with_texts(options.arguments()["limit"] or {}),
        quiet=options.quiet,
    )
    stopped_by = run(
        read_names(indexes),
        chosen,
        host=options.host,
        port=options.port,
        read_only=options.read_only,
        feedback=options.feedback,
        announce=_announce,
    )
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _announce(url: str) -> None:
    put(url)
    sys.stdout.flush()  # a program that started this one waits for the line
