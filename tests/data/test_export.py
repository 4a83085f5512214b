import hashlib
import json

import datasets
import pytest

from tardif.data.export import export, to_datasets
from tardif.data.formats import held_out_sources, open_source
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.errors import DataError, FolderError, SettingError
from tardif.types import Document, Example, Query

DOCUMENTS = [
    Document("d/1", "cats chase mice", "Cats"),
    Document("d/2", "dogs \u2028 bark"),
    Document("d/3", "birds sing"),
    Document("d/4", ""),
]
QUERIES = {"q-a": "who chases?", "q-v": "held out", "q-b": "who barks?"}


def training_set(**changes):
    values = {
        "documents": {document.id: document for document in DOCUMENTS},
        "queries": QUERIES,
        "qrels": {"q-a": {"d/1": 2, "d/4": 0}, "q-b": {"d/2": 1}, "q-v": {"d/3": 1}},
        "split": {"q-a": TRAIN, "q-b": TRAIN, "q-v": VALIDATION},
        "examples": [Example("q-a", "d/1", ("d/2", "d/3")), Example("q-b", "d/2", ("d/3",))],
    }
    return TrainingSet(**{**values, **changes})


def examples_of(judgements):
    """Judgements of triples, put together by place."""
    rows = {}
    for found in judgements:
        rows.setdefault(found.place, []).append(found)
    return [
        Example(row[0].query_id, row[0].document_id, tuple(found.document_id for found in row[1:]))
        for row in rows.values()
    ]


@pytest.mark.parametrize("kind", ["colbert", "ragatouille"])
def test_colbert_files_read_back_equal(tmp_path, kind):
    data = training_set()
    report = export(data, tmp_path / "out", kind)
    assert report.counts == {
        "queries": 2,
        "documents": 4,
        "examples": 2,
        "validation queries": 1,
        "validation judgements": 1,
    }
    assert not report.lost
    source = open_source(tmp_path / "out")
    assert [document for _, document in source.documents()] == DOCUMENTS
    assert [query for _, query in source.queries()] == [Query("q-a", "who chases?"), Query("q-b", "who barks?")]
    assert examples_of(source.judgements()) == data.examples
    (held,) = held_out_sources(tmp_path / "out")
    assert [query.text for _, query in held.queries()] == ["held out"]
    assert [(found.query_id, found.document_id, found.label) for found in held.judgements()] == [("q-v", "d/3", 1)]


def test_colbert_files_hold_numbers_and_no_breaks(tmp_path):
    documents = {"x": Document("x", "a\tb\r\nc"), "y": Document("y", "d")}
    data = training_set(
        documents=documents,
        queries={"q": "e\nf"},
        qrels={"q": {"x": 1}},
        split={"q": TRAIN},
        examples=[Example("q", "x", ("y",)), Example("q", "x")],
    )
    report = export(data, tmp_path / "out", "colbert")
    assert (tmp_path / "out" / "queries.tsv").read_bytes() == b"0\te f\n"
    assert (tmp_path / "out" / "collection.tsv").read_bytes() == b"0\ta b c\n1\td\n"
    assert (tmp_path / "out" / "triples.jsonl").read_bytes() == b"[0, 0, 1]\n[0, 0]\n"
    assert json.loads((tmp_path / "out" / "id-maps.json").read_bytes()) == {
        "queries": {"0": "q"},
        "documents": {"0": "x", "1": "y"},
    }
    assert report.lines() == [
        f"{tmp_path / 'out'}: 1 queries, 2 documents, 2 examples",
        "2 texts whose tabs or line ends became spaces",
        "1 examples without a negative, which ColBERT cannot train on",
    ]
    assert not held_out_sources(tmp_path / "out")


def test_beir_reads_back_equal(tmp_path):
    documents = {**training_set().documents, "d/5": Document("d/5", "x", "", {"book": ["é", 1]})}
    data = training_set(documents=documents)
    report = export(data, tmp_path / "out", "beir")
    assert report.lost == {"hard negatives, for which BEIR has no place": 3}
    source = open_source(tmp_path / "out")
    assert [document for _, document in source.documents()] == list(documents.values())
    assert {query.id: query.text for _, query in source.queries()} == QUERIES
    found = [*source.judgements(), *(item for held in held_out_sources(tmp_path / "out") for item in held.judgements())]
    qrels = {}
    for item in found:
        qrels.setdefault(item.query_id, {})[item.document_id] = item.label
    assert qrels == data.qrels


def test_an_id_that_qrels_cannot_hold_leaves_nothing(tmp_path):
    data = training_set(qrels={"q-a": {"d\t1": 1}})
    with pytest.raises(DataError, match="holds a tab"):
        export(data, tmp_path / "out", "beir")
    assert not list(tmp_path.iterdir())


def test_datasets_in_memory_and_on_disk_are_equal(tmp_path):
    data = training_set()
    found = to_datasets(data)
    assert found["train"].to_dict() == {
        "query": ["who chases?", "who barks?"],
        "positive": ["Cats cats chase mice", "dogs \u2028 bark"],
        "negative_1": ["dogs \u2028 bark", "birds sing"],
        "negative_2": ["birds sing", None],
    }
    assert found["validation"].to_dict() == {"query": ["held out"], "positive": ["birds sing"]}
    report = export(data, tmp_path / "out", "datasets")
    assert report.counts == {"train rows": 2, "validation rows": 1}
    assert report.lost == {"rows with fewer negatives than columns (None)": 1}
    datasets.disable_progress_bars()
    loaded = {
        split: datasets.Dataset.from_parquet(str(tmp_path / "out" / f"{split}.parquet"), cache_dir=str(tmp_path / "c"))
        for split in found
    }
    datasets.enable_progress_bars()
    assert {split: rows.to_dict() for split, rows in loaded.items()} == {
        split: rows.to_dict() for split, rows in found.items()
    }


def test_datasets_read_back_equal(tmp_path):
    data = training_set()
    export(data, tmp_path / "out", "datasets")
    for source in (to_datasets(data), tmp_path / "out"):
        read = [(f.query, f.document, f.role) for f in open_source(source).judgements()]
        expected = []
        for example in data.examples:
            query = QUERIES[example.query_id]
            expected.append((query, data.documents[example.positive_id].content, "positive"))
            expected += [(query, data.documents[negative].content, "negative") for negative in example.negative_ids]
        assert read == expected
        (held,) = held_out_sources(source)
        assert [(f.query, f.document) for f in held.judgements()] == [("held out", "birds sing")]


@pytest.mark.parametrize("kind", ["colbert", "ragatouille", "datasets"])
def test_teacher_scores_read_back_equal(tmp_path, kind):
    examples = [
        Example("q-a", "d/1", ("d/2", "d/3"), (2.5, 1.0, -1.0)),
        Example("q-b", "d/2", ("d/3",), (1.0, 0.5)),
        Example("q-b", "d/1", ("d/3",)),
    ]
    data = training_set(examples=examples)
    export(data, tmp_path / "out", kind)
    found = list(open_source(tmp_path / "out").judgements())
    assert [item.score for item in found] == [2.5, 1.0, -1.0, 1.0, 0.5, None, None]
    assert [item.role for item in found] == ["positive", "negative", "negative"] + ["positive", "negative"] * 2
    if kind == "datasets":
        assert to_datasets(data)["train"]["scores"][:] == [[2.5, 1.0, -1.0], [1.0, 0.5], None]


@pytest.mark.parametrize("kind", ["colbert", "beir", "datasets"])
def test_a_test_split_is_kept_apart(tmp_path, kind):
    data = training_set(split={"q-a": TRAIN, "q-b": TRAIN, "q-v": "test"})
    counts = export(data, tmp_path / "out", kind).counts
    assert {"test judgements", "test rows"} & set(counts)
    assert held_out_sources(tmp_path / "out") == []


@pytest.mark.parametrize("kind", ["colbert", "ragatouille", "beir", "datasets"])
def test_the_same_set_gives_the_same_bytes(tmp_path, kind):
    def digest(folder):
        export(training_set(), folder, kind)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]

    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    with pytest.raises(FolderError, match="already exists"):
        export(training_set(), tmp_path / "a", kind)
    export(training_set(), tmp_path / "a", kind, overwrite=True)


def test_unknown_kind(tmp_path):
    with pytest.raises(SettingError, match="colbert, ragatouille, beir or datasets"):
        export(training_set(), tmp_path / "out", "csv")
