"""Searches an index while another process writes it: ``index_reader.py FOLDER SECONDS``. Threads take turns at every
way of reading; what was acknowledged before a search began has to be seen by it. Ends with a line of what it did.

The file ``acknowledged`` beside the index holds the number of the last document that was written: ``n0``, ``n1``, ... .
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from tardif.index.disk import DiskIndex
from tardif.index.filters import parse_filter

sys.path.insert(0, str(Path(__file__).parent))
import token_vectors as plain

KEPT = 50
"""So many of the last documents are in the index: older ones were deleted."""


def acknowledged(folder: Path) -> int:
    return int((folder.parent / "acknowledged").read_text() or -1)


def read_once(index: DiskIndex, folder: Path, turn: int) -> None:
    query = plain.vectors_of(turn, 5)
    before = acknowledged(folder)
    ways = [{"exact": True}, {}, {"exact": True, "where": parse_filter(f"n >= {before}")}]
    (hits,) = index.search(query, [5], 100_000, **ways[turn % 3])
    found = {int(identity[1:]) for identity, _ in hits}
    assert len(found) == len(hits)
    # Deleted before the search began: not found by it.
    assert all(number > before - KEPT for number in found), f"deleted and found: {min(found)} at {before}"
    # Written before it began, and not deleted by the write that followed the last one told: found.
    still = acknowledged(folder) + 2 - KEPT
    wanted = {0: range(max(still, 0), before + 1), 1: (), 2: [before] if before >= max(still, 0) else []}
    missing = set(wanted[turn % 3]) - found
    assert not missing, f"acknowledged and not found: {missing}"
    texts = index.get([identity for identity, _ in hits[:5]])
    assert all(document.text == f"text of {identity}" for identity, document in texts.items())


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    ends, turns, failures = time.monotonic() + seconds, [], []
    with DiskIndex(folder, threads=2) as index:

        def work(first: int) -> None:
            turn = first
            try:
                while time.monotonic() < ends and not failures:
                    read_once(index, folder, turn)
                    turn += 1
            except BaseException as error:
                failures.append(error)
            turns.append(turn - first)

        threads = [threading.Thread(target=work, args=(10_000 * n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    sys.stdout.write(f"{sum(turns)}\n")


if __name__ == "__main__":
    main()
