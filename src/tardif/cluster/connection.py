"""The connection to a Ray cluster: one that runs, by its address, or one that is started on this machine.

It is quiet: no log of Ray reaches stdout, no dashboard is started, and no usage statistics are sent. A cluster that was
started here ends with the block; another one goes on.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tardif.checks import is_int
from tardif.devices import core_count, cuda_count
from tardif.errors import ClusterError, SettingError, first_line
from tardif.extras import need

LOCAL = "local"
_AUTO = "auto"
# Seconds to reach a port. Ray itself would try for minutes, and then end the process.
_PATIENCE = 10.0
# The addresses by which this process has connected: Ray knows the same cluster by another one of its machine.
_JOINED: list[str] = []
_BUSY = "A busy machine may take longer than Ray waits: try again, or work without Ray."
_WAY_OUT = "Give local, or the address that the start of the head node printed, on a machine of that cluster."


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        address: of its head, or ``local``.
        cores: how many cores its nodes have together.
        gpus: how many GPUs.
    """

    address: str
    cores: int
    gpus: int

    @property
    def device(self) -> str:
        """Torch's name of the device that its actors compute on: its GPUs if it has any."""
        return "cuda" if self.gpus else "cpu"

    @property
    def actors(self) -> int:
        """How many actors compute at once: one for each GPU, else one for each core."""
        return self.gpus or max(self.cores, 1)

    def options(self) -> dict[str, Any]:
        """Return Ray's options of an actor that computes: its share of the cores, which also sets its threads."""
        if self.gpus:
            # A GPU's actor gets its share of the cores: they prepare the texts.
            return {"num_gpus": 1, "num_cpus": max(self.cores // (2 * self.gpus), 1)}
        return {"num_cpus": 1}


def check_address(given: Any) -> str:
    """Return the address of a cluster as it was given, checked.

    >>> check_address("local"), check_address("10.0.0.1:6379")
    ('local', '10.0.0.1:6379')

    Raises:
        MissingExtraError: Ray is not installed.
        SettingError: it is none.
    """
    need("cluster", "Work over a Ray cluster")
    if not isinstance(given, str):
        raise SettingError(f"ray={given!r}: give local, auto or the address of a cluster, such as 10.0.0.1:6379.")
    if given in (LOCAL, _AUTO):
        return given
    if given.startswith("ray://"):
        raise SettingError(f"ray={given}: Ray's client is not supported. {_WAY_OUT}")
    host, colon, port = given.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingError(f"ray={given}: give local, auto or HOST:PORT, such as 10.0.0.1:6379.")
    return given


def check_replicas(replicas: int) -> int:
    """Return a number of replicas.

    Raises:
        SettingError: it is no whole number from 1.
    """
    if not is_int(replicas) or replicas < 1:
        raise SettingError(f"replicas={replicas!r}: give a whole number, 1 or more.")
    return int(replicas)


def is_one_machine() -> bool:
    """Whether all nodes of the connected cluster are on this machine."""
    import ray

    own = socket.gethostname()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return all(node["NodeManagerHostname"] == own for node in nodes if node["Alive"])


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine, for the time of a block.

    A process has one connection: a block within another one shares it, as does one of a program that has called
    ``ray.init`` itself.

    Args:
        address: ``local`` starts a cluster of this machine's cores and GPUs; ``auto`` is the one that runs on this
            machine; else ``HOST:PORT`` of a cluster's head.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingError: the address is none.
        ClusterError: nobody answers, or the versions of Ray or Python differ, or this process is connected elsewhere.
    """
    import ray

    address = check_address(address)
    is_ours = not ray.is_initialized()
    if is_ours:
        _start(address)
        _keep_stdout()
        _JOINED.append(address)
    else:
        _check_same(address)
    try:
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield Cluster(address, int(found.get("CPU", 0)), int(found.get("GPU", 0)))
    finally:
        if is_ours:
            _JOINED.clear()
            ray.shutdown()


def _start(address: str) -> None:
    import ray

    if address not in (LOCAL, _AUTO):
        _check_reached(address)
    given: dict[str, Any] = {"address": address}
    if address == LOCAL:
        given |= {"num_cpus": core_count(), "num_gpus": cuda_count(), "include_dashboard": False}
    try:
        with _own_signals(), _quiet_environment():
            ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except (Exception, SystemExit) as error:  # a node that does not start in time is a plain Exception of Ray's
        if ray.is_initialized():
            ray.shutdown()
        if "Version mismatch" in str(error):
            raise ClusterError(f"The Ray cluster at {address} has other versions: {_one_line(error)}") from error
        if address == LOCAL:
            raise ClusterError(f"No Ray cluster started on this machine ({first_line(error)}). {_BUSY}") from error
        raise ClusterError(f"No Ray cluster can be used at {address} ({first_line(error)}). {_WAY_OUT}") from error


def _keep_stdout() -> None:
    """Keep the notices of Ray off stdout, where it prints them whatever it is told: lost workers are told of by us."""
    module: Any = importlib.import_module("ray._private.worker")
    if hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = lambda *given, **named: None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).removeprefix("Version mismatch:").split()) + ": use the same ones."


def _check_reached(address: str) -> None:
    """Raise unless the head of a cluster answers at an address."""
    from ray.exceptions import RayError

    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
        # Ray's own connecting would end this process where something else answers.
        importlib.import_module("ray._raylet").GcsClient(address=address)
    except (OSError, RayError) as error:
        raise ClusterError(f"No Ray cluster answers at {address} ({first_line(error)}). {_WAY_OUT}") from error


def _check_same(address: str) -> None:
    """Raise if this process is connected to another cluster than the one that is asked for."""
    import ray

    own = ray.get_runtime_context().gcs_address
    if address not in (LOCAL, _AUTO, own, *_JOINED):
        raise ClusterError(f"This process is connected to the Ray cluster at {own}: give that address, or local.")


@contextlib.contextmanager
def _quiet_environment() -> Iterator[None]:
    """Set what Ray reads of the environment when it starts: no usage statistics are sent, and workers that are started
    here have this process's priority."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces, unless it has none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Without a handler of its own, Ray's stays: it ends what was started here before the process.
        if before not in (signal.SIG_DFL, None):
            signal.signal(signal.SIGTERM, before)
