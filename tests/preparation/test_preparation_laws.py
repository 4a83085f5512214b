"""What holds for any input: the same set in any order and process; nothing lost, nothing left, nothing crashes."""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import ROW_RULES, content, read_lines, used_and_not, write_jsonl
from tardif.data.training_set import TrainingSet
from tardif.errors import TardifError
from tardif.preparation import prepare_folder

TABLES = ("documents", "queries", "qrels", "examples")

# Duplicates, contradictions, a group, scores that differ between copies of a row, near-duplicates.
ROWS = [
    {
        "query": f"question about thing {n % 25}{'?' * (n % 3)}",
        "document": f"thing {n % 17} is a thing of kind {n % 7}",
        "label": [0, 1, 1, 2][(n * 7) % 4],
        "family": n % 11,
    }
    for n in range(120)
]
SCORED = [
    {
        "query": f"q {n % 6}",
        "documents": [f"text {n % 4}", "other", f"text {n % 5 + 9}"],
        "scores": [n / 7, 0.1, -n / 3],
    }
    for n in range(30)
]
OPTIONS = {
    "validation": 0.2,
    "test": 0.1,
    "group_by": "family",
    "documents_apart": False,
    "negatives": 3,
    "window": (2, 12),
    "on": {"no-positive": "drop"},
    "seed": 5,
}
PREPARE = """
import json, sys
from tardif.preparation import prepare_folder
sources, out, options = json.loads(sys.argv[1])
prepare_folder(sources, None, out, **options)
"""


def tables(folder):
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows in a file, and the set made of them. Not to be changed."""
    folder = tmp_path_factory.mktemp("laws")
    path = write_jsonl(folder / "a" / "rows.jsonl", ROWS)
    return path, prepare_folder([str(path)], None, folder / "one", **OPTIONS)


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_of_the_rows_does_not_matter(tmp_path, whole, order):
    shuffled = random.Random(order).sample(ROWS, len(ROWS))
    _, one = whole
    two = prepare_folder([write_jsonl(tmp_path / "b" / "rows.jsonl", shuffled)], None, tmp_path / "two", **OPTIONS)
    assert tables(one) == tables(two)
    assert used_and_not(one) == used_and_not(two)
    reports = [
        sorted((row["rule"], row["action"], row.get("query_id", ""), row["document_id"]) for row in read_lines(path))
        for path in (one / "report.jsonl", two / "report.jsonl")
    ]
    assert reports[0] == reports[1]
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, two)]
    assert all(manifest.pop("sources") for manifest in manifests)  # the files' checksums differ
    assert manifests[0] == manifests[1]


def test_the_order_of_scored_rows_does_not_matter(tmp_path):
    # The same query with other scores: whichever row comes first, the same ones are kept.
    shuffled = random.Random(1).sample(SCORED, len(SCORED))
    one = prepare_folder([SCORED], None, tmp_path / "one", miner="none", near=False)
    two = prepare_folder([shuffled], None, tmp_path / "two", miner="none", near=False)
    assert tables(one) == tables(two)


def test_the_order_of_the_files_does_not_matter(tmp_path):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", ROWS[n * 40 : n * 40 + 40]) for n in range(3)]
    one = prepare_folder(files, None, tmp_path / "one", **OPTIONS)
    two = prepare_folder(files[::-1], None, tmp_path / "two", **OPTIONS)
    assert tables(one) == tables(two)


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path, whole):
    path, here = whole
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    asked = json.dumps([[str(path)], str(tmp_path / "there"), OPTIONS])
    subprocess.run(
        [sys.executable, "-c", PREPARE, asked], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, timeout=120
    )
    assert content(here) == content(tmp_path / "there")


def test_scores_of_a_teacher_are_kept(tmp_path):
    rows = [{"query": "q", "documents": ["good", "bad"], "scores": [2.5, -1.0]}, {"query": "r", "positive": "fine"}]
    for miner in ("none", "lexical"):
        out = prepare_folder([rows[:1], rows[1:]], None, tmp_path / miner, miner=miner, near=False, validation=0)
        data = TrainingSet.load(out)
        (example,) = [example for example in data.examples if data.queries[example.query_id] == "q"]
        assert example.scores == (2.5, -1.0)
        assert [data.documents[d].text for d in (example.positive_id, *example.negative_ids)] == ["good", "bad"]


# Odd rows

ODD = st.sampled_from(
    [
        "\r",
        "\n",
        "\t",
        "\x00",
        "\u2028",
        "\x85",
        "\ufeff",
        '"',
        ",",
        "[",
        "'",
        "\\",
        "é",
        "\u0345",
        "İ",
        "ß",
        " ",
        "a",
        "b",
    ]
)
TEXT = st.lists(ODD, max_size=4).map("".join)
FINE = st.sampled_from(["a", "b", "A", "cats chase mice", "\x00", "\u0301", "dogs bark"])
LABEL = st.sampled_from(
    [
        *(0, 1, -1, 2, 0.5, 0.25, True, False, 10**12, 10**400, -(10**40), None),
        *("1", "0", " 1", "１", "1_0", "1e400", "1e12", "yes", "no", "maybe", "", "nan"),
    ]
)
LOOSE = st.dictionaries(
    st.sampled_from(["query", "positive", "negative", "label", "qid", "pid", "x"]),
    st.one_of(TEXT, FINE, LABEL, st.lists(FINE, max_size=2)),
    max_size=4,
)
PAIR = st.fixed_dictionaries({"query": FINE, "positive": FINE}, optional={"negative": FINE})
JUDGED = st.fixed_dictionaries({"query": FINE, "document": FINE, "label": LABEL}, optional={"qid": FINE, "pid": FINE})
LENIENT = {"empty": "drop", "no-positive": "drop"}

QUICK = settings(max_examples=30, deadline=None, database=None)


def check(write, on, **options):
    """Prepare a file: it succeeds with every judgement used or reported, or fails with file and line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder)
        out = folder / "out"
        try:
            prepare_folder([path], None, out, miner="none", on=on, **options)
        except TardifError as error:
            said = str(error)
            whole = ("is empty: it holds no row", "missing column", "twice", "No query is left to train on")
            assert said.startswith(f"{path}, line ") or any(what in said for what in whole), said
            assert sorted(folder.iterdir()) == [path]
            return
        assert sorted(folder.iterdir()) == sorted([out, path])
        read, used, not_used = used_and_not(out)
        rows = read_lines(out / "report.jsonl")
        gone = [row for row in rows if row["rule"] in ROW_RULES and row["action"] != "keep"]
        assert (read, not_used) == (used + not_used, len(gone))
        data = TrainingSet.load(out)
        assert sum(len(judged) for judged in data.qrels.values()) == used
        assert all(isinstance(grade, int) for judged in data.qrels.values() for grade in judged.values())


@QUICK
@given(
    rows=st.one_of(
        st.lists(PAIR, min_size=1, max_size=6),
        st.lists(JUDGED, min_size=1, max_size=6),
        st.lists(st.one_of(LOOSE, JUDGED), min_size=1, max_size=3),
    ),
    bom=st.booleans(),
    on=st.sampled_from([{}, LENIENT]),
)
def test_odd_json_lines_are_used_reported_or_refused(rows, bom, on):
    def write(folder):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" * bom + text.encode())
        return folder / "rows.jsonl"

    check(write, on, validation=0)


@QUICK
@given(
    rows=st.lists(st.lists(st.one_of(TEXT, FINE), min_size=2, max_size=2), min_size=1, max_size=6),
    odd=st.lists(TEXT, max_size=3),
    third=st.sampled_from(["", "negative", "label"]),
    raw=st.booleans(),
    bom=st.booleans(),
    on=st.sampled_from([{}, LENIENT, LENIENT]),
    data=st.data(),
)
def test_odd_csv_rows_are_used_reported_or_refused(rows, odd, third, raw, bom, on, data):
    header = ["query", "answer", *([third] if third else [])]
    cells = LABEL.map(str) if third == "label" else TEXT
    rows = [[*row, *([data.draw(cells)] if third else [])] for row in rows]

    def write(folder):
        with (folder / "rows.csv").open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([header, *rows, *([odd] if odd and raw else [])])
            if raw:
                file.write(",".join(odd))
        return folder / "rows.csv"

    check(write, on, validation=0)
