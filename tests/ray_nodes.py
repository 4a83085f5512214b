"""A Ray cluster of two nodes on this machine, for tests: real processes, which are killed for real."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

# Seconds for a step of Ray on a machine with other work.
PATIENCE = 600
_TRIES = 4
_LOOPBACK = "127.0.0.1"
_SMALL = ["--num-cpus", "1", "--object-store-memory", "100000000"]


class Nodes:
    """Two nodes with a core each, on the loopback address.

    Attributes:
        address: of the head.
        second: the process that runs the second node.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[psutil.Popen] = []
        with socket.create_server((_LOOPBACK, 0)) as free:
            port = free.getsockname()[1]
        self.address = f"{_LOOPBACK}:{port}"

    def start(self) -> None:
        """Start both nodes."""
        port = self.address.rpartition(":")[2]
        head = ["--head", "--port", port, "--include-dashboard", "false", "--temp-dir", str(self._folder)]
        self._start(head)
        self.add()

    def _start(self, arguments: list[str]) -> psutil.Popen:
        """Start a node. On a machine with much other work Ray's own time limits may pass: it is tried again."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(RuntimeError):
                return self._try(arguments)
        return self._try(arguments)

    def _try(self, arguments: list[str]) -> psutil.Popen:
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        # Also where the user has a token for other clusters; and workers are not starved by other work here.
        environment |= {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
        environment |= {"RAY_gcs_server_request_timeout_seconds": "300", "RAY_raylet_start_wait_time_s": "300"}
        # Workers import Tardif, and the tests' modules, from where this process does.
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--node-ip-address", _LOOPBACK]
        log = self._folder / f"start-{len(self._started)}.log"
        with log.open("wb") as out:
            process = psutil.Popen(
                [*command, *arguments, *_SMALL, "--block"],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self._started.append(process)
        for _ in range(PATIENCE * 10):
            if b"Ray runtime started" in log.read_bytes():
                return process
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(0.1)
                break
        _kill(process)
        raise RuntimeError(log.read_text(errors="replace"))

    def add(self) -> None:
        """Start another second node."""
        self.second = self._start(["--address", self.address])

    def kill_second(self) -> None:
        """Kill the second node as a power cut would: its raylet and its workers."""
        _kill(self.second)

    def processes(self) -> list[psutil.Process]:
        """All processes of all nodes."""
        return [child for one in self._started if one.is_running() for child in one.children(recursive=True)]

    def close(self) -> None:
        """Kill everything."""
        for process in self._started:
            _kill(process)


def _kill(process: psutil.Popen) -> None:
    found = [process]
    with contextlib.suppress(psutil.NoSuchProcess):
        found = [*process.children(recursive=True), process]
    for one in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(found, timeout=PATIENCE)


@contextlib.contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Start two nodes; kill them at the end of the block."""
    # Short: the names of sockets in it have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    nodes = Nodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.close()
        shutil.rmtree(folder, ignore_errors=True)
