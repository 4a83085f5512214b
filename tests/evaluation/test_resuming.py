"""An evaluation that is interrupted continues from its work folder, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

import tiny
from tardif.errors import FolderError, SettingError, TardifError
from tardif.evaluation import exhaustive, modelled, sharing
from tardif.evaluation.comparison import compare
from tardif.evaluation.work import working
from tardif.locks import hold
from tardif.progress import Console

MEASURES = ["nDCG@10", "R@100"]


@pytest.fixture
def data(tmp_path):
    """A collection of 30 documents in five blocks."""
    return write_set(tmp_path / "set")


def write_set(folder):
    (folder / "qrels").mkdir(parents=True)
    texts = tiny.SENTENCES[:30]
    corpus = "".join(json.dumps({"_id": f"d{n}", "title": "", "text": text}) + "\n" for n, text in enumerate(texts))
    (folder / "corpus.jsonl").write_text(corpus)
    asked = [(f"q{n}", " ".join(texts[n].split()[-3:])) for n in range(0, 30, 3)]
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": text}) + "\n" for q, text in asked))
    rows = "".join(f"{q}\td{q[1:]}\t1\n" for q, _ in asked)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return folder


@pytest.fixture
def blocks(monkeypatch):
    """Small blocks, each kept at once; and the numbers of the texts that were encoded."""
    return small_blocks(monkeypatch)


def small_blocks(patch):
    patch.setattr(exhaustive, "BLOCK", 6)
    patch.setattr(modelled, "KEEP_SECONDS", -1.0)
    return count_encoded(patch)


def count_encoded(monkeypatch, fail_after=None):
    encoded, encode = [], exhaustive.encode_documents

    def counting(model, texts):
        if fail_after is not None and len(encoded) == fail_after:
            raise KeyboardInterrupt
        encoded.append(len(texts))
        return encode(model, texts)

    monkeypatch.setattr(exhaustive, "encode_documents", counting)
    return encoded


def evaluate(model, data, out, **more):
    return compare([str(model), "bm25"], [data], measures=MEASURES, out=out, console=Console(), **more)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.fixture(scope="module")
def _broken(multi_vector_folder, tmp_path_factory):
    """A place, what an interrupted evaluation left there, kept elsewhere, and the figures of a whole one."""
    place, kept = tmp_path_factory.mktemp("broken"), tmp_path_factory.mktemp("kept") / "broken"
    model, data = shutil.copytree(multi_vector_folder, place / "model"), write_set(place / "set")
    with pytest.MonkeyPatch.context() as patch:
        encoded = small_blocks(patch)
        whole = evaluate(model, data, place / "whole")
        assert encoded == [6, 6, 6, 6, 6]
        count_encoded(patch, fail_after=3)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, data, place / "out")
    assert left_in(place) == [".out.evaluating"]
    shutil.copytree(place, kept)
    return place, kept, whole


@pytest.fixture
def broken(_broken, blocks):
    """The output of an evaluation that was interrupted in the fourth of five blocks; model, data, the whole figures."""
    place, kept, whole = _broken
    shutil.rmtree(place)  # of the test before: an evaluation is continued in its own place
    shutil.copytree(kept, place)
    return place / "model", place / "set", place / "out", whole


def test_it_continues_at_the_block_and_ends_alike(broken, blocks):
    model, data, out, whole = broken
    again = evaluate(model, data, out)
    assert blocks == [6, 6]
    assert again == whole
    assert left_in(out.parent) == []
    files = list((out.parent / "whole").rglob("*.*"))
    assert files
    for file in files:
        same = out / file.relative_to(out.parent / "whole")
        assert said(same) == said(file)


def said(file):
    """The bytes of a file, or what it says of a run but for the run's place."""
    if file.name != "run.json":
        return file.read_bytes()
    return {name: value for name, value in json.loads(file.read_bytes()).items() if name not in ("name", "command")}


def test_finished_pairs_are_taken(multi_vector_folder, data, tmp_path, blocks, capsys):
    with pytest.raises(RuntimeError), working(tmp_path / "out") as work:
        whole = evaluate(multi_vector_folder, data, tmp_path / "out", work=work)
        raise RuntimeError
    capsys.readouterr()
    blocks.clear()
    assert evaluate(multi_vector_folder, data, tmp_path / "out") == whole
    assert not blocks
    assert capsys.readouterr().err.count("taken from the evaluation that was interrupted") == 2
    assert left_in(tmp_path) == []


def change_model(model, data):
    config = json.loads((model / "config_sentence_transformers.json").read_text())
    (model / "config_sentence_transformers.json").write_text(json.dumps({**config, "note": 1}))


def change_data(model, data):
    path = data / "corpus.jsonl"
    path.write_text(path.read_text().replace("cat", "dog"))


@pytest.mark.parametrize(("change", "named"), [(change_model, "the model"), (change_data, "the data")])
def test_what_has_changed_is_measured_again_and_that_is_said(broken, blocks, capsys, change, named):
    model, data, out, _ = broken
    change(model, data)
    capsys.readouterr()
    evaluate(model, data, out)
    assert blocks == [6, 6, 6, 6, 6]
    assert f"{named} changed since: it is measured again" in capsys.readouterr().err


def test_other_measures_of_the_same_depth_need_no_new_hits(broken, blocks):
    model, data, out, _ = broken
    compare([str(model)], [data], measures=["RR@10"], out=out)
    assert blocks == [6, 6]


def test_a_damaged_part_is_found_again(broken, blocks):
    model, data, out, whole = broken
    (part,) = out.with_name(".out.evaluating").rglob("part-*.npz")
    content = bytearray(part.read_bytes())
    content[200] ^= 1
    part.write_bytes(content)
    assert evaluate(model, data, out) == whole
    assert blocks == [6, 6, 6, 6, 6]


def test_two_evaluations_do_not_share_an_output(tmp_path, data, monkeypatch):
    with hold(tmp_path / ".out.evaluating"), pytest.raises(FolderError, match="by another evaluation"):
        compare(["bm25"], [data], out=tmp_path / "out")


def test_what_fails_before_anything_is_found_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="early"), working(tmp_path / "new" / "out") as work:
        work.pair("bm25", "set", {}, Console(quiet=True))
        raise ValueError("early")
    assert not list((tmp_path / "new").iterdir())


@pytest.fixture
def in_turn(monkeypatch):
    """Processes that run one after the other, in this one; what each of them says."""
    said = []

    class Pipe(Console):
        def send(self, *event):
            said.append(event)

    @contextlib.contextmanager
    def started(team):
        for number in range(team.count):
            monkeypatch.setenv("RANK", str(number))
            monkeypatch.setenv("WORLD_SIZE", str(team.count))
            sharing.rank_share(team.place, Pipe())
        yield []

    monkeypatch.setattr(sharing, "started", started)
    monkeypatch.setattr(sharing, "wait", lambda processes, place: [0])
    return said


def written(place):
    """The bytes of a run, or of a folder of one."""
    paths = [place] if place.is_file() else sorted(place.iterdir())
    assert paths
    return [path.read_bytes() for path in paths]


@pytest.mark.parametrize("kind", ["late", "dense", "untrained"])
def test_processes_find_what_one_finds(
    kind, multi_vector_folder, dense_folder, base_folder, data, in_turn, monkeypatch, tmp_path
):
    monkeypatch.setattr(exhaustive, "BLOCK", 6)
    monkeypatch.setattr(modelled, "_DENSE_BLOCK", 7)
    systems = {"late": [str(multi_vector_folder)], "dense": [f"dense:{dense_folder}"], "untrained": []}[kind]
    against = str(base_folder("bert")) if kind == "untrained" else None
    one = compare(systems, [data], measures=MEASURES, against=against, run_file=tmp_path / "one.run")
    assert not in_turn
    two = compare(systems, [data], measures=MEASURES, against=against, run_file=tmp_path / "two.run", processes=3)
    assert two == one
    assert written(tmp_path / "two.run") == written(tmp_path / "one.run")
    assert sum(count for _, count in in_turn) == 30 * (2 if kind == "untrained" else 1)


def test_an_interrupted_evaluation_continues_in_another_number_of_processes(broken, in_turn):
    model, data, out, whole = broken
    assert evaluate(model, data, out, processes=2) == whole
    assert in_turn == [("advance", 6), ("advance", 6)]


@pytest.mark.parametrize("processes", [0, True, "2"])
def test_a_number_of_processes_that_cannot_be(data, processes):
    with pytest.raises(SettingError, match="whole number"):
        compare(["bm25"], [data], processes=processes)


@pytest.fixture
def large(data):
    """The collection with 1,500 more documents: 12 blocks."""
    with (data / "corpus.jsonl").open("a") as file:
        for n in range(1500):
            text = f"the number {n} is {n % 7} more than {n - n % 7} and less than {2 * n + 1}"
            file.write(json.dumps({"_id": f"n{n}", "title": "", "text": text}) + "\n")
    return data


@pytest.mark.slow
def test_two_processes_find_what_one_finds(multi_vector_folder, large, tmp_path):
    runs = {}
    for count in (1, 2):
        options = {"run_file": tmp_path / f"{count}.run", "processes": count}
        runs[count] = compare([str(multi_vector_folder)], [large], measures=MEASURES, **options)
    assert runs[1] == runs[2]
    assert (tmp_path / "1.run").read_bytes() == (tmp_path / "2.run").read_bytes()


SLOWLY = """\
import sys, time
from tardif.evaluation import exhaustive, modelled
from tardif.evaluation.comparison import compare
from tardif.progress import Console

model, data, out = sys.argv[1:]
modelled.KEEP_SECONDS = -1.0
encode = exhaustive.encode_documents
exhaustive.encode_documents = lambda model, texts: time.sleep(0.3) or encode(model, texts)
compare([model], [data], measures=["nDCG@10", "R@100"], out=out, console=Console())
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_interrupted_it_continues(multi_vector_folder, large, tmp_path, monkeypatch, end):
    out = tmp_path / "out"
    whole = compare([str(multi_vector_folder)], [large], measures=MEASURES)
    command = [sys.executable, "-c", SLOWLY, str(multi_vector_folder), str(large), str(out)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".out.evaluating/*/part-*.npz")):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(end)
    running.wait(timeout=30)
    encoded = count_encoded(monkeypatch)
    assert compare([str(multi_vector_folder)], [large], measures=MEASURES, out=out) == whole
    assert 0 < len(encoded) < 12
    assert left_in(tmp_path) == []


@pytest.mark.slow
def test_a_process_that_dies_ends_the_evaluation_and_it_continues(multi_vector_folder, large, tmp_path, monkeypatch):
    import threading

    def kill():
        while not (found := [child for child in psutil.Process().children() if is_worker(child)]):
            time.sleep(0.01)
        found[0].kill()

    def is_worker(child):
        return child.status() != psutil.STATUS_ZOMBIE and child.environ().get("RANK") == "1"

    whole = compare([str(multi_vector_folder)], [large], measures=MEASURES)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TardifError, match=r"Process 1 of 2 was killed by signal 9.*--out"):
        compare([str(multi_vector_folder)], [large], measures=MEASURES, out=tmp_path / "out", processes=2)
    killer.join()
    assert not list(tmp_path.rglob("processes"))
    again = compare([str(multi_vector_folder)], [large], measures=MEASURES, out=tmp_path / "out", processes=2)
    assert again == whole
