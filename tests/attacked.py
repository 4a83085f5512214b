"""A program: damage one file of a healthy folder, ask everything of it, and say what came of that, again and again.

``python attacked.py SPECIMENS WORK`` reads trials as lines of JSON and answers each with one: a verdict, and what was
seen. Who starts it notices when it dies or hangs, and starts another.

same       every answer is the healthy folder's
refused    an error of Tardif's says in one line what is wrong and where; all other answers are the healthy folder's
SILENT     an answer is another one; or ``doctor`` finds nothing where a search is refused
TRACEBACK  any other exception
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

import specimens
from tardif.errors import TardifError

SAME, REFUSED, SILENT, TRACEBACK = "same", "refused", "SILENT", "TRACEBACK"
QUERY = "how do rivers carry sand to the sea"
# They decide nothing, and tell times, or the command that was given.
_RECORDS = ("results.json", "held_out.jsonl", "log.jsonl", "run.json", "report.html")


# Damage: what is done to a file, given random numbers, its twin and a file of another kind.


def _changed(change: Callable[[bytearray, random.Random], bytearray]):
    def damage(path: Path, draw: random.Random, twin: Path, foreign: Path) -> None:
        path.write_bytes(change(bytearray(path.read_bytes()), draw))

    return damage


def _flip(raw: bytearray, draw: random.Random) -> bytearray:
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return raw


def _zero_block(raw: bytearray, draw: random.Random) -> bytearray:
    at = 512 * draw.randrange((len(raw) + 511) // 512)
    raw[at : at + 512] = bytes(len(raw[at : at + 512]))
    return raw


DAMAGES: dict[str, Callable[[Path, random.Random, Path, Path], None]] = {
    "bit": _changed(_flip),
    "block": _changed(_zero_block),
    "half": _changed(lambda raw, draw: raw[: len(raw) // 2].ljust(len(raw), b"\0")),
    "cut": _changed(lambda raw, draw: raw[: draw.randrange(len(raw))]),
    "empty": _changed(lambda raw, draw: bytearray()),
    "gone": lambda path, draw, twin, foreign: path.unlink(),
    "twin": lambda path, draw, twin, foreign: path.write_bytes(twin.read_bytes()),
    "foreign": lambda path, draw, twin, foreign: path.write_bytes(foreign.read_bytes()),
    "longer": _changed(lambda raw, draw: raw + draw.randbytes(draw.randrange(1, 600))),
}


def files_of(root: Path, name: str) -> dict[str, str]:
    """A specimen's files by a label that is the same each time it is made: names in an index are random."""
    found: dict[str, str] = {}
    for path in sorted(path for path in (root / name).rglob("*") if path.is_file()):
        place = path.relative_to(root / name)
        label = place.as_posix()
        if path.suffix in (".segment", ".npz"):
            number = sum(other.startswith(f"{place.parts[0]}/") for other in found)
            label = f"{place.parts[0]}/{number}{path.suffix}"
        found[label] = place.as_posix()
    return found


# Questions: each gives what JSON can hold, or raises.


def _hits(found) -> list:
    return [[hit.document_id, hit.score, hit.text] for hit in found]


def _rows(encoded) -> list:
    return encoded[0].tolist()


def _index(folder: Path, root: Path) -> dict[str, object]:
    from tardif.index.disk import DiskIndex
    from tardif.index.filters import parse_filter
    from tardif.search.retriever import Retriever

    answers: dict[str, object] = {}
    vectors = np.random.default_rng(5).standard_normal((6, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with _opened(answers, "index", lambda: DiskIndex(folder, threads=1)) as index:
        if index is not None:
            few = parse_filter("n < 20")
            _ask(answers, "ids", index.ids)
            _ask(answers, "get", lambda: [[i, d.text, dict(d.metadata)] for i, d in index.get(index.ids()).items()])
            _ask(answers, "exact by vectors", lambda: index.search(vectors, [6], 50, exact=True))
            _ask(answers, "filtered by vectors", lambda: index.search(vectors, [6], 50, exact=True, where=few))
            _ask(answers, "score", lambda: index.score(vectors, index.ids()[::-1]))
            _ask(answers, "by words", lambda: index.search_words(QUERY, 50))
    with _opened(answers, "retriever", lambda: Retriever(folder, threads=1)) as retriever:
        if retriever is not None:
            _ask(answers, "exact", lambda: _hits(retriever.search(QUERY, 50, exact=True)))
            _ask(answers, "pruned", lambda: _hits(retriever.search(QUERY, 3)))
            _ask(answers, "filtered", lambda: _hits(retriever.search(QUERY, 50, where="n < 20 or n = 37")))
            _ask(answers, "hybrid", lambda: _hits(retriever.search(QUERY, 10, hybrid=True)))
            _ask(answers, "rerank", lambda: _hits(retriever.rerank(QUERY, retriever.index.ids()[::3])))
    return answers


def _checkpoint(folder: Path, root: Path) -> dict[str, object]:
    from tardif.encoder.model import open_model
    from tardif.encoder.token_vectors import encode_documents, encode_queries
    from tardif.search.rerank import rerank

    answers: dict[str, object] = {}
    texts = [row["text"] for row in specimens.documents(0)[:8]]
    with _opened(answers, "model", lambda: contextlib.nullcontext(open_model(str(folder)))) as model:
        if model is not None:
            _ask(answers, "queries", lambda: _rows(encode_queries(model, [QUERY])))
            _ask(answers, "documents", lambda: _rows(encode_documents(model, texts)))
            _ask(answers, "rerank", lambda: _hits(rerank(folder, QUERY, texts)))
    return answers


def _run(folder: Path, root: Path) -> dict[str, object]:
    answers: dict[str, object] = {}
    out = folder.parent
    hidden = folder.rename(out / f".{specimens.MODEL}.training")

    def resumed() -> list:
        made = specimens.trainer(root, out)
        made.train(resume=True, **specimens.SETTINGS)
        return published(made.path)

    _ask(answers, "resumed", resumed)
    if hidden.exists():
        hidden.rename(folder)
    return answers


def published(folder: Path) -> list:
    """Every file of a checkpoint that is no record, by its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _RECORDS)
    return [[path.relative_to(folder).as_posix(), path.read_bytes().hex()] for path in files]


@contextlib.contextmanager
def _opened(answers: dict[str, object], name: str, open_it):
    """What is opened, or None where that fails."""
    found: list = []

    def opening() -> str:
        found.append(open_it())
        return "opened"

    _ask(answers, name, opening)
    if not found:
        yield None
        return
    with found[0] as opened:
        yield opened


def _ask(answers: dict[str, object], name: str, question: Callable[[], object]) -> None:
    """Note an answer as JSON has it, or how it was refused."""
    try:
        answers[name] = json.loads(json.dumps(question()))
    except TardifError as error:
        answers[name] = _refusal(str(error))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        answers[name] = {TRACEBACK: traceback.format_exc()}


def _refusal(said: str) -> dict[str, str]:
    """What a refusal says, if that is one line of a length that can be read."""
    return {REFUSED: said} if said.strip() and "\n" not in said and len(said) < 1000 else {TRACEBACK: said}


QUESTIONS = {"index-8": _index, "index-4": _index, "checkpoint": _checkpoint, "run": _run}


# Verdicts.


def judge(answers: dict[str, object], healthy: dict[str, object]) -> tuple[str, str]:
    """The verdict on some answers, and what it is about."""
    refusals = {name: said[REFUSED] for name, said in answers.items() if isinstance(said, dict) and REFUSED in said}
    for name, said in answers.items():
        if isinstance(said, dict) and TRACEBACK in said:
            return TRACEBACK, f"{name}: {said[TRACEBACK]}"
        if name not in refusals and said != healthy[name]:
            return SILENT, f"{name}: {said!r:.300} is not {healthy[name]!r:.300}"
    return (REFUSED, next(iter(refusals.values()))) if refusals else (SAME, "")


def _doctored(folder: Path, root: Path, verdict: str, healthy: dict[str, object]) -> tuple[str, str]:
    """Have a damaged index examined and repaired, and judge what it answers then."""
    from tardif.progress import Console
    from tardif.search.repair import examine, repair

    answers: dict[str, object] = {}
    _ask(answers, "examine", lambda: examine(folder).problems)
    problems = answers["examine"]
    if problems == []:
        silent = verdict == REFUSED
        return (SILENT, "doctor finds nothing, and a search is refused") if silent else (SAME, "")
    if isinstance(problems, list):
        _ask(answers, "repair", lambda: _repaired(repair(folder, console=Console(quiet=True))))
    for said in answers.values():
        if isinstance(said, dict) and TRACEBACK in said:
            return TRACEBACK, f"doctor: {said[TRACEBACK]}"
    mended = answers.get("repair")
    if isinstance(mended, list) and not mended[1]:
        found = _judge_mended(_index(folder, root), healthy, mended[0])
        return _judge_written(folder) if found[0] == SAME else found
    found, what = judge(_index(folder, root), healthy)  # what could not be mended is refused as before, or answers
    return (found, f"after a repair that could not: {what}") if found in (SILENT, TRACEBACK) else (REFUSED, "")


def _repaired(found) -> list:
    return [found[0], found[1].problems]


def _judge_mended(answers: dict[str, object], healthy: dict[str, object], done: list[str]) -> tuple[str, str]:
    """A mended index has every document but those that it says were given up; what was encoded again may be stored
    with other rounding."""
    for name, said in answers.items():
        if isinstance(said, dict):
            return SILENT, f"repaired ({done}), and then {name}: {said}"
    lost = {line.split("'")[1] for line in done if "was given up" in line}
    wanted = {row[0]: row[1:] for row in healthy["get"]}  # type: ignore[union-attr]
    if {row[0]: row[1:] for row in answers["get"]} != {i: row for i, row in wanted.items() if i not in lost}:
        return SILENT, f"repaired ({done}), and documents are lost or changed"
    before = {hit[0]: hit[1] for hit in healthy["exact"] if hit[0] not in lost}  # type: ignore[union-attr]
    after = {hit[0]: hit[1] for hit in answers["exact"]}
    if before.keys() != after.keys() or any(abs(after[i] - before[i]) > 0.1 * abs(before[i]) for i in before):
        return SILENT, f"repaired ({done}), and scores are others: {before} {after}"
    return SAME, ""


def _judge_written(folder: Path) -> tuple[str, str]:
    """A mended index can be written: what is added is found, what is deleted is not, and nothing else changes."""
    from tardif.index.checking import examine_index
    from tardif.index.disk import DiskIndex
    from tardif.types import Document

    answers: dict[str, object] = {}
    vector = np.zeros((3, 16), dtype=np.float32)
    vector[:, 5] = 1.0

    def written() -> list:
        with DiskIndex(folder, threads=1) as index:
            before = index.get(index.ids())
            index.add([Document("new", "a new text")], vector, [3])
            best = index.search(vector, [3], 1, exact=True)[0][0][0]
            added = set(index.ids()) == {*before, "new"}
            index.delete(["new"])
            return [best, added, index.get(index.ids()) == before, examine_index(folder).problems]

    _ask(answers, "written after a repair", written)
    return judge(answers, {"written after a repair": ["new", True, True, []]})


# The command line.


def _commands(folder: Path, specimen: str, texts: Path) -> list[list[str]]:
    if specimen.startswith("index"):
        return [["doctor", str(folder), "--json"], ["search", str(folder), QUERY, "--json", "-k", "50"]]
    return [["rerank", str(folder), QUERY, "--documents", str(texts), "--json"]]


def _commanded(folder: Path, specimen: str, texts: Path) -> dict[str, object]:
    """The same by the command: what it prints, or its one line."""
    answers: dict[str, object] = {}
    for command in _commands(folder, specimen, texts):
        done = subprocess.run([sys.executable, "-m", "tardif", *command], capture_output=True, text=True, check=False)
        is_line = (
            done.stderr.startswith("tardif: ") and done.stderr.count("\n") == 1 and "unexpected" not in done.stderr
        )
        if done.returncode == 1 and is_line:
            answers[command[0]] = _refusal(done.stderr.strip())
        elif done.returncode == 0 and "Traceback" not in done.stderr:
            answers[command[0]] = json.loads(done.stdout.replace(str(folder), ""))
        else:
            answers[command[0]] = {TRACEBACK: f"exit code {done.returncode}: {done.stderr}"}
    return answers


# The loop.


def attack(trial: dict, root: Path, work: Path, healthy: Callable[..., dict[str, object]]) -> tuple[str, str]:
    """One trial on a fresh copy: its verdict, and what it is about."""
    specimen, label, how = trial["specimen"], trial["file"], trial["damage"]
    draw = random.Random(f"{trial['seed']} {specimen} {label} {how} {trial['number']}")
    folder = work / f"{trial['number']}" / specimen
    shutil.copytree(root / specimen, folder)
    mine, theirs = files_of(root, specimen), files_of(root, f"{specimen}-twin")
    twin = root / f"{specimen}-twin" / theirs[label]
    foreign = draw.choice([name for other, name in mine.items() if Path(other).name != Path(label).name])
    try:
        DAMAGES[how](folder / mine[label], draw, twin, root / specimen / foreign)
        if trial["command"]:
            return judge(_commanded(folder, specimen, root / "texts.txt"), healthy(specimen, command=True))
        found = judge(QUESTIONS[specimen](folder, root), healthy(specimen))
        if specimen.startswith("index") and found[0] in (SAME, REFUSED):
            doctored = _doctored(folder, root, found[0], healthy(specimen))
            return doctored if doctored[0] in (SILENT, TRACEBACK) else found
        return found
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def _healthy(root: Path, work: Path) -> Callable[..., dict[str, object]]:
    """Answers of the healthy folders, asked when they are first needed."""
    known: dict[tuple[str, bool], dict[str, object]] = {}

    def answers(specimen: str, *, command: bool = False) -> dict[str, object]:
        if (specimen, command) not in known:
            folder = work / "healthy" / specimen
            shutil.copytree(root / specimen, folder)
            found = _commanded(folder, specimen, root / "texts.txt") if command else QUESTIONS[specimen](folder, root)
            if specimen == "run":
                found = {"resumed": published(root / "checkpoint")}
            assert not any(isinstance(said, dict) and said.keys() & {REFUSED, TRACEBACK} for said in found.values()), (
                found
            )
            known[specimen, command] = found
            shutil.rmtree(folder.parent)
        return known[specimen, command]

    return answers


def main(root: Path, work: Path) -> None:
    # What libraries print must not be taken for an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    healthy = _healthy(root, work)
    for specimen in specimens.NAMES:
        healthy(specimen)  # what takes time the first time is not a trial's
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        verdict, what = attack(json.loads(line), root, work, healthy)
        print(json.dumps([verdict, what]), file=out, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
