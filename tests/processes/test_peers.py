"""The watch over other processes: real connections, and real processes that are killed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tardif import TrainingError
from tardif.processes import peers
from tardif.processes.peers import Host, Meeting, connect

LONG = 60.0


def meet(size):
    """The peers of processes 0 to ``size`` - 1, all of them in this process."""
    host, found = Host(), {}
    threads = [
        threading.Thread(target=lambda rank=rank: found.update({rank: connect(host.meeting, rank, size)}))
        for rank in range(1, size)
    ]
    for thread in threads:
        thread.start()
    found[0] = host.meet(size)
    for thread in threads:
        thread.join(LONG)
    return [found[rank] for rank in range(size)]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")


def break_connection(one):
    """As the system does where a process dies: its connection ends without a word."""
    one._over.set()  # it hears nothing any more
    for link in one._links.values():
        link.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_all_others_hear_of_a_lost_process(lost):
    three = meet(3)
    three[1].way_out = lambda: " Resume it."
    break_connection(three[lost])
    others = [rank for rank in range(3) if rank != lost]
    told = {rank: three[rank].loss(LONG) for rank in others}
    for rank in others:
        assert told[rank].startswith(f"Process {lost} of 3, on {socket.gethostname()} (127.0.0.1), has ended"), told
        three[rank].leave()
    if lost != 1:
        assert told[1].endswith(" Resume it.")


def test_who_leaves_is_not_lost():
    three = meet(3)
    for one in (three[2], three[0], three[1]):
        one.leave()
        one.leave()  # does nothing
    assert [one.loss() for one in three] == ["", "", ""]


def test_who_fails_says_why():
    three = meet(3)
    three[2].fail("The disk is full.")
    for one in three[:2]:
        assert "Process 2 of 3" in one.loss(LONG)
        assert one.loss().endswith("failed: The disk is full.")
        one.leave()


def test_words_that_come_in_two_parts_are_one_line():
    two = meet(2)
    two[1]._links[0].sendall(b'{"lost": 1, "why": "failed: The di')

    class Rest:
        def recv(self, size):
            return b'sk is full"}\n'

    while not two[0]._begun[1]:  # the first part is heard by the watch
        time.sleep(0.01)
    assert two[0]._hear(1, Rest()) is True
    assert two[0].loss().endswith("failed: The disk is full.")
    for one in two:
        one.leave()


def test_of_one_node_nobody_else_can_connect(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "node-0")
    for local, (bound, told) in {"4": ("127.0.0.1", "127.0.0.1"), "2": ("::", "node-0")}.items():
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
        host = Host()
        with host._listener as listener:
            assert listener.getsockname()[0] in (bound, "0.0.0.0" if bound == "::" else bound)
        assert host.meeting.host == told


def test_a_node_that_does_not_answer_is_lost(monkeypatch):
    """The system's own word for it, as its keep-alive gives it after some seconds."""

    class Silent:
        def recv(self, size):
            raise TimeoutError(110, "Connection timed out")

    two = meet(2)
    assert two[0]._hear(1, Silent()) is False
    assert "Process 1 of 2" in two[0].loss()
    assert two[0].loss().endswith("does not answer any more (Connection timed out).")
    for one in two:
        one.leave()


def test_the_system_watches_over_a_connection():
    two = meet(2)
    link = two[0]._links[1]
    assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    for one in two:
        one.leave()


def test_a_stranger_is_not_taken_for_a_process(monkeypatch):
    monkeypatch.setattr(peers, "_MEETING_SECONDS", 1.0)
    host = Host()
    port = host.meeting.port
    strangers = []
    guesses = [b'{"token": "guessed", "rank": 1, "name": "x"}', b'{"rank": 1}', b'{"token": 5}']
    for said in (*guesses, b"GET / HTTP/1.1", b"[]", b'"token"', b"\xff", b"[" * 4000, b"x" * 5000):
        strangers.append(socket.create_connection(("127.0.0.1", port)))
        strangers[-1].sendall(said + b"\n")
    with pytest.raises(TrainingError, match=r"Processes \[1\] have not reached process 0 at port .*: open the ports"):
        host.meet(2)
    for stranger in strangers:
        stranger.close()
    with pytest.raises(TrainingError, match=rf"Process 1 of 2 cannot reach process 0 at 127.0.0.1:{port}"):
        connect(Meeting("127.0.0.1", port, "x"), 1, 2)


WAITING = """\
import json, sys, time
from tardif.processes import peers
from tardif.processes.peers import Meeting, connect

peers._GRACE_SECONDS = 0.1
one = connect(Meeting(**json.loads(sys.argv[1])), 1, 2)
one.way_out = lambda: " Resume it."
print("met", flush=True)
time.sleep(600)  # as torch does, that waits for a peer
"""


@pytest.fixture
def waiting():
    """Process 0 here, and another process that waits for it."""
    host = Host()
    words = [sys.executable, "-c", WAITING, json.dumps(vars(host.meeting))]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    own = host.meet(2)
    assert process.stdout.readline() == "met\n"
    yield own, process
    process.kill()
    process.communicate()


def test_a_killed_process_is_noticed(waiting):
    own, process = waiting
    process.send_signal(signal.SIGKILL)
    assert "Process 1 of 2" in own.loss(LONG)
    own.leave()


def test_a_process_that_waits_for_a_lost_one_ends_with_one_line(waiting):
    own, process = waiting
    break_connection(own)
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert said.startswith("tardif: Process 0 of 2, on ")
    assert said.endswith("is down). Resume it.\n")
    assert said.count("\n") == 1
