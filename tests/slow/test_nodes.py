"""Training on two nodes under torchrun: what it gives is what one process gives, also when a node is lost."""

from __future__ import annotations

import json
import time

import pytest

import tiny
from tardif.training.run_folder import RunFolder
from two_nodes import two_nodes

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("nodes")]
SETTINGS = {"epochs": 2, "batch_size": 7, "lr": 1e-3, "evaluations": 1}
LONG = {**SETTINGS, "epochs": 8, "evaluations": 2, "save_steps": 1}
# A lost node is noticed after 15 s at most, and its peer ends at most 5 s later; the rest is for a busy machine.
SECONDS = 120


@pytest.fixture
def nodes():
    with two_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def prepared(base_folder, tmp_path_factory):
    """A prepared set of 40 pairs, and the base."""
    from tardif import Trainer

    pairs = [(" ".join(text.split()[-4:]), text) for text in tiny.SENTENCES[:30]]
    pairs += [(f"number {n}", f"the number {n} is one more than {n - 1}.") for n in range(10)]
    folder = tmp_path_factory.mktemp("data")
    made = Trainer("data", base_folder("bert"), devices="cpu", out=folder, quiet=True)
    made.prepare(pairs, validation=0.1, window=(1, 20), near=False, on={"query-is-document": "keep"})
    made.data.save(folder / "prepared")
    return folder / "prepared", base_folder("bert")


@pytest.fixture
def words(prepared):
    """The command line of a training, after ``python -m``: ``words(out, settings, "--resume")``."""
    data, base = prepared

    def command(out, settings, *more):
        own = {"epochs": "--epochs", "batch_size": "--batch-size", "lr": "--lr"}
        given = [
            word
            for name, value in settings.items()
            for word in ((own[name], str(value)) if name in own else ("--set", f"{name}={json.dumps(value)}"))
        ]
        options = ["--name", "model", "--base", str(base), "--device", "cpu", "--dim", "16", "--out", str(out)]
        return ["tardif", "train", str(data), *options, *given, "--guard", "none", *more]

    return command


def weights(folder):
    from safetensors.torch import load_file

    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        part = path.parent.relative_to(folder).as_posix()
        found |= {f"{part}/{name}": tensor for name, tensor in load_file(path).items()}
    return found


@pytest.fixture(scope="module")
def alone(prepared, tmp_path_factory):
    """The weights of one process, by the name of the settings; and those that its training began with."""
    from tardif import Trainer

    data, base = prepared

    def train(**settings):
        trainer = Trainer("model", base, devices="cpu", out=tmp_path_factory.mktemp("one"), dim=16, quiet=True)
        trainer.prepare(data)
        trainer.train(**settings, guard="none")
        return weights(trainer.path)

    return {
        "short": train(**SETTINGS),
        "long": train(**LONG),
        "start": train(max_steps=1, lr=1e-20, evaluations=1),
    }


def same_weights(one, two, start):
    """Equal within a hundred-thousandth of the weights' size; and training has moved them by far more."""
    assert one.keys() == two.keys() == start.keys() != set()
    for name in one:
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding, which Adam makes steps of
            continue
        size = one[name].norm()
        assert (one[name] - two[name]).norm() <= 1e-5 * size + 1e-7, name
    assert sum((one[name] - start[name]).norm() for name in one) > 1e-2


def ended(process, log, seconds=SECONDS):
    """The exit code and what was said."""
    process.wait(timeout=seconds)
    return process.returncode, log.read_text()


def wait_for(out, step, processes, logs):
    deadline = time.monotonic() + 300
    while not RunFolder(out / "model").step(step).exists():
        assert all(process.poll() is None for process in processes), [log.read_text() for log in logs]
        assert time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.01)


@pytest.mark.parametrize("rendezvous", ["static", "c10d"])
def test_two_nodes_end_where_one_process_ends(nodes, words, alone, tmp_path, rendezvous):
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    command = words(tmp_path / "out", SETTINGS)
    both = [nodes.torchrun(number, command, logs[number], rendezvous=rendezvous) for number in range(2)]
    for process, log in zip(both, logs, strict=True):
        assert ended(process, log, 300)[0] == 0, log.read_text()
    same_weights(alone["short"], weights(tmp_path / "out" / "model"), alone["start"])
    assert sum(log.read_text().count("Validation:") for log in logs) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model"]


@pytest.mark.parametrize(("lost", "shared"), [(1, True), (0, False)], ids=["shared disk", "own disks"])
def test_a_killed_node_is_reported_in_seconds_and_the_other_goes_on_alone(nodes, words, alone, tmp_path, lost, shared):
    outs = [tmp_path / ("out" if shared else f"out{number}") for number in range(2)]
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    both = [nodes.torchrun(number, words(outs[number], LONG), logs[number]) for number in range(2)]
    wait_for(outs[1 - lost], 5, both, logs)
    nodes.kill(both[lost])
    code, said = ended(both[1 - lost], logs[1 - lost])
    assert code == 1
    told = [line for line in said.splitlines() if line.startswith("tardif: ")]
    assert len(told) == 1, said
    assert f"Process {lost} of 2, on" in told[0]
    assert "has ended without a word" in told[0]
    assert "--resume (in Python resume=True) continues from step" in told[0]
    left = outs[1 - lost]
    again = nodes.torchrun(0, words(left, LONG, "--resume"), tmp_path / "again.log", count=1)
    code, said = ended(again, tmp_path / "again.log", 300)
    assert code == 0, said
    assert "started in 2 process(es), this is 1" in said
    same_weights(alone["long"], weights(left / "model"), alone["start"])


def test_a_node_without_a_network_is_reported_by_both_in_seconds(nodes, words, alone, tmp_path):
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    both = [nodes.torchrun(number, words(tmp_path / "out", LONG), logs[number]) for number in range(2)]
    wait_for(tmp_path / "out", 5, both, logs)
    nodes.unplug()
    for number, (process, log) in enumerate(zip(both, logs, strict=True)):
        code, said = ended(process, log)
        assert code == 1
        told = [line for line in said.splitlines() if line.startswith("tardif: ")]
        assert len(told) == 1, said
        assert f"Process {1 - number} of 2, on" in told[0]
        assert "does not answer any more" in told[0]
    nodes.plug()
    command = words(tmp_path / "out", LONG, "--resume")
    again = [nodes.torchrun(number, command, logs[number]) for number in range(2)]
    for process, log in zip(again, logs, strict=True):
        assert ended(process, log, 300)[0] == 0, log.read_text()
    same_weights(alone["long"], weights(tmp_path / "out" / "model"), alone["start"])
