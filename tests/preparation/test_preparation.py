import json

import pytest

from chat_server import answer
from samples import write_beir
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare, prepare_folder
from tardif.text.normal import normalise

ROWS = [(f"question about thing{n}", f"thing{n} is a thing of kind{n % 7}") for n in range(40)]


def by_query(data):
    return {(e.query_id, e.positive_id): e.negative_ids for e in data.examples}


def test_pairs_become_a_whole_training_set():
    data = prepare([ROWS], negatives=3, window=(2, 20))
    assert len(data.queries) == len(data.documents) == 40
    assert len(data.query_ids(VALIDATION)) == 13  # a third: a tenth could tell nothing
    assert any(line.startswith("13 of 40 queries are held out") for line in data.report)
    assert len(data.examples) == len(data.query_ids(TRAIN)) == 27
    assert {len(example.negative_ids) for example in data.examples} == {3}
    assert any("query from query, positive from positive (40 rows)" in line for line in data.report)
    made_with = {"language": "en", "miner": "lexical", "negatives": 3, "window": [2, 20], "seed": 0}
    assert {name: data.settings[name] for name in made_with} == made_with


def test_where_no_share_could_tell_anything_none_is_held_out_and_said():
    data = prepare([ROWS[:17]], miner="none")
    assert not data.query_ids(VALIDATION)
    assert any("a third of 17 is fewer than 6" in line for line in data.report)
    assert len(prepare([ROWS[:18]], miner="none").query_ids(VALIDATION)) == 6
    assert len(prepare([ROWS], miner="none", validation=0.1).query_ids(VALIDATION)) == 4


def test_one_answer_to_everything_is_told():
    told = "all queries have the same answer: only mined negatives can teach anything"
    assert told in prepare([[(query, "the same") for query, _ in ROWS]], miner="none").report
    assert told not in prepare([ROWS], miner="none").report


def test_the_order_of_the_input_does_not_matter():
    one, other = prepare([ROWS], window=(2, 20)), prepare([ROWS[::-1]], window=(2, 20))
    assert one.split == other.split
    assert by_query(one) == by_query(other)


def test_the_seed_changes_the_draws():
    assert by_query(prepare([ROWS], seed=1)) != by_query(prepare([ROWS], seed=2))


def test_without_a_miner_the_own_negatives_stay():
    data = prepare([[("q", "good", "bad"), ("r", "fine", "poor")]], miner="none", validation=0)
    texts = {data.documents[d].text for example in data.examples for d in example.negative_ids}
    assert texts == {"bad", "poor"}


def test_held_out_rows_are_validation_and_their_texts_leave_training():
    data = prepare([[("one", "a"), ("two", "b"), ("ONE ", "c")]], validation=[("One", "a")], miner="none")
    sides = {normalise(text): data.split[query] for query, text in data.queries.items()}
    assert sides == {"one": VALIDATION, "two": TRAIN}


def test_a_beir_folder_keeps_its_ids_and_its_dev_split(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"train": "q1\td1\t1\n", "dev": "q2\td3\t1\n"})
    data = prepare([beir], negatives=1, window=(1, 10))
    assert data.split == {"q1": TRAIN, "q2": VALIDATION}
    assert set(data.documents) == {"d1", "d2", "d3"}


@pytest.mark.parametrize(
    "options",
    [
        {"miner": "sparse"},
        {"miner_size": "huge"},
        {"ratio": 1.5},
        {"max_uses": 0},
        {"teacher": 3},
        {"language": "klingon"},
        {"window": (0, 5)},
        {"window": (9, 5)},
        {"validation": 1.0},
        {"validation": -0.1},
        {"negatives": -1},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(SettingError):
        prepare([ROWS[:3]], **options)


def test_a_wrong_option_shows_before_the_data_is_read(tmp_path):
    with pytest.raises(SettingError, match="klingon"):
        prepare([tmp_path / "missing.jsonl"], language="klingon")


def test_something_must_be_left_to_train_on():
    with pytest.raises(DataError, match="left to train on"):
        prepare([[("one", "a")]], validation=[("one", "a")])


def test_a_prepared_folder_is_not_prepared_again(tmp_path):
    prepare([ROWS[:3]], miner="none").save(tmp_path / "data")
    with pytest.raises(DataError, match="is prepared already"):
        prepare([tmp_path / "data"])


DOCUMENTS = [
    {"id": f"d{n}", "text": f"Harbour {n} was built by sailors from island {n}, who traded in salt."} for n in range(6)
]


def test_an_endpoint_writes_queries_for_the_documents_and_pays_once(endpoint, tmp_path):
    asked = {"url": endpoint.url, "model": "m", "cache": tmp_path / "answers.jsonl", "max_requests": 10}
    data = prepare([], DOCUMENTS, endpoint=asked, miner="none")
    assert len(data.queries) == 12
    assert {example.positive_id for example in data.examples} <= {f"d{n}" for n in range(6)}
    assert any("6 requests in this run" in line for line in data.report)
    assert "cache" not in data.settings["endpoint"]
    again = prepare([], DOCUMENTS, endpoint=asked, miner="none")
    assert (again.queries, again.split) == (data.queries, data.split)
    assert len(endpoint.requests) == 6


def test_an_endpoint_and_synthesis_add_up(endpoint, tmp_path):
    asked = {"url": endpoint.url, "model": "m", "cache": tmp_path / "answers.jsonl", "max_requests": 10}
    endpoint.always = lambda body: answer('["who traded in salt there", "which island built it"]')
    data = prepare([[("a query of my own", DOCUMENTS[0]["text"])]], DOCUMENTS, endpoint=asked, miner="none")
    assert {"a query of my own", "who traded in salt there"} <= set(data.queries.values())


def test_no_more_queries_are_synthesised_than_asked_for():
    goods = ("amber", "copper", "indigo", "walnut", "saffron", "marble")
    pages = [
        {
            "id": ware,
            "title": f"How the {ware} trade of the northern islands came about",
            "text": f"Sailors carried {ware} across the strait every spring for some ninety years. "
            f"A storm then closed the mouth of the river, and no {ware} left the quay again.",
        }
        for ware in goods
    ]
    made = prepare([], pages, synthesize=True, miner="none", validation=0.0)
    few = prepare([], pages, synthesize=True, synthesize_limit=2, miner="none", validation=0.0)
    assert len(few.queries) == 2 < len(made.queries)
    assert set(few.queries.values()) <= set(made.queries.values())
    assert (few.made, few.is_mostly_made) == (2, True)
    asked = prepare([[("How is amber carried?", "Over the strait.")]], pages, synthesize=True, synthesize_limit=1)
    assert (asked.made, len(asked.queries), asked.is_mostly_made) == (1, 2, False)
    assert not prepare([[("How is amber carried?", "Over the strait.")]], miner="none").made
    with pytest.raises(SettingError, match="synthesize_limit=0"):
        prepare([], pages, synthesize=True, synthesize_limit=0, miner="none")


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"model": "m"}, "no spending cap"),
        ({"max_requests": 3}, "model"),
        ({"model": "m", "max_requests": 3, "speed": 1}, "speed"),
    ],
)
def test_an_endpoint_without_model_or_cap_is_refused(tmp_path, asked, what):
    with pytest.raises(SettingError, match=what):
        prepare([], DOCUMENTS, endpoint={"url": "http://127.0.0.1:9/v1", "cache": tmp_path / "c", **asked})


def overlap(pairs):
    """A teacher: the share of the query's words that stand in the document."""
    return [len({*query.split()} & {*document.split()}) / len(query.split()) for query, document in pairs]


def test_a_teacher_scores_the_examples_and_the_report_of_mining_lies_in_the_folder(tmp_path):
    options = {"negatives": 3, "window": (1, 40), "teacher": overlap, "near_copy": None, "ratio": None}
    out = prepare_folder([ROWS], None, tmp_path / "set", **options)
    data = TrainingSet.load(out)
    assert all(len(example.scores) == 1 + len(example.negative_ids) for example in data.examples)
    assert data.settings["teacher"].endswith(".overlap")
    said = json.loads((out / "mining.json").read_text())
    assert said["settings"]["selection"]["last"] == 40
    assert said["negatives"]["mined"] + said["negatives"]["random"] == data.counts()["hard negatives"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_the_teacher_scores_the_own_negatives_where_nothing_is_mined(tmp_path):
    data = prepare([[("a b", "a b x", "a c"), ("r", "r x", "z")]], miner="none", teacher=overlap, validation=0)
    assert sorted(example.scores for example in data.examples) == [(1.0, 0.0), (1.0, 0.5)]


def test_documents_that_no_model_reads_whole_are_counted():
    pairs = [("what is long", "word " * 600), ("what is short", "a short text")]
    said = [line for line in prepare([pairs], miner="none", validation=0).report if "bytes" in line]
    assert len(said) == 1 and said[0].startswith("1 documents have more than 2,300 bytes")
    assert "--chunk 256" in said[0]


def test_of_a_query_with_very_many_positives_and_negatives_each_example_carries_some_of_the_negatives():
    rows = [{"query": "which?", "document": f"text number {n}", "label": n % 2} for n in range(910)]
    few = [{"query": "who?", "document": f"another text {n}", "label": n % 2} for n in range(6)]
    data = prepare([rows + few], miner="none", near=False, validation=0)
    carried = {}
    for example in data.examples:
        carried.setdefault(data.queries[example.query_id], []).append(example.negative_ids)
    assert [len(negatives) for negatives in carried["who?"]] == [3, 3, 3]
    assert {len(negatives) for negatives in carried["which?"]} == {200_000 // 455}
    wrong = {d for judged in data.qrels.values() for d, relevance in judged.items() if relevance == 0}
    assert {d for negatives in carried["which?"] for d in negatives} < wrong
    assert len({d for negatives in carried["which?"] for d in negatives}) == 455
    assert any(line.startswith("1 queries have too many positives and negatives") for line in data.report)
    shuffled = prepare([few + rows[::-1]], miner="none", near=False, validation=0)
    assert list(shuffled.examples) == list(data.examples)


def test_held_out_rows_are_told_their_own_option(tmp_path):
    rows = tmp_path / "other.csv"
    rows.write_text("Anliegen,Hilfetext\na,b\n")
    with pytest.raises(DataError, match=r"validation_columns=\{.*\(--validation-columns query=\.\.\. --validation-col"):
        prepare_folder([[("q", "a")]], None, tmp_path / "set", miner="none", validation=rows)
