import pytest

from samples import write_beir, write_jsonl
from tardif.data.gather import gather
from tardif.errors import DataError


def texts(gathered):
    """Judgements by texts instead of ids."""
    return {
        gathered.queries[query]: {gathered.documents[d].text: relevance for d, relevance in found.items()}
        for query, found in gathered.qrels.items()
    }


def test_equal_texts_are_one():
    gathered = gather([[("q", "a"), ("q", "b"), ("r", "a")]])
    assert texts(gathered) == {"q": {"a": 1, "b": 1}, "r": {"a": 1}}
    assert len(gathered.documents) == 2


def test_ids_do_not_depend_on_the_order():
    rows = [("q", "a"), ("q", "b"), ("r", "c")]
    one, other = gather([rows]), gather([rows[:1:-1], rows[:2]])
    assert one.queries == other.queries
    assert one.documents == other.documents
    assert one.qrels == other.qrels


@pytest.mark.parametrize("labels", [(0, 1), (1, 0)])
def test_what_is_relevant_once_is_relevant(labels):
    assert texts(gather([[("q", "a", label) for label in labels]])) == {"q": {"a": 1}}


def test_a_text_of_the_corpus_keeps_its_id():
    corpus = [{"id": "1", "text": "a"}, {"id": "2", "title": "t", "text": "b"}]
    gathered = gather([[("q", "a"), ("r", "t b"), ("s", "b"), ("t", "new")]], corpus)
    assert set(list(gathered.documents)[:2]) == {"1", "2"}
    assert [next(iter(gathered.qrels[query])) for query in gathered.queries][:3] == ["1", "2", "2"]
    assert len(gathered.documents) == 3
    assert "1 texts of the training data joined the corpus" in gathered.report


def test_a_query_without_positive_is_refused_with_its_line(tmp_path):
    rows = [
        {"query": "good", "document": "a", "label": 1},
        {"query": "bad", "document": "a", "label": 0},
        {"query": "bad", "document": "b", "label": 0},
    ]
    with pytest.raises(DataError, match=r"pairs\.jsonl, line 2: the query 'bad' has no positive"):
        gather([write_jsonl(tmp_path / "pairs.jsonl", rows)])


def test_validation_rows_are_held_out():
    gathered = gather([[("q", "a")]], validation=[("r", "b")])
    assert {gathered.queries[query] for query in gathered.held_out} == {"r"}


def test_a_beir_folder_keeps_ids_and_holds_its_dev_split_out(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"train": "q1\td1\t1\nq1\td2\t0\n", "dev": "q2\td3\t1\n"})
    gathered = gather([beir])
    assert gathered.qrels == {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 1}}
    assert gathered.held_out == {"q2"}
    assert gather([beir], split="dev").held_out == set()


def test_a_judged_beir_query_without_positive_is_refused(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"train": "q1\td1\t0\n"})
    with pytest.raises(DataError, match="animals: the query 'q1' has no positive"):
        gather([beir])


def test_one_id_for_two_things_is_refused(tmp_path):
    train = {"train": "q1\td1\t1\n"}
    one = write_beir(tmp_path / "one", qrels=train)
    other_corpus = write_beir(tmp_path / "two", corpus=[{"_id": "d1", "text": "other"}], qrels=train)
    other_queries = write_beir(tmp_path / "three", queries=[{"_id": "q1", "text": "other"}], qrels=train)
    with pytest.raises(DataError, match="two: the document id 'd1' already stands for another text"):
        gather([one, other_corpus])
    with pytest.raises(DataError, match="three: the query id 'q1' already stands for another text"):
        gather([one, other_queries])
    assert len(gather([one, one]).documents) == 3


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(DataError, match="nothing to train on"):
        gather([])
    with pytest.raises(DataError, match=r"is a folder without corpus\.jsonl"):
        gather([tmp_path])
