"""Writes to an index until it is killed: ``index_writer.py FOLDER SEED``. Says what it begins and what is done.

Each line is ``begin`` or ``done``, a number, and what: ``add`` or ``delete``, and ids. A document's text is the number
of the write that it came with.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

from tardif.index import compaction, disk
from tardif.index.disk import DiskIndex
from tardif.types import Document

sys.path.insert(0, str(Path(__file__).parent))
import token_vectors as plain

POOL = 120
"""Ids that are written: few, so that documents are replaced and deleted again and again."""


def small_segments() -> None:
    """Have segments be coded and compacted at sizes that a test reaches."""
    for module in (disk, compaction):
        module.PLAIN_TOKENS = 200
    compaction.MOST_PLAIN = compaction.MOST_CODED = 3


def say(*parts: object) -> None:
    """A line on stdout, whole or not at all."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, parts)) + "\n").encode())


def write(index: DiskIndex, draw: random.Random, number: int) -> None:
    """One random write."""
    ids = draw.sample([f"id{n}" for n in range(POOL)], draw.randint(1, 25))
    what = "delete" if draw.random() < 0.3 else "add"
    say("begin", number, what, *ids)
    if what == "delete":
        index.delete(ids)
    else:
        _, vectors, lengths = plain.some(len(ids), seed=number)
        index.add([Document(identity, f"write {number}") for identity in ids], vectors, lengths)
    say("done", number, what, *ids)


def main() -> None:
    small_segments()
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    with DiskIndex(folder, threads=1) as index:
        say("ready")
        for number in itertools.count(seed * 100_000):
            write(index, draw, number)


if __name__ == "__main__":
    main()
