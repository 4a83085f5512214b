"""The process of a service that is measured (``serve.py``): its start, its work and its memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def served(index: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A service on a free port: its process, its address, and the seconds until it was ready."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tardif", "serve", f"bench={index}", "--port", "0", "--quiet"]
    with log.open("a") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, f"the service did not start: see {log}"
        yield process, f"{address}/indexes/bench", time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def work_of(process: psutil.Process) -> float:
    """Seconds of a core's work that a process has done."""
    times = process.cpu_times()
    return times.user + times.system


def held(process: psutil.Process) -> str:
    """The work that a process has done and its memory; its own part is what the system cannot read from files again."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    own = next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("RssAnon"))
    return f"{work_of(process):.2f} s of a core's work, {megabytes(process):.0f} MB, of which {own:.0f} its own"


def megabytes(process: psutil.Process) -> float:
    """The memory of a process."""
    return process.memory_info().rss / 1e6
