"""What the workers of a Ray cluster run in tests: functions of a module that they can import."""

from __future__ import annotations

import os
import signal
import time

from tardif.errors import DataError


def any_work(*folders):
    """Do what an item says: ``(what, number)``."""
    texts = [(folder / "text.txt").read_text() for folder in folders]

    def work(item):
        what, number = item
        if what == "refuse":
            raise DataError(f"{number} is no good.", "numbers.txt", number)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return number * number, os.getpid(), os.environ["OMP_NUM_THREADS"], texts

    return work


def death_once(folder):
    """Die at some numbers, the first time."""

    def work(number):
        mark = folder / f"died-{number}"
        if number % 4 == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return work
