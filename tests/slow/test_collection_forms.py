"""A part of a real collection in each form in which collections are found gives the same figures."""

import gzip
import html

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import read_lines, write_beir
from tardif.evaluation.comparison import compare

pytestmark = pytest.mark.slow
QUERIES, OTHERS = 60, 600


@pytest.fixture(scope="module")
def part(collection):
    """Some of scifact's queries, with their judgements, their documents and others: documents, queries, judgements."""
    folder = collection("scifact")
    lines = (folder / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    asked = list(dict.fromkeys(query for query, _, _ in rows))[:QUERIES]
    judged = [row for row in rows if row[0] in asked]
    relevant = {document for _, document, _ in judged}
    corpus = read_lines(folder / "corpus.jsonl")
    documents = [row for place, row in enumerate(corpus) if place < OTHERS or row["_id"] in relevant]
    queries = [row for row in read_lines(folder / "queries.jsonl") if row["_id"] in asked]
    assert len(queries) == QUERIES and len(documents) > OTHERS
    return documents, queries, judged


def content(row):
    return f"{row['title']} {row['text']}".strip()


def as_beir(folder, documents, queries, judged):
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(row) for row in judged)]
    return write_beir(folder, corpus=documents, queries=queries, qrels={"test": "\n".join(lines) + "\n"})


def as_nano(folder, documents, queries, judged):
    tables = {
        "corpus": [{"_id": row["_id"], "text": content(row)} for row in documents],
        "queries": [{"_id": row["_id"], "text": row["text"]} for row in queries],
        "qrels": [{"query-id": query, "corpus-id": document} for query, document, _ in judged],
    }
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / name / "train-00000-of-00001.parquet")
    return folder


def as_trec(folder, documents, queries, judged):
    for number in range(3):
        texts = [
            f"<DOC>\n<DOCNO> {row['_id']} </DOCNO>\n<HEADLINE>\n{html.escape(row['title'])}\n</HEADLINE>\n"
            f"<TEXT>\n<P>\n{html.escape(row['text'])}\n</P>\n</TEXT>\n</DOC>\n"
            for row in documents[number::3]
        ]
        (folder / "disk").mkdir(parents=True, exist_ok=True)
        (folder / "disk" / f"part{number}.gz").write_bytes(gzip.compress("".join(texts).encode()))
    topics = [
        f"<top>\n<num> Number: {row['_id']}\n<title> {html.escape(row['text'])}\n<desc> Description:\nx\n</top>\n"
        for row in queries
    ]
    (folder / "topics.txt").write_text("\n".join(topics), encoding="utf-8")
    (folder / "qrels.txt").write_text("".join(f"{q} 0 {d} {level}\n" for q, d, level in judged))
    return folder


def as_ms_marco(folder, documents, queries, judged):
    folder.mkdir()
    texts = [f"{row['_id']}\t{' '.join(content(row).split())}\n" for row in documents]
    (folder / "collection.tsv").write_text("".join(texts), encoding="utf-8")
    asked = [f"{row['_id']}\t{' '.join(row['text'].split())}\n" for row in queries]
    (folder / "queries.test.tsv").write_text("".join(asked), encoding="utf-8")
    (folder / "qrels.test.tsv").write_text("".join(f"{q}\t0\t{d}\t{level}\n" for q, d, level in judged))
    return folder


def as_ir_datasets(folder, documents, queries, judged):
    irds = pytest.importorskip("ir_datasets")
    ms_marco = as_ms_marco(folder, documents, queries, judged)
    parts = (ms_marco / name for name in ("collection.tsv", "queries.test.tsv", "qrels.test.tsv"))
    irds.registry.register("scifact-part", irds.create_dataset(*map(str, parts)))
    return "irds:scifact-part"


@pytest.mark.parametrize("form", [as_nano, as_trec, as_ms_marco, as_ir_datasets])
def test_every_form_of_a_collection_gives_the_same_figures(part, tmp_path, monkeypatch, form):
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    measures = ["nDCG@10", "AP@100", "R@100"]
    (beir,) = compare(["bm25"], [as_beir(tmp_path / "beir", *part)], measures=measures)
    (other,) = compare(["bm25"], [form(tmp_path / "other", *part)], measures=measures)
    assert other.values == beir.values
    assert 0.5 < beir.measures["nDCG@10"] < 1
