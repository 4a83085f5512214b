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
    ray: Annotated[
        str | None,
        typer.Option(metavar="local|auto|HOST:PORT", help="Serve from replicas on a Ray cluster (docs/cluster.md)."),
    ] = None
    replicas: Annotated[int, typer.Option(min=1, help="With --ray: how many processes answer.")] = 1


@verb
def serve(
    indexes: Annotated[
        list[str], typer.Argument(metavar="INDEX...", help="Folders of indexes, places in Qdrant, or NAME=PLACE.")
    ],
    options: ServeOptions,
) -> None:
    """Serve indexes over HTTP: search, explain, add and delete documents.

    The address is printed when the service is ready. Ctrl-C stops it.
    """
    from tardif.serving.opening import read_names
    from tardif.serving.running import serve as run

    if options.replicas > 1 and options.ray is None:
        raise typer.BadParameter("replicas are of a cluster: give --ray too", param_hint="--replicas")
    if options.ray is not None:
        stopped_by = _on_ray(indexes, options, options.ray)
        if stopped_by == signal.SIGINT:
            raise typer.Exit(INTERRUPTED)
        return
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


def _on_ray(indexes: list[str], options: ServeOptions, address: str) -> int:
    from tardif.serving.on_ray import Deployment, serve_on_ray
    from tardif.serving.opening import read_names

    deployment = Deployment(
        ray=address,
        replicas=options.replicas,
        host=options.host,
        port=options.port,
        read_only=options.read_only,
        feedback=options.feedback,
    )
    return serve_on_ray(read_names(indexes), options.service(), deployment, announce)
