"""Starting, hearing and ending processes: with processes that do nothing but what is to be seen."""

from __future__ import annotations

import json
import os
import signal
import time
from types import SimpleNamespace

import psutil
import pytest

from tardif import FolderError, SettingError, TrainingError, interpreters
from tardif.processes import parent
from tardif.processes.child import PipeConsole
from tardif.processes.parent import Team, show_piped, started, wait
from tardif.progress import Bar, Console
from tardif.training.distributed import ProcessGroup, join
from tardif.training.run_config import load_config
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings, settings_from

HEAD = "import json, os, pathlib, signal, sys, time\nplace = pathlib.Path(sys.argv[3])\nrank = os.environ['RANK']\n"
RESULTS = "(place.parents[1] / 'tiny' / 'results.json')"
DONE = (
    f"{RESULTS}.parent.mkdir(exist_ok=True); {RESULTS}.write_text(json.dumps({{'before': {{}}, 'settings': told}}))\n"
)


class Listening(Console):
    def __init__(self):
        super().__init__()
        self.said = []

    def say(self, line):
        self.said.append(line)


@pytest.fixture
def two(make, monkeypatch):
    """Trains in two processes that run this code: ``two(code)``."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def train(code, **settings):
        monkeypatch.setattr(interpreters, "_CALL", HEAD + code)
        trainer = make()
        trainer.console = Listening()
        return trainer, lambda: trainer.train(processes=2, **settings)

    return train


def children():
    """Processes that were started here, but for the server of :mod:`forked`."""
    mine = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in mine if "multiprocessing" not in " ".join(child.cmdline())]


def press_ctrl_c(monkeypatch, trainer, *times):
    """Press Ctrl-C each time that all of these files stand in the folder of the processes, while their parent waits."""
    place, to_come = RunFolder(trainer.path).path / "processes", list(times)

    def sleep(seconds):
        if to_come and all((place / name).exists() for name in to_come[0]):
            del to_come[0]
            signal.raise_signal(signal.SIGINT)
        time.sleep(seconds)

    monkeypatch.setattr(parent, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))


def left_in(trainer):
    return sorted(path.name for path in trainer.path.parent.glob("*"))


def test_each_process_knows_its_number_and_has_its_share_of_the_cores(two, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(parent, "core_count", lambda: 7)
    names = "'RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'OMP_NUM_THREADS'"
    trainer, train = two(
        f"own = place / f'{{rank}}.partial'\n"
        f"own.write_text(' '.join(os.environ[name] for name in ({names})))\nown.rename(place / rank)\n"
        "while not (place / '1').exists() or not (place / '0').exists(): time.sleep(0.01)\n"
        f"told = [(place / str(n)).read_text() for n in range(2)]\nif rank == '0': {DONE}"
    )
    assert train().settings == ["0 0 2 2 3", "1 1 2 2 3"]
    assert left_in(trainer) == ["tiny"]


def test_what_rank_0_says_is_said_here(two):
    trainer, train = two(
        f"told = {{}}\nif rank == '0':\n  {DONE}  print('no json'); print(3)\n"
        "  print(json.dumps(['say', 'Größe']), flush=True)"
    )
    train()
    assert trainer.console.said == ["Starting 2 processes.", "Größe"]


def test_the_command_calls_the_work_with_its_folder_and_console(tmp_path):
    """Of a new interpreter, as it is: the work fails with what it was given."""
    with started(Team(2, "os.path:join", tmp_path, Console(quiet=True))) as processes:
        assert wait(processes, tmp_path) in ([1, 1], [1, 0], [0, 1])
    found = [json.loads(path.read_text()) for path in tmp_path.glob("failure-*.json")]
    assert found
    assert all("not 'PipeConsole'" in failure["message"] for failure in found)


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        ("if rank == '1': os.kill(os.getpid(), 9)\ntime.sleep(60)", TrainingError, r"1 of 2 was killed by signal 9"),
        ("if rank == '0': sys.exit('no such thing')\ntime.sleep(60)", TrainingError, r"0 of 2 .* 1: no such thing"),
        (
            "def failure(**told): (place / f'failure-{rank}.json').write_text(json.dumps(told))\n"
            "if rank == '0': failure(type='', message='RuntimeError: the peer has gone')\n"
            "else: failure(type='FolderError', message='The disk is full.')\nsys.exit(1)",
            FolderError,
            r"^The disk is full\.$",
        ),
        (  # hangs when it should end
            "if rank == '1':\n  told = {'type': '', 'message': 'KeyError: 3'}\n"
            "  (place / 'failure-1.json').write_text(json.dumps(told))\n"
            "time.sleep(60)",
            TrainingError,
            r"Process 1 of 2 failed: KeyError: 3",
        ),
    ],
)
def test_a_process_that_fails_ends_the_others_and_says_why(two, monkeypatch, code, error, told):
    monkeypatch.setattr(parent, "_GRACE_SECONDS", 0.3)
    trainer, train = two(code)
    began = time.monotonic()
    with pytest.raises(error, match=told):
        train()
    assert time.monotonic() - began < 10
    assert not children()
    assert left_in(trainer) == []  # nothing to resume


def test_the_first_ctrl_c_asks_rank_0_to_end(two, monkeypatch):
    trainer, train = two(
        "(place / rank).touch()\n"
        "if rank == '0':\n"
        f"  told = sys.stdin.readline()\n  {DONE}"
        "else:\n  while not (place.parents[1] / 'tiny').exists(): time.sleep(0.01)"
    )
    press_ctrl_c(monkeypatch, trainer, ["0", "1"])
    assert train().settings == "stop\n"
    assert left_in(trainer) == ["tiny"]


def test_the_second_ctrl_c_ends_all(two, monkeypatch):
    trainer, train = two(
        "(place / rank).touch()\nif rank == '0':\n  sys.stdin.readline()\n  (place / 'asked').touch()\ntime.sleep(60)"
    )
    press_ctrl_c(monkeypatch, trainer, ["0", "1"], ["asked"])
    with pytest.raises(KeyboardInterrupt):
        train()
    assert not children()


def test_a_rank_0_that_was_interrupted_before_it_trained(two):
    _, train = two("if rank == '0': sys.exit(130)\ntime.sleep(60)")
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train()
    assert time.monotonic() - began < parent._GRACE_SECONDS


def test_a_config_is_read_as_it_was_written(make, tmp_path):
    from tardif.training.run_config import RunConfig

    trainer = make(query_length=20, language="de", trust_remote_code=True)
    settings = settings_from({"matryoshka": [16, 4], "loss": {"contrastive": 1.0}, "lora": {"r": 4}, "optim": "sgd"})
    names = ("base", "recipe", "data", "language", "path", "seed", "overwrite", "trust_remote_code", "console")
    config = RunConfig(**{name: getattr(trainer, name) for name in names})
    config.save(tmp_path / "processes", settings, device="cpu")
    found, read, more = load_config(tmp_path / "processes", trainer.console)
    for name in ("base", "recipe", "language", "path"):
        assert getattr(found, name) == getattr(config, name)
    assert found.data.examples == config.data.examples
    assert read.as_json() == settings.as_json()
    assert more["device"] == "cpu"
    with pytest.raises(SettingError, match="plain values"):
        config.save(tmp_path / "other", TrainingSettings(other={"run_name": object()}))


def test_talk_goes_through_a_pipe():
    read, write = os.pipe()
    pipe = PipeConsole(write)
    pipe.say("one")
    with pipe.progress("Training", 10, "steps") as bar:
        bar.resume(3)
        bar.advance(2, "loss 1")
    with pipe.progress("Before", None, "documents") as bar:
        bar.advance()
    pipe.say("two")
    os.write(write, b'["say", "hal')  # of a process that was killed
    os.close(write)
    seen = []

    class Shown(Console):
        def say(self, line):
            seen.append(line)

        def progress(self, what, total, unit):
            import contextlib

            @contextlib.contextmanager
            def shown():
                bar = Bar(what, total, unit)
                yield bar
                seen.append((what, total, unit, bar.done))

            return shown()

    show_piped(os.fdopen(read, encoding="utf-8"), Shown())
    assert seen == ["one", ("Training", 10, "steps", 5), ("Before", None, "documents", 1), "two"]


@pytest.mark.parametrize(
    ("processes", "told"),
    [(0, "whole number"), (True, "whole number"), ("2", "whole number"), (9, "a batch of 8 cannot be shared")],
)
def test_a_number_of_processes_that_cannot_be(make, processes, told):
    with pytest.raises(SettingError, match=told):
        make().train(processes=processes, batch_size=8)


def test_gpus_have_one_process_each(make, monkeypatch):
    from tardif import devices
    from tardif.training import trainer

    monkeypatch.setattr(devices, "cuda_count", lambda: 4)
    monkeypatch.setattr(trainer, "cuda_count", lambda: 4)
    settings = settings_from({"batch_size": 3})
    assert make(devices=2).process_count(None, settings) == 2
    assert make(devices="auto").process_count(None, settings) == 3  # no more than there are examples to share
    assert make(devices="cuda").process_count(None, settings) == 1
    assert make(devices="cuda").process_count(3, settings) == 3
    with pytest.raises(SettingError, match="4 GPU"):
        make(devices="cuda").process_count(5, settings_from({"batch_size": 16}))


def test_processes_that_are_there_already_are_joined_or_refused(make, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert make().process_count(None, settings_from({})) == make().process_count(2, settings_from({})) == 2
    with pytest.raises(SettingError, match="started as 2"):
        make().train(processes=3)
    with pytest.raises(SettingError, match="Apple"):
        join("mps")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SettingError, match="FSDP splits"):
        make().train()


def test_alone_it_decides_for_itself():
    group = ProcessGroup()
    assert (group.is_main, group.on_main(lambda: 3), group.gather(4), group.shard([1, 2])) == (True, 3, [4], [1, 2])
    with pytest.raises(TrainingError, match="so"):
        group.on_main(lambda: (_ for _ in ()).throw(TrainingError("so")))
    group.wait(failed=True)
