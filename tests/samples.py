"""Small files and folders that tests write by hand."""

import json
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

CORPUS = [
    {"_id": "d1", "title": "Cats", "text": "cats chase mice at night"},
    {"_id": "d2", "title": "Dogs", "text": "dogs bark at strangers"},
    {"_id": "d3", "title": "Birds", "text": "birds sing in the morning"},
]
QUERIES = [{"_id": "q1", "text": "what do cats chase"}, {"_id": "q2", "text": "when do birds sing"}]
ROW_RULES = (
    "empty",
    "no-positive",
    "duplicate",
    "contradiction",
    "positive-as-negative",
    "negative-with-answer",
    "query-is-document",
)
"""The rules that concern rows of judgements."""

QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t1\n"


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_beir(folder, *, corpus=CORPUS, queries=QUERIES, qrels=None):
    """A BEIR folder; ``qrels`` is the text of each split's judgements."""
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    for split, text in (qrels or {"test": QRELS}).items():
        (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return folder


def write_encoder(folder, *, leave_out=(), **config):
    """A base with everything that is checked before training: config, tokenizer, weights."""
    folder.mkdir(parents=True)
    config = {"model_type": "bert", "hidden_size": 4, "max_position_embeddings": 64, **config}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    save_file({"embeddings.weight": np.zeros((8, 4), dtype=np.float32)}, folder / "model.safetensors")
    for name in leave_out:
        (folder / name).unlink()
    return folder


@contextmanager
def staged(*sources, positive_label=None, documents=(), queries=(), **reading):
    """Sources read, and not judged: gives the staging database."""
    from tardif.data.formats import open_source
    from tardif.data.queries import stream_queries
    from tardif.data.staging import Staging

    with tempfile.TemporaryDirectory(prefix="tardif-test-") as folder, Staging(Path(folder)) as staging:
        if documents:
            staging.add_documents(staging.source("corpus"), enumerate(documents, start=1))
        for source in sources:
            staging.add(open_source(source, positive_label=positive_label, **reading))
        staging.add_queries(staging.source("queries"), stream_queries(queries))
        yield staging


@contextmanager
def cleaned(*sources, on=None, positive_label=None, scores=None, clicks=None, documents=(), queries=(), **reading):
    """Sources read, and judged by the rules: gives the staging database and the findings."""
    from tardif.data.hygiene.cleaning import clean
    from tardif.data.hygiene.rules import choose
    from tardif.data.reading import LabelledReading

    given = {"documents": documents, "queries": queries, "positive_label": positive_label}
    with staged(*sources, **given, **reading) as staging:
        labels = LabelledReading(positive_label=positive_label, scores=scores, clicks=clicks)
        yield staging, clean(staging, choose(on or {}), labels)


def refusal(*sources, **judging):
    """What is said where sources are refused."""
    from tardif.errors import TardifError

    with pytest.raises(TardifError) as error, cleaned(*sources, **judging):
        pass
    return str(error.value)


def reported(staging):
    """The rows of ``report.jsonl``."""
    from tardif.data.assemble import write_report

    write_report(staging, staging.folder)
    return read_lines(staging.folder / "report.jsonl")


def read_lines(path):
    """The values of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def used_and_not(folder):
    """What a prepared folder says of the judgements read: how many, used, not used."""
    lines = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["report"]
    said = next(line for line in lines if " judgements read: " in line)
    return tuple(int(number) for number in re.fullmatch(r"(\d+) judgements read: (\d+) used, (\d+) not", said).groups())


def content(folder):
    """The bytes of every file in a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
