"""Two nodes on one machine: two network namespaces joined by a cable, each with its own addresses and processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ADDRESSES = ("10.93.7.1", "10.93.7.2")
PORT = 29411
CABLE = "cable"


def ip(*words, of=None, check=True):
    inside = [] if of is None else ["netns", "exec", of, "ip"]
    return subprocess.run(["ip", *inside, *words], capture_output=True, text=True, check=check)


class Nodes:
    """The two namespaces, and what was started in them."""

    def __init__(self, names):
        self.names = names
        self.started = []

    def run(self, number, words, log, env=None):
        """Start a program on a node, in a session of its own."""
        more = {"GLOO_SOCKET_IFNAME": CABLE, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(env or {})}
        with Path(log).open("wb") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.names[number], *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **more},
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def torchrun(self, number, words, log, *, rendezvous="static", count=2, processes=1):
        """Start a node's part of a training: ``words`` follow ``python``'s ``-m``."""
        meeting = {
            "static": ["--node_rank", str(number), "--master_addr", ADDRESSES[0], "--master_port", str(PORT)],
            "c10d": [
                "--rdzv_backend=c10d",
                f"--rdzv_endpoint={ADDRESSES[0]}:{PORT}",
                "--rdzv_id=one",
                # The first node says that it is the host; by its name, which both have, the second would be it too.
                f"--rdzv_conf=is_host={1 - number}",
                f"--local_addr={ADDRESSES[number]}",
            ],
        }[rendezvous]
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(count), *meeting]
        return self.run(number, [*launcher, f"--nproc_per_node={processes}", "-m", *words], log)

    def kill(self, process):
        """Kill all processes of a node at once, as a loss of power does."""
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in family:
            one.suspend()  # so that none sees another's end and says so
        for one in family:
            one.send_signal(signal.SIGKILL)
        process.wait()

    def unplug(self):
        ip("link", "set", CABLE, "down", of=self.names[1])

    def plug(self):
        ip("link", "set", CABLE, "up", of=self.names[1])


def _join(names, key):
    """Make the namespaces, and the cable between them."""
    for name in names:
        ip("netns", "add", name)
    ends = [f"t{key}{number}" for number in range(2)]
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for name, end, address in zip(names, ends, ADDRESSES, strict=True):
        ip("link", "set", end, "netns", name, "name", CABLE)
        ip("addr", "add", f"{address}/24", "dev", CABLE, of=name)
        for device in ("lo", CABLE):
            ip("link", "set", device, "up", of=name)


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Make the namespaces and the cable; skip where that is not allowed."""
    if not shutil.which("ip"):
        pytest.skip("the command ip is missing: apt-get install iproute2")
    key = uuid.uuid4().hex[:6]
    names = [f"tardif-{key}-{number}" for number in range(2)]
    try:
        try:
            _join(names, key)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces joined by a cable are not allowed here ({error.stderr.strip()})")
        nodes = Nodes(names)
        try:
            yield nodes
        finally:
            for process in nodes.started:
                if process.poll() is None:
                    nodes.kill(process)
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
