"""What a training process says, sent line by line to the one that started it, which shows it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from tardif.talk import Bar, Talk


class Relay(Talk):
    """Sends what is said as lines of JSON.

    Args:
        out: where to.
    """

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        # Through a queue, since a signal may interrupt the main thread within a write, and has something to say too.
        self.events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.writer = threading.Thread(target=self._write, args=(out,), daemon=True)
        self.writer.start()

    def say(self, line: str) -> None:
        """Send a line."""
        self.send(say=line)

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Send how far something has come."""
        self.send(begin=[what, total, unit])
        try:
            yield _RelayedBar(self, what, total, unit)
        finally:
            self.send(end=True)

    def send(self, **event: Any) -> None:
        """Send one event."""
        self.events.put(event)

    def close(self) -> None:
        """Wait until everything is sent."""
        self.events.put(None)
        self.writer.join()

    def _write(self, out: IO[str]) -> None:
        while (event := self.events.get()) is not None:
            out.write(json.dumps(event) + "\n")
            out.flush()


class _RelayedBar(Bar):
    def __init__(self, relay: Relay, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self.relay = relay

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self.relay.send(advance=[count, note])

    def resume(self, done: int) -> None:
        super().resume(done)
        self.relay.send(resume=done)


def replay(lines: Iterable[str], talk: Talk) -> None:
    """Say and show on ``talk`` what a :class:`Relay` sends, until it ends."""
    bar = Bar("", None, "")
    with ExitStack() as shown:
        for line in lines:
            try:
                event: dict[str, Any] = json.loads(line)
            except ValueError:  # half a line, of a process that was killed
                continue
            if "say" in event:
                talk.say(event["say"])
            elif "begin" in event:
                bar = shown.enter_context(talk.progress(*event["begin"]))
            elif "advance" in event:
                bar.advance(*event["advance"])
            elif "resume" in event:
                bar.resume(event["resume"])
            else:
                shown.close()
