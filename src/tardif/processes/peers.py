"""The other processes of a training that a launcher started, on this node or others: this one notices when one is gone.

A collective operation waits for its peers for minutes or days, and says nothing of a node that has lost its power or
its network. So each process keeps a connection to process 0 over which nothing is said while all is well. The system
closes it when a process dies, and, by its keep-alive packets, when a node does not answer. No clock of ours is
involved: a busy process is never taken for a dead one.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tardif.errors import TrainingError
from tardif.escaping import visible

# Seconds in which a process that was started must reach process 0: they start side by side.
_MEETING_SECONDS = 120.0
# A node that does not answer is given up after 5 + 5 * 2 seconds: longer than a switch needs to find another way.
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 5, 2, 5
# A lost peer breaks the operation that waits for it, mostly at once. Where it does not, this process ends after this
# long: it has no one to wait for.
_GRACE_SECONDS = 5.0
_HERE = "127.0.0.1"
_MOST_READ = 65_536
# Bytes in which a process says who it is; a stranger may send others without an end.
_MOST_SAID = 4096


@dataclass(frozen=True)
class Meeting:
    """Where process 0 waits for the others; it tells them over the process group.

    Attributes:
        host: of process 0.
        port: of that host.
        token: what a process shows, so that no stranger is taken for one.
    """

    host: str
    port: int
    token: str


class Peers:
    """The connections to the other processes: process 0 has one to each, the others have one to process 0.

    Args:
        rank: of this process.
        size: the number of processes.
        links: the connections, by rank.
        nodes: the name of each process's node, by rank.

    Attributes:
        way_out: returns what the user can do where a process is lost; it follows the message.
    """

    def __init__(self, rank: int, size: int, links: Mapping[int, socket.socket], nodes: Mapping[int, str]) -> None:
        self.rank, self.size, self.nodes = rank, size, dict(nodes)
        self.way_out: Callable[[], str] = lambda: ""
        self._links, self._left = dict(links), set[int]()
        self._begun = dict.fromkeys(links, b"")  # of a line whose end has not come yet
        self._loss = ""
        self._lost, self._noticed, self._over = threading.Event(), threading.Event(), threading.Event()
        for link in self._links.values():
            _keep_alive(link)
        threading.Thread(target=self._watch, daemon=True, name="tardif-peers").start()

    def loss(self, wait: float = 0.0) -> str:
        """Return what has happened to a lost process, and the way out; empty if none is lost after ``wait`` seconds.

        Who asks has noticed, and ends by itself.
        """
        if not self._lost.wait(wait):
            return ""
        self._noticed.set()
        return self._loss + self.way_out()

    def fail(self, message: str) -> None:
        """Tell the others why this process ends."""
        self._tell({"lost": self.rank, "why": f"failed: {message.rstrip('.')}"})
        self.leave()

    def leave(self) -> None:
        """Close the connections; the others do not take it for a loss. A second call does nothing."""
        if not self._over.is_set():
            self._over.set()
            self._tell({"left": self.rank})
            for link in self._links.values():
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_WR)

    def _tell(self, message: Mapping[str, Any], *, but: int = -1) -> None:
        for rank, link in self._links.items():
            if rank != but:
                with contextlib.suppress(OSError):
                    link.sendall(json.dumps(message).encode() + b"\n")

    def _watch(self) -> None:
        """Wait for words and ends of the connections, until all have left or one is lost."""
        with selectors.DefaultSelector() as selector:
            for rank, link in self._links.items():
                selector.register(link, selectors.EVENT_READ, rank)
            while selector.get_map() and not self._lost.is_set():
                for key, _ in selector.select():
                    if not self._hear(key.data, self._links[key.data]):
                        selector.unregister(key.fileobj)
        if self._lost.is_set() and not self._over.is_set():
            self._end()
        for link in self._links.values():
            link.close()

    def _hear(self, rank: int, link: socket.socket) -> bool:
        """Read from a connection; return whether there may be more."""
        try:
            words = link.recv(_MOST_READ)
        except OSError as error:
            if rank in self._left:
                return False
            self._lose(rank, f"does not answer any more ({error.strerror})", told_by=rank)
            return False
        *lines, self._begun[rank] = (self._begun[rank] + words).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                said = json.loads(line)
                if "left" in said:
                    self._left.add(rank)
                else:
                    self._lose(int(said["lost"]), str(said["why"]), told_by=rank)
        if not words and rank not in self._left:
            self._lose(rank, "has ended without a word (killed, out of memory, or its node is down)", told_by=rank)
        return bool(words)

    def _lose(self, rank: int, why: str, *, told_by: int) -> None:
        if self._lost.is_set() or self._over.is_set():
            return
        self._loss = f"Process {rank} of {self.size}, on {self.nodes.get(rank, 'another node')}, {why}."
        self._tell({"lost": rank, "why": why}, but=told_by)
        self._lost.set()

    def _end(self) -> None:
        """End this process unless its main thread notices the loss by itself: it may wait in torch for days."""
        if self._noticed.wait(_GRACE_SECONDS) or self._over.is_set():
            return
        sys.stderr.write(f"tardif: {visible(' '.join((self._loss + self.way_out()).split()))}\n")
        sys.stderr.flush()
        os._exit(1)


class Host:
    """What process 0 does until all others have connected.

    Where the launcher says that all run on this node, nobody else can connect.
    """

    def __init__(self) -> None:
        if os.environ.get("LOCAL_WORLD_SIZE", "") == os.environ.get("WORLD_SIZE"):
            host = _HERE
            self._listener = socket.create_server((host, 0), backlog=1024)
        else:
            host = os.environ["MASTER_ADDR"]
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            self._listener = socket.create_server(("", 0), family=family, dualstack_ipv6=both, backlog=1024)
        self.meeting = Meeting(host, self._listener.getsockname()[1], os.urandom(16).hex())

    def meet(self, size: int) -> Peers:
        """Wait for the other processes.

        Raises:
            TrainingError: one does not come.
        """
        links: dict[int, socket.socket] = {}
        nodes = {0: _node(os.environ.get("MASTER_ADDR", ""))}
        deadline = time.monotonic() + _MEETING_SECONDS
        with self._listener:
            while len(links) < size - 1:
                try:
                    self._listener.settimeout(max(deadline - time.monotonic(), 0.001))
                    link, address = self._listener.accept()
                except TimeoutError as error:
                    missing = sorted(set(range(1, size)) - links.keys())
                    raise TrainingError(
                        f"Processes {missing} have not reached process 0 at port {self.meeting.port} within "
                        f"{_MEETING_SECONDS:.0f} s: open the ports between the nodes."
                    ) from error
                if said := _introduced(link, self.meeting.token):
                    links[said["rank"]] = link
                    nodes[said["rank"]] = f"{said['name']} ({str(address[0]).removeprefix('::ffff:')})"
        for link in links.values():
            link.sendall(json.dumps(nodes).encode() + b"\n")
        return Peers(0, size, links, nodes)


def connect(meeting: Meeting, rank: int, size: int) -> Peers:
    """Connect to process 0 as another process.

    Raises:
        TrainingError: it cannot be reached.
    """
    try:
        link = socket.create_connection((meeting.host, meeting.port), timeout=_MEETING_SECONDS)
        said = {"token": meeting.token, "rank": rank, "name": socket.gethostname()}
        link.sendall(json.dumps(said).encode() + b"\n")
        nodes = {int(number): name for number, name in json.loads(_line(link)).items()}
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"Process {rank} of {size} cannot reach process 0 at {meeting.host}:{meeting.port} ({error}): open the "
            "ports between the nodes."
        ) from error
    return Peers(rank, size, {0: link}, nodes)


def _introduced(link: socket.socket, token: str) -> dict[str, Any]:
    """Read who has connected; empty, and the connection closed, where it is a stranger."""
    link.settimeout(10.0)
    try:
        said = json.loads(_line(link, _MOST_SAID))
        if isinstance(said, dict) and hmac.compare_digest(str(said.pop("token", "")).encode(), token.encode()):
            return said
    except (OSError, ValueError, RecursionError):
        pass
    link.close()
    return {}


def _line(link: socket.socket, most: int | None = None) -> bytes:
    """Read one line, byte by byte: nothing after it is taken. A ValueError if it has more than ``most`` bytes."""
    line = b""
    while not line.endswith(b"\n"):
        if len(line) == most:
            raise ValueError("a line without an end")
        if not (byte := link.recv(1)):
            raise ConnectionError("the connection was closed")
        line += byte
    return line


def _node(address: str) -> str:
    return f"{socket.gethostname()} ({address})" if address else socket.gethostname()


def _keep_alive(link: socket.socket) -> None:
    """Let the system notice a peer that does not answer."""
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": _IDLE_SECONDS,
        "TCP_KEEPALIVE": _IDLE_SECONDS,  # macOS's name of it
        "TCP_KEEPINTVL": _PROBE_SECONDS,
        "TCP_KEEPCNT": _PROBES,
        # For words under way, which keep-alive leaves alone.
        "TCP_USER_TIMEOUT": 1000 * (_IDLE_SECONDS + _PROBES * _PROBE_SECONDS),
    }
    for name, value in options.items():
        if (option := getattr(socket, name, None)) is not None:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
