"""One file damaged at a time, in every folder that Tardif leaves: it answers as before, or says what is wrong.

``TARDIF_DAMAGES`` sets how many times (``make soak``: 2,000). A table of what came of it is printed (``-s``).
"""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest

import attacked
import specimens

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("attack")]

COUNT = int(os.environ.get("TARDIF_DAMAGES", "120"))
SEED = int(os.environ.get("TARDIF_DAMAGES_SEED", "0"))
WORKER = Path(attacked.__file__)
CRASH, HANG = "CRASH", "HANG"
BAD = (attacked.SILENT, attacked.TRACEBACK, CRASH, HANG)
WATCHDOG = 240.0  # seconds: no trial takes a hundredth of it, and a busy machine decides nothing
COMMANDS = 5  # one by the command line starts up to four processes, and is given so many times as long
BY_COMMAND = 40  # every so many trials, one by the command line
RUNS = 4  # a resumed run takes as long as some ten other trials: after the first round, one of so many is made
LARGE, TURNS = 4096, 3  # bytes of a file that has so many turns in a round: there are more places in it


@dataclass
class Worker:
    """A process that makes trials, started again when it dies or hangs."""

    root: Path
    work: Path
    process: subprocess.Popen | None = None
    lines: queue.Queue = field(default_factory=queue.Queue)

    def start(self) -> None:
        self.lines = queue.Queue()
        command = [sys.executable, "-X", "faulthandler", str(WORKER), str(self.root), str(self.work)]
        errors = (self.work / "stderr").open("w")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        errors.close()
        threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True).start()
        assert self.lines.get(timeout=600) == "ready\n", (self.work / "stderr").read_text()

    @staticmethod
    def _read(stream, lines: queue.Queue) -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    def verdict(self, trial: dict) -> tuple[str, str]:
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps(trial) + "\n")
        self.process.stdin.flush()
        try:
            seconds = WATCHDOG * (COMMANDS if trial["command"] else 1)
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            return HANG, f"no answer within {seconds:.0f} s"
        if line:
            return tuple(json.loads(line))
        code, said = self.process.wait(), (self.work / "stderr").read_text()
        self.stop()
        assert code < 0, said  # a mistake in the program that attacks
        return CRASH, f"signal {-code}: {said[-2000:]}"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                stream.close()
            self.process = None


def trials(root: Path, count: int) -> list[dict]:
    """So many trials. Every file has its turn before one has it again, and each time another damage."""
    draw = random.Random(SEED)
    files = {(name, label): place for name in specimens.NAMES for label, place in attacked.files_of(root, name).items()}
    large = [(name, label) for (name, label), place in files.items() if (root / name / place).stat().st_size >= LARGE]
    damages = {file: cycle(draw.sample(list(attacked.DAMAGES), len(attacked.DAMAGES))) for file in files}
    made: list[dict] = []
    chosen = list(files)
    while len(made) < count:
        for name, label in draw.sample(chosen, len(chosen)):
            trial = {"number": len(made), "seed": SEED, "specimen": name, "file": label}
            by_command = name != "run" and len(made) % BY_COMMAND == BY_COMMAND // 2
            made.append({**trial, "damage": next(damages[name, label]), "command": by_command})
        runs = [file for file in files if file[0] == "run"]
        chosen = [file for file in [*files, *large * (TURNS - 1)] if file[0] != "run"]
        chosen += draw.sample(runs, len(runs) // RUNS)
    return made[:count]


def kind(trial: dict) -> str:
    """A file's kind for the table: all segments are one."""
    name, label = trial["specimen"].partition("-")[0], trial["file"]
    parts = Path(label).parts
    if name == "index":
        return f"{name}: {Path(*parts[:-1], '*' + Path(label).suffix) if label[-4:] in ('ment', '.npz') else label}"
    if name == "run":
        return f"{name}: {parts[0].rstrip('0123456789').rstrip('-')}{'/*' if len(parts) > 1 else ''}"
    return f"{name}: {'records' if label in ('results.json', 'held_out.jsonl', 'log.jsonl') else label}"


def table(made: list[dict], verdicts: list[str]) -> str:
    """A row for each kind of file, a column for each damage: how often the answers were the same + refused + bad."""
    counts = Counter((kind(trial), trial["damage"], verdict) for trial, verdict in zip(made, verdicts, strict=True))
    kinds = sorted({key[0] for key in counts}, key=lambda name: (name.split(":")[0], name))

    def cell(name: str, *damages: str) -> str:
        same, refused, *bad = (
            sum(counts[name, damage, verdict] for damage in damages)
            for verdict in (attacked.SAME, attacked.REFUSED, *BAD)
        )
        return f"{same} / {refused}{f' **{sum(bad)}**' if any(bad) else ''}" if same + refused + sum(bad) else ""

    rows = [["file", *attacked.DAMAGES, "all"], ["---"] * (len(attacked.DAMAGES) + 2)]
    rows += [
        [name, *(cell(name, damage) for damage in attacked.DAMAGES), cell(name, *attacked.DAMAGES)] for name in kinds
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack")
    place = folder / "specimens"
    place.mkdir()
    # In a process like those that are compared with it: fixtures of this one leave parts of a run out.
    subprocess.run([sys.executable, specimens.__file__, str(place)], check=True)
    (place / "texts.txt").write_text("".join(f"{row['text']}\n" for row in specimens.documents(0)[:8]))
    return place


def test_a_damaged_file_is_told_or_changes_nothing(root):
    work = root.parent / "work"
    work.mkdir()
    worker, made = Worker(root, work), trials(root, COUNT)
    try:
        found = [worker.verdict(trial) for trial in made]
    finally:
        worker.stop()
    verdicts = [verdict for verdict, _ in found]
    sys.stdout.write(f"\n{table(made, verdicts)}\n\n{dict(Counter(verdicts))}\n")
    bad = [f"{verdict} {trial}: {what}" for trial, (verdict, what) in zip(made, found, strict=True) if verdict in BAD]
    assert not bad, "\n\n".join(bad)
    # As it must: where nothing is refused, nothing was attacked.
    assert verdicts.count(attacked.REFUSED) > len(made) // 3
