"""Odd values at every entrance: refused with one clear error, or taken for what they say; nothing else is stored."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pytest

import token_vectors as plain
from samples import write_jsonl
from tardif.checks import MAX_ID, check_hits, check_ids, check_list, check_queries, id_fault
from tardif.data.documents import read_documents
from tardif.data.formats import open_source
from tardif.data.training_set import TrainingSet
from tardif.encoder.token_vectors import encode_documents, encode_queries
from tardif.errors import DataError, SettingError
from tardif.evaluation.comparison import compare
from tardif.evaluation.measures import measure, rank
from tardif.index.disk import DiskIndex
from tardif.index.memory import MemoryIndex
from tardif.mining.miners import HybridSearcher
from tardif.preparation import prepare
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import language
from tardif.types import Document, Query

ENGLISH = language("en")
NO_TEXT = {
    "bytes": b"a",
    "None": None,
    "float": 1.5,
    "bool": True,
    "numpy bool": np.bool_(True),
    "numpy float": np.float64(1.5),
    "array": np.array(["a", "b"]),
    "list": ["a"],
    "dict": {"a": 1},
    "half a character": "a\ud800",
    "bytearray": bytearray(b"a"),
    "decimal": Decimal("1.5"),
    "infinite decimal": Decimal("-Infinity"),
}
NO_ID = {
    "enormous decimal": Decimal("1e999999"),
    **NO_TEXT,
    "empty": "",
    "enormous": "x" * (MAX_ID + 1),
    "too many digits": 10**5000,
}
no_id = pytest.mark.parametrize("value", NO_ID.values(), ids=NO_ID)
no_text = pytest.mark.parametrize("value", NO_TEXT.values(), ids=NO_TEXT)
no_list = pytest.mark.parametrize("value", ["abc", b"abc", None, 5, {"a": 1}, np.array("a")], ids=repr)
# An id as it is given, and as it is stored.
IDS = {
    "text": ("7", "7"),
    "number": (7, "7"),
    "numpy number": (np.int64(7), "7"),
    "numpy text": (np.str_("7"), "7"),
    "decimal": (Decimal("7"), "7"),
    "decimal with zeros": (Decimal("7.00"), "7"),
}
some_id = pytest.mark.parametrize(("given", "stored"), IDS.values(), ids=IDS)


# Documents and queries


@no_id
@pytest.mark.parametrize("make", [Document, Query])
def test_what_can_be_no_id_makes_none(make, value):
    with pytest.raises(DataError, match="id "):
        make(value, "text")


@no_text
@pytest.mark.parametrize(
    "make", [lambda v: Document("a", v), lambda v: Document("a", "text", v), lambda v: Query("a", v)]
)
def test_what_is_no_text_makes_none(make, value):
    with pytest.raises(DataError, match=r"must be text|half a character"):
        make(value)


@pytest.mark.parametrize("metadata", [None, "text", b"x", 5, [("a", 1)], {1, 2}], ids=repr)
def test_metadata_is_a_mapping(metadata):
    with pytest.raises(DataError, match="metadata must be a dict"):
        Document("a", "text", metadata=metadata)


@some_id
def test_ids_are_plain_texts(given, stored):
    for made in (Document(given, np.str_("text"), np.str_("title")), Query(given, np.str_("text"))):
        assert (made.id, made.text) == (stored, "text")
        assert type(made.id) is type(made.text) is str


def test_odd_texts_are_texts():
    for text in ("", "nul\0", "\x1b[31m", "\u202e", "x" * 1_000_000):
        assert Document("a" + text[:100], text, text).text == text


# Indexes, in memory and on disk


@pytest.fixture(params=["memory", "disk"])
def index(request, tmp_path):
    if request.param == "memory":
        yield MemoryIndex()
        return
    with DiskIndex.create(tmp_path / "index", model={}, threads=1) as made:
        yield made


@pytest.mark.parametrize("value", ["text", None, ("a", "text"), {"id": "a", "text": "b"}, Query("a", "b")], ids=repr)
def test_an_index_takes_documents_alone(index, value):
    with pytest.raises(DataError, match="holds Documents"):
        index.add([value], plain.vectors_of(1, 2), [2])
    assert len(index) == 0


@some_id
def test_an_id_is_stored_as_text(index, given, stored):
    rows = plain.vectors_of(1, 2)
    index.add([Document(given, "one")], rows, [2])
    assert index.add([Document(stored, "two")], rows, [2]) == 1
    assert index.search(rows, [2], 5)[0][0][0] == stored
    assert index.get([stored])[stored].text == "two"
    assert index.delete([stored]) == 1


def test_metadata_is_read_back_as_an_index_on_disk_stores_it(index):
    metadata = {1: np.int64(2), "when": datetime.date(2024, 2, 1), "nan": float("nan"), "half\ud800": b"x", "set": {1}}
    index.add([Document("a", "text", metadata=metadata)], plain.vectors_of(1, 2), [2])
    metadata["later"] = 1
    assert index.get(["a"])["a"].metadata == {
        "1": 2,
        "when": "2024-02-01",
        "nan": None,
        "half\ufffd": "b'x'",
        "set": [1],
    }


def endless():
    found: list = []
    found.append(found)
    return found


class Broken:
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [endless(), Broken(), np.ndarray], ids=["endless", "broken", "a class"])
def test_metadata_that_cannot_be_stored_changes_nothing(index, value):
    index.add([Document("a", "old")], plain.vectors_of(1, 2), [2])
    with pytest.raises(DataError, match="metadata"):
        index.add([Document("a", "new", metadata={"k": value})], plain.vectors_of(1, 2), [2])
    assert index.get(["a"])["a"].text == "old"


def test_rows_are_not_fewer_than_none(index):
    with pytest.raises(DataError, match="fit"):
        index.add([Document("a", "x"), Document("b", "y")], plain.vectors_of(1, 2), [3, -1])


ASKED = {
    "delete": lambda index, ids: index.delete(ids),
    "get": lambda index, ids: index.get(ids),
    "score": lambda index, ids: index.score(plain.vectors_of(1, 2), ids),
}


@pytest.mark.parametrize("use", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("ids", ["abc", b"abc", None, 5, [None], [b"a"], [["a"]], [""], ["\ud800"], [1.5]], ids=repr)
def test_ids_that_are_asked_of_an_index(index, use, ids):
    index.add([Document(name, "text") for name in "abc1"], plain.vectors_of(1, 4), [1] * 4)
    with pytest.raises(DataError, match="ids"):
        use(index, ids)
    assert len(index) == 4
    use(index, [1, np.int64(1)])


# The retriever


@pytest.fixture(scope="module", params=["memory", "disk"])
def retriever(request, multi_vector_folder, tmp_path_factory):
    corpus = [Document(str(n), f"text {n} of the sea", metadata={"n": n}) for n in range(5)]
    if request.param == "memory":
        return Retriever.encode(multi_vector_folder, corpus, quiet=True)
    return Retriever.build(
        multi_vector_folder, corpus, tmp_path_factory.mktemp("checks") / "index", hybrid=True, quiet=True
    )


BY_IDS = {"delete": lambda r, ids: r.delete(ids), "rerank": lambda r, ids: r.rerank("sea", ids)}


@pytest.mark.parametrize("use", BY_IDS.values(), ids=BY_IDS)
@no_list
def test_ids_are_a_list(retriever, use, value):
    with pytest.raises(DataError, match="ids=.*give a list"):
        use(retriever, value)
    assert len(retriever) == 5


@pytest.mark.parametrize("use", BY_IDS.values(), ids=BY_IDS)
@no_id
def test_ids_are_ids(retriever, use, value):
    with pytest.raises(DataError, match="ids: number 2 "):
        use(retriever, ["0", value])
    assert len(retriever) == 5


def test_numbers_are_ids_too(retriever):
    assert {hit.document_id for hit in retriever.rerank("sea", [1, np.int64(3), np.str_("4")])} == {"1", "3", "4"}
    assert retriever.delete(np.array([77, 78])) == 0


@no_list
def test_queries_are_a_list(retriever, value):
    with pytest.raises(SettingError, match="queries=.*give a list"):
        retriever.search_many(value)


@pytest.mark.parametrize(
    "value", [None, b"sea", 5, ["sea"], ("sea", "lake"), {"sea": 1}, np.array(["sea"]), "", " \n"], ids=repr
)
def test_a_query_is_a_text(retriever, encoder, value):
    several = isinstance(value, list | tuple | np.ndarray)
    for search in (
        retriever.search,
        lambda query: retriever.rerank(query, ["1"]),
        lambda query: rerank(encoder, query, ["sea"]),
    ):
        with pytest.raises(SettingError, match="give one text.*search_many" if several else "query is empty"):
            search(value)
    for search in (lambda query: retriever.search_many(["sea", query]), lambda query: retriever.run({"q": query})):
        with pytest.raises(SettingError, match="query is empty"):
            search(value)


def test_queries_that_come_one_by_one_are_all_answered(retriever, encoder):
    for queries in (iter(["sea", "text"]), (query for query in ("sea", "text")), {"sea": 1, "text": 2}.keys()):
        assert [len(hits) for hits in retriever.search_many(queries, 2)] == [2, 2]
    for searcher in (LexicalSearcher, lambda documents, _: HybridSearcher([LexicalSearcher(documents, ENGLISH)])):
        found = searcher(iter([Document("a", "sea"), Document("b", "lake")]), ENGLISH)
        assert [[name for name, _ in hits] for hits in found.search(iter(["lake", "sea"]), 1)] == [["b"], ["a"]]
        assert found.score(iter(["lake"]), [["a"]]) == [[0.0]]
        with pytest.raises(SettingError, match="queries='lake': give a list"):
            found.search("lake", 1)
    for encode in (encode_queries, encode_documents):
        assert len(encode(encoder, iter(["sea", "lake"]))[1]) == 2
        with pytest.raises(SettingError, match="texts='sea': give a list"):
            encode(encoder, "sea")
    run = rank(encoder, {"q": "sea"}, iter([Document("a", "sea"), Document("b", "lake")]))
    assert set(run["q"]) == {"a", "b"}
    rows = ({"query": query, "positive": f"about {query}"} for query in ("sea", "lake"))
    assert len(prepare(iter([rows]), iter(["one more text"]), miner="none", validation=0).queries) == 2


def test_documents_that_come_one_by_one_are_all_added(index):
    given = (Document(name, "text") for name in "ab")
    assert index.add(given, plain.vectors_of(1, 2), [1, 1]) == 0
    assert len(index) == 2
    with pytest.raises(DataError, match="documents='ab': give a list"):
        index.add("ab", plain.vectors_of(1, 2), [1, 1])


@pytest.mark.parametrize("k", [np.int8(1), np.uint64(1), 1], ids=repr)
def test_a_bare_index_takes_numpys_whole_numbers(index, k):
    rows = plain.vectors_of(1, 2)
    index.add([Document("a", "text"), Document("b", "text")], rows, [1, 1])
    for how in ({}, {"exact": True}):
        assert len(index.search(rows, [2], k, **how)[0]) == 1
    for bad in (0, 1.0, True, "1", None):
        with pytest.raises(SettingError, match="k="):
            index.search(rows, [2], bad)


@pytest.mark.parametrize(
    "option",
    [
        {"window": 5},
        {"window": "15"},
        {"window": iter((1, 50))},
        {"on": ["empty"]},
        {"columns": "query"},
        {"endpoint": "http://x"},
        {"synthesize_limit": "3"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_of_another_shape(option):
    with pytest.raises(SettingError, match=f"{next(iter(option))}="):
        prepare([[("query", "positive")]], miner="none", **option)


def test_one_text_in_the_place_of_documents_says_what_to_give(encoder):
    for use in (read_documents, lambda d: rerank(encoder, "sea", d), lambda d: prepare([[("a", "b")]], d)):
        with pytest.raises(DataError, match=r"give texts as a list, such as \[\.\.\.\]") as raised:
            use("a text that is no path " * 10_000)
        assert len(str(raised.value)) < 500


@no_id
def test_a_run_is_of_ids(retriever, value):
    if not isinstance(value, list | dict | bytearray | np.ndarray):  # no key of any dict
        with pytest.raises(DataError, match="ids: number 1"):
            retriever.run({value: "sea"})


@pytest.mark.parametrize("value", ["sea", ["sea"], None, [("q", "sea")]], ids=repr)
def test_a_run_is_of_a_dict(retriever, value):
    with pytest.raises(SettingError, match="give a dict"):
        retriever.run(value)


def test_a_run_has_each_id_once(retriever):
    assert retriever.run({7: "sea"}, k=1).keys() == {"7"}
    with pytest.raises(SettingError, match="same id"):
        retriever.run({7: "sea", "7": "lake"})


@pytest.mark.parametrize(
    "k", [0, -1, True, np.bool_(True), 2.0, np.float64(2), "3", None, [3], np.array([3]), float("nan")], ids=repr
)
def test_k_is_a_whole_number(retriever, encoder, k):
    for search in (
        lambda: retriever.search("sea", k),
        lambda: retriever.search_many(["sea"], k),
        lambda: retriever.run({"q": "sea"}, k),
        lambda: retriever.rerank("sea", ["1"], k),
        lambda: rerank(encoder, "sea", ["sea"], k),
    ):
        with pytest.raises(SettingError, match="k="):
            search()


@pytest.mark.parametrize("k", [2, np.int64(2), np.uint8(2), 10**30], ids=repr)
def test_k_may_be_numpys_or_huge(retriever, k):
    ways = [{}, {"exact": True}] + ([{"hybrid": True}] if isinstance(retriever.index, DiskIndex) else [])
    for how in ways:
        assert len(retriever.search("sea", k, **how)) == min(k, 5)
    assert len(retriever.rerank("sea", ["1", "2", "3", "4", "0"], k)) == min(k, 5)


@pytest.mark.parametrize("where", [5, b"n = 1", ["n = 1"], True, {"n": b"x"}, {1: 2}, "", 0.5], ids=repr)
def test_a_filter_is_an_expression_or_a_dict(retriever, where):
    with pytest.raises(SettingError, match=r"[Ff]ilter"):
        retriever.search("sea", where=where)


@pytest.mark.parametrize("recall", [0, 1.5, True, "0.9", None, float("nan"), np.array([0.5])], ids=repr)
def test_recall_is_a_share(retriever, recall):
    with pytest.raises(SettingError, match="recall="):
        retriever.search("sea", recall=recall)
    assert len(retriever.search("sea", 2, recall=np.float32(0.5))) == 2


DOCUMENTS = {
    "None": None,
    "number": 5,
    "bytes": b"text",
    "one dict": {"id": "a", "text": "b"},
    "one Document": Document("a", "text"),
    "a list of None": [None],
    "a list of bytes": [b"text"],
    "a list of lists": [["text"]],
    "half a character": ["a\ud800"],
    "blank": [" "],
    "no text": [{"id": "a"}],
    "bytes as text": [{"id": "a", "text": b"text"}],
    "bytes as id": [{"id": b"a", "text": "text"}],
    "a float as id": [{"id": 1.5, "text": "text"}],
    "true as id": [{"id": True, "text": "text"}],
    "an empty id": [{"id": "", "text": "text"}],
    "a list as id": [{"id": ["a"], "text": "text"}],
    "half a title": [{"id": "a", "text": "text", "title": "\ud800"}],
    "thousands of digits": [{"id": 10**5000, "text": "text"}],
    "bytes in metadata": [{"id": "a", "text": "text", "m": b"x"}],
}


@pytest.mark.parametrize("value", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_at_every_entrance(retriever, multi_vector_folder, encoder, tmp_path, value):
    for use in (
        read_documents,
        lambda d: retriever.add(d, chunk=None, quiet=True),
        lambda d: Retriever.build(multi_vector_folder, d, tmp_path / "index", quiet=True),
        lambda d: Retriever.encode(encoder, d, quiet=True),
        lambda d: rerank(encoder, "sea", d),
    ):
        with pytest.raises(DataError):
            use(value)
    if value is not None:  # no documents beside the pairs
        with pytest.raises(DataError):
            prepare([[("query", "positive")]], value, miner="none")
    assert len(retriever) == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["id", "query_id", "document_id"])
def test_an_enormous_id_says_where(name):
    row = {"query": "a", "positive": "b", "text": "c", name: "x" * (MAX_ID + 1)}
    read = read_documents if name == "id" else lambda rows: list(open_source(rows).judgements())
    with pytest.raises(DataError, match=f"line 2: column {name} has 100,001 characters"):
        read([{**row, name: "x" * MAX_ID}, row])


def test_rows_and_documents_have_the_same_ids():
    for given in (7, np.int64(7), "7", np.str_("7")):
        rows = [{"id": given, "text": np.str_("text"), "n": np.array([1, 2])}]
        for found in (read_documents(rows), read_documents([Document(given, "text", metadata={"n": [1, 2]})])):
            assert found == [Document("7", "text", metadata={"n": [1, 2]})]
            assert type(found[0].text) is str


# Training data and measures


@pytest.mark.parametrize("value", ["pairs.jsonl", b"x", None, {"query": "a"}], ids=repr)
def test_sources_are_a_list(value):
    with pytest.raises(DataError, match="sources=.*give a list"):
        prepare(value)


@pytest.mark.parametrize("value", [5, b"query", [b"query"], [("a", b"b")], [5]], ids=repr)
def test_training_rows(value):
    with pytest.raises(DataError):
        list(open_source(value).judgements())


@pytest.mark.parametrize("row", [("a", None), (None, "b"), ("a", "")], ids=repr)
def test_a_missing_text_is_an_empty_one(row):
    with pytest.raises(DataError, match=r"line 2: a query or document without text .*empty=drop"):
        prepare([[("q", "d"), row]], miner="none", validation=0)


@pytest.mark.parametrize("name", ["systems", "data", "measures"])
def test_what_is_evaluated_is_a_list(name):
    arguments = {"systems": ["bm25"], "data": ["folder"], "measures": ["nDCG@10"], name: "bm25"}
    with pytest.raises(SettingError, match=f"{name}='bm25': give a list"):
        compare(**arguments)
    with pytest.raises(SettingError, match="measures="):
        measure({}, {}, "nDCG@10")


def test_a_training_set_keeps_metadata_that_json_can_hold(tmp_path):
    metadata = {1: np.int64(2), "b": {3, 4}, "c\ud800": datetime.date(2024, 2, 1), "d": float("inf")}
    document = Document("a", "text", metadata=metadata)
    data = TrainingSet({"a": document}, {"q": "query"}, {"q": {"a": 1}}, {"q": "train"})
    loaded = TrainingSet.load(data.save(tmp_path / "set"))
    assert loaded.documents["a"].metadata == {"1": 2, "b": [3, 4], "c\ufffd": "2024-02-01", "d": None}
    made = prepare([[("query", "text")]], [document], miner="none")
    assert made.documents["a"].metadata == loaded.documents["a"].metadata


# The command line


def test_ids_of_the_command_line(tardif, fails, multi_vector_folder, tmp_path):
    corpus = write_jsonl(tmp_path / "corpus.jsonl", [{"_id": n, "text": f"text {n}"} for n in range(3)])
    assert tardif("index", multi_vector_folder, corpus, "--out", tmp_path / "index", "--quiet")[0] == 0
    (tmp_path / "ids.txt").write_bytes(b"1\n\xff\n")
    assert "ids.txt, line 2: is not UTF-8" in fails("delete", tmp_path / "index", "--ids", tmp_path / "ids.txt")
    assert "half a character" in fails("delete", tmp_path / "index", "1", "a\udcff")
    found = json.loads(tardif("search", tmp_path / "index", "text \udcff", "--json")[1])
    assert found["query"] == "text \udcff"
    assert {hit["document_id"] for hit in found["hits"]} == {"0", "1", "2"}


# What the checks say


def test_the_checks_themselves():
    assert check_ids(iter([1, "b"])) == ["1", "b"]
    assert check_queries(("a",)) == ["a"]
    assert check_hits(np.int32(3)) == 3
    assert check_list({"a"}, "names", DataError) == ["a"]
    assert id_fault("x" * MAX_ID) == ""
    with pytest.raises(DataError, match=r"ids='abc': give a list, such as \[...\], not one text."):
        check_ids("abc")
