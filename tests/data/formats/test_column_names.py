"""Every usual name of a column is known at every entrance, from Python values and from files."""

import json

import datasets
import pytest

from samples import staged, write_beir, write_jsonl
from tardif.data.documents import read_documents
from tardif.data.formats.column_names import (
    DOCUMENT_COLUMNS,
    JUDGEMENT_COLUMNS,
    QUERY_COLUMNS,
    ROW_IDS,
    first_usual,
    is_usual,
    known_role,
    plain,
)
from tardif.data.formats.corpora import read_corpus
from tardif.data.judged import read_judged
from tardif.data.queries import read_queries, stream_queries
from tardif.data.training_set import TrainingSet
from tardif.preparation import prepare
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever
from tardif.types import Document


def spellings(names):
    """Each name, and each as other tables write it."""
    return list(dict.fromkeys(spelt for name in names for spelt in (name, name.upper(), name.replace("_", "-"))))


def document_rows():
    """A row for every name of a document's column, with the document that it must become."""
    for name in spellings(DOCUMENT_COLUMNS["id"]):
        yield {name: f"id {name}", "text": f"a tale of {name}"}, Document(f"id {name}", f"a tale of {name}")
    for role in ("text", "title", "metadata"):
        for name in spellings(DOCUMENT_COLUMNS[role]):
            identity, said = f"{role} {name}", f"the sea and {name}"
            if role == "text":
                yield {"_id": identity, name: said}, Document(identity, said)
            elif role == "title":
                yield {"_id": identity, "text": "words", name: said}, Document(identity, "words", said)
            else:
                found = Document(identity, "words", "", {"lang": said, "year": 3})
                yield {"_id": identity, "text": "words", "year": 3, name: {"lang": said}}, found


ROWS, EXPECTED = map(list, zip(*document_rows(), strict=True))
BY_ID = {document.id: document for document in EXPECTED}


@pytest.fixture
def file(tmp_path):
    return write_jsonl(tmp_path / "documents.jsonl", ROWS)


@pytest.fixture
def collection(tmp_path):
    """A BEIR folder of the documents, each of which is judged."""
    qrels = "".join(f"q1\t{identity}\t1\n" for identity in BY_ID)
    return write_beir(tmp_path / "animals", corpus=ROWS, qrels={"train": qrels, "test": qrels})


def hits(found):
    """What hits show of their documents, by id."""
    return {hit.document_id: Document(hit.document_id, hit.text, hit.title, hit.metadata) for hit in found}


def printed(out):
    """What the hits of ``--json`` show of their documents, by id."""
    return {hit["document_id"]: (hit["text"], hit["metadata"]) for hit in json.loads(out)["hits"]}


SHOWN = {identity: (document.text, document.metadata) for identity, document in BY_ID.items()}


def test_documents_and_corpora(file):
    assert read_documents(ROWS) == read_documents(file) == EXPECTED
    assert [document for _, document in read_corpus(file)] == EXPECTED


def test_a_saved_dataset_is_a_table_of_documents(tmp_path):
    rows = [{"docno": f"X{n}", "contents": f"text {n}", "year": n} for n in range(3)]
    expected = [Document(f"X{n}", f"text {n}", "", {"year": n}) for n in range(3)]
    dataset = datasets.Dataset.from_list(rows)
    dataset.save_to_disk(tmp_path / "saved")
    dataset.to_parquet(tmp_path / "rows.parquet")
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    for source in (dataset, tmp_path / "saved", tmp_path / "rows.parquet", arrow):
        assert read_documents(source) == expected
    datasets.DatasetDict(train=dataset).save_to_disk(tmp_path / "splits")
    assert read_documents(tmp_path / "splits") == expected


def test_prepare(file, collection, tmp_path, tardif):
    judged = [{"query": f"q {identity}", "document_id": identity} for identity in BY_ID]
    options = {"miner": "none", "chunk": None, "validation": 0.0, "on": {"query-is-document": "keep"}}
    for made in (
        prepare([judged], ROWS, **options),
        prepare([judged], file, **options),
        prepare([{"train": judged, "documents": ROWS, "queries": [("q", "a query")]}], **options),
        prepare([collection], **options),
    ):
        assert dict(made.documents) == BY_ID
    rows = write_jsonl(tmp_path / "judged.jsonl", judged)
    for number, arguments in enumerate(([rows, "--documents", file], [collection])):
        out = tmp_path / f"set {number}"
        code, _, err = tardif("prepare", *arguments, "--out", out, "--miner", "none", "--chunk", "none", "--quiet")
        assert code == 0, err
        assert dict(TrainingSet.load(out).documents) == BY_ID


def test_evaluate(file, collection, tmp_path, tardif):
    judged = [{"query": "the sea", "document_id": identity, "label": 1} for identity in BY_ID]
    for found in (
        read_judged(judged, documents=ROWS),
        read_judged(judged, documents=file),
        read_judged(collection, "test"),
    ):
        assert {document.id: document for document in found.documents} == BY_ID
    code, _, err = tardif("evaluate", "bm25", "--data", collection, "--run", tmp_path / "run.txt", "--quiet")
    assert code == 0, err


def test_indexes(file, multi_vector_folder, tmp_path, tardif):
    half = len(ROWS) // 2
    built = Retriever.build(multi_vector_folder, ROWS[:half], tmp_path / "index", chunk=None, quiet=True)
    built.add(ROWS[half:], chunk=None, quiet=True)
    assert hits(built.search("the sea", len(ROWS), exact=True)) == BY_ID
    out, rest = tmp_path / "by command", write_jsonl(tmp_path / "rest.jsonl", ROWS[:half])
    assert tardif("index", multi_vector_folder, file, "--out", out, "--chunk", "none", "--quiet")[0] == 0
    assert tardif("add", out, rest, "--chunk", "none", "--quiet")[:2] == (0, f"{len(ROWS)}\n")
    assert printed(tardif("search", out, "the sea", "-k", len(ROWS), "--exact", "--json")[1]) == SHOWN


def test_rerank(file, encoder, multi_vector_folder, tardif):
    for documents in (ROWS, file):
        assert hits(rerank(encoder, "the sea", documents, len(ROWS), quiet=True)) == BY_ID
    code, out, err = tardif("rerank", multi_vector_folder, "sea", "--documents", file, "-k", len(ROWS), "--json")
    assert code == 0, err
    assert printed(out) == SHOWN


def test_lists_of_queries(tmp_path):
    rows = [{name: f"id {name}", "text": f"who is {name}"} for name in spellings(QUERY_COLUMNS["query_id"])]
    rows += [{"_id": f"text {name}", name: f"who is {name}"} for name in spellings(QUERY_COLUMNS["query"])]
    expected = {next(iter(row.values())): [*row.values()][1] for row in rows}
    file = write_jsonl(tmp_path / "queries.jsonl", rows)
    assert read_queries(file) == expected
    for source in (rows, file):
        assert {query.id: query.text for _, query in stream_queries(source)} == expected
    qrels = {"test": "".join(f"{identity}\td1\t1\n" for identity in expected)}
    assert read_judged(write_beir(tmp_path / "animals", queries=rows, qrels=qrels), "test").queries == expected


def test_ids_of_documents_beside_judged_texts(tmp_path):
    names = [name for name in JUDGEMENT_COLUMNS["document_id"] if not name.endswith("s")]
    rows = [{"query": f"who is {name}", "answer": f"I am {name}", name: f"id {name}"} for name in names]
    for row in rows:  # of several such columns in one table the user chooses
        identity = [*row.values()][2]
        for source in ([row], write_jsonl(tmp_path / "rows.jsonl", [row])):
            assert read_documents(source) == [Document(identity, row["answer"])]
        with staged([row]) as staging:
            assert staging.all("SELECT id, text FROM documents") == [(identity, row["answer"])]


def test_names_are_kept_in_the_form_in_which_they_are_compared():
    for table in (DOCUMENT_COLUMNS, QUERY_COLUMNS, JUDGEMENT_COLUMNS):
        for names in table.values():
            assert list(names) == [plain(name) for name in names]
            assert all(is_usual(name) for name in names)
    shared = set(DOCUMENT_COLUMNS["id"]) - set(ROW_IDS)
    assert {known_role(name) for name in shared} == {"document_id"}
    assert first_usual(["Text", "corpus-id"], DOCUMENT_COLUMNS["id"]) == "corpus-id"
    assert first_usual(["colour", 3], DOCUMENT_COLUMNS["id"]) is None
