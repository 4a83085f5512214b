"""Messages and progress bars for the person at the terminal, on stderr.

stdout belongs to data. A progress bar is drawn if stderr is a terminal, and in a notebook. Elsewhere (a log file, CI)
one line every ten seconds reports the same. Texts, ids and file names in messages are made safe to show
(:mod:`tardif.escaping`).
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tardif.escaping import visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_SECONDS = 10.0


class Console:
    """Writes messages and progress to stderr.

    Args:
        quiet: leave out progress and :meth:`say`; results (:meth:`tell`) and warnings stay.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Write a line on progress, unless the console is quiet. A line break within it is shown as an escape."""
        if not self.quiet:
            self.tell(line)

    def tell(self, line: str) -> None:
        """Write a line with a result, even if the console is quiet."""
        sys.stderr.write(visible(line) + "\n")
        sys.stderr.flush()

    def warn(self, line: str) -> None:
        """Write a line marked as a warning, even if the console is quiet."""
        self.tell(f"WARNING: {line}")

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Show the progress of ``what``: the number done, the speed and, if ``total`` is known, the time left.

        Args:
            what: the work, such as ``"Encoding"``.
            total: the number of units of work, if it is known.
            unit: their name in the plural, such as ``"documents"``.
        """
        bar: Bar
        if self.quiet:
            bar = Bar(what, total, unit)
        elif sys.stderr.isatty() or _in_notebook():
            bar = _TerminalBar(what, total, unit)
        else:
            bar = _LineBar(what, total, unit, self)
        try:
            yield bar
        finally:
            bar.close()


class Silent(Console):
    """A console that writes nothing, results included, for calls that return them as values."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def tell(self, line: str) -> None:
        """Write nothing."""


class Bar:
    """A progress bar that shows nothing, and the base of those that do.

    >>> bar = Bar("Encoding", 10, "documents")
    >>> bar.advance(4)
    >>> bar.line().split(",")[0]
    'Encoding: 4/10 documents'
    """

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = visible(what), total, visible(unit)
        self.done = self.earlier = 0
        self.started = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done. ``note`` is a word on the state, such as the loss."""
        self.done += count

    def resume(self, done: int) -> None:
        """Begin at ``done`` units, which an earlier run did. They do not count for the speed."""
        self.done = self.earlier = done
        self.started = time.monotonic()

    @property
    def rate(self) -> float:
        """Units done per second."""
        # The clock may not have ticked since the start.
        return (self.done - self.earlier) / max(time.monotonic() - self.started, 1e-9)

    def line(self, note: str = "") -> str:
        """Return the state as one line of text."""
        rate = self.rate
        tail = f", {note}" if note else ""
        if self.total is None:
            return f"{self.what}: {self.done:,} {self.unit}, {rate:.3g}/s{tail}"
        ahead = f", {clock((self.total - self.done) / rate)} left" if self.done < self.total and rate else ""
        return f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s{ahead}{tail}"

    def close(self) -> None:
        """Remove the bar."""


class _LineBar(Bar):
    def __init__(self, what: str, total: int | None, unit: str, console: Console) -> None:
        super().__init__(what, total, unit)
        self.console = console
        self.last = self.started
        self.note = ""

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self.note = note
        now = time.monotonic()
        if now - self.last >= _LINE_EVERY_SECONDS and self.done != self.total:
            self.last = now
            self.console.say(self.line(note))

    def close(self) -> None:
        if self.done > self.earlier:
            self.console.say(f"{self.line(self.note)} ({clock(time.monotonic() - self.started)})")


class _TerminalBar(Bar):
    def __init__(self, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.view: Progress = Progress(
            # markup=False: a file name in brackets is no markup.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.view.start()
        self.task: TaskID = self.view.add_task(self.what, total=total, state="")

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        state = f"{self.rate:.3g} {self.unit}/s" + (f" {visible(note)}" if note else "")
        self.view.update(self.task, advance=count, state=state)

    def resume(self, done: int) -> None:
        super().resume(done)
        self.view.update(self.task, completed=done)

    def close(self) -> None:
        self.view.stop()


def _in_notebook() -> bool:
    """Return whether this is a notebook in which rich can draw. It needs ipywidgets there."""
    if importlib.util.find_spec("ipywidgets") is None:
        return False
    from rich.console import Console

    return Console(stderr=True).is_jupyter


def clock(seconds: float) -> str:
    """Return seconds in a readable form.

    >>> clock(42), clock(185), clock(7620)
    ('42s', '3m05s', '2h07m')
    """
    if not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
