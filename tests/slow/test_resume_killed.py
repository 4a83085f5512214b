"""Killed at any moment, ``train --resume`` ends with the bytes of an unbroken run.

Three chosen moments always; ``TARDIF_KILLS`` adds so many random ones (``make soak``).
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("resume")]  # on one worker: what they share is dear

KILLS = int(os.environ.get("TARDIF_KILLS", "0"))
STEPS_PER_EPOCH = 12
SETS = ["epochs=3", "batch_size=16", "lr=3e-4", "dropout=0.1", "evaluations=6", "save_steps=4", "logging_steps=1"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    draw = random.Random(7)
    words = [f"{a}{b}" for a in ("sand", "snow", "moon", "sea", "bread") for b in ("stone", "light", "wind", "bird")]
    with path.open("w", encoding="utf-8") as file:
        for n in range(210):
            text = " ".join(draw.choices(words, k=15))
            file.write(json.dumps({"query": f"{' '.join(text.split()[:4])} {n}", "positive": f"{text} {n}"}) + "\n")
    return path


@pytest.fixture(scope="module")
def start(pairs, bert_tiny):
    """Starts a real training: ``start(out)``, ``start(out, "--resume")``."""

    def started(out, *more):
        sets = [word for setting in SETS for word in ("--set", setting)]
        command = [sys.executable, "-m", "tardif", "train", str(pairs), "--name", "model", "--out", str(out)]
        command += ["--base", str(bert_tiny), "--document-length", "48", "--device", "cpu", "--validation", "0.1"]
        command += ["--guard", "none", *sets, *more]  # tests/training/test_guarding.py has resumed runs with one
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    return started


def finish(running):
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    return said


def published(out):
    """Every file of the model with its bytes; what tells times is left out."""
    folder = out / "model"
    told = ("results.json", "log.jsonl", "run.json", "report.html")
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in told}


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """What an unbroken run publishes, and how long one takes."""
    out = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    finish(start(out))
    results = json.loads((out / "model" / "results.json").read_text())
    assert results["settings"]["steps"] == 3 * STEPS_PER_EPOCH
    assert [path.name for path in out.iterdir()] == ["model"]
    return published(out), results, time.monotonic() - began


def kill_when(running, moment):
    """Kill a process as soon as ``moment()`` is true."""
    while not moment():
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.0005)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)


def logged(work):
    """The epoch that the log has reached."""
    try:
        return json.loads((work / "log.jsonl").read_text().splitlines()[-1])["epoch"]
    except (OSError, ValueError, IndexError):
        return 0.0


def check(out, whole):
    expected, results, _ = whole
    assert published(out) == expected
    found = json.loads((out / "model" / "results.json").read_text())
    for name in ("before", "after", "baselines"):
        assert found[name] == results[name]
    assert found["settings"]["evaluated"] == results["settings"]["evaluated"]
    assert [path.name for path in out.iterdir()] == ["model"]
    return found["settings"]["resumed_at"]


def test_killed_while_it_saves(start, whole, tmp_path):
    work = tmp_path / ".model.training"
    for _ in range(5):  # the moment is short: a kill can come too late
        kill_when(start(tmp_path), lambda: (work / "step-00000008").exists() and any(work.glob(".step-*.partial")))
        if any(work.glob(".step-*.partial")):
            break
        shutil.rmtree(work)
    else:
        pytest.fail("never killed within a save")
    assert not (tmp_path / "model").exists()
    finish(start(tmp_path, "--resume"))
    assert check(tmp_path, whole)[0] >= 8


def test_killed_amid_an_epoch(start, whole, tmp_path):
    work = tmp_path / ".model.training"
    kill_when(start(tmp_path), lambda: logged(work) > 0.5)
    refused = start(tmp_path)
    assert "--resume" in refused.communicate(timeout=120)[1]
    assert refused.returncode == 1
    assert "Resuming from step" in finish(start(tmp_path, "--resume"))
    check(tmp_path, whole)


def test_killed_after_two_epochs(start, whole, tmp_path):
    work = tmp_path / ".model.training"
    kill_when(start(tmp_path), lambda: logged(work) > 2)
    finish(start(tmp_path, "--resume"))
    assert check(tmp_path, whole)[0] >= 2 * STEPS_PER_EPOCH - 4


@pytest.mark.skipif(not KILLS, reason="TARDIF_KILLS says how many: make soak")
def test_killed_at_random_moments(start, whole, tmp_path):
    draw = random.Random(2026)
    resumed = kills = 0
    while kills < KILLS:
        out = tmp_path / str(kills)
        while True:  # one run may be killed several times
            running = start(out, "--resume")
            try:
                running.wait(timeout=draw.uniform(0.3, 1.3) * whole[2])
            except subprocess.TimeoutExpired:
                running.kill()
                kills += 1
                running.communicate(timeout=60)
            else:
                if running.returncode == 0 or not (out / "model").exists():
                    finish(running)
                else:  # killed when it had published: that run was finished
                    running.communicate(timeout=60)
                for left in out.glob(".model.*.partial"):
                    shutil.rmtree(left)
                for left in out.glob(".*.lock"):
                    left.unlink()
                break
        resumed += len(check(out, whole))
        shutil.rmtree(out)
    assert resumed or KILLS < 5  # few may all come before the first checkpoint


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 130 MB; ``small_disk.grow()`` makes room."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount here")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_it_and_the_last_checkpoint_is_gone_on_from(start, whole, small_disk: Path):
    """A checkpoint of BERT-tiny takes 53 MB: two fit, the third does not while they are there."""
    running = start(small_disk)
    said = running.communicate(timeout=120)[1]
    assert running.returncode == 1
    assert "No space left" in said or "could not be written" in said
    assert "--resume" in said
    assert "Traceback" not in said
    work = small_disk / ".model.training"
    assert [path.name for path in sorted(work.glob("step-*"))]
    assert not list(work.glob(".*.partial"))
    subprocess.run(["mount", "-o", "remount,size=600m", str(small_disk)], check=True)
    finish(start(small_disk, "--resume"))
    check(small_disk, whole)
