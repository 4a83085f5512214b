"""BEIR, ColBERT, RAGatouille and TREC: collections in folders, by id."""

import gzip
import json

import pytest

from samples import CORPUS, QRELS, QUERIES, write_beir, write_jsonl
from tardif.data.formats import held_out_sources, open_source
from tardif.data.records import Judgement
from tardif.errors import DataError
from tardif.types import Document, Query

DOCUMENTS = [Document(row["_id"], row["text"], row["title"]) for row in CORPUS]
QUERY_LIST = [Query(row["_id"], row["text"]) for row in QUERIES]


def by_id(query, document, role, place, **more):
    return Judgement(None, None, role, place, query, document, **more)


JUDGED = [by_id("q1", "d1", "labelled", 2, label=1), by_id("q2", "d3", "labelled", 3, label=1)]


def everything(source):
    documents, queries = list(source.documents()), list(source.queries())
    return documents, queries, list(source.judgements())


def numbered(items, start=1):
    return list(enumerate(items, start=start))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_beir(tmp_path):
    folder = write_beir(tmp_path / "b", qrels={"train": QRELS, "dev": "q2\td3\t2\n", "test": QRELS})
    source = open_source(folder)
    assert source.shape.startswith("BEIR folder: documents from corpus.jsonl, queries from queries.jsonl, labels from")
    assert everything(source) == (numbered(DOCUMENTS), numbered(QUERY_LIST), JUDGED)
    assert source.shape.endswith("qrels/train.tsv (2 judgements)")
    held = held_out_sources(folder)
    assert [found.name for found in held] == [str(folder / "qrels" / "dev.tsv")]
    assert everything(held[0]) == ([], [], [by_id("q2", "d3", "labelled", 1, label=2)])
    assert held_out_sources(folder, split="dev") == []


def test_beir_packed_with_metadata_and_groups(tmp_path):
    corpus = [{**row, "metadata": {"book": "x"}, "n": 1} for row in CORPUS]
    folder = write_beir(tmp_path / "b", corpus=corpus, qrels={"train": QRELS})
    plain = (folder / "corpus.jsonl").read_bytes()
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain))
    source = open_source(folder, group_by="book")
    assert [document.metadata for _, document in source.documents()] == [{"book": "x", "n": 1}] * 3
    assert [found.group for found in source.judgements()] == ["x", "x"]
    with pytest.raises(DataError, match="no field page"):
        list(open_source(folder, group_by="page").judgements())
    write_jsonl(folder / "queries.jsonl", [{**QUERIES[0], "page": 3}, QUERIES[1]])
    with pytest.raises(DataError, match="line 3: the id 'q2' has no page"):
        list(open_source(folder, group_by="page").judgements())


def colbert(folder, triples, names=("queries.tsv", "collection.tsv", "triples.jsonl")):
    write(folder / names[0], "0\twhat?\r\n1\twho?\n")
    write(folder / names[1], "0\ta\u2028b\n1\tc\tTitle\n2\t\n")
    write(folder / names[2], "".join(json.dumps(triple) + "\n" for triple in triples))
    return folder


RAGATOUILLE = ("queries.train.colbert.tsv", "corpus.train.colbert.tsv", "triples.train.colbert.jsonl")


@pytest.mark.parametrize("names", [("queries.tsv", "collection.tsv", "triples.jsonl"), RAGATOUILLE])
def test_colbert(tmp_path, names):
    source = open_source(colbert(tmp_path / "c", [[0, 1, 2, 0], [1, 0]], names))
    assert everything(source) == (
        numbered([Document("0", "a\u2028b"), Document("1", "c", "Title"), Document("2", "")]),
        numbered([Query("0", "what?"), Query("1", "who?")]),
        [
            by_id("0", "1", "positive", 1),
            by_id("0", "2", "negative", 1),
            by_id("0", "0", "negative", 1),
            by_id("1", "0", "positive", 2),
        ],
    )
    assert source.shape.startswith("ColBERT files: documents from") and source.shape.endswith("(4 judgements)")


def test_colbert_with_scores_and_qrels(tmp_path):
    folder = colbert(tmp_path / "c", [["0", ["1", 2.5], [2, -1]]])
    write(folder / "qrels.tsv", "1\t0\t0\t1\n")
    assert everything(open_source(folder))[2] == [
        by_id("0", "1", "positive", 1, score=2.5),
        by_id("0", "2", "negative", 1, score=-1.0),
        by_id("1", "0", "labelled", 1, label=1),
    ]


def test_colbert_has_nothing_to_group_by_and_maps_must_be_whole(tmp_path):
    folder = colbert(tmp_path / "c", [[0, 1]])
    with pytest.raises(DataError, match="no field book"):
        open_source(folder, group_by="book")
    for damaged in (
        "[]",
        "{",
        '{"queries": {"0": 1}, "documents": {}}',
        '{"queries": {"0": "a", "1": "a"}, "documents": {}}',
    ):
        write(folder / "id-maps.json", damaged)
        with pytest.raises(DataError, match=r"id-maps.json: .*restore it"):
            open_source(folder)


@pytest.mark.parametrize(
    "triple", [[0], {}, [0, [1]], [0, [1, "x"]], [0, 1, [2, 1.0]], [0, None], [0, 1.5], [0, [1, float("nan")]], [0, ""]]
)
def test_malformed_triples(tmp_path, triple):
    folder = colbert(tmp_path / "c", [[0, 1], triple])
    with pytest.raises(DataError) as error:
        list(open_source(folder).judgements())
    assert (error.value.path, error.value.line) == (folder / "triples.jsonl", 2)


TREC_QRELS = "q1 0 d1 1\nq1\t0\td2\t0\n\nq2 Q0 d3  2 \n"
RUN = "q1 Q0 d1 1 9.5 bm25\nq1 Q0 d2 2 9 bm25\nq1 Q0 d3 3 8 bm25\nq9 Q0 d1 1 7 bm25\n"
TREC_JUDGED = [
    by_id("q1", "d1", "labelled", 1, label=1),
    by_id("q1", "d2", "labelled", 2, label=0),
    by_id("q2", "d3", "labelled", 4, label=2),
]


def trec(folder, qrels="qrels.txt", queries="queries.tsv"):
    write(folder / qrels, TREC_QRELS)
    write(folder / queries, "".join(f"{query.id}\t{query.text}\n" for query in QUERY_LIST))
    write_jsonl(folder / "corpus.jsonl", CORPUS)
    return folder


def test_trec(tmp_path):
    folder = trec(tmp_path / "t")
    assert everything(open_source(folder)) == (numbered(DOCUMENTS), numbered(QUERY_LIST), TREC_JUDGED)
    write(folder / "run.txt", RUN)
    source = open_source(folder)
    negatives = [*TREC_JUDGED, by_id("q1", "d3", "negative", 3)]
    assert list(source.judgements()) == negatives
    assert source.shape.endswith(
        "; not used: 2 hits that are judged; not used: 1 hits of queries without judgement (4 judgements)"
    )
    parts = {"qrels": "qrels.txt", "queries": "queries.tsv", "corpus": "corpus.jsonl", "run": "run.txt"}
    named = open_source({part: str(folder / name) for part, name in parts.items()})
    assert everything(named) == (numbered(DOCUMENTS), numbered(QUERY_LIST), negatives)


def test_trec_by_split(tmp_path):
    folder = trec(tmp_path / "t", "qrels.train.tsv", "queries.train.tsv")
    write(folder / "qrels.dev.tsv", "q7\t0\td1\t1\n")
    write(folder / "queries.dev.tsv", "id\ttext\nq7\tseven\n")
    assert list(open_source(folder).judgements()) == TREC_JUDGED
    (held,) = held_out_sources(folder)
    assert everything(held) == ([], [(2, Query("q7", "seven"))], [by_id("q7", "d1", "labelled", 1, label=1)])


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("qrels.txt", "q1 0 d1 1\nq1 0 d1 1.5\n", "TREC qrels have"),
        ("qrels.txt", "q1 0 d1 1\nq1 0 d1 ²\n", "TREC qrels have"),
        ("qrels.txt", "q1 0 d1 1\nq1 d1 1\n", "TREC qrels have"),
        ("run.txt", "q1 Q0 d3 1 2 x\nq1 Q0 d2 1 nan x\n", "TREC run has"),
        ("run.txt", "q1 Q0 d3 1 2 x\nq1 Q0 d2 1 2\n", "TREC run has"),
        ("queries.tsv", "q1\ta\nq2\n", "malformed line"),
        ("queries.tsv", "q1\ta\nq2\tb\tc\n", "malformed line"),
        ("queries.tsv", "_id\ttext\nq2\tb\tc\n", "has 3 columns"),
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n{"text": "a"}\n', "has no id"),
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n{"_id": "d2"}\n', "missing column text"),
        (
            "corpus.jsonl",
            '{"_id": "d1", "text": "a"}\n{"_id": null, "text": null}\n',
            "has no id",
        ),
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n{"_id": "d2", "text": "", "m": "\\udc00"}\n', "half a character"),
    ],
)
def test_malformed_lines_of_collections(tmp_path, name, text, what):
    folder = trec(tmp_path / "t")
    path = write(folder / name, text)
    with pytest.raises(DataError, match=what) as error:
        everything(open_source(folder))
    assert (error.value.path, error.value.line) == (path, 2)


@pytest.mark.parametrize("line", ["q1\td1", "q1\td1\tx", "q1\td1\t²", "\td1\t1", "q1\td1\t1\t1", "q1 d1 1"])
def test_malformed_beir_judgements(tmp_path, line):
    folder = write_beir(tmp_path / "b", qrels={"train": QRELS + line + "\n"})
    with pytest.raises(DataError, match="malformed line") as error:
        list(open_source(folder).judgements())
    assert (error.value.path, error.value.line) == (folder / "qrels" / "train.tsv", 4)


def test_a_first_judgement_is_no_header(tmp_path):
    folder = write_beir(tmp_path / "b", qrels={"train": "q1\td1\tone\n"})
    with pytest.raises(DataError, match=r"train.tsv, line 1: malformed"):
        list(open_source(folder).judgements())


def test_folders_that_are_nothing_known(tmp_path):
    with pytest.raises(DataError, match=r"no known layout. Looked for: BEIR .*; ColBERT .*; RAGatouille .*; TREC"):
        open_source(tmp_path)
    write(tmp_path / "manifest.json", '{"format": "tardif-training-set"}')
    with pytest.raises(DataError, match="prepared already"):
        open_source(tmp_path)
    folder = write_beir(tmp_path / "b", qrels={"train": QRELS})
    with pytest.raises(DataError, match=r"no qrels/test.tsv \(it has: train\)"):
        open_source(folder, split="test")
    with pytest.raises(DataError, match="columns choose columns of rows"):
        open_source(folder, columns={"query": "q"})


def test_dicts_that_are_no_collection(tmp_path):
    folder = trec(tmp_path / "t")
    parts = {"qrels": folder / "qrels.txt", "queries": folder / "queries.tsv", "corpus": folder / "corpus.jsonl"}
    with pytest.raises(DataError, match="has no corpus"):
        open_source({"qrels": parts["qrels"], "queries": parts["queries"]})
    with pytest.raises(DataError, match="no such file"):
        open_source({**parts, "run": folder / "none"})
    write(folder / "corpus.txt", "x")
    with pytest.raises(DataError, match="corpus.txt: holds no <DOC>"):
        list(open_source({**parts, "corpus": folder / "corpus.txt"}).documents())
    write(folder / "empty.txt", "\n")
    with pytest.raises(DataError, match="holds no judgement"):
        list(open_source({**parts, "qrels": folder / "empty.txt"}).judgements())
