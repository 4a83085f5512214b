"""A real `tardif serve` in a process of its own, and requests that no library would send."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit


class ServedProcess:
    """`tardif serve` on a free port; ready when this returns."""

    def __init__(self, *arguments, **environment):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        command = [sys.executable, "-m", "tardif", "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, text=True, env={**os.environ, **environment}
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.log()
        parts = urlsplit(self.url)
        self.address = parts.hostname, parts.port

    def log(self):
        self._log.seek(0)
        return self._log.read().decode()

    def lines(self):
        """The lines of JSON of the log."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def raw(self, *parts, seconds=60):
        """Send bytes as they are, and return all that is answered until the connection ends; b"" if it is reset."""
        with socket.create_connection(self.address, timeout=seconds) as connection:
            answer = b""
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
            with contextlib.suppress(ConnectionError):
                while block := connection.recv(1 << 16):
                    answer += block
            return answer

    def stop(self, number=signal.SIGTERM):
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(600)

    def maps(self):
        """What files the process has mapped."""
        with open(f"/proc/{self.process.pid}/maps") as file:  # noqa: PTH123
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._log.close()
