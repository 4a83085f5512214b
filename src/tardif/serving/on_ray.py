"""The service on a Ray cluster: replicas of the application behind Ray Serve, which spreads the requests.

Each replica is the application of :mod:`tardif.serving.application`, whole: it opens the indexes, checks tokens and
limits what it takes. Ray Serve starts a replica again that has died or lost its indexes, and refuses requests that
would wait too long.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from tardif.cluster.connection import check_replicas, connected, is_one_machine
from tardif.cluster.pool import check_version
from tardif.errors import ClusterError, FolderError, SettingError, first_line
from tardif.extras import need
from tardif.index.manifest import is_index
from tardif.serving.running import listen, url_of
from tardif.serving.service_options import ServiceOptions

_NAME = "tardif"
# Seconds between two health checks of a replica, and for its answer: a machine may be busy.
_PERIOD, _PATIENCE = 10.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """How a service runs on a cluster.

    Attributes:
        ray: the cluster's address.
        replicas: how many processes answer.
        host, port: where Ray Serve listens; port 0 takes a free one.
        read_only: refuse every change.
        feedback: a file for judgements of hits.
    """

    ray: str
    replicas: int = 1
    host: str = "127.0.0.1"
    port: int = 8000
    read_only: bool = False
    feedback: Path | None = None

    def check(self) -> None:
        """Raise if it cannot be used, before anything starts.

        Raises:
            MissingExtraError: Ray is not installed.
            SettingError: an option cannot be used, or the port is taken.
        """
        need("cluster", "Serving on a Ray cluster")
        check_replicas(self.replicas)
        listen(self.host, self.port).close()


def serve_on_ray(
    folders: Mapping[str, Path | str],
    options: ServiceOptions,
    deployment: Deployment,
    announce: Callable[[str], None] = lambda url: None,
) -> int:
    """Serve indexes on a Ray cluster until a signal stops it.

    Every node must have the indexes' folders, under the same paths. Where the cluster has other machines than this
    one, nothing can be changed: SQLite's locks do not reach that far.

    Args:
        folders: the indexes, by their names.
        options: who may ask, and for how much; the limits are those of each replica.
        deployment: how it runs.
        announce: called with the service's address when it is ready.

    Returns:
        The signal that stopped it.

    Raises:
        MissingExtraError, SettingError: as of :meth:`Deployment.check`.
        ClusterError: there is no cluster, it serves something else, or the replicas do not start.
        FolderError: a folder is no index.
    """
    places = {name: _folder_of(given) for name, given in folders.items()}
    deployment.check()
    if not deployment.port:  # Ray Serve must be told which
        with listen(deployment.host, 0) as free:
            deployment = replace(deployment, port=free.getsockname()[1])
    _check_indexes(places)
    with connected(deployment.ray), _stopping() as stopped:
        from ray import serve
        from ray.exceptions import RayError

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        if serve.status().applications:
            raise ClusterError(
                "The cluster serves another application with Ray Serve: stop it, or start another cluster."
            )
        try:
            try:
                serve.start(http_options={"host": deployment.host, "port": deployment.port})
                serve.run(_application(places, options, deployment), name=_NAME, route_prefix="/")
            except (RuntimeError, RayError) as error:
                raise ClusterError(f"The replicas do not start: {first_line(error)}") from error
            announce(url_of(deployment.host, deployment.port))
            return stopped()
        finally:
            serve.shutdown()  # type: ignore[no-untyped-call]


def _folder_of(given: Path | str) -> Path:
    if isinstance(given, str):
        raise SettingError(
            f"{given} is in Qdrant, which spreads its collections over machines itself: serve it without --ray."
        )
    return given.absolute()


def _application(places: Mapping[str, Path], options: ServiceOptions, deployment: Deployment) -> Any:
    """The deployment, as Ray Serve takes it."""
    from ray import serve

    from tardif._version import __version__

    on_one_machine = is_one_machine()

    def build() -> Any:
        """Open the indexes in a replica, and return its application."""
        from tardif.serving.access_log import set_up
        from tardif.serving.application import create_app
        from tardif.serving.served_index import ServedIndex

        check_version(__version__)
        set_up(quiet=options.quiet)
        read_only = deployment.read_only or not on_one_machine
        how: dict[str, Any] = {"read_only": read_only, "feedback": deployment.feedback}
        how["waiting"] = options.limits.waiting_queries
        return create_app({name: ServedIndex.open(place, name=name, **how) for name, place in places.items()}, options)

    class Replica:
        """What Ray Serve asks whether it is well."""

        def check_health(self) -> None:
            """Raise if an index is gone: Ray Serve then starts the replica again."""
            _check_indexes(places)

    configured = serve.deployment(
        name=_NAME,
        num_replicas=deployment.replicas,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=options.limits.requests,
        max_queued_requests=options.limits.waiting_queries,
        health_check_period_s=_PERIOD,
        health_check_timeout_s=_PATIENCE,
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )
    return configured(serve.ingress(build)(Replica)).bind()


def _check_indexes(places: Mapping[str, Path]) -> None:
    for place in places.values():
        if not is_index(place):
            raise FolderError(f"{place} is not an index on {socket.gethostname()}: every node needs it at this place.")


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], int]]:
    """Take SIGTERM and SIGINT; give a function that waits for one and returns it."""
    stop = threading.Event()
    found: list[int] = []

    def noted(number: int, frame: FrameType | None) -> None:
        if found:  # the second one ends it at once
            raise KeyboardInterrupt
        found.append(number)
        stop.set()

    def wait() -> int:
        while not stop.wait(1):  # a wait without an end takes no signal on some systems
            pass
        return int(found[0])

    before = {number: signal.signal(number, noted) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
