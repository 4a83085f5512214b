"""Real training in two processes: what it gives is what one process gives, also when it is broken off."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from broken_runs import break_off
from broken_runs import weights as bytes_of
from tardif import SettingError, TrainingError
from tardif.training.run_folder import RunFolder
from tardif.types import Document

pytestmark = pytest.mark.xdist_group("processes")  # on one worker: what they share is dear
# Batches of 7 of the 36 examples: the last one of an epoch has one, and a process gets none.
SHORT = {"epochs": 2, "batch_size": 7, "lr": 1e-3, "evaluations": 1}
STEPS = 12
LONG = {**SHORT, "epochs": 10, "evaluations": 2, "dropout": 0.1, "save_steps": 1}


def left_in(trainer):
    return sorted(path.name for path in trainer.path.parent.glob("*"))


def weights(trainer):
    from safetensors.torch import load_file

    found = {}
    for path in sorted(trainer.path.rglob("*.safetensors")):
        part = path.parent.relative_to(trainer.path).as_posix()
        found |= {f"{part}/{name}": tensor for name, tensor in load_file(path).items()}
    return found


def same_weights(one, two, start):
    """Equal within a hundred-thousandth of the weights' size; and training has moved them by far more."""
    assert one.keys() == two.keys() == start.keys()
    for name in one:
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding, which Adam makes steps of
            continue
        size = one[name].norm()
        assert (one[name] - two[name]).norm() <= 1e-5 * size + 1e-7, name
    assert sum((one[name] - start[name]).norm() for name in one) > 1e-2


@pytest.fixture(scope="module")
def start(base_folder, data, tmp_path_factory):
    """The weights after one step that changes nothing."""
    from tardif import Trainer

    trainer = Trainer(
        "start", base_folder("bert"), devices="cpu", out=tmp_path_factory.mktemp("start"), dim=16, quiet=True
    )
    trainer.prepare(data)
    trainer.train(max_steps=1, lr=1e-20, evaluations=1)
    return weights(trainer)


def log_of(trainer):
    return [json.loads(line) for line in (trainer.path / "log.jsonl").read_text().splitlines()]


def test_two_processes_end_where_one_ends(make, start, capsys):
    one, two = make("one"), make("two", quiet=False)
    expected = one.train(**SHORT)
    result = two.train(processes=2, **SHORT)
    same_weights(weights(one), weights(two), start)
    assert (result.settings["processes"], expected.settings["processes"]) == (2, 1)
    assert result.settings["steps"] == expected.settings["steps"] == STEPS
    assert (result.before, result.baselines) == (expected.before, expected.baselines)
    assert result.after == pytest.approx(expected.after)
    assert result.path == two.path
    assert left_in(two) == ["one", "two"]
    told = capsys.readouterr().err
    assert "Starting 2 processes." in told
    assert "on cpu in 2 processes" in told
    assert told.count("Validation:") == told.count("Training: 12/12 steps") == 1
    assert [line["step"] for line in log_of(two)] == [line["step"] for line in log_of(one)]
    for mine, its in zip(log_of(two), log_of(one), strict=True):
        assert mine.get("loss", 0.0) == pytest.approx(its.get("loss", 0.0), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"gradient_accumulation_steps": 2, "grad_cache": True},
        {"minutes": 0.02, "epochs": 1000},
        {"lora": 4, "patience": 1, "evaluations": 2},
    ],
)
def test_two_processes_under_other_settings(make, start, more):
    two = make("two")
    result = two.train(processes=2, **{**SHORT, **more})
    assert result.settings["steps"] > 0
    if "gradient_accumulation_steps" in more:
        one = make("one")
        one.train(**{**SHORT, **more})
        same_weights(weights(one), weights(two), start)


@pytest.fixture
def many(data):
    """The set with 400 more documents, in four blocks of an evaluation."""
    more = {f"more{n}": Document(f"more{n}", f"the number {n} of {n + 7} is more than {n % 13}") for n in range(400)}
    return dataclasses.replace(data, documents={**data.documents, **more})


@pytest.mark.slow
def test_two_processes_share_evaluations_and_measure_what_one_measures(make, many, foreign):
    results = {}
    for count in (1, 2):
        trainer = make(f"by {count}".replace(" ", "-"))
        trainer.prepare(many)
        results[count] = trainer.train(processes=count, epochs=1, batch_size=36, lr=1e-9, evaluations=1, guard=foreign)
    assert (results[2].before, results[2].baselines) == (results[1].before, results[1].baselines)
    assert results[2].after == results[1].after
    assert results[2].guard == results[1].guard != []


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_a_process_that_dies_in_an_evaluation_ends_the_run_in_seconds(make, many, rank):
    broken = make("broken")
    broken.prepare(many)
    running = Running(broken, **{**LONG, "evaluations": 60, "save_steps": 1})
    running.wait_for(2)  # from now on, most of the time is spent in evaluations
    time.sleep(0.3)
    killed = time.monotonic()
    running_processes()[rank].kill()
    error = running.end()
    assert time.monotonic() - killed < 15
    assert f"Process {rank} of 2 was killed by signal 9" in str(error)
    assert not running_processes()


class Running:
    """A training in a thread."""

    def __init__(self, trainer, **settings):
        self.trainer, self.settings, self.error = trainer, settings, None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            self.trainer.train(processes=2, **self.settings)
        except Exception as error:  # to be looked at
            self.error = error

    def wait_for(self, step):
        folder = RunFolder(self.trainer.path)
        deadline = time.monotonic() + 200
        while not folder.step(step).exists():
            assert self.thread.is_alive(), self.error
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def end(self):
        self.thread.join(timeout=120)
        assert not self.thread.is_alive()
        return self.error


def running_processes():
    found = {}
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and "RANK" in child.environ():
            found[int(child.environ()["RANK"])] = child
    return found


@pytest.fixture(scope="module")
def whole(base_folder, data, tmp_path_factory):
    """An unbroken run of two processes."""
    from tardif import Trainer

    trainer = Trainer(
        "whole", base_folder("bert"), devices="cpu", out=tmp_path_factory.mktemp("whole"), dim=16, quiet=True
    )
    trainer.prepare(data)
    trainer.train(processes=2, **LONG)
    return bytes_of(trainer)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_a_killed_process_ends_the_run_in_seconds_and_it_can_be_resumed(make, whole, rank):
    broken = make("broken")
    running = Running(broken, **LONG)
    running.wait_for(4)
    killed = time.monotonic()
    running_processes()[rank].kill()
    error = running.end()
    assert time.monotonic() - killed < 15
    assert isinstance(error, TrainingError)
    assert f"Process {rank} of 2 was killed by signal 9" in str(error)
    assert "continues from step" in str(error)
    assert not running_processes()
    assert not (RunFolder(broken.path).path / "processes").exists()
    result = make("broken").train(resume=True, processes=2, **LONG)
    assert result.settings["resumed_at"][0] >= 4
    assert bytes_of(broken) == whole
    assert left_in(broken) == ["broken"]


SCRIPT = """\
import json, sys
from tardif import Trainer

base, data, out, settings, options = sys.argv[1:]
trainer = Trainer("model", base, devices="cpu", out=out, dim=16)
trainer.prepare(data)
result = trainer.train(**json.loads(settings), **json.loads(options))
print(json.dumps([str(result.path), result.interrupted]))
"""


@pytest.fixture
def script(tmp_path, base_folder, data):
    """The command that runs a script without a guard: ``script(settings, options, launcher=[...])``."""
    data.save(tmp_path / "data")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)

    def command(settings, launcher=(), **options):
        words = [str(path), str(base_folder("bert")), str(tmp_path / "data"), str(tmp_path / "out")]
        return [sys.executable, *launcher, *words, json.dumps(settings), json.dumps(options)]

    return command


def start_process(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_and_can_be_resumed(script, tmp_path, whole):
    settings = LONG
    out = tmp_path / "out"
    running = start_process(script(settings, processes=2))
    while not RunFolder(out / "model").step(5).exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.002)
    running.send_signal(signal.SIGINT)
    said, console = running.communicate(timeout=60)
    assert running.returncode == 0, console
    assert json.loads(said) == [str(out / "model"), True]
    assert "--resume" in console and "continues" in console
    again = start_process(script(settings, processes=2, resume=True))
    said, console = again.communicate(timeout=200)
    assert json.loads(said) == [str(out / "model"), False], console
    found = {path.relative_to(out / "model"): path.read_bytes() for path in (out / "model").rglob("*.safetensors")}
    assert found == whole


@pytest.mark.slow
def test_they_end_with_the_process_that_started_them(script, tmp_path):
    running = start_process(script(LONG, processes=2))
    while not RunFolder(tmp_path / "out" / "model").step(3).exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    started = psutil.Process(running.pid).children()
    assert len(started) == 2
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("first", [2, 1])
def test_a_run_goes_on_with_another_number_of_processes(make, start, first, capsys):
    settings = {**LONG, "dropout": 0.0, "epochs": 6}
    whole, broken = make("whole"), make("broken", quiet=False)
    whole.train(**settings)
    if first == 2:
        running = Running(broken, **settings)
        running.wait_for(4)
        running_processes()[1].kill()
        assert isinstance(running.end(), TrainingError)
    else:
        break_off(broken, 5, **settings)
    result = make("broken", quiet=False).train(processes=3 - first, resume=True, **settings)
    assert f"started in {first} process(es), this is {3 - first}" in capsys.readouterr().err
    assert result.settings["resumed_at"][0] >= 4
    assert result.settings["processes"] == 3 - first
    same_weights(weights(whole), weights(broken), start)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["torch.distributed.run", "accelerate.commands.launch"])
def test_a_script_that_was_started_several_times_trains_together(script, tmp_path, make, start, module):
    options = {
        "torch.distributed.run": ["--standalone", "--nproc_per_node", "2"],
        # Without GPUs too: what it starts is torchrun.
        "accelerate.commands.launch": ["--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no"],
    }[module]
    running = start_process(script(SHORT, ["-m", module, *options]))
    said, console = running.communicate(timeout=200)
    assert running.returncode == 0, console
    path = tmp_path / "out" / "model"
    assert said.count(json.dumps([str(path), False])) == 2, said  # the lines of two processes may run together
    assert console.count("Validation:") == 1
    one = make("one")
    one.train(**SHORT)
    two = make("two")
    two.path = path
    same_weights(weights(one), weights(two), start)
    assert left_in(one) == ["model", "one"]


@pytest.mark.slow
def test_an_error_of_all_processes_is_told_once(make):
    with pytest.raises(SettingError, match="no weight of this model"):
        make().train(processes=2, **SHORT, learning_rate_mapping={"no-such-weight": 1e-3})
    assert not Path(make().path).exists()


@pytest.mark.slow  # the fast test_two_processes_hear_the_same_negatives has two threads in their place
def test_two_processes_refresh_their_negatives_as_one_does(make):
    one, two = make("one"), make("two")
    settings = {**SHORT, "epochs": 1, "refresh_steps": 2, "refresh_share": 1.0, "lr": 1e-5}
    one.train(**settings)
    result = two.train(processes=2, **settings)
    assert result.settings["refreshed_at"] == [2, 4]
    news = [[line["new_negatives"] for line in log_of(run) if "new_negatives" in line] for run in (one, two)]
    assert news[0] == news[1]
    for mine, its in zip(log_of(two), log_of(one), strict=True):
        assert mine.get("loss", 0.0) == pytest.approx(its.get("loss", 0.0), rel=1e-4)
