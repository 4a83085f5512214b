"""Small files and folders that tests write by hand."""

import json

import numpy as np
from safetensors.numpy import save_file

CORPUS = [
    {"_id": "d1", "title": "Cats", "text": "cats chase mice at night"},
    {"_id": "d2", "title": "Dogs", "text": "dogs bark at strangers"},
    {"_id": "d3", "title": "Birds", "text": "birds sing in the morning"},
]
QUERIES = [{"_id": "q1", "text": "what do cats chase"}, {"_id": "q2", "text": "when do birds sing"}]
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
