"""An interrupted mining resumes and gives identical bytes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from samples import content, write_jsonl
from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import FolderError
from tardif.locks import hold
from tardif.mining import choosing, mining_plan
from tardif.mining.blocks import Blocks, Choice, ScoredDocument, block_key
from tardif.mining.mine import mine
from tardif.mining.selection import Selection
from tardif.preparation import prepare_folder
from tardif.types import Document

CHOICE = Choice(
    "q",
    (ScoredDocument("p", "positive", 0.1),),
    (ScoredDocument("n", "mined", 0.1 + 0.2, -1e-9),),
    7,
    {"ratio": 2},
    None,
    1,
    True,
)

# Mining by prepare, in small blocks, killed where it begins one of them.
RUN = """
import json, os, signal, sys
import tardif.mining.choosing as choosing
import tardif.mining.mining_plan as mining_plan
from tardif.preparation import prepare_folder
source, out, last, log, options = json.loads(sys.argv[1])
real, whole = choosing.Chooser.choose, mining_plan.mine
def slow(self, queries):
    with open(log, "a") as file:
        file.write("x")
        file.flush()
        if file.tell() == last:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(self, queries)
def rate(pairs):
    return [float(len(set(q.split()) & set(d.split()))) for q, d in pairs]
choosing.Chooser.choose = slow
mining_plan.mine = lambda *values, **named: whole(*values, batch=5, **named)
if options.pop("taught"):
    options["teacher"] = rate
prepare_folder([source], None, out, miner="lexical", **options)
"""


def data(count=30):
    documents = {f"d{n}": Document(f"d{n}", f"text {n}") for n in range(100)}
    queries = {f"q{n}": f"query {n}" for n in range(count)}
    return TrainingSet(documents, queries, {f"q{n}": {f"d{n}": 1} for n in range(count)}, dict.fromkeys(queries, TRAIN))


class Counting:
    def __init__(self, stop=None):
        self.calls, self.stop = 0, stop

    def search(self, queries, k):
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        return [[(f"d{n}", 1.0 / (n + 1)) for n in range(100)][:k] for _ in queries]


def test_a_choice_comes_back_as_it_was():
    assert Choice.parse(CHOICE.line()) == CHOICE


@pytest.mark.parametrize("uses", [None, 4])
def test_what_is_done_is_not_done_again(tmp_path, uses):
    selection = Selection(negatives=3, max_uses=uses)
    whole = mine(data(), Counting(), selection, batch=4)
    with pytest.raises(KeyboardInterrupt):
        mine(data(), Counting(stop=5), selection, batch=4, work=tmp_path)
    searcher, done, resumed = Counting(), [], []
    again = mine(data(), searcher, selection, batch=4, work=tmp_path, advance=done.append, resumed=resumed.append)
    assert again.data.examples == whole.data.examples
    assert again.report.as_json() == whole.report.as_json()
    assert (searcher.calls, sum(done), sum(resumed)) == (3, 10, 20)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"selection": Selection(negatives=2)}, {"settings": {"miner": "x"}}, {"batch": 5}]
)
def test_other_settings_start_again(tmp_path, change):
    mine(data(), Counting(), batch=4, work=tmp_path)
    searcher = Counting()
    mine(data(), searcher, **{"batch": 4, "work": tmp_path, **change})
    assert searcher.calls == -(-30 // change.get("batch", 4))


def test_other_texts_have_another_key():
    one = data()
    two = TrainingSet({**one.documents, "d0": Document("d0", "other")}, one.queries, one.qrels, one.split)
    assert block_key(one, {}) != block_key(two, {})
    assert block_key(one, {"a": 1}) != block_key(one, {"a": 2})
    assert block_key(one, {"a": 1}) == block_key(data(), {"a": 1})


@pytest.mark.parametrize("damage", [b"", b"[1", b"\xff\xfe", b'["other", [], [], 0, {}, null, 0, false]\n'])
def test_a_damaged_block_is_made_again(tmp_path, damage):
    blocks = Blocks(tmp_path, "key")
    blocks.write(0, [CHOICE])
    assert blocks.read(0, ["q"]) == [CHOICE]
    assert Blocks(tmp_path, "other").read(0, ["q"]) is None
    next(tmp_path.glob("key-*")).write_bytes(damage)
    assert blocks.read(0, ["q"]) is None


def test_two_runs_do_not_mine_in_one_place(tmp_path):
    rows = [{"query": f"what is thing{n}", "positive": f"thing{n} is one of kind{n % 7}"} for n in range(20)]
    source, work = write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "work"
    (work / "blocks").mkdir(parents=True)
    for miner in ("lexical", "none"):
        with hold(work), pytest.raises(FolderError, match=f"mined in {work} by process {os.getpid()} on"):
            prepare_folder([source], None, tmp_path / "set", work=work, miner=miner, near=False)
        assert (work / "blocks").is_dir()
        assert not (tmp_path / "set").exists()
    prepare_folder([source], None, tmp_path / "set", work=work, miner="none", near=False)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "set"}


def test_no_byte_of_a_block_is_another_unnoticed(tmp_path):
    blocks = Blocks(tmp_path, "key")
    blocks.write(0, [CHOICE])
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert blocks.read(0, ["q"]) is None
        path.write_bytes(content[:place])
        assert blocks.read(0, ["q"]) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills in another way")
@pytest.mark.parametrize("options", [{"taught": False}, {"taught": True, "max_uses": 6, "sampling": "weighted"}])
def test_a_killed_mining_resumes_to_identical_bytes(tmp_path, monkeypatch, options):
    rows = [
        {"query": f"what is thing{n} of kind{n % 7}", "positive": f"thing{n} is one of kind{n % 7}"} for n in range(60)
    ]
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    options = {**options, "negatives": 3, "window": [1, 20], "near": False}

    def asked(out, last=None):
        return json.dumps([str(source), str(tmp_path / out), last, str(tmp_path / f"{out}.log"), options])

    def run(out):
        """The same program in this process, where all is imported; as ``__main__``, which is in the teacher's name."""
        monkeypatch.setattr(sys, "argv", ["", asked(out)])
        # Set to themselves, so that what the program sets is undone.
        monkeypatch.setattr(choosing.Chooser, "choose", choosing.Chooser.choose)
        monkeypatch.setattr(mining_plan, "mine", mining_plan.mine)
        exec(RUN, {"__name__": "__main__"})
        monkeypatch.undo()

    run("whole")
    killed = subprocess.run(
        [sys.executable, "-c", RUN, asked("set", last=5)], env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    work = tmp_path / ".set.mining"
    done = len(list(work.glob("blocks/*.jsonl")))
    blocks = len((tmp_path / "whole.log").read_text())
    assert 3 <= done < blocks
    assert not (tmp_path / "set").exists()
    (tmp_path / "set.log").unlink()
    run("set")
    assert len((tmp_path / "set.log").read_text()) == blocks - done
    assert content(tmp_path / "set") == content(tmp_path / "whole")
    assert not work.exists()
