"""The options of the verbs that listen on a port: where, and who may ask."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tardif.cli.groups import Group
from tardif.cli.output import put
from tardif.cli.shared_options import assigned

if TYPE_CHECKING:
    from tardif.serving.service_options import ServiceOptions


@dataclass(frozen=True, kw_only=True)
class ListenOptions(Group):
    """Where a service listens, and who may ask it."""

    host: Annotated[str, "Address to listen on. Another than this machine's own needs a token."] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.", min=0, max=65535)] = 8000
    token_file: Annotated[
        Path | None, "File with the token that clients must send. Default: the variable TARDIF_TOKEN, if set."
    ] = None
    no_auth: Annotated[bool, "Let everybody who reaches --host ask, and change what may be changed."] = False
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

    def service(self) -> ServiceOptions:
        """Read the options.

        Raises:
            SettingError: one cannot be used.
            typer.BadParameter: everybody could ask, and nobody said so.
        """
        from tardif.serving.authorization import check_origin, is_loopback, read_token
        from tardif.serving.limits import ServiceLimits
        from tardif.serving.service_options import ServiceOptions

        token, loopback = read_token(self.token_file), is_loopback(self.host)
        if self.no_auth and token is not None:
            raise typer.BadParameter("there is a token: leave out --no-auth, or the token", param_hint="--no-auth")
        if token is None and not loopback and not self.no_auth:
            raise typer.BadParameter(
                f"other machines can reach {self.host}: give --token-file FILE or set TARDIF_TOKEN, or say --no-auth",
                param_hint="--host",
            )
        return ServiceOptions(
            token=token,
            loopback=loopback,
            allow_origins=tuple(map(check_origin, self.allow_origin or ())),
            limits=ServiceLimits().with_texts(self.arguments()["limit"] or {}),
            quiet=self.quiet,
        )


def announce(url: str) -> None:
    """Print the address of what is ready."""
    put(url)
    sys.stdout.flush()  # a program that started this one waits for the line
